//! The section `[anysocket]`.

use crate::settings::kind::{secret, switch};
use crate::settings::row::section;

section! {
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
}
