//! What the hub application does with sessions, and in channels that it does not own: who is there, kick and ban.

use crate::channel::count_members;
use crate::command::Ban;
use crate::endpoint::PendingWrites;
use crate::hub::Hub;
use crate::ids::{ChannelName, MemberNumber};
use std::time::Instant;

pub use crate::channel::{ChannelInfo, Participant, Whom};

impl Hub {
    /// All channels and rooms, in the order of their names. Those that come and go meanwhile may be among
    /// them or not.
    pub fn channel_list(&self) -> Vec<ChannelInfo> {
        let mut channels: Vec<_> =
            self.all_channels().iter().map(|channel| channel.info()).collect();
        channels.sort_by(|one, other| one.name.cmp(&other.name));
        channels
    }

    /// All sessions, of whatever protocol, in the order in which their connections came. Those that have not
    /// said who they are yet are not among them, and those that come and go meanwhile may be or not.
    /// [`Hub::disconnect`] ends one of them.
    pub fn session_list(&self) -> Vec<Participant> {
        let endpoints = self.all_sessions();
        let mut sessions: Vec<_> =
            endpoints.iter().map(|endpoint| Participant::of(endpoint)).collect();
        sessions.sort_by_key(|one| one.session);
        sessions
    }

    /// The members of a channel or room by their numbers; `None` if there is no such channel.
    pub fn channel_members(&self, name: &ChannelName) -> Option<Vec<(MemberNumber, Participant)>> {
        self.channel(name).map(|channel| channel.participants())
    }

    /// Throws members out of any channel or room, and keeps them out if there is a ban. They
    /// and the owner are told as if the owner had done it. Gives how many were members; `None` if there is
    /// no such channel.
    ///
    /// A ban of a [peer](Whom::Peer) or [member](Whom::Member) covers its address if [`Ban::address`] says
    /// so and it is there; one of an [address](Whom::Address) always does, and covers no ids. It is about all
    /// whom limits know by the same address ([`Limits::prefixes`](crate::Limits)), and keeps nobody out where
    /// many share it.
    pub fn kick(
        &self,
        now: Instant,
        name: &ChannelName,
        whom: Whom,
        ban: Option<Ban>,
    ) -> Option<usize> {
        let channel = self.channel(name)?;
        let whom = self.known(whom);
        let mut writes = PendingWrites::default();
        let gone = channel.expel(now, whom, ban, &self.metrics, &mut writes);
        count_members(&self.metrics, 0, gone);
        self.settle_room(&channel, &mut writes);
        // A room that was made on entry ends with its last member.
        self.end_if_unused(&channel, &mut writes);
        writes.flush();
        Some(gone)
    }

    /// Lifts the bans of a peer or an address in a channel or room; of a [member](Whom::Member) there are
    /// none. Gives how many there were; `None` if there is no such channel.
    pub fn unban(&self, name: &ChannelName, whom: Whom) -> Option<usize> {
        self.channel(name).map(|channel| channel.lift(self.known(whom)))
    }

    /// An address as bans know it.
    fn known(&self, whom: Whom) -> Whom {
        match whom {
            Whom::Address(address) => {
                Whom::Address(self.limits.known_by(Some(address)).unwrap_or(address))
            }
            other => other,
        }
    }
}
