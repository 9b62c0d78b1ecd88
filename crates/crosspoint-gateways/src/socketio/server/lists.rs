//! Who is connected.

use super::SocketIo;
use super::asking::Answer;
use super::events::name_of;
use super::gathering::Packet;
use crate::socketio::Elements;
use crosspoint_hub::PeerName;
use crosspoint_hub::command::{DirectoryCommand, Query};
use crosspoint_hub::wire::FrameWriter;

impl SocketIo {
    /// `LIST_CLIENTS`: all names, in their order.
    pub(super) fn list_clients(&mut self, packet: &Packet, out: &mut FrameWriter) -> Option<()> {
        if packet.id.is_none() {
            self.wants_callback(out, "LIST_CLIENTS");
            return Some(());
        }
        match self.ask_names()? {
            Answer::Names(names) => self.answer(out, packet, &format!("[{names}]")),
            Answer::Refused(reason) => {
                self.server_error(out, &format!("Error: LIST_CLIENTS: {reason}"));
                self.answer(out, packet, "[]");
            }
            _ => self.answer(out, packet, "[]"),
        }
        Some(())
    }

    /// `GET_CLIENT_CONNECTED_STATUS`: whether somebody is there. The original says `null` if not.
    pub(super) fn is_connected(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        if packet.id.is_none() {
            self.wants_callback(out, "GET_CLIENT_CONNECTED_STATUS");
            return Some(());
        }
        let name = name_of(args, 1).and_then(|name| PeerName::new(name).ok());
        let Some(name) = name else {
            self.answer(out, packet, "null");
            return Some(());
        };
        let look = |request| DirectoryCommand::Look { request, query: Query::Name(name) };
        match self.ask(look)? {
            Answer::Found(peers) if !peers.is_empty() => self.answer(out, packet, "true"),
            Answer::Refused(reason) => {
                self.server_error(out, &format!("Error: GET_CLIENT_CONNECTED_STATUS: {reason}"));
                self.answer(out, packet, "null");
            }
            _ => self.answer(out, packet, "null"),
        }
        Some(())
    }

    /// An event without a callback would do nothing.
    pub(super) fn wants_callback(&self, out: &mut FrameWriter, event: &str) {
        self.server_error(
            out,
            &format!("Error: {event} has an acknowledgement, and is emitted with a callback"),
        );
    }
}
