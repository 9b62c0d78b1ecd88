//! Two machines that talk over a short pipe, against what a naive model says must arrive.

use bytes::Bytes;
use crosspoint_proto::peer::{
    Config, Event, Failure, Format, Machine, Outcome, Payload, Read, SendError, Side, StreamError,
    StreamId, Time, code,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const PIPE_MESSAGES_MAX: usize = 4;
const REQUESTS_IN_MAX: u32 = 3;
const CLOCK_US: u64 = 1_700_000_000_000_000;

/// Chooses one of however many there are.
type Which = u8;

/// What a side does. The other fields choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// Moves a message into the pipe if it has room.
    Transmit,
    /// Takes a message out of the other side's pipe.
    Deliver,
    Wait(u8),
    Message(u16),
    Notify(u16),
    Typed,
    Request(Option<u8>, u16),
    Cancel(Which),
    Answer(Which, u16),
    Fail(Which),
    /// The answer to a request that nobody has made, or that was answered.
    AnswerAgain(u8),
    Open,
    Accept(Which),
    Refuse(Which),
    Write(Which, u16),
    Finish(Which),
    Read(Which, u16),
    Reset(Which),
    Clock,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<Which>;
    prop_oneof![
        8 => Just(Step::Transmit),
        8 => Just(Step::Deliver),
        1 => (0..20u8).prop_map(Step::Wait),
        1 => (0..300u16).prop_map(Step::Message),
        1 => (0..300u16).prop_map(Step::Notify),
        1 => Just(Step::Typed),
        3 => (prop::option::of(0..50u8), 0..300u16).prop_map(|(ms, size)| Step::Request(ms, size)),
        1 => which().prop_map(Step::Cancel),
        2 => (which(), 0..300u16).prop_map(|(which, size)| Step::Answer(which, size)),
        1 => which().prop_map(Step::Fail),
        1 => which().prop_map(Step::AnswerAgain),
        2 => Just(Step::Open),
        2 => which().prop_map(Step::Accept),
        1 => which().prop_map(Step::Refuse),
        5 => (which(), 0..3000u16).prop_map(|(which, size)| Step::Write(which, size)),
        1 => which().prop_map(Step::Finish),
        5 => (which(), 0..3000u16).prop_map(|(which, most)| Step::Read(which, most)),
        1 => which().prop_map(Step::Reset),
        1 => Just(Step::Clock),
    ]
}

/// Bytes that tell where they are from and at which place.
fn bytes(seed: u32, from: usize, count: usize) -> Vec<u8> {
    let byte = |at: usize| (at as u32).wrapping_mul(0x9e37).wrapping_add(seed).to_le_bytes()[1];
    (from..from + count).map(byte).collect()
}

/// A request as its sender knows it.
#[derive(Debug)]
struct Asked {
    until: Option<Instant>,
    payload: Vec<u8>,
    arrived: bool,
    /// What the other side's application has answered.
    answer: Option<Outcome>,
    over: bool,
}

/// One direction of a stream, as its writer and its reader know it.
#[derive(Debug, Default)]
struct Direction {
    written: usize,
    finished: bool,
    read: usize,
    end_read: bool,
    /// The writer was told to wait.
    blocked: bool,
    /// The reader was told that there is nothing.
    pending: bool,
}

#[derive(Debug)]
struct Stream {
    /// Written by the opener of the stream, and by the other.
    directions: [Direction; 2],
    opener: usize,
    /// Whether each side can use it.
    usable: [bool; 2],
    /// Whether it was reset by either side: what is under way may be lost.
    reset: bool,
}

struct World {
    now: Instant,
    machines: [Machine; 2],
    /// From each side to the other.
    pipes: [VecDeque<(u8, Bytes)>; 2],
    /// Messages without answer that each side has sent and the other has not got.
    sent: [VecDeque<Event>; 2],
    /// Requests of each side by id.
    asked: [BTreeMap<u32, Asked>; 2],
    /// Requests that each side's application works on.
    working: [Vec<u32>; 2],
    streams: BTreeMap<StreamId, Stream>,
    /// Streams that wait for each side's application to accept them.
    offered: [Vec<StreamId>; 2],
    starved: [bool; 2],
    clocks: [u32; 2],
    serial: u32,
}

impl World {
    fn new() -> Self {
        let config = Config {
            requests_in_max: REQUESTS_IN_MAX,
            requests_out_max: 5,
            streams_in_max: 2,
            streams_out_max: 3,
            window_bytes: 2500,
            send_buffer_bytes: 1500,
            queue_bytes_max: 600,
            ..Config::default()
        };
        Self {
            now: Instant::now(),
            machines: [Side::Opener, Side::Accepter].map(|side| Machine::new(side, config.clone())),
            pipes: Default::default(),
            sent: Default::default(),
            asked: Default::default(),
            working: Default::default(),
            streams: BTreeMap::new(),
            offered: Default::default(),
            starved: [false; 2],
            clocks: [0; 2],
            serial: 0,
        }
    }

    fn payload(&mut self, size: u16) -> Vec<u8> {
        self.serial += 1;
        bytes(self.serial * 77, 0, size.into())
    }

    /// Whether a message was taken; if not, remembers to expect room.
    fn taken<T>(&mut self, side: usize, result: Result<T, SendError>) -> Option<T> {
        match result {
            Ok(taken) => Some(taken),
            Err(SendError::Full) => {
                self.starved[side] = true;
                None
            }
            Err(SendError::TooMany(most)) => {
                assert!([3, 5].contains(&most));
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self, side: usize, step: Step) {
        let other = 1 - side;
        match step {
            Step::Transmit => {
                if self.pipes[side].len() < PIPE_MESSAGES_MAX {
                    let message = self.machines[side].transmit(CLOCK_US);
                    self.pipes[side].extend(message);
                }
            }
            Step::Deliver => {
                if let Some((kind, body)) = self.pipes[other].pop_front() {
                    let received = self.machines[side].receive(self.now, kind, body);
                    received.expect("both keep the rules, and credit above all");
                }
            }
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms.into());
                let now = self.now;
                for machine in &mut self.machines {
                    machine.tick(now);
                    assert!(machine.deadline().is_none_or(|deadline| deadline > now));
                }
            }
            Step::Message(size) => {
                let bytes = self.payload(size);
                let sent = self.machines[side].message(Format::JSON, &bytes);
                if self.taken(side, sent).is_some() {
                    let payload = Payload::new(Format::JSON, bytes);
                    self.sent[side].push_back(Event::Message(payload));
                }
            }
            Step::Notify(size) => {
                let bytes = self.payload(size);
                let sent = self.machines[side].notify("a.b", Format(200), &bytes);
                if self.taken(side, sent).is_some() {
                    let payload = Payload::new(Format(200), bytes);
                    self.sent[side].push_back(Event::Notify { method: "a.b".into(), payload });
                }
            }
            Step::Typed => {
                let body = Bytes::from(self.payload(20));
                let kind = body[0] % 3;
                let sent = self.machines[side].typed(kind, body.clone());
                if self.taken(side, sent).is_some() {
                    self.sent[side].push_back(Event::Typed { kind, body });
                }
            }
            Step::Request(ms, size) => {
                let payload = self.payload(size);
                let time = ms.map(|ms| Duration::from_millis(ms.into()));
                let machine = &mut self.machines[side];
                let asked = machine.request(self.now, time, "user.é", Format::TEXT, &payload);
                if let Some(id) = self.taken(side, asked) {
                    let until = time.map(|time| self.now + time.max(Duration::from_millis(1)));
                    let asked = Asked { until, payload, arrived: false, answer: None, over: false };
                    assert!(self.asked[side].insert(id, asked).is_none(), "ids differ");
                }
            }
            Step::Cancel(which) => {
                let waiting = self.asked[side].iter().filter(|(_, asked)| !asked.over);
                let mut waiting: Vec<_> = waiting.map(|(id, _)| *id).collect();
                if let Some(id) = take(&mut waiting, which) {
                    assert!(self.machines[side].cancel(id));
                    assert!(!self.machines[side].cancel(id));
                    self.asked[side].get_mut(&id).expect("it was asked").over = true;
                }
            }
            Step::Answer(which, size) => {
                let bytes = self.payload(size);
                self.answer(side, which, |machine, id| {
                    let answered = machine.answer(id, Format::MESSAGE_PACK, &bytes);
                    let bytes = Bytes::from(bytes);
                    let payload = Payload::new(Format::MESSAGE_PACK, bytes);
                    (answered, Outcome::Result(payload))
                });
            }
            Step::Fail(which) => self.answer(side, which, |machine, id| {
                let answered = machine.fail(id, 1000 + id, "because", Format::JSON, b"{}");
                let bytes = Bytes::from_static(b"{}");
                let details = Payload::new(Format::JSON, bytes);
                let (code, message) = (1000 + id, "because".into());
                (answered, Outcome::Failure(Failure { code, message, details }))
            }),
            Step::AnswerAgain(id) => {
                let id = u32::from(id);
                if !self.working[side].contains(&id) {
                    let before = self.machines[side].counters().unwanted_answers;
                    let answered = self.machines[side].answer(id, Format::BYTES, b"wrong");
                    assert_eq!(answered, Ok(()));
                    assert_eq!(self.machines[side].counters().unwanted_answers, before + 1);
                }
            }
            Step::Open => {
                let opened = self.machines[side].open("näme", b"metadata");
                if let Some(id) = self.taken(side, opened) {
                    let mut usable = [false; 2];
                    usable[side] = true;
                    let directions = Default::default();
                    let stream = Stream { directions, opener: side, usable, reset: false };
                    assert!(self.streams.insert(id, stream).is_none(), "ids are used once");
                }
            }
            Step::Accept(which) => {
                if let Some(id) = take(&mut self.offered[side], which) {
                    self.machines[side].accept(id).expect("it is on offer");
                    self.stream(id).usable[side] = true;
                }
            }
            Step::Refuse(which) => {
                if let Some(id) = take(&mut self.offered[side], which) {
                    self.machines[side].reset(id, code::NOT_FOUND, "none").expect("on offer");
                    self.stream(id).reset = true;
                }
            }
            Step::Write(which, size) => {
                if let Some(id) = self.usable(side, which) {
                    self.write(side, id, size.into());
                }
            }
            Step::Finish(which) => {
                if let Some(id) = self.usable(side, which) {
                    self.finish(side, id);
                }
            }
            Step::Read(which, most) => {
                if let Some(id) = self.usable(side, which) {
                    self.read(side, id, most.into());
                }
            }
            Step::Reset(which) => {
                if let Some(id) = self.usable(side, which) {
                    self.machines[side].reset(id, 1000, "no more").expect("it is usable");
                    let stream = self.stream(id);
                    stream.reset = true;
                    stream.usable[side] = false;
                }
            }
            Step::Clock => {
                self.machines[side].measure_clock(self.now);
                self.clocks[side] += 1;
            }
        }
        self.listen();
    }

    fn answer(
        &mut self,
        side: usize,
        which: Which,
        answer: impl FnOnce(&mut Machine, u32) -> (Result<(), SendError>, Outcome),
    ) {
        let Some(id) = take(&mut self.working[side], which) else {
            return;
        };
        let (answered, outcome) = answer(&mut self.machines[side], id);
        if self.taken(side, answered).is_none() {
            return self.working[side].push(id);
        }
        let asked = self.asked[1 - side].get_mut(&id).expect("it was asked");
        assert_eq!(asked.answer.replace(outcome), None, "answered once");
    }

    fn stream(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(&id).expect("it was opened")
    }

    fn usable(&self, side: usize, which: Which) -> Option<StreamId> {
        let usable = self.streams.iter().filter(|(_, stream)| stream.usable[side]);
        let usable: Vec<_> = usable.map(|(id, _)| *id).collect();
        (!usable.is_empty()).then(|| usable[usize::from(which) % usable.len()])
    }

    /// Index of the direction in which a side writes, and the seed of its bytes.
    fn outward(&self, side: usize, id: StreamId) -> (usize, u32) {
        let direction = usize::from(self.streams[&id].opener != side);
        (direction, id.0 * 1000 + direction as u32 * 333)
    }

    fn write(&mut self, side: usize, id: StreamId, size: usize) {
        let (direction, seed) = self.outward(side, id);
        let direction = &mut self.stream(id).directions[direction];
        let from = direction.written;
        let finished = direction.finished;
        match self.machines[side].write(id, &bytes(seed, from, size)) {
            Ok(written) => {
                assert!(!finished && written <= size);
                let (direction, _) = self.outward(side, id);
                let direction = &mut self.stream(id).directions[direction];
                direction.written += written;
                direction.blocked = written < size;
            }
            Err(error) => {
                assert_eq!(error, StreamError::Finished(id));
                assert!(finished);
            }
        }
        self.forget_if_over(side, id);
    }

    fn finish(&mut self, side: usize, id: StreamId) {
        let (direction, _) = self.outward(side, id);
        let direction = &mut self.stream(id).directions[direction];
        let before = std::mem::replace(&mut direction.finished, true);
        direction.blocked = false;
        let expected = if before { Err(StreamError::Finished(id)) } else { Ok(()) };
        assert_eq!(self.machines[side].finish(id), expected);
        self.forget_if_over(side, id);
    }

    /// Whether there may be more to read.
    fn read(&mut self, side: usize, id: StreamId, most: usize) -> bool {
        let (direction, seed) = self.outward(1 - side, id);
        let read = self.machines[side].read(id, most).expect("it is usable");
        let direction = &mut self.stream(id).directions[direction];
        match &read {
            Read::Bytes(got) => {
                assert!((1..=most.max(1)).contains(&got.len()));
                assert_eq!(*got, bytes(seed, direction.read, got.len()), "in order, nothing lost");
                direction.read += got.len();
                assert!(direction.read <= direction.written, "nothing doubled");
            }
            Read::Pending => direction.pending = true,
            Read::End => {
                assert!(direction.finished, "only who finishes ends");
                assert_eq!(direction.read, direction.written, "everything arrived");
                direction.end_read = true;
            }
        }
        self.forget_if_over(side, id);
        matches!(read, Read::Bytes(_))
    }

    /// A side forgets a stream that it has finished and read to its end, perhaps later, when END
    /// was sent; so its application has no more business with it.
    fn forget_if_over(&mut self, side: usize, id: StreamId) {
        let (outward, _) = self.outward(side, id);
        let stream = self.stream(id);
        if stream.directions[outward].finished && stream.directions[1 - outward].end_read {
            stream.usable[side] = false;
        }
    }

    fn listen(&mut self) {
        for side in 0..2 {
            while let Some(event) = self.machines[side].poll() {
                self.hear(side, event);
            }
            let machine = &self.machines[side];
            assert!(machine.requests_in() <= REQUESTS_IN_MAX as usize);
            let streams = machine.streams_in() + machine.streams_out();
            assert!(machine.unread_bytes() <= 2500 * streams);
            assert!(machine.unsent_bytes() <= 600 + 64 + 320 + 1500 * streams);
        }
    }

    fn hear(&mut self, side: usize, event: Event) {
        let other = 1 - side;
        match event {
            Event::Message(_) | Event::Notify { .. } | Event::Typed { .. } => {
                assert_eq!(self.sent[other].pop_front(), Some(event), "in order, once");
            }
            Event::Request { id, method, payload, until } => {
                let asked = self.asked[other].get_mut(&id).expect("it was asked");
                assert!(!std::mem::replace(&mut asked.arrived, true), "once");
                assert_eq!(method, "user.é");
                assert_eq!(payload.data, asked.payload);
                assert_eq!(until.is_some(), asked.until.is_some());
                assert!(until >= asked.until, "nobody gives up before the requester");
                self.working[side].push(id);
            }
            Event::Cancelled { id } => {
                let place = self.working[side].iter().position(|working| *working == id);
                self.working[side].remove(place.expect("it is worked on"));
                let asked = &self.asked[other][&id];
                let late = asked.until.is_some_and(|until| until <= self.now);
                assert!(asked.over || late, "the requester has given up, or does right now");
            }
            Event::Result { id, outcome } => {
                let asked = self.asked[side].get_mut(&id).expect("it was asked");
                assert!(!std::mem::replace(&mut asked.over, true), "once");
                match outcome {
                    Outcome::TimedOut => {
                        assert!(asked.until.is_some_and(|until| until <= self.now));
                    }
                    Outcome::Failure(Failure { code: Failure::TOO_MANY, .. }) => {
                        assert!(!asked.arrived, "refused means not worked on");
                    }
                    outcome => assert_eq!(Some(&outcome), asked.answer.as_ref()),
                }
            }
            Event::Opened { stream, name, metadata } => {
                assert_eq!(self.streams[&stream].opener, other);
                assert_eq!((&*name, &metadata[..]), ("näme", &b"metadata"[..]));
                self.offered[side].push(stream);
            }
            Event::Accepted { stream } => {
                assert!(self.streams[&stream].usable[side] || self.streams[&stream].reset);
            }
            Event::Readable { stream } | Event::Ended { stream } => {
                let (inward, _) = self.outward(other, stream);
                self.stream(stream).directions[inward].pending = false;
            }
            Event::Writable { stream } => {
                let (outward, _) = self.outward(side, stream);
                let direction = &mut self.stream(stream).directions[outward];
                assert!(std::mem::take(&mut direction.blocked), "only who waits is woken");
            }
            Event::Reset { stream, .. } => {
                let opener = self.streams[&stream].opener;
                self.offered[side].retain(|offered| *offered != stream);
                let stream = self.stream(stream);
                // The other reset it, or this side has too many.
                assert!(stream.reset || opener == side);
                stream.reset = true;
                stream.usable[side] = false;
            }
            Event::Time(Time { round_trip, clock_us }) => {
                assert_eq!(clock_us, CLOCK_US);
                assert!(round_trip < Duration::from_secs(100));
                self.clocks[side] = 0;
            }
            Event::Room => assert!(std::mem::take(&mut self.starved[side])),
            Event::Clock { .. } => panic!("the machine answers by itself"),
        }
    }

    /// Lets everything that is under way arrive. The applications read, so that it can.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for side in 0..2 {
                self.step(side, Step::Transmit);
                moved |= !self.pipes[side].is_empty();
                self.step(1 - side, Step::Deliver);
                for id in self.streams.keys().copied().collect::<Vec<_>>() {
                    while self.streams[&id].usable[side] && self.read(side, id, 999) {
                        moved = true;
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// The applications do what they owe each other, and then nothing may be left.
    fn end(mut self) {
        self.settle();
        for side in 0..2 {
            while !self.offered[side].is_empty() {
                self.step(side, Step::Accept(0));
            }
        }
        self.settle();
        while self.working.iter().any(|working| !working.is_empty()) {
            for side in 0..2 {
                self.step(side, Step::Answer(0, 5));
            }
            self.settle();
        }
        self.settle();
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            for side in 0..2 {
                let (outward, _) = self.outward(side, id);
                if self.streams[&id].usable[side] {
                    assert!(!self.streams[&id].directions[outward].blocked, "woken");
                    if !self.streams[&id].directions[outward].finished {
                        self.finish(side, id);
                    }
                }
            }
        }
        self.settle();
        self.step(0, Step::Wait(255));
        self.settle();
        for side in 0..2 {
            assert!(self.sent[side].is_empty(), "every message arrived");
            assert!(self.asked[side].values().all(|asked| asked.over), "each had an outcome");
            assert!(!self.starved[side], "there is room, and it was said");
            assert_eq!(self.clocks[side], 0, "the clock was told");
            let machine = &self.machines[side];
            assert_eq!((machine.requests_in(), machine.requests_out()), (0, 0));
            assert_eq!((machine.streams_in(), machine.streams_out()), (0, 0));
            assert_eq!((machine.unread_bytes(), machine.unsent_bytes()), (0, 0));
            assert_eq!(machine.deadline(), None);
        }
        for (id, stream) in &self.streams {
            for direction in &stream.directions {
                assert!(stream.reset || direction.end_read, "stream {id} ended");
            }
        }
    }
}

fn take<T>(from: &mut Vec<T>, which: Which) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(usize::from(which) % from.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_is_lost_doubled_or_reordered_and_every_request_has_one_outcome(
        steps in prop::collection::vec((0..2usize, step()), 0..300),
    ) {
        let mut world = World::new();
        for (side, step) in steps {
            world.step(side, step);
        }
        world.end();
    }
}
