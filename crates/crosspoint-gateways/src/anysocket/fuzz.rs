//! Fuzz targets for everything that reads what has come; the ordinary tests run them on transcripts and
//! random changes of them.

use super::auth::Auth;
use super::cipher::{CipherError, Random};
use super::internal::rpc::Outcome;
use super::internal::{Internal, Time, is_proxied};
use super::link::{Config, Link, Received, SendError};
use super::packet::{Message, Packet, PacketError, parse, parse_inner};
use super::reassembly::Bounds;
use super::server::{self, AnySocket};
use super::{Id, Json};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::command::{
    Addressee, ApplicationCommand, ApplicationEvent, ChannelCommand, ChannelEvent, Command,
    DirectoryCommand, DirectoryEvent, Entered, Event, LinkCommand, LinkEvent, Mode, Peer,
};
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::wire::{Encoded, Envelope, FrameWriter, Part, Place};
use crosspoint_hub::{JoinedChannelId, Limits, LinkNumber, MemberNumber, PeerId, Reason};
use std::sync::Arc;
use std::time::{Duration, Instant};

static LENGTHS: Envelope = Envelope {
    prefix: |length, out| out.put_u32(length as u32),
    binary_prefix: None,
    compression: None,
};

const OURS: PeerId = PeerId::new([0x5e; 16]);
const THEIRS: PeerId = PeerId::new([0xc1; 16]);

/// Feeds messages, whose lengths are in front of them in two bytes, to a link. The first byte says in which state
/// the link is. Nothing grows above its bound, every request is given back once, what is understood is
/// written as it came, and what the link writes another link understands.
pub fn fuzz_anysocket(data: &[u8]) {
    let Some((&choice, mut data)) = data.split_first() else {
        return;
    };
    let now = Instant::now();
    let random = &mut Counting(u64::from(choice));
    let mut link = link();
    if choice & 1 != 0 {
        link.set_peer(Id::Peer(THEIRS));
    }
    let mut waits = 0u32;
    if choice & 2 != 0 {
        for request in 0..3 {
            let deadline = now + Duration::from_secs(u64::from(request));
            link.request(Json::EMPTY, deadline, request).expect("the link is empty");
            waits += 1;
        }
    }
    if choice & 4 != 0 {
        link.encrypt(now, random).expect("the link is plain");
    }
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        data = rest;
        let Some(packet) = read(message) else {
            continue;
        };
        let received = link.receive(now, random, packet);
        assert!(link.buffered() <= 2 * BYTES_MAX, "{}", link.buffered());
        let Ok(received) = received else {
            break;
        };
        let sent = match received {
            None | Some(Received::Encrypted { .. }) => Ok(()),
            Some(Received::Reply { body, .. }) => {
                waits -= 1;
                understand(&body);
                Ok(())
            }
            Some(Received::Auth(body)) => {
                if let Ok(auth) = Auth::parse(&body) {
                    let again = Auth::parse(&auth.to_json());
                    assert_eq!(again.expect("it was written here"), auth);
                    link.set_peer(auth.id);
                }
                Ok(())
            }
            Some(Received::Message { body, ticket } | Received::Internal { body, ticket }) => {
                understand(&body);
                ticket.map_or(Ok(()), |ticket| link.reply(ticket, body))
            }
        };
        assert!(matches!(sent, Ok(()) | Err(SendError::Full)), "{sent:?}");
        if choice & 8 != 0 {
            drain(&mut link, random);
        }
    }
    drain(&mut link, random);
    let late = now + Duration::from_secs(100);
    let expired = std::iter::from_fn(|| link.expired(late)).count();
    assert_eq!(expired, waits as usize, "each request comes back once");
    assert_eq!(link.abandon().count(), 0);
}

const BYTES_MAX: usize = 4096;

fn link() -> Link<u32> {
    let pieces = Bounds { bytes_max: BYTES_MAX, packets_max: 3, ..Bounds::default() };
    let config = Config {
        piece_units_max: 50,
        pieces,
        queue_max: 8,
        queue_bytes_max: BYTES_MAX,
        ..Config::default()
    };
    Link::new(Arc::new(config), OURS)
}

/// The packet in a message, or in the packet that it forwards.
fn read(message: &[u8]) -> Option<Packet> {
    let message = Bytes::copy_from_slice(message);
    let mut written = BytesMut::new();
    let packet = match parse(message.clone()).ok()? {
        Message::Packet(packet) => {
            packet.encode(&mut written);
            Some(packet)
        }
        Message::Forward(forward) => {
            forward.encode(&mut written);
            let inner: Result<Packet, PacketError> = parse_inner(forward.inner);
            inner.ok()
        }
    };
    assert_eq!(written, message, "it is written as it came");
    packet
}

/// Reads the body as everything that it may be.
fn understand(body: &Json) {
    if let Ok(internal) = Internal::parse(body) {
        let again = Internal::parse(&internal.to_json());
        assert_eq!(again.expect("it was written here"), internal);
    }
    if let Ok(outcome) = Outcome::parse(body) {
        let again = Outcome::parse(&outcome.to_json());
        assert_eq!(again.expect("it was written here"), outcome);
    }
    if let Ok(time) = Time::parse(body) {
        let _offset = time.offset(0.0, 0.0);
    }
    is_proxied(body);
}

/// Everything that the link writes is a packet.
fn drain(link: &mut Link<u32>, random: &mut dyn Random) {
    while let Some(packet) = link.transmit(random).expect("the random source gives bytes") {
        let mut message = BytesMut::new();
        packet.encode(&mut message);
        assert_eq!(parse(message.freeze()), Ok(Message::Packet(packet)));
    }
}

/// Feeds the server role: messages of the client, and what a hub might say in between. The input is a list of
/// entries: what it is in one byte, a length in two, the bytes. Whatever the server role writes are packets,
/// nothing follows its end, and what waits stays within bounds.
pub fn fuzz_anysocket_server(mut data: &[u8]) {
    let mut now = Instant::now();
    let limits = Arc::new(Limits { message_bytes_max: 1 << 16, ..Limits::default() });
    let options = server::Options {
        id: OURS,
        auth: None,
        limits,
        clock: || 1,
        guard_races: true,
        encrypt: data.first().is_some_and(|what| what & 0x40 != 0),
    };
    let mut server = AnySocket::with_random(now, options, Box::new(Counting(1)));
    let mut hub = Hub::default();
    while let Some((&[what, high, low], rest)) = data.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        data = rest;
        let bytes = Bytes::copy_from_slice(bytes);
        let mut out = FrameWriter::new(Some(&LENGTHS));
        match what & 7 {
            0..=2 => {
                server.receive(now, bytes);
                server.message_ended(now);
            }
            3 => {
                now += Duration::from_millis(u64::from(high) * 100);
                let activity = Activity { read: now, written: None };
                if server.deadline(activity).is_some_and(|deadline| deadline <= now)
                    && server.tick(now, activity, &mut out).is_some()
                {
                    return;
                }
                while server.limit_hit().is_some() {}
                if what & 8 != 0 && hub.greeted {
                    server.deliver(now, &Event::Secure, &mut out);
                }
            }
            _ if !hub.greeted => {}
            4 => {
                let link = LinkNumber(hub.next);
                hub.next += 1;
                let protocol = ["native", "anysocket"][usize::from(what >> 3 & 1)];
                let peer = Peer { id: PeerId::new([what >> 4; 16]), name: None, protocol };
                let linked =
                    Event::Link(LinkEvent::Opened { request: None, link, peer, purpose: bytes });
                server.deliver(now, &linked, &mut out);
            }
            5 => {
                let unlinked = Event::Link(LinkEvent::Closed {
                    link: LinkNumber(high.into()),
                    reason: Reason::Left,
                });
                server.deliver(now, &unlinked, &mut out);
            }
            _ => {
                let place = match what >> 7 {
                    0 => Place::Link(LinkNumber(u32::from(what >> 4))),
                    _ => Place::Room(JoinedChannelId(0), MemberNumber(1)),
                };
                let kind = bytes.first().copied().unwrap_or_default();
                let part = Part { kind, ..Part::whole(bytes.slice(bytes.len().min(1)..)) };
                server.deliver(now, &Event::Data { place, part }, &mut out);
            }
        }
        server.write_more(&mut out);
        loop {
            let output = server.poll(now, &mut out);
            check(&out.take());
            match output {
                None => break,
                Some(Output::Close(_)) => {
                    assert!(server.poll(now, &mut out).is_none(), "nothing follows the end");
                    assert!(out.is_empty());
                    return;
                }
                Some(Output::Measurement(_)) => {}
                Some(Output::Leave(_)) => panic!("its connection is its session"),
                Some(Output::Command(command)) => {
                    if let Some(event) = hub.answer(command) {
                        server.deliver(now, &event, &mut out);
                        check(&out.take());
                    }
                }
            }
        }
    }
}

/// All that is written are packets.
fn check(encoded: &Encoded) {
    let written: Vec<u8> = encoded.pieces().flatten().copied().collect();
    let mut rest = &written[..];
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        parse(Bytes::copy_from_slice(message)).expect("a packet is written");
        rest = behind;
    }
    assert!(rest.is_empty());
}

/// Answers commands as a hub could.
#[derive(Default)]
struct Hub {
    greeted: bool,
    next: u32,
}

impl Hub {
    fn answer(&mut self, command: Command) -> Option<Event> {
        assert_eq!(
            self.greeted,
            !matches!(command, Command::Hello(_)),
            "hello comes once and first"
        );
        let peer = Peer { id: THEIRS, name: Some("peer".into()), protocol: "native" };
        Some(match command {
            Command::Hello(hello) => {
                self.greeted = true;
                Event::Welcome { peer: hello.peer.unwrap_or(THEIRS) }
            }
            Command::Link(LinkCommand::Open { request, to, .. })
                if to == Addressee::Peer(THEIRS) =>
            {
                Event::Refused { request, create: false, reason: Reason::NoSuchPeer }
            }
            Command::Link(LinkCommand::Open { request, options, .. }) => {
                let link = LinkNumber(self.next);
                self.next += 1;
                Event::Link(LinkEvent::Opened {
                    request: Some(request),
                    link,
                    peer,
                    purpose: options.purpose,
                })
            }
            Command::Channel(ChannelCommand::Enter { request, .. }) => {
                Event::Channel(ChannelEvent::Entered(Entered {
                    request,
                    channel: JoinedChannelId(0),
                    member: MemberNumber(0),
                    mode: Mode::default(),
                    chunk: None,
                    replies: true,
                    room: true,
                }))
            }
            Command::Directory(DirectoryCommand::Look { request, .. }) => {
                Event::Directory(DirectoryEvent::Found { request, peers: vec![peer], more: false })
            }
            Command::Directory(
                DirectoryCommand::Watch { request, .. } | DirectoryCommand::Provide { request, .. },
            ) => Event::Done { request },
            Command::Application(ApplicationCommand::Ask { ticket, ask }) => {
                Event::Application(ApplicationEvent::Answer { ticket, outcome: Ok(ask.payload) })
            }
            _ => return None,
        })
    }
}

/// The same bytes in every run.
struct Counting(u64);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}
