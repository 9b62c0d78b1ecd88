//! Events of the plugin: who carries out which. All others are for the hub application.

use super::gathering::Packet;
use super::{Generation, SocketIo};
use crate::socketio::Elements;
use crosspoint_hub::wire::FrameWriter;
use std::borrow::Cow;

/// What only clients of the first generation say, and of the one between the two.
const FIRST_GENERATION: [&str; 6] = [
    "MULTI_API_ADD_TARGET",
    "MULTI_API_CREATE_STREAM",
    "P2P_EMIT_ACKNOWLEDGE",
    "P2P_REGISTER",
    "P2P_REGISTER_STREAM",
    "P2P_UNREGISTER",
];

/// An argument as a name: a text as it is meant, anything else as it is written.
pub(super) fn name_of<'a>(args: &Elements<'a>, index: usize) -> Option<Cow<'a, str>> {
    args.text(index).or_else(|| args.get(index).map(Cow::Borrowed))
}

impl SocketIo {
    /// Carries out an event in the root namespace. `None`: an answer of the hub is to come.
    pub(super) fn event(
        &mut self,
        packet: &Packet,
        name: &str,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let is_second = self.options.generation == Generation::Second;
        if !self.serves_plugin() || is_second && FIRST_GENERATION.contains(&name) {
            self.ask_application(packet, name, args, out);
            return Some(());
        }
        match name {
            "P2P_EMIT" => self.emit(packet, args, out),
            "P2P_EMIT_ACKNOWLEDGE" => self.emit_object(packet, args, out),
            "ADD_TARGET" => self.add_target(packet, args, false, out),
            "MULTI_API_ADD_TARGET" => self.add_target(packet, args, true, out),
            "CREATE_STREAM" => self.create_stream(packet, args, false, out),
            "MULTI_API_CREATE_STREAM" => self.create_stream(packet, args, true, out),
            "P2P_REGISTER" => self.register(packet, args, out),
            "P2P_UNREGISTER" => {
                self.unregister(packet, out);
                Some(())
            }
            "P2P_REGISTER_STREAM" => self.register_stream(packet, args, out),
            "LIST_CLIENTS" => self.list_clients(packet, out),
            "GET_CLIENT_CONNECTED_STATUS" => self.is_connected(packet, args, out),
            "JOIN_ROOM" | "LEAVE_ROOM" if !is_second && self.is_about_topic(args) => {
                self.act_on_topic(packet, args, out)
            }
            "JOIN_ROOM" => self.join_room(packet, args, out),
            "LEAVE_ROOM" => {
                self.leave_room(packet, args, out);
                Some(())
            }
            "EMIT_ROOM" => self.emit_room(packet, args, out),
            "CHECK_API_NAME" => self.is_provided(packet, args, out),
            "CREATE_API" => self.provide(packet, args, out),
            "USE_API" => self.use_service(packet, args, out),
            "DESTROY_API" => {
                self.withdraw(args);
                Some(())
            }
            _ => {
                self.ask_application(packet, name, args, out);
                Some(())
            }
        }
    }
}
