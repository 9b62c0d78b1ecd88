//! The session's part in the absence of owners and in transfers of channels.

use super::{Owned, Session, Step, owned};
use crate::channel::Channel;
use crate::command::Target;
use crate::command::{ChannelCommand, Command, Event, OwnerNews};
use crate::endpoint::Reception;
use crate::ids::{JoinedChannelId, MemberNumber, OwnedChannelId};
use crate::limit::Limit;
use crate::order::SendPath;
use crate::outbox::Tag;
use crate::reason::Reason;
use std::sync::Arc;

impl Session {
    /// Tells the members of the session's channels if its connection has gone away or come back. To be
    /// called when the session's task is woken.
    pub fn heed_absence(&mut self) {
        let away = self.endpoint.is_away();
        if self.endpoint.tell_away(away) {
            for (_, owned) in self.owned.iter() {
                owned.channel.set_away(&self.endpoint, away, &mut self.writes);
            }
            self.writes.flush();
        }
    }

    /// Names a successor. Who names one after the other without end must not fill their outboxes.
    pub(super) fn nominate(
        &mut self,
        request: u32,
        number: OwnedChannelId,
        member: Option<MemberNumber>,
    ) -> Step {
        let channel = owned(&self.owned, number).map(|owned| owned.channel.clone());
        let named = match channel {
            Some(channel) => {
                match channel.nomination_reception(member, &self.endpoint) {
                    Reception::Taken => {}
                    Reception::Wait => {
                        return self.hold(Command::Channel(ChannelCommand::Succeed {
                            request,
                            channel: number,
                            member,
                        }));
                    }
                    Reception::Busy => return self.busy(request),
                }
                channel.nominate(request, member, &mut self.writes)
            }
            None => Err(Reason::NoSuchName),
        };
        match named {
            Ok(true) => self.tell(Event::Done { request }),
            // The other session answers.
            Ok(false) => {}
            Err(reason) => self.refuse(request, false, reason),
        }
        Step::Go
    }

    /// The owner of an entered channel has named the session its successor, or does so no longer.
    pub(super) fn nominated(
        &mut self,
        tag: Tag,
        channel: JoinedChannelId,
        nomination: Option<u32>,
    ) {
        let entered = self.entered.get(channel.0).filter(|entered| entered.tag == tag);
        let Some(channel) = entered.map(|entered| entered.channel.clone()) else {
            return;
        };
        let Some(nomination) = nomination else {
            return self.let_go(&channel);
        };
        let (number, tag) = (OwnedChannelId(self.owned.next_free()), self.tag());
        let seat = if let Err(forbidden) = self.may_create(&channel.name) {
            self.not_allowed(forbidden.by, Some(channel.name.as_bytes()));
            Err(forbidden.reason)
        } else if self.owned.len() as u64 >= u64::from(self.owned_max()) {
            self.hub.metrics.hit(Limit::ChannelsOwned);
            Err(Reason::TooManyChannels)
        } else {
            Ok((number, tag))
        };
        if channel.successor_answers(nomination, seat, &mut self.writes) {
            self.owned.insert(Owned { channel, tag, kept: true });
        }
        self.writes.flush();
    }

    /// Gives back the number that was kept for a channel. If the channel has just passed to the
    /// session, which does not want to have anything to do with it any more, it passes on.
    pub(super) fn let_go(&mut self, channel: &Arc<Channel>) {
        let is_kept = |owned: &Owned| owned.kept && Arc::ptr_eq(&owned.channel, channel);
        let kept = self.owned.iter().find(|(_, owned)| is_kept(owned)).map(|(number, _)| number);
        if let Some(number) = kept {
            self.owned.remove(number);
            let (hub, reason) = (&self.hub, Reason::OwnerLost);
            hub.owner_goes(channel, &self.endpoint, reason, &mut self.writes);
        }
    }

    /// Returns whether the endpoint has to be told.
    pub(super) fn owner_news(
        &mut self,
        tag: Tag,
        channel: JoinedChannelId,
        news: &OwnerNews,
    ) -> bool {
        if self.entered.get(channel.0).is_none_or(|entered| entered.tag != tag) {
            return false;
        }
        if let OwnerNews::You(number) = news {
            self.take_entered(channel);
            self.order.forget(SendPath::In(channel));
            let kept = self.owned.get_mut(number.0);
            kept.expect("the number was kept for this").kept = false;
        }
        true
    }

    pub(super) fn take_owned(&mut self, number: OwnedChannelId) -> Option<Owned> {
        owned(&self.owned, number)?;
        self.order.forget_own(number);
        self.paused.retain(|to, _| !matches!(to, Target::Member(own, _) if *own == number));
        self.owned.remove(number.0)
    }
}
