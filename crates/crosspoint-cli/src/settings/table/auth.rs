//! The section `[auth]`.

use crate::settings::kind::{count, file_path, millis, seconds, switch};
use crate::settings::row::section;
use std::time::Duration;

section! {
    /// Authentication (see docs/authentication.md).
    auth: Auth {
        /// TOML file of shared secrets that let clients in.
        ///
        /// A client presents `NAME:SECRET` as its token. The file contains a hash of each secret, as
        /// printed by `crosspoint hash-secret`, and the permissions of its bearer. If this or
        /// `auth.jwt_keys` is set, a client that neither of them accepts is refused with the reason
        /// `NotAllowed`. Programs written with peote-net have no token and are not served then,
        /// unless `peote.enabled` is true. The program does not start with an invalid file. SIGHUP
        /// reloads the file; if the new file is invalid, the old one stays in force and the log says
        /// so.
        secrets_file: String = "", file_path();

        /// TOML file of keys for signed tokens (JWT) that let clients in.
        ///
        /// A client presents a token that is signed with one of the keys and has not expired. The
        /// token contains the permissions of its bearer. If `auth.secrets_file` is set too, the
        /// secrets are checked first. The program does not start with an invalid file, and SIGHUP
        /// reloads it like that of the secrets.
        jwt_keys: String = "", file_path();

        /// Whether a client certificate (`tls.client_roots`) lets a client in.
        ///
        /// The name of the session is the first DNS name of the certificate, or else the common name
        /// of its subject. Its permissions are those of `[permissions]`. If secrets or signed tokens
        /// are set up too, they are checked first. If this is true, a client without a certificate
        /// and without other credentials is refused with the reason `NotAllowed`.
        certificates: bool = "false", switch(), flag "auth-certificates";

        /// Whether a session ends when its signed token expires.
        ///
        /// The session ends with the reason `Expired` as soon as the token would no longer be
        /// accepted: half a minute after its `exp`. The client can connect again with a new token. If
        /// false, the token is checked only when the session begins. The same holds for certificates of
        /// clients, without the half minute.
        expiry_ends_sessions: bool = "true", switch(), flag "auth-expiry-ends-sessions";

        /// Shared secrets that are checked at the same time.
        ///
        /// Each check uses one core and the memory that its hash requires: 19 MiB for some hundredths
        /// of a second with the hashes of `crosspoint hash-secret`. Other checks wait. Their
        /// networks, addresses and names take turns, so a flood from some of them does not keep
        /// others out. Three of four turns are for addresses that have given no wrong secret in the
        /// last minute, if such addresses wait.
        checks_max: usize = "0", count(0..=1024).zero("one per core"), flag "auth-checks-max";

        /// How long a correct shared secret is accepted again without a check, in seconds.
        ///
        /// With this, a flood of wrong secrets does not keep out clients that connected recently. The
        /// hub keeps a keyed hash of each secret of the file, in memory only. Reloading the file
        /// discards all of them. The time starts with the check.
        remembered_s: Duration = "300", seconds(0..=86_400).zero("check each time"),
            flag "auth-remembered-s";

        /// Checks of shared secrets that may wait for their turn.
        ///
        /// Above it, a new check takes the place of an address that has given a wrong secret in the
        /// last minute, or the last place of the network, the address or the name with the most
        /// waiting checks. A client without a place is refused with the reason `Busy` and may try
        /// again. A client that waits longer than `limits.handshake_ms_max` is refused too.
        checks_waiting_max: usize = "128", count(0..=100_000), flag "auth-checks-waiting-max";

        /// Checks of shared secrets from one address that may wait for their turn.
        ///
        /// Above it, a check is refused with the reason `Busy`. For an IPv6 address the first half
        /// counts, which is a whole network. Addresses of the loopback range have no such limit if
        /// `limits.loopback_exempt` is set. Raise it if many clients connect at once through one
        /// router or proxy.
        checks_waiting_per_address_max: usize = "16", count(0..=100_000),
            flag "auth-checks-waiting-per-address-max";

        /// Pause of an address after each wrong shared secret above ten, in milliseconds.
        ///
        /// The next secret from this address is checked after the pause, which slows guessing down.
        /// One wrong secret is forgiven after each pause. The same wrong secret counts once, even if
        /// it is tried again and again. Other clients of the address wait too: with a pause close to
        /// `limits.handshake_ms_max`, an attacker who guesses can keep them out. Addresses of the
        /// loopback range do not pause if `limits.loopback_exempt` is set. Independent of this
        /// setting, guesses at the secrets of `auth.remembered_s` are limited to one a second above
        /// ten; others are checked slowly.
        wrong_pause_ms: Duration = "1000", millis(0..=60_000).zero("none"),
            flag "auth-wrong-pause-ms";
    }
}
