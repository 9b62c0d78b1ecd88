//! A fuzz target for the parsers of both roles; run by the ordinary tests on random bytes too.

use crate::identity::Identity;
use crate::message::{WelcomeMap, kind, put_frame, put_map};
use crate::{client, frame, server, wire};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::command::{Command, Event};
use crosspoint_hub::protocol::{Client, Output, Protocol};
use crosspoint_hub::wire::{Content, FrameWriter, Wire};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::time::Instant;

/// Feeds both roles, before and after hello and welcome, with the same bytes, whole and cut in
/// two. The cut changes nothing, nothing panics, and whatever was understood is understood again
/// when it is written anew.
pub fn fuzz_native(data: &[u8]) {
    let Some((place, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let place = usize::from(u16::from_be_bytes(*place)) % (data.len() + 1);
    let (first, second) = data.split_at(place);
    for open in [false, true] {
        let served = serve(open, &[data]);
        assert_eq!(served, serve(open, &[first, second]));
        served.0.iter().for_each(assert_command_comes_back);
        let connected = connect(open, &[data]);
        assert_eq!(connected, connect(open, &[first, second]));
        connected.0.iter().for_each(assert_event_comes_back);
    }
}

fn flat(out: &mut FrameWriter) -> Bytes {
    let encoded = out.take();
    let pieces: Vec<Bytes> = encoded.pieces().cloned().collect();
    pieces.concat().into()
}

/// A client that has said hello; with a key it can be asked for a proof.
fn hello(now: Instant, key: bool, out: &mut FrameWriter) -> client::Native {
    let identity = key.then(|| Arc::new(Identity::from_bytes(&[1; 32])));
    client::Native::new(now, client::Options { identity, ..client::Options::default() }, out)
}

fn serve(open: bool, pieces: &[&[u8]]) -> (Vec<Output>, Bytes) {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let options = server::Options { random: Some([2; 32]), ..server::Options::default() };
    let mut server = server::Native::new(now, options);
    if open {
        let _client = hello(now, false, &mut out);
        server.receive(now, flat(&mut out));
        assert!(server.poll(now, &mut out).is_some());
    }
    let mut outputs = Vec::new();
    for piece in pieces {
        server.receive(now, Bytes::copy_from_slice(piece));
        outputs.extend(std::iter::from_fn(|| server.poll(now, &mut out)));
    }
    let closed = |output: &Output| matches!(output, Output::Close(_));
    let end = outputs.iter().position(closed);
    assert!(end.is_none_or(|end| end + 1 == outputs.len()), "nothing after the end");
    (outputs, flat(&mut out))
}

fn welcome(out: &mut FrameWriter) -> Bytes {
    let map = WelcomeMap {
        v: crate::message::VERSION,
        id: ByteBuf::from([0; 16]),
        message_max: u32::MAX,
        ..WelcomeMap::default()
    };
    let mut body = BytesMut::new();
    put_map(&map, &mut body);
    put_frame(kind::WELCOME, &body, out);
    flat(out)
}

fn connect(open: bool, pieces: &[&[u8]]) -> (Vec<Event>, Bytes) {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut client = hello(now, !open, &mut out);
    let _hello = out.take();
    if open {
        client.receive(now, welcome(&mut out));
        assert!(client.poll(now, &mut out).is_some());
    }
    let mut events = Vec::new();
    for piece in pieces {
        client.receive(now, Bytes::copy_from_slice(piece));
        events.extend(std::iter::from_fn(|| client.poll(now, &mut out)));
    }
    (events, flat(&mut out))
}

/// Whether a part is written as one frame.
fn is_small(length: usize) -> bool {
    length <= 2 * frame::PART_BYTES_MAX
}

fn assert_command_comes_back(output: &Output) {
    let Output::Command(command) = output else {
        return;
    };
    match command {
        Command::Hello(_) => return,
        Command::Send { part, .. } if !is_small(part.data.len()) => return,
        _ => {}
    }
    let mut out = FrameWriter::default();
    crate::message::put_command(command, frame::FRAME_BYTES_MAX, &mut out);
    let written = flat(&mut out);
    // Written in full, a map may be longer than one that leaves out what is usual.
    if written.len() <= frame::FRAME_BYTES_MAX {
        let (again, _) = serve(true, &[&written]);
        assert_eq!(again, std::slice::from_ref(output));
    }
}

fn assert_event_comes_back(event: &Event) {
    let mut out = FrameWriter::default();
    match event {
        Event::Welcome { .. } | Event::Closed { .. } => return,
        Event::Data { part, .. } if !is_small(part.data.len()) => return,
        Event::Data { place, part } => {
            let (place, chunk) = (*place, None);
            wire::WIRE.encode(&Content::Part { place, chunk, part }, &mut out);
        }
        other => crate::message::put_event(other, &mut out),
    }
    let written = flat(&mut out);
    if written.len() <= frame::FRAME_BYTES_MAX {
        let (again, _) = connect(true, &[&written]);
        assert_eq!(again, std::slice::from_ref(event));
    }
}
