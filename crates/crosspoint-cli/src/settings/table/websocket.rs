//! The section `[websocket]`.

use super::MIB;
use crate::settings::kind::{bytes, switch};
use crate::settings::row::section;

section! {
    /// WebSockets, whatever protocol they carry.
    websocket: WebSocket {
        /// Whether messages are compressed with clients that offer it (permessage-deflate).
        ///
        /// Browsers offer it by themselves. Compression costs processor time and no memory of the
        /// connections. A message to many receivers is compressed once. The hub does not compress what
        /// it sends to a session that can be resumed, or that is encrypted by its own protocol. Do not turn it on for clients that send secrets together
        /// with data of strangers over TLS, because the length of a compressed message can reveal them.
        deflate: bool = "false", switch(), flag "websocket-deflate";

        /// Size of the smallest message that the hub compresses, in bytes.
        ///
        /// Smaller messages gain little. Messages above 1 MiB, and those that do not become smaller,
        /// are not compressed.
        deflate_bytes_min: u32 = "1KiB", bytes(64..=MIB), flag "websocket-deflate-bytes-min";
    }
}
