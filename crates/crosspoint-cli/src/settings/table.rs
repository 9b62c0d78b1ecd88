//! The table: every setting in one place.
//!
//! A row is `name: Type = "default", kind;` and from it follow the field of [`Settings`], the key
//! in the file, the name in the environment, the flag (the name with dashes unless the row gives
//! one), the help and the reference page. The first paragraph of a row's comment is its short
//! help; the rest says what the setting bounds and what happens at the bound.

use super::channels::ChannelRule;
use super::kind::{
    LogFormat, auto_switch, bytes, count, file_path, log_filter, millis, peer_id, seconds, secret,
    switch, text, words,
};
use super::lists::{
    address_list, directories, host_list, name_patterns, network_list, optional_address_list,
    origin_list,
};
use super::rooms::{CHUNK_BYTES, ROOM_MEMBERS, Room};
use super::row::{Declared, Row, Section, Typed};
use super::tables::tables;
use crosspoint_hub::PeerId;
use crosspoint_hub::peers::Duplicates;
use crosspoint_net::resume::RETAINED_BYTES;
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
        /// program names at the start. An IPv6 address stands in brackets: `[::]:7680`, which takes
        /// IPv4 too unless an IPv4 address with the same port is in the list. `localhost` is
        /// 127.0.0.1 and ::1, at the same port. The program ends with an error if it cannot listen
        /// on one of them.
        listen: Vec<String> = "0.0.0.0:7680", address_list();

        /// Name of this hub, shown to clients.
        ///
        /// Native clients receive it when they are welcomed. It has no other effect; at most 255
        /// bytes.
        name: String = "", text(255);

        /// The hub's own id, 32 hexadecimal digits; made at random at each start if empty.
        ///
        /// Programs written with AnySocket know the hub by it: HTTP answers carry it in the header
        /// `Anysocket-Id`. Set it where they are to find the same hub after a restart, or behind
        /// one of several addresses. `openssl rand -hex 16` makes one.
        id: Option<PeerId> = "", peer_id();

        /// Secret that clients must present; empty lets everybody in.
        ///
        /// Native clients give it as their token, AnySocket programs as their `auth`. Without it
        /// they are refused with the reason `NotAllowed`, as often as they try: it should be long and
        /// made at random (`openssl rand -base64 24`). Peote programs have nothing to present
        /// and are not served then, unless `peote.enabled` is true. It cannot be set together with a file of `[auth]`. Other users of
        /// the machine can read flags, so prefer the environment or a file. At most 255 bytes, on one
        /// line; its line end is not part of it. SIGHUP lets the program read it again.
        access_token: String = "", secret(255);

        /// Networks of the proxies that are believed when they tell for whom they speak.
        ///
        /// From these the headers `X-Forwarded-For` or `Forwarded` of a request, and the header of the
        /// PROXY protocol (versions 1 and 2) of any connection, give the address that limits, bans and
        /// the log know (docs/http.md). From others such headers of requests are not heeded, and a
        /// connection that begins with a PROXY header is closed. Without this, everybody behind a proxy
        /// has the proxy's address.
        trusted_proxies: Vec<String> = "", network_list();

        /// How long a stop may take, in milliseconds.
        ///
        /// On a stop the hub accepts nothing new, tells every session that it stops and writes what
        /// waits in the outboxes. Sessions that have not taken everything by then are cut off. A session
        /// that ends while the hub runs may take as long, and two seconds in any case.
        stop_ms_max: Duration = "5000", millis(0..=600_000).zero("cut off at once");

        /// Threads that serve the sessions.
        ///
        /// More than there are cores gains nothing; fewer leave room for other programs.
        threads: usize = "0", count(0..=1024).zero("one per core");
    }

    /// Who may enter (see docs/authentication.md).
    auth: Auth {
        /// File of shared secrets that let clients in, in TOML.
        ///
        /// A client presents `NAME:SECRET` as its token; the file holds a hash of each secret, as
        /// `crosspoint hash-secret` prints it, and what its bearer may do. Where this or
        /// `auth.jwt_keys` is set, a client that neither of them knows is refused with the reason
        /// `NotAllowed`; programs written with peote-net have no token and are not served, unless
        /// `peote.enabled` is true. The program does not start with a file that is wrong. SIGHUP lets it read the file again; if
        /// that is wrong then, the old one stays in force, and the log says so.
        secrets_file: String = "", file_path();

        /// File of the keys of signed tokens (JWT) that let clients in, in TOML.
        ///
        /// A client presents a token that was signed with one of the keys, has not expired, and
        /// says what its bearer may do. Set together with `auth.secrets_file`, the secrets are
        /// asked first. As with these, the program does not start with a file that is wrong, and
        /// reads it again on SIGHUP.
        jwt_keys: String = "", file_path();

        /// Whether a session ends when its signed token expires.
        ///
        /// It ends with the reason `Expired`, as soon as the token would not be accepted any more:
        /// half a minute after its `exp`. Its client can come back with a new token. When false a
        /// token is looked at only when a session begins.
        expiry_ends_sessions: bool = "true", switch(), flag "auth-expiry-ends-sessions";

        /// Shared secrets that are checked at the same time.
        ///
        /// Each check takes a core, and the memory that its hash asks for: 19 MiB for some hundredths
        /// of a second, as `crosspoint hash-secret` makes them. The others wait. Their networks,
        /// addresses and names take turns, so that a flood from some of these does not keep others out;
        /// three turns of four are for addresses that have given no wrong secret in the last minute,
        /// if such wait.
        checks_max: usize = "0", count(0..=1024).zero("one per core"), flag "auth-checks-max";

        /// For how long a shared secret that was right is let in again without a check, in seconds.
        ///
        /// So a flood of wrong secrets does not keep out who has come lately. Of each secret of the
        /// file a keyed hash is kept, in memory alone; reading the file again forgets all of them. The
        /// time begins with the check.
        remembered_s: Duration = "300", seconds(0..=86_400).zero("check each time"),
            flag "auth-remembered-s";

        /// Checks of shared secrets that may wait for their turn.
        ///
        /// Above, a newcomer takes the place of an address that has given a wrong secret in the last
        /// minute, or the last place of the network, the address or the name of which the most wait.
        /// Who has no place, or has lost it, is refused with the reason `Busy` and may try again.
        /// Who waits longer than `limits.handshake_ms_max` is refused anyway.
        checks_waiting_max: usize = "128", count(0..=100_000), flag "auth-checks-waiting-max";

        /// Checks of shared secrets from one address that may wait for their turn.
        ///
        /// Above, another one is refused with the reason `Busy`. Of an IPv6 address the first half
        /// counts, that is a whole network. Addresses of the loopback range have no such limit if
        /// `limits.loopback_exempt` is set. Raise it where many come at once through one router or
        /// proxy.
        checks_waiting_per_address_max: usize = "16", count(0..=100_000),
            flag "auth-checks-waiting-per-address-max";

        /// Pause of an address after each wrong shared secret above ten, in milliseconds.
        ///
        /// The next secret from this address is checked after it, so that guessing is slow; one
        /// wrong secret is forgiven after each pause. The same one tried again and again counts
        /// once. Others of the address wait too: with pauses that are not far below
        /// `limits.handshake_ms_max`, somebody who guesses can keep them out. Addresses of the
        /// loopback range do not pause if `limits.loopback_exempt` is set. Whatever this is, guesses at the
        /// secrets of `auth.remembered_s` are one a second above ten; others are checked slowly.
        wrong_pause_ms: Duration = "1000", millis(0..=60_000).zero("none"),
            flag "auth-wrong-pause-ms";
    }

    /// What a client may do if nothing else says so.
    permissions: Permitted {
        /// Names of the channels that a client may create.
        ///
        /// `*` is all, and at the end of a name any ending: `arena-*` (a shell wants it in quotation
        /// marks). An empty list allows none. Another name is refused with the reason `NotAllowed`.
        /// A file of `[auth]`, or a token that it accepts, may say something else; what both leave
        /// out is taken from here, and so it is with all of `[permissions]`.
        create: Vec<String> = "*", name_patterns(), flag "permit-create";

        /// Names of the channels and rooms that a client may enter.
        ///
        /// Patterns as in `permissions.create`. Another name is refused with the reason
        /// `NotAllowed`.
        enter: Vec<String> = "*", name_patterns(), flag "permit-enter";

        /// Names of the peers that a client may link to, and of the services that it may use.
        ///
        /// Patterns as in `permissions.create`. Others are refused with the reason `NotAllowed`. A
        /// peer without a name is reached under `*` alone.
        reach: Vec<String> = "*", name_patterns(), flag "permit-reach";

        /// Names of the services that a client may provide.
        ///
        /// Patterns as in `permissions.create`. Another name is refused with the reason
        /// `NotAllowed`.
        provide: Vec<String> = "*", name_patterns(), flag "permit-provide";

        /// Whether a client may ask who is connected and hear of coming and going.
        ///
        /// When false both are refused with the reason `NotAllowed`. Members of a channel still see
        /// each other.
        presence: bool = "true", switch(), flag "permit-presence";
    }

    /// Clients that others find by name or id.
    peers: Peers {
        /// What happens when a client comes with the name or id of another: refuse or replace.
        ///
        /// With refuse the new one is refused with the reason `NameTaken` or `IdTaken`, and the old
        /// one has to show that it lives (`limits.probe_ms_max`). With replace the old one is disconnected with the reason `Replaced`, which suits clients that
        /// come back before the hub has noticed that they were gone. An id whose key was proven
        /// always wins over one that was only claimed, and never loses to it.
        duplicates: Duplicates = "refuse",
            words(&[("refuse", Duplicates::Refuse), ("replace", Duplicates::Replace)]),
            flag "peer-duplicates";
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
        /// With json every line is one object. In both, letters that would command a terminal or
        /// turn text around are escaped.
        format: LogFormat = "text",
            words(&[("text", LogFormat::Text), ("json", LogFormat::Json)]), flag "log-format";

        /// Bytes of log lines that may wait to be written.
        ///
        /// The log never holds up the hub: lines that find no room, because standard error is read
        /// slowly or not at all, are dropped, and so are those that cannot be written. The metric
        /// `log_lines_dropped` counts them, and the next line that is written says how many.
        buffer_bytes_max: usize = "1MiB", bytes(4 * KIB..=GIB), flag "log-buffer-bytes-max";
    }

    /// What is answered to plain HTTP requests on the listening addresses.
    http: Http {
        /// Origins, besides its own host, whose web pages may open WebSockets to the hub.
        ///
        /// Pages that were served under the same host name as the hub, at any port, may in any case.
        /// Those of another origin are answered with 403 unless it stands here: a game at
        /// `https://game.example` that connects to a hub at `hub.example` needs
        /// `--http-origins https://game.example`. `null` are pages without an origin, such as files
        /// opened from a disk, and `*` is all. Programs that are no browsers say no origin and are
        /// not asked. The same holds for requests that change something.
        origins: Vec<String> = "", origin_list(), flag "http-origins";

        /// Names under which pages may use the hub from browsers in its own network.
        ///
        /// Somebody can let a name of his own lead to a machine in the network of his visitors (DNS
        /// rebinding). So where the browser is at a loopback or private address, or its address begins
        /// as that at which it has reached the hub (48 bits of IPv6, 24 of IPv4), the hub's name has to
        /// be an address, `localhost`, a name without a dot or under `.localhost`, `.local` or
        /// `.internal`, or stand here. Others are answered with 403, unless `http.origins` names the
        /// origin of the page. Name the hub's own public name here if pages under it have visitors
        /// in the hub's network.
        hosts: Vec<String> = "", host_list(), flag "http-hosts";

        /// Whether GET /metrics answers with the metrics, for Prometheus.
        ///
        /// It speaks the text format, or OpenMetrics to those that prefer it.
        /// Anyone who can connect can read them, unless `http.metrics_listen` or `http.metrics_token` is
        /// set. When false the path does not exist.
        metrics: bool = "true", switch();

        /// Whether GET /health answers while the hub runs, and GET /ready while it has room.
        ///
        /// For load balancers and supervisors. /ready says 503 while the hub stops, or has as many
        /// connections as `limits.connections_max`. When false neither path exists.
        health: bool = "true", switch();

        /// Directories whose files are served, each PATH=DIRECTORY.
        ///
        /// With `/assets=/srv/game` a request for /assets/a.png is answered with /srv/game/a.png;
        /// the path `/` is everything. The longest path that fits is taken, after /health, /metrics
        /// and the bundle of AnySocket. A path that ends in a slash is answered with its
        /// index.html; directories are never listed, symbolic links are followed. Anyone who can
        /// connect can read the files. A directory with a comma in its name can be set in a file
        /// only. The program does not start if one of them is no directory.
        files: Vec<String> = "", directories(), flag "http-files";

        /// Whether files are served whose names begin with a dot.
        ///
        /// The same holds for what is in directories with such names. They are often not meant for others:
        /// `.git`, `.env`. What is under `/.well-known` is served in any case.
        files_dot: bool = "false", switch(), flag "http-files-dot";

        /// Header Cache-Control of served files; empty for none.
        ///
        /// Such as `max-age=3600`. Without it browsers decide by themselves for how long they keep a file.
        files_cache_control: String = "", text(255), flag "http-files-cache-control";

        /// Whether served pages are isolated from pages of other origins.
        ///
        /// They get `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy:
        /// require-corp`. Games that use threads in the browser need that; pages that include files
        /// of others without their consent do not work with it.
        files_isolated: bool = "false", switch(), flag "http-files-isolated";

        /// Origin whose pages may read served files; * for all, empty for our own only.
        ///
        /// It is the header Access-Control-Allow-Origin, such as `https://example.org`.
        files_cors: String = "", text(255), flag "http-files-cors";

        /// Whether files that were compressed beforehand are served in the place of others.
        ///
        /// For `a.js` that is `a.js.br`, `a.js.zst` or `a.js.gz`, to browsers that take it.
        files_precompressed: bool = "false", switch(), flag "http-files-precompressed";

        /// Addresses of their own for the metrics, each HOST:PORT; empty to answer on all addresses.
        ///
        /// Then /metrics is there alone and no longer at the addresses of `server.listen`. Nothing else is
        /// served there but /health and /ready, which stay at the others as well. Addresses are
        /// written as those of `server.listen`. Connections count and are bounded as all others. With
        /// `http.metrics` false nobody listens there.
        metrics_listen: Vec<String> = "", optional_address_list(), flag "http-metrics-listen";

        /// Token that /metrics has to be asked with; empty lets everybody read them.
        ///
        /// It is given as `Authorization: Bearer TOKEN`, which Prometheus calls `authorization.credentials`.
        /// Without it the answer is 401.
        metrics_token: String = "", secret(255), flag "http-metrics-token";

        /// The browser bundle of AnySocket, answered at /@anysocket.
        ///
        /// A file of JavaScript that holds AnySocket for web pages; AnySocket's own server answers
        /// with it at the same path. If empty the path does not exist. The program does not start
        /// if the file cannot be read.
        anysocket_bundle: String = "", file_path();

        /// How long the head of a request may take from its first byte to its last, in milliseconds.
        ///
        /// Then the connection is closed. A first request has `limits.handshake_ms_max` from the beginning of
        /// its connection as well.
        head_ms_max: Duration = "5000", millis(100..=HOUR_MS), flag "http-head-ms-max";

        /// How long a connection may be idle between two requests, in milliseconds.
        ///
        /// Then it is closed. Proxies keep idle connections for 60 seconds, most of them; this should be
        /// longer than theirs, or a request may reach a connection that is just being closed.
        keep_alive_ms: Duration = "75000", millis(0..=HOUR_MS).zero("closed after each answer"),
            flag "http-keep-alive-ms";

        /// Largest body of a request, in bytes.
        ///
        /// A larger one is answered with the status 413.
        body_bytes_max: usize = "1MiB", bytes(0..=GIB), flag "http-body-bytes-max";

        /// How long the body of a request may take to arrive, in milliseconds.
        ///
        /// Then it is not waited for any longer, and the connection is closed after the answer.
        body_ms_max: Duration = "30000", millis(100..=HOUR_MS), flag "http-body-ms-max";
    }

    /// Programs written with peote-net.
    peote: Peote {
        /// Whether programs written with peote-net may connect.
        ///
        /// They cannot present credentials. So with auto they may only where nobody has to: as long as
        /// neither `server.access_token` nor a file of `[auth]` is set. With true they may in any
        /// case, without credentials and with what `[permissions]` say. Otherwise their connections are
        /// closed, and the log says why.
        enabled: Option<bool> = "auto", auto_switch(), flag "peote";
    }

    /// Programs written with AnySocket.
    anysocket: AnySocket {
        /// Whether programs written with AnySocket may connect.
        ///
        /// They come over WebSocket. As their `auth` they have to present what
        /// `server.access_token` or the files of `[auth]` demand. When false their connections are
        /// closed as those of an unknown protocol.
        enabled: bool = "true", switch(), flag "anysocket";

        /// What the hub presents to programs that check it, as their `onAuth` does; nothing if empty.
        ///
        /// It is the `auth` of the hub's AUTH packet: a text, or a JSON object if it begins with `{`.
        /// A program that expects something else leaves the hub again. It goes to every program that
        /// is let in, over a connection that is not encrypted yet, so it should not be a secret that
        /// opens anything else. At most 1024 bytes.
        auth: String = "", secret(1024), flag "anysocket-auth";

        /// Whether the hub begins to encrypt each connection by itself.
        ///
        /// It does so a tenth of a second after it has let the program in, and says nothing to it
        /// before. Programs need AnySocket 0.4.22 or newer, in a browser also a page from https or
        /// localhost; a connection that is not encrypted within five seconds is closed with the
        /// reason `HandshakeTimeout`. They may encrypt themselves as soon as they are connected, but
        /// not later, as AnySocket breaks a connection that is encrypted twice. This keeps out who
        /// only listens, and is no substitute for TLS.
        encrypt: bool = "false", switch(), flag "anysocket-encrypt";
    }

    /// Native sessions that go on over another connection when theirs is lost (see docs/resume.md).
    resume: Resume {
        /// Whether sessions can go on over another connection when theirs is lost.
        ///
        /// A client asks for it; the others are served as without it. When false, connections of
        /// clients that ask for it are closed as those of an unknown protocol.
        enabled: bool = "true", switch(), flag "resume";

        /// How long the session of a lost connection waits for another one, in milliseconds.
        ///
        /// Then it ends with the reason `ConnectionLost`, as it would have at once without this.
        /// Until then it keeps its channels, links and name, and what is sent to it waits. The
        /// members of its channels hear that it is away, and when it is back.
        window_ms: Duration = "20000", millis(100..=HOUR_MS), flag "resume-window-ms";

        /// Sessions of the whole hub that may wait at the same time.
        ///
        /// Above, a session whose connection is lost ends at once. The same happens if of its
        /// address as many wait as `limits.connections_per_address_max` says.
        detached_max: usize = "10000", count(1..=10_000_000), flag "resume-detached-max";

        /// Bytes of one session, in each direction, that may be under way unacknowledged.
        ///
        /// Above, nothing more is taken from the session, and its outbox fills as that of any slow
        /// reader. A client that sends more than this breaks the protocol, and its session ends
        /// with the reason `Malformed`. In the worst case every session that can go on occupies
        /// four times this and 400 KiB, besides its outbox.
        retained_bytes_max: u32 = "1MiB",
            bytes(u64::from(RETAINED_BYTES.0)..=u64::from(RETAINED_BYTES.1)),
            flag "resume-retained-bytes-max";

        /// After how much silence a sign of life is asked for, in milliseconds.
        ///
        /// After three times this the connection is taken for lost, and its session waits for
        /// another one. Clients keep to the same times.
        heartbeat_ms: Duration = "5000", millis(100..=HOUR_MS), flag "resume-heartbeat-ms";

        /// Sessions that are remembered after their end.
        ///
        /// A client that comes back too late hears from it what was lost. Above, the oldest is
        /// forgotten, and its client hears only that the session is unknown.
        tombstones_max: usize = "10000", count(0..=10_000_000).zero("none is remembered"),
            flag "resume-tombstones-max";

        /// How long a session is remembered after its end, in seconds.
        ///
        /// Then it is forgotten, as above `resume.tombstones_max`.
        tombstone_s: Duration = "600", seconds(1..=YEAR_S), flag "resume-tombstone-s";
    }

    /// Channels that the hub owns, in which whatever a member sends reaches the others.
    rooms: Rooms {
        /// Whether a room is made when somebody enters a name that does not exist.
        ///
        /// Such a room ends with its last member. When false only declared rooms exist, and
        /// making another is refused with the reason `NotAllowed`.
        create_on_entry: bool = "true", switch();

        /// Rooms that may be made on entry at the same time.
        ///
        /// Above, an entry that would make a room is refused with the reason `TooManyChannels`;
        /// existing rooms can still be entered. Declared rooms do not count.
        count_max: usize = "10000", count(0..=10_000_000), flag "room-count-max";

        /// Rooms that the sessions of one address have made by entering them.
        ///
        /// As `limits.channels_per_address_max`, for rooms that are still there.
        per_address_max: usize = "0", count(0..=10_000_000).zero("one part in 8 of rooms.count_max"), flag "rooms-per-address-max";

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
        declared: Vec<Room> = "", tables();
    }

    /// Rules for channels and rooms by their names.
    channels: Channels {
        /// What holds for channels and rooms whose names match.
        ///
        /// Each is a table `[[channels]]` in the file. The first whose name matches holds, and no
        /// other; what a rule does not say is as for all. Each refusal and each bound is counted in
        /// `limit_hits` under `channels.` and the name of the field (`create` and `enter` without
        /// `_by` and `_from`).
        ///
        /// - `name`: a name, or a beginning of names with a `*` at its end; required
        ///
        /// - `members_max`: members, if fewer than `limits.members_max` or `rooms.members_max`.
        ///   Above: refused with the reason `Full`
        ///
        /// - `message_bytes_max`: the largest message; of a peote program the largest frame. A larger
        ///   one ends its sender's session with the reason `TooLarge`
        ///
        /// - `waiting_bytes_max`: bytes that may wait for its members, each counted once, if fewer than
        ///   `limits.channel_bytes_max`. Above: the member that lags most is disconnected with
        ///   `SlowReceiver`
        ///
        /// - `messages_per_second_max`, `bytes_per_second_max`: what one member may send there.
        ///   Above, its session is read more slowly; nothing is lost. Messages of peote programs are
        ///   frames. Leaving and entering again gives nothing back; a new session begins anew
        ///
        /// - `create_by`, `create_from`: who may create such a channel, make such a room by entering it,
        ///   or have the channel as a successor, by the name of the session (patterns, as in `name`; only
        ///   credentials make names certain) or by address (addresses and networks). If one is given,
        ///   others are refused with `NotAllowed`; if both are, it is enough to fit one. An empty list
        ///   fits nobody
        ///
        /// - `enter_by`, `enter_from`: the same for entering
        ///
        /// - `blocked`: addresses and networks that may do neither; refused with `Banned`
        rules: Vec<ChannelRule> = "", tables();
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
        /// `SlowReceiver`, so that one slow reader holds up nobody else. What is for many does not count here,
        /// unless it is small: `limits.channel_bytes_max` bounds it. A single room message has to fit into half
        /// of it.
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
        /// connection. The program takes more than that, see docs/guarantees.md; with less than 1 GiB it takes no
        /// huge pages from the system, which can be faster and take more. Above, new connections are closed, new channels, memberships, links, services and unfinished
        /// messages are refused with the reason `Exhausted`, and the sessions that hold most are disconnected with the reason
        /// `SlowReceiver`: first those that hold 64 KiB or more and have taken nothing for a second.
        /// `/metrics` shows for what it is used.
        memory_bytes_max: usize = "0", bytes(0..=1024 * TIB).zero("half of the memory of the machine, or of its control group");

        /// The same for all sessions of one address, or of one client.
        ///
        /// A client is known by the claim `sub` of its token, by a name that is granted to it, or by an
        /// id that it has proven, wherever it comes from. Addresses of the loopback range have no bound here while `limits.loopback_exempt` is
        /// true. Without effect above `limits.memory_bytes_max`.
        memory_per_address_bytes_max: usize = "0", bytes(0..=1024 * TIB).zero("one part in 8 of limits.memory_bytes_max");

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
        /// that takes less for longer than a second, so that the others do not wait. The receiver fills up, and is
        /// disconnected with the reason `SlowReceiver`. This begins when half of `outbox_bytes_max` waits for the
        /// receiver.
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
        /// Above, creating another is refused with the reason `TooManyChannels`, so that nobody takes
        /// all that the hub may have. The sessions of one client that its credentials name share it too. `limits.ipv4_prefix` and `limits.ipv6_prefix` say what one
        /// address is. Addresses of the loopback range have no bound here while
        /// `limits.loopback_exempt` is true.
        channels_per_address_max: usize = "0", count(0..=10_000_000).zero("one part in 8 of limits.channels_total_max");

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
        links_accepted_per_address_max: usize = "0", count(0..=10_000_000).zero("one part in 8 of limits.links_accepted_max");

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
        /// Addresses of the loopback range are then exempt from
        /// `limits.connections_per_address_max`, `limits.messages_per_second_max`,
        /// `limits.bytes_per_second_max`, `limits.memory_per_address_bytes_max`,
        /// `limits.channels_per_address_max`, `limits.links_accepted_per_address_max`, `rooms.per_address_max`,
        /// `auth.checks_waiting_per_address_max` and `auth.wrong_pause_ms`, and an owner's ban by address does not hold for them, only
        /// that of the peer id. Behind a proxy on the same machine every client seems to have such
        /// an address, unless `server.trusted_proxies` names it: when true these limits then bind
        /// nobody, when false all clients share one `limits.connections_per_address_max`.
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
