//! What waits for a receiver that does not read is bounded: who sends to it alone is slowed, who
//! sends to many goes on without it, and nothing is lost on the way to those who read.

use crate::common::peer::{Peer, to, up};
use crate::common::{Served, cram, serve, serve_with, until};
use crosspoint_hub::command::{ChannelEvent, Command, Target};
use crosspoint_hub::{JoinedChannelId, OwnedChannelId, Part, Reason};
use crosspoint_net::memory::Shape;
use std::num::NonZero;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const BOUND: usize = 256 * 1024;
/// What the hub reads at once.
const READ: usize = 64 * 1024;

fn bounded(bytes: usize) -> Served {
    serve_with(|hub| hub.limits.outbox_bytes_max = bytes)
}

/// Numbered messages of a size, encoded one after the other, and what their receiver gets.
fn numbered(
    count: u32,
    size: usize,
    mut encode: impl FnMut(&[u8]) -> Vec<u8>,
) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut data) = (Vec::new(), Vec::new());
    for number in 0..count {
        let message: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(size).collect();
        bytes.extend_from_slice(&encode(&message));
        data.extend_from_slice(&message);
    }
    (bytes, data)
}

/// A member sends to an owner that does not read.
async fn slowed(bound: usize, size: usize, native: bool) {
    let served = bounded(bound);
    let (mut owner, mut member) = if native {
        let owner = Peer::native(served.cramped(1000)).await;
        (owner, Peer::native(served.memory()).await)
    } else {
        (Peer::joint(served.cramped(1000)), Peer::joint(served.memory()))
    };
    owner.create("room").await;
    let number = member.enter("room").await;
    // More than fits into the outbox and into the connection.
    let count = (1024 * 1024 / (size + 2)) as u32;
    let (bytes, data) = numbered(count, size, |message| member.bytes_of(up(number, message)));

    let before = served.hub.metrics.bytes_in.get();
    let sent = cram(&member.link, &bytes).await;
    assert!(sent < bytes.len(), "the sender is stopped");
    let taken = (served.hub.metrics.bytes_in.get() - before) as usize;
    assert!(taken <= bound + READ, "the hub took {taken} bytes in messages of {size}");
    assert!(taken >= bound / 4, "it took no more than {taken} bytes in messages of {size}");
    assert!(served.hits("outbox_bytes_max") > 0);

    let (_, gathered) = tokio::join!(member.link.send(&bytes[sent..]), owner.gather(data.len()));
    assert!(gathered == data, "complete and in order");
    assert_eq!(served.closed(Reason::SlowReceiver), 0);
    assert_eq!(served.hub.sessions(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_to_one_that_does_not_read_is_slowed_and_nothing_is_lost() {
    for size in [1, 100, 5000, 30_000] {
        slowed(BOUND, size, false).await;
        slowed(BOUND, size, true).await;
    }
    // The smallest outbox that can be set is no larger than one read.
    slowed(READ, 1, false).await;
    slowed(READ, 32_000, true).await;
}

#[tokio::test(start_paused = true)]
async fn many_senders_to_one_that_does_not_read_are_all_slowed() {
    let served = bounded(BOUND);
    let mut owner = Peer::native(served.cramped(1000)).await;
    owner.create("room").await;
    let mut senders = Vec::new();
    for _ in 0..16 {
        let mut member = Peer::joint(served.memory());
        let number = member.enter("room").await;
        let (bytes, _) = numbered(2000, 200, |message| member.bytes_of(up(number, message)));
        senders.push((member, bytes, 0));
    }
    let before = served.hub.metrics.bytes_in.get();
    for (member, bytes, sent) in &mut senders {
        *sent = cram(&member.link, bytes).await;
    }
    let taken = (served.hub.metrics.bytes_in.get() - before) as usize;
    // Each may have been read once before it was known that it has to wait.
    assert!(taken <= BOUND + 16 * READ, "the hub took {taken} bytes");
    assert_eq!(served.closed(Reason::SlowReceiver), 0);

    let rest = senders.iter().map(|(member, bytes, sent)| member.link.send(&bytes[*sent..]));
    let all = futures(rest);
    let (_, gathered) = tokio::join!(all, owner.gather(16 * 2000 * 200));
    assert_eq!(gathered.len(), 16 * 2000 * 200);
}

/// Waits for all of them together.
async fn futures(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut open: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        open.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if open.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_goes_on_without_the_one_that_does_not_read() {
    // Small enough to be copied for each of them, as long as little waits.
    const SMALL: usize = 500;
    let served = serve_with(|hub| {
        hub.limits.outbox_bytes_max = 100_000;
        hub.limits.channel_bytes_max = 300_000;
    });
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut stalled = Peer::joint(served.cramped(1));
    stalled.enter("room").await;
    let mut healthy = [Peer::joint(served.memory()), Peer::native(served.memory()).await];
    for peer in &mut healthy {
        peer.enter("room").await;
    }
    owner.settle().await;
    let mut count = 0_usize;
    let events = loop {
        owner.broadcast(own, &[count as u8; SMALL]).await;
        count += 1;
        let events = owner.settle().await;
        for peer in &mut healthy {
            assert_eq!(peer.gather(SMALL).await, [(count - 1) as u8; SMALL]);
        }
        if !events.is_empty() {
            break events;
        }
    };
    // Copies of the first 64 KiB wait, and then what is kept once for all who lag.
    assert!((340_000..380_000).contains(&(SMALL * count)), "{count}");
    let left = events.iter().filter(|event| {
        matches!(event, crosspoint_hub::Event::Channel(ChannelEvent::MemberLeft { member, reason, .. })
            if member.0 == 0 && *reason == Reason::ConnectionLost)
    });
    assert_eq!((left.count(), events.len()), (1, 1));
    assert_eq!(served.closed(Reason::SlowReceiver), 1);
    assert_eq!((served.hits("outbox_bytes_max"), served.hits("channel_bytes_max")), (0, 1));
    until("it is gone", || served.hub.sessions() == 3).await;
    assert!(stalled.link.rest().await.len() < 100, "what waited was thrown away");
}

/// A broadcast of `bytes` in frames of 30,000, each of them numbered.
fn large(owner: &mut Peer, own: OwnedChannelId, bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let count = u32::try_from(bytes / 30_000).expect("not so much");
    numbered(count, 30_000, |message| {
        owner.bytes_of(Command::Send {
            to: Target::Everyone(own, None),
            part: Part::whole(message.to_vec()),
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_large_broadcast_reaches_a_member_behind_a_slow_line_as_long_as_it_reads() {
    // Some programs write no more than 512 bytes at a time, and the hub reads what is there.
    for written in [12_000_000, 512, 60] {
        a_large_broadcast_in_writes_of(written).await;
    }
}

async fn a_large_broadcast_in_writes_of(written: usize) {
    let served = serve();
    let mut owner = Peer::joint(served.memory());
    let own = owner.create("room").await;
    // 10 Mbit/s.
    let shape = Shape { bytes_per_second: NonZero::new(1_250_000), ..Shape::default() };
    let mut slow = Peer::joint(served.slow(shape));
    let mut fast = Peer::joint(served.memory());
    for peer in [&mut slow, &mut fast] {
        peer.enter("room").await;
    }
    let (bytes, data) = large(&mut owner, own, 12_000_000);
    let begun = Instant::now();
    let ((), fast, slow) = tokio::join!(
        async {
            for write in bytes.chunks(written) {
                owner.link.send(write).await;
                tokio::task::yield_now().await;
            }
        },
        async {
            let gathered = fast.gather(data.len()).await;
            (gathered, begun.elapsed())
        },
        slow.gather(data.len()),
    );
    assert_eq!(served.closed(Reason::SlowReceiver), 0, "in writes of {written}");
    assert!(fast.0 == data && slow == data, "whole and in order");
    assert!(fast.1 < Duration::from_secs(1), "nobody waits for the slow one: {:?}", fast.1);
    assert!(begun.elapsed() >= Duration::from_secs(9));
    assert_eq!(served.metric(SHARED), Some(0.0));
}

const SHARED: &str = r#"crosspoint_memory_bytes{purpose="shared",protocol="hub"}"#;

#[tokio::test]
async fn broadcasts_in_a_burst_reach_all_who_read() {
    let served = serve();
    let mut owner = Peer::joint(served.tcp().await);
    let own = owner.create("room").await;
    let mut members = Vec::new();
    for _ in 0..4 {
        let mut member = Peer::joint(served.tcp().await);
        member.enter("room").await;
        members.push(member);
    }
    let (bytes, data) = large(&mut owner, own, 36_000_000);
    let readers = members.iter_mut().map(|member| async {
        let mut gathered = 0;
        while gathered < data.len() {
            let some = member.gather(1_000_000.min(data.len() - gathered)).await;
            assert!(some == data[gathered..gathered + some.len()]);
            gathered += some.len();
        }
    });
    tokio::join!(owner.link.send(&bytes), futures(readers));
    assert_eq!(served.closed(Reason::SlowReceiver), 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_budget_of_a_channel_the_member_that_lags_most_goes_first() {
    const BUDGET: usize = 1_000_000;
    let served = serve_with(|hub| hub.limits.channel_bytes_max = BUDGET);
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut stalled = Peer::joint(served.cramped(1));
    stalled.enter("room").await;
    let mut late = Peer::joint(served.cramped(1));
    let mut healthy = Peer::joint(served.memory());
    healthy.enter("room").await;
    let mut sent = 0;
    let mut say = async |owner: &mut Peer, healthy: &mut Peer| {
        owner.broadcast(own, &[7; 30_000]).await;
        assert_eq!(healthy.gather(30_000).await.len(), 30_000);
        sent += 30_000;
        sent
    };
    for _ in 0..10 {
        say(&mut owner, &mut healthy).await;
    }
    late.enter("room").await;
    owner.settle().await;
    while served.closed(Reason::SlowReceiver) == 0 {
        let sent = say(&mut owner, &mut healthy).await;
        owner.settle().await;
        let shared = served.metric(SHARED).expect("it is shown");
        assert!(shared <= BUDGET as f64, "{shared} of {sent} bytes wait");
    }
    until("the slowest is gone", || served.hub.sessions() == 3).await;
    assert_eq!(served.closed(Reason::SlowReceiver), 1);
    assert_eq!(served.hits("channel_bytes_max"), 1);
    assert!(stalled.link.rest().await.len() < 100_000, "it is the one that came first");
    // The other one may lag as far.
    for _ in 0..5 {
        say(&mut owner, &mut healthy).await;
    }
    owner.settle().await;
    assert_eq!(served.closed(Reason::SlowReceiver), 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_for_too_long_is_disconnected() {
    let served = bounded(BOUND);
    let mut owner = Peer::joint(served.memory());
    let own = owner.create("room").await;
    let mut member = Peer::joint(served.cramped(10));
    let number = member.enter("room").await;
    let told = owner.joined().await;
    owner.send_to(own, told, &[7; 100]).await;
    let begun = Instant::now();
    assert_eq!(owner.left().await, (told, Reason::ConnectionLost));
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(served.closed(Reason::SlowReceiver), 1);
    assert_eq!(served.hits("outbox_stall_ms_max"), 1);
    assert_eq!(served.hits("outbox_bytes_max"), 0, "no more than the message ever waited");
    assert_eq!(number, JoinedChannelId(0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_has_to_take_its_share_each_time_and_not_a_little_now_and_then() {
    for (taken, stays) in [(BOUND / 64, true), (BOUND / 64 - 1, false)] {
        let served = bounded(BOUND);
        let mut owner = Peer::joint(served.memory());
        let own = owner.create("room").await;
        let mut member = Peer::joint(served.cramped(taken));
        member.enter("room").await;
        let told = owner.joined().await;
        owner.send_to(own, told, &[7; BOUND / 4]).await;
        let slowly = async {
            for _ in 0..8 {
                sleep(Duration::from_secs(29)).await;
                member.link.fill().await;
            }
        };
        tokio::select! {
            () = slowly => assert!(stays, "it is not disconnected"),
            gone = owner.left() => {
                assert_eq!(gone, (told, Reason::ConnectionLost));
                assert!(!stays, "it is disconnected");
            }
        }
        assert_eq!(served.hits("outbox_stall_ms_max"), u64::from(!stays));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_without_end_and_reads_nothing_is_disconnected_by_time_as_well() {
    let served = serve_with(|hub| hub.limits.outbox_stall_max = Duration::from_secs(2));
    let mut owner = Peer::joint(served.memory());
    let own = owner.create("room").await;
    let mut member = Peer::joint(served.cramped(1));
    let number = member.enter("room").await;
    let told = owner.joined().await;
    owner.send_to(own, told, b"stuck").await;
    owner.settle().await;
    // The owner takes what comes, so the member is always ready to be read.
    let data = member.bytes_of(up(number, &[1; 20_000]));
    let flood = async {
        loop {
            member.link.send(&data).await;
            sleep(Duration::from_micros(100)).await;
        }
    };
    tokio::select! {
        () = flood => {}
        gone = owner.left() => assert_eq!(gone, (told, Reason::ConnectionLost)),
    }
    assert_eq!(served.hits("outbox_stall_ms_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_own_replies_harms_only_itself() {
    let served = bounded(BOUND);
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    for native in [false, true] {
        let mut member = if native {
            Peer::native(served.cramped(1000)).await
        } else {
            Peer::joint(served.cramped(1000))
        };
        member.enter("room").await;
        let told = owner.joined().await;
        let ping = [9, 4, 1, 2, 3, 4, 5, 6, 7, 8];
        let question: &[u8] = if native { &ping } else { b"\0\x01\x09\x01?" };
        let before = served.hub.metrics.bytes_in.get();
        cram(&member.link, &question.repeat(200_000)).await;
        assert_eq!(owner.left().await, (told, Reason::ConnectionLost));
        let taken = (served.hub.metrics.bytes_in.get() - before) as usize;
        assert!(taken <= BOUND + 2 * READ, "the hub took {taken} bytes");
    }
    assert_eq!(served.closed(Reason::SlowReceiver), 2);
    assert_eq!(own, OwnedChannelId(0));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_slowed_is_not_taken_for_silent() {
    let served = serve_with(|hub| {
        hub.limits.outbox_bytes_max = BOUND;
        hub.limits.idle_max = Some(Duration::from_secs(60));
        hub.limits.outbox_stall_max = Duration::from_secs(3000);
    });
    let mut owner = Peer::joint(served.cramped(1000));
    owner.create("room").await;
    let mut member = Peer::native(served.memory()).await;
    let number = member.enter("room").await;
    let (bytes, data) = numbered(1000, 1000, |message| member.bytes_of(up(number, message)));
    let sent = cram(&member.link, &bytes).await;
    assert!(sent < bytes.len());
    // Far longer than the heartbeat allows, in small sips so that the owner is not silent.
    for _ in 0..20 {
        sleep(Duration::from_secs(50)).await;
        owner.link.send(b"\x80\0").await;
    }
    let (_, gathered) = tokio::join!(member.link.send(&bytes[sent..]), owner.gather(data.len()));
    assert!(gathered == data);
    assert_eq!(served.hits("heartbeat_missed_max") + served.hits("idle_s_max"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_peote_client_is_not_told_over_and_over_that_the_hub_lives() {
    let served = serve_with(|hub| {
        hub.limits.outbox_bytes_max = READ;
        hub.limits.outbox_stall_max = Duration::from_secs(600);
    });
    let mut owner = Peer::joint(served.memory());
    let own = owner.create("room").await;
    let mut member = Peer::joint(served.cramped(10));
    member.enter("room").await;
    let told = owner.joined().await;
    owner.send_to(own, told, &[7; 100]).await;
    sleep(Duration::from_secs(599)).await;
    assert_eq!(member.gather(100).await, [7; 100]);
    assert_eq!(served.hub.sessions(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_that_goes_goes_on_at_once() {
    let served = bounded(BOUND);
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut stalled = Peer::native(served.cramped(1000)).await;
    stalled.enter("room").await;
    let first = owner.joined().await;
    let mut other = Peer::joint(served.memory());
    other.enter("room").await;
    let second = owner.joined().await;
    let (bytes, _) = numbered(2000, 1000, |message| owner.bytes_of(to(own, first, message)));
    let sent = cram(&owner.link, &bytes).await;
    assert!(sent < bytes.len());
    // It says goodbye and does not read: its session lingers, but nobody waits for that.
    let begun = Instant::now();
    let close = [2, 3, 24];
    stalled.link.send(&close).await;
    let rest = async {
        owner.link.send(&bytes[sent..]).await;
        owner.send_to(own, second, b"next").await;
    };
    let ((), got) = tokio::join!(rest, other.data());
    assert_eq!(got.1, "next");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn goodbye_comes_after_all_that_was_sent_before_however_slow_the_receiver() {
    let served = bounded(BOUND);
    let mut owner = Peer::joint(served.cramped(1000));
    owner.create("room").await;
    for native in [true, false] {
        let mut member =
            if native { Peer::native(served.memory()).await } else { Peer::joint(served.memory()) };
        let number = member.enter("room").await;
        let (mut bytes, data) = numbered(600, 1000, |message| member.bytes_of(up(number, message)));
        if native {
            bytes.extend_from_slice(&[2, 3, 24]);
        }
        let sent = async {
            member.link.send(&bytes).await;
            member.link.finish();
        };
        let late = async {
            sleep(Duration::from_secs(20)).await;
            owner.gather(data.len()).await
        };
        let ((), gathered) = tokio::join!(sent, late);
        assert!(gathered == data);
        let reason = if native { Reason::Left } else { Reason::ConnectionLost };
        assert_eq!(owner.left().await.1, reason);
    }
}

/// An owner sends so many bytes a second to each of three members. The first takes so many bytes a
/// second, the others all. Gives the longest time for which the last one got nothing until the first one
/// is disconnected, and for a second more.
async fn longest_silence(
    served: &Served,
    mut peers: [Peer; 4],
    sends: usize,
    takes: usize,
) -> Duration {
    const SIZE: usize = 4000;
    let [owner, slow, quick, last] = &mut peers;
    let own = owner.create("room").await;
    let mut numbers = Vec::new();
    for member in [&mut *slow, &mut *quick, &mut *last] {
        member.enter("room").await;
        numbers.push(owner.joined().await);
    }
    let silence = std::cell::Cell::new(Duration::ZERO);
    let pause = |bytes: usize, rate: usize| Duration::from_secs_f64(bytes as f64 / rate as f64);
    let says = async {
        loop {
            for number in &numbers {
                owner.send_to(own, *number, &[7; SIZE]).await;
            }
            sleep(pause(SIZE, sends)).await;
        }
    };
    let hears = async {
        let (mut at, mut longest) = (Instant::now(), Duration::ZERO);
        loop {
            last.gather(SIZE).await;
            longest = longest.max(at.elapsed());
            at = Instant::now();
            tokio::task::yield_now().await;
            silence.set(longest);
        }
    };
    let sleeps = async {
        while takes > 0 && slow.link.fill().await {
            let taken = slow.link.input.split().len();
            sleep(pause(taken, takes)).await;
        }
        std::future::pending::<()>().await;
    };
    let gone = async {
        until("it is gone", || served.closed(Reason::SlowReceiver) == 1).await;
        sleep(Duration::from_secs(1)).await;
    };
    let reads = async { while quick.link.fill().await {} };
    tokio::select! {
        () = says => {}
        () = hears => {}
        () = sleeps => {}
        () = reads => {}
        () = gone => {}
    }
    silence.take()
}

const LONGEST_SILENCE: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn one_member_that_stops_or_is_slow_holds_up_no_other() {
    for (native, sends, takes) in [
        (false, 120_000, 0),
        (false, 200_000, 60_000),
        (false, 1_000_000, 2_200),
        (true, 200_000, 60_000),
    ] {
        let served = serve_with(|_| {});
        let mut peers = Vec::new();
        for index in 0..4 {
            let link = if index == 1 { served.cramped(16_384) } else { served.memory() };
            peers.push(if native { Peer::native(link).await } else { Peer::joint(link) });
        }
        let peers = four(peers);
        let longest = longest_silence(&served, peers, sends, takes).await;
        assert!(longest <= LONGEST_SILENCE, "{longest:?} at {sends} and {takes} bytes a second");
        assert_eq!(served.closed(Reason::SlowReceiver), 1);
    }
}

#[tokio::test]
async fn one_member_that_stops_holds_up_no_other_over_tcp() {
    let served = bounded(BOUND);
    let mut peers = Vec::new();
    for index in 0..4 {
        peers.push(Peer::joint(if index == 1 {
            served.narrow().await
        } else {
            served.tcp().await
        }));
    }
    let peers = four(peers);
    let longest = longest_silence(&served, peers, 2_000_000, 0).await;
    assert!(longest <= LONGEST_SILENCE, "{longest:?}");
}

#[tokio::test]
async fn probes_and_frames_that_are_skipped_count_against_the_rate() {
    const COUNT: usize = 300;
    let ping = [9, 4, 1, 2, 3, 4, 5, 6, 7, 8];
    let skipped = [2, 0x9f, 1];
    let ws_ping = [0x89, 0x80, 0, 0, 0, 0];
    for (question, websocket) in [(&ping[..], false), (&skipped[..], false), (&ws_ping[..], true)] {
        let served = serve_with(|hub| {
            hub.limits.messages_per_second_max = 100;
            hub.limits.loopback_exempt = false;
        });
        let mut peer = match websocket {
            true => Peer::native_ws(served.tcp().await).await,
            false => Peer::native(served.tcp().await).await,
        };
        peer.link.send(&question.repeat(COUNT)).await;
        let hit = || served.hits("messages_per_second_max") > 0;
        until("it is read more slowly", hit).await;
        let begun = Instant::now();
        peer.settle().await;
        assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    }
}

fn four(peers: Vec<Peer>) -> [Peer; 4] {
    peers.try_into().unwrap_or_else(|_| panic!("four"))
}
