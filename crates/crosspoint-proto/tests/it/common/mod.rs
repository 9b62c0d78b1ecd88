//! Both roles without a connection, and all that they can say to each other.

use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::command::{
    Addressee, After, Ban, ChannelCommand, ChannelEvent, ChannelOptions, Command, DirectoryCommand,
    DirectoryEvent, EnterOptions, Entered, Event, Hello, LinkCommand, LinkEvent, LinkOptions, Mode,
    OwnerNews, Peer, Query, Target, Watched,
};
use crosspoint_hub::protocol::{Client, Output, Protocol};
use crosspoint_hub::wire::{Content, Encoded, FrameWriter, Part, Place, Wire};
use crosspoint_hub::{
    ChannelName, JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId, Pace, PeerId, PeerName,
    Reason,
};
use crosspoint_proto::frame::{MAGIC, put_varint};
use crosspoint_proto::{WIRE, client, heartbeat, server};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Both roles of one connection.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) client: client::Native,
    pub(crate) server: server::Native,
}

pub(crate) fn flat(encoded: &Encoded) -> Vec<u8> {
    encoded.pieces().flatten().copied().collect()
}

/// A frame with the right length.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_varint(1 + body.len() as u32, &mut frame);
    frame.push(kind);
    frame.extend(body);
    frame
}

/// Cuts bytes at some places.
pub(crate) fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let piece = |two: &[usize]| Bytes::copy_from_slice(&bytes[two[0]..two[1]]);
    places.windows(2).map(piece).collect()
}

impl Pair {
    /// Before anything was said.
    pub(crate) fn new(options: server::Options, hello: Hello) -> (Self, Vec<u8>) {
        let agent = Some("test".to_owned());
        Self::with(options, client::Options { hello, agent, ..client::Options::default() })
    }

    /// Before anything was said, with everything to choose.
    pub(crate) fn with(
        options: server::Options,
        client_options: client::Options,
    ) -> (Self, Vec<u8>) {
        let now = Instant::now();
        let mut out = FrameWriter::default();
        let client = client::Native::new(now, client_options, &mut out);
        let server = server::Native::new(now, options);
        let pair = Self { now, client, server };
        (pair, flat(&out.take()))
    }

    /// After hello and welcome.
    pub(crate) fn open() -> Self {
        let (mut pair, hello) = Self::new(server::Options::default(), Hello::default());
        let outputs = pair.serve([hello.into()]);
        assert_eq!(outputs, [Output::Command(Command::Hello(Hello::default()))]);
        let peer = PeerId::new([9; 16]);
        let welcome = pair.deliver(&Event::Welcome { peer });
        assert_eq!(pair.listen([welcome.into()]), [Event::Welcome { peer }]);
        pair
    }

    /// What the server role makes of the client's bytes.
    pub(crate) fn serve(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> Vec<Output> {
        self.serve_and_answer(pieces).0
    }

    /// As [`Pair::serve`], with what the server role writes at once.
    pub(crate) fn serve_and_answer(
        &mut self,
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> (Vec<Output>, Vec<u8>) {
        let mut out = FrameWriter::default();
        let mut outputs = Vec::new();
        for piece in pieces {
            self.server.receive(self.now, piece);
            outputs.extend(std::iter::from_fn(|| self.server.poll(self.now, &mut out)));
        }
        (outputs, flat(&out.take()))
    }

    /// What the client role makes of the hub's bytes.
    pub(crate) fn listen(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> Vec<Event> {
        self.listen_and_answer(pieces).0
    }

    /// As [`Pair::listen`], with what the client role writes at once.
    pub(crate) fn listen_and_answer(
        &mut self,
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> (Vec<Event>, Vec<u8>) {
        let mut out = FrameWriter::default();
        let mut events = Vec::new();
        for piece in pieces {
            self.client.receive(self.now, piece);
            events.extend(std::iter::from_fn(|| self.client.poll(self.now, &mut out)));
        }
        (events, flat(&out.take()))
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Vec<u8>, Reason> {
        let mut out = FrameWriter::default();
        self.client.command(self.now, command, &mut out)?;
        Ok(flat(&out.take()))
    }

    /// An event as the hub writes it.
    pub(crate) fn deliver(&mut self, event: &Event) -> Vec<u8> {
        let mut out = FrameWriter::default();
        match event {
            Event::Data { place, part } => {
                let (place, chunk) = (*place, None);
                WIRE.encode(&Content::Part { place, chunk, part }, &mut out);
            }
            other => self.server.deliver(self.now, other, &mut out),
        }
        flat(&out.take())
    }
}

/// What a client sends before its first command.
pub(crate) fn hello(map: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &frame(0x01, map)].concat()
}

/// A MessagePack map of short names and numbers below 128.
pub(crate) fn numbers(entries: &[(&str, u8)]) -> Vec<u8> {
    let mut map = BytesMut::new();
    map.put_u8(0x80 | entries.len() as u8);
    for (name, value) in entries {
        map.put_u8(0xa0 | name.len() as u8);
        map.put_slice(name.as_bytes());
        map.put_u8(*value);
    }
    map.to_vec()
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

fn channel_name() -> impl Strategy<Value = ChannelName> {
    bytes(255).prop_map(|name| ChannelName::new(name).expect("at most 255 bytes"))
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::Raw),
        (1..=Mode::CHUNK_BYTES_LIMIT).prop_map(|bytes_max| Mode::Chunk { bytes_max }),
    ]
}

fn peer_id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 16]>().prop_map(PeerId::new)
}

fn peer() -> impl Strategy<Value = Peer> {
    let protocol = prop::sample::select(vec!["native", "peote", "other"]);
    (peer_id(), any::<Option<String>>(), protocol).prop_map(|(id, name, protocol)| Peer {
        id,
        name: name.map(Into::into),
        protocol,
    })
}

fn peer_name() -> impl Strategy<Value = PeerName> {
    "[ -~äß€😀]{1,60}".prop_map(|name| PeerName::new(name).expect("1 to 240 bytes"))
}

fn link() -> impl Strategy<Value = LinkNumber> {
    any::<u32>().prop_map(LinkNumber)
}

fn reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(Reason::ALL.to_vec())
}

fn own() -> impl Strategy<Value = OwnedChannelId> {
    any::<u32>().prop_map(OwnedChannelId)
}

fn into() -> impl Strategy<Value = JoinedChannelId> {
    any::<u32>().prop_map(JoinedChannelId)
}

fn member() -> impl Strategy<Value = MemberNumber> {
    any::<u32>().prop_map(MemberNumber)
}

/// Parts that fit into one frame.
fn part() -> impl Strategy<Value = Part> {
    let shape = (any::<u8>(), 0u32..1 << 20, 0u32..1 << 20, bytes(200));
    prop_oneof![
        bytes(200).prop_map(Part::whole),
        shape.prop_map(|(kind, offset, rest, data)| Part {
            kind,
            total: offset + data.len() as u32 + rest,
            offset,
            data,
        }),
    ]
}

/// A member or nobody, as it is written with 0 for nobody.
fn except() -> impl Strategy<Value = Option<MemberNumber>> {
    prop::option::of((0..u32::MAX).prop_map(MemberNumber))
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        into().prop_map(Target::Up),
        (own(), member()).prop_map(|(own, member)| Target::Member(own, member)),
        (own(), except()).prop_map(|(own, except)| Target::Everyone(own, except)),
        link().prop_map(Target::Link),
    ]
}

/// Every command about other sessions.
fn peers_command() -> impl Strategy<Value = Command> {
    let to = prop_oneof![
        peer_id().prop_map(Addressee::Peer),
        peer_name().prop_map(Addressee::Name),
        peer_name().prop_map(Addressee::Service),
    ];
    let options = (bytes(300), prop::collection::vec(peer_id(), 0..4))
        .prop_map(|(purpose, except)| LinkOptions { purpose, except, single: false });
    let query = prop_oneof![
        peer_id().prop_map(Query::Peer),
        peer_name().prop_map(Query::Name),
        peer_name().prop_map(Query::Service),
        ("[a-zß]{0,40}", prop::option::of(peer_name()))
            .prop_map(|(prefix, after)| Query::Names { prefix, after }),
        prop::option::of(prop_oneof![
            peer_name().prop_map(After::Name),
            peer_id().prop_map(After::Peer),
        ])
        .prop_map(|after| Query::Everybody { after }),
    ];
    let watched =
        prop_oneof![Just(Watched::Nobody), Just(Watched::Named), Just(Watched::Everybody),];
    prop_oneof![
        (any::<u32>(), to, options).prop_map(|(request, to, options)| Command::Link(
            LinkCommand::Open { request, to, options }
        )),
        (link(), reason())
            .prop_map(|(link, reason)| Command::Link(LinkCommand::Close { link, reason })),
        (any::<u32>(), peer_name(), any::<bool>()).prop_map(|(request, service, on)| {
            Command::Directory(DirectoryCommand::Provide { request, service, on })
        }),
        (any::<u32>(), query).prop_map(|(request, query)| Command::Directory(
            DirectoryCommand::Look { request, query }
        )),
        (any::<u32>(), watched).prop_map(|(request, whom)| Command::Directory(
            DirectoryCommand::Watch { request, whom }
        )),
    ]
}

/// Every event about other sessions.
fn peers_event() -> impl Strategy<Value = Event> {
    let peers = || prop::collection::vec(peer(), 0..4);
    prop_oneof![
        (any::<Option<u32>>(), link(), peer(), bytes(300)).prop_map(
            |(request, link, peer, purpose)| Event::Link(LinkEvent::Opened {
                request,
                link,
                peer,
                purpose
            })
        ),
        (link(), reason())
            .prop_map(|(link, reason)| Event::Link(LinkEvent::Closed { link, reason })),
        (any::<u32>(), peers(), any::<bool>()).prop_map(|(request, peers, more)| Event::Directory(
            DirectoryEvent::Found { request, peers, more }
        )),
        any::<u32>().prop_map(|request| Event::Done { request }),
        peer().prop_map(|peer| Event::Directory(DirectoryEvent::PeerCame { peer })),
        peer().prop_map(|peer| Event::Directory(DirectoryEvent::PeerWent { peer })),
        single().prop_map(|to| Event::Paused { to }),
        single().prop_map(|to| Event::Resumed { to, of: 0 }),
    ]
}

/// A target that is a single receiver.
fn single() -> impl Strategy<Value = Target> {
    prop_oneof![
        any::<u32>().prop_map(|number| Target::Up(JoinedChannelId(number))),
        (any::<u32>(), any::<u32>())
            .prop_map(|(own, member)| Target::Member(OwnedChannelId(own), MemberNumber(member))),
        link().prop_map(Target::Link),
    ]
}

/// How a client and its hub may watch each other.
pub(crate) fn heartbeat() -> impl Strategy<Value = heartbeat::Config> {
    let pace = || {
        let millis = prop_oneof![0..100_000u64, any::<u64>()];
        prop_oneof![
            Just(Pace::Usual),
            millis.prop_map(|millis| Pace::Every(Duration::from_millis(millis))),
            Just(Pace::Never),
        ]
    };
    let patience = (0..100_000u64).prop_map(Duration::from_millis);
    (pace(), any::<u32>(), pace(), patience).prop_map(|(own, missed_max, hub, patience)| {
        heartbeat::Config { own, missed_max, hub, patience }
    })
}

/// Every command but hello, which is said once.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let password = || prop::option::of(bytes(20));
    let channel_options = (mode(), any::<Option<u32>>(), password(), any::<bool>()).prop_map(
        |(mode, members_max, password, approve)| ChannelOptions {
            mode,
            members_max,
            password,
            approve,
        },
    );
    let enter_flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let enter_options = (mode(), password(), bytes(300), enter_flags).prop_map(
        |(mode, password, credentials, (make_room, presence, silent))| EnterOptions {
            mode,
            password,
            credentials,
            make_room,
            presence,
            silent,
        },
    );
    let time = any::<Option<u32>>()
        .prop_map(|seconds| seconds.map(|seconds| Duration::from_secs(seconds.into())));
    let ban = (time, any::<bool>()).prop_map(|(time, address)| Ban { time, address });
    prop_oneof![
        (any::<u32>(), channel_name(), channel_options).prop_map(|(request, name, options)| {
            Command::Channel(ChannelCommand::Create { request, name, options })
        }),
        (any::<u32>(), channel_name(), enter_options).prop_map(|(request, name, options)| {
            Command::Channel(ChannelCommand::Enter { request, name, options })
        }),
        into().prop_map(|number| ChannelCommand::Leave(number).into()),
        (any::<u32>(), own(), prop::option::of(member())).prop_map(|(request, channel, member)| {
            Command::Channel(ChannelCommand::Succeed { request, channel, member })
        }),
        own().prop_map(|number| ChannelCommand::Resign(number).into()),
        own().prop_map(|number| ChannelCommand::Delete(number).into()),
        (target(), part()).prop_map(|(to, part)| Command::Send { to, part }),
        (own(), member(), prop::option::of(ban)).prop_map(|(channel, member, ban)| {
            Command::Channel(ChannelCommand::Kick { channel, member, ban })
        }),
        (own(), peer_id())
            .prop_map(|(channel, peer)| Command::Channel(ChannelCommand::Unban { channel, peer })),
        (own(), any::<u32>(), any::<bool>()).prop_map(|(channel, ticket, admit)| {
            Command::Channel(ChannelCommand::Admit { channel, ticket, admit })
        }),
        peers_command(),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        (own(), member()).prop_map(|(own, member)| Place::Own(own, member)),
        into().prop_map(Place::In),
        (into(), member()).prop_map(|(number, member)| Place::Room(number, member)),
        link().prop_map(Place::Link),
    ]
}

fn entered() -> impl Strategy<Value = Entered> {
    let switches = (any::<Option<u32>>(), any::<bool>(), any::<bool>());
    (any::<u32>(), into(), member(), mode(), switches).prop_map(
        |(request, channel, member, mode, (chunk, replies, room))| Entered {
            request,
            channel,
            member,
            mode,
            chunk,
            replies,
            room,
        },
    )
}

fn owner_news() -> impl Strategy<Value = OwnerNews> {
    prop_oneof![
        Just(OwnerNews::Away),
        Just(OwnerNews::Back),
        peer().prop_map(OwnerNews::Changed),
        own().prop_map(OwnerNews::You),
    ]
}

/// Every event but the welcome, which is said once, and the end.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<u32>(), own()).prop_map(|(request, channel)| Event::Channel(
            ChannelEvent::Created { request, channel }
        )),
        entered().prop_map(|entered| ChannelEvent::Entered(entered).into()),
        (any::<u32>(), any::<bool>(), reason())
            .prop_map(|(request, create, reason)| { Event::Refused { request, create, reason } }),
        (own(), member(), peer(), any::<Option<u32>>(), any::<bool>()).prop_map(
            |(channel, member, peer, chunk, replies)| Event::Channel(ChannelEvent::MemberEntered {
                channel,
                member,
                peer,
                chunk,
                replies,
            })
        ),
        (own(), member(), reason()).prop_map(|(channel, member, reason)| Event::Channel(
            ChannelEvent::MemberLeft { channel, member, reason }
        )),
        (own(), reason())
            .prop_map(|(channel, reason)| ChannelEvent::Deleted { channel, reason }.into()),
        (own(), any::<u32>(), peer(), bytes(300)).prop_map(
            |(channel, ticket, peer, credentials)| Event::Channel(ChannelEvent::Knock {
                channel,
                ticket,
                peer,
                credentials: Box::from(&*credentials),
            })
        ),
        (into(), reason())
            .prop_map(|(channel, reason)| Event::Channel(ChannelEvent::Ended { channel, reason })),
        (into(), owner_news())
            .prop_map(|(channel, news)| Event::Channel(ChannelEvent::Owner { channel, news })),
        (into(), member(), peer()).prop_map(|(channel, member, peer)| Event::Channel(
            ChannelEvent::OtherEntered { channel, member, peer }
        )),
        (into(), member(), reason()).prop_map(|(channel, member, reason)| Event::Channel(
            ChannelEvent::OtherLeft { channel, member, reason }
        )),
        (place(), part()).prop_map(|(place, part)| Event::Data { place, part }),
        peers_event(),
    ]
}
