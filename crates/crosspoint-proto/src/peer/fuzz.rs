//! A fuzz target for the machine; run by the ordinary tests too.

use super::body::{Form, Incoming, kind, parse};
use super::halves::Read;
use super::machine::Machine;
use super::stream_id::StreamId;
use super::{Config, Side};
use bytes::Bytes;
use crosspoint_hub::payload::{Failure, Format, Payload};
use std::time::{Duration, Instant};

/// In the place of a kind: the application does something.
const COMMAND: u8 = 0x7f;

/// Feeds both sides with the same messages, with an application that answers, reads, writes and
/// sends when the data say so. Nothing panics, no bound is exceeded, whatever was understood is
/// understood again when it is written anew, and whatever is sent keeps the rules.
///
/// The data are kind, two bytes of length, and body, again and again; or `COMMAND` and two bytes
/// for the application.
pub fn fuzz_peer(data: &[u8]) {
    for side in [Side::Opener, Side::Accepter] {
        let mut machine = lively(side);
        let mut now = Instant::now();
        let mut rest = data;
        while let [kind, first, second, after @ ..] = rest {
            rest = after;
            if *kind == COMMAND {
                command(&mut machine, &mut now, *first, u32::from(*second));
            } else {
                let length = usize::from(u16::from_be_bytes([*first, *second]));
                let body;
                (body, rest) = rest.split_at(length.min(rest.len()));
                let body = Bytes::copy_from_slice(body);
                assert_comes_back(*kind, &body);
                if machine.receive(now, *kind, body).is_err() {
                    break;
                }
            }
            while machine.poll().is_some() {}
            assert_bounded(&machine);
        }
        while let Some((kind, body)) = machine.transmit(7) {
            assert!(matches!(parse(kind, body), Ok(Some(_))), "what is sent can be read");
            while machine.poll().is_some() {}
            assert_bounded(&machine);
        }
        assert_eq!(machine.out.control.len(), 0);
    }
}

fn config() -> Config {
    Config {
        requests_in_max: 3,
        streams_in_max: 3,
        window_bytes: 1500,
        send_buffer_bytes: 100,
        queue_bytes_max: 1000,
        answers_max: 8,
        ..Config::default()
    }
}

/// A machine with requests and streams of both sides, in every state.
fn lively(side: Side) -> Machine {
    let now = Instant::now();
    let mut machine = Machine::new(side, config());
    let (own, other) = if side == Side::Opener { (0, 1) } else { (1, 0) };
    for time in [None, Some(Duration::from_millis(5))] {
        let asked = machine.request(now, time, "method", Format::TEXT, b"payload");
        asked.expect("nothing waits yet");
    }
    for _ in 0..2 {
        machine.open("name", b"metadata").expect("nothing is open yet");
    }
    machine.measure_clock(now);
    while machine.transmit(0).is_some() {}
    machine.request(now, None, "", Format::JSON, b"not sent").expect("two wait");
    for (kind, numbers, rest) in [
        (kind::ACCEPT, [own, 200], &b""[..]),
        (kind::OPEN, [other, 200], b"\x04name"),
        (kind::OPEN, [other + 2, 200], b"\x00metadata"),
        (kind::REQUEST, [1, 0], b"\x06method\x01payload"),
        (kind::REQUEST, [2, 3], b"\x00\x00"),
    ] {
        let body = Form { numbers: &numbers, rest, ..Form::default() }.write();
        machine.receive(now, kind, body).expect("it keeps the rules");
    }
    machine.accept(StreamId(other)).expect("it is on offer");
    machine.write(StreamId(own), b"first bytes").expect("it is open");
    while machine.poll().is_some() {}
    machine
}

/// What the application does does not have to make sense to be harmless.
fn command(machine: &mut Machine, now: &mut Instant, what: u8, which: u32) {
    let stream = StreamId(which % 8);
    match what % 12 {
        0 => drop(machine.transmit(7)),
        1 => {
            *now += Duration::from_millis(which.into());
            machine.tick(*now);
        }
        2 => drop(machine.answer(which % 4, Format::TEXT, b"answer")),
        3 => drop(machine.fail(which % 4, 500, "why", Format::BYTES, b"")),
        4 => {
            machine.cancel(which % 4);
        }
        5 => drop(machine.request(*now, Some(Duration::from_millis(9)), "m", Format(9), b"p")),
        6 => drop(machine.open("n", b"")),
        7 => drop(machine.accept(stream)),
        8 => drop(machine.write(stream, &[8; 70])),
        9 => drop(machine.finish(stream)),
        10 => match machine.read(stream, 100) {
            Ok(Read::Bytes(bytes)) => assert!((1..=100).contains(&bytes.len())),
            Ok(Read::Pending | Read::End) | Err(_) => {}
        },
        _ => drop(machine.reset(stream, which, "text")),
    }
}

fn assert_bounded(machine: &Machine) {
    let config = machine.config();
    let streams = machine.streams_in() + machine.streams_out();
    assert!(machine.requests_in() <= config.requests_in_max as usize);
    assert!(machine.streams_in() <= config.streams_in_max as usize);
    assert!(machine.unread_bytes() <= streams * config.window_bytes as usize);
    // One message may go beyond the bound of the queue; those here are short.
    let unsent_max = config.queue_bytes_max + 200 + streams * config.send_buffer_bytes;
    assert!(machine.unsent_bytes() <= unsent_max);
    // Each stream may wait to be answered, give credit and be reset; each request be cancelled.
    let outputs = config.answers_max
        + 3 * (config.streams_in_max + config.streams_out_max) as usize
        + config.requests_out_max as usize
        + 1;
    assert!(machine.out.control.len() <= outputs);
    assert_eq!(machine.out.events.len(), 0);
}

fn assert_comes_back(kind: u8, body: &Bytes) {
    let Ok(Some(message)) = parse(kind, body.clone()) else {
        return;
    };
    let again = parse(kind, written(&message));
    assert_eq!(again, Ok(Some(message)));
}

/// A message as this implementation would write it.
fn written(message: &Incoming) -> Bytes {
    let plain = |numbers: &[u32], counted, rest: &[u8]| {
        Form { numbers, counted, format: None, rest }.write()
    };
    let with = |numbers: &[u32], counted, payload: &Payload| {
        let (format, rest) = (Some(payload.format), &payload.data[..]);
        Form { numbers, counted, format, rest }.write()
    };
    match message {
        Incoming::Typed { body, .. } => body.clone(),
        Incoming::Message(payload) => with(&[], None, payload),
        Incoming::Request { id, time_ms, method, payload } => {
            with(&[*id, *time_ms], Some(method.as_str()), payload)
        }
        Incoming::Result { id, payload } => with(&[*id], None, payload),
        Incoming::Failure { id, failure: Failure { code, message, details } } => {
            with(&[*id, *code], Some(message.as_str()), details)
        }
        Incoming::Cancel { id } => plain(&[*id], None, b""),
        Incoming::Notify { method, payload } => with(&[], Some(method.as_str()), payload),
        Incoming::Open { stream, window, name, metadata } => {
            plain(&[stream.0, *window], Some(name.as_str()), metadata)
        }
        Incoming::Accept { stream, window } => plain(&[stream.0, *window], None, b""),
        Incoming::Bytes { stream, bytes } => plain(&[stream.0], None, bytes),
        Incoming::Credit { stream, more } => plain(&[stream.0, *more], None, b""),
        Incoming::End { stream } => plain(&[stream.0], None, b""),
        Incoming::Reset { stream, code, text } => plain(&[stream.0, *code], None, text.as_bytes()),
        Incoming::Clock { token } => plain(&[], None, token),
        Incoming::Time { token, clock_us } => {
            plain(&[], None, &[*token, clock_us.to_be_bytes()].concat())
        }
    }
}
