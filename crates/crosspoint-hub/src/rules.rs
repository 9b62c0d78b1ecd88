//! Rules for channels by their names: bounds of their own, and who may create and enter them.
//!
//! They are for owners whose protocol cannot say such things, and for operators. The first rule whose pattern
//! matches a name holds for it, and no other.

use crate::endpoint::Endpoint;
use crate::limit::Limit;
use crate::networks::Networks;
pub use crate::permissions::Pattern;
use crate::permissions::Rule;
use crate::rate_limiter::RateLimiter;
use crate::reason::Reason;
use std::net::IpAddr;
use std::time::Instant;

/// A rule for all channels and rooms whose names match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRule {
    /// Which names it is for.
    pub name: Pattern,
    /// The most members, if fewer than otherwise. Above: refused with [`Reason::Full`].
    pub members_max: Option<u32>,
    /// The largest message in bytes, if smaller than otherwise; of a protocol without borders, the largest
    /// frame. A larger one ends its sender's session with [`Reason::TooLarge`].
    pub message_bytes_max: Option<u32>,
    /// Bytes that may wait for the members, each counted once, if fewer than otherwise. Above: as for
    /// [`Limits::channel_bytes_max`](crate::Limits::channel_bytes_max).
    pub waiting_bytes_max: Option<usize>,
    /// Messages that one member may send in a second; 0 is without limit. Above, its session is read more
    /// slowly.
    pub messages_per_second_max: u64,
    /// Bytes that one member may send in a second; 0 is without limit. Above, its session is read more slowly.
    pub bytes_per_second_max: u64,
    /// Who may create such a channel, make a room of such a name by entering it, or own it as a successor; `None`
    /// is all. Others are refused with [`Reason::NotAllowed`].
    pub create: Option<Who>,
    /// Who may enter it; `None` is all. Others are refused with [`Reason::NotAllowed`].
    pub enter: Option<Who>,
    /// Who may do neither: refused with [`Reason::Banned`].
    pub blocked: Networks,
}

impl ChannelRule {
    /// A rule that forbids nothing.
    pub fn new(name: Pattern) -> Self {
        Self {
            name,
            members_max: None,
            message_bytes_max: None,
            waiting_bytes_max: None,
            messages_per_second_max: 0,
            bytes_per_second_max: 0,
            create: None,
            enter: None,
            blocked: Networks::default(),
        }
    }

    /// Whether a session may create a channel.
    ///
    /// # Errors
    /// The reason for the session, and the limit to be counted.
    pub(crate) fn may_create(&self, who: &Endpoint) -> Result<(), (Reason, Limit)> {
        self.check(who, self.create.as_ref(), Limit::RuleCreate)
    }

    /// Whether a session may enter a channel or room.
    ///
    /// # Errors
    /// The reason for the session, and the limit to be counted.
    pub(crate) fn may_enter(&self, who: &Endpoint) -> Result<(), (Reason, Limit)> {
        self.check(who, self.enter.as_ref(), Limit::RuleEnter)
    }

    /// Counts what one member sends, if that is bounded.
    pub(crate) fn limiter(&self, now: Instant) -> Option<RateLimiter> {
        let Self { messages_per_second_max: messages, bytes_per_second_max: bytes, .. } = *self;
        (messages > 0 || bytes > 0).then(|| RateLimiter::new(now, messages, bytes))
    }

    fn check(
        &self,
        who: &Endpoint,
        allowed: Option<&Who>,
        limit: Limit,
    ) -> Result<(), (Reason, Limit)> {
        if who.address.is_some_and(|address| self.blocked.contain(address)) {
            return Err((Reason::Banned, Limit::RuleBlocked));
        }
        let name = who.peer().and_then(|peer| peer.name.as_deref());
        match allowed {
            Some(allowed) if !allowed.includes(name, who.address) => {
                Err((Reason::NotAllowed, limit))
            }
            _ => Ok(()),
        }
    }
}

/// Some sessions: those with one of the names, and those that come from one of the networks. By default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Who {
    /// Names of sessions. Only where credentials decide about names they say who somebody is.
    pub names: Vec<Pattern>,
    /// Where sessions come from. Those from inside the program come from nowhere.
    pub networks: Networks,
}

impl Who {
    fn includes(&self, name: Option<&str>, address: Option<IpAddr>) -> bool {
        let names = Rule::Names(self.names.clone());
        name.is_some_and(|name| names.allows(name.as_bytes()))
            || address.is_some_and(|address| self.networks.contain(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fits_one_of_the_names_or_networks_is_included() {
        let who = Who {
            names: vec![Pattern::new("score-*")],
            networks: Networks::from_iter(["10.0.0.0/8".parse().unwrap()]),
        };
        let (near, far) = (Some("10.1.1.1".parse().unwrap()), Some("11.1.1.1".parse().unwrap()));
        assert!(who.includes(Some("score-1"), far) && who.includes(None, near));
        assert!(!who.includes(Some("other"), far) && !who.includes(None, None));
        assert!(!Who::default().includes(Some("score-1"), near));
    }
}
