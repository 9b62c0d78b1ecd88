//! The section `[socketio]`.

use super::{HOUR_MS, MIB};
use crate::settings::kind::{bytes, count, millis, request_path, switch, words};
use crate::settings::lists::namespaces;
use crate::settings::row::section;
use crosspoint_net::gateways::Generation;
use std::time::Duration;

section! {
    /// Programs written with Socket.IO, and with socket.io-p2p-plugin (see docs/socketio.md).
    socketio: SocketIo {
        /// Whether programs written with Socket.IO may connect.
        ///
        /// Clients 2 to 4 connect over WebSocket and HTTP requests. A client of version 3 or 4 presents its credentials
        /// in `auth`, an older one as `token` in the query of its address. If false, their requests
        /// get the status 403.
        enabled: bool = "true", switch(), flag "socketio";

        /// Path of the requests of Socket.IO.
        ///
        /// It is the `path` of the options of a client. The hub serves nothing else below it.
        path: String = "/socket.io", request_path(), flag "socketio-path";

        /// Namespaces that clients may enter besides the root.
        ///
        /// Each begins with a slash, such as `/chat`. A client that asks for another one hears
        /// `Invalid namespace`. Their events are for the program that embeds the hub.
        namespaces: Vec<String> = "", namespaces(), flag "socketio-namespaces";

        /// Interval of heartbeats, in milliseconds.
        ///
        /// Clients are told, and wait as long. The hub sends heartbeats to clients of version 3 and 4
        /// and expects them from older ones.
        ping_interval_ms: Duration = "25000", millis(100..=HOUR_MS), flag "socketio-ping-interval-ms";

        /// How long the answer to a heartbeat may take, in milliseconds.
        ///
        /// Above it, the connection is lost.
        ping_timeout_ms: Duration = "20000", millis(100..=HOUR_MS), flag "socketio-ping-timeout-ms";

        /// How long a session may take to go from HTTP requests to WebSocket, in milliseconds.
        ///
        /// Above it, the WebSocket is closed and the session goes on by requests.
        upgrade_ms_max: Duration = "10000", millis(100..=HOUR_MS), flag "socketio-upgrade-ms-max";

        /// Whether pages of other origins may send cookies with their requests.
        ///
        /// This is the header Access-Control-Allow-Credentials, for origins in `http.origins`. Clients
        /// that set `withCredentials` need it, for example behind a proxy that binds sessions to
        /// servers by a cookie. Clients 1 and 2 set it by themselves, and always get the header.
        cors_credentials: bool = "false", switch(), flag "socketio-cors-credentials";

        /// Bytes of the largest message of a client.
        ///
        /// This is one event, or one attachment. A client that sends more is disconnected with the
        /// reason `TooLarge`. Over HTTP requests an attachment takes a third more, as it is written in
        /// base64, and clients 3 and 4 may send several events in one body of this size. All parts of an event together have at most
        /// `limits.message_bytes_max`.
        payload_bytes_max: u32 = "1000000", bytes(1024..=512 * MIB), flag "socketio-payload-bytes-max";

        /// Attachments of one event.
        ///
        /// Clients of the newest versions disconnect when they get an event with more than 10.
        attachments_max: u8 = "10", count(1..=10), flag "socketio-attachments-max";

        /// Acknowledgements that one client may wait for at the same time.
        ///
        /// They are not given up while both clients are connected, unless `socketio.ack_ms_max` says so.
        /// Above it, an event that wants one is not sent, and its sender gets `SERVER_ERROR`.
        acks_max: usize = "16384", count(1..=524_288), flag "socketio-acks-max";

        /// How long a client may take to answer what is no emit, in milliseconds.
        ///
        /// This is whether it is a target, a pair, or the end of a stream. Above it, the one that has
        /// asked is told that it does not answer. Clients of the plugin give up streams after 10 s.
        wait_ms_max: Duration = "30000", millis(0..=HOUR_MS).zero("for ever"),
            flag "socketio-wait-ms-max";

        /// How long the acknowledgement of an emit may take, in milliseconds.
        ///
        /// Above it, the sender gets `SERVER_ERROR` and no acknowledgement. It does not hold for the
        /// chunks of streams, whose acknowledgements are their back-pressure.
        ack_ms_max: Duration = "0", millis(0..=24 * HOUR_MS).zero("for ever"),
            flag "socketio-ack-ms-max";

        /// Generations of the plugin that are served: any, 1 or 2.
        ///
        /// With any and 1, events of both generations are carried out. They differ for clients without
        /// a `clientId`: with 1 their events are carried out, with any only those of clients of
        /// version 2, which may be of the first generation. With 2 events of the first generation are
        /// unknown.
        generation: Generation = "any",
            words(&[("any", Generation::Any), ("1", Generation::First), ("2", Generation::Second)]),
            flag "socketio-generation";

        /// How long a session waits for its client whose connection is lost, in milliseconds.
        ///
        /// This is the connection state recovery of Socket.IO, for clients of version 4.6 and newer: a
        /// client that comes back in time has the same id and its rooms, and gets the events that it has
        /// missed. After this time the session ends with the reason `ConnectionLost`. With 0 a session
        /// ends with its connection, and events have no offset behind their arguments.
        recovery_ms: Duration = "0", millis(0..=24 * HOUR_MS).zero("no session waits"),
            flag "socketio-recovery-ms";

        /// Sessions of the whole hub that may wait for their clients at the same time.
        ///
        /// Above it, a session ends immediately when its connection is lost. The same happens if
        /// `limits.connections_per_address_max` sessions of its address wait already.
        recovery_max: usize = "10000", count(1..=10_000_000), flag "socketio-recovery-max";

        /// Bytes of one session that are kept for a client that may have missed them.
        ///
        /// Above it, the oldest are forgotten, and a client that has missed those gets a new session.
        /// The session of a client that is away ends when it would miss one.
        recovery_bytes_max: usize = "1MiB", bytes(1024..=512 * MIB),
            flag "socketio-recovery-bytes-max";
    }
}
