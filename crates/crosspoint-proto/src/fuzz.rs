//! A fuzz target for the parsers of both roles; run by the ordinary tests on random bytes too.

use crate::{client, server};
use bytes::Bytes;
use crosspoint_hub::protocol::{Client, Protocol};
use crosspoint_hub::wire::FrameWriter;
use std::time::Instant;

/// Feeds both roles with the same bytes, whole and cut in two, and asserts that the cut changes
/// nothing and that nothing panics.
pub fn fuzz_native(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let cut = usize::from(*cut).min(data.len());
    assert_eq!(serve(&[data]), serve(&[&data[..cut], &data[cut..]]));
    assert_eq!(connect(&[data]), connect(&[&data[..cut], &data[cut..]]));
}

fn serve(pieces: &[&[u8]]) -> Vec<String> {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut server = server::Native::new(now, server::Options::default());
    let mut outputs = Vec::new();
    for piece in pieces {
        server.receive(now, Bytes::copy_from_slice(piece));
        while let Some(output) = server.poll(now, &mut out) {
            outputs.push(format!("{output:?}"));
        }
    }
    outputs.push(format!("{:?}", out.take().first));
    outputs
}

fn connect(pieces: &[&[u8]]) -> Vec<String> {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut client = client::Native::new(now, client::Options::default(), &mut out);
    let mut events = Vec::new();
    for piece in pieces {
        client.receive(now, Bytes::copy_from_slice(piece));
        while let Some(event) = client.poll(now, &mut out) {
            events.push(format!("{event:?}"));
        }
    }
    events.push(format!("{:?}", out.take().first));
    events
}
