//! The server role and the hub against what the real server did: the clients' bytes of every
//! transcript are replayed, however they are cut, and each connection has to hear the same.

use crate::common::frames::{Unit, normal, units};
use crate::common::relay::{assert_not_merged, frames};
use crate::common::transcript::{Line, Side, connections, names, read};
use crate::common::{Cut, Dice, World};
use crosspoint_hub::HubOptions;
use std::time::Duration;

const KEEPALIVE: [u8; 6] = [0, 4, 0, 0xff, 0, 0];

/// What the hub's side has written on each connection.
fn replay(name: &str, lines: &[Line], cut: Cut) -> Vec<Vec<u8>> {
    let mut world = World::new(HubOptions::default());
    world.cut = cut;
    let count = connections(lines);
    let mut written: Vec<Vec<u8>> = vec![Vec::new(); count];
    let mut keepalives = vec![0; count];
    for _ in 0..count {
        world.joint();
    }
    for line in lines {
        match (line.side, &line.bytes) {
            (Side::Client, Some(bytes)) => world.feed(line.conn, bytes),
            (Side::Client, None) => world.lose(line.conn),
            (Side::Server, None) => assert!(world.closed(line.conn).is_some(), "{name}"),
            // Elsewhere the recording says nothing about how much time has passed.
            (Side::Server, Some(bytes))
                if bytes[..] == KEEPALIVE && name.ends_with("keepalive") =>
            {
                keepalives[line.conn] += 1;
                if keepalives_in(&written[line.conn]) < keepalives[line.conn] {
                    world.pass(Duration::from_secs(5));
                }
            }
            (Side::Server, Some(_)) => {}
        }
        for (conn, written) in written.iter_mut().enumerate() {
            written.extend(world.written(conn));
        }
    }
    for (written, keepalives) in written.iter().zip(keepalives) {
        assert_eq!(keepalives_in(written), keepalives, "{name}");
    }
    written
}

fn keepalives_in(written: &[u8]) -> usize {
    let keepalive = Unit::Control(KEEPALIVE[2..].to_vec());
    let is_keepalive = |unit: &&Unit| **unit == keepalive;
    units(written).iter().filter(is_keepalive).count()
}

fn recorded(lines: &[Line], conn: usize) -> Vec<u8> {
    lines
        .iter()
        .filter(|line| (line.conn, line.side) == (conn, Side::Server))
        .filter_map(|line| line.bytes.as_deref())
        .flatten()
        .copied()
        .collect()
}

/// Ends that the real server forgets to tell after an unknown command, and tells late or never
/// after the close frame of a WebSocket.
fn untold(name: &str, conn: usize) -> &'static [&'static [u8]] {
    match (name, conn) {
        ("raw-unknown-command", 1) | ("ws-ownervanish", 2) => &[&[0, 2, 0, 1]],
        ("ws-ownervanish", 1) => &[&[0, 2, 0, 1], &[0, 2, 1, 1]],
        ("ws-uservanish", 0 | 1) => &[&[0, 1, 0, 0, 1]],
        _ => &[],
    }
}

fn assert_replay(name: &str, cut: &Cut) {
    let lines = read(name);
    let sent = frames(&lines);
    let written = replay(name, &lines, cut.clone());
    for (conn, written) in written.iter().enumerate() {
        let mut got = units(written);
        assert_not_merged(name, conn, &got, &sent);
        for end in untold(name, conn) {
            let end = Unit::Control(end.to_vec());
            let at = got.iter().position(|unit| *unit == end);
            got.remove(at.expect("the end is told"));
        }
        let got = normal(got);
        let wanted = normal(units(&recorded(&lines, conn)));
        let first = got.iter().zip(&wanted).position(|(got, want)| got != want);
        assert!(
            got == wanted,
            "{name}, connection {conn}, {cut:?}: at {first:?} of {} and {}:\n{:.200?}\n{:.200?}",
            got.len(),
            wanted.len(),
            first.map(|first| &got[first]),
            first.map(|first| &wanted[first]),
        );
    }
}

#[test]
fn every_transcript_replays_as_recorded() {
    names().for_each(|name| assert_replay(name, &Cut::AsTheyCome));
}

#[test]
fn every_transcript_replays_byte_by_byte() {
    names().for_each(|name| assert_replay(name, &Cut::Bytewise));
}

#[test]
fn every_transcript_replays_cut_anywhere() {
    for seed in 0..4 {
        names().for_each(|name| assert_replay(name, &Cut::Anywhere(Dice(seed))));
    }
}
