//! Fuzz targets for both roles; the ordinary tests run them on a corpus and random changes of it.

use super::{client, server};
use bytes::Bytes;
use crosspoint_hub::command::{Command, Entered, Event, Mode, Peer};
use crosspoint_hub::protocol::{Client, Protocol};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{InNumber, MemberNumber, OwnNumber, PeerId};
use std::time::Instant;

/// Feeds the server role, which owns a channel with two members that see messages and has entered
/// another, with the bytes whole and cut in two, and asserts that the cut loses and adds nothing.
pub fn fuzz_joint_server(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let cut = usize::from(*cut).min(data.len());
    assert_eq!(serve(&[data]), serve(&[&data[..cut], &data[cut..]]));
}

/// As [`fuzz_joint_server`] for the client role.
pub fn fuzz_joint_client(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let cut = usize::from(*cut).min(data.len());
    assert_eq!(connect(&[data]), connect(&[&data[..cut], &data[cut..]]));
}

fn serve(pieces: &[&[u8]]) -> Vec<String> {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut server = server::Joint::new();
    server.deliver(
        now,
        &Event::Created {
            request: 1,
            channel: OwnNumber(0),
        },
        &mut out,
    );
    for member in [MemberNumber(0), MemberNumber(1)] {
        let peer = Peer {
            id: PeerId::new([0; 16]),
            name: None,
            protocol: "native",
        };
        let (channel, chunk) = (OwnNumber(0), Some(300));
        server.deliver(
            now,
            &Event::MemberEntered {
                channel,
                member,
                peer,
                chunk,
                replies: false,
            },
            &mut out,
        );
    }
    server.deliver(now, &entered(), &mut out);
    let mut outputs = Vec::new();
    for piece in pieces {
        server.receive(now, Bytes::copy_from_slice(piece));
        while let Some(output) = server.poll(now, &mut out) {
            match output {
                crosspoint_hub::Output::Command(Command::Send { to, part }) => {
                    // Only large frames may be cut differently.
                    assert!(
                        !part.data.is_empty()
                            && part.offset as usize + part.data.len() <= part.total as usize
                    );
                    if part.total <= 256 && part.is_first() && part.is_last() {
                        outputs.push(format!("{to:?} {part:?}"));
                    }
                }
                other => outputs.push(format!("{other:?}")),
            }
        }
    }
    outputs.sort_unstable();
    outputs
}

fn connect(pieces: &[&[u8]]) -> usize {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut client = client::Joint::new(PeerId::new([0; 16]));
    for request in 1..4 {
        let _ = client.command(now, Command::create(request, "own"), &mut out);
        let _ = client.command(now, Command::enter(request, "in"), &mut out);
    }
    let mut events = 0;
    for piece in pieces {
        client.receive(now, Bytes::copy_from_slice(piece));
        while let Some(event) = client.poll(now, &mut out) {
            events += usize::from(!matches!(event, Event::Data { .. }));
        }
    }
    events
}

fn entered() -> Event {
    let (channel, member, chunk) = (InNumber(0), MemberNumber(0), Some(40_000));
    let mode = Mode::Chunk { bytes_max: 40_000 };
    Event::Entered(Entered {
        request: 1,
        channel,
        member,
        mode,
        chunk,
        replies: false,
        room: true,
    })
}
