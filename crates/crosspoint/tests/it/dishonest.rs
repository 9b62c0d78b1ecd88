//! What a hub, or a relay on the way to it, gains by lying (docs/peers.md, section 8). Here each lies.

use crate::common::{event, heard, link, raw, said};
use bytes::Bytes;
use crosspoint::{
    Address, Asked, ChannelError, ChannelOptions, ConnectError, EnterOptions, HubOptions, Identity,
    MemberNumber, Node, NodeBuilder, OwnerEvent, Payload, Peer, PeerError, PeerEvent, PeerId,
    PeerInfo, Pin, PresenceEvent, Protocol, Reason, RequestError, SecureError, Server, Shape, Who,
};
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, Command, DirectoryCommand, DirectoryEvent, Entered,
    Event, LinkCommand, LinkEvent, LinkOptions, Mode,
};
use crosspoint_hub::protocol::{Output, Protocol as _};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{JoinedChannelId, LinkNumber, OwnedChannelId};
use crosspoint_net::client::Endpoint;
use crosspoint_net::memory;
use crosspoint_net::stream::{Reader, Stream, Writer};
use crosspoint_proto::frame::{MAGIC, peek_varint, put_varint};
use crosspoint_proto::message::kind;
use crosspoint_proto::peer::secure::SEALED;
use crosspoint_proto::server;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;

fn identity(number: u8) -> Identity {
    Identity::from_bytes(&[number; 32])
}

fn id(number: u8) -> PeerId {
    identity(number).peer_id()
}

/// Data of a link in its extended form: link number (of one byte here), kind, total, offset, payload.
const LINK_DATA: u8 = kind::LINK_DATA | kind::EXTENDED;

const ANN: u8 = 1;
const BOB: u8 = 2;
const MALLORY: u8 = 3;

fn node(name: &str, number: u8) -> NodeBuilder {
    let builder = Node::builder().name(name).identity(identity(number));
    builder.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) })
}

fn inside(hub: &Server) -> Address {
    hub.inside(Shape::default())
}

/// An address in this program, and who connects to it.
fn listener() -> (Address, memory::Acceptor) {
    let (connector, acceptor) = memory::listener();
    let endpoint = Endpoint::Memory { connector, shape: Shape::default() };
    (Address { protocol: Protocol::Native, endpoint }, acceptor)
}

/// What is there to read; nothing at the end.
async fn read(from: &mut Reader) -> Vec<u8> {
    let mut bytes = [0; 4096];
    poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut bytes);
        match ready!(from.poll_read(cx, &mut buffer)) {
            Ok(()) => Poll::Ready(buffer.filled().to_vec()),
            Err(_lost) => Poll::Ready(Vec::new()),
        }
    })
    .await
}

/// What a relay makes of a frame: its type and body.
type Rewrite = Box<dyn FnMut(u8, Vec<u8>) -> Vec<(u8, Vec<u8>)> + Send>;

fn honest() -> Rewrite {
    Box::new(|kind, body| vec![(kind, body)])
}

/// Puts one id in the place of another in frames of one type.
fn swap(wanted: u8, from: PeerId, to: PeerId) -> Rewrite {
    Box::new(move |kind, mut body| {
        let at = body.windows(16).position(|bytes| bytes == from.as_bytes());
        if kind == wanted
            && let Some(at) = at
        {
            body[at..at + 16].copy_from_slice(to.as_bytes());
        }
        vec![(kind, body)]
    })
}

async fn relay_frames(mut from: Reader, to: Writer, mut magic: usize, mut rewrite: Rewrite) {
    let mut waiting = Vec::new();
    loop {
        let more = read(&mut from).await;
        if more.is_empty() {
            return to.shutdown();
        }
        waiting.extend(more);
        let mut out = Vec::new();
        out.extend(waiting.drain(..magic.min(waiting.len())));
        magic -= out.len();
        while let Some((length, head)) = peek_varint(&waiting).unwrap()
            && waiting.len() >= head + length as usize
        {
            let frame: Vec<u8> = waiting.drain(..head + length as usize).skip(head).collect();
            for (kind, body) in rewrite(frame[0], frame[1..].to_vec()) {
                put_varint(body.len() as u32 + 1, &mut out);
                out.push(kind);
                out.extend(body);
            }
        }
        if to.write_all(&out).await.is_err() {
            return;
        }
    }
}

/// A way to a hub that leads over somebody who changes what is said.
fn relay(hub: &Server, to_hub: Rewrite, to_node: Rewrite) -> Address {
    let Endpoint::Memory { connector: inner, .. } = inside(hub).endpoint else {
        panic!("inside is in memory");
    };
    let (address, mut acceptor) = listener();
    tokio::spawn(async move {
        let near = Stream::from(acceptor.accept().await.unwrap()).into_split();
        let far = Stream::from(inner.connect(Shape::default()).unwrap()).into_split();
        let up = relay_frames(near.0, far.1, MAGIC.len(), to_hub);
        tokio::join!(up, relay_frames(far.0, near.1, 0, to_node));
    });
    address
}

/// A hub that answers what the test says.
fn lying_hub(mut answer: impl FnMut(Command) -> Vec<Event> + Send + 'static) -> Address {
    let (address, mut acceptor) = listener();
    tokio::spawn(async move {
        let (mut reader, writer) = Stream::from(acceptor.accept().await.unwrap()).into_split();
        let now = std::time::Instant::now();
        let options = server::Options { random: Some([9; 32]), ..server::Options::default() };
        let mut hub = server::Native::new(now, options);
        let mut out = FrameWriter::default();
        loop {
            while let Some(output) = hub.poll(now, &mut out) {
                let Output::Command(command) = output else { return };
                for event in answer(command) {
                    hub.deliver(now, &event, &mut out);
                }
            }
            let bytes: Vec<u8> = out.take().pieces().flatten().copied().collect();
            let _ = writer.write_all(&bytes).await;
            let more = read(&mut reader).await;
            if more.is_empty() {
                return;
            }
            hub.receive(now, more.into());
        }
    });
    address
}

/// A lying hub that greets as it should.
fn greeting(mut answer: impl FnMut(Command) -> Vec<Event> + Send + 'static) -> Address {
    lying_hub(move |command| match command {
        Command::Hello(hello) => {
            vec![Event::Welcome { peer: hello.peer.unwrap_or(PeerId::new([7; 16])) }]
        }
        command => answer(command),
    })
}

fn info(number: u8, name: &str) -> PeerInfo {
    PeerInfo { id: id(number), name: Some(name.into()), protocol: "native" }
}

fn linked(request: u32, peer: PeerInfo) -> Event {
    Event::Link(LinkEvent::Opened {
        request: Some(request),
        link: LinkNumber(0),
        peer,
        purpose: Bytes::new(),
    })
}

/// A hub that answers every link with this peer, and tells what it hears over it.
fn leads_to(peer: PeerInfo) -> (Address, Arc<Mutex<Vec<Command>>>) {
    let heard = Arc::<Mutex<Vec<Command>>>::default();
    let log = heard.clone();
    let address = greeting(move |command| match command {
        Command::Link(LinkCommand::Open { request, .. }) => vec![linked(request, peer.clone())],
        other => {
            log.lock().unwrap().push(other);
            Vec::new()
        }
    });
    (address, heard)
}

/// Nothing was sent over the link, which ended.
async fn nothing_but_the_end(heard: &Mutex<Vec<Command>>) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let heard = heard.lock().unwrap();
    assert!(
        matches!(heard[..], [Command::Link(LinkCommand::Close { link: LinkNumber(0), .. })]),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_another_id_or_name_than_asked_for_is_no_link() {
    let questions: [(Who, Asked); 2] =
        [(Who::Id(id(BOB)), Asked::Id(id(BOB))), (Who::from("Bob"), Asked::Name("Bob".into()))];
    for (who, asked) in questions {
        let mallory = info(MALLORY, "Mallory");
        for builder in [node("Ann", ANN), node("Ann", ANN).require_encryption()] {
            let (hub, heard) = leads_to(mallory.clone());
            let ann = builder.connect(hub).await.unwrap();
            let refused = ann.peer(who.clone()).await;
            let answered = mallory.clone();
            assert_eq!(refused, Err(PeerError::OtherPeer { asked: asked.clone(), answered }));
            nothing_but_the_end(&heard).await;
        }
    }
    let (hub, _) = leads_to(info(MALLORY, "Mallory"));
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    let refused = ann.peer(id(BOB)).await.unwrap_err().to_string();
    assert!(refused.contains(&id(BOB).to_string()), "{refused}");
    assert!(refused.contains(&id(MALLORY).to_string()), "{refused}");
}

/// Ann's way to a hub where Mallory is. It asks for Mallory when Ann asks for Bob, and says what it
/// likes when the link is there.
async fn redirected(hub: &Server, builder: NodeBuilder, to_node: Rewrite) -> Node {
    builder.connect(relay(hub, swap(kind::LINK, id(BOB), id(MALLORY)), to_node)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_redirected_on_its_way_is_found_out() {
    let hub = Server::new(HubOptions::default());
    let mallory = node("Mallory", MALLORY).connect(inside(&hub)).await.unwrap();
    let mut caught = mallory.incoming();
    for strict in [false, true] {
        let builder = node(&format!("Ann {strict}"), ANN + 10 + u8::from(strict));
        let builder = if strict { builder.require_encryption() } else { builder };
        // The relay changes the question alone.
        let ann = redirected(&hub, builder, honest()).await;
        let refused = ann.peer(id(BOB)).await;
        let (asked, answered) = (Asked::Id(id(BOB)), info(MALLORY, "Mallory"));
        assert_eq!(refused, Err(PeerError::OtherPeer { asked, answered }));
        let lured = caught.next().await.unwrap();
        assert!(lured.next().await.is_none(), "nothing was said to Mallory");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_changes_question_and_answer_gets_no_encrypted_link() {
    let hub = Server::new(HubOptions::default());
    let mallory = node("Mallory", MALLORY).connect(inside(&hub)).await.unwrap();
    let mut caught = mallory.incoming();
    // The relay changes both. So the link seems to be Bob's.
    let back = || swap(kind::LINKED, id(MALLORY), id(BOB));
    let ann = redirected(&hub, node("Ann", ANN), back()).await;
    let to_bob = ann.peer(id(BOB)).await.unwrap();
    assert_eq!(to_bob.id(), id(BOB));
    let refused = to_bob.secure().await;
    assert_eq!(refused, Err(PeerError::Insecure(SecureError::HandshakeFailed)));
    let lured = caught.next().await.unwrap();
    assert!(lured.next().await.is_none() && lured.fingerprint().is_none());

    let strict = node("Ann 2", ANN + 10).require_encryption();
    let ann = redirected(&hub, strict, back()).await;
    let refused = ann.peer(id(BOB)).await;
    assert_eq!(refused, Err(PeerError::Insecure(SecureError::HandshakeFailed)));
    assert!(caught.next().await.unwrap().next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_said_to_come_from_somebody_else_is_found_out() {
    let hub = Server::new(HubOptions::default());
    let mallory = node("Mallory", MALLORY).connect(inside(&hub)).await.unwrap();
    // Bob's relay says that all links come from Ann.
    for (name, strict) in [("Bob", false), ("Bob 2", true)] {
        let builder = node(name, BOB + 10 + u8::from(strict));
        let builder = if strict { builder.require_encryption() } else { builder };
        let lies = swap(kind::LINKED, id(MALLORY), id(ANN));
        let bob = builder.connect(relay(&hub, honest(), lies)).await.unwrap();
        let mut incoming = bob.incoming();
        let to_bob = mallory.peer(bob.peer_id()).await.unwrap();
        if strict {
            assert!(to_bob.secure().await.is_err());
            let delivered = tokio::time::timeout(Duration::from_secs(20), incoming.next()).await;
            assert!(delivered.is_err(), "a strict node is told of nobody unproven");
        } else {
            let from_ann = incoming.next().await.unwrap();
            assert_eq!(from_ann.id(), id(ANN), "which nothing proves");
            assert!(from_ann.secure().await.is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whose_a_name_is_the_hub_decides_and_the_handle_shows() {
    // The hub gives Bob's name to Mallory: encryption is with Mallory then, and is seen to be.
    let hub = Server::new(HubOptions::default());
    let mallory = node("Bob", MALLORY).connect(inside(&hub)).await.unwrap();
    let ann = node("Ann", ANN).require_encryption().connect(inside(&hub)).await.unwrap();
    let mut incoming = mallory.incoming();
    let to_bob = ann.peer("Bob").await.unwrap();
    assert_eq!(to_bob.id(), id(MALLORY));
    assert_eq!(to_bob.fingerprint(), Some(identity(MALLORY).public_key().fingerprint()));
    drop(to_bob);
    assert!(incoming.next().await.unwrap().next().await.is_none(), "nothing was said before");
    // Who knows the key says so.
    let to_bob = ann.peer("Bob").await.unwrap();
    let refused = to_bob.secure_with(Pin::Key(identity(BOB).public_key())).await;
    assert!(matches!(refused, Err(PeerError::Insecure(SecureError::WrongPin(_)))), "{refused:?}");
}

fn pinned(name: &str, number: u8) -> NodeBuilder {
    node(name, number).pin("Bob", id(BOB))
}

#[tokio::test(start_paused = true)]
async fn a_pinned_name_leads_to_its_key_or_nowhere() {
    let hub = Server::new(HubOptions::default());
    let impostor = node("Bob", MALLORY).connect(inside(&hub)).await.unwrap();
    let ann = pinned("Ann", ANN).connect(inside(&hub)).await.unwrap();
    let not_pinned =
        |answered| PeerError::NotPinned { name: "Bob".into(), pinned: id(BOB), answered };
    assert_eq!(ann.peer("Bob").await, Err(not_pinned(id(MALLORY))));
    assert_eq!(ann.find("Bob").await, Err(not_pinned(id(MALLORY))));
    // Also another that comes with the name.
    let mut incoming = ann.incoming();
    let to_ann = impostor.peer("Ann").await.unwrap();
    assert_eq!(to_ann.closed().await, Reason::Declined);
    impostor.close().await;

    // The hub says that it is Bob, and leads to Mallory.
    let mallory = node("Mallory", MALLORY).connect(inside(&hub)).await.unwrap();
    let lies: Rewrite = Box::new(|kind, body| {
        // LINK by name: "Mallory" in the place of "Bob".
        let text = |name: &str| [&[name.len() as u8][..], name.as_bytes()].concat();
        let (bob, mallory) = (text("Bob"), text("Mallory"));
        let at = body.windows(bob.len()).position(|bytes| bytes == bob);
        match at {
            Some(at) if kind == kind::LINK => {
                let rest = &body[at + bob.len()..];
                vec![(kind, [&body[..at], &mallory, rest].concat())]
            }
            _ => vec![(kind, body)],
        }
    });
    let as_bob: Rewrite = Box::new(|kind, mut body| {
        let at = body.windows(16).position(|bytes| bytes == id(MALLORY).as_bytes());
        if kind == kind::LINKED
            && let Some(at) = at
        {
            body[at..at + 16].copy_from_slice(id(BOB).as_bytes());
            let name = body.windows(7).position(|bytes| bytes == b"Mallory").unwrap();
            body.splice(name - 1..name + 7, *b"\xa3Bob");
        }
        vec![(kind, body)]
    });
    let lured = pinned("Eve", ANN + 10).connect(relay(&hub, lies, as_bob)).await.unwrap();
    let refused = lured.peer("Bob").await;
    assert_eq!(refused, Err(PeerError::Insecure(SecureError::HandshakeFailed)));
    mallory.close().await;

    // It is encrypted with Bob, in both directions, though nobody else requires that.
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    let bobs = identity(BOB).public_key().fingerprint();
    let to_bob = ann.peer("Bob").await.unwrap();
    assert_eq!(to_bob.fingerprint(), Some(bobs));
    assert_eq!(to_bob.call::<i32>("add", &(1, 2)).await, Ok(3));
    let to_ann = bob.peer("Ann").await.unwrap();
    let from_bob = incoming.next().await.unwrap();
    assert_eq!(from_bob.fingerprint(), Some(bobs));
    assert_eq!(to_ann.call::<i32>("add", &(1, 2)).await, Ok(3));
    // Without keys a pin cannot be kept.
    let keyless = Node::builder().pin("Bob", id(BOB)).connect(inside(&hub)).await.unwrap();
    assert_eq!(keyless.peer("Bob").await, Err(PeerError::NoIdentity));
}

#[tokio::test(start_paused = true)]
async fn whose_a_service_is_the_hub_decides_unless_the_provider_is_checked() {
    let hub = Server::new(HubOptions::default());
    let mallory = node("Mallory", MALLORY).connect(inside(&hub)).await.unwrap();
    mallory.provide("sums").await.unwrap();
    let ann = node("Ann", ANN).require_encryption().connect(inside(&hub)).await.unwrap();
    let sums = ann.service("sums").unwrap();
    let only_bob = sums.admit_if(|provider| provider.id() == id(BOB));
    let mut caught = mallory.incoming();
    let refused = only_bob.call::<i32>("add", &(1, 2)).await;
    assert_eq!(refused, Err(RequestError::NoProvider));
    assert!(caught.next().await.unwrap().next().await.is_none(), "nothing was said");
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    bob.provide("sums").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(only_bob.call::<i32>("add", &(1, 2)).await, Ok(3));
    assert_eq!(only_bob.providers(), [id(BOB)]);

    // A hub that gives the one who was left out, again and again, is found out.
    let (hub, _) = leads_to(info(MALLORY, "Mallory"));
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    let nobody = ann.service("sums").unwrap().admit_if(|_| false);
    let refused = nobody.call::<i32>("add", &(1, 2)).await.unwrap_err();
    let asked = Asked::Service { name: "sums".into(), except: vec![id(MALLORY)] };
    let error = PeerError::OtherPeer { asked, answered: info(MALLORY, "Mallory") };
    assert_eq!(refused, RequestError::Unsent(error));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_look_is_about_those_who_were_looked_for() {
    let found = |peers: Vec<PeerInfo>, more: bool| {
        greeting(move |command| match command {
            Command::Directory(DirectoryCommand::Look { request, .. }) => {
                vec![Event::Directory(DirectoryEvent::Found {
                    request,
                    peers: peers.clone(),
                    more,
                })]
            }
            _ => Vec::new(),
        })
    };
    let mallory = info(MALLORY, "Mallory");
    let other = |asked, answered: &PeerInfo| {
        Err(PeerError::OtherPeer { asked, answered: answered.clone() })
    };
    let ann = node("Ann", ANN).connect(found(vec![mallory.clone()], false)).await.unwrap();
    assert_eq!(ann.find(id(BOB)).await, other(Asked::Id(id(BOB)), &mallory));
    assert_eq!(ann.find("Bob").await, other(Asked::Name("Bob".into()), &mallory));
    assert_eq!(ann.find("Mallory").await, Ok(Some(mallory.clone())));
    let asked = Asked::Names("B".into());
    assert_eq!(ann.peers("B").await.map(drop), other(asked.clone(), &mallory).map(drop));

    let two = vec![info(BOB, "Bob"), info(MALLORY, "Bob")];
    let ann = node("Ann", ANN).connect(found(two.clone(), false)).await.unwrap();
    assert_eq!(ann.find("Bob").await, other(Asked::Name("Bob".into()), &two[1]));
    assert_eq!(ann.peers("B").await.map(drop), other(asked.clone(), &two[1]).map(drop));
    // The same again and again, as if it never ended.
    let ann = node("Ann", ANN).connect(found(vec![info(BOB, "Bob")], true)).await.unwrap();
    assert_eq!(ann.peers("B").await.map(drop), other(asked, &two[0]).map(drop));
    // Nobody is not somebody else: a hub can hide whom it likes.
    let ann = node("Ann", ANN).connect(found(Vec::new(), true)).await.unwrap();
    assert_eq!(ann.find("Bob").await, Ok(None));
    assert_eq!(ann.peers("B").await, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_names_peers_without_an_end_is_not_listened_to_for_ever() {
    let mut next = 0;
    let hub = greeting(move |command| match command {
        Command::Directory(DirectoryCommand::Look { request, .. }) => {
            let names = (0..500).map(|number| info(MALLORY, &format!("B{:09}", next + number)));
            let peers = names.collect();
            next += 500;
            vec![Event::Directory(DirectoryEvent::Found { request, peers, more: true })]
        }
        _ => Vec::new(),
    });
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    assert_eq!(ann.peers("B").await.map(drop), Err(PeerError::TooManyFound(100_000)));
}

#[tokio::test(start_paused = true)]
async fn a_hub_can_say_of_anybody_that_it_is_there_has_come_or_gone() {
    let hub = greeting(|command| match command {
        Command::Directory(DirectoryCommand::Look { request, .. }) => {
            vec![Event::Directory(DirectoryEvent::Found {
                request,
                peers: vec![info(BOB, "Bob")],
                more: false,
            })]
        }
        Command::Directory(DirectoryCommand::Watch { request, .. }) => vec![
            Event::Done { request },
            Event::Directory(DirectoryEvent::PeerCame { peer: info(BOB, "Bob") }),
            Event::Directory(DirectoryEvent::PeerWent { peer: info(BOB, "Bob") }),
        ],
        _ => Vec::new(),
    });
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    assert_eq!(ann.find(id(BOB)).await, Ok(Some(info(BOB, "Bob"))));
    assert_eq!(ann.peers("B").await, Ok(vec![info(BOB, "Bob")]));
    let mut presence = ann.watch().await.unwrap();
    assert_eq!(presence.next().await, Some(PresenceEvent::Came(info(BOB, "Bob"))));
    assert_eq!(presence.next().await, Some(PresenceEvent::Went(info(BOB, "Bob"))));
}

#[tokio::test(start_paused = true)]
async fn a_hub_can_refuse_delay_and_end_for_any_reason() {
    let ann = node("Ann", ANN).connect(greeting(|_| Vec::new())).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(10), ann.peer(id(BOB))).await;
    assert!(asked.is_err(), "it is not answered");
    for reason in [Reason::NoSuchPeer, Reason::NotAllowed, Reason::Banned, Reason::Expired] {
        let hub = greeting(move |command| match command {
            Command::Link(LinkCommand::Open { request, to: Addressee::Name(_), .. }) => {
                vec![Event::Refused { request, create: false, reason }]
            }
            Command::Link(LinkCommand::Open { request, .. }) => {
                let link = LinkNumber(0);
                vec![
                    linked(request, info(BOB, "Bob")),
                    Event::Link(LinkEvent::Closed { link, reason }),
                ]
            }
            _ => Vec::new(),
        });
        let ann = node("Ann", ANN).connect(hub).await.unwrap();
        assert_eq!(ann.peer("Bob").await.map(drop), Err(PeerError::Refused(reason)));
        assert_eq!(ann.peer(id(BOB)).await.unwrap().closed().await, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_sees_who_links_to_whom_and_how_much_is_sent() {
    let hub = Server::new(HubOptions::default());
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    let seen = Arc::<Mutex<Vec<(u8, Vec<u8>)>>>::default();
    let log = seen.clone();
    let watch: Rewrite = Box::new(move |kind, body| {
        log.lock().unwrap().push((kind, body.clone()));
        vec![(kind, body)]
    });
    let ann = node("Ann", ANN).connect(relay(&hub, watch, honest())).await.unwrap();
    let (to_bob, to_ann): (Peer, Peer) = link(&ann, &bob).await;
    to_bob.secure().await.unwrap();
    let sent = |seen: &[(u8, Vec<u8>)]| {
        let data = seen.iter().filter(|(kind, _)| kind & !kind::EXTENDED == kind::LINK_DATA);
        data.map(|(_, body)| body.len()).sum::<usize>()
    };
    let before = sent(&seen.lock().unwrap());
    let secret = "a secret of forty bytes, and of no more. ".repeat(10);
    to_bob.send(secret.clone()).await.unwrap();
    assert!(matches!(event(&to_ann).await, PeerEvent::Message(message) if message.data == secret));
    let seen = seen.lock().unwrap();
    let holds = |body: &[u8], bytes: &[u8]| body.windows(bytes.len()).any(|part| part == bytes);
    let mut links = seen.iter().filter(|(kind, _)| *kind == kind::LINK);
    assert!(links.any(|(_, body)| holds(body, id(BOB).as_bytes())));
    let more = sent(&seen) - before;
    assert!((secret.len()..secret.len() + 100).contains(&more), "{more} bytes");
    // What it is stays hidden.
    assert!(!seen.iter().any(|(_, body)| holds(body, b"a secret")));
}

#[tokio::test(start_paused = true)]
async fn who_passes_a_link_on_compares_the_answer_too() {
    let near = Server::new(HubOptions::default());
    let (far, heard) = leads_to(info(MALLORY, "Mallory"));
    let bridge = node("bridge", 100).connect(inside(&near)).await.unwrap();
    let other = bridge.join(far).await.unwrap();
    bridge.forward(&other, |_, _| true);
    let ann = node("Ann", ANN).connect(inside(&near)).await.unwrap();
    let to_bob = ann.peer_via(&[Who::from("bridge")], id(BOB)).await.unwrap();
    assert_eq!(to_bob.closed().await, Reason::Declined);
    nothing_but_the_end(&heard).await;
    // And the first of the way is who was asked for.
    let (hub, _) = leads_to(info(MALLORY, "Mallory"));
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    let refused = ann.peer_via(&[Who::from("bridge")], id(BOB)).await;
    let (asked, answered) = (Asked::Name("bridge".into()), info(MALLORY, "Mallory"));
    assert_eq!(refused, Err(PeerError::OtherPeer { asked, answered }));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_passed_on_to_somebody_else_gets_not_encrypted() {
    let (near, far) = (Server::new(HubOptions::default()), Server::new(HubOptions::default()));
    let mallory = node("Mallory", MALLORY).connect(inside(&far)).await.unwrap();
    let mut caught = mallory.incoming();
    let bridge = node("bridge", 100).connect(inside(&near)).await.unwrap();
    let (there, back) =
        (swap(kind::LINK, id(BOB), id(MALLORY)), swap(kind::LINKED, id(MALLORY), id(BOB)));
    let other = bridge.join(relay(&far, there, back)).await.unwrap();
    bridge.forward(&other, |_, _| true);
    let strict = node("Ann", ANN).require_encryption().connect(inside(&near)).await.unwrap();
    let refused = strict.peer_via(&[Who::from("bridge")], id(BOB)).await;
    assert_eq!(refused, Err(PeerError::Insecure(SecureError::HandshakeFailed)));
    let lured = caught.next().await.unwrap();
    // What the way says of the opener is as little proven.
    assert_eq!(lured.id(), id(ANN));
    assert!(lured.next().await.is_none() && lured.fingerprint().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_number_stands_for_one_channel_or_link_at_a_time() {
    // What is meant for the members of one channel would otherwise go to those of another.
    let channel = OwnedChannelId(0);
    let hub = greeting(move |command| match command {
        Command::Channel(ChannelCommand::Create { request, .. }) => {
            vec![Event::Channel(ChannelEvent::Created { request, channel })]
        }
        _ => Vec::new(),
    });
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    let first = ann.create("first", ChannelOptions::new()).await.unwrap();
    let second = ann.create("second", ChannelOptions::new()).await;
    assert_eq!(second.map(drop), Err(ChannelError::Closed(Reason::Malformed)));
    assert_eq!(ann.closed().await, Reason::Malformed);
    drop(first);

    let hub = greeting(move |command| match command {
        Command::Channel(ChannelCommand::Enter { request, .. }) => {
            vec![Event::Channel(ChannelEvent::Entered(Entered {
                request,
                channel: JoinedChannelId(0),
                member: MemberNumber(0),
                mode: Mode::default(),
                chunk: None,
                replies: true,
                room: false,
            }))]
        }
        _ => Vec::new(),
    });
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    let _first = ann.enter("first", EnterOptions::new()).await.unwrap();
    let second = ann.enter("second", EnterOptions::new()).await;
    assert_eq!(second.map(drop), Err(ChannelError::Closed(Reason::Malformed)));

    let (hub, _) = leads_to(info(BOB, "Bob"));
    let ann = node("Ann", ANN).connect(hub).await.unwrap();
    let _first = ann.peer("Bob").await.unwrap();
    assert_eq!(ann.peer("Bob").await, Err(PeerError::Closed(Reason::Malformed)));
}

#[tokio::test(start_paused = true)]
async fn a_number_is_free_again_once_its_channel_was_given_up() {
    let hub = Server::new(HubOptions::default());
    let ann = node("Ann", ANN).connect(inside(&hub)).await.unwrap();
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    for round in 0..20 {
        let owner = ann.create("channel", ChannelOptions::new()).await.unwrap();
        let member = bob.enter("channel", EnterOptions::new()).await.unwrap();
        match round % 2 {
            0 => tokio::try_join!(member.leave(), owner.delete()).map(drop).unwrap(),
            _ => drop((member, owner)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_has_the_id_that_it_asked_for() {
    let welcome = |peer| lying_hub(move |_| vec![Event::Welcome { peer }]);
    let refused = Node::builder().peer_id(id(ANN)).connect(welcome(id(MALLORY))).await;
    match refused {
        Err(ConnectError::OtherId { asked, answered, .. }) => {
            assert_eq!((asked, answered), (id(ANN), id(MALLORY)));
        }
        other => panic!("{other:?}"),
    }
    let refused = node("Ann", ANN).connect(welcome(id(MALLORY))).await;
    assert!(matches!(refused, Err(ConnectError::Refused { reason: Reason::Malformed, .. })));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_encrypted_can_be_changed_and_names_are_always_the_hub_s_word() {
    let hub = Server::new(HubOptions::default());
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    let alter = |_: ()| -> Rewrite {
        Box::new(|kind, mut body| {
            if let Some(at) = body.windows(5).position(|bytes| bytes == b"hello") {
                body[at..at + 5].copy_from_slice(b"HELLO");
            }
            // The name of the one who opens the link.
            if kind == kind::LINKED
                && let Some(at) = body.windows(4).position(|bytes| bytes == b"\xa3Ann")
            {
                body[at + 1..at + 4].copy_from_slice(b"Eve");
            }
            vec![(kind, body)]
        })
    };
    let other = node("Cid", 4).connect(relay(&hub, alter(()), alter(()))).await.unwrap();
    let ann = node("Ann", ANN).connect(inside(&hub)).await.unwrap();
    let (to_cid, to_ann) = link(&ann, &other).await;
    assert_eq!(to_ann.info().name.as_deref(), Some("Eve"));
    to_cid.send("hello").await.unwrap();
    assert_eq!(said(&to_ann).await, Payload::text("HELLO"));
    // Encryption proves the id, and keeps what is said. It says nothing about the name.
    to_cid.secure().await.unwrap();
    to_cid.send("hello").await.unwrap();
    assert_eq!(said(&to_ann).await, Payload::text("hello"));
    assert_eq!((to_ann.id(), to_ann.info().name.as_deref()), (id(ANN), Some("Eve")));

    // Channels are never encrypted.
    let mut owner = other.create("channel", ChannelOptions::new()).await.unwrap();
    let member = bob.enter("channel", EnterOptions::new()).await.unwrap();
    member.send("hello").await.unwrap();
    assert!(matches!(heard(&mut owner).await, OwnerEvent::Entered { .. }));
    let (member, data) = (MemberNumber(0), Bytes::from_static(b"HELLO"));
    assert_eq!(heard(&mut owner).await, OwnerEvent::Message { member, data });
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_or_left_out_of_an_encrypted_link_ends_it() {
    let hub = Server::new(HubOptions::default());
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    for (name, drops) in [("Ann", false), ("Ann 2", true)] {
        // The third message on the link is changed or left out.
        let mut count = 0;
        let attack: Rewrite = Box::new(move |kind, mut body| {
            let sealed = kind == LINK_DATA && body[1] == SEALED;
            count += u32::from(sealed);
            match count {
                3 if drops => {
                    count += 1;
                    return Vec::new();
                }
                3 => *body.last_mut().unwrap() ^= 1,
                _ => {}
            }
            vec![(kind, body)]
        });
        let builder = node(name, ANN + 10 + u8::from(drops));
        let ann = builder.connect(relay(&hub, attack, honest())).await.unwrap();
        let (to_bob, to_ann) = link(&ann, &bob).await;
        to_bob.secure().await.unwrap();
        for number in 0..5_u8 {
            if to_bob.send(vec![number]).await.is_err() {
                break;
            }
        }
        let mut arrived = Vec::new();
        while let Some(PeerEvent::Message(message)) = to_ann.next().await {
            arrived.push(message.data[0]);
        }
        assert_eq!(arrived, [0, 1], "what came before, whole and in order");
        assert_eq!(to_ann.closed().await, Reason::Malformed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_can_refuse_delay_and_end_what_it_likes_but_not_reopen_it_in_plain() {
    let hub = Server::new(HubOptions::default());
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    // After the handshake the relay puts in a message in plain.
    let forged: Rewrite = Box::new(move |kind, body| {
        let mut frames = vec![(kind, body.clone())];
        let sealed = kind == LINK_DATA && body[1] == SEALED;
        if sealed {
            // A MESSAGE of 4 bytes, from the first.
            frames.push((kind, vec![body[0], 0x10, 4, 0, 1, b'h', b'e', b'y']));
        }
        frames
    });
    let ann = node("Ann", ANN).connect(relay(&hub, forged, honest())).await.unwrap();
    let (to_bob, to_ann): (Peer, Peer) = link(&ann, &bob).await;
    to_bob.secure().await.unwrap();
    to_bob.send("hello").await.unwrap();
    assert!(matches!(event(&to_ann).await, PeerEvent::Message(message) if message.data == "hello"));
    assert!(to_ann.next().await.is_none());
    assert_eq!(to_ann.closed().await, Reason::Malformed);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_in_front_of_an_encrypted_link_is_not_read_behind_it() {
    for bob_accepts in [true, false] {
        let hub = Server::new(HubOptions::default());
        let ann = node("Ann", ANN).connect(inside(&hub)).await.unwrap();
        // Behind LINKED the relay says something in plain.
        let forged: Rewrite = Box::new(move |kind, body| {
            let mut frames = vec![(kind, body)];
            if kind == kind::LINKED {
                let text = b"\x01pay Mallory";
                let head = [0, 0x10, text.len() as u8, 0];
                frames.push((LINK_DATA, [&head[..], text].concat()));
            }
            frames
        });
        let bob = node("Bob", BOB).connect(relay(&hub, honest(), forged)).await.unwrap();
        let (to_bob, to_ann) = match bob_accepts {
            true => link(&ann, &bob).await,
            false => {
                let (to_ann, to_bob) = link(&bob, &ann).await;
                (to_bob, to_ann)
            }
        };
        let (one, other) = tokio::join!(to_bob.secure(), to_ann.secure());
        assert!(one.is_ok() && other.is_ok());
        to_bob.send("hello").await.unwrap();
        let PeerEvent::Message(message) = event(&to_ann).await else { panic!("a message") };
        assert_eq!((message.data, to_ann.fingerprint().is_some()), ("hello".into(), true));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_only_answered_in_secret_is_known_when_all_that_was_plain_is_read() {
    let hub = Server::new(HubOptions::default());
    let ann = node("Ann", ANN).connect(inside(&hub)).await.unwrap();
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    let (to_bob, to_ann) = link(&ann, &bob).await;
    to_bob.send("plain").await.unwrap();
    to_bob.secure().await.unwrap();
    to_bob.send("sealed").await.unwrap();
    let mut known = Vec::new();
    for _ in 0..2 {
        let before = to_ann.fingerprint().is_some();
        known.push((before, said(&to_ann).await.data));
    }
    assert_eq!(known, [(false, "plain".into()), (true, "sealed".into())]);
}

/// The hub is honest here: anybody may claim a name and an id that nobody has.
#[tokio::test(start_paused = true)]
async fn a_stranger_does_not_pass_for_a_pinned_name_as_one_who_passes_links_on() {
    let (hub, mallorys) = (Server::new(HubOptions::default()), Server::new(HubOptions::default()));
    let ann = pinned("Ann", ANN).connect(inside(&hub)).await.unwrap();
    let mut incoming = ann.incoming();
    // A bridge with the name and the id of Bob, who is not there, passes a link of Mallory on.
    let bridge = Node::builder().name("Bob").peer_id(id(BOB));
    let bridge = bridge.connect(inside(&mallorys)).await.unwrap();
    let out = bridge.join(inside(&hub)).await.unwrap();
    bridge.forward(&out, |_, _| true);
    let mallory = node("Mallory", MALLORY).connect(inside(&mallorys)).await.unwrap();
    let to_ann = mallory.peer_via(&[Who::from("Bob")], ann.peer_id()).await.unwrap();
    assert_eq!(to_ann.closed().await, Reason::Declined);
    bridge.close().await;
    out.close().await;
    // Nor does one that says to pass on a link of Bob's.
    let mut mallory = raw(&hub, id(MALLORY)).await;
    let purpose = [&b"\x81\xa4from\x91\xc4\x10"[..], id(BOB).as_bytes()].concat().into();
    let options = LinkOptions { purpose, ..LinkOptions::default() };
    let link = Command::Link(LinkCommand::Open {
        request: 0,
        to: Addressee::Peer(ann.peer_id()),
        options,
    });
    mallory.commands.send(link.into()).await.unwrap();
    let ended = loop {
        if let Event::Link(LinkEvent::Closed { reason, .. }) = mallory.events.recv().await.unwrap()
        {
            break reason;
        }
    };
    assert_eq!(ended, Reason::HandshakeTimeout, "it has to prove that");
    ann.close().await;
    assert!(incoming.next().await.is_none(), "no link has come");
}

#[tokio::test(start_paused = true)]
async fn a_relay_can_hold_the_session_of_the_one_who_came_over_it() {
    // It has passed the proof on, and creates a channel as if Ann had.
    let hub = Server::new(HubOptions::default());
    let mut done = false;
    let steal: Rewrite = Box::new(move |kind, body| {
        let mut frames = vec![(kind, body)];
        if kind == kind::PROOF && !std::mem::replace(&mut done, true) {
            // CREATE, request 5, name "stolen", no options.
            frames.push((kind::CREATE, b"\x05\x06stolen".to_vec()));
        }
        frames
    });
    let swallow: Rewrite = Box::new(|kind, body| match kind {
        kind::CREATED => Vec::new(),
        _ => vec![(kind, body)],
    });
    let _ann = node("Ann", ANN).connect(relay(&hub, steal, swallow)).await.unwrap();
    let bob = node("Bob", BOB).connect(inside(&hub)).await.unwrap();
    let taken = bob.create("stolen", ChannelOptions::new()).await;
    assert_eq!(taken.map(drop), Err(ChannelError::Refused(Reason::NameTaken)));
}

/// A hub that greets, and then says the same without an end and reads nothing. Gives how much it said.
fn flooding(mut more: impl FnMut() -> Vec<u8> + Send + 'static) -> (Address, Arc<AtomicUsize>) {
    let (address, mut acceptor) = listener();
    let said = Arc::<AtomicUsize>::default();
    let count = said.clone();
    tokio::spawn(async move {
        let (mut reader, writer) = Stream::from(acceptor.accept().await.unwrap()).into_split();
        let now = std::time::Instant::now();
        let options = server::Options { random: Some([9; 32]), ..server::Options::default() };
        let mut hub = server::Native::new(now, options);
        let mut out = FrameWriter::default();
        hub.receive(now, read(&mut reader).await.into());
        let hello = hub.poll(now, &mut out);
        assert!(matches!(hello, Some(Output::Command(Command::Hello(_)))), "{hello:?}");
        hub.deliver(now, &Event::Welcome { peer: PeerId::new([7; 16]) }, &mut out);
        let greeting: Vec<u8> = out.take().pieces().flatten().copied().collect();
        writer.write_all(&greeting).await.unwrap();
        while count.load(Ordering::Relaxed) < FLOOD_BYTES {
            let bytes = more();
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
            count.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    });
    (address, said)
}

const FLOOD_BYTES: usize = 16 << 20;

#[tokio::test(start_paused = true)]
async fn what_a_hub_makes_a_node_answer_and_does_not_take_ends_the_reading() {
    let (address, said) = flooding(|| {
        let ping = [9, kind::PING, 0, 0, 0, 0, 0, 0, 0, 1];
        ping.repeat(400)
    });
    let node = Node::builder().connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let said = said.load(Ordering::Relaxed);
    assert!(said < 2 << 20, "{said}");
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_brings_links_without_an_end_and_takes_no_refusal_is_left() {
    let mut link = 0;
    let (address, said) = flooding(move || {
        let mut out = FrameWriter::default();
        let now = std::time::Instant::now();
        let mut hub = server::Native::new(now, server::Options::default());
        for _ in 0..100 {
            let (number, peer) = (LinkNumber(link), info(MALLORY, "Mallory"));
            let linked = Event::Link(LinkEvent::Opened {
                request: None,
                link: number,
                peer,
                purpose: Bytes::new(),
            });
            hub.deliver(now, &linked, &mut out);
            link += 1;
        }
        out.take().pieces().flatten().copied().collect()
    });
    let node = Node::builder().incoming_max(1000).connect(address).await.unwrap();
    assert_eq!(node.closed().await, Reason::SlowReceiver);
    let said = said.load(Ordering::Relaxed);
    assert!(said < 8 << 20, "{said}");
}
