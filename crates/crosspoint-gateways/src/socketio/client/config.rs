//! Who a client is, and its bounds.

use crate::engineio::Revision;
use crate::socketio::packet::{ATTACHMENTS_MAX, ROOT};

/// Which generation of the plugin `socket.io-p2p-plugin` a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Generation {
    /// 1.0 to 1.4: clients in pairs.
    First,
    /// 1.6 and newer: each client with each other.
    #[default]
    Second,
}

/// Who a client is, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The revision of Engine.IO, which is that of the server's package: 3 for Socket.IO 2, 4 for newer ones.
    pub revision: Revision,
    /// Which generation of the plugin is spoken.
    pub generation: Generation,
    /// The name of the client to others. Without one it does not speak the plugin's words.
    pub client_id: Option<String>,
    /// The namespace, with its slash.
    pub namespace: String,
    /// What is given to the server to be let in, as the text of a JSON object. Revision 3 has no place for it.
    pub auth: Option<String>,
    /// The most attachments of a packet, in both directions.
    pub attachments_max: u8,
    /// The largest packet with its attachments, in bytes, in both directions.
    pub packet_bytes_max: usize,
    /// Bytes that may wait to be written before nothing more is taken.
    pub queue_bytes_max: usize,
    /// The most acknowledgements that may be waited for.
    pub acks_max: usize,
    /// The most streams at once.
    pub streams_max: usize,
    /// Bytes of one stream that nobody has read before its writer has to wait.
    pub stream_window: usize,
    /// The same of all streams together, which only writers reach that do not wait. Above, the stream is destroyed.
    pub stream_bytes_max: usize,
}

impl Default for Config {
    /// A client of the newest generations without a name.
    fn default() -> Self {
        Self {
            revision: Revision::Four,
            generation: Generation::Second,
            client_id: None,
            namespace: ROOT.to_owned(),
            auth: None,
            attachments_max: ATTACHMENTS_MAX,
            packet_bytes_max: 16 << 20,
            queue_bytes_max: 16 << 20,
            acks_max: 16_384,
            streams_max: 256,
            stream_window: 64 << 10,
            stream_bytes_max: 32 << 20,
        }
    }
}
