//! A member of a channel or room.

use super::alone::Alone;
use super::outgoing::Outgoing;
use super::owner::Owner;
use crate::connection::{Core, Item, MemberEvent, Membership};
use crate::error::ChannelError;
use crate::remote::{Calls, IdInUse, MESSAGE, Object, Objects, Origin, Outcome, REPLY};
use bytes::Bytes;
use crosspoint_hub::command::{ChannelCommand, Command, Mode, Target};
use crosspoint_hub::{JoinedChannelId, MemberNumber, Reason};
use std::fmt;
use std::sync::Arc;

/// A member of a channel or room. Dropping it leaves.
///
/// What it hears has to be read with [`next`](Self::next): while more than
/// [`queue_bytes`](crate::NodeBuilder::queue_bytes) wait there, nothing more is read from the hub for
/// any channel of the node, and the hub slows those who send.
pub struct Member {
    /// The membership lasts as long as this.
    membership: Membership,
    sender: MemberSender,
    outgoing: Outgoing,
    objects: Alone<Objects>,
}

impl Member {
    pub(crate) fn new(membership: Membership) -> Self {
        let Membership { core, channel, calls, .. } = &membership;
        let (core, channel, calls) = (core.clone(), *channel, calls.clone());
        Self {
            outgoing: Outgoing::new(&core),
            objects: Alone::new(Objects::with_max_payload(core.bytes_max as usize)),
            sender: MemberSender { core, channel, calls },
            membership,
        }
    }

    /// Waits for the next event; returns `None` after [`MemberEvent::Ended`]. This method is cancel safe.
    ///
    /// It runs calls of registered objects, and propagates their panics.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        loop {
            self.outgoing.flush().await;
            let event = match self.membership.events.pull().await? {
                Item::Event(event) => {
                    if let MemberEvent::OwnerChanged { .. } = event {
                        self.announce();
                    }
                    Some(event)
                }
                Item::Call { from, kind, payload } => self.serve(from, kind, payload),
            };
            // There is most often room, so that nobody waits until the next call of this.
            self.outgoing.try_flush();
            if event.is_some() {
                return event;
            }
        }
    }

    /// Tells a new owner of the objects.
    fn announce(&mut self) {
        if self.sender.core.calls {
            let to = Target::Up(self.sender.channel);
            for announcement in self.objects.get().announcements() {
                self.outgoing.push_part(to, MESSAGE, announcement);
            }
        }
    }

    fn serve(
        &mut self,
        from: Option<MemberNumber>,
        kind: u8,
        payload: Bytes,
    ) -> Option<MemberEvent> {
        let origin = from.map_or(Origin::Owner, Origin::Member);
        match self.objects.get().handle(origin, kind, payload) {
            Outcome::Announced(object) => Some(MemberEvent::Announced { from, object }),
            Outcome::Called { .. } => None,
            Outcome::Reply { payload, malicious } => {
                let to = Target::Up(self.sender.channel);
                self.outgoing.push_part(to, REPLY, payload);
                malicious.map(|error| MemberEvent::Malicious { from, error })
            }
            Outcome::Malicious(error) => Some(MemberEvent::Malicious { from, error }),
        }
    }

    /// Registers an object that the owner can call. The owner is told by
    /// [`OwnerEvent::Announced`](crate::OwnerEvent::Announced). In a room all other members can call it,
    /// without results.
    ///
    /// # Errors
    /// [`IdInUse`] if there is an object with that id.
    pub fn register(&mut self, id: u8, object: impl Object + 'static) -> Result<(), IdInUse> {
        let announcement = self.objects.get().register(id, object)?;
        if self.sender.core.calls {
            let to = Target::Up(self.sender.channel);
            self.outgoing.push_part(to, MESSAGE, announcement);
            self.outgoing.try_flush();
        }
        Ok(())
    }

    /// Removes an object. Later calls of it are refused, and reported as
    /// [`Malicious`](MemberEvent::Malicious).
    pub fn unregister(&mut self, id: u8) -> Option<Box<dyn Object>> {
        self.objects.get().remove(id)
    }

    /// Leaves the channel. The owner is told [`Reason::Left`].
    ///
    /// # Errors
    /// [`ChannelError::Closed`] if the membership has ended already.
    pub async fn leave(self) -> Result<(), ChannelError> {
        let core = &self.sender.core;
        core.finish(Command::Channel(ChannelCommand::Leave(self.sender.channel)), Reason::Left)
            .await
    }

    /// Returns the owner of the channel after [`MemberEvent::Inherited`]; `None` before. Its first events are
    /// [`OwnerEvent::Entered`](crate::OwnerEvent::Entered) for the members. Objects must be registered again. If
    /// the member is dropped instead, the channel is deleted.
    pub fn into_owner(self) -> Option<Owner> {
        self.membership.inherited().map(|owned| Owner::new(owned, None))
    }

    /// The number of this member in the channel or room, from 0. A peote-server does not announce it.
    pub fn number(&self) -> Option<MemberNumber> {
        self.membership.number
    }

    /// Whether this is a room, in which each member sends to all others.
    pub fn is_room(&self) -> bool {
        self.membership.room
    }

    /// How messages are framed.
    pub fn mode(&self) -> Mode {
        self.sender.core.mode
    }

    /// Returns a handle for other tasks, which can send.
    pub fn sender(&self) -> MemberSender {
        self.sender.clone()
    }

    /// See [`MemberSender::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, data: impl Into<Bytes>) -> Result<(), ChannelError> {
        self.sender.send(data).await
    }

    /// See [`MemberSender::calls`].
    pub fn calls(&self) -> &Calls {
        self.sender.calls()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("sender", &self.sender)
            .field("number", &self.membership.number)
            .field("room", &self.membership.room)
            .finish_non_exhaustive()
    }
}

/// What a [`Member`] can do besides reading. Clones are for the same membership.
#[derive(Debug, Clone)]
pub struct MemberSender {
    core: Arc<Core>,
    channel: JoinedChannelId,
    calls: Calls,
}

impl MemberSender {
    /// Sends a message to the owner, or in a room to all others. It waits while the hub accepts no data.
    ///
    /// # Errors
    /// [`ChannelError::TooLarge`], [`Empty`](ChannelError::Empty),
    /// [`OnlyCalls`](ChannelError::OnlyCalls) or [`Closed`](ChannelError::Closed).
    pub async fn send(&self, data: impl Into<Bytes>) -> Result<(), ChannelError> {
        self.core.send_data(Target::Up(self.channel), data.into()).await
    }

    /// Returns the calls to objects of the owner: `GameCaller::new(member.calls(), 0)`. In a room these go to
    /// the objects of all others, without results.
    ///
    /// If the channel was not entered with [`calls`](crate::EnterOptions::calls), each call fails
    /// with that error. Results arrive even if [`Member::next`] is not called, as long as its queue is
    /// not full.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }
}
