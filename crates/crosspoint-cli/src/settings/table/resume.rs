//! The section `[resume]`.

use super::{HOUR_MS, YEAR_S};
use crate::settings::kind::{bytes, count, millis, seconds, switch};
use crate::settings::row::section;
use crosspoint_net::resume::RETAINED_BYTES;
use std::time::Duration;

section! {
    /// Native sessions that survive a lost connection (see docs/resume.md).
    resume: Resume {
        /// Whether a session can continue over a new connection when its connection is lost.
        ///
        /// A client requests this when it connects. Other clients are served as without it. If false,
        /// connections of clients that request it are closed like those of an unknown protocol.
        enabled: bool = "true", switch(), flag "resume";

        /// How long a session without a connection waits for a new one, in milliseconds.
        ///
        /// After this time the session ends with the reason `ConnectionLost`. Until then it keeps its
        /// channels, links and name, and data for it waits. The members of its channels are told when
        /// it is away and when it is back.
        window_ms: Duration = "20000", millis(100..=HOUR_MS), flag "resume-window-ms";

        /// Sessions of the whole hub that may wait for a connection at the same time.
        ///
        /// Above it, a session ends immediately when its connection is lost. The same happens if
        /// `limits.connections_per_address_max` sessions of its address wait already.
        detached_max: usize = "10000", count(1..=10_000_000), flag "resume-detached-max";

        /// Bytes of one session, in each direction, that may be in flight without acknowledgement.
        ///
        /// Above it, nothing more is taken from the session, and its outbox fills like that of a slow
        /// receiver. A client that sends more than this breaks the protocol, and its session ends
        /// with the reason `Malformed`. In the worst case each resumable session occupies four times
        /// this value and 400 KiB, in addition to its outbox.
        retained_bytes_max: u32 = "1MiB",
            bytes(u64::from(RETAINED_BYTES.0)..=u64::from(RETAINED_BYTES.1)),
            flag "resume-retained-bytes-max";

        /// Interval of silence after which a resumable connection is probed, in milliseconds.
        ///
        /// After three intervals the connection is lost, and its session waits for a new one. Clients
        /// use the same times.
        heartbeat_ms: Duration = "5000", millis(100..=HOUR_MS), flag "resume-heartbeat-ms";

        /// Sessions that are remembered after their end.
        ///
        /// A client that comes back too late is told what was lost. Above this number the oldest
        /// session is forgotten, and its client is only told that the session is unknown.
        tombstones_max: usize = "10000", count(0..=10_000_000).zero("none is remembered"),
            flag "resume-tombstones-max";

        /// How long a session is remembered after its end, in seconds.
        ///
        /// After this time it is forgotten, as above `resume.tombstones_max`.
        tombstone_s: Duration = "600", seconds(1..=YEAR_S), flag "resume-tombstone-s";
    }
}
