//! The section `[resume]`.

use super::{HOUR_MS, YEAR_S};
use crate::settings::kind::{bytes, count, millis, seconds, switch};
use crate::settings::row::section;
use crosspoint_net::resume::RETAINED_BYTES;
use std::time::Duration;

section! {
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
}
