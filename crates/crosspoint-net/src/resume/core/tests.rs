//! Two sides, and connections between them that break at any byte.

use super::*;
use crosspoint_hub::input::Input;
use proptest::prelude::*;
use std::collections::VecDeque;

const WINDOW: u32 = 3000;

fn agreed() -> Agreed {
    Agreed { window: WINDOW, heartbeat: Duration::from_secs(5) }
}

/// One side: what it was given to send, and what came out.
struct Half {
    flow: Flow,
    given: VecDeque<Bytes>,
    all: Vec<u8>,
    came: Vec<u8>,
}

impl Half {
    fn new(now: Instant, side: Side, given: Vec<Bytes>) -> Self {
        let all = given.iter().flatten().copied().collect();
        let given = given.into();
        Self { flow: Flow::new(now, side, agreed()), given, all, came: Vec::new() }
    }

    /// Takes what may be taken, hands on up to `count` bytes, and says what there is to say.
    fn step(&mut self, now: Instant, count: usize) -> Vec<u8> {
        while !self.flow.is_full()
            && let Some(bytes) = self.given.pop_front()
        {
            self.flow.send(now, bytes);
        }
        if self.given.is_empty() {
            self.flow.finish();
        }
        let arrived: Vec<u8> = self.flow.arrived().flatten().copied().take(count).collect();
        self.flow.handed_on(now, arrived.len());
        self.came.extend(arrived);
        let mut out = FrameWriter::default();
        self.flow.fill(now, 700, &mut out);
        out.take().pieces().flatten().copied().collect()
    }

    fn read(&mut self, now: Instant, input: &mut Input, bytes: &[u8]) {
        input.push(Bytes::copy_from_slice(bytes));
        self.flow.heard(now);
        while let Some(record) = Record::next(input).unwrap() {
            self.flow.receive(now, record).unwrap();
        }
    }

    fn is_done(&self, other: &Self) -> bool {
        self.flow.is_settled() && self.came.len() == other.all.len()
    }
}

/// A native stream: magic bytes at the client, then frames.
fn stream(side: Side, lengths: &[usize]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    if side == Side::Client {
        pieces.push(Bytes::from_static(b"XPT1"));
    }
    for (index, length) in lengths.iter().enumerate() {
        let mut frame = Vec::new();
        crosspoint_proto::frame::put_varint(*length as u32, &mut frame);
        frame.resize(frame.len() + length, index as u8);
        pieces.push(frame.into());
    }
    pieces
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1..40usize, 1..40usize, 1..5000usize], 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_connections_do_each_byte_comes_once_and_in_order(
        out in lengths(),
        back in lengths(),
        // For each connection: bytes that pass in each direction before it breaks.
        cuts in proptest::collection::vec((0..2500usize, 0..2500usize), 0..25),
        paces in proptest::collection::vec(0..900usize, 1..20),
        last_words in any::<bool>(),
    ) {
        let mut now = Instant::now();
        let mut client = Half::new(now, Side::Client, stream(Side::Client, &out));
        let mut hub = Half::new(now, Side::Hub, stream(Side::Hub, &back));
        let mut paces = paces.iter().copied().cycle();
        let endless = std::iter::once((usize::MAX, usize::MAX));
        for (mut there, mut back) in cuts.into_iter().chain(endless) {
            let (sent, received) = client.flow.totals();
            prop_assert!(hub.flow.fits(received.bytes, sent.bytes));
            let told = hub.flow.totals().1.bytes;
            hub.flow.attach(now, received.bytes, told).unwrap();
            client.flow.attach(now, told, received.bytes).unwrap();
            let (mut to_hub, mut to_client) = (Input::default(), Input::default());
            let mut idle = 0;
            while there > 0 && back > 0 && idle < 60 {
                now += Duration::from_millis(30);
                let pace = paces.next().unwrap();
                let mut moved = 0;
                let said = client.step(now, pace);
                let passed = said.len().min(there);
                hub.read(now, &mut to_hub, &said[..passed]);
                there -= passed;
                moved += passed;
                let said = hub.step(now, pace);
                let passed = said.len().min(back);
                // A break in one direction may let the other finish, or not.
                if there > 0 || last_words {
                    client.read(now, &mut to_client, &said[..passed]);
                }
                back -= passed;
                moved += passed;
                idle = if moved == 0 { idle + 1 } else { 0 };
                prop_assert!(client.flow.sending.kept.len() <= WINDOW as usize + 5005);
                prop_assert!(client.flow.receiving.waiting.len() <= WINDOW as usize);
            }
        }
        if paces.clone().take(20).any(|pace| pace > 0) {
            prop_assert!(client.is_done(&hub) && hub.is_done(&client));
            prop_assert!(client.flow.is_over() && hub.flow.is_over());
        }
        prop_assert_eq!(&hub.came[..], &client.all[..hub.came.len()]);
        prop_assert_eq!(&client.came[..], &hub.all[..client.came.len()]);
        let ((sent, _), (_, received)) = (client.flow.totals(), hub.flow.totals());
        if received.bytes == client.all.len() as u64 {
            prop_assert_eq!(received, sent);
            prop_assert_eq!(sent.frames, Some(out.len() as u64));
        }
    }

    #[test]
    fn records_of_any_kind_break_nothing_but_the_rules(
        records in proptest::collection::vec((0..6u8, 0..7000u64, 1..2000usize), 1..60),
    ) {
        let now = Instant::now();
        let mut flow = Flow::new(now, Side::Hub, agreed());
        flow.attach(now, 0, 0).unwrap();
        let mut out = FrameWriter::default();
        for (kind, number, length) in records {
            flow.send(now, vec![1; length / 8].into());
            flow.fill(now, 500, &mut out);
            let record = match kind {
                0 => Record::Ack(number),
                1 => Record::Closed(number),
                2 => Record::Ping(number),
                3 => Record::Pong(number),
                _ => Record::Data { offset: (number % 4000) as u32, bytes: vec![0; length].into() },
            };
            let before = (flow.sending.acknowledged, flow.receiving.received());
            let result = flow.receive(now, record);
            prop_assert!(flow.receiving.waiting.len() <= WINDOW as usize);
            prop_assert!(flow.sending.acknowledged <= flow.sending.furthest);
            prop_assert!(flow.sending.furthest <= flow.sending.acknowledged + u64::from(WINDOW));
            if result.is_err() {
                let after = (flow.sending.acknowledged, flow.receiving.received());
                prop_assert_eq!(before, after);
            }
            flow.handed_on(now, length % 3);
        }
    }
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged_and_what_was_given_up_not_asked_for() {
    let now = Instant::now();
    let mut flow = Flow::new(now, Side::Hub, agreed());
    let mut out = FrameWriter::default();
    flow.send(now, vec![0; 100].into());
    assert!(flow.fits(0, 0) && !flow.fits(1, 0), "nothing was transmitted so far");
    assert_eq!(flow.receive(now, Record::Ack(1)), Err(Violation::Offset));
    flow.fill(now, 1000, &mut out);
    assert_eq!(flow.receive(now, Record::Ack(101)), Err(Violation::Offset));
    assert_eq!(flow.receive(now, Record::Ack(60)), Ok(()));
    assert_eq!(flow.receive(now, Record::Ack(59)), Err(Violation::Offset));
    assert!(flow.fits(60, 0) && flow.fits(100, 0));
    assert!(!flow.fits(59, 0) && !flow.fits(101, 0));
    assert_eq!(flow.attach(now, 59, 0), Err(Violation::Offset));
}

#[test]
fn gaps_overruns_and_data_after_the_end_are_violations_and_duplicates_are_not() {
    let now = Instant::now();
    let mut flow = Flow::new(now, Side::Client, agreed());
    let data = |offset: u32, length: usize| Record::Data { offset, bytes: vec![5; length].into() };
    assert_eq!(flow.receive(now, data(1, 1)), Err(Violation::Gap));
    assert_eq!(flow.receive(now, data(0, WINDOW as usize + 1)), Err(Violation::Overrun));
    assert_eq!(flow.receive(now, data(0, WINDOW as usize)), Ok(()));
    assert_eq!(flow.receive(now, data(WINDOW, 1)), Err(Violation::Overrun));
    flow.handed_on(now, 10);
    assert_eq!(flow.receive(now, data(WINDOW - 5, 15)), Ok(()));
    assert_eq!(flow.receiving.received(), u64::from(WINDOW) + 10);
    assert_eq!(flow.receive(now, data(0, 20)), Ok(()), "known from the beginning to the end");
    assert_eq!(flow.receive(now, Record::Closed(1)), Err(Violation::Gap));
    assert_eq!(flow.receive(now, Record::Closed(u64::from(WINDOW) + 10)), Ok(()));
    flow.handed_on(now, 100);
    assert_eq!(flow.receive(now, data(WINDOW + 10, 1)), Err(Violation::AfterEnd));
    assert_eq!(
        flow.receive(now, Record::Refused(crosspoint_hub::Reason::Bye)),
        Err(Violation::Unexpected)
    );
}

#[test]
fn acknowledgements_come_after_a_quarter_of_the_window_or_a_fifth_of_a_second() {
    let now = Instant::now();
    let mut flow = Flow::new(now, Side::Hub, agreed());
    let said = |flow: &mut Flow, now: Instant| {
        let mut out = FrameWriter::default();
        flow.fill(now, 0, &mut out);
        let mut input = Input::default();
        input.push(out.take().first);
        Record::next(&mut input).unwrap()
    };
    flow.receive(now, Record::Data { offset: 0, bytes: vec![0; 1000].into() }).unwrap();
    assert_eq!(said(&mut flow, now), None, "nothing was handed on");
    flow.handed_on(now, 749);
    assert_eq!(said(&mut flow, now), None);
    assert_eq!(flow.deadline(true), Some(now + ACK_MAX));
    assert_eq!(said(&mut flow, now + ACK_MAX), Some(Record::Ack(749)));
    flow.handed_on(now, 251);
    assert_eq!(said(&mut flow, now), None);
    flow.receive(now, Record::Data { offset: 1000, bytes: vec![0; 499].into() }).unwrap();
    flow.handed_on(now, 499);
    assert_eq!(said(&mut flow, now), Some(Record::Ack(1499)));
}

#[test]
fn a_silent_connection_is_asked_twice_and_then_given_up() {
    let start = Instant::now();
    let mut flow = Flow::new(start, Side::Client, agreed());
    let beat = agreed().heartbeat;
    assert!(flow.tick(start + beat / 2));
    assert_eq!(flow.ping, None);
    assert!(flow.tick(start + beat) && flow.ping == Some(1));
    assert!(flow.tick(start + 2 * beat) && flow.ping == Some(2));
    assert_eq!(flow.deadline(true), Some(start + silence_max(beat)));
    assert!(!flow.tick(start + silence_max(beat)));
    flow.heard(start + 2 * beat + beat / 2);
    assert!(flow.tick(start + silence_max(beat)), "any byte answers a probe");
}
