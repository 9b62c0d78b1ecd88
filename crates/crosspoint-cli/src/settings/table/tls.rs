//! The section `[tls]`.

use crate::settings::kind::switch;
use crate::settings::lists::files;
use crate::settings::row::section;

section! {
    /// TLS, on the same addresses as everything else: `tls://`, `wss://` and `https://`.
    tls: Tls {
        /// Files with certificates in PEM, each with the chain that leads to it.
        ///
        /// The first certificate is the one for clients that ask for no name or for another one; the
        /// others are chosen by the name that a client asks for. Empty: TLS is not served. SIGHUP lets
        /// the program read the files again; connections that are there stay.
        cert: Vec<String> = "", files(), flag "tls-cert";

        /// Files with the private keys in PEM, in the order of the certificates.
        ///
        /// Empty: each key is in the file of its certificate. SIGHUP lets the program read them again.
        key: Vec<String> = "", files(), flag "tls-key";

        /// Whether a certificate is made at the start, for tries on this machine.
        ///
        /// It is for localhost, 127.0.0.1 and ::1, and nobody vouches for it: the program prints its
        /// fingerprint, which clients of the library and `crosspoint chat --tls-pin` can be told. It is
        /// gone when the program ends. Not together with `tls.cert`.
        dev: bool = "false", switch(), flag "tls-dev";

        /// Whether connections without TLS are refused.
        ///
        /// Plain HTTP requests are answered with 426. Not for the addresses of `http.metrics_listen`.
        required: bool = "false", switch(), flag "tls-required";
    }
}
