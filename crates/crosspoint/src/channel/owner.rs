//! The owner of a channel.

use super::alone::Alone;
use super::outgoing::Outgoing;
use crate::connection::{Calling, ChannelLink, Core, Item, Owned, OwnerEvent, Question};
use crate::error::ChannelError;
use crate::options::{Applicant, Predicate};
use crate::remote::{Calls, IdInUse, MESSAGE, Object, Objects, Origin, Outcome, REPLY};
use bytes::Bytes;
use crosspoint_hub::command::{Ban, ChannelCommand, Command, Mode, Target};
use crosspoint_hub::{MemberNumber, OwnedChannelId, PeerId, Reason};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The owner of a channel. Dropping it deletes the channel.
///
/// What it hears has to be read with [`next`](Self::next): while more than
/// [`queue_bytes`](crate::NodeBuilder::queue_bytes) wait there, nothing more is read from the hub for
/// any channel of the node, and the hub slows those who send.
pub struct Owner {
    /// The channel lasts as long as this.
    owned: Owned,
    sender: OwnerSender,
    outgoing: Outgoing,
    objects: Alone<Objects>,
    /// The members that the reader has been told of, if there are calls.
    told: BTreeSet<MemberNumber>,
    admit_if: Option<Alone<Predicate>>,
}

impl Owner {
    pub(crate) fn new(owned: Owned, admit_if: Option<Predicate>) -> Self {
        let Owned { core, number, calling, .. } = &owned;
        let (core, number, calling) = (core.clone(), *number, calling.clone());
        Self {
            outgoing: Outgoing::new(&core),
            objects: Alone::new(Objects::with_max_payload(core.bytes_max as usize)),
            sender: OwnerSender { core, number, calling },
            told: BTreeSet::new(),
            admit_if: admit_if.map(Alone::new),
            owned,
        }
    }

    /// Waits for the next event; returns `None` after [`OwnerEvent::Closed`]. This method is cancel safe.
    ///
    /// It runs calls of registered objects and
    /// [`ChannelOptions::admit_if`](crate::ChannelOptions::admit_if), and propagates their panics.
    pub async fn next(&mut self) -> Option<OwnerEvent> {
        loop {
            self.outgoing.flush().await;
            let event = match self.owned.events.pull().await? {
                Item::Event(event) => self.observe(event),
                Item::Call { from, kind, payload } => {
                    from.and_then(|member| self.serve(member, kind, payload))
                }
            };
            // There is most often room, so that nobody waits until the next call of this.
            self.outgoing.try_flush();
            if event.is_some() {
                return event;
            }
        }
    }

    fn observe(&mut self, event: OwnerEvent) -> Option<OwnerEvent> {
        match (&event, &mut self.admit_if) {
            (OwnerEvent::Knock(applicant), Some(admit_if)) => {
                let (ticket, admit) = (applicant.ticket, admit_if.get()(applicant));
                let channel = self.sender.number;
                self.outgoing.push(Command::Channel(ChannelCommand::Admit {
                    channel,
                    ticket,
                    admit,
                }));
                return None;
            }
            (OwnerEvent::Entered { member, .. }, _) if self.sender.core.calls => {
                self.told.insert(*member);
                let to = Target::Member(self.sender.number, *member);
                for announcement in self.objects.get().announcements() {
                    self.outgoing.push_part(to, MESSAGE, announcement);
                }
            }
            (OwnerEvent::Left { member, .. }, _) => {
                self.told.remove(member);
            }
            _ => {}
        }
        Some(event)
    }

    fn serve(&mut self, member: MemberNumber, kind: u8, payload: Bytes) -> Option<OwnerEvent> {
        match self.objects.get().handle(Origin::Member(member), kind, payload) {
            Outcome::Announced(object) => Some(OwnerEvent::Announced { member, object }),
            Outcome::Called { .. } => None,
            Outcome::Reply { payload, malicious } => {
                let to = Target::Member(self.sender.number, member);
                self.outgoing.push_part(to, REPLY, payload);
                malicious.map(|error| OwnerEvent::Malicious { member, error })
            }
            Outcome::Malicious(error) => Some(OwnerEvent::Malicious { member, error }),
        }
    }

    /// Registers an object that all members can call, also those that enter later. They are told by
    /// [`MemberEvent::Announced`](crate::MemberEvent::Announced).
    ///
    /// # Errors
    /// [`IdInUse`] if there is an object with that id.
    pub fn register(&mut self, id: u8, object: impl Object + 'static) -> Result<(), IdInUse> {
        let announcement = self.objects.get().register(id, object)?;
        for member in &self.told {
            let to = Target::Member(self.sender.number, *member);
            self.outgoing.push_part(to, MESSAGE, announcement.clone());
        }
        self.outgoing.try_flush();
        Ok(())
    }

    /// Removes an object. Later calls of it are refused, and reported as
    /// [`Malicious`](OwnerEvent::Malicious).
    pub fn unregister(&mut self, id: u8) -> Option<Box<dyn Object>> {
        self.objects.get().remove(id)
    }

    /// Deletes the channel. Its members are told [`Reason::ClosedByOwner`].
    ///
    /// # Errors
    /// [`ChannelError::Closed`] if it has ended already.
    pub async fn delete(self) -> Result<(), ChannelError> {
        let core = &self.sender.core;
        core.finish(
            Command::Channel(ChannelCommand::Delete(self.sender.number)),
            Reason::ClosedByOwner,
        )
        .await
    }

    /// Nominates the member that gets the channel when this owner goes without deleting it, because it
    /// [resigns](Self::resign), its connection is lost, or its node is closed. `None` revokes the nomination.
    /// A later nomination replaces an earlier one. Members keep their numbers, and data that this owner has not
    /// read at the transfer is lost.
    ///
    /// Returns when the session of the member has accepted the nomination.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] with [`NoSuchPeer`](Reason::NoSuchPeer) if there is no such member
    /// (any more), [`Unsupported`](Reason::Unsupported) if its protocol cannot express it,
    /// [`TooManyChannels`](Reason::TooManyChannels) or [`NotAllowed`](Reason::NotAllowed) if it may not
    /// own (more) channels, [`Declined`](Reason::Declined) if another was nominated meanwhile;
    /// [`ChannelError::Closed`], or [`Unsupported`](ChannelError::Unsupported) on a peote-server.
    pub async fn set_successor(&self, member: Option<MemberNumber>) -> Result<(), ChannelError> {
        let OwnerSender { core, number, .. } = &self.sender;
        core.need_native("a successor")?;
        core.check_open()?;
        let channel = *number;
        let command = |request| ChannelCommand::Succeed { request, channel, member };
        Ok(self.owned.connection.ask(Question::Done, command).await?)
    }

    /// Transfers the channel to its [successor](Self::set_successor) at once. Without one it is deleted.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] if it has ended already, or
    /// [`Unsupported`](ChannelError::Unsupported) on a peote-server.
    pub async fn resign(self) -> Result<(), ChannelError> {
        let core = &self.sender.core;
        core.need_native("to resign")?;
        core.finish(Command::Channel(ChannelCommand::Resign(self.sender.number)), Reason::Left)
            .await
    }

    /// Returns a handle for other tasks, which can do everything except read events.
    pub fn sender(&self) -> OwnerSender {
        self.sender.clone()
    }

    /// How messages are framed.
    pub fn mode(&self) -> Mode {
        self.sender.core.mode
    }

    /// See [`OwnerSender::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(
        &self,
        member: MemberNumber,
        data: impl Into<Bytes>,
    ) -> Result<(), ChannelError> {
        self.sender.send(member, data).await
    }

    /// See [`OwnerSender::broadcast`].
    ///
    /// # Errors
    /// As there.
    pub async fn broadcast(
        &self,
        data: impl Into<Bytes>,
        except: Option<MemberNumber>,
    ) -> Result<(), ChannelError> {
        self.sender.broadcast(data, except).await
    }

    /// See [`OwnerSender::kick`].
    ///
    /// # Errors
    /// As there.
    pub async fn kick(&self, member: MemberNumber) -> Result<(), ChannelError> {
        self.sender.kick(member).await
    }

    /// See [`OwnerSender::ban`].
    ///
    /// # Errors
    /// As there.
    pub async fn ban(&self, member: MemberNumber, ban: Ban) -> Result<(), ChannelError> {
        self.sender.ban(member, ban).await
    }

    /// See [`OwnerSender::unban`].
    ///
    /// # Errors
    /// As there.
    pub async fn unban(&self, peer: PeerId) -> Result<(), ChannelError> {
        self.sender.unban(peer).await
    }

    /// See [`OwnerSender::admit`].
    ///
    /// # Errors
    /// As there.
    pub async fn admit(&self, applicant: &Applicant) -> Result<(), ChannelError> {
        self.sender.admit(applicant).await
    }

    /// See [`OwnerSender::refuse`].
    ///
    /// # Errors
    /// As there.
    pub async fn refuse(&self, applicant: &Applicant) -> Result<(), ChannelError> {
        self.sender.refuse(applicant).await
    }

    /// See [`OwnerSender::calls`].
    pub fn calls(&self, member: MemberNumber) -> Calls {
        self.sender.calls(member)
    }

    /// See [`OwnerSender::calls_to_all`].
    pub fn calls_to_all(&self, except: Option<MemberNumber>) -> Calls {
        self.sender.calls_to_all(except)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// What an [`Owner`] can do besides reading. Clones are for the same channel.
///
/// Sending waits while the hub takes nothing. Member numbers that name nobody are no error, since
/// a member may leave at any moment; nothing is sent then.
#[derive(Debug, Clone)]
pub struct OwnerSender {
    core: Arc<Core>,
    number: OwnedChannelId,
    calling: Calling,
}

impl OwnerSender {
    /// Sends a message to one member.
    ///
    /// # Errors
    /// [`ChannelError::TooLarge`], [`Empty`](ChannelError::Empty),
    /// [`OnlyCalls`](ChannelError::OnlyCalls) or [`Closed`](ChannelError::Closed).
    pub async fn send(
        &self,
        member: MemberNumber,
        data: impl Into<Bytes>,
    ) -> Result<(), ChannelError> {
        let to = Target::Member(self.number, member);
        self.core.send_data(to, data.into()).await
    }

    /// Sends a message to all members, or to all but one.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn broadcast(
        &self,
        data: impl Into<Bytes>,
        except: Option<MemberNumber>,
    ) -> Result<(), ChannelError> {
        let to = Target::Everyone(self.number, except);
        self.core.send_data(to, data.into()).await
    }

    /// Removes a member, which may enter again. It is told [`Reason::Kicked`].
    ///
    /// # Errors
    /// [`ChannelError::Closed`], or [`Unsupported`](ChannelError::Unsupported) on a peote-server.
    pub async fn kick(&self, member: MemberNumber) -> Result<(), ChannelError> {
        self.expel(member, None).await
    }

    /// Removes a member and bans its peer id, and optionally its address, for a time, which is rounded up to
    /// whole seconds. It is told [`Reason::Banned`], now and when it tries to enter.
    ///
    /// # Errors
    /// As [`kick`](Self::kick).
    pub async fn ban(&self, member: MemberNumber, ban: Ban) -> Result<(), ChannelError> {
        let whole = |time: Duration| {
            let more = u64::from(time.subsec_nanos() > 0);
            Duration::from_secs(time.as_secs().saturating_add(more))
        };
        let time = ban.time.map(whole);
        self.expel(member, Some(Ban { time, ..ban })).await
    }

    async fn expel(&self, member: MemberNumber, ban: Option<Ban>) -> Result<(), ChannelError> {
        self.core.need_native("kick and ban")?;
        let channel = self.number;
        let command = Command::Channel(ChannelCommand::Kick { channel, member, ban });
        self.core.send(command).await
    }

    /// Lifts all bans of a peer, including those of its address.
    ///
    /// # Errors
    /// As [`kick`](Self::kick).
    pub async fn unban(&self, peer: PeerId) -> Result<(), ChannelError> {
        self.core.need_native("kick and ban")?;
        let channel = self.number;
        self.core.send(Command::Channel(ChannelCommand::Unban { channel, peer })).await
    }

    /// Admits an applicant. A second answer to a knock has no effect.
    ///
    /// # Errors
    /// [`ChannelError::Closed`].
    pub async fn admit(&self, applicant: &Applicant) -> Result<(), ChannelError> {
        self.decide(applicant, true).await
    }

    /// Refuses an applicant, which is told [`Reason::NotAdmitted`].
    ///
    /// # Errors
    /// [`ChannelError::Closed`].
    pub async fn refuse(&self, applicant: &Applicant) -> Result<(), ChannelError> {
        self.decide(applicant, false).await
    }

    async fn decide(&self, applicant: &Applicant, admit: bool) -> Result<(), ChannelError> {
        let (channel, ticket) = (self.number, applicant.ticket);
        let command = Command::Channel(ChannelCommand::Admit { channel, ticket, admit });
        self.core.send(command).await
    }

    /// Returns the calls to objects of a member: `GameCaller::new(&owner.calls(member), 0)`.
    ///
    /// If there is no such member (any more), or the channel was not created with
    /// [`calls`](crate::ChannelOptions::calls), each call fails with that error. Results arrive even if
    /// [`Owner::next`] is not called, as long as its queue is not full.
    pub fn calls(&self, member: MemberNumber) -> Calls {
        self.calling.get(member).unwrap_or_else(|| {
            let calls = self.link(Target::Member(self.number, member), true);
            if self.core.calls {
                calls.close();
            }
            calls
        })
    }

    /// Returns the calls to objects of all members, or of all but one, without results.
    pub fn calls_to_all(&self, except: Option<MemberNumber>) -> Calls {
        self.link(Target::Everyone(self.number, except), false)
    }

    fn link(&self, to: Target, replies: bool) -> Calls {
        Calls::new(ChannelLink { core: self.core.clone(), to, replies })
    }
}
