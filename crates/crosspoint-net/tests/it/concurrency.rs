//! Many threads write to the same receivers at once. Whatever they do to each other, each receiver
//! reads what it has to read.

use crate::common::peer::{Peer, up};
use crate::common::{Dice, Link, serve, until, within};
use crosspoint_hub::command::ChannelEvent;
use crosspoint_hub::{Event, JoinedChannelId, MemberNumber, OwnedChannelId, Place};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SENDERS: usize = 8;
const RECEIVERS: usize = 4;
const MESSAGES: u32 = 400;

/// A message that says which it is: number, length, and bytes that follow from both.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(length as u32).to_be_bytes());
    bytes.extend((0..length).map(|index| (number as usize + index) as u8));
    bytes
}

/// Puts together what one sender sent, in whatever pieces it comes.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    next: u32,
}

impl Gathered {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some((head, rest)) = self.bytes.split_first_chunk::<8>() {
            let [a, b, c, d, e, f, g, h] = *head;
            let (number, length) =
                (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]) as usize);
            assert_eq!(number, self.next, "nothing is lost, doubled or out of order");
            if rest.len() < length {
                return;
            }
            let right = rest[..length]
                .iter()
                .enumerate()
                .all(|(index, byte)| *byte == (number as usize + index) as u8);
            assert!(right, "the bytes of message {number}");
            self.bytes.drain(..8 + length);
            self.next += 1;
        }
    }
}

async fn receive(mut owner: Peer, started: Arc<tokio::sync::Barrier>) {
    for _ in 0..SENDERS {
        owner.joined().await;
    }
    started.wait().await;
    let mut gathered: HashMap<MemberNumber, Gathered> = HashMap::new();
    let mut gone = 0;
    while gone < SENDERS {
        match owner.event().await {
            Event::Data { place: Place::Own(_, member), part } => {
                gathered.entry(member).or_default().add(&part.data);
            }
            Event::Channel(ChannelEvent::MemberLeft { member, .. }) => {
                // Nothing follows, and all that it sent was there before.
                let gathered = gathered.remove(&member).expect("it has sent something");
                assert_eq!((gathered.next, gathered.bytes.len()), (MESSAGES, 0));
                gone += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn send(
    seed: u64,
    mut member: Peer,
    numbers: Vec<JoinedChannelId>,
    start: Arc<tokio::sync::Barrier>,
) {
    start.wait().await;
    let mut dice = Dice(seed);
    let mut next = [0; RECEIVERS];
    let mut burst = Vec::new();
    while next.iter().any(|next| *next < MESSAGES) {
        let to = dice.below(RECEIVERS);
        if next[to] < MESSAGES {
            let length = match dice.below(10) {
                0 => dice.below(30_000),
                1..=3 => dice.below(3000),
                _ => dice.below(50),
            };
            burst.extend(member.bytes_of(up(numbers[to], &numbered(next[to], length))));
            next[to] += 1;
        }
        if dice.below(3) == 0 {
            member.link.send(&burst).await;
            burst.clear();
        }
    }
    member.link.send(&burst).await;
    member.link.finish();
    member.link.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_senders_share_four_receivers_of_tiny_buffers_and_nothing_is_lost() {
    let served = serve();
    let start = Arc::new(tokio::sync::Barrier::new(SENDERS + RECEIVERS));
    let mut tasks = Vec::new();
    for index in 0..RECEIVERS {
        let mut owner = match index {
            0 => Peer::joint(served.narrow().await),
            1 => Peer::native(served.narrow().await).await,
            2 => Peer::joint_ws(served.narrow().await).await,
            _ => Peer::native_ws(served.cramped(700)).await,
        };
        assert_eq!(owner.create(&format!("receiver {index}")).await, OwnedChannelId(0));
        tasks.push(tokio::spawn(receive(owner, start.clone())));
    }
    for seed in 0..SENDERS {
        let mut member = match seed % 4 {
            0 => Peer::joint(served.tcp().await),
            1 => Peer::native(served.tcp().await).await,
            2 => Peer::joint_ws(served.tcp().await).await,
            _ => Peer::native(served.memory()).await,
        };
        let mut numbers = Vec::new();
        for index in 0..RECEIVERS {
            numbers.push(member.enter(&format!("receiver {index}")).await);
        }
        tasks.push(tokio::spawn(send(seed as u64, member, numbers, start.clone())));
    }
    for task in tasks {
        within("all tasks end", task).await.unwrap();
    }
    served.empty().await;
}

/// One frame of the joint protocol from a server.
async fn frame(link: &mut Link) -> (u8, Vec<u8>) {
    let first = link.take(1).await[0];
    let size = match first {
        0 => usize::from(link.take(1).await[0]),
        0x80.. => usize::from(first & 0x7f) << 8 | usize::from(link.take(1).await[0]),
        short => usize::from(short),
    };
    (first, link.take(size).await.to_vec())
}

/// An owner that broadcasts numbers, and from time to time opens its channel anew.
async fn broadcast(mut link: Link, done: Arc<AtomicBool>) {
    let mut dice = Dice(99);
    let mut generation = 0u32;
    while !done.load(Ordering::Relaxed) {
        link.send(b"\0\0\x01\x05arena").await;
        // Pushes about members come as well.
        while frame(&mut link).await.1 != [1, 0, 0] {}
        for number in 0..200 + dice.below(800) as u32 {
            let mut message = generation.to_be_bytes().to_vec();
            message.extend_from_slice(&number.to_be_bytes());
            message.resize(8 + dice.below(60), 7);
            let mut bytes = vec![1, 1, message.len() as u8 + 1, 0x80];
            bytes.extend_from_slice(&message);
            link.send(&bytes).await;
        }
        link.send(&[0, 3, 0, 1, 0]).await;
        generation += 1;
    }
    // What is left unread would reset the connection before the last command is there.
    link.send(b"\0\0\x02\0").await;
    while frame(&mut link).await.1 != [2, 0, 0] {}
}

/// A member that comes and goes. Gives how many messages it read.
async fn churn(seed: u64, mut link: Link, done: Arc<AtomicBool>) -> u64 {
    let mut dice = Dice(seed);
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        link.send(b"\0\x01\x05\x05arena").await;
        // What belongs to the membership before may still come, until the reply.
        let (first, body) = loop {
            let (first, body) = frame(&mut link).await;
            if first == 0 && body[0] == 5 {
                break (first, body);
            }
        };
        assert_eq!(first, 0);
        if body[1] == 1 {
            assert_eq!(body[2], 1, "there is no such channel at this moment");
            // Nothing can come now, whichever of the others is there.
            continue;
        }
        assert_eq!(body, [5, 0, 0]);
        let mut expected: Option<(u32, u32)> = None;
        let mut patience = dice.below(300);
        loop {
            let (first, body) = frame(&mut link).await;
            if first == 0 {
                assert_eq!(body, [0, 2, 0, 0], "the owner has ended it on purpose");
                // After that there is no data before the next reply.
                link.send(b"\0\x01\x06\0").await;
                let (first, body) = frame(&mut link).await;
                assert_eq!((first, &body[..]), (0, &[6, 1, 1][..]));
                break;
            }
            assert_eq!(body[0], 0, "in number 0");
            let generation = u32::from_be_bytes([body[1], body[2], body[3], body[4]]);
            let number = u32::from_be_bytes([body[5], body[6], body[7], body[8]]);
            if let Some(expected) = expected {
                assert_eq!((generation, number), expected, "without a gap");
            }
            expected = Some((generation, number + 1));
            count += 1;
            if patience == 0 {
                link.send(&[0, 2, 0, 1, 0]).await;
                break;
            }
            patience -= 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_that_come_and_go_get_data_between_their_entry_and_their_end_alone() {
    let served = serve();
    let done = Arc::new(AtomicBool::new(false));
    let members_done = Arc::new(AtomicBool::new(false));
    let owner = tokio::spawn(broadcast(served.tcp().await, done.clone()));
    let mut members = Vec::new();
    for seed in 0..8 {
        let link = if seed % 2 == 0 { served.tcp().await } else { served.memory() };
        members.push(tokio::spawn(churn(seed, link, members_done.clone())));
    }
    let out = &served.hub.metrics.messages_out;
    until("enough has happened", || out.get() > 60_000).await;
    members_done.store(true, Ordering::Relaxed);
    for member in members {
        let count = within("members end", member).await.unwrap();
        assert!(count > 100, "{count}");
    }
    done.store(true, Ordering::Relaxed);
    within("the owner ends", owner).await.unwrap();
    served.empty().await;
}
