//! What the client is told.

use super::SocketIo;
use super::gathering::Packet;
use crate::socketio::AckId;
use crate::socketio::packet::{Header, Kind};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::wire::FrameWriter;
use std::fmt;

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// The text of an array of what is before the comma, if anything, and of arguments: JSON with commas between them.
pub(super) fn array(first: &str, arguments: &str) -> String {
    let comma = if first.is_empty() || arguments.is_empty() { "" } else { "," };
    format!("[{first}{comma}{arguments}]")
}

impl SocketIo {
    /// Writes a packet.
    pub(super) fn put(&self, out: &mut FrameWriter, header: Header<'_>, data: &str) {
        let mut packet = Vec::with_capacity(data.len() + 24);
        header.put(&mut packet);
        packet.extend_from_slice(data.as_bytes());
        out.frame(&packet, &Bytes::new());
    }

    /// Writes the attachments of the packet before.
    pub(super) fn attach(&self, out: &mut FrameWriter, attachments: &[Bytes]) {
        for attachment in attachments {
            out.binary_frame(self.socket.binary_header(), attachment);
        }
    }

    /// An event in the root namespace. `arguments` are JSON with commas between them.
    pub(super) fn tell(
        &self,
        out: &mut FrameWriter,
        event: &str,
        arguments: &str,
        ack: Option<AckId>,
    ) {
        let header = Header::event(0, ack.map(AckId::to_packet));
        self.put(out, header, &array(&quoted(event), arguments));
    }

    /// Acknowledges something in the root namespace. `arguments` are JSON with commas between them.
    pub(super) fn acknowledge(&self, out: &mut FrameWriter, id: u64, arguments: &str) {
        self.put(out, Header::ack(0, id), &array("", arguments));
    }

    /// Acknowledges a packet, if the client wants that.
    pub(super) fn answer(&self, out: &mut FrameWriter, packet: &Packet, arguments: &str) {
        if let Some(id) = packet.id {
            self.acknowledge(out, id, arguments);
        }
    }

    /// Tells people that something is wrong.
    pub(super) fn server_error(&self, out: &mut FrameWriter, text: &dyn fmt::Display) {
        self.tell(out, "SERVER_ERROR", &quoted(&text.to_string()), None);
    }

    /// Takes the client out of a namespace.
    pub(super) fn say_disconnect(&self, namespace: &str, out: &mut FrameWriter) {
        let header = Header { kind: Kind::Disconnect, attachments: 0, namespace, id: None };
        self.put(out, header, "");
    }

    /// Tells the client that it is not let in, as another has its name. In the original it is in the namespace for a
    /// moment.
    pub(super) fn refuse_name(&mut self, out: &mut FrameWriter) {
        let Some(namespace) = self.namespaces.take_wanted() else { return };
        let Some(sid) = self.welcome(&namespace, out) else { return };
        let name = self.start.client_id.as_deref().unwrap_or_default();
        let text = format!(
            "p2p Socket.io lib: Duplicated clientId {name} on connect, new socket id = {sid}, new socket with duplicated clientId will be disconnected"
        );
        self.server_error(out, &text);
        self.say_disconnect(&namespace, out);
    }

    /// Tells the client that it is not let in.
    pub(super) fn refuse_client(&mut self, reason: Reason, out: &mut FrameWriter) {
        if let Some(namespace) = self.namespaces.take_wanted() {
            self.refuse(&namespace, &reason.to_string(), out);
        }
    }
}
