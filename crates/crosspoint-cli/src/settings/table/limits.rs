//! The section `[limits]`.

use super::{GIB, HOUR_MS, KIB, MIB, TIB, YEAR_S};
use crate::settings::kind::{bytes, count, millis, seconds, switch};
use crate::settings::row::section;
use std::time::Duration;

section! {
    /// The limits of the hub, and the effect of each.
    limits: Limits {
        /// Largest frame of the native protocol, in bytes.
        ///
        /// A session that announces a larger frame is closed with the reason `TooLarge`. A slow
        /// sender occupies at most the memory of one frame.
        frame_bytes_max: usize = "64KiB", bytes(KIB..=MIB);

        /// Largest message, over all its frames, in bytes.
        ///
        /// A session that sends a larger message is closed with the reason `TooLarge`.
        message_bytes_max: u32 = "16MiB", bytes(KIB..=GIB);

        /// How long one message may take from its first part to its last, in seconds.
        ///
        /// The same time applies to a frame from its first byte. If it is exceeded, the link of the
        /// message ends, or the session if the message came over no link, with the reason
        /// `IdleTimeout`. Its memory is freed, and no other session is affected. Time in which the
        /// hub does not read the sender, because a receiver has no room or because the sender is
        /// above its rate, does not count. When a sender that was told to pause a target may
        /// continue, the time starts anew. Raise the value if messages of `limits.message_bytes_max`
        /// come over slow connections: with the defaults 28 kB in a second are sufficient.
        message_s_max: Duration = "600", seconds(1..=YEAR_S);

        /// Bytes that may wait to be written to one session.
        ///
        /// Senders of messages to this session alone pause before its outbox is full, and continue to
        /// send to others; see protocol.md, section 8.1. A session whose outbox is full is
        /// disconnected with the reason `SlowReceiver`, so one slow receiver delays no others. Data
        /// for many receivers does not count here unless it is small; `limits.channel_bytes_max`
        /// bounds it. A single room message must fit into half of an outbox.
        outbox_bytes_max: usize = "4MiB", bytes(256 * KIB..=GIB);

        /// Bytes that may wait for the members of one channel or room, each counted once.
        ///
        /// A member that reads may lag behind by this much. When more would wait, the member that
        /// lags most is disconnected with the reason `SlowReceiver`, then the next. Raise the value
        /// if large broadcasts go to members on slow connections: one broadcast must fit into it.
        channel_bytes_max: usize = "64MiB", bytes(256 * KIB..=TIB);

        /// Bytes of unfinished messages that the hub gathers for one sender.
        ///
        /// This applies to messages in parts in rooms and to AnySocket programs, and to the pieces of
        /// such messages. Above it, the link that a part came over ends with the reason `TooLarge`,
        /// or the session if the part came over no link. No other session is affected. The value
        /// should not be less than `limits.message_bytes_max`.
        unfinished_bytes_max: usize = "32MiB", bytes(64 * KIB..=TIB);

        /// Memory that the hub holds for all its sessions and channels, in bytes.
        ///
        /// All data that waits, is unfinished or is kept counts, and 8 KiB for each session and 4 KiB
        /// for each connection. The program takes more memory than that, see docs/guarantees.md. With
        /// less than 1 GiB it takes no huge pages from the system, which can be faster but take more
        /// memory. Above the limit, new connections are closed. New channels, memberships, links,
        /// services and unfinished messages are refused with the reason `Exhausted`. The sessions
        /// that hold most are disconnected with the reason `SlowReceiver`: first those that hold 64
        /// KiB or more and have taken nothing for a second. `/metrics` shows the memory by purpose.
        memory_bytes_max: usize = "0",
            bytes(0..=1024 * TIB).zero("half of the memory of the machine, or of its control group");

        /// Memory that the hub holds for all sessions of one address or one client, in bytes.
        ///
        /// It counts and acts like `limits.memory_bytes_max`. A client is identified by the claim
        /// `sub` of its token, by a name that credentials grant, or by an id that it has proven,
        /// wherever it connects from. Addresses of the loopback range have no bound here while
        /// `limits.loopback_exempt` is true. A value above `limits.memory_bytes_max` has no effect.
        memory_per_address_bytes_max: usize = "0",
            bytes(0..=1024 * TIB).zero("one part in 8 of limits.memory_bytes_max");

        /// How long a session may take no data while data waits for it, in milliseconds.
        ///
        /// After this time it is disconnected with the reason `SlowReceiver`. What it takes counts from
        /// one part in 64 of `outbox_bytes_max` on, or from all that waits if that is less. The time while a
        /// session is away does not count. A resumable session has at least six times
        /// `resume.heartbeat_ms`, because a frozen connection takes nothing until it is detected.
        outbox_stall_ms_max: Duration = "30000", millis(100..=HOUR_MS);

        /// Bytes that a receiver must take in a second for its senders to wait for it.
        ///
        /// This applies to senders that also send to others and cannot be told to pause. Such a
        /// sender waits at most a second for a receiver that takes less, so that its messages to
        /// others are not delayed. The receiver then fills up and is disconnected with the reason
        /// `SlowReceiver`. The setting takes effect when half of `outbox_bytes_max` waits for the
        /// receiver.
        receiver_bytes_per_second_min: u64 = "262144",
            count(0..=1_000_000_000).zero("senders wait for it");

        /// Channels that one session may own.
        ///
        /// Above it, creating another channel is refused with the reason `TooManyChannels`. Peote
        /// programs never get more than 128, the most that their protocol can number.
        channels_owned_max: u32 = "128", count(1..=65_536);

        /// Channels and rooms that one session may be a member of.
        ///
        /// Above it, an entry is refused with the reason `TooManyChannels`. Peote programs never get
        /// more than 128, the most that their protocol can number.
        channels_entered_max: u32 = "128", count(1..=65_536);

        /// Channels and rooms of the whole hub.
        ///
        /// Above it, creating another one is refused with the reason `TooManyChannels`.
        channels_total_max: usize = "100000", count(1..=10_000_000);

        /// Existing channels that the sessions of one address have created.
        ///
        /// Above it, creating another channel is refused with the reason `TooManyChannels`, so that
        /// no client takes all channels of the hub. The sessions of one client that its credentials
        /// name share the limit too. `limits.ipv4_prefix` and `limits.ipv6_prefix` define one
        /// address. Addresses of the loopback range have no bound here while `limits.loopback_exempt`
        /// is true.
        channels_per_address_max: usize = "0",
            count(0..=10_000_000).zero("one part in 8 of limits.channels_total_max");

        /// Members of one channel.
        ///
        /// Above it, an entry is refused with the reason `Full`. A channel that a peote program owns
        /// never has more than 256. For rooms see `rooms.members_max`.
        members_max: u32 = "65536", count(1..=1_000_000);

        /// Longest name of a channel or room, in bytes.
        ///
        /// A longer name is refused with the reason `TooLarge`.
        channel_name_bytes_max: usize = "255", bytes(1..=255);

        /// Entries that may wait for an owner's decision, per session and per channel.
        ///
        /// Claims that a session waits for (`limits.claim_ms_max`) count with its entries. Above it, an entry
        /// or claim is refused with the reason `TooManyPending`.
        commands_pending_max: usize = "64", count(1..=65_536);

        /// How long a claim may wait for an answer, in milliseconds.
        ///
        /// A hub that is embedded in a program can ask a directory that several hubs share who may have a
        /// name (`HubOptions::directory`). Without an answer in this time, a command is refused and a
        /// client that connects is closed, both with the reason `Busy`. The program `crosspoint` has no such
        /// directory, so nothing waits there.
        claim_ms_max: Duration = "3000", millis(1..=600_000);

        /// Bans that one channel remembers.
        ///
        /// Above it, the oldest ban is forgotten, and the client that it named may enter again.
        bans_max: usize = "1024", count(1..=1_000_000);

        /// Links that one session has opened to others.
        ///
        /// Above it, another link is refused with the reason `TooManyLinks`. A link counts until the
        /// session has read the news of its end.
        links_max: usize = "1024", count(1..=1_000_000);

        /// Links that others have opened to one session.
        ///
        /// Above it, another link is refused with the reason `TooManyLinks`, which the opener
        /// receives. Raise the value for a program that serves more clients at a time.
        links_accepted_max: usize = "65536", count(1..=10_000_000);

        /// Links that the sessions of one address have opened to one session.
        ///
        /// Above it, another link is refused with the reason `TooManyLinks`, so that no client takes
        /// all links that a session accepts. As with all limits per address, sessions of one client
        /// that its credentials name share it too, wherever they connect from
        /// (docs/authentication.md). Addresses of the loopback range have no bound here while
        /// `limits.loopback_exempt` is true.
        links_accepted_per_address_max: usize = "0",
            count(0..=10_000_000).zero("one part in 8 of limits.links_accepted_max");

        /// Services that one session may provide.
        ///
        /// Above it, another one is refused with the reason `TooManyServices`.
        services_max: usize = "64", count(1..=65_536);

        /// Requests of one session to the hub itself that may wait for their answers.
        ///
        /// Above it, the session is not read until one of them is answered or cancelled, and nothing
        /// is lost. The same applies while answers fill half of its outbox.
        asks_pending_max: usize = "1024", count(1..=1_000_000);

        /// Connections of the whole hub.
        ///
        /// Above it, a new connection is closed immediately. The limit of open files of the process
        /// must be higher.
        connections_max: usize = "100000", count(1..=10_000_000);

        /// Connections from one address.
        ///
        /// Above it, a new connection from the address is closed immediately. All clients behind one
        /// router or proxy count as one address: raise the value, or set 0, if many of them play. The
        /// clients of a proxy that `server.trusted_proxies` names are counted separately.
        connections_per_address_max: u32 = "256", count(0..=1_000_000).zero("no limit");

        /// How many bits of an IPv4 address identify a client, for limits and bans.
        ///
        /// With 24, a network of 256 addresses counts as one.
        ipv4_prefix: u8 = "32", count(8..=32);

        /// How many bits of an IPv6 address identify a client, for limits and bans.
        ///
        /// A client with one address usually has all addresses with the same first 64 bits, and often
        /// those with the same first 56 or 48.
        ipv6_prefix: u8 = "64", count(16..=128);

        /// Whether connections from the same machine are exempt from some limits.
        ///
        /// Addresses of the loopback range are then exempt from `limits.connections_per_address_max`,
        /// `limits.messages_per_second_max`, `limits.bytes_per_second_max`,
        /// `limits.memory_per_address_bytes_max`, `limits.channels_per_address_max`,
        /// `limits.links_accepted_per_address_max`, `rooms.per_address_max`,
        /// `auth.checks_waiting_per_address_max` and `auth.wrong_pause_ms`. A ban by address does not
        /// apply to them, only the ban of the peer id. Behind a proxy on the same machine all clients
        /// appear to have such an address, unless `server.trusted_proxies` names the proxy. If true,
        /// these limits then bind nobody; if false, all clients share one
        /// `limits.connections_per_address_max`.
        loopback_exempt: bool = "true", switch();

        /// How long the handshake of a connection may take, in milliseconds.
        ///
        /// A connection that has not finished its handshake after this time is closed with the reason
        /// `HandshakeTimeout`.
        handshake_ms_max: Duration = "5000", millis(100..=600_000);

        /// How long a client may be silent in a WebSocket before its first message, in milliseconds.
        ///
        /// After this time it is closed with the reason `HandshakeTimeout`. The setting applies if
        /// peote programs are served, which send their first message after they connect but may be
        /// slow to do so. If `peote.enabled` is false, `limits.handshake_ms_max` applies instead.
        /// Pings do not count as messages.
        first_words_ms_max: Duration = "0",
            millis(0..=HOUR_MS).zero("three times limits.handshake_ms_max");

        /// How long a session may be silent, in seconds.
        ///
        /// After this time it is closed with the reason `IdleTimeout`. Peote programs send nothing by
        /// themselves and may correctly be silent for hours. `limits.heartbeat_ms` detects a vanished
        /// native client without this setting.
        idle_s_max: Duration = "0", seconds(0..=YEAR_S).zero("never");

        /// How often a silent client is probed, in milliseconds.
        ///
        /// See `limits.heartbeat_missed_max`. Peote programs are not probed. A native client may ask
        /// for another interval, within `limits.heartbeat_ms_min` and `limits.heartbeat_ms_max`, or
        /// for none. For resumable sessions, `resume.heartbeat_ms` detects a lost connection. The
        /// metric `round_trip_seconds` shows how long the answers take.
        heartbeat_ms: Duration = "15000", millis(100..=HOUR_MS);

        /// Consecutive probes that a client may leave unanswered.
        ///
        /// After that the session is closed with the reason `HeartbeatLost`.
        heartbeat_missed_max: u32 = "2", count(1..=100);

        /// The shortest heartbeat interval that a client can ask for, in milliseconds.
        ///
        /// A shorter interval is raised to this value, so that no client makes the hub send probes
        /// without end. A client can always have the intervals of `limits.heartbeat_ms` and
        /// `resume.heartbeat_ms`, even if they are shorter.
        heartbeat_ms_min: Duration = "1000", millis(10..=HOUR_MS);

        /// The longest heartbeat interval that a client can ask for, in milliseconds.
        ///
        /// A longer interval is lowered to this value. A vanished client is detected after
        /// `limits.heartbeat_missed_max` plus one such intervals. Set it to `limits.heartbeat_ms` if
        /// no client may delay that. A client can always have the intervals of `limits.heartbeat_ms`
        /// and `resume.heartbeat_ms`, even if they are longer. If `limits.idle_s_max` is set, half of
        /// it is the longest interval.
        heartbeat_ms_max: Duration = "300000", millis(10..=HOUR_MS);

        /// Whether a client that asks for no heartbeats gets none.
        ///
        /// If false, or if `limits.idle_s_max` is set, the client is probed at the longest interval.
        /// If true, a client that has vanished is detected by the system (over TCP after about two
        /// minutes), when data is sent to it, or when another client has its name or id.
        heartbeat_off: bool = "false", switch();

        /// How long a session may take to answer a probe that another client causes, in milliseconds.
        ///
        /// A client with the name or id of another session is refused, unless `peers.duplicates` or a
        /// proof of the id decides otherwise. It may be the same client, whose connection was lost
        /// before the hub detected that. So the hub probes the other session immediately. If no
        /// answer arrives in this time, that session is closed with the reason `HeartbeatLost`, and a
        /// client that tries again is accepted. A session is probed like this at most once in this
        /// time. A resumable session is not probed, and keeps its `resume.window_ms`. Raise the value
        /// if live clients may need longer to answer: another client with their name ends them.
        probe_ms_max: Duration = "3000", millis(0..=600_000).zero("nobody is asked");

        /// Sessions of one address or identity that many watchers are told of in a second.
        ///
        /// This bounds the cost for all others when a client connects and disconnects under changing
        /// ids. What was saved in 16 s may be used at once. Watchers are told of sessions above the
        /// limit later, and lookups do not find these sessions before; links to them can be opened
        /// immediately. The limit applies if more than 64 sessions watch, and not to exempt addresses
        /// (`limits.loopback_exempt`).
        announced_per_second_max: u32 = "16", count(0..=1_000_000).zero("no limit");

        /// Messages and other commands that one session may send in a second.
        ///
        /// Above it, the session is read more slowly, which slows its sender down, and nothing is
        /// lost. HTTP requests of a connection count too.
        messages_per_second_max: u64 = "20000", count(0..=1_000_000_000).zero("no limit");

        /// Bytes that one session may send in a second.
        ///
        /// Above it, the session is read more slowly, which slows its sender down, and nothing is
        /// lost. The bytes of HTTP answers count too.
        bytes_per_second_max: u64 = "64MiB", bytes(0..=TIB).zero("no limit");
    }
}
