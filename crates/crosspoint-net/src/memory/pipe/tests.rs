use std::future::poll_fn;
use std::num::NonZeroU64;
use std::pin::pin;
use std::task::Waker;
use std::time::Duration;

use crosspoint_hub::{Hub, HubOptions, Limits};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant as TokioInstant, timeout};

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn lagging(millis: u64) -> Shape {
    Shape { lag: ms(millis), ..Shape::default() }
}

fn with_speed(lag: u64, bytes_per_second: u64) -> Shape {
    Shape { bytes_per_second: NonZeroU64::new(bytes_per_second), ..lagging(lag) }
}

fn write(end: &End, bytes: &[u8]) -> io::Result<usize> {
    end.try_write_vectored(&[IoSlice::new(bytes)])
}

/// The next read: milliseconds since `start`, and how many bytes it brought.
async fn read(end: &mut End, start: TokioInstant) -> (u128, usize) {
    let length = end.reader.read(&mut [0; 4096]).await.expect("the connection stands");
    (start.elapsed().as_millis(), length)
}

fn poll_once(end: &mut End) -> Poll<io::Result<usize>> {
    let mut bytes = [0; 4096];
    let mut buf = ReadBuf::new(&mut bytes);
    let polled = end.poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
    polled.map_ok(|()| buf.filled().len())
}

#[tokio::test]
async fn without_lag_bytes_are_there_at_once_and_several_slices_are_one_write() {
    let (a, mut b) = pair(Shape::default(), Shape::default());
    assert!(poll_once(&mut b).is_pending());
    let slices = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"write")];
    assert_eq!(a.try_write_vectored(&slices).unwrap(), 9);
    assert_eq!(write(&a, b"").unwrap(), 0);
    let mut small = [0; 5];
    b.read_exact(&mut small).await.unwrap();
    assert_eq!(&small, b"one w");
    assert!(matches!(poll_once(&mut b), Poll::Ready(Ok(4))));
    assert!(poll_once(&mut b).is_pending());
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_after_the_lag_of_their_direction() {
    let (mut a, mut b) = pair(lagging(20), lagging(7));
    let start = TokioInstant::now();
    write(&a, b"ping").unwrap();
    assert!(poll_once(&mut b).is_pending());
    assert_eq!(read(&mut b, start).await, (20, 4));
    write(&b, b"pong!").unwrap();
    assert_eq!(read(&mut a, start).await, (27, 5));
}

#[tokio::test(start_paused = true)]
async fn speed_puts_writes_behind_one_another() {
    let (a, mut b) = pair(with_speed(20, 1000), Shape::default());
    let start = TokioInstant::now();
    write(&a, &[1; 100]).unwrap();
    write(&a, &[2; 100]).unwrap();
    assert_eq!(read(&mut b, start).await, (120, 100));
    assert_eq!(read(&mut b, start).await, (220, 100));
    write(&a, &[3; 2000]).unwrap();
    assert_eq!(read(&mut b, start).await, (220 + 1480, 1460), "a long write arrives bit by bit");
    assert_eq!(read(&mut b, start).await, (220 + 2020, 540));
}

#[tokio::test(start_paused = true)]
async fn in_peote_mode_the_lags_of_two_sends_add_up() {
    let shape = Shape::peote(20, NonZeroU64::new(1000).unwrap());
    let (a, mut b) = pair(shape.clone(), shape);
    let start = TokioInstant::now();
    write(&a, &[1; 100]).unwrap();
    write(&a, &[2; 100]).unwrap();
    assert_eq!(read(&mut b, start).await, (120, 100));
    assert_eq!(read(&mut b, start).await, (240, 100));
    write(&a, &[3; 2000]).unwrap();
    assert_eq!(read(&mut b, start).await, (240 + 2020, 2000), "one send is one message");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_is_woken_by_a_later_write() {
    let (a, mut b) = pair(lagging(20), Shape::default());
    let start = TokioInstant::now();
    let writer = tokio::spawn(async move {
        tokio::time::sleep(ms(100)).await;
        write(&a, b"late").unwrap();
        a
    });
    assert_eq!(read(&mut b, start).await, (120, 4));
    let a = writer.await.unwrap();
    a.set_shape(lagging(3));
    write(&a, b"fast").unwrap();
    assert_eq!(read(&mut b, start).await, (123, 4), "the new shape holds at once");
}

#[tokio::test(start_paused = true)]
async fn shutdown_closes_one_direction_after_what_is_under_way() {
    let (mut a, mut b) = pair(lagging(20), lagging(20));
    let start = TokioInstant::now();
    write(&a, b"last words").unwrap();
    a.shutdown();
    assert_eq!(write(&a, b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(read(&mut b, start).await, (20, 10));
    assert_eq!(read(&mut b, start).await, (20, 0));
    assert_eq!(read(&mut b, start).await, (20, 0), "the end stays the end");
    write(&b, b"answer").unwrap();
    assert_eq!(read(&mut a, start).await, (40, 6));
}

#[tokio::test(start_paused = true)]
async fn the_other_end_of_a_dropped_one_reads_the_rest_then_the_end_and_cannot_write() {
    let (a, mut b) = pair(lagging(20), Shape::default());
    let start = TokioInstant::now();
    write(&a, b"bye").unwrap();
    tokio::time::sleep(ms(5)).await;
    drop(a);
    assert_eq!(write(&b, b"hello?").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(read(&mut b, start).await, (20, 3));
    assert_eq!(read(&mut b, start).await, (25, 0), "the end travels with the lag too");
}

#[tokio::test(start_paused = true)]
async fn abort_loses_the_connection_at_once_for_both_ends() {
    for under_way in [&b""[..], b"never seen"] {
        let (a, mut b) = pair(lagging(1000), lagging(1000));
        let start = TokioInstant::now();
        write(&a, under_way).unwrap();
        let reader = tokio::spawn(async move {
            let error = b.read(&mut [0; 8]).await.unwrap_err();
            (error.kind(), b)
        });
        tokio::time::sleep(ms(3)).await;
        a.abort();
        let (kind, b) = timeout(ms(1), reader).await.expect("it was woken").unwrap();
        assert_eq!(kind, io::ErrorKind::ConnectionReset);
        assert_eq!(start.elapsed(), ms(3));
        let (mut reader, writer) = a.into_split();
        let error = reader.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        for refused in [write(&b, b"x"), writer.try_write_vectored(&[IoSlice::new(b"x")])] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_until_the_reader_has_read() {
    let bounded = Shape { buffer_bytes_max: 10, ..lagging(20) };
    let (a, mut b) = pair(bounded, Shape::default());
    let start = TokioInstant::now();
    assert_eq!(write(&a, &[0; 16]).unwrap(), 10, "as much as there is room for");
    assert_eq!(write(&a, &[0; 6]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let writer = tokio::spawn(async move {
        a.writable().await.unwrap();
        let at = start.elapsed();
        assert_eq!(write(&a, &[0; 6]).unwrap(), 6);
        at
    });
    // All has arrived at 20 ms, but only reading makes room.
    tokio::time::sleep(ms(50)).await;
    assert!(!writer.is_finished());
    assert_eq!(read(&mut b, start).await, (50, 10));
    assert_eq!(writer.await.unwrap(), ms(50));
    assert_eq!(read(&mut b, start).await, (70, 6));
}

/// What lets writers go on that wait for room, and the other end if that is kept.
fn releases() -> [fn(&End, End) -> Option<End>; 4] {
    [
        |_, b| {
            drop(b);
            None
        },
        |_, b| {
            b.abort();
            Some(b)
        },
        |a, b| {
            a.shutdown();
            Some(b)
        },
        |a, b| {
            a.set_shape(Shape { buffer_bytes_max: 2, ..Shape::default() });
            Some(b)
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn waiting_writers_all_go_on_when_the_connection_ends_or_grows() {
    for release in releases() {
        let (a, b) = pair(Shape { buffer_bytes_max: 1, ..Shape::default() }, Shape::default());
        let a = Arc::new(a);
        write(&a, b"x").unwrap();
        let writers = [(); 3].map(|()| {
            let a = Arc::clone(&a);
            tokio::spawn(async move { a.writable().await })
        });
        tokio::time::sleep(ms(1)).await;
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        let _kept = release(&a, b);
        for writer in writers {
            timeout(ms(1), writer).await.expect("it was woken").unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_reader_that_always_has_bytes_lets_other_tasks_run() {
    let (a, mut b) = pair(Shape::default(), Shape::default());
    let other = tokio::spawn(async {});
    let mut rounds = 0;
    poll_fn(|cx| {
        while !other.is_finished() {
            rounds += 1;
            assert!(rounds < 100_000, "the reader never gave way");
            write(&a, b"x").unwrap();
            let mut byte = [0];
            ready!(b.poll_read(cx, &mut ReadBuf::new(&mut byte)))?;
        }
        Poll::Ready(io::Result::Ok(()))
    })
    .await
    .unwrap();
}

const TRANSFER_BYTES: usize = 1 << 20;

/// A sequence of chunk lengths from 1 to `most`, the same for the same seed.
fn chunk_lengths(seed: u64, most: usize) -> impl FnMut() -> usize {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % most + 1
    }
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

async fn send(writer: WriteEnd, seed: u64) {
    let mut length = chunk_lengths(seed, 20_000);
    let mut at = 0;
    while at < TRANSFER_BYTES {
        let upto = (at + length()).min(TRANSFER_BYTES);
        let chunk: Vec<u8> = (at..upto).map(pattern).collect();
        let (head, tail) = chunk.split_at(chunk.len() / 3);
        match writer.try_write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]) {
            Ok(written) => at += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                writer.writable().await.unwrap();
            }
            Err(error) => panic!("at byte {at}: {error}"),
        }
    }
}

async fn receive(mut reader: ReadEnd, seed: u64) {
    let mut length = chunk_lengths(seed, 20_000);
    let mut bytes = vec![0; 20_000];
    let mut at = 0;
    loop {
        let read = reader.read(&mut bytes[..length()]).await.unwrap();
        if read == 0 {
            break;
        }
        assert!(bytes[..read].iter().enumerate().all(|(i, byte)| *byte == pattern(at + i)));
        at += read;
    }
    assert_eq!(at, TRANSFER_BYTES);
}

/// Moves a lot both ways at once; a wakeup that is missed would end in the timeout.
async fn exchange(a_to_b: Shape, b_to_a: Shape, seed: u64, patience: Duration) {
    let (a, b) = pair(a_to_b, b_to_a);
    let ((a_reader, a_writer), (b_reader, b_writer)) = (a.into_split(), b.into_split());
    let tasks = [
        tokio::spawn(send(a_writer, seed)),
        tokio::spawn(send(b_writer, seed.wrapping_add(1))),
        tokio::spawn(receive(a_reader, seed.wrapping_add(2))),
        tokio::spawn(receive(b_reader, seed.wrapping_add(3))),
    ];
    for task in tasks {
        timeout(patience, task).await.expect("no wakeup is missed").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lot_moves_both_ways_between_threads() {
    for seed in 0..20 {
        let buffer = |bytes| Shape { buffer_bytes_max: bytes, ..Shape::default() };
        let near = buffer(1 + (seed as usize * 977) % 9000 + 500);
        exchange(near, buffer(64 * 1024), seed, Duration::from_secs(60)).await;
    }
    let short = Shape { lag: Duration::from_micros(300), jitter: ms(1), ..Shape::default() };
    exchange(short.clone(), short, 99, Duration::from_secs(60)).await;
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (0..50u64, 0..20u64, prop_oneof![Just(0), 20_000..50_000_000u64], any::<u64>(), any::<bool>())
        .prop_flat_map(|(lag, jitter, speed, seed, accumulate)| {
            (2_000..300_000usize).prop_map(move |buffer_bytes_max| Shape {
                lag: ms(lag),
                jitter: ms(jitter),
                bytes_per_second: NonZeroU64::new(speed),
                seed,
                accumulate,
                buffer_bytes_max,
                pieces_max: crate::memory::PIECES_MAX,
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_lot_moves_both_ways_on_virtual_time(
        a_to_b in any_shape(),
        b_to_a in any_shape(),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(exchange(a_to_b, b_to_a, seed, Duration::from_secs(1_000_000)));
    }
}

#[tokio::test]
async fn what_is_under_way_is_charged_and_above_a_budget_nothing_is_added_to_it() {
    let limits = Limits { memory_bytes_max: 80 * 1024, ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let account = hub.account(None, "native");
    let (a, mut b) = pair(Shape::default(), Shape::default());
    a.writer.charge(&account, Purpose::Retained);
    write(&a, &[0; 1000]).unwrap();
    assert_eq!(account.used(), 0, "a small message costs nothing more");
    write(&a, &[0; 40_000]).unwrap();
    assert_eq!(account.used(), 48 * 1024);
    let others = account.charge(Purpose::Stored, 64 * 1024);
    assert_eq!(write(&a, b"more").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut room = pin!(a.writable());
    assert!(poll_fn(|cx| Poll::Ready(room.as_mut().poll(cx))).await.is_pending());
    b.read_exact(&mut [0; 41_000]).await.unwrap();
    assert_eq!(account.used(), 64 * 1024, "what has arrived is paid for by who has it");
    timeout(ms(1000), room).await.expect("whoever waits is told").unwrap();
    // One after the other goes on even so.
    let less = account.charge(Purpose::Stored, 64 * 1024);
    write(&a, b"one").unwrap();
    assert!(write(&a, b"two").is_err());
    let mut room = pin!(a.writable());
    assert!(poll_fn(|cx| Poll::Ready(room.as_mut().poll(cx))).await.is_pending());
    drop((others, less));
    b.read_exact(&mut [0; 3]).await.unwrap();
    timeout(ms(1000), room).await.expect("also when there is memory again before that").unwrap();
}
