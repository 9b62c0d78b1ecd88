//! What several test programs use.
#![allow(dead_code, reason = "each test program uses some of it")]
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

use crosspoint::{
    Address, Bytes, ChannelError, ChannelOptions, EnterOptions, Member, MemberEvent, MemberNumber,
    Node, Owner, OwnerEvent, Protocol, Reason, Server, Shape,
};
use crosspoint_net::client::Endpoint;
use crosspoint_net::memory;
use crosspoint_net::stream::{Reader, Stream, Writer};
use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;

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
pub(crate) struct Cable(tokio::task::JoinHandle<()>);

impl Cable {
    /// A way to a hub of this program that goes over the cable, for one node.
    pub(crate) fn new(server: &Server) -> (Self, Address) {
        let Endpoint::Memory { connector: inner, .. } = server.inside(Shape::default()).endpoint
        else {
            panic!("inside is in memory");
        };
        let (connector, mut acceptor) = memory::listener();
        let task = tokio::spawn(async move {
            let near = Stream::from(acceptor.accept().await.unwrap()).into_split();
            let far = Stream::from(inner.connect(Shape::default()).unwrap()).into_split();
            tokio::join!(copy(near.0, far.1), copy(far.0, near.1));
        });
        let shape = Shape::default();
        let address =
            Address { protocol: Protocol::Native, endpoint: Endpoint::Memory { connector, shape } };
        (Self(task), address)
    }

    pub(crate) fn cut(self) {
        self.0.abort();
    }
}
