//! Links that this node passes on from one of its connections to another.
//!
//! Their parts are not looked at. Each direction has a queue of its own and leaves it as fast as
//! the other connection takes it. While the queue is full nothing is read from the connection that
//! fills it, which slows the sender; but not for ever, as others share that connection.

use super::asked::Asked;
use super::error::PeerError;
use super::link::{Terms, now};
use super::route::{HOPS_MAX, Route};
use crate::connection::{
    AskError, Charge, Commands, Connection, Facts, Flow, LinkEnd, Linked, Links, Question, Source,
};
use crate::lock::lock;
use crate::queue::{Puller, Pusher, queue};
use crate::{PeerId, PeerInfo, Reason};
use crosspoint_hub::LinkNumber;
use crosspoint_hub::command::{Addressee, Command, LinkCommand, LinkOptions, Target};
use crosspoint_hub::wire::Part;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Bytes that may wait in each direction of a forwarded link.
const LANE_BYTES: u32 = 256 * 1024;

/// How long a forwarded link may stop the connection that it comes from. Above: it is ended with
/// [`Reason::SlowReceiver`].
const STALL_MAX: Duration = Duration::from_secs(10);

type Policy = Arc<dyn Fn(&PeerInfo, &Route) -> bool + Send + Sync>;

/// Where links are passed on to, and which.
#[derive(Clone)]
pub(crate) struct Forward {
    to: Weak<Connection>,
    policy: Policy,
}

impl Forward {
    pub(crate) fn new(
        to: &Arc<Connection>,
        policy: impl Fn(&PeerInfo, &Route) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { to: Arc::downgrade(to), policy: Arc::new(policy) }
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

/// What goes from one link to the other.
#[derive(Debug)]
enum Moved {
    Part(Part),
    End(Reason),
}

/// One direction of a forwarded link: where what arrives is put.
#[derive(Debug)]
struct Lane {
    parts: Pusher<Moved>,
    closing: CancellationToken,
    /// The other connection has taken nothing for too long, or the opener's share of the node's budget is
    /// used up.
    stalled: CancellationToken,
    held: Mutex<Held>,
}

/// The data that waits in a lane, charged to the opener of the link.
#[derive(Debug)]
struct Held {
    bytes: usize,
    charge: Charge,
}

impl Lane {
    fn new(connection: &Connection, opener: PeerId) -> (Arc<Self>, Puller<Moved>) {
        let (parts, puller) = queue(LANE_BYTES);
        let (closing, stalled) = (connection.closing.clone(), CancellationToken::new());
        let charge = Charge::new(&connection.pool.held, Source::Peer(opener));
        let held = Mutex::new(Held { bytes: 0, charge });
        (Arc::new(Self { parts, closing, stalled, held }), puller)
    }

    /// Takes what has arrived once there is room, if that is not too late.
    async fn push(&self, moved: Moved, bytes: usize) {
        let pushing = self.parts.push(moved, bytes, &self.closing);
        if tokio::time::timeout(STALL_MAX, pushing).await.is_err() {
            self.stalled.cancel();
        }
    }

    /// Changes how much waits. Gives whether there is room for that.
    fn hold(&self, change: impl FnOnce(usize) -> usize) -> bool {
        let mut held = lock(&self.held);
        held.bytes = change(held.bytes);
        let bytes = held.bytes;
        held.charge.set_bytes(bytes)
    }
}

impl LinkEnd for Lane {
    fn receive(self: Arc<Self>, part: Part) -> Flow {
        if self.stalled.is_cancelled() {
            return Flow::Go;
        }
        let bytes = part.data.len();
        if !self.hold(|held| held + bytes) {
            self.stalled.cancel();
            return Flow::Go;
        }
        match self.parts.try_push(Moved::Part(part), bytes) {
            Ok(()) => Flow::Go,
            Err(moved) => Flow::Wait(Box::pin(async move { self.push(moved, bytes).await })),
        }
    }

    fn resumed(self: Arc<Self>) {
        // What waits for the hub sees it in the connection's pauses.
    }

    fn ended(self: Arc<Self>, reason: Reason) {
        self.parts.force(Moved::End(reason));
    }
}

/// One of the two links, seen from here.
struct Near {
    commands: Commands,
    links: Arc<Links>,
    link: LinkNumber,
    bytes_max: u32,
    facts: Arc<Facts>,
}

impl Near {
    fn new(connection: &Connection, link: LinkNumber) -> Self {
        Self {
            commands: connection.commands.clone(),
            links: connection.links.clone(),
            link,
            bytes_max: connection.facts.message_bytes_max(),
            facts: connection.facts.clone(),
        }
    }

    /// Ends this link. If it has ended already, the hub ignores it: its number is never used again.
    fn end(&self, reason: Reason) {
        self.links.remove(self.link);
        self.commands.post(LinkCommand::Close { link: self.link, reason });
    }

    /// Sends what comes from the other link, until that ends.
    async fn send_all(&self, lane: &Lane, mut parts: Puller<Moved>) -> Reason {
        while let Some(moved) = parts.pull().await {
            let part = match moved {
                Moved::Part(part) if part.total > self.bytes_max => return Reason::TooLarge,
                Moved::Part(part) => part,
                Moved::End(reason) => return reason,
            };
            let to = Target::Link(self.link);
            self.facts.pauses.passed(to).await;
            let Some(sender) = self.commands.hold() else {
                break;
            };
            let Ok(slot) = self.commands.slot(&sender).await else {
                break;
            };
            let bytes = part.data.len();
            // There is less, for which there is always room.
            lane.hold(|held| held - bytes);
            slot.send(Command::Send { to, part }, bytes);
        }
        Reason::ConnectionLost
    }
}

/// A link has arrived that is to go further.
pub(crate) fn pass_on(
    (connection, terms): (&Arc<Connection>, &Arc<Terms>),
    forwards: &[Forward],
    link: LinkNumber,
    info: PeerInfo,
    route: Route,
) {
    let refuse = |reason| connection.refuse(link, reason);
    let in_a_circle = route.from.contains(&connection.peer) || info.id == connection.peer;
    let Some((next, via)) = route.via.split_first() else {
        return refuse(Reason::Malformed);
    };
    let Ok(to) = next.addressee() else {
        return refuse(Reason::Malformed);
    };
    if in_a_circle || route.from.len() >= HOPS_MAX {
        return refuse(Reason::Declined);
    }
    let allows = |forward: &Forward| {
        let to = forward.to.upgrade()?;
        // A policy that fails allows nothing.
        let allowed = catch_unwind(AssertUnwindSafe(|| (forward.policy)(&info, &route)));
        allowed.unwrap_or(false).then_some(to)
    };
    let Some(far) = forwards.iter().find_map(allows) else {
        return refuse(Reason::Declined);
    };
    let from = route.from.iter().copied().chain([info.id]).collect();
    let onward = Route { via: via.to_vec(), from };
    let options = LinkOptions { purpose: onward.purpose(), ..LinkOptions::default() };
    let (lane, parts) = Lane::new(connection, info.id);
    connection.links.insert(link, lane.clone());
    let (near, terms) = (Near::new(connection, link), terms.clone());
    connection.commands.runtime().spawn(async move {
        let (lane_back, back) = Lane::new(&far, info.id);
        let opened = tokio::select! {
            opened = open(&far, lane_back.clone(), to, options) => opened,
            () = lane.stalled.cancelled() => Err(PeerError::Refused(Reason::SlowReceiver)),
        };
        match opened {
            Ok(link) => {
                let far_end = Near::new(&far, link);
                // A forwarded link does not hold the connections open.
                drop(far);
                join((near, &lane, back), (far_end, &lane_back, parts)).await;
            }
            Err(PeerError::Refused(reason) | PeerError::Closed(reason)) => near.end(reason),
            Err(error) => {
                if let Some(unsaid) = terms.log.line(now()) {
                    tracing::warn!(%error, unsaid, "a link was not passed on");
                }
                near.end(Reason::Declined);
            }
        }
    });
}

/// Opens the further link.
async fn open(
    far: &Arc<Connection>,
    lane: Arc<Lane>,
    to: Addressee,
    options: LinkOptions,
) -> Result<LinkNumber, PeerError> {
    let (answer, answered) = oneshot::channel();
    let asked = Asked::link(&to, &[]);
    let question = Question::Link(Box::new(move |linked| {
        linked_on(&asked, lane, answer, linked);
    }));
    far.send_question(question, |request| LinkCommand::Open { request, to, options }).await?;
    answered.await.unwrap_or_else(|_| Err(far.lost().into()))
}

/// The further link is there, or not.
fn linked_on(
    asked: &Asked,
    lane: Arc<Lane>,
    answer: oneshot::Sender<Result<LinkNumber, PeerError>>,
    linked: Result<Linked, AskError>,
) {
    let Linked { connection, link, info } = match linked {
        Ok(linked) => linked,
        // The caller may have stopped to wait.
        Err(error) => return drop(answer.send(Err(error.into()))),
    };
    if let Err(error) = asked.check(&info) {
        connection.refuse(link, Reason::Left);
        return drop(answer.send(Err(error)));
    }
    connection.links.insert(link, lane);
    if answer.send(Ok(link)).is_err() {
        connection.links.remove(link);
        connection.refuse(link, Reason::Left);
    }
}

/// One of two links that are joined: its lane, and what is to be sent over it.
type Joint<'a> = (Near, &'a Lane, Puller<Moved>);

/// Sends in both directions until one of the links ends, and then ends both.
async fn join((near, lane, to_near): Joint<'_>, (far, lane_back, to_far): Joint<'_>) {
    let reason = tokio::select! {
        reason = far.send_all(lane, to_far) => reason,
        reason = near.send_all(lane_back, to_near) => reason,
        () = lane.stalled.cancelled() => Reason::SlowReceiver,
        () = lane_back.stalled.cancelled() => Reason::SlowReceiver,
    };
    near.end(reason);
    far.end(reason);
}
