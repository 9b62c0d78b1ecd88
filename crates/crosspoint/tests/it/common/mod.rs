//! What several test programs use.

use crosspoint::{
    Address, Bytes, ChannelError, ChannelOptions, EnterOptions, Member, MemberEvent, MemberNumber,
    Node, Owner, OwnerEvent, Payload, Peer, PeerEvent, PeerId, Protocol, Reason, Server, Shape,
    testing,
};
use crosspoint_hub::command::{Event, Hello};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_net::client::{Connection, Endpoint, dial, run};
use crosspoint_net::memory;
use crosspoint_net::stream::{Reader, Stream, Writer};
use crosspoint_proto::client::{Native, Options};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::sync::Notify;

/// Everything in a test happens within this; only what does not happen takes so long.
const SOON: Duration = Duration::from_secs(60);

/// What a member hears when the hub stops: the end of its owner's session may come before that of
/// its own.
pub(crate) const ENDS_OF_A_HUB: [Reason; 2] = [Reason::OwnerLost, Reason::HubStopping];

/// The next event of an owner.
pub(crate) async fn heard(owner: &mut Owner) -> OwnerEvent {
    let event = tokio::time::timeout(SOON, owner.next()).await;
    event.expect("an owner hears something").unwrap()
}

/// The next event of a member.
pub(crate) async fn told(member: &mut Member) -> MemberEvent {
    let event = tokio::time::timeout(SOON, member.next()).await;
    event.expect("a member hears something").unwrap()
}

/// The number of the one who has entered.
pub(crate) async fn newcomer(owner: &mut Owner) -> MemberNumber {
    match heard(owner).await {
        OwnerEvent::Entered { member, .. } => member,
        other => panic!("{other:?}"),
    }
}

/// Nothing is heard for a while.
pub(crate) async fn silence(future: impl Future) {
    let short = Duration::from_millis(200);
    let event = tokio::time::timeout(short, future).await;
    assert!(event.is_err(), "nothing should have been heard");
}

pub(crate) fn message(member: u32, data: &str) -> OwnerEvent {
    OwnerEvent::Message {
        member: MemberNumber(member),
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

pub(crate) fn left(member: u32, reason: Reason) -> OwnerEvent {
    OwnerEvent::Left { member: MemberNumber(member), reason }
}

pub(crate) fn from_owner(data: &str) -> MemberEvent {
    MemberEvent::Message { from: None, data: Bytes::copy_from_slice(data.as_bytes()) }
}

pub(crate) fn from_other(member: u32, data: &str) -> MemberEvent {
    MemberEvent::Message {
        from: Some(MemberNumber(member)),
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

pub(crate) fn ended(reason: Reason) -> MemberEvent {
    MemberEvent::Ended { reason }
}

/// A channel with one member, whose entry the owner has heard of.
pub(crate) async fn channel(
    ann: &Node,
    bob: &Node,
    create: ChannelOptions,
    enter: EnterOptions,
) -> (Owner, Member) {
    let mut owner = ann.create("channel", create).await.unwrap();
    let member = bob.enter("channel", enter).await.unwrap();
    newcomer(&mut owner).await;
    (owner, member)
}

/// Why nobody became a member or owner.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, ChannelError>) -> Reason {
    match result {
        Err(ChannelError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// Two nodes at a hub, and a link that Ann has opened to Bob: as Ann sees it, and as Bob does.
pub(crate) struct Pair {
    pub(crate) hub: Server,
    pub(crate) ann: Node,
    pub(crate) bob: Node,
    pub(crate) to_bob: Peer,
    pub(crate) to_ann: Peer,
}

/// A hub, two nodes and a link.
pub(crate) async fn pair() -> Pair {
    let (hub, ann, bob) = testing::two_nodes().await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    Pair { hub, ann, bob, to_bob, to_ann }
}

/// A link from one node to another, as both see it.
pub(crate) async fn link(from: &Node, to: &Node) -> (Peer, Peer) {
    let mut incoming = to.incoming();
    let there = from.peer(to.peer_id()).await.unwrap();
    let back = incoming.next().await.unwrap();
    (there, back)
}

/// The next event of a peer.
pub(crate) async fn event(peer: &Peer) -> PeerEvent {
    let event = tokio::time::timeout(SOON, peer.next()).await;
    event.expect("a peer hears something").unwrap()
}

/// The next message of a peer.
pub(crate) async fn said(peer: &Peer) -> Payload {
    match event(peer).await {
        PeerEvent::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

/// The end of a link, and nothing before it.
pub(crate) async fn end(peer: &Peer) -> Reason {
    let event = tokio::time::timeout(SOON, peer.next()).await;
    assert!(event.expect("the link ends").is_none());
    peer.closed().await
}

/// A session without a library: it says over its links what it is told, and reads what it wants.
pub(crate) async fn raw(hub: &Server, peer: PeerId) -> Connection {
    let dialed = dial(&hub.inside(Shape::default()).endpoint).await.unwrap();
    let mut out = FrameWriter::new(None);
    let hello = Hello { peer: Some(peer), ..Hello::default() };
    let options = Options { hello, ..Options::default() };
    let now = tokio::time::Instant::now().into_std();
    let native = Native::new(now, options, &mut out);
    let mut connection = run(dialed, Box::new(native), out);
    let welcome = connection.events.recv().await;
    assert!(matches!(welcome, Some(Event::Welcome { .. })));
    connection
}

async fn copy(mut from: Reader, to: Writer) {
    let mut bytes = [0; 4096];
    loop {
        let count = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(from.poll_read(cx, &mut buffer))?;
            Poll::Ready(std::io::Result::Ok(buffer.filled().len()))
        });
        let count = count.await.unwrap();
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return to.shutdown();
        }
    }
}

/// A connection that can break without a word.
pub(crate) struct Cable {
    task: tokio::task::JoinHandle<()>,
    frozen: Arc<Notify>,
}

impl Cable {
    /// A way to a hub of this program that goes over the cable, for one node.
    pub(crate) fn new(server: &Server) -> (Self, Address) {
        let Endpoint::Memory { connector: inner, .. } = server.inside(Shape::default()).endpoint
        else {
            panic!("inside is in memory");
        };
        let (connector, mut acceptor) = memory::listener();
        let frozen = Arc::new(Notify::new());
        let freezes = frozen.clone();
        let task = tokio::spawn(async move {
            let near = Stream::from(acceptor.accept().await.unwrap()).into_split();
            let far = Stream::from(inner.connect(Shape::default()).unwrap()).into_split();
            let both = async { tokio::join!(copy(near.0, far.1), copy(far.0, near.1)) };
            let mut both = pin!(both);
            tokio::select! {
                _ended = &mut both => {}
                // The ends stay as they are.
                () = freezes.notified() => std::future::pending().await,
            }
        });
        let shape = Shape::default();
        let address =
            Address { protocol: Protocol::Native, endpoint: Endpoint::Memory { connector, shape } };
        (Self { task, frozen }, address)
    }

    pub(crate) fn cut(self) {
        self.task.abort();
    }

    /// From now on nothing moves any more, and nobody is told.
    pub(crate) fn freeze(&self) {
        self.frozen.notify_one();
    }
}
