//! How a channel is created.

use super::Channel;
use super::state::{Owner, State};
use crate::command::{ChannelOptions, Mode};
use crate::endpoint::Endpoint;
use crate::ids::{ChannelName, OwnedChannelId};
use crate::ledger::{Account, CHANNEL_BYTES, Common, Exhausted, Ledger, Purpose};
use crate::limit::Limit;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbox::Tag;
use crate::reason::Reason;
use crate::rules::ChannelRule;
use bytes::Bytes;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A channel or room to create, and what its hub gives to it.
pub(crate) struct NewChannel<'a> {
    pub(crate) name: ChannelName,
    /// When it is made; `None` for one that is as old as the hub.
    pub(crate) since: Option<Instant>,
    /// The rule for channels with this name.
    pub(crate) rule: Option<Arc<ChannelRule>>,
    pub(crate) limits: &'a Limits,
    pub(crate) metrics: &'a Metrics,
    pub(crate) ledger: &'a Arc<Ledger>,
}

/// The owner of a channel.
struct Kind {
    room: bool,
    declared: bool,
}

impl NewChannel<'_> {
    /// Creates a channel with an owner, which is charged for it.
    ///
    /// # Errors
    /// [`Reason::Exhausted`], [`Reason::TooManyChannels`] of the owner's address or identity.
    pub(crate) fn owned(
        self,
        endpoint: Arc<Endpoint>,
        number: OwnedChannelId,
        tag: Tag,
        options: ChannelOptions,
    ) -> Result<Channel, Reason> {
        let most = self.limits.members_max.min(endpoint.profile.capacity.members_max);
        let members_max = options.members_max.map_or(most, |max| max.min(most));
        let payer = endpoint.account().clone();
        let owner = Some(Owner { endpoint, number, tag });
        self.make(Kind { room: false, declared: false }, options, members_max, owner, &payer)
    }

    /// Creates a room. Its messages are at most half an outbox, because a larger one could end all its members.
    ///
    /// # Errors
    /// [`Reason::Exhausted`], [`Reason::TooManyChannels`] of the payer's address or identity.
    pub(crate) fn room(
        self,
        declared: bool,
        mode: Mode,
        members_max: u32,
        payer: &Arc<Account>,
    ) -> Result<Channel, Reason> {
        let mode = match mode {
            Mode::Raw => Mode::Raw,
            Mode::Chunk { bytes_max } => {
                let most = u32::try_from(self.limits.outbox_bytes_max / 2).unwrap_or(u32::MAX);
                Mode::Chunk { bytes_max: bytes_max.min(most) }
            }
        };
        let options = ChannelOptions { mode, ..ChannelOptions::default() };
        self.make(Kind { room: true, declared }, options, members_max, None, payer)
    }

    fn make(
        self,
        Kind { room, declared }: Kind,
        options: ChannelOptions,
        members_max: u32,
        owner: Option<Owner>,
        payer: &Arc<Account>,
    ) -> Result<Channel, Reason> {
        let Self { name, since, rule, limits, metrics, ledger } = self;
        let ruled =
            |most: Option<u32>, otherwise: u32| most.map_or(otherwise, |most| most.min(otherwise));
        let (members, message) =
            rule.as_ref().map_or((None, None), |rule| (rule.members_max, rule.message_bytes_max));
        let members_max = ruled(members, members_max);
        let mode = match options.mode {
            Mode::Raw => Mode::Raw,
            Mode::Chunk { bytes_max } => Mode::Chunk { bytes_max: ruled(message, bytes_max) },
        };
        // A copy, or it would keep the read alive in which it came.
        let password = options.password.as_deref().map(Bytes::copy_from_slice);
        let kept = name.as_bytes().len() + password.as_ref().map_or(0, Bytes::len);
        let stored = payer.try_charge(Purpose::Stored, CHANNEL_BYTES + kept);
        let stored = stored.map_err(|Exhausted { limit }| {
            metrics.hit(limit);
            Reason::Exhausted
        })?;
        let made = payer.make(room).map_err(|Exhausted { limit }| {
            metrics.hit(limit);
            Reason::TooManyChannels
        })?;
        let waiting = rule.as_ref().and_then(|rule| rule.waiting_bytes_max);
        let (limit, waiting_max) = match waiting.filter(|most| *most < limits.channel_bytes_max) {
            Some(most) => (Limit::RuleWaitingBytes, most),
            None => (Limit::ChannelBytes, limits.channel_bytes_max),
        };
        let common = Common::new(ledger.account(None, "hub"), limit, waiting_max);
        Ok(Channel {
            name,
            room,
            declared,
            mode,
            since,
            rule,
            password,
            approve: options.approve,
            members_max,
            pending_max: limits.commands_pending_max,
            bans_max: limits.bans_max,
            _made: made,
            mixed: AtomicBool::new(false),
            state: Mutex::new(State::new(owner, common, stored)),
        })
    }
}
