//! Writers of several threads, while the session changes its connection.

use super::*;
use crate::memory::{Shape, pair};
use crate::reading::read;
use bytes::BytesMut;
use crosspoint_hub::testing::Dice;
use crosspoint_hub::{Hub, HubOptions};

fn admission() -> Admission {
    Hub::new(HubOptions::default()).admit(None).unwrap()
}

fn narrow(bytes: usize) -> Shape {
    Shape { buffer_bytes_max: bytes, pieces_max: 4, ..Shape::default() }
}

/// Moves writers after so many bytes. The way holds `way` bytes, and the next connection `next`.
async fn moved_at(bytes: usize, way: usize, next: usize) {
    const WRITERS: u8 = 4;
    const RECORDS: u8 = 100;
    let (near, far) = pair(narrow(way), Shape::default());
    let handover = Handover::new(admission());
    let (_, near) = near.into_split();
    let writer = Writer::Moving(Box::new(MovingWriter::new(near, handover.clone())));
    // One writes at a time, as from an outbox.
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    let writers: Vec<_> = (0..WRITERS)
        .map(|who| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut dice = Dice(who.into());
                for number in 0..RECORDS {
                    let fill = dice.below(60) as u8;
                    let record = [&[who, number, fill][..], &vec![who; fill.into()]].concat();
                    writer.lock().await.write_all(&record).await.unwrap();
                }
            })
        })
        .collect();

    let (out, end) = pair(narrow(next), Shape::default());
    let (_unread, out) = out.into_split();
    let (end, _unwritten) = end.into_split();
    let (far, _) = far.into_split();
    let moving = tokio::spawn(async move {
        let out = Writer::Memory(out);
        let mut far = Reader::Memory(far);
        let mut carried = 0;
        loop {
            let Reader::Memory(way) = &far else { unreachable!() };
            if carried >= bytes {
                way.hold();
                if way.is_empty() {
                    handover.move_writers(way, out);
                    return;
                }
            }
            let bytes = read(&mut far).await.unwrap();
            carried += bytes.len();
            out.write_all(&bytes).await.unwrap();
        }
    });
    let reading = tokio::spawn(async move {
        let mut end = Reader::Memory(end);
        let mut heard = [0; WRITERS as usize];
        let mut input = BytesMut::new();
        loop {
            let bytes = read(&mut end).await.unwrap();
            if bytes.is_empty() {
                break;
            }
            input.extend_from_slice(&bytes);
            while let &[who, number, fill, ..] = &input[..]
                && input.len() >= 3 + usize::from(fill)
            {
                let record = input.split_to(3 + usize::from(fill));
                assert!(record[3..].iter().all(|byte| *byte == who));
                assert_eq!(number, heard[usize::from(who)], "of {who}");
                heard[usize::from(who)] += 1;
            }
        }
        assert!(input.is_empty());
        heard
    });
    for writing in writers {
        writing.await.unwrap();
    }
    moving.await.unwrap();
    writer.lock().await.shutdown();
    assert_eq!(reading.await.unwrap(), [RECORDS; WRITERS as usize]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wherever_it_is_moved_no_byte_is_lost_doubled_or_overtaken() {
    for at in (0..60).step_by(3) {
        moved_at(at, 1 + at % 7, 1 + at % 5).await;
        moved_at(at * 50, 1 + at * 13, 1 + at * 7).await;
    }
}

#[tokio::test]
async fn a_writer_that_waits_for_room_goes_on_elsewhere() {
    let (near, far) = pair(narrow(1), Shape::default());
    let handover = Handover::new(admission());
    let (_, near) = near.into_split();
    let (far, _far_writer) = far.into_split();
    let writer = Writer::Moving(Box::new(MovingWriter::new(near, handover.clone())));
    far.hold();
    let writing = tokio::spawn(async move { writer.write_all(b"moved").await.map(|()| writer) });
    tokio::task::yield_now().await;
    let (out, end) = pair(Shape::default(), Shape::default());
    let (_, out) = out.into_split();
    handover.move_writers(&far, Writer::Memory(out));
    let writer = writing.await.unwrap().unwrap();
    let (end, _) = end.into_split();
    assert_eq!(read(&mut Reader::Memory(end)).await.unwrap(), "moved");
    drop(writer);
}
