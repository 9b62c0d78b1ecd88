//! What the examples of `docs/protocol.md` say.

use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, After, Ban, ChannelCommand, ChannelEvent, ChannelOptions, Command, DirectoryCommand,
    DirectoryEvent, EnterOptions, Entered, Event, Hello, LinkCommand, LinkEvent, LinkOptions, Mode,
    OwnerNews, Peer, Query, Target, Watched,
};
use crosspoint_hub::protocol::{Activity, Client, Output, Protocol};
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{
    ChannelName, JoinedChannelId, Limits, LinkNumber, MemberNumber, OwnedChannelId, Pace, PeerId,
    PeerName, Reason,
};
use crosspoint_proto::frame::{MAGIC, peek_varint, put_varint};
use crosspoint_proto::identity::{ChannelBinding, Identity};
use crosspoint_proto::{client, heartbeat, message, server};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an example shows.
pub(crate) enum Says {
    /// The client writes it, and the server reads the same in it.
    Command(Command),
    /// The server reads it so; the client would write it otherwise.
    ReadAsCommand(Command),
    /// The server writes it, and the client reads the same in it.
    Event(Event),
    /// Data from the hub, which the client reads.
    Data(u8, Vec<u32>, Vec<Part>, Vec<Place>),
    /// Both roles skip it.
    Skipped,
    /// Exactly this is written.
    Bytes(Vec<u8>),
}

pub(crate) const ID: PeerId = PeerId::new([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);

fn peer(name: Option<&str>, protocol: &'static str) -> Peer {
    let name = name.map(Into::into);
    Peer { id: ID, name, protocol }
}

pub(crate) fn name(name: &'static str) -> ChannelName {
    ChannelName::new(name).expect("a short name")
}

fn part(kind: u8, total: u32, offset: u32, data: &'static [u8]) -> Part {
    let data = Bytes::from_static(data);
    Part { kind, total, offset, data }
}

pub(crate) fn written(write: impl FnOnce(&mut FrameWriter)) -> Vec<u8> {
    let mut out = FrameWriter::default();
    write(&mut out);
    out.take().pieces().flat_map(|piece| piece.to_vec()).collect()
}

/// The client's first bytes without the magic ones.
fn hello_of(options: client::Options) -> Vec<u8> {
    let bytes = written(|out| drop(client::Native::new(Instant::now(), options, out)));
    bytes[MAGIC.len()..].to_vec()
}

/// As [`hello_of`], of a client without wishes.
pub(crate) fn hello(hello: Hello) -> Vec<u8> {
    hello_of(client::Options { hello, ..client::Options::default() })
}

/// As [`hello_of`], of a client that says everything.
fn hello_all() -> Vec<u8> {
    let token = Some(Bytes::from_static(b"xyz"));
    let name = Some("ann".into());
    let hub = Pace::Every(Duration::from_secs(60));
    hello_of(client::Options {
        hello: Hello { peer: Some(ID), name, token, ..Hello::default() },
        agent: Some("demo/1".into()),
        heartbeat: heartbeat::Config { hub, ..heartbeat::Config::default() },
        ..client::Options::default()
    })
}

pub(crate) fn welcome() -> Vec<u8> {
    let (limits, hub) = (Arc::<Limits>::default(), "hub".to_owned());
    let now = Instant::now();
    let options = server::Options { limits, hub, ..server::Options::default() };
    let mut server = server::Native::new(now, options);
    written(|out| server.deliver(now, &Event::Welcome { peer: ID }, out))
}

/// What Anna, whose secret is 32 bytes 01, and a hub whose random bytes are 05 say to each other:
/// HELLO, CHALLENGE and PROOF.
fn proving(channel_binding: ChannelBinding) -> [Vec<u8>; 3] {
    let (now, identity) = (Instant::now(), Some(Arc::new(Identity::from_bytes(&[1; 32]))));
    let options = client::Options { identity, channel_binding, ..client::Options::default() };
    let mut out = FrameWriter::default();
    let mut client = client::Native::new(now, options, &mut out);
    let mut taken = || out.take().pieces().flatten().copied().collect::<Vec<u8>>();
    let hello = taken();
    let options =
        server::Options { random: Some([5; 32]), channel_binding, ..server::Options::default() };
    let mut server = server::Native::new(now, options);
    server.receive(now, Bytes::copy_from_slice(&hello));
    let challenge = written(|out| assert_eq!(server.poll(now, out), None));
    client.receive(now, Bytes::copy_from_slice(&challenge));
    let proof = written(|out| assert_eq!(client.poll(now, out), None));
    [hello[MAGIC.len()..].to_vec(), challenge, proof]
}

/// A server that has heard the client's hello.
fn opened(now: Instant) -> server::Native {
    let mut server = server::Native::new(now, server::Options::default());
    server.receive(now, Bytes::from_static(&MAGIC));
    server.receive(now, hello(Hello::default()).into());
    let said = server.poll(now, &mut FrameWriter::default());
    assert_eq!(said, Some(Output::Command(Command::Hello(Hello::default()))));
    server
}

fn ping() -> Vec<u8> {
    let now = Instant::now();
    let mut server = opened(now);
    let activity = Activity { read: now, written: None };
    let later = now + Limits::default().heartbeat;
    written(|out| assert_eq!(server.tick(later, activity, out), None))
}

fn pong() -> Vec<u8> {
    let now = Instant::now();
    let mut server = opened(now);
    server.receive(now, ping().into());
    written(|out| assert_eq!(server.poll(now, out), None))
}

fn varints() -> Vec<u8> {
    let mut out = Vec::new();
    for value in [0, 127, 128, 300, 16_384, u32::MAX] {
        let start = out.len();
        put_varint(value, &mut out);
        assert_eq!(peek_varint(&out[start..]), Ok(Some((value, out.len() - start))));
    }
    out
}

/// All examples of the page, in its order.
pub(crate) fn says() -> Vec<(&'static str, Says)> {
    says_of_channels().into_iter().chain(says_of_peers()).collect()
}

/// The examples of all sections but section 12.
fn says_of_channels() -> Vec<(&'static str, Says)> {
    let (own, into, member) = (OwnedChannelId, JoinedChannelId, MemberNumber);
    let up = Target::Up(into(0));
    let send = |to, part| Says::Command(Command::Send { to, part });
    let owner = |news| Says::Event(Event::Channel(ChannelEvent::Owner { channel: into(1), news }));
    let secret = Some(Bytes::from_static(b"xyz"));
    let plain = |options| {
        Command::Channel(ChannelCommand::Create { request: 1, name: name("arena"), options })
    };
    let [hello_key, challenge, proof] = proving(ChannelBinding::None);
    let [hello_bound, _, proof_bound] = proving(ChannelBinding::Exporter([7; 32]));
    let call = b"\x07\x00\x01\x02\x00\x00\x00\x03\x00\x00\x00";
    vec![
        ("magic", Says::Bytes(MAGIC.to_vec())),
        ("varints", Says::Bytes(varints())),
        ("hello", Says::Bytes(hello(Hello::default()))),
        ("hello-all", Says::Bytes(hello_all())),
        ("hello-key", Says::Bytes(hello_key)),
        ("challenge", Says::Bytes(challenge)),
        ("proof", Says::Bytes(proof)),
        ("hello-bound", Says::Bytes(hello_bound)),
        ("proof-bound", Says::Bytes(proof_bound)),
        ("welcome", Says::Bytes(welcome())),
        ("close", Says::Bytes(written(|out| message::put_close(Reason::Malformed, None, out)))),
        ("ping", Says::Bytes(ping())),
        ("pong", Says::Bytes(pong())),
        ("create", Says::Command(plain(ChannelOptions::default()))),
        ("create-plain", Says::ReadAsCommand(plain(ChannelOptions::default()))),
        (
            "create-all",
            Says::Command(plain(ChannelOptions {
                mode: Mode::Raw,
                members_max: Some(8),
                password: secret.clone(),
                approve: true,
            })),
        ),
        (
            "enter",
            Says::Command(Command::Channel(ChannelCommand::Enter {
                request: 2,
                name: name("arena"),
                options: EnterOptions {
                    password: secret,
                    credentials: Bytes::from_static(b"me"),
                    ..EnterOptions::default()
                },
            })),
        ),
        (
            "enter-room",
            Says::Command(Command::Channel(ChannelCommand::Enter {
                request: 3,
                name: name("lobby"),
                options: EnterOptions {
                    make_room: true,
                    presence: true,
                    ..EnterOptions::default()
                },
            })),
        ),
        ("leave", Says::Command(Command::Channel(ChannelCommand::Leave(into(0))))),
        ("delete", Says::Command(Command::Channel(ChannelCommand::Delete(own(0))))),
        (
            "kick",
            Says::Command(Command::Channel(ChannelCommand::Kick {
                channel: own(0),
                member: member(2),
                ban: None,
            })),
        ),
        (
            "kick-ban",
            Says::Command(Command::Channel(ChannelCommand::Kick {
                channel: own(0),
                member: member(2),
                ban: Some(Ban { time: Some(Duration::from_secs(60)), address: false }),
            })),
        ),
        (
            "unban",
            Says::Command(Command::Channel(ChannelCommand::Unban { channel: own(0), peer: ID })),
        ),
        (
            "admit",
            Says::Command(Command::Channel(ChannelCommand::Admit {
                channel: own(0),
                ticket: 5,
                admit: true,
            })),
        ),
        (
            "created",
            Says::Event(Event::Channel(ChannelEvent::Created { request: 1, channel: own(0) })),
        ),
        (
            "entered",
            Says::Event(Event::Channel(ChannelEvent::Entered(Entered {
                request: 2,
                channel: into(0),
                member: member(2),
                mode: Mode::default(),
                chunk: None,
                replies: true,
                room: false,
            }))),
        ),
        (
            "refused",
            Says::Event(Event::Refused { request: 1, create: true, reason: Reason::NameTaken }),
        ),
        (
            "member-entered",
            Says::Event(Event::Channel(ChannelEvent::MemberEntered {
                channel: own(0),
                member: member(2),
                peer: peer(None, "peote"),
                chunk: Some(32_768),
                replies: false,
            })),
        ),
        (
            "member-left",
            Says::Event(Event::Channel(ChannelEvent::MemberLeft {
                channel: own(0),
                member: member(2),
                reason: Reason::ConnectionLost,
            })),
        ),
        (
            "deleted",
            Says::Event(Event::Channel(ChannelEvent::Deleted {
                channel: own(0),
                reason: Reason::Kicked,
            })),
        ),
        (
            "ended",
            Says::Event(Event::Channel(ChannelEvent::Ended {
                channel: into(0),
                reason: Reason::Kicked,
            })),
        ),
        (
            "knock",
            Says::Event(Event::Channel(ChannelEvent::Knock {
                channel: own(0),
                ticket: 5,
                peer: peer(Some("ann"), "native"),
                credentials: Box::from(*b"me"),
            })),
        ),
        (
            "other-entered",
            Says::Event(Event::Channel(ChannelEvent::OtherEntered {
                channel: into(1),
                member: member(0),
                peer: peer(Some("ann"), "native"),
            })),
        ),
        (
            "other-left",
            Says::Event(Event::Channel(ChannelEvent::OtherLeft {
                channel: into(1),
                member: member(0),
                reason: Reason::Left,
            })),
        ),
        (
            "successor",
            Says::Command(Command::Channel(ChannelCommand::Succeed {
                request: 4,
                channel: own(0),
                member: Some(member(2)),
            })),
        ),
        ("resign", Says::Command(Command::Channel(ChannelCommand::Resign(own(0))))),
        ("owner", owner(OwnerNews::Away)),
        ("owner-back", owner(OwnerNews::Back)),
        ("owner-changed", owner(OwnerNews::Changed(peer(Some("ann"), "native")))),
        ("owner-you", owner(OwnerNews::You(own(0)))),
        ("send", send(up, Part::whole("hello"))),
        ("send-empty", send(up, Part::whole(""))),
        ("send-to", send(Target::Member(own(0), member(2)), Part::whole("hi"))),
        ("broadcast", send(Target::Everyone(own(0), None), Part::whole("hi"))),
        ("broadcast-but-one", send(Target::Everyone(own(0), Some(member(2))), Part::whole("hi"))),
        (
            "from-owner",
            Says::Data(
                message::kind::FROM_OWNER,
                vec![0],
                vec![Part::whole("hi")],
                vec![Place::In(into(0))],
            ),
        ),
        (
            "from-member",
            Says::Data(
                message::kind::FROM_MEMBER,
                vec![0, 2],
                vec![Part::whole("hello")],
                vec![Place::Own(own(0), member(2))],
            ),
        ),
        (
            "from-room",
            Says::Data(
                message::kind::FROM_ROOM,
                vec![1, 0],
                vec![Part::whole("hello")],
                vec![Place::Room(into(1), member(0))],
            ),
        ),
        ("extended", send(up, part(Part::CALL, 11, 0, call))),
        (
            "reply",
            Says::Data(
                message::kind::FROM_OWNER,
                vec![0],
                vec![part(Part::REPLY, 6, 0, b"\x07\x00\x05\x00\x00\x00")],
                vec![Place::In(into(0))],
            ),
        ),
        (
            "parts",
            Says::Data(
                message::kind::FROM_OWNER,
                vec![0],
                vec![part(Part::DATA, 9, 0, &[b'a'; 5]), part(Part::DATA, 9, 5, &[b'b'; 4])],
                vec![Place::In(into(0)); 2],
            ),
        ),
        ("ignorable", Says::Skipped),
    ]
}

/// The examples of section 12.
fn says_of_peers() -> Vec<(&'static str, Says)> {
    let named = |name| PeerName::new(name).expect("a short name");
    let ann = || peer(Some("ann"), "native");
    let (link, purpose) = (LinkNumber(0), || Bytes::from_static(b"chat"));
    let plain = LinkOptions::default;
    let open = |request, to, options| {
        Says::Command(Command::Link(LinkCommand::Open { request, to, options }))
    };
    let linked = |request, peer| {
        Says::Event(Event::Link(LinkEvent::Opened { request, link, peer, purpose: purpose() }))
    };
    vec![
        (
            "link",
            open(4, Addressee::Name(named("ann")), LinkOptions { purpose: purpose(), ..plain() }),
        ),
        ("link-peer", open(5, Addressee::Peer(ID), plain())),
        (
            "link-service",
            open(6, Addressee::Service(named("math")), LinkOptions { except: vec![ID], ..plain() }),
        ),
        ("linked", linked(Some(4), ann())),
        ("linked-accepter", linked(None, peer(None, "native"))),
        ("unlink", Says::Command(Command::Link(LinkCommand::Close { link, reason: Reason::Left }))),
        (
            "unlinked",
            Says::Event(Event::Link(LinkEvent::Closed { link, reason: Reason::ConnectionLost })),
        ),
        (
            "link-data",
            Says::Command(Command::Send {
                to: Target::Link(link),
                part: part(0x10, 6, 0, b"\x01hello"),
            }),
        ),
        (
            "provide",
            Says::Command(Command::Directory(DirectoryCommand::Provide {
                request: 7,
                service: named("math"),
                on: true,
            })),
        ),
        ("done", Says::Event(Event::Done { request: 7 })),
        (
            "look",
            Says::Command(Command::Directory(DirectoryCommand::Look {
                request: 8,
                query: Query::Names { prefix: "a".into(), after: None },
            })),
        ),
        (
            "look-service",
            Says::Command(Command::Directory(DirectoryCommand::Look {
                request: 9,
                query: Query::Service(named("math")),
            })),
        ),
        (
            "look-everybody",
            Says::Command(Command::Directory(DirectoryCommand::Look {
                request: 10,
                query: Query::Everybody { after: Some(After::Name(named("ann"))) },
            })),
        ),
        (
            "found",
            Says::Event(Event::Directory(DirectoryEvent::Found {
                request: 8,
                peers: vec![ann()],
                more: false,
            })),
        ),
        (
            "found-nobody",
            Says::Event(Event::Directory(DirectoryEvent::Found {
                request: 9,
                peers: Vec::new(),
                more: false,
            })),
        ),
        (
            "watch",
            Says::Command(Command::Directory(DirectoryCommand::Watch {
                request: 10,
                whom: Watched::Named,
            })),
        ),
        ("peer-came", Says::Event(Event::Directory(DirectoryEvent::PeerCame { peer: ann() }))),
        ("peer-went", Says::Event(Event::Directory(DirectoryEvent::PeerWent { peer: ann() }))),
        ("pause", Says::Event(Event::Paused { to: Target::Up(JoinedChannelId(1)) })),
        (
            "pause-member",
            Says::Event(Event::Paused { to: Target::Member(OwnedChannelId(0), MemberNumber(2)) }),
        ),
        ("resume", Says::Event(Event::Resumed { to: Target::Link(LinkNumber(3)), of: 0 })),
    ]
}
