//! The section `[auth]`.

use crate::settings::kind::{count, file_path, millis, seconds, switch};
use crate::settings::row::section;
use std::time::Duration;

section! {
    /// Who may enter (see docs/authentication.md).
    auth: Auth {
        /// File of shared secrets that let clients in, in TOML.
        ///
        /// A client presents `NAME:SECRET` as its token; the file holds a hash of each secret, as `crosspoint
        /// hash-secret` prints it, and what its bearer may do. Where this or `auth.jwt_keys` is set, a client
        /// that neither of them knows is refused with the reason `NotAllowed`; programs written with
        /// peote-net have no token and are not served, unless `peote.enabled` is true. The program does not
        /// start with a file that is wrong. SIGHUP lets it read the file again; if that is wrong then, the
        /// old one stays in force, and the log says so.
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
}
