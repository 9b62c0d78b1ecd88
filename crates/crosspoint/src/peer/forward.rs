//! Links that this node passes on from one of its connections to another.
//!
//! Their parts are not looked at. Each direction has a queue of its own and leaves it as fast as
//! the other connection takes it. While the queue is full nothing is read from the connection that
//! fills it, which slows the sender; but not for ever, as others share that connection.

use super::core::now;
use super::links::{Entry, Links};
use super::route::{HOPS_MAX, Route};
use super::{Asked, PeerError};
use crate::budget::{Charge, Source};
use crate::commands::Commands;
use crate::queue::{Puller, Pusher, queue};
use crate::shared::{Facts, Question, Shared, lock};
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
    to: Weak<Shared>,
    policy: Policy,
}

impl Forward {
    pub(crate) fn new(
        to: &Arc<Shared>,
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

/// One direction of a forwarded link: where the router puts what arrives.
#[derive(Debug)]
pub(crate) struct Lane {
    parts: Pusher<Moved>,
    closing: CancellationToken,
    /// The other connection has taken nothing for too long, or the opener's share of the node's budget is
    /// used up.
    stalled: CancellationToken,
    held: Mutex<Held>,
}

/// What waits in a lane, at the expense of the one who has opened the link.
#[derive(Debug)]
struct Held {
    bytes: usize,
    charge: Charge,
}

impl Lane {
    fn new(shared: &Shared, opener: PeerId) -> (Arc<Self>, Puller<Moved>) {
        let (parts, puller) = queue(LANE_BYTES);
        let (closing, stalled) = (shared.closing.clone(), CancellationToken::new());
        let charge = Charge::new(&shared.common.held, Source::Peer(opener));
        let held = Mutex::new(Held { bytes: 0, charge });
        (Arc::new(Self { parts, closing, stalled, held }), puller)
    }

    /// Takes what has arrived, as soon as there is room.
    pub(crate) async fn push(&self, part: Part) {
        if self.stalled.is_cancelled() {
            return;
        }
        let bytes = part.data.len();
        if !self.hold(|held| held + bytes) {
            return self.stalled.cancel();
        }
        let pushing = self.parts.push(Moved::Part(part), bytes, &self.closing);
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

    /// The link has ended.
    pub(crate) fn finish(&self, reason: Reason) {
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
    fn new(shared: &Shared, link: LinkNumber) -> Self {
        Self {
            commands: shared.commands.clone(),
            links: shared.links.clone(),
            link,
            bytes_max: shared.facts.message_bytes_max(),
            facts: shared.facts.clone(),
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
pub(crate) fn begin(shared: &Arc<Shared>, link: LinkNumber, info: PeerInfo, route: Route) {
    let refuse = |reason| shared.commands.post(LinkCommand::Close { link, reason });
    let in_a_circle = route.from.contains(&shared.peer) || info.id == shared.peer;
    let Some((next, via)) = route.via.split_first() else {
        return refuse(Reason::Malformed);
    };
    let Ok(to) = next.addressee() else {
        return refuse(Reason::Malformed);
    };
    if in_a_circle || route.from.len() >= HOPS_MAX {
        return refuse(Reason::Declined);
    }
    let forwards = lock(&shared.forwards).clone();
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
    let (lane, parts) = Lane::new(shared, info.id);
    shared.links.insert(link, Entry::Lane(lane.clone()));
    let (near, common) = (Near::new(shared, link), shared.common.clone());
    shared.commands.runtime().spawn(async move {
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
                if let Some(unsaid) = common.log.line(now()) {
                    tracing::warn!(%error, unsaid, "a link was not passed on");
                }
                near.end(Reason::Declined);
            }
        }
    });
}

/// Opens the further link.
async fn open(
    far: &Arc<Shared>,
    lane: Arc<Lane>,
    to: Addressee,
    options: LinkOptions,
) -> Result<LinkNumber, PeerError> {
    let (answer, answered) = oneshot::channel();
    let question = Question::Lane { asked: Asked::link(&to, &[]), lane, answer };
    far.ask(question, |request| Command::Link(LinkCommand::Open { request, to, options })).await?;
    answered.await.unwrap_or_else(|_| Err(far.lost().into()))
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
