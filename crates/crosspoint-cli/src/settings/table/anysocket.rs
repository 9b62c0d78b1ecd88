//! The section `[anysocket]`.

use crate::settings::kind::{secret, switch};
use crate::settings::row::section;

section! {
    /// Programs written with AnySocket.
    anysocket: AnySocket {
        /// Whether programs written with AnySocket may connect.
        ///
        /// They connect over WebSocket. Their `auth` must contain what `server.access_token` or the
        /// files of `[auth]` require. If false, their connections are closed like those of an unknown
        /// protocol.
        enabled: bool = "true", switch(), flag "anysocket";

        /// What the hub presents to programs that check it in their `onAuth`; nothing if empty.
        ///
        /// This is the `auth` of the hub's AUTH packet: a text, or a JSON object if it begins with
        /// `{`. A program that expects another value disconnects. The hub sends the value to every
        /// program that it accepts, over a connection that is not encrypted yet, so do not use a
        /// secret that grants access to anything else. At most 1024 bytes.
        auth: String = "", secret(1024), flag "anysocket-auth";

        /// Whether the hub starts the encryption of each connection.
        ///
        /// The hub does so a tenth of a second after it has accepted the program, and sends nothing
        /// before. Programs need AnySocket 0.4.22 or newer, and in a browser a page from https or
        /// localhost. A connection that is not encrypted within five seconds is closed with the
        /// reason `HandshakeTimeout`. Programs may start the encryption themselves immediately after
        /// they connect, but not later, because AnySocket breaks a connection that is encrypted
        /// twice. The encryption protects against passive listeners only and does not replace TLS.
        encrypt: bool = "false", switch(), flag "anysocket-encrypt";
    }
}
