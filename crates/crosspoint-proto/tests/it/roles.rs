//! What one role writes the other reads, however it is cut; and what is wrong ends the connection
//! with a reason.

use crate::common::{Pair, command, event, flat, frame, hello, numbers, pieces};
use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, ApplicationCommand, Ban, ChannelCommand, ChannelEvent, ChannelOptions, Command,
    DirectoryCommand, DirectoryEvent, EnterOptions, Event, Hello, LinkCommand, LinkOptions, Mode,
    Peer, Query, Target,
};
use crosspoint_hub::input::Input;
use crosspoint_hub::payload::{Ask, Payload};
use crosspoint_hub::protocol::{Activity, Client, Output, Protocol};
use crosspoint_hub::reassembly::Reassembly;
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{
    ChannelName, JoinedChannelId, Limits, MemberNumber, OwnedChannelId, PeerId, PeerName, Reason,
};
use crosspoint_proto::frame::{PART_BYTES_MAX, next_frame};
use crosspoint_proto::message::kind;
use crosspoint_proto::server::Options;
use proptest::prelude::*;
use std::time::Duration;

const MIB: u32 = 1024 * 1024;

proptest! {
    #[test]
    fn every_command_arrives_as_it_was_given(
        commands in prop::collection::vec(command(), 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut pair = Pair::open();
        let written = commands.iter().map(|command| pair.command(command.clone()));
        let written = written.collect::<Result<Vec<_>, _>>().expect("all can be said").concat();
        let arrived = pair.serve(pieces(&written, &cuts));
        let given: Vec<Output> = commands.into_iter().map(Output::Command).collect();
        prop_assert_eq!(arrived, given);
    }

    #[test]
    fn every_event_arrives_as_it_was_told(
        events in prop::collection::vec(event(), 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut pair = Pair::open();
        let written: Vec<u8> = events.iter().flat_map(|event| pair.deliver(event)).collect();
        prop_assert_eq!(pair.listen(pieces(&written, &cuts)), events);
    }

    /// A body that ends early is malformed, or says less, but never something else of the
    /// same frame, and never the end of the program.
    #[test]
    fn a_truncated_body_is_refused_or_says_less(
        command in command(),
        event in event(),
        cut: prop::sample::Index,
    ) {
        let mut pair = Pair::open();
        let written = pair.command(command.clone()).expect("it can be said");
        let outputs = pair.serve([truncated(written, &cut)]);
        let refused = outputs == [Output::Close(Reason::Malformed)];
        let less = matches!(&outputs[..], [Output::Command(less)] if *less != command);
        prop_assert!(refused || less, "{:?}", outputs);
        let written = pair.deliver(&event);
        let events = pair.listen([truncated(written, &cut)]);
        let reason = Reason::Malformed;
        let refused = events == [Event::Closed { reason }];
        let less = match &events[..] {
            // The text behind the reason is for people.
            [less @ Event::Refused { .. }] => *less == event,
            [less @ (Event::Data { .. } | Event::Channel(ChannelEvent::Entered(_)) | Event::Directory(DirectoryEvent::Found { .. }))] => {
                *less != event
            }
            _ => false,
        };
        prop_assert!(refused || less, "{:?}", events);
    }
}

/// The one frame of some bytes with an earlier end and the length to go with it.
fn truncated(written: Vec<u8>, cut: &prop::sample::Index) -> Bytes {
    let mut input = Input::default();
    input.push(written.into());
    let whole = next_frame(&mut input, usize::MAX).expect("well formed");
    let whole = whole.expect("a frame");
    let end = cut.index(whole.body.0.len().max(1));
    frame(whole.kind, &whole.body.0[..end]).into()
}

/// A hello can say everything about an endpoint.
#[test]
fn a_hello_arrives_as_it_was_said() {
    let said = Hello {
        peer: Some(PeerId::new([3; 16])),
        proven: false,
        name: Some("Grüße".to_owned()),
        token: Some(Bytes::from_static(b"secret")),
        pauses: true,
        deletes: true,
        // But for what gateways alone wish.
        waits: false,
    };
    let (mut pair, written) = Pair::new(Options::default(), said.clone());
    let cut = written.into_iter().map(|byte| Bytes::from(vec![byte]));
    let arrived = pair.serve(cut.collect::<Vec<_>>());
    assert_eq!(arrived, [Output::Command(Command::Hello(said))]);
}

#[test]
fn what_is_secret_is_not_shown() {
    let token = Some(Bytes::from_static(b"sesame"));
    let hello = Hello { token, ..Hello::default() };
    let hub = Options { random: Some([201; 32]), ..Options::default() };
    let client = crosspoint_proto::client::Options { hello: hello.clone(), ..Default::default() };
    for shown in [format!("{hello:?}"), format!("{client:?}"), format!("{hub:?}")] {
        assert!(!shown.contains("sesame") && !shown.contains("201"), "{shown}");
    }
}

/// The payload of each frame.
fn payloads(written: &[u8]) -> Vec<usize> {
    let mut input = Input::default();
    input.push(Bytes::copy_from_slice(written));
    let frames = std::iter::from_fn(|| next_frame(&mut input, usize::MAX).expect("well formed"));
    frames.map(|frame| frame.body.0.len()).collect()
}

#[test]
fn large_messages_travel_in_parts_and_are_whole_again_at_the_end() {
    let mut pair = Pair::open();
    let data: Bytes = (0..MIB).map(|i| (i ^ (i >> 8)) as u8).collect();
    let to = Target::Up(JoinedChannelId(3));
    for length in [0, 1, 16_384, 32_768, 32_769, 100_000, 1 << 20] {
        let data = data.slice(..length);
        let part = Part::whole(data.clone());
        let place = Place::Room(JoinedChannelId(u32::MAX), MemberNumber(u32::MAX));
        let up = pair.command(Command::Send { to, part: part.clone() }).expect("it can be said");
        let down = pair.deliver(&Event::Data { place, part });
        for written in [&up, &down] {
            let payloads = payloads(written);
            let header = 32;
            if length > 2 * PART_BYTES_MAX {
                assert!(payloads.iter().all(|payload| *payload <= PART_BYTES_MAX + header));
            } else {
                assert_eq!(payloads.len(), 1);
            }
        }
        let mut reassembly = Reassembly::default();
        let mut whole = Vec::new();
        for output in pair.serve([up.into()]) {
            let Output::Command(Command::Send { to: at, part }) = output else {
                panic!("something else: {output:?}")
            };
            assert_eq!(at, to);
            whole.extend(reassembly.receive(place, part, MIB).expect("in order"));
        }
        for event in pair.listen([down.into()]) {
            let Event::Data { place: at, part } = event else {
                panic!("something else: {event:?}")
            };
            assert_eq!(at, place);
            whole.extend(reassembly.receive(place, part, MIB).expect("in order"));
        }
        assert!(whole == [(Part::DATA, data.clone()), (Part::DATA, data)]);
    }
}

#[test]
fn a_client_keeps_to_the_hub_s_frames_and_messages() {
    let limits = Limits { frame_bytes_max: 1024, message_bytes_max: 5000, ..Limits::default() };
    let hub = "small".to_owned();
    let options = Options { limits: limits.into(), hub, ..Options::default() };
    let (mut pair, hello) = Pair::new(options, Hello::default());
    pair.serve([hello.into()]);
    let peer = PeerId::new([0; 16]);
    let welcome = pair.deliver(&Event::Welcome { peer });
    pair.listen([welcome.into()]);
    assert_eq!(pair.client.message_bytes_max(), 5000);
    let to = Target::Member(OwnedChannelId(u32::MAX), MemberNumber(u32::MAX));
    let mut send = |length: usize| {
        let part = Part::whole(vec![7; length]);
        pair.command(Command::Send { to, part })
    };
    assert_eq!(send(5001), Err(Reason::TooLarge));
    let written = send(5000).expect("it can be said");
    assert!(payloads(&written).iter().all(|payload| *payload < 1024));
    let parts = pair.serve([written.into()]);
    assert!(parts.iter().all(|output| matches!(output, Output::Command(_))));
    // What the hub itself sends may be larger: every client takes that.
    let (place, part) = (Place::In(JoinedChannelId(0)), Part::whole(vec![1; 5000]));
    let event = Event::Data { place, part };
    let written = pair.deliver(&event);
    assert_eq!(pair.listen([written.into()]), [event]);
}

#[test]
fn what_cannot_be_said_is_refused_before_anything_is_written() {
    let mut pair = Pair::open();
    let name = ChannelName::new("x").expect("short");
    for bytes_max in [0, Mode::CHUNK_BYTES_LIMIT + 1] {
        let mode = Mode::Chunk { bytes_max };
        let (request, name) = (1, name.clone());
        let create = Command::Channel(ChannelCommand::Create {
            request,
            name: name.clone(),
            options: ChannelOptions { mode, ..ChannelOptions::default() },
        });
        assert_eq!(pair.command(create), Err(Reason::Malformed));
        let options = EnterOptions { mode, ..EnterOptions::default() };
        let enter = Command::Channel(ChannelCommand::Enter { request, name, options });
        assert_eq!(pair.command(enter), Err(Reason::Malformed));
    }
    let to = Target::Everyone(OwnedChannelId(0), Some(MemberNumber(u32::MAX)));
    let part = Part::whole("x");
    let send = Command::Send { to, part };
    assert_eq!(pair.command(send), Err(Reason::Malformed));
}

#[test]
fn what_is_too_long_about_peers_is_refused_before_anything_is_written() {
    let mut pair = Pair::open();
    let to = Addressee::Service(PeerName::new("n".repeat(255)).expect("255 bytes"));
    let mut link = |purpose: usize, except: usize| {
        let purpose = vec![0; purpose].into();
        let options =
            LinkOptions { purpose, except: vec![PeerId::new([1; 16]); except], single: false };
        let command = Command::Link(LinkCommand::Open { request: 1, to: to.clone(), options });
        let written = pair.command(command.clone())?;
        assert_eq!(pair.serve([written.into()]), [Output::Command(command)]);
        Ok(())
    };
    let (purpose, except) = (LinkOptions::PURPOSE_BYTES_MAX, LinkOptions::EXCEPT_MAX);
    assert_eq!(link(purpose, except), Ok(()));
    assert_eq!(link(purpose + 1, 0), Err(Reason::TooLarge));
    assert_eq!(link(0, except + 1), Err(Reason::TooLarge));
    let mut look = |length: usize| {
        let query = Query::Names { prefix: "p".repeat(length), after: None };
        pair.command(Command::Directory(DirectoryCommand::Look { request: 1, query })).map(drop)
    };
    assert_eq!((look(255), look(256)), (Ok(()), Err(Reason::TooLarge)));
    let ask = Ask { method: String::new(), payload: Payload::default() };
    assert_eq!(
        pair.command(Command::Application(ApplicationCommand::Ask { ticket: 1, ask })),
        Err(Reason::Unsupported)
    );
}

/// As many peers as there may be, with the longest names, come in one frame.
#[test]
fn the_largest_answer_about_who_is_there_fits_into_a_frame() {
    let peer = Peer {
        id: PeerId::new([7; 16]),
        name: Some("n".repeat(255).into()),
        protocol: "anysocket",
    };
    let event = Event::Directory(DirectoryEvent::Found {
        request: u32::MAX,
        peers: vec![peer; Query::FOUND_MAX],
        more: true,
    });
    let mut pair = Pair::open();
    let written = pair.deliver(&event);
    assert_eq!(pair.listen([written.into()]), [event]);
}

#[test]
fn a_ban_of_part_of_a_second_is_one_second() {
    let mut pair = Pair::open();
    let kick = |millis| {
        Command::Channel(ChannelCommand::Kick {
            channel: OwnedChannelId(0),
            member: MemberNumber(1),
            ban: Some(Ban { time: Some(Duration::from_millis(millis)), address: true }),
        })
    };
    let written = pair.command(kick(1)).expect("it can be said");
    assert_eq!(pair.serve([written.into()]), [Output::Command(kick(1000))]);
}

#[test]
fn what_may_be_skipped_is_skipped_and_other_unknown_types_are_refused() {
    let known = frame(kind::LEAVE, &[5]);
    for unknown in (0..=255u8).filter(|number| number & kind::IGNORABLE != 0) {
        let mut pair = Pair::open();
        let bytes = [frame(unknown, b"later"), frame(unknown, b""), known.clone()].concat();
        let outputs = pair.serve([bytes.into()]);
        assert_eq!(
            outputs,
            [Output::Command(Command::Channel(ChannelCommand::Leave(JoinedChannelId(5))))]
        );
        let ended = frame(kind::ENDED, &[5, 2]);
        let bytes = [frame(unknown, b"later"), ended].concat();
        assert_eq!(pair.listen([bytes.into()]).len(), 1);
    }
    let both = [kind::PING, kind::PONG, kind::LINK_DATA];
    let to_hub: Vec<u8> = [kind::CREATE..=kind::SUCCESSOR, kind::LINK..=kind::RESIGN]
        .into_iter()
        .chain([kind::SEND..=kind::BROADCAST])
        .flatten()
        .chain(both)
        .collect();
    let to_client: Vec<u8> = [kind::CREATED..=kind::OWNER, kind::LINKED..=kind::RESUME]
        .into_iter()
        .chain([kind::OTHER_ENTERED..=kind::OTHER_LEFT, kind::FROM_OWNER..=kind::FROM_ROOM])
        .flatten()
        .chain(both)
        .chain([kind::DELETE])
        .collect();
    // Close, whatever it says.
    let close = [kind::CLOSE];
    for unknown in (0..=0x7fu8).filter(|number| !close.contains(number)) {
        let mut pair = Pair::open();
        let base = unknown & !kind::EXTENDED;
        let data = |kinds: &[u8]| base >= 0x30 && kinds.contains(&base);
        if !to_hub.contains(&unknown) && !data(&to_hub) {
            let outputs = pair.serve([frame(unknown, &[0; 40]).into()]);
            assert_eq!(outputs, [Output::Close(Reason::Malformed)], "{unknown:#x}");
        }
        if !to_client.contains(&unknown) && !data(&to_client) {
            let events = pair.listen([frame(unknown, &[0; 40]).into()]);
            let reason = Reason::Malformed;
            assert_eq!(events, [Event::Closed { reason }], "{unknown:#x}");
        }
    }
}

#[test]
fn a_stranger_says_nothing_longer_than_64_kib_even_where_clients_may() {
    let limits = Limits { frame_bytes_max: 1 << 20, ..Limits::default() };
    let options = || Options { limits: limits.clone().into(), ..Options::default() };
    // Lengths of one byte more than 64 KiB, and what comes first of the frame.
    let announced = |kind| [0x81, 0x80, 0x04, kind];
    let (mut pair, hello) = Pair::new(options(), Hello::default());
    let (magic, _) = hello.split_at(4);
    let outputs = pair.serve([[magic, &announced(kind::HELLO)].concat().into()]);
    assert_eq!(outputs, [Output::Close(Reason::TooLarge)]);

    let (mut pair, hello) = Pair::new(options(), Hello::default());
    let outputs = pair.serve([[&hello[..], &announced(kind::SEND)].concat().into()]);
    assert_eq!(outputs, [Output::Command(Command::Hello(Hello::default()))]);
}

#[test]
fn every_hostile_frame_ends_the_connection_with_its_reason() {
    const M: Reason = Reason::Malformed;
    const L: Reason = Reason::TooLarge;
    let extended = |kind: u8| kind | kind::EXTENDED;
    let long_name = [&[1, 0x80, 0x02][..], &[b'x'; 256]].concat();
    let max = |value: &[u8]| [&[1, 1, b'x', 0x81, 0xa3][..], b"max", value].concat();
    let to_hub: Vec<(Vec<u8>, Reason)> = vec![
        // Lengths: none, above 64 KiB, above 32 bits, without end.
        (vec![0], M),
        (vec![0x81, 0x80, 0x04, kind::SEND], L),
        (vec![0xff, 0xff, 0xff, 0xff, 0x0f], L),
        (vec![0xff, 0xff, 0xff, 0xff, 0x1f], M),
        (vec![0x80; 5], M),
        // Numbers above 32 bits, or missing.
        (frame(kind::LEAVE, &[0xff, 0xff, 0xff, 0xff, 0x10]), M),
        (frame(kind::LEAVE, &[]), M),
        (frame(kind::SEND_TO, &[1]), M),
        (frame(kind::UNBAN, &[1, 2, 3]), M),
        (frame(kind::ADMIT, &[1, 2]), M),
        (frame(kind::PING, &[0; 7]), M),
        (frame(kind::PONG, &[0; 7]), M),
        // Names that end outside, or are too long.
        (frame(kind::CREATE, &[1, 5, b'a']), M),
        (frame(kind::ENTER, &[1, 0xff, 0xff, 0xff, 0xff, 0x0f, b'a']), M),
        (frame(kind::ENTER, &long_name), L),
        // Maps that are cut, or no maps, or with values of another type or out of range.
        (frame(kind::CREATE, &[1, 1, b'x', 0x81, 0xa3]), M),
        (frame(kind::CREATE, &[1, 1, b'x', 0xdf, 0xff, 0xff, 0xff, 0xff]), M),
        (frame(kind::CREATE, &[1, 1, b'x', 0xc1]), M),
        (frame(kind::CREATE, &max(&[0xc3])), M),
        (frame(kind::CREATE, &max(&[0])), M),
        (frame(kind::ENTER, &max(&[0])), M),
        (frame(kind::ENTER, &max(&[0xce, 0x20, 0, 0, 1])), M),
        (frame(kind::ENTER, &max(&[0xcf, 1, 0, 0, 0, 0, 0, 0, 0])), M),
        // Parts that end outside of their message, also beyond 32 bits.
        (frame(extended(kind::SEND), &[0, 0, 2, 1, b'a', b'b']), M),
        (frame(extended(kind::SEND), &[0, 0, 5, 6]), M),
        (
            frame(
                extended(kind::BROADCAST),
                &[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f, b'a'],
            ),
            M,
        ),
        (frame(extended(kind::SEND), &[0]), M),
        // A second hello, and a proof that nobody asked for.
        (frame(kind::HELLO, &numbers(&[("v", 1)])), M),
        (frame(kind::PROOF, &[0; 32]), M),
        // To nobody, to what is no addressee, to names that are none or too long.
        (frame(kind::LINK, &[1]), M),
        (frame(kind::LINK, &[&[1, 0][..], &[7; 15]].concat()), M),
        (frame(kind::LINK, &[1, 3, 1, b'a', 0]), M),
        (frame(kind::LINK, &[1, 1, 0]), M),
        (frame(kind::LINK, &[1, 2, 2, b'a']), M),
        (frame(kind::LINK, &[1, 1, 1, 0xff]), M),
        (frame(kind::LINK, &[&[1][..], &long_name].concat()), L),
        (frame(kind::LINK, &[1, 1, 1, b'a', 0x91, 0xc0]), M),
        (frame(kind::LINK, b"\x01\x01\x01a\x81\xa6except\x91\xc4\x03abc"), M),
        (frame(kind::LINK, b"\x01\x01\x01a\x81\xa6except\x05"), M),
        (frame(kind::UNLINK, &[0]), M),
        (frame(kind::PROVIDE, &[1, 1]), M),
        (frame(kind::PROVIDE, &[1, 1, 0]), M),
        (frame(kind::PROVIDE, &[&[1][..], &long_name].concat()), L),
        (frame(kind::LOOK, &[1, 4, 1, b'a']), M),
        (frame(kind::LOOK, &[1, 3, 1, b'a']), M),
        (frame(kind::LOOK, &[&[1, 3][..], &long_name[1..], &[0]].concat()), L),
        (frame(kind::LOOK, &[&[1, 3, 0][..], &long_name[1..]].concat()), L),
        (frame(kind::WATCH, &[1]), M),
        (frame(extended(kind::LINK_DATA), &[0, 0, 2, 1, b'a', b'b']), M),
    ];
    for (bytes, reason) in to_hub {
        let outputs = Pair::open().serve([bytes.clone().into()]);
        assert_eq!(outputs, [Output::Close(reason)], "{bytes:02x?}");
        let mut pair = Pair::open();
        let bytewise: Vec<_> = bytes.iter().map(|byte| Bytes::from(vec![*byte])).collect();
        assert_eq!(pair.serve(bytewise), [Output::Close(reason)], "{bytes:02x?}");
        // Nothing more comes after the end.
        assert_eq!(pair.serve([frame(kind::LEAVE, &[0]).into()]), []);
    }
    let peer = |id: &[u8]| {
        let map = [&[0x82, 0xa2][..], b"id\xc4", &[id.len() as u8], id, b"\xa8protocol\xa1x"];
        [&[0, 0][..], &map.concat()].concat()
    };
    let to_client: Vec<(Vec<u8>, Reason)> = vec![
        (vec![0], M),
        (vec![0x81, 0x80, 0x04, kind::FROM_OWNER], L),
        (vec![0xff, 0xff, 0xff, 0xff, 0x1f], M),
        (frame(kind::CREATED, &[1]), M),
        (frame(kind::ENTERED, &[1, 0, 0, 0x81]), M),
        (frame(kind::ENTERED, &[[1, 0, 0].to_vec(), numbers(&[("max", 0)])].concat()), M),
        (frame(kind::REFUSED, &[1, 0]), M),
        (frame(kind::MEMBER_ENTERED, &[0, 0]), M),
        (frame(kind::MEMBER_ENTERED, &peer(&[0; 15])), M),
        (frame(kind::KNOCK, &peer(&[0; 17])), M),
        (frame(kind::OTHER_ENTERED, &peer(&[])), M),
        (frame(kind::MEMBER_LEFT, &[0, 0]), M),
        (frame(kind::ENDED, &[0, 0x80]), M),
        (frame(kind::OTHER_LEFT, &[0]), M),
        (frame(extended(kind::FROM_ROOM), &[0, 0, 0, 2, 1, b'a', b'b']), M),
        (frame(kind::PING, &[]), M),
        (frame(kind::WELCOME, &numbers(&[("v", 1)])), M),
        (frame(kind::CHALLENGE, &[9; 32]), M),
        (frame(kind::LINKED, &[0, 1]), M),
        (frame(kind::LINKED, &[&[0][..], &peer(&[0; 15])].concat()), M),
        (frame(kind::UNLINKED, &[0]), M),
        (frame(kind::FOUND, &[1]), M),
        (frame(kind::FOUND, b"\x01\x00\x81\xa5peers\x91\x80"), M),
        (frame(kind::FOUND, b"\x01\x00\x81\xa5peers\x91\x82\xa2id\xc4\x01x\xa8protocol\xa1x"), M),
        (frame(kind::DONE, &[]), M),
        (frame(kind::PEER_CAME, &peer(&[0; 17])[2..]), M),
        (frame(kind::PEER_WENT, &[]), M),
        (frame(kind::PAUSE, &[]), M),
        (frame(kind::PAUSE, &[1, 0]), M),
        (frame(kind::RESUME, &[2]), M),
        (frame(extended(kind::LINK_DATA), &[0, 0, 2, 1, b'a', b'b']), M),
    ];
    for (bytes, reason) in to_client {
        let mut pair = Pair::open();
        let events = pair.listen([bytes.clone().into()]);
        assert_eq!(events, [Event::Closed { reason }], "{bytes:02x?}");
        assert_eq!(pair.listen([frame(kind::ENDED, &[0, 0]).into()]), []);
    }
}

#[test]
fn a_reason_of_a_later_version_is_known_to_be_one() {
    let events = Pair::open().listen([frame(kind::ENDED, &[0, 0xe7, 0x07]).into()]);
    let (channel, reason) = (JoinedChannelId(0), Reason::Internal);
    assert_eq!(events, [Event::Channel(ChannelEvent::Ended { channel, reason })]);
}

fn begin(bytes: Vec<u8>) -> Vec<Output> {
    let (mut pair, _) = Pair::new(Options::default(), Hello::default());
    pair.serve([bytes.into()])
}

#[test]
fn the_hub_s_side_takes_a_hello_of_its_version_and_nothing_else_first() {
    let accepted = [Output::Command(Command::Hello(Hello::default()))];
    assert_eq!(begin(hello(&numbers(&[("v", 1)]))), accepted);
    assert_eq!(begin(hello(&numbers(&[("v", 9), ("v_min", 1)]))), accepted);
    assert_eq!(begin(hello(&numbers(&[("v", 1), ("later", 5)]))), accepted);
    let unsupported = [Output::Close(Reason::VersionUnsupported)];
    assert_eq!(begin(hello(&numbers(&[("v", 0)]))), unsupported);
    assert_eq!(begin(hello(&numbers(&[("v", 2)]))), unsupported);
    assert_eq!(begin(hello(&numbers(&[("v", 9), ("v_min", 2)]))), unsupported);
    let malformed = [Output::Close(Reason::Malformed)];
    assert_eq!(begin(b"XPT2".to_vec()), malformed);
    assert_eq!(begin(b"GET / HTTP/1.1".to_vec()), malformed);
    assert_eq!(begin(hello(&[])), malformed, "without a version");
    assert_eq!(begin(hello(&[0x81, 0xa1])), malformed);
    assert_eq!(begin(hello(b"\x82\xa1v\x01\xa2id\xc4\x01x")), malformed);
    let early = [b"XPT1".to_vec(), frame(kind::LEAVE, &[0])].concat();
    assert_eq!(begin(early), malformed);
    assert_eq!(begin(b"XPT".to_vec()), []);
}

#[test]
fn the_client_s_side_takes_a_welcome_of_its_version_and_nothing_else_first() {
    let id = [&b"\xa2id\xc4\x10"[..], &[4; 16]].concat();
    let rest = b"\xabmessage_max\x7f\xacheartbeat_ms\x7f\xa9frame_max\xcd";
    let framed = |version: u8, frame_max: u16| {
        [&[0x85, 0xa1, b'v', version], &id[..], rest, &frame_max.to_be_bytes()].concat()
    };
    let welcome = |version| framed(version, 1024);
    let first = |bytes: Vec<u8>| {
        let (mut pair, _) = Pair::new(Options::default(), Hello::default());
        pair.listen([bytes.into()])
    };
    let peer = PeerId::new([4; 16]);
    assert_eq!(first(frame(kind::WELCOME, &welcome(1))), [Event::Welcome { peer }]);
    let closed = |reason| [Event::Closed { reason }];
    let unsupported = closed(Reason::VersionUnsupported);
    assert_eq!(first(frame(kind::WELCOME, &welcome(2))), unsupported);
    let malformed = closed(Reason::Malformed);
    assert_eq!(first(frame(kind::WELCOME, &numbers(&[("v", 1)]))), malformed);
    assert_eq!(first(frame(kind::WELCOME, &framed(1, 1023))), malformed);
    assert_eq!(first(frame(kind::ENDED, &[0, 0])), malformed);
    let stopping = frame(kind::CLOSE, &[Reason::HubStopping.number() as u8, b'!']);
    assert_eq!(first(stopping), closed(Reason::HubStopping));
}

#[test]
fn a_farewell_tells_the_other_side() {
    let mut out = FrameWriter::default();
    let mut pair = Pair::open();
    pair.server.farewell(Reason::SlowReceiver, &mut out);
    let events = pair.listen([flat(&out.take()).into()]);
    let reason = Reason::SlowReceiver;
    assert_eq!(events, [Event::Closed { reason }]);
    let mut pair = Pair::open();
    pair.client.farewell(Reason::Left, &mut out);
    let outputs = pair.serve([flat(&out.take()).into()]);
    assert_eq!(outputs, [Output::Close(Reason::Bye)]);
}

#[test]
fn both_roles_ask_a_silent_other_side_and_answer_when_asked() {
    let mut pair = Pair::open();
    let start = pair.now;
    let mut out = FrameWriter::default();
    let activity = Activity { read: start, written: None };
    let interval = Limits::default().heartbeat;
    assert_eq!(pair.server.deadline(activity), Some(start + interval));
    assert_eq!(pair.client.deadline(activity), Some(start + interval));
    let due = start + interval;
    assert_eq!(pair.client.tick(due, activity, &mut out), None);
    pair.server.receive(due, flat(&out.take()).into());
    assert_eq!(pair.server.poll(due, &mut out), None);
    let later = due + Duration::from_millis(30);
    pair.client.receive(later, flat(&out.take()).into());
    assert_eq!(pair.client.poll(later, &mut out), None);
    assert_eq!(pair.client.round_trip(), Some(Duration::from_millis(30)));
    // The hub's questions stay without an answer.
    for time in [due, due + interval] {
        assert_eq!(pair.server.tick(time, activity, &mut out), None);
        assert!(!out.take().is_empty());
    }
    let last = due + 2 * interval;
    let lost = Some(Reason::HeartbeatLost);
    assert_eq!(pair.server.tick(last, activity, &mut out), lost);
}
