//! The fuzz target for what a client of Engine.IO says; the ordinary tests run it on random changes of requests.

use super::exchange::{Hang, PACKETS_MAX};
use super::payload::{self, Message};
use super::{Beat, Exchange, Incoming, Query, Revision, Sid, Socket};
use bytes::Bytes;
use crosspoint_hub::protocol::Activity;
use crosspoint_hub::wire::FrameWriter;
use std::time::{Duration, Instant};

/// Reads bytes as the query of a request, and as its body in both revisions: what was read is written and read again.
/// Then asks a session one thing for each byte, with the rest as the body of what is brought: a request is answered
/// once, and nobody hears anything of a session that is over.
pub fn fuzz_engineio(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for key in ["EIO", "sid", "transport", "t"] {
        let value = Query::new(&text).get(key);
        assert!(value.is_none_or(|value| value.len() <= 3 * text.len()));
    }
    if let Some(sid) = Sid::parse(&text) {
        assert_eq!(sid.text(), text);
    }
    let body = Bytes::copy_from_slice(data);
    for revision in [Revision::Three, Revision::Four] {
        for is_octets in [false, true] {
            if let Ok(messages) = payload::decode(revision, is_octets, &body, PACKETS_MAX) {
                again(revision, is_octets, &messages);
                converse(revision, messages);
            }
            ask(revision, is_octets, &body);
        }
    }
}

fn again(revision: Revision, takes_octets: bool, messages: &[Message]) {
    let (body, kind) = payload::encode(revision, takes_octets, messages);
    let read = payload::decode(revision, kind == payload::OCTETS, &body.into(), PACKETS_MAX);
    assert_eq!(read.as_deref(), Ok(messages));
}

/// The packets, and seconds between them.
fn converse(revision: Revision, messages: Vec<Message>) {
    let mut now = Instant::now();
    let second = Duration::from_secs(1);
    let beat = Beat { interval: second * 2, timeout: second, payload_bytes_max: 1 };
    let mut socket = Socket::new(now, revision, Sid::from_bits([7; 16]), true, beat);
    for Message { is_text, bytes } in messages {
        let mut out = FrameWriter::default();
        let length = bytes.len();
        match socket.receive(now, is_text, bytes, &mut out) {
            Ok(None) => assert!(out.len() <= length),
            Ok(Some(Incoming::Text(text))) => assert!(str::from_utf8(&text).is_ok()),
            Ok(Some(Incoming::Binary(_) | Incoming::Closed | Incoming::Away)) => {
                assert!(out.is_empty())
            }
            Err(_) => return,
        }
        now += second;
        let activity = Activity { read: now, written: None };
        assert_eq!(socket.tick(now, activity, &mut out), None);
    }
}

fn ask(revision: Revision, is_octets: bool, body: &Bytes) {
    let mut now = Instant::now();
    let mut exchange = Exchange::new(revision, is_octets);
    let (mut polls, mut posts, mut was_over) = (true, false, false);
    for (at, byte) in body.iter().enumerate().take(200) {
        match byte % 10 {
            0 | 1 => polls |= exchange.poll().is_ok(),
            2 | 3 if polls => {
                let hang = exchange.hang(now);
                if !matches!(hang, Hang::Wait(_)) {
                    exchange.polled(false);
                    polls = false;
                }
            }
            4 => posts |= exchange.post().is_ok(),
            5 if posts => {
                let taken = exchange.posted(is_octets, &body.slice(at + 1..));
                assert!(taken.is_err() || !was_over);
                exchange.post_done();
                posts = false;
            }
            6 => assert!(!exchange.probe(now) || !was_over),
            7 => assert!(!exchange.upgrade() || !was_over),
            8 if exchange.may_hand_over() => {
                assert!(!polls && !posts && !was_over);
                exchange.handed_over();
            }
            9 => now += Duration::from_millis((*byte).into()),
            _ => {}
        }
        assert!(!was_over || exchange.is_over(), "what is over stays so");
        was_over = exchange.is_over();
    }
}
