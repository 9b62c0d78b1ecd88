//! The section `[tls]`.

use crate::settings::kind::switch;
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
    }
}
