//! Wrong input harms only its sender. The first tests are the rows of docs/peote.md, section 9.

use crate::common::peer::{Peer, UPGRADE, closed_with, enter, head, message, up, upgrade};
use crate::common::{Dice, Link, Served, cram, serve, serve_with, until, within};
use bytes::BytesMut;
use crosspoint_hub::command::{ChannelCommand, Command, Target};
use crosspoint_hub::{Event, JoinedChannelId, MemberNumber, OwnedChannelId, Part, Place, Reason};
use crosspoint_net::ws::{Opcode, frame};
use std::time::Duration;

/// An owner of `room` and its member 0, as raw connections, with all replies read.
async fn pair(served: &Served) -> (Link, Link) {
    let mut owner = served.memory();
    owner.send(b"\0\0\x01\x04room").await;
    owner.expect(&[0, 3, 1, 0, 0]).await;
    let mut member = served.memory();
    member.send(b"\0\x01\x01\x04room").await;
    member.expect(&[0, 3, 1, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    (owner, member)
}

/// Sees that everything a connection sent was looked at: no channel has this name.
async fn settled(link: &mut Link) {
    link.send(b"\0\x01\xee\x02??").await;
    link.expect(&[0, 3, 0xee, 1, 1]).await;
}

/// In those two seconds it could send without a rate.
#[tokio::test(start_paused = true)]
async fn who_goes_on_after_its_end_is_listened_to_only_as_long_as_it_takes_to_notice() {
    let served = serve();
    let nothing = vec![0; 64 * 1024];
    for (websocket, flood) in [(false, nothing.clone().into()), (true, message(&nothing))] {
        let mut link = served.memory();
        let mistake = b"\0\0\x01\x04room\0\xff\xff\xff\xff";
        if websocket {
            upgrade(&mut link).await;
            link.send(&message(mistake)).await;
        } else {
            link.send(mistake).await;
        }
        let (begun, mut sent) = (tokio::time::Instant::now(), 0);
        while link.sends(&flood).await {
            sent += flood.len();
            assert!(sent < 20 << 20, "it reads on and on");
        }
        assert!(sent > 15 << 20, "{sent} {websocket}: so much may be on its way");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        served.empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_frame_of_a_member_arrives_as_two() {
    let served = serve();
    let (mut owner, member) = pair(&served).await;
    let data: Vec<u8> = (0..32_766u32).map(|index| index as u8).collect();
    member.send(&[&[0xff, 0xff, 0][..], &data].concat()).await;
    let mut got = Vec::new();
    while got.len() < data.len() {
        let size = owner.take(1).await[0];
        let size = match size {
            0x80.. => usize::from(size & 0x7f) << 8 | usize::from(owner.take(1).await[0]),
            short => usize::from(short),
        };
        owner.expect(&[0x80, 0]).await;
        got.extend_from_slice(&owner.take(size - 2).await);
    }
    assert!(got == data);
}

#[tokio::test(start_paused = true)]
async fn an_empty_frame_of_a_member_is_nothing() {
    let served = serve();
    let (mut owner, member) = pair(&served).await;
    for empty in [[1, 0], [1, 1], [1, 77]] {
        member.send(&empty).await;
        // The next one comes in two pieces.
        member.send(&[4, 0, b'a']).await;
        member.send(b"bc").await;
        owner.expect(b"\x05\x80\0abc").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_without_data_ends_with_its_frame() {
    let served = serve();
    let (owner, mut member) = pair(&served).await;
    let mut other = served.memory();
    other.send(b"\0\x01\x01\x04room").await;
    other.expect(&[0, 3, 1, 0, 0]).await;
    owner.send(&[1, 1, 1, 0x80, 3, 0x80, 0, b'x']).await;
    member.expect(b"\x02\0x").await;
    // Everybody but one, and nothing to say.
    owner.send(&[1, 0, 2, 0x80, 1, 3, 0x80, 1, b'y']).await;
    other.expect(b"\x02\0y").await;
    settled(&mut member).await;
    settled(&mut other).await;
}

#[tokio::test(start_paused = true)]
async fn websocket_messages_are_taken_up_to_64_kib_in_any_number_of_fragments() {
    let served = serve();
    let (mut owner, _member) = pair(&served).await;
    let mut socket = served.memory();
    upgrade(&mut socket).await;
    let frames = [b"\0\x01\x01\x04room".to_vec(), b"\x02\0x".repeat(21_842)].concat();
    // The handshake of the protocol and data in one message that is as large as it may be.
    assert_eq!(frames.len() + 2, 65_536);
    socket.send(&message(&[&frames[..], &[2, 0]].concat())).await;
    owner.expect(&[0, 4, 0, 0, 0, 1]).await;
    owner.expect(&b"\x03\x80\x01x".repeat(21_842)).await;
    let mut fragments = BytesMut::new();
    for index in 0..1000 {
        let opcode = if index == 0 { Opcode::Binary } else { Opcode::Continuation };
        let byte = [b"y\x02\0"[index % 3]];
        frame::client_frame(opcode, index == 999, &byte, [index as u8; 4], &mut fragments);
    }
    socket.send(&fragments).await;
    owner.expect(&b"\x03\x80\x01y".repeat(334)).await;
    socket.take(7).await;
    socket.send(&message(&[0; 65_537])).await;
    // The end push in a message of its own, then the close frame.
    socket.expect(&[0x82, 6, 0, 4, 0, 2, 0, 1]).await;
    closed_with(&mut socket, 1009).await;
    owner.expect(&[0, 5, 0, 1, 0, 1, 1]).await;
    assert_eq!(served.hits("frame_bytes_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_command_closes_the_connection_and_frees_what_it_had() {
    let served = serve();
    for command in [5, 6, 255] {
        let (mut owner, mut member) = pair(&served).await;
        owner.send(&[0, command]).await;
        assert!(owner.rest().await.is_empty());
        member.expect(&[0, 4, 0, 2, 0, 1]).await;
        member.send(&[0, command, 0, 0]).await;
        assert!(member.rest().await.is_empty());
    }
    served.empty().await;
    assert_eq!(served.closed(Reason::Malformed), 6);
}

#[tokio::test(start_paused = true)]
async fn odd_commands_do_what_they_can() {
    let served = serve();
    let mut owner = served.memory();
    // An empty name is a name, and acted upon at once.
    owner.send(&[0, 0, 9, 0]).await;
    owner.expect(&[0, 3, 9, 0, 0]).await;
    let mut member = served.memory();
    member.send(&[0, 1, 9, 0]).await;
    member.expect(&[0, 3, 9, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    // Deletes of what is not owned, leaves of what is not entered, and both of nothing.
    owner.send(&[0, 3, 0, 1, 1, 0, 3, 0, 1, 200, 0, 3, 0, 0, 0, 2, 0, 1, 0, 0, 2, 0, 0]).await;
    member.send(&[0, 3, 0, 1, 0, 0, 2, 0, 1, 5, 0, 2, 0, 1, 255, 0, 2, 5, 0]).await;
    settled(&mut owner).await;
    settled(&mut member).await;
    // The first byte of a longer payload counts, the rest is skipped.
    member.send(&[0, 2, 0, 3, 0, 4, 4]).await;
    owner.expect(&[0, 5, 0, 1, 0, 0, 0]).await;
    settled(&mut member).await;
    assert_eq!(served.hub.channels(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_frame_goes_nowhere_when_its_channel_has_ended() {
    let served = serve();
    let (mut owner, mut member) = pair(&served).await;
    // The first half is handed on at once, as the frame is large.
    member.send(&[&[0x80 | 0x20, 0, 0][..], &[1; 4000]].concat()).await;
    owner.expect(&[0x8f, 0xa2, 0x80, 0]).await;
    owner.expect(&[1; 4000]).await;
    owner.send(b"\0\x03\0\x01\0\0\0\x01\x04room").await;
    owner.expect(&[0, 3, 1, 0, 0]).await;
    member.expect(&[0, 4, 0, 2, 0, 0]).await;
    let mut other = served.memory();
    other.send(b"\0\x01\x01\x04room").await;
    other.expect(&[0, 3, 1, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    // The rest belongs to a membership that is no more, even when the number is back.
    member.send(&[2; 4191]).await;
    settled(&mut member).await;
    member.send(b"\0\x01\x01\x04room").await;
    member.expect(&[0, 3, 1, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 1]).await;
    member.send(b"\x02\0z").await;
    owner.expect(b"\x03\x80\x01z").await;
}

#[tokio::test(start_paused = true)]
async fn who_enters_in_the_middle_of_a_broadcast_gets_nothing_of_it() {
    let served = serve();
    let (mut owner, mut member) = pair(&served).await;
    owner.send(&[&[1, 1, 0x80 | 0x20, 0, 0x80][..], &[1; 5000]].concat()).await;
    member.expect(&[0x93, 0x89, 0]).await;
    member.expect(&[1; 5000]).await;
    let mut late = served.memory();
    late.send(b"\0\x01\x01\x04room").await;
    late.expect(&[0, 3, 1, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 1]).await;
    owner.send(&[&[2; 3191][..], &[1, 1, 2, 0x80, b'n']].concat()).await;
    late.expect(b"\x02\0n").await;
    member.take(3 + 3191).await;
    member.expect(b"\x02\0n").await;
}

#[tokio::test(start_paused = true)]
async fn data_for_numbers_that_name_nothing_is_dropped_and_counted() {
    let served = serve();
    let (mut owner, mut member) = pair(&served).await;
    // No such member, no such channel, no such membership, broadcasts of nothing to nobody.
    owner
        .send(&[3, 0x80, 9, 1, 3, 0xff, 0, 1, 2, 5, 1, 1, 1, 2, 0x85, 1, 1, 0, 3, 0x85, 1, 1])
        .await;
    member.send(&[2, 1, 1, 3, 0x80, 0, 1, 2, 0x7f, 1]).await;
    settled(&mut owner).await;
    settled(&mut member).await;
    assert_eq!(served.hub.metrics.dropped.get(), 6);
    assert_eq!(served.hub.metrics.messages_out.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_connection_can_own_and_enter_under_the_same_numbers() {
    let served = serve();
    let mut one = Peer::joint(served.memory());
    let mut two = Peer::joint_ws(served.memory()).await;
    let (mine, theirs) = (one.create("one").await, two.create("two").await);
    let (there, here) = (one.enter("two").await, two.enter("one").await);
    assert_eq!((mine.0, theirs.0, there.0, here.0), (0, 0, 0, 0));
    assert_eq!(one.try_enter("one").await, Err(Reason::OwnChannel));
    one.send_up(there, b"a").await;
    one.send_to(mine, MemberNumber(0), b"b").await;
    assert_eq!(two.data().await, (Place::Own(OwnedChannelId(0), MemberNumber(0)), "a".into()));
    assert_eq!(two.data().await, (Place::In(JoinedChannelId(0)), "b".into()));
    one.tell(ChannelCommand::Leave(there)).await;
    assert_eq!(two.left().await.1, Reason::Left);
    one.send_to(mine, MemberNumber(0), b"c").await;
    assert_eq!(two.data().await, (Place::In(JoinedChannelId(0)), "c".into()));
}

#[tokio::test(start_paused = true)]
async fn whoever_enters_and_leaves_without_end_harms_no_owner() {
    const ROUNDS: usize = 40_000;
    let served = serve_with(|hub| hub.limits.outbox_bytes_max = 64 * 1024);
    for cramped in [false, true] {
        let link = if cramped { served.cramped(500) } else { served.memory() };
        let mut owner = Peer::joint(link);
        let own = owner.create("room").await;
        let member = served.memory();
        let mut flood = b"\0\x01\x01\x04room\0\x02\0\x01\0".repeat(ROUNDS);
        flood.extend_from_slice(b"\0\x01\xee\x02??");
        let sent = cram(&member, &flood).await;
        if cramped {
            assert!(sent < flood.len(), "the owner does not read, so the member is not read");
        }
        let (mut reader, mut rest) = (member, &flood[sent..]);
        let come_and_go = async {
            for _ in 0..ROUNDS {
                assert_eq!(owner.joined().await, MemberNumber(0));
                assert_eq!(owner.left().await, (MemberNumber(0), Reason::Left));
            }
        };
        let flooding = async {
            loop {
                rest = &rest[reader.try_send(rest)..];
                let head = reader.take(2).await;
                // What was left before the reply was written needs none, and on the test's clock
                // this takes so long that keepalives come in between.
                if reader.take(head[1].into()).await == [0xee, 1, 1][..] {
                    break;
                }
            }
        };
        tokio::join!(come_and_go, flooding);
        owner.tell(ChannelCommand::Delete(own)).await;
    }
    assert_eq!(served.closed(Reason::SlowReceiver), 0);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn channels_that_are_opened_and_deleted_without_end_leave_nothing() {
    let served = serve();
    let mut link = served.memory();
    let flood = b"\0\0\x01\x04room\0\x03\0\x01\0".repeat(1000);
    for _ in 0..20 {
        link.send(&flood).await;
        link.expect(&[0, 3, 1, 0, 0].repeat(1000)).await;
    }
    settled(&mut link).await;
    drop(link);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_tiny_frames_in_one_write_arrive_in_ten_times_the_reads_of_ten_thousand()
{
    let served = serve();
    let (mut owner, member) = pair(&served).await;
    let mut work = Vec::new();
    for count in [10_000, 100_000] {
        let (frames, expected) = (b"\x02\0x".repeat(count), b"\x03\x80\0x".repeat(count));
        let sent = member.send(&frames);
        let mut reads = 0;
        let read = async {
            let mut rest = expected.len();
            while rest > 0 {
                if owner.input.is_empty() {
                    owner.fill().await;
                    reads += 1;
                }
                let part = owner.take(owner.input.len().min(rest)).await;
                assert!(expected[expected.len() - rest..].starts_with(&part));
                rest -= part.len();
            }
        };
        tokio::join!(sent, read);
        work.push(reads);
    }
    assert!(work[1] <= 12 * work[0] && work[0] <= 10, "{work:?}");
}

/// A native frame from its type and body.
fn native(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[body.len() as u8 + 1, kind][..], body].concat()
}

#[tokio::test(start_paused = true)]
async fn native_frames_that_break_the_protocol_close_their_sender_with_a_reason() {
    let served = serve();
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut witness = Peer::native(served.memory()).await;
    let number = witness.enter("room").await;
    owner.joined().await;
    let part = |total: u8, offset: u8, data: &[u8]| {
        native(0x70, &[&[0, 0, total, offset][..], data].concat())
    };
    let wrong: Vec<(&str, Vec<u8>)> = vec![
        ("a length of zero", vec![0]),
        ("a length without end", vec![0xff; 6]),
        ("a type that nobody knows", native(0x7e, b"")),
        ("a second hello", native(0x01, b"\x81\xa1v\x01")),
        ("an event", native(0x18, &[1, 0])),
        ("a create without a name", native(0x10, &[1])),
        ("a name that is longer than its frame", native(0x10, &[1, 9, b'a'])),
        ("options that are no map", native(0x10, &[1, 1, b'a', 0xc3])),
        ("a map that promises more", native(0x11, &[1, 1, b'a', 0xde, 0xff, 0xff])),
        ("a chunk size of zero", native(0x10, b"\x01\x01a\x81\xa3max\x00")),
        ("an id of a wrong length", native(0x15, &[0; 9])),
        ("a ping without its token", native(0x04, &[1, 2])),
        ("a number above 32 bits", native(0x12, &[0xff, 0xff, 0xff, 0xff, 0x7f])),
        ("nothing at all to send", native(0x30, &[])),
        ("a part beyond the end", part(3, 2, b"abc")),
        ("an empty part", part(3, 0, b"")),
        ("parts with a gap", [part(9, 0, b"ab"), part(9, 3, b"d")].concat()),
        ("parts of another length", [part(9, 0, b"ab"), part(8, 2, b"c")].concat()),
        ("a message inside another", [part(9, 0, b"ab"), native(0x30, &[0, b'x'])].concat()),
    ];
    let count = wrong.len() as u64;
    for (what, bytes) in wrong {
        let mut peer = Peer::native(served.memory()).await;
        peer.enter("room").await;
        let told = owner.joined().await;
        peer.link.send(&bytes).await;
        assert_eq!(peer.closed().await, Reason::Malformed, "{what}");
        assert_eq!(owner.left().await, (told, Reason::ConnectionLost), "{what}");
    }
    assert_eq!(served.closed(Reason::Malformed), count);

    // What may be skipped is skipped, and the rest of something that was never begun is dropped.
    let mut peer = Peer::native(served.memory()).await;
    peer.enter("room").await;
    peer.link.send(&[native(0xfe, b"future"), part(9, 4, b"rest")].concat()).await;
    peer.settle().await;
    // Before the hello nothing else may come.
    let mut early = served.memory();
    early.send(b"XPT1").await;
    early.send(&native(0x10, b"\x01\x01a")).await;
    let close = early.rest().await;
    assert_eq!(close[1..3], [3, Reason::Malformed.number() as u8]);
    let mut future = served.memory();
    future.send(b"XPT1").await;
    future.send(&native(0x01, b"\x82\xa1v\x63\xa5v_min\x62")).await;
    assert_eq!(future.rest().await[1..3], [3, Reason::VersionUnsupported.number() as u8]);

    witness.send_up(number, b"still here").await;
    owner
        .find(|event| {
            matches!(event, Event::Data { part, .. } if part.data == "still here").then_some(())
        })
        .await;
    assert_eq!(own, OwnedChannelId(0));
}

#[tokio::test(start_paused = true)]
async fn websocket_frames_that_break_the_standard_close_their_sender_with_a_code() {
    let served = serve();
    let mut owner = Peer::joint(served.memory());
    owner.create("room").await;
    let masked = |opcode, fin, payload: &[u8]| {
        let mut out = BytesMut::new();
        frame::client_frame(opcode, fin, payload, [4; 4], &mut out);
        out.to_vec()
    };
    let wrong = [
        vec![0xc2, 0],
        vec![0x83, 0],
        vec![0x8f, 0],
        vec![0x80, 0],
        vec![0x09, 0],
        vec![0x89, 126, 0, 126],
        vec![0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
        vec![0x88, 1, 3],
        vec![0x88, 2, 0, 0],
        [masked(Opcode::Binary, false, b""), masked(Opcode::Binary, true, b"")].concat(),
    ];
    for bytes in wrong {
        let mut peer = Peer::joint_ws(served.memory()).await;
        peer.enter("room").await;
        let told = owner.joined().await;
        peer.link.send(&bytes).await;
        assert_eq!(peer.ended().await.1, Reason::OwnerLost);
        peer.closed().await;
        assert_eq!(peer.code, Some(1002), "{bytes:02x?}");
        assert_eq!(owner.left().await, (told, Reason::ConnectionLost), "{bytes:02x?}");
    }
}

/// Bytes that look more or less like something.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.below(8) {
        0 => Vec::new(),
        1 => b"XPT1".to_vec(),
        2..=3 => b"XPT1\x05\x01\x81\xa1v\x01".to_vec(),
        4 => UPGRADE.as_bytes().to_vec(),
        5 => b"\0\0\x01\x01a\0\x01\x02\x01b".to_vec(),
        6 => b"GET /metrics HTTP/1.1\r\n".to_vec(),
        _ => vec![0x16, 3, 1, 0],
    };
    let websocket = bytes.starts_with(b"GET /socket");
    for _ in 0..dice.below(30) {
        let mut piece = match dice.below(6) {
            0 => {
                let count = dice.below(200);
                dice.bytes(count)
            }
            // Commands and data of the joint protocol with small numbers and names.
            1 => vec![0, dice.below(4) as u8, dice.roll() as u8, 1, b'a' + dice.below(4) as u8],
            2 => vec![2 + dice.below(3) as u8, 0x80 * dice.below(2) as u8, 0, 1, 2],
            3 => vec![1, dice.below(3) as u8, 3, 0x80, 0, 9],
            // Native frames with random bodies.
            4 => {
                let kinds =
                    [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x30, 0x31, 0x32, 0x70, 0x72];
                let count = dice.below(12);
                native(kinds[dice.below(kinds.len())], &dice.bytes(count))
            }
            _ => [native(0x10, &[1, 1, b'a']), native(0x11, &[2, 1, b'b'])].concat(),
        };
        if websocket && dice.below(10) > 0 {
            piece = message(&piece).to_vec();
        }
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[tokio::test]
async fn garbage_on_thousands_of_connections_disturbs_nobody() {
    let served = serve();
    let mut owner = Peer::native(served.tcp().await).await;
    let own = owner.create("a quiet place").await;
    let mut member = Peer::joint_ws(served.tcp().await).await;
    let number = member.enter("a quiet place").await;
    let told = owner.joined().await;
    let mut dice = Dice(2024);
    let mut open: Vec<Link> = Vec::new();
    for round in 0..4000u32 {
        let link = if round % 8 == 0 { served.tcp().await } else { served.memory() };
        link.try_send(&garbage(&mut dice));
        open.push(link);
        if open.len() > 100 {
            let mut link = open.swap_remove(dice.below(open.len()));
            match dice.below(4) {
                0 => link.abort(),
                1 => link.finish(),
                2 => {
                    link.try_send(&garbage(&mut dice));
                    open.push(link);
                }
                _ => {
                    link.finish();
                    link.rest().await;
                }
            }
        }
        if round % 20 == 0 {
            let data = round.to_be_bytes();
            member.send_up(number, &data).await;
            assert_eq!(owner.data().await, (Place::Own(own, told), data.to_vec().into()));
            owner.send_to(own, told, &data).await;
            assert_eq!(member.data().await, (Place::In(number), data.to_vec().into()));
        }
    }
    drop(open);
    until("they have gone", || served.hub.metrics.connections.get() == 2).await;
    let part = Part::whole("last");
    owner.tell(Command::Send { to: Target::Everyone(own, None), part }).await;
    assert_eq!(member.data().await.1, "last");
    drop((owner, member));
    served.empty().await;
    assert_eq!(served.closed(Reason::Internal), 0);

    let (mut owner, mut member) = pair(&served).await;
    member.send(b"\x02\0x").await;
    owner.expect(b"\x03\x80\0x").await;
    settled(&mut member).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_bounded() {
    let served = serve();
    let mut link = served.memory();
    link.send(b"GET / HTTP/1.1\r\nA: ").await;
    cram(&link, &[b'a'; 2_000_000]).await;
    assert!(link.rest().await.starts_with(b"HTTP/1.1 431 "));
    let mut socket = served.memory();
    socket.send(UPGRADE.as_bytes()).await;
    head(&mut socket).await;
    // Empty messages alone tell nothing, and are kept nowhere.
    for _ in 0..100 {
        socket.send(&message(b"").repeat(1000)).await;
    }
    socket.send(&message(b"\0\0\x01\x01a")).await;
    socket.expect(&[0x82, 5, 0, 3, 1, 0, 0]).await;
    drop((link, socket));
    within("the end", served.empty()).await;
    let mut peer = Peer::native(served.memory()).await;
    let number = peer.try_enter("nowhere").await;
    assert_eq!(number, Err(Reason::NoSuchName));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes =
        [peer.bytes_of(up(JoinedChannelId(7), b"?")), peer.bytes_of(enter(9, "nowhere"))].concat();
    peer.link.send(&bytes).await;
    assert_eq!(peer.answered(9).await, Err(Reason::NoSuchName));
}

#[tokio::test(start_paused = true)]
async fn whoever_breaks_a_protocol_is_told_which_frame_and_rule() {
    let served = serve();
    for (frames, told) in [
        (
            &b"\x05\x11\x01\x01a\xc0"[..],
            "frame 2 (ENTER, type 0x11): what follows its fields is no MessagePack map",
        ),
        (b"\x01\x10", "frame 2 (CREATE, type 0x10): it ends before all its fields"),
        (
            b"\x01\x0f",
            "frame 2 (unknown, type 0x0f): this side takes no frames of this type, and they may not be skipped",
        ),
        (b"\x00", "frame 2: its length is 0, but its type counts"),
        (
            b"\x09\x04\0\0\0\0\0\0\0\0\x02\x01\x80",
            "frame 3 (HELLO, type 0x01): the session is welcome already",
        ),
    ] {
        let text = format!("malformed input: {told}");
        let mut peer = Peer::native(served.memory()).await;
        peer.link.send(frames).await;
        let rest = peer.link.rest().await;
        let words = String::from_utf8_lossy(&rest);
        assert!(words.ends_with(&text), "{words:?}");
        // Inside a WebSocket there is another word as well, if a shorter one.
        let mut peer = Peer::native_ws(served.memory()).await;
        peer.link.send(&message(frames)).await;
        let (code, reason) = peer.close_frame().await;
        assert_eq!(code, 1002);
        assert!(text.starts_with(&reason) && reason.len() > 40, "{reason:?}");
    }
    served.empty().await;
}
