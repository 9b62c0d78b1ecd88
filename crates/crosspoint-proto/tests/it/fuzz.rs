//! The fuzz target on what both roles write, and on random changes of it.

use crate::common;
use crate::common::{Pair, command, event, heartbeat};
use crosspoint_proto::fuzz::fuzz_native;
use crosspoint_proto::identity::Identity;
use crosspoint_proto::{client, server};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Truncate(Index),
    Remove(Index, u8),
    /// Copies some bytes to another place.
    Splice(Index, u8, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    // What lengths, maps and numbers are most sensitive to.
    let edge = prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xc1, 0xdf, 0xff]);
    prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), edge).prop_map(|(at, byte)| Change::Set(at, byte)),
        at().prop_map(Change::Truncate),
        (at(), 1u8..9).prop_map(|(at, count)| Change::Remove(at, count)),
        (at(), 1u8..40, at()).prop_map(|(from, count, to)| Change::Splice(from, count, to)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        let length = bytes.len();
        if length == 0 {
            return bytes;
        }
        match change {
            Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Change::Set(at, byte) => bytes[at.index(length)] = byte,
            Change::Truncate(at) => bytes.truncate(at.index(length)),
            Change::Remove(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + usize::from(count)));
            }
            Change::Splice(from, count, to) => {
                let from = from.index(length);
                let copy = bytes[from..length.min(from + usize::from(count))].to_vec();
                let to = to.index(length);
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_commands_do_no_harm(
        cut: [u8; 2],
        commands in prop::collection::vec(command(), 1..5),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        let mut pair = Pair::open();
        let mut bytes = cut.to_vec();
        let written = commands.into_iter().flat_map(|command| pair.command(command));
        bytes.extend(changed(written.flatten().collect(), changes));
        fuzz_native(&bytes);
    }

    #[test]
    fn changed_events_do_no_harm(
        cut: [u8; 2],
        events in prop::collection::vec(event(), 1..5),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        let mut pair = Pair::open();
        let mut bytes = cut.to_vec();
        let written = events.iter().flat_map(|event| pair.deliver(event));
        bytes.extend(changed(written.collect(), changes));
        fuzz_native(&bytes);
    }

    #[test]
    fn changed_beginnings_do_no_harm(
        cut: [u8; 2],
        key: bool,
        heartbeat in heartbeat(),
        changes in prop::collection::vec(change(), 0..4),
        rest: Vec<u8>,
    ) {
        let identity = key.then(|| Arc::new(Identity::from_bytes(&[1; 32])));
        let options = client::Options { identity, heartbeat, ..client::Options::default() };
        let (_, hello) = Pair::with(server::Options::default(), options);
        let mut bytes = cut.to_vec();
        bytes.extend(changed(hello, changes));
        bytes.extend(rest);
        fuzz_native(&bytes);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>) {
        fuzz_native(&bytes);
    }
}

/// Deep nesting must not use up the stack.
#[test]
fn a_map_of_maps_without_end_does_no_harm() {
    let nested = [&[0, 0, 1, 1, b'x', 0x81, 0xa1, b'y'][..], &[0x91; 60_000]].concat();
    for kind in [0x01, 0x02, 0x10, 0x11, 0x19, 0x1b] {
        let mut bytes = vec![0, 0];
        bytes.extend(common::frame(kind, &nested[2..]));
        fuzz_native(&bytes);
        let mut bytes = vec![0, 0];
        bytes.extend(common::frame(kind, &nested));
        fuzz_native(&bytes);
    }
}
