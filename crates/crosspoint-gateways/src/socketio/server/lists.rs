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
        let query = peer_name(args).map(Query::Name);
        self.is_found(packet, "GET_CLIENT_CONNECTED_STATUS", query, ["true", "null"], out)
    }

    /// `CHECK_API_NAME`: whether somebody provides a service.
    pub(super) fn is_provided(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let query = peer_name(args).map(Query::Service);
        self.is_found(packet, "CHECK_API_NAME", query, ["true", "false"], out)
    }

    /// Answers whether somebody is found, in the words for yes and no. Nobody has a name that cannot be one.
    fn is_found(
        &mut self,
        packet: &Packet,
        event: &str,
        query: Option<Query>,
        [yes, no]: [&str; 2],
        out: &mut FrameWriter,
    ) -> Option<()> {
        if packet.id.is_none() {
            self.wants_callback(out, event);
            return Some(());
        }
        let Some(query) = query else {
            self.answer(out, packet, no);
            return Some(());
        };
        let answer = match self.ask(|request| DirectoryCommand::Look { request, query })? {
            Answer::Found(peers) if !peers.is_empty() => yes,
            Answer::Refused(reason) => {
                self.server_error(out, &format!("Error: {event}: {reason}"));
                no
            }
            _ => no,
        };
        self.answer(out, packet, answer);
        Some(())
    }

    /// An event without a callback would do nothing.
    fn wants_callback(&self, out: &mut FrameWriter, event: &str) {
        self.server_error(
            out,
            &format!("Error: {event} has an acknowledgement, and is emitted with a callback"),
        );
    }
}

/// The first argument as the name of a client or a service, if it can be one.
pub(super) fn peer_name(args: &Elements<'_>) -> Option<PeerName> {
    name_of(args, 1).and_then(|name| PeerName::new(name).ok())
}
