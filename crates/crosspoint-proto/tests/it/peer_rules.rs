//! The rules of `docs/peers.md`, one by one: what breaks a link, what is dropped, what is bounded,
//! and who comes first.

use bytes::Bytes;
use crosspoint_proto::frame::put_varint;
use crosspoint_proto::peer::{
    BYTES_MAX, Broken, Config, Event, Failure, Format, Machine, Outcome, Read, SendError, Side,
    StreamError, StreamId, Time, WINDOW_MAX, code, kind,
};
use std::time::{Duration, Instant};

const WINDOW: u32 = 1000;
const OWN: StreamId = StreamId(0);
const OTHER: StreamId = StreamId(1);

/// Numbers, then bytes as they are.
fn body(numbers: &[u32], rest: impl AsRef<[u8]>) -> Bytes {
    let mut body = Vec::new();
    numbers.iter().for_each(|number| put_varint(*number, &mut body));
    body.extend(rest.as_ref());
    body.into()
}

/// The opener of a link, with the other side written by hand.
struct One {
    now: Instant,
    machine: Machine,
}

impl One {
    fn new(config: Config) -> Self {
        Self { now: Instant::now(), machine: Machine::new(Side::Opener, config) }
    }

    /// With small bounds.
    fn small() -> Self {
        Self::new(Config {
            requests_in_max: 2,
            requests_out_max: 2,
            streams_in_max: 2,
            streams_out_max: 2,
            window_bytes: WINDOW,
            send_buffer_bytes: 100,
            queue_bytes_max: 500,
            answers_max: 10,
            ..Config::default()
        })
    }

    /// With stream 0 of its own and stream 1 of the other side, both open.
    fn streaming() -> Self {
        let mut one = Self::small();
        assert_eq!(one.machine.open("out", b""), Ok(OWN));
        one.transmitted();
        one.hear(kind::ACCEPT, &[0, 50], "");
        one.hear(kind::OPEN, &[1, 50], "\x02in");
        one.machine.accept(OTHER).expect("it is on offer");
        one.transmitted();
        one.events();
        one
    }

    fn receive(&mut self, kind: u8, body: Bytes) -> Result<(), Broken> {
        self.machine.receive(self.now, kind, body)
    }

    fn hear(&mut self, kind: u8, numbers: &[u32], rest: impl AsRef<[u8]>) {
        self.receive(kind, body(numbers, rest)).expect("it keeps the rules");
    }

    /// What comes of a message, which may break the link.
    fn heard(mut self, kind: u8, numbers: &[u32], rest: impl AsRef<[u8]>) -> Result<(), Broken> {
        self.receive(kind, body(numbers, rest))
    }

    fn transmitted(&mut self) -> Vec<(u8, Bytes)> {
        std::iter::from_fn(|| self.machine.transmit(77)).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.machine.poll()).collect()
    }

    fn request(&mut self, ms: u64) -> Result<u32, SendError> {
        let time = (ms > 0).then(|| Duration::from_millis(ms));
        self.machine.request(self.now, time, "m", Format::TEXT, b"?")
    }

    fn tick_after(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.machine.tick(self.now);
    }
}

#[test]
fn bodies_that_end_too_early_or_hold_no_number_break_the_link() {
    let (two, three) = (&[5, 5][..], &[5, 5, 5][..]);
    let rows: [(u8, &[u32], &[u8]); 14] = [
        (kind::MESSAGE, &[], b""),
        (kind::REQUEST, two, b"\x01m"),
        (kind::REQUEST, two, b"\x02m"),
        (kind::RESULT, &[5], b""),
        (kind::FAILURE, two, b"\x01m"),
        (kind::CANCEL, &[], b""),
        (kind::NOTIFY, &[], b"\x00"),
        (kind::OPEN, two, b""),
        (kind::ACCEPT, &[5], b""),
        (kind::CREDIT, &[5], b""),
        (kind::RESET, &[5], b""),
        (kind::CLOCK, &[], b"1234567"),
        (kind::TIME, &[], b"123456781234567"),
        (kind::FAILURE, three, b"m"),
    ];
    for (number, numbers, rest) in rows {
        let heard = One::small().heard(number, numbers, rest);
        assert_eq!(heard, Err(Broken::Body(number)), "{number:#x}");
    }
    let numbered = [
        kind::REQUEST,
        kind::RESULT,
        kind::FAILURE,
        kind::CANCEL,
        kind::NOTIFY,
        kind::OPEN,
        kind::ACCEPT,
        kind::BYTES,
        kind::CREDIT,
        kind::END,
        kind::RESET,
    ];
    for number in numbered {
        for wrong in [&[0xff; 9][..], &[0xff, 0xff, 0xff, 0xff, 0x10], &[0x80]] {
            let heard = One::small().heard(number, &[], wrong);
            assert_eq!(heard, Err(Broken::Body(number)), "{number:#x}");
        }
    }
}

#[test]
fn texts_have_to_be_utf_8_and_bounded() {
    let not_text: [(u8, &[u32], &[u8]); 5] = [
        (kind::REQUEST, &[1, 0], b"\x01\xff\x00"),
        (kind::FAILURE, &[1, 500], b"\x02\xc3(\x00"),
        (kind::NOTIFY, &[], b"\x01\x80\x00"),
        (kind::OPEN, &[1, 0], b"\x01\xff"),
        (kind::RESET, &[0, 0], b"\xff"),
    ];
    for (number, numbers, rest) in not_text {
        let heard = One::small().heard(number, numbers, rest);
        assert_eq!(heard, Err(Broken::Text(number)), "{number:#x}");
    }
    let long = "x".repeat(256);
    for (number, numbers) in
        [(kind::NOTIFY, &[256][..]), (kind::REQUEST, &[1, 0, 256]), (kind::OPEN, &[1, 0, 256])]
    {
        let expected = Broken::TooLarge { kind: number, bytes: 256, most: 255 };
        assert_eq!(One::small().heard(number, numbers, &long), Err(expected));
    }
    One::small().heard(kind::NOTIFY, &[255], "x".repeat(256)).expect("255 and a format");
    let heard = One::small().heard(kind::OPEN, &[1, 0, 0], vec![0; 16 * 1024 + 1]);
    assert!(matches!(heard, Err(Broken::TooLarge { most: 16_384, .. })));
    One::small().heard(kind::OPEN, &[1, 0, 0], vec![0; 16 * 1024]).expect("just enough");
    let heard = One::streaming().heard(kind::RESET, &[0, 0], "x".repeat(1025));
    assert!(matches!(heard, Err(Broken::TooLarge { most: 1024, .. })));
    let mut one = One::new(Config { message_bytes_max: 0, ..Config::default() });
    assert_eq!(one.receive(kind::MESSAGE, vec![0; 32 * 1024].into()), Ok(()));
    let heard = one.receive(kind::MESSAGE, vec![0; 32 * 1024 + 1].into());
    assert!(matches!(heard, Err(Broken::TooLarge { most: 32_768, .. })));
}

#[test]
fn unknown_kinds_are_skipped_from_0x80_on_and_break_the_link_below() {
    let mut one = One::small();
    for number in 3..=u8::MAX {
        if matches!(number, kind::MESSAGE..=kind::NOTIFY | kind::OPEN..=kind::TIME) {
            continue;
        }
        let heard = one.receive(number, Bytes::from_static(b"later"));
        let expected = if number < 0x80 { Err(Broken::Kind(number)) } else { Ok(()) };
        assert_eq!(heard, expected);
    }
    assert_eq!(one.machine.counters().skipped, 128);
    assert_eq!(one.events(), []);
}

#[test]
fn bytes_behind_the_last_field_are_ignored() {
    let mut one = One::streaming();
    one.hear(kind::CREDIT, &[0, 5], "later");
    one.hear(kind::CANCEL, &[9], "later");
    one.hear(kind::CLOCK, &[], "12345678later");
    assert_eq!(one.transmitted(), [(kind::TIME, body(&[], b"12345678\0\0\0\0\0\0\0\x4d"))]);
    one.hear(kind::END, &[0], "later");
    assert_eq!(one.events(), [Event::Ended { stream: OWN }]);
}

#[test]
fn streams_that_were_never_opened_break_the_link_and_those_that_are_over_do_not() {
    let of_streams = [
        (kind::ACCEPT, &[1][..]),
        (kind::BYTES, &[]),
        (kind::CREDIT, &[1]),
        (kind::END, &[]),
        (kind::RESET, &[1]),
    ];
    for (number, more) in of_streams {
        for id in [2, 3, u32::MAX - 1, u32::MAX] {
            let heard = One::streaming().heard(number, &[&[id], more].concat(), "");
            let stream = StreamId(id);
            assert_eq!(heard, Err(Broken::NeverOpened { kind: number, stream }));
        }
        let mut one = One::streaming();
        one.machine.reset(OWN, code::NOT_WANTED, "").expect("it is open");
        one.machine.reset(OTHER, code::NOT_WANTED, "").expect("it is open");
        for id in [0, 1] {
            one.hear(number, &[&[id], more].concat(), "");
        }
        assert_eq!(one.events(), []);

        // The other side cannot know of it yet.
        let mut one = One::small();
        one.machine.open("unsent", b"").expect("there is room");
        let heard = one.heard(number, &[&[0], more].concat(), "");
        assert_eq!(heard, Err(Broken::NeverOpened { kind: number, stream: OWN }));
    }
}

#[test]
fn streams_are_opened_in_turn_and_accepted_once_by_the_other_side() {
    for (wrong, why) in [(0, "of this side"), (3, "too far"), (u32::MAX, "much too far")] {
        let heard = One::small().heard(kind::OPEN, &[wrong, 0, 0], "");
        assert_eq!(heard, Err(Broken::StreamId(StreamId(wrong))), "{why}");
    }
    let again = One::streaming().heard(kind::OPEN, &[1, 0, 0], "");
    assert_eq!(again, Err(Broken::StreamId(OTHER)));
    let again = One::streaming().heard(kind::ACCEPT, &[0, 1], "");
    assert_eq!(again, Err(Broken::NotOffered(OWN)));
    let own_offer = One::streaming().heard(kind::ACCEPT, &[1, 1], "");
    assert_eq!(own_offer, Err(Broken::NotOffered(OTHER)));
}

#[test]
fn nothing_but_reset_comes_before_accept() {
    for (number, more) in [(kind::BYTES, &[][..]), (kind::CREDIT, &[1]), (kind::END, &[])] {
        for id in [0, 1] {
            let mut one = One::small();
            one.machine.open("out", b"").expect("there is room");
            one.transmitted();
            one.hear(kind::OPEN, &[1, 50], "\x02in");
            let heard = one.heard(number, &[&[id], more].concat(), "");
            assert_eq!(heard, Err(Broken::NotAccepted { kind: number, stream: StreamId(id) }));
        }
    }
    let mut one = One::small();
    one.machine.open("out", b"").expect("there is room");
    one.transmitted();
    one.hear(kind::RESET, &[0, code::NOT_FOUND], "nobody");
    one.hear(kind::OPEN, &[1, 50], "\x02in");
    one.hear(kind::RESET, &[1, code::NOT_WANTED], "");
    let events = one.events();
    let nobody = Event::Reset { stream: OWN, code: code::NOT_FOUND, text: "nobody".into() };
    assert_eq!(events[0], nobody);
    assert!(matches!(events[1..], [Event::Opened { .. }, Event::Reset { .. }]));
    assert_eq!(one.machine.accept(OTHER), Err(StreamError::Over(OTHER)));
}

#[test]
fn windows_hold_to_the_byte() {
    let mut one = One::streaming();
    one.hear(kind::BYTES, &[1], [1; 600]);
    one.hear(kind::BYTES, &[1], [1; 400]);
    one.hear(kind::BYTES, &[1], "");
    assert_eq!(one.machine.unread_bytes(), WINDOW as usize);
    let one_more = one.receive(kind::BYTES, body(&[1], "x"));
    let expected = Broken::WindowExceeded { stream: OTHER, bytes: 1, window: 0 };
    assert_eq!(one_more, Err(expected));

    let largest = One::small().heard(kind::OPEN, &[1, WINDOW_MAX, 0], "");
    assert_eq!(largest, Ok(()));
    let larger = One::small().heard(kind::OPEN, &[1, WINDOW_MAX + 1, 0], "");
    assert_eq!(larger, Err(Broken::WindowTooLarge(OTHER)));
    let mut one = One::small();
    one.machine.open("out", b"").expect("there is room");
    one.transmitted();
    let accepted = one.heard(kind::ACCEPT, &[0, WINDOW_MAX + 1], "");
    assert_eq!(accepted, Err(Broken::WindowTooLarge(OWN)));
    let grown = One::streaming().heard(kind::CREDIT, &[0, WINDOW_MAX - 50], "");
    assert_eq!(grown, Ok(()));
    let grown = One::streaming().heard(kind::CREDIT, &[0, WINDOW_MAX - 49], "");
    assert_eq!(grown, Err(Broken::WindowTooLarge(OWN)));
}

#[test]
fn credit_is_given_back_for_what_was_read_when_that_is_half_of_the_window() {
    let mut one = One::streaming();
    one.hear(kind::BYTES, &[1], [1; 1000]);
    assert_eq!(one.machine.read(OTHER, 499), Ok(Read::Bytes(vec![1; 499].into())));
    assert_eq!(one.transmitted(), []);
    assert_eq!(one.machine.read(OTHER, 1), Ok(Read::Bytes(vec![1; 1].into())));
    assert_eq!(one.machine.read(OTHER, 500), Ok(Read::Bytes(vec![1; 500].into())));
    assert_eq!(one.machine.read(OTHER, 1), Ok(Read::Pending));
    assert_eq!(one.transmitted(), [(kind::CREDIT, body(&[1, 1000], ""))], "one for both");
    one.hear(kind::BYTES, &[1], [2; 1000]);
    one.hear(kind::END, &[1], "");
    assert_eq!(one.machine.read(OTHER, 2000), Ok(Read::Bytes(vec![2; 1000].into())));
    assert_eq!(one.transmitted(), [], "who has ended needs no credit");
}

#[test]
fn nothing_comes_after_the_end() {
    let mut one = One::streaming();
    one.hear(kind::END, &[1], "");
    let bytes = one.receive(kind::BYTES, body(&[1], "x"));
    assert_eq!(bytes, Err(Broken::AfterEnd { kind: kind::BYTES, stream: OTHER }));
    let mut one = One::streaming();
    one.hear(kind::END, &[0], "");
    let end = one.receive(kind::END, body(&[0], ""));
    assert_eq!(end, Err(Broken::AfterEnd { kind: kind::END, stream: OWN }));
}

#[test]
fn an_end_leaves_the_other_direction_open_and_the_stream_is_over_after_both() {
    let mut one = One::streaming();
    one.hear(kind::BYTES, &[1], "last");
    one.hear(kind::END, &[1], "");
    assert_eq!(one.machine.write(OTHER, b"goes on"), Ok(7));
    one.machine.finish(OTHER).expect("it is open");
    assert_eq!(one.machine.finish(OTHER), Err(StreamError::Finished(OTHER)));
    assert_eq!(one.machine.write(OTHER, b"x"), Err(StreamError::Finished(OTHER)));
    let sent = one.transmitted();
    assert_eq!(sent, [(kind::BYTES, body(&[1], "goes on")), (kind::END, body(&[1], ""))]);
    assert_eq!(one.machine.read(OTHER, 9), Ok(Read::Bytes(Bytes::from_static(b"last"))));
    assert_eq!(one.machine.streams_in(), 1, "until the end was read");
    assert_eq!(one.machine.read(OTHER, 9), Ok(Read::End));
    assert_eq!(one.machine.read(OTHER, 9), Err(StreamError::Over(OTHER)));
    assert_eq!(one.machine.streams_in(), 0);
}

#[test]
fn what_is_written_is_bounded_by_window_and_buffer() {
    let mut one = One::streaming();
    assert_eq!(one.machine.write(OWN, &[1; 60]), Ok(50), "the window");
    one.transmitted();
    assert_eq!(one.events(), [], "sending alone makes no room");
    one.hear(kind::CREDIT, &[0, 1000], "");
    assert_eq!(one.events(), [Event::Writable { stream: OWN }]);
    assert_eq!(one.machine.write(OWN, &[1; 200]), Ok(100), "the buffer");
    assert_eq!(one.machine.write(OWN, &[1; 200]), Ok(0));
    one.transmitted();
    assert_eq!(one.events(), [Event::Writable { stream: OWN }]);
}

#[test]
fn before_accept_an_opener_may_finish_but_sends_nothing() {
    let mut one = One::small();
    let stream = one.machine.open("out", b"meta").expect("there is room");
    assert_eq!(one.machine.write(stream, b"x"), Ok(0));
    one.machine.finish(stream).expect("it is offered");
    assert_eq!(one.transmitted(), [(kind::OPEN, body(&[0, WINDOW, 3], "outmeta"))]);
    one.hear(kind::ACCEPT, &[0, 9], "");
    assert_eq!(one.transmitted(), [(kind::END, body(&[0], ""))]);
    one.hear(kind::OPEN, &[1, 50], "\x02in");
    assert_eq!(one.machine.write(OTHER, b"x"), Err(StreamError::NotAccepted(OTHER)));
    assert_eq!(one.machine.read(OTHER, 1), Err(StreamError::NotAccepted(OTHER)));
}

#[test]
fn requests_above_the_bound_are_refused_and_ids_that_wait_are_not_used_twice() {
    let mut one = One::small();
    for id in 1..=4 {
        one.hear(kind::REQUEST, &[id, 0], "\x00\x00");
    }
    assert_eq!(one.events().len(), 2);
    assert_eq!(one.machine.counters().refused_requests, 2);
    let refused = |id| (kind::FAILURE, body(&[id, 429, 22], "too many requests wait\0"));
    assert_eq!(one.transmitted(), [refused(3), refused(4)]);
    one.machine.answer(1, Format::BYTES, b"").expect("there is room");
    one.hear(kind::REQUEST, &[5, 0], "\x00\x00");
    assert_eq!(one.transmitted().len(), 2, "an answer that is not sent still counts");
    one.hear(kind::REQUEST, &[1, 0], "\x00\x00");
    let twice = one.heard(kind::REQUEST, &[2, 0], "\x00\x00");
    assert_eq!(twice, Err(Broken::RequestTwice(2)));
}

#[test]
fn a_cancelled_request_is_not_answered_even_if_the_answer_was_about_to_leave() {
    let mut one = One::small();
    one.hear(kind::REQUEST, &[1, 0], "\x00\x00");
    one.hear(kind::REQUEST, &[2, 0], "\x00\x00");
    one.machine.answer(1, Format::BYTES, b"too late").expect("there is room");
    one.events();
    one.hear(kind::CANCEL, &[1], "");
    one.hear(kind::CANCEL, &[2], "");
    one.hear(kind::CANCEL, &[3], "");
    assert_eq!(one.events(), [Event::Cancelled { id: 2 }]);
    one.hear(kind::REQUEST, &[1, 0], "\x00\x00");
    assert_eq!(one.machine.answer(2, Format::BYTES, b""), Ok(()));
    assert_eq!(one.transmitted(), []);
    assert_eq!(one.machine.counters().unwanted_answers, 2);
    assert_eq!((one.machine.requests_in(), one.machine.unsent_bytes()), (1, 0));
}

#[test]
fn a_request_whose_time_is_over_is_cancelled_on_both_sides() {
    let mut one = One::small();
    let id = one.request(5).expect("there is room");
    let kept = one.request(0).expect("there is room");
    assert_eq!(one.transmitted().len(), 2);
    one.hear(kind::REQUEST, &[1, 3], "\x00\x00");
    one.hear(kind::REQUEST, &[2, 0], "\x00\x00");
    one.events();
    one.tick_after(2);
    assert_eq!(one.events(), []);
    assert_eq!(one.machine.deadline(), Some(one.now + Duration::from_millis(1)));
    one.tick_after(9);
    let timed_out = Event::Result { id, outcome: Outcome::TimedOut };
    assert_eq!(one.events(), [timed_out, Event::Cancelled { id: 1 }]);
    assert_eq!(one.transmitted(), [(kind::CANCEL, body(&[id], ""))]);
    assert_eq!(one.machine.deadline(), None);
    one.machine.answer(1, Format::BYTES, b"late").expect("dropped without a word");
    assert_eq!(one.transmitted(), []);
    one.hear(kind::RESULT, &[id], "\x00");
    one.hear(kind::RESULT, &[77], "\x00");
    one.hear(kind::FAILURE, &[kept, 1000], "\x03why\x02{}");
    one.hear(kind::RESULT, &[kept], "\x00");
    assert_eq!(one.machine.counters().late_answers, 3);
    let [Event::Result { outcome: Outcome::Failure(failure), .. }] = &one.events()[..] else {
        panic!("one failure");
    };
    let Failure { code: 1000, message, details } = failure else { panic!("{failure:?}") };
    assert_eq!((&**message, &details.data[..], details.format), ("why", &b"{}"[..], Format::JSON));
}

#[test]
fn a_request_that_was_never_sent_is_forgotten_without_a_word() {
    let mut one = One::small();
    let (first, second) = (one.request(5), one.request(0));
    assert_eq!(one.request(0), Err(SendError::TooMany(2)));
    one.hear(kind::RESULT, &[first.expect("there is room")], "\x00");
    assert_eq!(one.machine.counters().late_answers, 1, "a guess is no answer");
    assert!(one.machine.cancel(second.expect("there is room")));
    one.tick_after(5);
    assert!(matches!(one.events()[..], [Event::Result { outcome: Outcome::TimedOut, .. }]));
    assert_eq!(one.transmitted(), []);
    assert_eq!((one.machine.requests_out(), one.machine.unsent_bytes()), (0, 0));
}

#[test]
fn a_full_queue_takes_no_more_and_says_when_it_does() {
    let mut one = One::small();
    one.machine.message(Format::BYTES, &[0; 2000]).expect("one always fits");
    one.hear(kind::REQUEST, &[1, 0], "\x00\x00");
    one.events();
    let full = Err(SendError::Full);
    assert_eq!(one.machine.message(Format::BYTES, b""), full);
    assert_eq!(one.machine.typed(0, Bytes::new()), full);
    assert_eq!(one.machine.notify("", Format::BYTES, b""), full);
    assert_eq!(one.request(0), Err(SendError::Full));
    assert_eq!(one.machine.answer(1, Format::BYTES, b""), full);
    assert_eq!(one.machine.requests_in(), 1, "it still waits for its answer");
    assert_eq!(one.transmitted().len(), 1);
    assert_eq!(one.events(), [Event::Room]);
    assert_eq!(one.machine.answer(1, Format::BYTES, b""), Ok(()));
    one.hear(kind::REQUEST, &[2, 0], "\x00\x00");
    let bytes = 16 * 1024 * 1024 + 1;
    let huge = vec![0; bytes];
    let too_large = |more| Err(SendError::TooLarge { bytes: bytes + more, most: bytes - 1 });
    assert_eq!(one.machine.message(Format::BYTES, &huge), too_large(1));
    assert_eq!(one.machine.answer(2, Format::BYTES, &huge), too_large(2));
    let long = "x".repeat(256);
    assert_eq!(one.machine.notify(&long, Format::BYTES, b""), Err(SendError::NameTooLong(256)));
    assert_eq!(one.machine.open(&long, b""), Err(SendError::NameTooLong(256)));
    let metadata = vec![0; 16 * 1024 + 1];
    assert_eq!(one.machine.open("", &metadata), Err(SendError::MetadataTooLong(16_385)));
    assert_eq!(one.machine.typed(3, Bytes::new()), Err(SendError::Kind(3)));
}

/// One who asks and asks, and takes no answers.
#[test]
fn a_flood_of_questions_breaks_the_link_before_it_fills_the_memory() {
    let floods: [fn(u32) -> (u8, Bytes); 3] = [
        |turn| (kind::REQUEST, body(&[turn, 0], "\x00\x00")),
        |turn| (kind::OPEN, body(&[2 * turn + 1, 0], "\x00")),
        |_| (kind::CLOCK, body(&[], "12345678")),
    ];
    for flood in floods {
        let mut one = One::small();
        let broken = (0..100).find_map(|turn| {
            let (kind, body) = flood(turn);
            one.receive(kind, body).err().map(|broken| (turn, broken))
        });
        let (turn, broken) = broken.expect("it is stopped");
        assert_eq!(broken, Broken::Flood(10));
        assert!((10..=12).contains(&turn));

        let mut one = One::small();
        for turn in 0..100 {
            let (kind, body) = flood(turn);
            one.receive(kind, body).expect("who takes the answers may ask on");
            one.transmitted();
        }
    }
}

#[test]
fn an_application_that_refuses_streams_cannot_fill_the_memory_for_the_other_side() {
    let mut one = One::small();
    let refused = (0..100).find_map(|turn| {
        let opened = one.receive(kind::OPEN, body(&[2 * turn + 1, 0], "\x00"));
        let id = StreamId(2 * turn + 1);
        opened.err().or_else(|| {
            one.machine.reset(id, code::NOT_FOUND, &"é".repeat(600)).expect("it is on offer");
            None
        })
    });
    assert_eq!(refused, Some(Broken::Flood(10)));
    let (kind, body) = one.transmitted().swap_remove(0);
    assert_eq!((kind, body.len()), (kind::RESET, 3 + 1024), "a long text is cut");

    // Nor can its own streams.
    let mut one = One::small();
    let full = (0..100).find_map(|_| match one.machine.open("n", b"") {
        Ok(id) => {
            one.machine.reset(id, code::NOT_WANTED, "").expect("it is offered");
            None
        }
        Err(full) => Some(full),
    });
    assert_eq!(full, Some(SendError::Full));
    one.hear(kind::CLOCK, &[], [0; 8]);
    one.transmitted();
    assert_eq!(one.events(), [Event::Room], "the other side was not in the way");
}

#[test]
fn streams_above_the_bound_are_refused() {
    let mut one = One::small();
    for id in [1, 3, 5] {
        one.hear(kind::OPEN, &[id, 0], "\x00");
    }
    assert_eq!(one.events().len(), 2);
    assert_eq!(one.transmitted(), [(kind::RESET, body(&[5, 429], ""))]);
    assert_eq!(one.machine.counters().refused_streams, 1);
    one.machine.open("", b"").expect("the first");
    one.machine.open("", b"").expect("the second");
    assert_eq!(one.machine.open("", b""), Err(SendError::TooMany(2)));
}

#[test]
fn streams_and_messages_take_turns_and_answers_go_first() {
    let config = Config { send_buffer_bytes: 1 << 20, ..Config::default() };
    let mut one = One::new(config);
    for id in [0, 2, 4] {
        one.machine.open("", b"").expect("there is room");
        one.transmitted();
        one.hear(kind::ACCEPT, &[id, 1 << 20], "");
    }
    for id in [0, 4] {
        let written = one.machine.write(StreamId(id), &[7; 3 * BYTES_MAX]);
        assert_eq!(written, Ok(3 * BYTES_MAX));
    }
    for _ in 0..3 {
        one.machine.message(Format::BYTES, b"").expect("there is room");
    }
    one.hear(kind::CLOCK, &[], "12345678");
    let sent: Vec<_> = one
        .transmitted()
        .into_iter()
        .map(|(kind, body)| {
            assert!(body.len() <= 1 + BYTES_MAX);
            (kind, if kind == kind::BYTES { u32::from(body[0]) } else { 0 })
        })
        .collect();
    let (message, bytes) = (kind::MESSAGE, kind::BYTES);
    let turns = [(message, 0), (bytes, 0), (message, 0), (bytes, 4), (message, 0)];
    let rest = [(bytes, 0), (bytes, 4), (bytes, 0), (bytes, 4)];
    assert_eq!(sent, [&[(kind::TIME, 0)], &turns[..], &rest].concat());
}

#[test]
fn a_gateway_answers_with_the_clock_of_its_client() {
    let mut one = One::new(Config { own_clock: false, answers_max: 2, ..Config::default() });
    one.hear(kind::CLOCK, &[], "12345678");
    assert_eq!(one.events(), [Event::Clock { token: *b"12345678" }]);
    assert_eq!(one.transmitted(), [], "the application has not answered");
    one.machine.tell_clock(*b"12345678", 0x4e);
    assert_eq!(one.transmitted(), [(kind::TIME, body(&[], b"12345678\0\0\0\0\0\0\0\x4e"))]);
}

#[test]
fn a_clock_is_measured_by_the_answer_to_the_last_question() {
    let mut one = One::small();
    let answer = |question: &Bytes| body(&[], [question, &[0, 0, 0, 0, 0, 0, 1, 0][..]].concat());
    one.machine.measure_clock(one.now);
    let first = one.transmitted();
    one.now += Duration::from_millis(7);
    one.machine.measure_clock(one.now);
    one.hear(kind::TIME, &[], answer(&first[0].1));
    one.hear(kind::TIME, &[], answer(&2u64.to_be_bytes().to_vec().into()));
    assert_eq!(one.events(), [], "one is old, one was not asked yet");
    one.machine.measure_clock(one.now);
    let second = one.transmitted();
    assert_eq!((first.len(), second.len()), (1, 1), "questions that wait are one");
    one.now += Duration::from_millis(30);
    one.hear(kind::TIME, &[], answer(&second[0].1));
    one.hear(kind::TIME, &[], answer(&second[0].1));
    let round_trip = Duration::from_millis(30);
    assert_eq!(one.events(), [Event::Time(Time { round_trip, clock_us: 256 })]);
}
