//! The section `[tls]`.

use crate::settings::kind::{file_path, switch};
use crate::settings::lists::files;
use crate::settings::row::section;

section! {
    /// TLS on the listening addresses: `tls://`, `wss://` and `https://`.
    tls: Tls {
        /// PEM files with certificates, each with its chain.
        ///
        /// The first certificate is used for clients that send no server name or an unknown one. The
        /// others are selected by the server name that a client sends. If empty, TLS is not served.
        /// SIGHUP reloads the files; existing connections stay.
        cert: Vec<String> = "", files(), flag "tls-cert";

        /// PEM files with the private keys, in the order of the certificates.
        ///
        /// If empty, each key is in the file of its certificate. SIGHUP reloads the files.
        key: Vec<String> = "", files(), flag "tls-key";

        /// Whether a certificate is generated at the start, for development on this machine.
        ///
        /// It is self-signed, for localhost, 127.0.0.1 and ::1. The program prints its fingerprint,
        /// which clients of the library and `crosspoint chat --tls-pin` accept. The certificate is
        /// discarded when the program ends. It cannot be set together with `tls.cert`.
        dev: bool = "false", switch(), flag "tls-dev";

        /// Whether connections without TLS are refused.
        ///
        /// Plain HTTP requests get the status 426. The addresses of `http.metrics_listen` are exempt.
        required: bool = "false", switch(), flag "tls-required";

        /// PEM file of the authorities that vouch for client certificates.
        ///
        /// Clients are asked for a certificate if this is set. A client may come without one. One
        /// whose certificate is expired, revoked, for another use, or of another authority is refused
        /// in the handshake. `auth.certificates` makes certificates credentials. TLS sessions are not
        /// resumed then. SIGHUP reloads the file.
        client_roots: String = "", file_path(), flag "tls-client-roots";

        /// PEM files with lists of revoked client certificates (CRL).
        ///
        /// Certificates of authorities without a list are accepted. A list that is past its next update
        /// stays in force, without a warning. SIGHUP reloads the files.
        client_crls: Vec<String> = "", files(), flag "tls-client-crls";

        /// Whether clients without a certificate are refused, whatever protocol they speak.
        ///
        /// Connections without TLS are refused only if `tls.required` is true too.
        client_required: bool = "false", switch(), flag "tls-client-required";
    }
}
