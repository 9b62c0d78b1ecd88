//! The section `[limits]`.

use super::{GIB, HOUR_MS, KIB, MIB, TIB, YEAR_S};
use crate::settings::kind::{bytes, count, millis, seconds, switch};
use crate::settings::row::section;
use std::time::Duration;

section! {
    /// The bounds of the hub, and what happens when one is reached.
    limits: Limits {
        /// Largest frame of the native protocol, in bytes.
        ///
        /// A session that announces a larger frame is closed with the reason `TooLarge`. A slow
        /// sender occupies at most the memory of one frame.
        frame_bytes_max: usize = "64KiB", bytes(KIB..=MIB);

        /// Largest message, over all its frames, in bytes.
        ///
        /// A session that sends a larger one is closed with the reason `TooLarge`.
        message_bytes_max: u32 = "16MiB", bytes(KIB..=GIB);

        /// How long one message may take from its first part to its last, in seconds.
        ///
        /// So long may one frame take from its first byte, too. What takes longer ends the link that it is
        /// for, or the session if it came over none, with the reason `IdleTimeout`; its memory is given back,
        /// and nobody else is affected. Time in which the hub does not read the sender, because a receiver
        /// has no room or the sender is above its rate, does not count. A sender that was told to pause a
        /// target has its whole time again when it may go on. Raise it where messages of
        /// `limits.message_bytes_max` come over slow connections: with the defaults 28 kB in a second are
        /// enough.
        message_s_max: Duration = "600", seconds(1..=YEAR_S);

        /// Bytes that may wait to be written to one session.
        ///
        /// Senders whose messages go to this session alone pause before it is full, and go on to send to
        /// others; see protocol.md, section 8.1. When it is full the session is disconnected with the reason
        /// `SlowReceiver`, so that one slow reader holds up nobody else. What is for many does not count
        /// here, unless it is small: `limits.channel_bytes_max` bounds it. A single room message has to fit
        /// into half of it.
        outbox_bytes_max: usize = "4MiB", bytes(256 * KIB..=GIB);

        /// Bytes that may wait for the members of one channel or room, each counted once.
        ///
        /// So far may a member lag behind that reads. When more would wait, the member that lags
        /// most is disconnected with the reason `SlowReceiver`, then the next. Raise it where large
        /// broadcasts go to members on slow connections: one of them has to fit into it.
        channel_bytes_max: usize = "64MiB", bytes(256 * KIB..=TIB);

        /// Bytes of unfinished messages that the hub gathers for one session, as their sender.
        ///
        /// It binds messages in parts in rooms and to programs written with AnySocket, and the
        /// pieces of those. Above, the link that a part came over ends with the reason `TooLarge`, or
        /// the session if it came over none. Nobody else is affected. It should be no less than
        /// `limits.message_bytes_max`.
        unfinished_bytes_max: usize = "32MiB", bytes(64 * KIB..=TIB);

        /// Memory that the hub holds for all its sessions and channels, in bytes.
        ///
        /// Everything that waits, is unfinished or is kept counts, 8 KiB for each session and 4 KiB for each
        /// connection. The program takes more than that, see docs/guarantees.md; with less than 1 GiB it
        /// takes no huge pages from the system, which can be faster and take more. Above, new connections are
        /// closed, new channels, memberships, links, services and unfinished messages are refused with the
        /// reason `Exhausted`, and the sessions that hold most are disconnected with the reason
        /// `SlowReceiver`: first those that hold 64 KiB or more and have taken nothing for a second.
        /// `/metrics` shows for what it is used.
        memory_bytes_max: usize = "0",
            bytes(0..=1024 * TIB).zero("half of the memory of the machine, or of its control group");

        /// The same for all sessions of one address, or of one client.
        ///
        /// A client is known by the claim `sub` of its token, by a name that is granted to it, or by an id
        /// that it has proven, wherever it comes from. Addresses of the loopback range have no bound here
        /// while `limits.loopback_exempt` is true. Without effect above `limits.memory_bytes_max`.
        memory_per_address_bytes_max: usize = "0",
            bytes(0..=1024 * TIB).zero("one part in 8 of limits.memory_bytes_max");

        /// How long a session may take nothing while something waits for it, in milliseconds.
        ///
        /// Then it is disconnected with the reason `SlowReceiver`. Less than one part in 64 of
        /// `outbox_bytes_max`, and less than what waits, counts as nothing. The time while a session is away
        /// does not count. A session that can be resumed has six times `resume.heartbeat_ms` at least,
        /// as a connection that has frozen takes nothing until that is noticed.
        outbox_stall_ms_max: Duration = "30000", millis(100..=HOUR_MS);

        /// Bytes that a receiver has to take in a second for its senders to wait for it.
        ///
        /// A sender that sends to others as well, and cannot be told to pause, does not wait for a receiver
        /// that takes less for longer than a second, so that the others do not wait. The receiver fills up,
        /// and is disconnected with the reason `SlowReceiver`. This begins when half of `outbox_bytes_max`
        /// waits for the receiver.
        receiver_bytes_per_second_min: u64 = "262144",
            count(0..=1_000_000_000).zero("senders wait for it");

        /// Channels that one session may own.
        ///
        /// Above, creating another is refused with the reason `TooManyChannels`. Peote programs
        /// never get more than 128, the most that their protocol can number.
        channels_owned_max: u32 = "128", count(1..=65_536);

        /// Channels and rooms that one session may be a member of.
        ///
        /// Above, an entry is refused with the reason `TooManyChannels`. Peote programs never get
        /// more than 128, the most that their protocol can number.
        channels_entered_max: u32 = "128", count(1..=65_536);

        /// Channels and rooms of the whole hub.
        ///
        /// Above, creating another is refused with the reason `TooManyChannels`.
        channels_total_max: usize = "100000", count(1..=10_000_000);

        /// Channels that the sessions of one address have made and that are still there.
        ///
        /// Above, creating another is refused with the reason `TooManyChannels`, so that nobody takes all
        /// that the hub may have. The sessions of one client that its credentials name share it too.
        /// `limits.ipv4_prefix` and `limits.ipv6_prefix` say what one address is. Addresses of the loopback
        /// range have no bound here while `limits.loopback_exempt` is true.
        channels_per_address_max: usize = "0",
            count(0..=10_000_000).zero("one part in 8 of limits.channels_total_max");

        /// Members of one channel.
        ///
        /// Above, an entry is refused with the reason `Full`. A channel owned by a peote program
        /// never has more than 256. Rooms have `rooms.members_max`.
        members_max: u32 = "65536", count(1..=1_000_000);

        /// Longest name of a channel or room, in bytes.
        ///
        /// A longer name is refused with the reason `TooLarge`.
        channel_name_bytes_max: usize = "255", bytes(1..=255);

        /// Entries that may wait for an owner's decision, per session and per channel.
        ///
        /// Above, another entry is refused with the reason `TooManyPending`.
        commands_pending_max: usize = "64", count(1..=65_536);

        /// Bans that one channel remembers.
        ///
        /// Above, the oldest ban is forgotten and whom it named may enter again.
        bans_max: usize = "1024", count(1..=1_000_000);

        /// Links that one session has opened to others.
        ///
        /// Above, another is refused with the reason `TooManyLinks`. A link counts until the session
        /// has read of its end.
        links_max: usize = "1024", count(1..=1_000_000);

        /// Links that others have opened to one session.
        ///
        /// Above, another is refused with the reason `TooManyLinks`, which the one who opens it
        /// hears. Raise it for a program that serves more clients than that at a time.
        links_accepted_max: usize = "65536", count(1..=10_000_000);

        /// The same, for links that the sessions of one address have opened.
        ///
        /// Above, another is refused with the reason `TooManyLinks`, so that nobody takes all places of
        /// somebody else. As with all bounds of one address, sessions of one client that its credentials
        /// name share it too, wherever they come from (docs/authentication.md). Addresses of the loopback
        /// range have no bound here while `limits.loopback_exempt` is true.
        links_accepted_per_address_max: usize = "0",
            count(0..=10_000_000).zero("one part in 8 of limits.links_accepted_max");

        /// Services that one session may provide.
        ///
        /// Above, another is refused with the reason `TooManyServices`.
        services_max: usize = "64", count(1..=65_536);

        /// Questions of one session to the hub itself that may wait for their answers.
        ///
        /// Nothing is lost above it: the session is not read until one of them is answered or given
        /// up. The same holds while answers fill half of its outbox.
        asks_pending_max: usize = "1024", count(1..=1_000_000);

        /// Connections of the whole hub.
        ///
        /// Above, a new connection is closed at once. The limit of open files of the process must
        /// be higher.
        connections_max: usize = "100000", count(1..=10_000_000);

        /// Connections from one address.
        ///
        /// Above, a new connection from it is closed at once. All who share a router or a proxy
        /// count as one address: raise it, or set 0, where many of them play. Behind a proxy that
        /// `server.trusted_proxies` names, its clients are counted each for itself.
        connections_per_address_max: u32 = "256", count(0..=1_000_000).zero("no limit");

        /// How many bits of an IPv4 address tell who it is, for limits and bans.
        ///
        /// With 24 a whole network of 256 addresses counts as one.
        ipv4_prefix: u8 = "32", count(8..=32);

        /// How many bits of an IPv6 address tell who it is, for limits and bans.
        ///
        /// A client that has one address has, as a rule, all that begin with the same 64 bits, and often
        /// those with the same 56 or 48.
        ipv6_prefix: u8 = "64", count(16..=128);

        /// Whether connections from the same machine are free from some limits.
        ///
        /// Addresses of the loopback range are then exempt from `limits.connections_per_address_max`,
        /// `limits.messages_per_second_max`, `limits.bytes_per_second_max`,
        /// `limits.memory_per_address_bytes_max`, `limits.channels_per_address_max`,
        /// `limits.links_accepted_per_address_max`, `rooms.per_address_max`,
        /// `auth.checks_waiting_per_address_max` and `auth.wrong_pause_ms`, and an owner's ban by address
        /// does not hold for them, only that of the peer id. Behind a proxy on the same machine every client
        /// seems to have such an address, unless `server.trusted_proxies` names it: when true these limits
        /// then bind nobody, when false all clients share one `limits.connections_per_address_max`.
        loopback_exempt: bool = "true", switch();

        /// How long a connection may take to say what it is, in milliseconds.
        ///
        /// A connection that has not finished its handshake by then is closed with the reason
        /// `HandshakeTimeout`.
        handshake_ms_max: Duration = "5000", millis(100..=600_000);

        /// How long a client may be silent inside a WebSocket before its first word, in milliseconds.
        ///
        /// Then it is closed with the reason `HandshakeTimeout`. It holds where peote programs are served,
        /// which speak as soon as they are connected but may be slow at that; if `peote.enabled` is false,
        /// it is `limits.handshake_ms_max`. Pings do not count as words.
        first_words_ms_max: Duration = "0",
            millis(0..=HOUR_MS).zero("three times limits.handshake_ms_max");

        /// How long a session may be silent, in seconds.
        ///
        /// Then it is closed with the reason `IdleTimeout`. Peote programs send nothing by
        /// themselves and may rightly be silent for hours; a vanished native client is found by
        /// `limits.heartbeat_ms` without this.
        idle_s_max: Duration = "0", seconds(0..=YEAR_S).zero("never");

        /// How often a silent client is asked for a sign of life, in milliseconds.
        ///
        /// See `limits.heartbeat_missed_max`. Peote programs are not asked. A native client may wish
        /// for another interval, within `limits.heartbeat_ms_min` and `limits.heartbeat_ms_max`, or
        /// for none. For sessions that can go on over another connection it is
        /// `resume.heartbeat_ms` that finds a lost one. How long the answers take is in the metric
        /// `round_trip_seconds`.
        heartbeat_ms: Duration = "15000", millis(100..=HOUR_MS);

        /// Heartbeats in a row that a client may leave unanswered.
        ///
        /// Then the session is closed with the reason `HeartbeatLost`.
        heartbeat_missed_max: u32 = "2", count(1..=100);

        /// The shortest heartbeat interval that a client can have by wishing for it, in milliseconds.
        ///
        /// A shorter one becomes this, so that nobody makes the hub ask without end. What
        /// `limits.heartbeat_ms` and `resume.heartbeat_ms` say can be had even if it is shorter.
        heartbeat_ms_min: Duration = "1000", millis(10..=HOUR_MS);

        /// The longest heartbeat interval that a client can have by wishing for it, in milliseconds.
        ///
        /// A longer one becomes this. A client that has vanished is noticed after this times
        /// `limits.heartbeat_missed_max` and one; set it to `limits.heartbeat_ms` if no client may
        /// put that off. What `limits.heartbeat_ms` and `resume.heartbeat_ms` say can be had even if
        /// it is longer. Where `limits.idle_s_max` is set, half of that is the longest.
        heartbeat_ms_max: Duration = "300000", millis(10..=HOUR_MS);

        /// Whether a client that wishes for no heartbeats gets none.
        ///
        /// If false, or where `limits.idle_s_max` is set, it is asked as seldom as may be. If true, a
        /// client that has vanished without a word is noticed by the system (over TCP after about two
        /// minutes), when something is sent to it, or when another one comes with its name or id.
        heartbeat_off: bool = "false", switch();

        /// How long a session may take to show that it lives when that is doubted, in milliseconds.
        ///
        /// Who comes with the name or id of another session is refused, unless `peers.duplicates` or
        /// a proof of the id says something else. But it may be the same client, whose connection was
        /// lost without the hub's noticing. So the other session is asked for a sign of life at once,
        /// and if none comes in this time it is closed with the reason `HeartbeatLost`: a client that tries
        /// again then is let in. A session is asked like this no more than once in this time. One that
        /// can go on over another connection is not asked, and keeps its `resume.window_ms`. Raise it
        /// where clients that live may not answer for longer: a client that comes with their name ends them.
        probe_ms_max: Duration = "3000", millis(0..=600_000).zero("nobody is asked");

        /// Sessions of one address or identity that many who watch are told of in a second.
        ///
        /// It bounds what somebody who comes and goes under changing ids costs all others; what was saved in
        /// 16 s may be used at once. Who comes above that is told of later, and is not found by those who
        /// look who is there before; links to it can be opened at once. It holds where more than 64 sessions
        /// watch, and not for addresses that are exempt (`limits.loopback_exempt`).
        announced_per_second_max: u32 = "16", count(0..=1_000_000).zero("no limit");

        /// Messages and other commands that one session may send in a second.
        ///
        /// Nothing is lost above it: the session is read no faster, so that its sender slows down.
        /// Requests of a connection that speaks HTTP count like this as well.
        messages_per_second_max: u64 = "20000", count(0..=1_000_000_000).zero("no limit");

        /// Bytes that one session may send in a second.
        ///
        /// Nothing is lost above it: the session is read no faster, so that its sender slows down.
        /// Where HTTP is spoken the bytes of the answers count too.
        bytes_per_second_max: u64 = "64MiB", bytes(0..=TIB).zero("no limit");
    }
}
