//! Every bound, its default and what happens there.

use crate::limit::Limit;
use crate::networks::{Networks, Prefixes};
use std::net::IpAddr;
use std::time::Duration;

/// How often one side sends probes to the other, or is to send them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// As it does by itself.
    #[default]
    Usual,
    /// After each so much silence.
    Every(Duration),
    /// Never.
    Never,
}

/// The bounds of a hub. Each names what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame of the native protocol in bytes. Above: the session is closed with
    /// [`TooLarge`](crate::Reason::TooLarge). Worst case memory of a slow sender: one frame.
    pub frame_bytes_max: usize,
    /// The smallest frame that is compressed for endpoints that have agreed to it, in bytes. `None`: none is
    /// compressed, and nobody is offered it.
    pub compressed_bytes_min: Option<u32>,
    /// Largest message in bytes, over all its parts. Above: the session is closed with `TooLarge`.
    pub message_bytes_max: u32,
    /// How long one message may take from its first part to its last, and one frame from its first byte. Time
    /// in which the sender is not read, or is told to pause the target, does not count. Above: the link that
    /// the message comes over ends with [`IdleTimeout`](crate::Reason::IdleTimeout), or the session if it
    /// comes over none.
    pub message_time_max: Duration,
    /// Bytes that may wait for one receiver. From three eighths of it on, senders whose messages go
    /// to this receiver alone pause or are slowed; when it is full, the receiver is disconnected with
    /// [`SlowReceiver`](crate::Reason::SlowReceiver). Worst case: this and one read of 64 KiB.
    pub outbox_bytes_max: usize,
    /// Bytes that may wait for the members of one channel or room, each counted once however many
    /// wait for it. They do not count in [`outbox_bytes_max`](Self::outbox_bytes_max). When they are
    /// too many, the member that lags most is disconnected with `SlowReceiver`, then the next.
    pub channel_bytes_max: usize,
    /// Bytes of messages of one session of which not all parts have come, where the hub gathers the
    /// parts. Above: as for a message that is too large.
    pub unfinished_bytes_max: usize,
    /// Memory that the hub holds for all ([`ledger`](crate::ledger)). What can be refused above it
    /// is refused with [`Exhausted`](crate::Reason::Exhausted); then the largest holders are
    /// disconnected with `SlowReceiver`. The program takes half of the machine's memory.
    pub memory_bytes_max: usize,
    /// The same for one address, as [`Self::known_by`] sees it, and for one identity
    /// ([`Holder`](crate::ledger::Holder)). 0 is one part in [`Self::ADDRESS_SHARE`] of
    /// the whole.
    pub memory_per_address_bytes_max: usize,
    /// How long a receiver may take nothing, or next to nothing
    /// ([`Endpoint::stalled`](crate::Endpoint::stalled)), of a waiting outbox before it is disconnected
    /// with `SlowReceiver`.
    pub outbox_stall_max: Duration,
    /// What a receiver that is behind has to take in a second to slow senders that send to others
    /// too and cannot be told to pause. With less it fills up and ends with `SlowReceiver`. 0: such
    /// senders wait for it.
    pub receiver_bytes_per_second_min: u64,
    /// Channels that one session may own. Above: `TooManyChannels`.
    pub channels_owned_max: u32,
    /// Channels and rooms that one session may have entered. Above: `TooManyChannels`.
    pub channels_entered_max: u32,
    /// Channels and rooms of the hub. Above: `TooManyChannels`.
    pub channels_total_max: usize,
    /// Channels that one address or identity has made. Above: `TooManyChannels`. 0 is one
    /// part in [`Self::ADDRESS_SHARE`] of all.
    pub channels_per_address_max: usize,
    /// Members of one channel. Above: `Full`.
    pub members_max: u32,
    /// Bytes of a channel's name, at most 255. Above: `TooLarge`.
    pub channel_name_bytes_max: usize,
    /// Entries of one session that wait for an owner's decision together with its claims that wait for the
    /// answer of a [`Directory`](crate::directory::Directory), and entries into one channel that wait. Above:
    /// `TooManyPending`.
    pub commands_pending_max: usize,
    /// How long a claim may wait for the answer of a [`Directory`](crate::directory::Directory). Above: what it is for
    /// is refused with [`Busy`](crate::Reason::Busy), and a session whose hello it is for is closed with it.
    pub claim_max: Duration,
    /// Bans of one channel. Above: the oldest is forgotten.
    pub bans_max: usize,
    /// Connections of the hub. Above: closed at once.
    pub connections_max: usize,
    /// Connections from one address, as [`prefixes`](Self::prefixes) see it. Above: closed at once. 0 is
    /// without limit.
    pub connections_per_address_max: u32,
    /// How much of an address tells who has it, for limits and bans.
    pub prefixes: Prefixes,
    /// Proxies, whose addresses many share: no limit per address holds for them, and no ban.
    pub trusted_proxies: Networks,
    /// Whether addresses of the loopback range are free from the limits per address and second.
    pub loopback_exempt: bool,
    /// How long a connection may take to say what it is. Above: closed with `HandshakeTimeout`.
    pub handshake_max: Duration,
    /// How long a client may be silent inside a WebSocket before its first word, where programs of peote
    /// are served (docs/peote.md, section 3.5); elsewhere that is `handshake_max`. Above: closed with
    /// `HandshakeTimeout`.
    pub first_words_max: Duration,
    /// How long a session may be silent. Above: closed with `IdleTimeout`. `None`: for ever, which
    /// peote programs rely on (docs/peote.md, section 3.5).
    pub idle_max: Option<Duration>,
    /// How often a silent endpoint is probed, if its protocol has probes. A native
    /// client may ask for something else, within the next three.
    pub heartbeat: Duration,
    /// Unanswered heartbeats before the session is closed with `HeartbeatLost`.
    pub heartbeat_missed_max: u32,
    /// The shortest interval that a client gets if it wishes for one; a shorter one becomes this. Without
    /// effect above [`heartbeat`](Self::heartbeat).
    pub heartbeat_min: Duration,
    /// The longest interval that a client gets if it wishes for one; a longer one becomes this. Without
    /// effect below [`heartbeat`](Self::heartbeat).
    pub heartbeat_max: Duration,
    /// Whether a client that wishes not to be asked is not asked. Otherwise it is, as seldom as may be.
    pub heartbeat_off: bool,
    /// How long a session may take to answer the probe that it is sent because another one has
    /// come with its name or id. Above: closed with `HeartbeatLost`. `None`: it is not probed.
    pub probe_max: Option<Duration>,
    /// Messages and other commands that one session may send a second; above, it is read more
    /// slowly. 0 is without limit.
    pub messages_per_second_max: u64,
    /// Bytes that one session may send a second; above, it is read more slowly. 0 is without limit.
    pub bytes_per_second_max: u64,
    /// Sessions of one address or identity a second that those who watch are told of, if they are many; what was
    /// saved in 16 s may be used at once. Above: they are told of later, and found later by those who look who is
    /// there. 0 is without limit.
    pub announced_per_second_max: u32,
    /// Members of a room. Above: `Full`.
    pub room_members_max: u32,
    /// Rooms made on first entry. Above: `TooManyChannels`.
    pub rooms_max: usize,
    /// Rooms that one address or identity has made by entering them. Above: `TooManyChannels`. 0 is one part in
    /// [`Self::ADDRESS_SHARE`] of all.
    pub rooms_per_address_max: usize,
    /// Links that one session has opened. Above: `TooManyLinks`.
    pub links_max: usize,
    /// Links that others have opened to one session. Above: `TooManyLinks` to the one who opens.
    pub links_accepted_max: usize,
    /// The same, for those whom one address or identity has opened. 0 is one part in
    /// [`Self::ADDRESS_SHARE`] of all.
    pub links_accepted_per_address_max: usize,
    /// Services that one session may provide. Above: `TooManyServices`.
    pub services_max: usize,
    /// Questions of one session to the hub application that may wait for their answers. Above: the
    /// session is not read until one is answered or given up. The same holds while answers fill half
    /// of its outbox.
    pub asks_pending_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 64 * 1024,
            compressed_bytes_min: None,
            message_bytes_max: 16 * 1024 * 1024,
            message_time_max: Duration::from_secs(600),
            outbox_bytes_max: 4 * 1024 * 1024,
            channel_bytes_max: 64 * 1024 * 1024,
            unfinished_bytes_max: 32 * 1024 * 1024,
            memory_bytes_max: 2 * 1024 * 1024 * 1024,
            memory_per_address_bytes_max: 0,
            outbox_stall_max: Duration::from_secs(30),
            receiver_bytes_per_second_min: 256 * 1024,
            channels_owned_max: 128,
            channels_entered_max: 128,
            channels_total_max: 100_000,
            channels_per_address_max: 0,
            members_max: 65_536,
            channel_name_bytes_max: 255,
            commands_pending_max: 64,
            claim_max: Duration::from_secs(3),
            bans_max: 1024,
            connections_max: 100_000,
            connections_per_address_max: 256,
            prefixes: Prefixes::default(),
            trusted_proxies: Networks::default(),
            loopback_exempt: true,
            handshake_max: Duration::from_secs(5),
            first_words_max: Duration::from_secs(15),
            idle_max: None,
            heartbeat: Duration::from_secs(15),
            heartbeat_missed_max: 2,
            heartbeat_min: Duration::from_secs(1),
            heartbeat_max: Duration::from_secs(300),
            heartbeat_off: false,
            probe_max: Some(Duration::from_secs(3)),
            messages_per_second_max: 20_000,
            bytes_per_second_max: 64 * 1024 * 1024,
            announced_per_second_max: 16,
            room_members_max: 10_000,
            rooms_max: 10_000,
            rooms_per_address_max: 0,
            links_max: 1024,
            links_accepted_max: 65_536,
            links_accepted_per_address_max: 0,
            services_max: 64,
            asks_pending_max: 1024,
        }
    }
}

impl Limits {
    /// Which part of a bound of the hub one address or identity may have, unless that is set.
    pub const ADDRESS_SHARE: usize = 8;

    /// What one address or identity may have of a bound of the hub, or of a session: `most`, unless that is 0.
    pub(crate) fn share(most: usize, all: usize) -> usize {
        match most {
            0 => (all / Self::ADDRESS_SHARE).max(1),
            most => most.min(all),
        }
    }

    /// Whether an address is free from the limits per address and per second.
    pub fn exempt(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self.loopback_exempt && address.to_canonical().is_loopback(),
            // In-process endpoints belong to the program itself.
            None => true,
        }
    }

    /// By which address limits and bans know an endpoint; `None` where they cannot, as many share its
    /// address: inside the program, on this machine if that is exempt, and behind a proxy that has not
    /// told for whom it speaks.
    pub fn known_by(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        let own = |address: &IpAddr| !self.trusted_proxies.contain(*address);
        let address = address.filter(|_| !self.exempt(address)).filter(own);
        address.map(|address| self.prefixes.holder(address))
    }

    /// How often a client is probed that asks for this: after each so much silence,
    /// or never.
    ///
    /// As long as a silent session is closed ([`idle_max`](Self::idle_max)), a wish never leads to that:
    /// the client is asked twice in this time at least.
    pub fn heartbeat_for(&self, wish: Pace) -> Bounded<Option<Duration>> {
        let often = self.idle_max.map(|idle| idle / 2);
        let Bounded { value, limit } = match wish {
            Pace::Usual => return Bounded { value: Some(self.heartbeat), limit: None },
            Pace::Never if self.heartbeat_off && often.is_none() => {
                return Bounded { value: None, limit: None };
            }
            Pace::Never => Bounded {
                value: self.heartbeat_max.max(self.heartbeat),
                limit: (!self.heartbeat_off).then_some(Limit::HeartbeatOff),
            },
            Pace::Every(interval) => self.heartbeat_within(self.heartbeat, interval),
        };
        let least = self.heartbeat_min.min(self.heartbeat);
        let value = often.map_or(value, |often| value.min(often.max(least)));
        Bounded { value: Some(value), limit }
    }

    /// The interval for a client that wishes for this one, where the hub uses another by itself.
    pub fn heartbeat_within(&self, usual: Duration, wish: Duration) -> Bounded<Duration> {
        // What the hub does by itself can always be had.
        let (least, most) = (self.heartbeat_min.min(usual), self.heartbeat_max.max(usual));
        let limit = match wish {
            wish if wish < least => Some(Limit::HeartbeatMin),
            wish if wish > most => Some(Limit::HeartbeatMax),
            _ => None,
        };
        Bounded { value: wish.clamp(least, most), limit }
    }
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded<T> {
    /// What is done.
    pub value: T,
    /// The limit that kept it from what was wished for, if one did.
    pub limit: Option<Limit>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(most: u64) -> impl Strategy<Value = Duration> {
        (1..most).prop_map(Duration::from_millis)
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let idle_max = proptest::option::of(millis(2_000_000));
        (millis(100_000), millis(100_000), millis(1_000_000), any::<bool>(), idle_max).prop_map(
            |(heartbeat, heartbeat_min, heartbeat_max, heartbeat_off, idle_max)| Limits {
                heartbeat,
                heartbeat_min,
                heartbeat_max,
                heartbeat_off,
                idle_max,
                ..Limits::default()
            },
        )
    }

    proptest! {
        #[test]
        fn a_wish_is_granted_within_the_bounds_and_otherwise_its_limit_is_named(
            limits in limits(),
            wish in millis(3_000_000),
        ) {
            let least = limits.heartbeat_min.min(limits.heartbeat);
            let most = limits.heartbeat_max.max(limits.heartbeat);
            let often = limits.idle_max.map_or(most, |idle| idle / 2);
            let given = limits.heartbeat_for(Pace::Every(wish));
            let interval = given.value.expect("a client that wants to be asked is asked");
            prop_assert!((least..=most).contains(&interval));
            prop_assert!(interval <= often.max(least));
            prop_assert_eq!(given.limit.is_none(), (least..=most).contains(&wish));
            if given.limit.is_none() && wish <= often {
                prop_assert_eq!(interval, wish);
            }
            let usual = Bounded { value: Some(limits.heartbeat), limit: None };
            prop_assert_eq!(limits.heartbeat_for(Pace::Usual), usual);
            let never = limits.heartbeat_for(Pace::Never);
            let seldom = limits.heartbeat_for(Pace::Every(most));
            match limits.heartbeat_off {
                true if limits.idle_max.is_none() => prop_assert_eq!(never.value, None),
                _ => prop_assert_eq!(never.value, seldom.value),
            }
            let insisted = (!limits.heartbeat_off).then_some(Limit::HeartbeatOff);
            prop_assert_eq!(never.limit, insisted);
        }
    }
}
