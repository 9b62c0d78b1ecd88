//! `docs/peers.md` says what the machine does: its byte examples and its tables.

use bytes::Bytes;
use crosspoint_hub::payload::Failure;
use crosspoint_proto::peer::Side::{self, Accepter, Opener};
use crosspoint_proto::peer::{
    Config, Event, Format, Machine, Outcome, Read, StreamId, Time, code, kind,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/peers.md");
    std::fs::read_to_string(path).expect("the page is part of the repository")
}

/// The examples by id. Each line holds bytes in hexadecimal and, behind a `|`, what they mean.
fn examples(page: &str) -> BTreeMap<String, Vec<u8>> {
    let mut examples = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(id) = line.strip_prefix("```example ") else {
            continue;
        };
        let bytes = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| line.split('|').next().unwrap_or_default().split_whitespace())
            .map(|byte| u8::from_str_radix(byte, 16).expect("a byte in hexadecimal"))
            .collect();
        assert_eq!(examples.insert(id.to_owned(), bytes), None, "example {id} is there once");
    }
    examples
}

/// Two machines that say what is on the page.
struct Pair {
    now: Instant,
    opener: Machine,
    accepter: Machine,
    examples: BTreeMap<String, Vec<u8>>,
}

impl Pair {
    fn new() -> Self {
        let machine = |side| Machine::new(side, Config::default());
        let (opener, accepter) = (machine(Side::Opener), machine(Side::Accepter));
        Self { now: Instant::now(), opener, accepter, examples: examples(&page()) }
    }

    /// After the request of the page.
    fn asked() -> Self {
        let mut pair = Self::new();
        let time = Some(Duration::from_secs(5));
        let payload = b"\"ann\"";
        let asked = pair.opener.request(pair.now, time, "user.rename", Format::JSON, payload);
        assert_eq!(asked, Ok(0));
        assert!(matches!(pair.says(Side::Opener, "request"), Some(Event::Request { id: 0, .. })));
        pair
    }

    /// Lets one message go over, and gives it with what its receiver hears.
    fn carry(&mut self, from: Side) -> (Vec<u8>, Option<Event>) {
        let (from, to) = match from {
            Side::Opener => (&mut self.opener, &mut self.accepter),
            Side::Accepter => (&mut self.accepter, &mut self.opener),
        };
        let (kind, body) = from.transmit(1_700_000_000_000_000).expect("a message");
        assert_eq!(from.transmit(0), None, "one");
        to.receive(self.now, kind, body.clone()).expect("it keeps the rules");
        ([&[kind][..], &body].concat(), to.poll())
    }

    /// Lets an example go over.
    fn says(&mut self, from: Side, id: &str) -> Option<Event> {
        let (written, event) = self.carry(from);
        assert_eq!(Some(&written), self.examples.get(id), "{id}");
        event
    }
}

#[test]
fn messages_and_requests_are_those_of_the_examples() {
    let mut pair = Pair::new();
    pair.opener.message(Format::TEXT, b"hi").expect("there is room");
    assert!(matches!(pair.says(Opener, "message"), Some(Event::Message(_))));
    pair.opener.notify("move", Format::BYTES, &[1, 2]).expect("there is room");
    assert!(matches!(pair.says(Opener, "notify"), Some(Event::Notify { .. })));

    let mut pair = Pair::asked();
    pair.accepter.answer(0, Format::JSON, b"true").expect("there is room");
    let result = pair.says(Accepter, "result");
    assert!(matches!(result, Some(Event::Result { outcome: Outcome::Result(_), .. })));

    let mut pair = Pair::asked();
    let failed = pair.accepter.fail(0, Failure::NO_METHOD, "nobody", Format::BYTES, b"");
    failed.expect("there is room");
    let failure = pair.says(Accepter, "failure");
    assert!(matches!(failure, Some(Event::Result { outcome: Outcome::Failure(_), .. })));

    let mut pair = Pair::asked();
    assert!(pair.opener.cancel(0));
    assert_eq!(pair.says(Opener, "cancel"), Some(Event::Cancelled { id: 0 }));
}

#[test]
fn a_stream_is_that_of_the_examples() {
    let mut pair = Pair::new();
    let stream = StreamId(0);
    assert_eq!(pair.opener.open("file", b"a.png"), Ok(stream));
    assert!(matches!(pair.says(Opener, "open"), Some(Event::Opened { .. })));
    pair.accepter.accept(stream).expect("it is on offer");
    assert_eq!(pair.says(Accepter, "accept"), Some(Event::Accepted { stream }));
    assert_eq!(pair.opener.write(stream, b"hi"), Ok(2));
    assert_eq!(pair.says(Opener, "bytes"), Some(Event::Readable { stream }));
    assert_eq!(pair.accepter.read(stream, 9), Ok(Read::Bytes(Bytes::from_static(b"hi"))));
    // Half of the window, of which the two bytes above are a part.
    let mut left = 128 * 1024 - 2;
    while left > 0 {
        let written = pair.opener.write(stream, &vec![0; left.min(16 * 1024)]);
        left -= written.expect("it is open");
        pair.carry(Opener);
        pair.accepter.read(stream, 16 * 1024).expect("it is open");
    }
    assert_eq!(pair.says(Accepter, "credit"), None);
    pair.opener.finish(stream).expect("it is open");
    assert_eq!(pair.says(Opener, "end"), Some(Event::Ended { stream }));
    pair.accepter.reset(stream, code::APPLICATION, "stop").expect("it is open");
    let reset = Event::Reset { stream, code: code::APPLICATION, text: "stop".into() };
    assert_eq!(pair.says(Accepter, "reset"), Some(reset));
}

#[test]
fn the_question_for_the_clock_and_its_answer_are_those_of_the_examples() {
    let mut pair = Pair::new();
    pair.opener.measure_clock(pair.now);
    assert_eq!(pair.says(Opener, "clock"), None);
    let time = Time { round_trip: Duration::ZERO, clock_us: 1_700_000_000_000_000 };
    assert_eq!(pair.says(Accepter, "time"), Some(Event::Time(time)));
}

#[test]
fn the_page_has_the_kinds_and_codes_of_the_program() {
    let page = page();
    let kinds = [
        (kind::MESSAGE, "MESSAGE"),
        (kind::REQUEST, "REQUEST"),
        (kind::RESULT, "RESULT"),
        (kind::FAILURE, "FAILURE"),
        (kind::CANCEL, "CANCEL"),
        (kind::NOTIFY, "NOTIFY"),
        (kind::OPEN, "OPEN"),
        (kind::ACCEPT, "ACCEPT"),
        (kind::BYTES, "BYTES"),
        (kind::CREDIT, "CREDIT"),
        (kind::END, "END"),
        (kind::RESET, "RESET"),
        (kind::CLOCK, "CLOCK"),
        (kind::TIME, "TIME"),
    ];
    for (number, name) in kinds {
        assert!(page.contains(&format!("\n| `{number:#04x}` | {name} | ")), "{name}");
    }
    let codes = [
        (code::NOT_WANTED, "no longer wanted"),
        (Failure::UNREADABLE, "the payload could not be read"),
        (Failure::FORBIDDEN, "not allowed"),
        (Failure::NO_METHOD, "nothing answers to this method"),
        (code::NOT_FOUND, "nobody accepts streams of this name"),
        (Failure::TIMED_OUT, "the requester's time was over before the answer"),
        (Failure::TOO_MANY, "too many requests wait"),
        (code::TOO_MANY, "too many streams"),
        (Failure::FAILED, "the method failed; the message says how"),
        (code::FAILED, "failed"),
        (code::GOING_AWAY, "the peer is going away"),
    ];
    for (number, meaning) in codes {
        assert!(page.contains(&format!("\n| {number} | {meaning} |")), "{number}");
    }
}
