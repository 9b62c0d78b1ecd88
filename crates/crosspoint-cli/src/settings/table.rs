//! The table: every setting in one place.
//!
//! A row is `name: Type = "default", kind;` and from it follow the field of [`Settings`], the key
//! in the file, the name in the environment, the flag (the name with dashes unless the row gives
//! one), the help and the reference page. The first paragraph of a row's comment is its short
//! help; the rest says what the setting bounds and what happens at the bound.

use super::kind::{
    LogFormat, address_list, bytes, count, log_filter, millis, seconds, secret, switch, text, words,
};
use super::rooms::{CHUNK_BYTES, DeclaredRooms, ROOM_MEMBERS, Room};
use super::row::{Declared, Row, Section, Typed};
use std::sync::LazyLock;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const HOUR_MS: u64 = 3_600_000;
const YEAR_S: u64 = 365 * 24 * 3600;

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident: $Section:ident {$(
            $(#[doc = $doc:literal])*
            $name:ident: $type:ty = $default:literal, $kind:expr $(, flag $flag:literal)?;
        )*}
    )*) => {
        /// The settings of the program, in the sections of the file. Where a setting says that 0
        /// has a meaning of its own, the field holds 0.
        #[derive(Clone, Default, PartialEq)]
        pub(crate) struct Settings {$(
            $(#[doc = $section_doc])*
            pub(crate) $section: $Section,
        )*}

        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Default, PartialEq)]
            pub(crate) struct $Section {$(
                $(#[doc = $doc])*
                pub(crate) $name: $type,
            )*}
        )*

        /// The sections and their rows, in the order of help, file and reference.
        pub(super) static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| vec![$(
            Section::new(stringify!($section), &[$($section_doc),*], vec![$(
                Row::new(
                    Declared {
                        key: concat!(stringify!($section), ".", stringify!($name)),
                        doc: &[$($doc),*],
                        default: $default,
                        flag: &[$($flag)?],
                    },
                    Typed {
                        kind: $kind,
                        get: |settings| &settings.$section.$name,
                        field: |settings| &mut settings.$section.$name,
                    },
                ),
            )*]),
        )*]);
    };
}

settings! {
    /// Where the program listens and what it is called.
    server: Server {
        /// Addresses to listen on, each HOST:PORT.
        ///
        /// Every address serves all protocols and transports. Port 0 picks a free port, which the
        /// log names at the start. An IPv6 address stands in brackets: `[::]:7680`. The program
        /// ends with an error if it cannot listen on one of them.
        listen: Vec<String> = "0.0.0.0:7680", address_list();

        /// Name of this hub, shown to clients.
        ///
        /// Native clients receive it when they are welcomed. It has no other effect; at most 255
        /// bytes.
        name: String = "", text(255);

        /// Secret that native clients must present; empty lets everybody in.
        ///
        /// A native client without it is refused with the reason `NotAllowed`. Programs that speak
        /// another protocol have no field for it: where only known clients may enter, set
        /// `peote.enabled` to false as well. Other users of the machine can read flags, so prefer
        /// the environment or a file. At most 255 bytes.
        access_token: String = "", secret(255);

        /// How long a stop may take, in milliseconds.
        ///
        /// On a stop the hub accepts nothing new, tells every session that it stops and writes what
        /// waits in the outboxes. Sessions that have not taken everything by then are cut off.
        stop_ms_max: Duration = "5000", millis(0..=600_000).zero("cut off at once");

        /// Threads that serve the sessions.
        ///
        /// More than there are cores gains nothing; fewer leave room for other programs.
        threads: usize = "0", count(0..=1024).zero("one per core");
    }

    /// What the program writes to its log (standard error).
    log: Log {
        /// How much is logged: a level, or directives for parts of the program.
        ///
        /// A level is off, error, warn, info, debug or trace, and includes those before it. A list
        /// such as `info,crosspoint_net=debug` gives single parts a level of their own.
        level: String = "info", log_filter(), flag "log";

        /// How log lines look: text for people, json for machines.
        ///
        /// With json every line is one object.
        format: LogFormat = "text",
            words(&[("text", LogFormat::Text), ("json", LogFormat::Json)]), flag "log-format";
    }

    /// What is answered to plain HTTP requests on the listening addresses.
    http: Http {
        /// Whether GET /metrics answers with the metrics, in the Prometheus text format.
        ///
        /// Anyone who can connect can read them. When false the path does not exist.
        metrics: bool = "true", switch();

        /// Whether GET /health answers while the hub runs.
        ///
        /// For load balancers and supervisors. When false the path does not exist.
        health: bool = "true", switch();
    }

    /// Programs written with peote-net.
    peote: Peote {
        /// Whether programs written with peote-net may connect.
        ///
        /// They know no access token. When false their connections are closed as those of an
        /// unknown protocol.
        enabled: bool = "true", switch(), flag "peote";
    }

    /// Channels that the hub owns, in which whatever a member sends reaches the others.
    rooms: Rooms {
        /// Whether a room is made when somebody enters a name that does not exist.
        ///
        /// Such a room ends with its last member. When false only declared rooms exist, and
        /// entering any other name is refused with the reason `NoSuchName`.
        create_on_entry: bool = "true", switch();

        /// Rooms that may be made on entry at the same time.
        ///
        /// Above, an entry that would make a room is refused with the reason `TooManyChannels`;
        /// existing rooms can still be entered. Declared rooms do not count.
        count_max: usize = "10000", count(0..=10_000_000), flag "room-count-max";

        /// Members of one room.
        ///
        /// Above, an entry is refused with the reason `Full`. A declared room may give its own
        /// number.
        members_max: u32 = "10000", count(ROOM_MEMBERS), flag "room-members-max";

        /// Largest message in a room, in bytes.
        ///
        /// A larger message ends its sender's session with the reason `TooLarge`. Peote programs in
        /// the room must set the same chunk size (their default is 32KiB): it decides how the
        /// length of a chunk is written, and ends that differ misread each other. A declared room
        /// may give its own number.
        chunk_bytes_max: u32 = "32KiB", bytes(CHUNK_BYTES), flag "room-chunk-bytes-max";

        /// Rooms that exist from the start, also while they are empty.
        ///
        /// Each is a table `[[rooms.declared]]` in the file:
        ///
        /// - `name`: 1 to 255 bytes, different from the others; required
        ///
        /// - `mode`: `"chunk"` (default) keeps the borders of messages, `"raw"` passes bytes on as
        ///   they come
        ///
        /// - `members_max`: as `rooms.members_max`, which is its default
        ///
        /// - `chunk_bytes_max`: as `rooms.chunk_bytes_max`, which is its default; without effect
        ///   when the mode is raw
        declared: Vec<Room> = "", DeclaredRooms;
    }

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

        /// Bytes that may wait to be written to one session.
        ///
        /// At half of it, senders whose messages go to this session alone are read no further until
        /// it has caught up. When it is full the session is disconnected with the reason
        /// `SlowReceiver`, so that one slow reader holds up nobody else. A single broadcast or room
        /// message has to fit into it. Raise it for large bursts; in the worst case every session
        /// occupies this much memory.
        outbox_bytes_max: usize = "4MiB", bytes(256 * KIB..=GIB);

        /// How long a session may take nothing while something waits for it, in milliseconds.
        ///
        /// Then it is disconnected with the reason `SlowReceiver`.
        outbox_stall_ms_max: Duration = "30000", millis(100..=HOUR_MS);

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

        /// Connections of the whole hub.
        ///
        /// Above, a new connection is closed at once. The limit of open files of the process must
        /// be higher.
        connections_max: usize = "100000", count(1..=10_000_000);

        /// Connections from one address.
        ///
        /// Above, a new connection from it is closed at once. All who share a router or a proxy
        /// count as one address: raise it, or set 0, where many of them play.
        connections_per_address_max: u32 = "64", count(0..=1_000_000).zero("no limit");

        /// Whether connections from the same machine are free from some limits.
        ///
        /// Addresses of the loopback range are then exempt from
        /// `limits.connections_per_address_max`, `limits.messages_per_second_max` and
        /// `limits.bytes_per_second_max`. Behind a proxy on the same machine every client seems to
        /// have such an address: when true these limits then bind nobody, when false all clients
        /// share one `limits.connections_per_address_max`.
        loopback_exempt: bool = "true", switch();

        /// How long a connection may take to say what it is, in milliseconds.
        ///
        /// A connection that has not finished its handshake by then is closed with the reason
        /// `HandshakeTimeout`.
        handshake_ms_max: Duration = "5000", millis(100..=600_000);

        /// How long a session may be silent, in seconds.
        ///
        /// Then it is closed with the reason `IdleTimeout`. Peote programs send nothing by
        /// themselves and may rightly be silent for hours; a vanished native client is found by
        /// `limits.heartbeat_ms` without this.
        idle_s_max: Duration = "0", seconds(0..=YEAR_S).zero("never");

        /// How often a silent native client is asked for a sign of life, in milliseconds.
        ///
        /// See `limits.heartbeat_missed_max`. Other protocols are not asked.
        heartbeat_ms: Duration = "15000", millis(100..=HOUR_MS);

        /// Heartbeats in a row that a native client may leave unanswered.
        ///
        /// Then the session is closed with the reason `HeartbeatLost`.
        heartbeat_missed_max: u32 = "2", count(1..=100);

        /// Messages and other commands that one session may send in a second.
        ///
        /// Nothing is lost above it: the session is read no faster, so that its sender slows down.
        messages_per_second_max: u64 = "20000", count(0..=1_000_000_000).zero("no limit");

        /// Bytes that one session may send in a second.
        ///
        /// Nothing is lost above it: the session is read no faster, so that its sender slows down.
        bytes_per_second_max: u64 = "64MiB", bytes(0..=TIB).zero("no limit");
    }
}
