//! Native and joint endpoints in one channel or room: messages stay whole across the border.

use crate::common::{Cut, Dice, World};
use bytes::Bytes;
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Event, Mode, Target,
};
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{
    ChannelName, HubOptions, JoinedChannelId, Limits, MemberNumber, OwnedChannelId, Reason,
};
use std::collections::HashMap;

const LARGE: Mode = Mode::Chunk { bytes_max: 4 * 1024 * 1024 };
const SMALL: Mode = Mode::Chunk { bytes_max: 256 };

/// What somebody said last about a place, and to whom.
type Said = (Place, Bytes);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Native,
    Joint,
}
use Kind::{Joint, Native};

fn name() -> ChannelName {
    ChannelName::new("arena").expect("a short name")
}

fn client(world: &mut World, kind: Kind) -> usize {
    match kind {
        Native => world.native_client(),
        Joint => world.joint_client(),
    }
}

fn create(world: &mut World, owner: usize, mode: Mode) {
    let options = ChannelOptions { mode, ..ChannelOptions::default() };
    let (request, name) = (1, name());
    world.ask(owner, ChannelCommand::Create { request, name, options });
    assert!(matches!(world.heard(owner)[..], [.., Event::Channel(ChannelEvent::Created { .. })]));
}

fn enter(world: &mut World, member: usize, mode: Mode) {
    let options = EnterOptions { mode, make_room: true, ..EnterOptions::default() };
    let (request, name) = (1, name());
    world.ask(member, ChannelCommand::Enter { request, name, options });
    assert!(
        matches!(world.heard(member)[..], [.., Event::Channel(ChannelEvent::Entered(_))]),
        "it has to get in"
    );
}

/// A channel with its owner, and members in the order of their numbers.
fn channel(world: &mut World, owner: Kind, members: &[Kind], mode: Mode) -> (usize, Vec<usize>) {
    let owner = client(world, owner);
    create(world, owner, mode);
    let members: Vec<usize> = members
        .iter()
        .map(|kind| {
            let member = client(world, *kind);
            enter(world, member, mode);
            member
        })
        .collect();
    let came = world.heard(owner);
    assert_eq!(came.len(), members.len());
    (owner, members)
}

/// A message of this many bytes that no part of another one equals.
fn message(length: usize, seed: u64) -> Bytes {
    let mut dice = Dice(seed);
    (0..length).map(|_| dice.roll() as u8).collect()
}

fn say(world: &mut World, who: usize, to: Target, data: &Bytes) {
    let part = Part::whole(data.clone());
    world.ask(who, Command::Send { to, part });
}

/// The messages that a client has heard, which must be whole, and nothing else.
fn said(world: &mut World, who: usize) -> Vec<Said> {
    let mut open: HashMap<Place, Vec<u8>> = HashMap::new();
    let mut said = Vec::new();
    for event in world.heard(who) {
        let Event::Data { place, part } = event else {
            panic!("something else happened: {event:?}")
        };
        let gathered = open.entry(place).or_default();
        assert_eq!(gathered.len(), part.offset as usize, "a part is missing");
        gathered.extend_from_slice(&part.data);
        if part.is_last() {
            assert_eq!(gathered.len(), part.total as usize);
            said.push((place, std::mem::take(gathered).into()));
        }
    }
    assert!(open.values().all(Vec::is_empty), "a message has no end");
    said
}

const UP: Target = Target::Up(JoinedChannelId(0));
const ALL: Target = Target::Everyone(OwnedChannelId(0), None);
const IN: Place = Place::In(JoinedChannelId(0));

fn to(member: u32) -> Target {
    Target::Member(OwnedChannelId(0), MemberNumber(member))
}

fn from(member: u32) -> Place {
    Place::Own(OwnedChannelId(0), MemberNumber(member))
}

fn cuts() -> impl Iterator<Item = Cut> {
    let random = (0..6).map(|seed| Cut::Anywhere(Dice(seed)));
    std::iter::once(Cut::AsTheyCome).chain(random)
}

#[test]
fn whole_messages_travel_in_every_direction_of_a_channel() {
    for owner in [Native, Joint] {
        for cut in cuts() {
            let mut world = World::new(HubOptions::default());
            world.cut = cut;
            let kinds = [Joint, Native, Joint, Native];
            let (owner, members) = channel(&mut world, owner, &kinds, LARGE);
            for length in [1, 2, 128, 129, 300, 4_097, 16_385, 32_766, 32_769, 100_000] {
                let data = message(length, length as u64);
                for (number, member) in (0..).zip(&members) {
                    say(&mut world, *member, UP, &data);
                    assert_eq!(said(&mut world, owner), [(from(number), data.clone())]);
                    say(&mut world, owner, to(number), &data);
                    assert_eq!(said(&mut world, *member), [(IN, data.clone())]);
                }
                say(&mut world, owner, ALL, &data);
                for member in &members {
                    assert_eq!(said(&mut world, *member), [(IN, data.clone())]);
                }
                let except = Target::Everyone(OwnedChannelId(0), Some(MemberNumber(2)));
                say(&mut world, owner, except, &data);
                for (number, member) in members.iter().enumerate() {
                    let heard = usize::from(number != 2);
                    assert_eq!(said(&mut world, *member).len(), heard);
                }
            }
        }
    }
}

#[test]
fn whole_messages_travel_in_a_room_of_both() {
    for cut in cuts() {
        let options = HubOptions { room_mode: LARGE, ..HubOptions::default() };
        let mut world = World::new(options);
        // A joint program cannot ask for a room, so the first one is native.
        let members: Vec<usize> = [Native, Joint, Native, Joint]
            .iter()
            .map(|kind| {
                let member = client(&mut world, *kind);
                enter(&mut world, member, LARGE);
                member
            })
            .collect();
        world.cut = cut;
        for length in [1, 129, 4_097, 32_769, 100_000] {
            for (sender, who) in members.iter().enumerate() {
                let data = message(length, (length + sender) as u64);
                say(&mut world, *who, UP, &data);
                for (number, other) in members.iter().enumerate() {
                    let heard: Vec<Bytes> =
                        said(&mut world, *other).into_iter().map(|(_, data)| data).collect();
                    let wanted =
                        if number == sender { &[][..] } else { std::slice::from_ref(&data) };
                    assert_eq!(heard, wanted);
                }
            }
        }
    }
}

#[test]
fn in_raw_mode_bytes_are_carried_as_they_are() {
    for owner in [Native, Joint] {
        let mut world = World::new(HubOptions::default());
        let (owner, members) = channel(&mut world, owner, &[Joint, Native], Mode::Raw);
        let data = message(20_000, 5);
        for (number, member) in (0..).zip(&members) {
            say(&mut world, *member, UP, &data);
            let heard = said(&mut world, owner);
            assert!(heard.iter().all(|(place, _)| *place == from(number)));
            let bytes: Vec<u8> = heard.into_iter().flat_map(|(_, data)| data).collect();
            assert_eq!(bytes, data);
        }
        say(&mut world, owner, ALL, &data);
        for member in &members {
            let heard = said(&mut world, *member);
            let bytes: Vec<u8> = heard.into_iter().flat_map(|(_, data)| data).collect();
            assert_eq!(bytes, data);
        }
    }
}

#[test]
fn native_members_of_a_joint_owner_each_choose_their_mode() {
    let mut world = World::new(HubOptions::default());
    let owner = client(&mut world, Joint);
    create(&mut world, owner, LARGE);
    let chunks = client(&mut world, Native);
    enter(&mut world, chunks, LARGE);
    let raw = client(&mut world, Native);
    enter(&mut world, raw, Mode::Raw);
    world.heard(owner);
    let data = message(500, 1);
    say(&mut world, owner, ALL, &data);
    assert_eq!(said(&mut world, chunks), [(IN, data.clone())]);
    // The length in three bytes at most, in a frame of its own, then the content.
    let frames = [(IN, Bytes::from_static(&[0xf3, 0x03])), (IN, data)];
    assert_eq!(said(&mut world, raw), frames);
}

/// Splits what a client role writes for one large message, so that something can happen between.
fn halves(data: &Bytes, first: usize) -> (Part, Part) {
    let part = |offset: usize, data: Bytes, whole: &Bytes| Part {
        kind: Part::DATA,
        total: whole.len() as u32,
        offset: offset as u32,
        data,
    };
    let (head, tail) = (data.slice(..first), data.slice(first..));
    (part(0, head, data), part(first, tail, data))
}

#[test]
fn who_enters_in_the_middle_of_a_message_to_all_gets_no_tail() {
    for newcomer in [Native, Joint] {
        let mut world = World::new(HubOptions::default());
        let (owner, members) = channel(&mut world, Native, &[Joint, Native], LARGE);
        let data = message(100_000, 1);
        let (head, tail) = halves(&data, 40_000);
        world.ask(owner, Command::Send { to: ALL, part: head });
        let late = client(&mut world, newcomer);
        enter(&mut world, late, LARGE);
        world.ask(owner, Command::Send { to: ALL, part: tail });
        let next = message(300, 2);
        say(&mut world, owner, ALL, &next);
        for member in members {
            let both = [(IN, data.clone()), (IN, next.clone())];
            assert_eq!(said(&mut world, member), both);
        }
        assert_eq!(said(&mut world, late), [(IN, next)], "{newcomer:?}");
    }
}

#[test]
fn a_member_that_enters_in_the_middle_of_a_message_in_a_room_of_chunks_gets_all_of_it() {
    for newcomer in [Native, Joint] {
        let options = HubOptions { room_mode: LARGE, ..HubOptions::default() };
        let mut world = World::new(options);
        let members = [Native, Joint].map(|kind| {
            let member = client(&mut world, kind);
            enter(&mut world, member, LARGE);
            member
        });
        let data = message(100_000, 1);
        let (head, tail) = halves(&data, 40_000);
        world.ask(members[0], Command::Send { to: UP, part: head });
        let late = client(&mut world, newcomer);
        enter(&mut world, late, LARGE);
        world.ask(members[0], Command::Send { to: UP, part: tail });
        for member in [members[1], late] {
            let heard: Vec<_> =
                said(&mut world, member).into_iter().map(|(_, data)| data).collect();
            assert_eq!(heard, std::slice::from_ref(&data), "{newcomer:?}");
        }
    }
}

#[test]
fn who_gets_the_number_of_a_receiver_that_left_gets_no_tail() {
    for (first, second) in [(Native, Joint), (Joint, Native), (Native, Native), (Joint, Joint)] {
        let mut world = World::new(HubOptions::default());
        let (owner, members) = channel(&mut world, Native, &[first], LARGE);
        let (head, tail) = halves(&message(100_000, 1), 40_000);
        let to = to(0);
        world.ask(owner, Command::Send { to, part: head });
        world.ask(members[0], ChannelCommand::Leave(JoinedChannelId(0)));
        let late = client(&mut world, second);
        enter(&mut world, late, LARGE);
        world.ask(owner, Command::Send { to, part: tail });
        let next = message(300, 2);
        say(&mut world, owner, to, &next);
        assert_eq!(said(&mut world, late), [(IN, next)], "{first:?} {second:?}");
    }
}

#[test]
fn the_beginning_of_a_message_to_nobody_leaves_no_tail_to_who_comes() {
    let mut world = World::new(HubOptions::default());
    let (owner, _) = channel(&mut world, Native, &[], LARGE);
    let (head, tail) = halves(&message(100_000, 1), 40_000);
    let to = to(0);
    world.ask(owner, Command::Send { to, part: head });
    let late = client(&mut world, Joint);
    enter(&mut world, late, LARGE);
    world.ask(owner, Command::Send { to, part: tail });
    let next = message(300, 2);
    say(&mut world, owner, to, &next);
    assert_eq!(said(&mut world, late), [(IN, next)]);
}

/// A joint data frame.
fn frame(head: &[u8], data: &[u8]) -> Vec<u8> {
    let size = head.len() + data.len();
    let mut frame = vec![0x80 | (size >> 8) as u8, size as u8];
    frame.extend(head);
    frame.extend(data);
    frame
}

/// A joint owner that the test itself plays, byte by byte.
fn joint_owner(world: &mut World) -> usize {
    let owner = world.joint();
    world.feed(owner, b"\0\0\x01\x05arena");
    assert_eq!(world.written(owner), [0, 3, 1, 0, 0]);
    owner
}

#[test]
fn who_comes_in_the_middle_of_a_joint_owner_s_frame_gets_no_tail() {
    let content = message(20_000, 1);
    let (all, one): (&[u8], &[u8]) = (&[0x80], &[0x80, 0]);
    for (before, head) in [(&[1, 1][..], all), (&[], one)] {
        for mode in [LARGE, Mode::Raw] {
            let mut world = World::new(HubOptions::default());
            let owner = joint_owner(&mut world);
            let first = client(&mut world, Native);
            enter(&mut world, first, mode);
            world.feed(owner, &[before, &frame(head, &[0x9f, 0x9c, 0x01])].concat());
            let bytes = [before, &frame(head, &content)].concat();
            let (now, later) = bytes.split_at(9_000);
            world.feed(owner, now);
            world.ask(first, ChannelCommand::Leave(JoinedChannelId(0)));
            let late = client(&mut world, Native);
            enter(&mut world, late, mode);
            world.feed(owner, later);
            assert_eq!(said(&mut world, late), []);
            // The stream goes on with what is for it.
            let bytes = [before, &frame(head, &[0]), before, &frame(head, b"x")].concat();
            world.feed(owner, &bytes);
            let last = said(&mut world, late).pop();
            assert_eq!(last, Some((IN, Bytes::from_static(b"x"))));
            assert_eq!(world.closed(owner), None);
        }
    }
}

#[test]
fn a_message_that_a_joint_owner_left_unfinished_does_not_harm_the_next_holder_of_the_number() {
    let mut world = World::new(HubOptions::default());
    let owner = joint_owner(&mut world);
    let first = client(&mut world, Native);
    enter(&mut world, first, LARGE);
    // 300 bytes are announced, ten come.
    world.feed(owner, &frame(&[0x80, 0], &[0xab, 0x02]));
    world.feed(owner, &frame(&[0x80, 0], b"0123456789"));
    world.ask(first, ChannelCommand::Leave(JoinedChannelId(0)));
    let second = client(&mut world, Native);
    enter(&mut world, second, LARGE);
    world.feed(owner, &frame(&[0x80, 0], &[1]));
    world.feed(owner, &frame(&[0x80, 0], b"hi"));
    assert_eq!(said(&mut world, second), [(IN, Bytes::from_static(b"hi"))]);
    assert_eq!(world.closed(owner), None);
}

#[test]
fn a_message_above_the_chunk_maximum_closes_only_its_sender() {
    let data = message(257, 1);
    let mut world = World::new(HubOptions::default());
    let (owner, members) = channel(&mut world, Native, &[Native, Joint, Native], SMALL);
    say(&mut world, members[0], UP, &data);
    assert_eq!(world.closed(members[0]), Some(Reason::TooLarge));
    let gone = Event::Channel(ChannelEvent::MemberLeft {
        channel: OwnedChannelId(0),
        member: MemberNumber(0),
        reason: Reason::ConnectionLost,
    });
    assert_eq!(world.heard(owner), [gone]);
    say(&mut world, owner, ALL, &data.slice(1..));
    for member in &members[1..] {
        assert_eq!(said(&mut world, *member), [(IN, data.slice(1..))]);
    }

    for member in [Native, Joint] {
        let mut world = World::new(HubOptions::default());
        let (owner, members) = channel(&mut world, Native, &[member], SMALL);
        say(&mut world, owner, ALL, &data);
        assert_eq!(world.closed(owner), Some(Reason::TooLarge));
        assert_eq!(world.closed(members[0]), None);
        assert!(matches!(
            world.heard(members[0])[..],
            [Event::Channel(ChannelEvent::Ended { reason: Reason::OwnerLost, .. })]
        ));
    }
}

#[test]
fn a_joint_member_that_announces_more_than_the_maximum_is_closed_alone() {
    let mode = Mode::Chunk { bytes_max: 1000 };
    let mut world = World::new(HubOptions::default());
    let (owner, members) = channel(&mut world, Native, &[Native], mode);
    let joint = world.joint();
    world.feed(joint, b"\0\x01\x01\x05arena");
    assert_eq!(world.written(joint), [0, 3, 1, 0, 0]);
    world.feed(joint, &frame(&[0], &[0xe8, 0x07]));
    assert_eq!(world.closed(joint), Some(Reason::TooLarge));
    assert_eq!(world.written(joint), [0, 4, 0, 2, 0, 1], "told that it is over");
    let left = |event: &Event| matches!(event, Event::Channel(ChannelEvent::MemberLeft { member, .. }) if member.0 == 1);
    assert!(world.heard(owner).iter().any(left));
    assert_eq!(world.closed(members[0]), None);
}

#[test]
fn a_member_that_declares_less_than_a_joint_owner_sends_harms_nobody_else() {
    let mut world = World::new(HubOptions::default());
    let (owner, members) = channel(&mut world, Joint, &[Joint, Native], LARGE);
    let wrong = client(&mut world, Native);
    enter(&mut world, wrong, Mode::Chunk { bytes_max: 1000 });
    world.heard(owner);
    let data = message(1001, 1);
    say(&mut world, owner, ALL, &data);
    for member in members {
        assert_eq!(said(&mut world, member), [(IN, data.clone())]);
    }
    let (channel, reason) = (JoinedChannelId(0), Reason::Kicked);
    assert_eq!(world.heard(wrong), [Event::Channel(ChannelEvent::Ended { channel, reason })]);
    assert_eq!(world.closed(wrong), None);
    let gone = Event::Channel(ChannelEvent::MemberLeft {
        channel: OwnedChannelId(0),
        member: MemberNumber(2),
        reason,
    });
    assert_eq!(world.heard(owner), [gone]);
}

#[test]
fn a_sender_waits_for_a_receiver_that_does_not_read_and_goes_on_after_it_did() {
    for receiver in [Native, Joint] {
        let options = HubOptions {
            limits: Limits { outbox_bytes_max: 512 * 1024, ..Limits::default() },
            ..HubOptions::default()
        };
        let mut world = World::new(options);
        let (owner, members) = channel(&mut world, Joint, &[receiver], LARGE);
        world.set_reading(members[0], false);
        let data: Vec<Bytes> = (0..30).map(|seed| message(32_000, seed)).collect();
        for data in &data {
            say(&mut world, owner, to(0), data);
        }
        assert!(world.waits(owner));
        assert_eq!(world.closed(members[0]), None);
        world.set_reading(members[0], true);
        assert!(!world.waits(owner));
        let heard = said(&mut world, members[0]);
        let wanted: Vec<Said> = data.into_iter().map(|data| (IN, data)).collect();
        assert!(heard == wanted, "{receiver:?}: all of it, in order");
    }
}

#[test]
fn a_hub_with_small_frames_is_given_small_frames() {
    let options = HubOptions {
        limits: Limits { frame_bytes_max: 1024, ..Limits::default() },
        ..HubOptions::default()
    };
    let mut world = World::new(options);
    let (owner, members) = channel(&mut world, Native, &[Native, Joint], LARGE);
    let data = message(100_000, 1);
    say(&mut world, owner, ALL, &data);
    for member in &members {
        assert_eq!(said(&mut world, *member), [(IN, data.clone())]);
        say(&mut world, *member, UP, &data);
    }
    let both = [(from(0), data.clone()), (from(1), data)];
    assert_eq!(said(&mut world, owner), both);
}
