//! Services: names under which clients answer.

use super::SocketIo;
use super::asking::Answer;
use super::emits::whole;
use super::events::name_of;
use super::gathering::Packet;
use super::links::Addressed;
use super::lists::peer_name;
use super::say::quoted;
use crate::link::Speaking as _;
use crate::socketio::carry::{self, Act};
use crate::socketio::{Elements, Name};
use crosspoint_hub::PeerName;
use crosspoint_hub::command::DirectoryCommand;
use crosspoint_hub::wire::FrameWriter;

impl SocketIo {
    /// `CREATE_API`: the client provides a service from now on.
    pub(super) fn provide(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let Some(service) = peer_name(args) else {
            let most = PeerName::BYTES_MAX;
            let wrong = format!("Error: CREATE_API has a name of 1 to {most} bytes");
            self.server_error(out, &wrong);
            return Some(());
        };
        let wanted = service.clone();
        let provide = |request| DirectoryCommand::Provide { request, service: wanted, on: true };
        match self.ask(provide)? {
            Answer::Refused(reason) => {
                let wrong = format!("Error: Service: {service} cannot be provided: {reason}");
                self.server_error(out, &wrong);
            }
            _ => {
                self.services.insert(service);
                self.answer(out, packet, "");
            }
        }
        Some(())
    }

    /// `DESTROY_API`: the client provides a service no longer, or none at all.
    pub(super) fn withdraw(&mut self, args: &Elements<'_>) {
        match name_of(args, 1).filter(|name| !name.is_empty() && name != "null") {
            Some(name) => {
                if let Some(service) = self.services.take(&*name) {
                    self.withdraw_one(service);
                }
            }
            None => self.withdraw_all(),
        }
    }

    /// The client provides nothing any longer.
    pub(super) fn withdraw_all(&mut self) {
        for service in std::mem::take(&mut self.services) {
            self.withdraw_one(service);
        }
    }

    fn withdraw_one(&mut self, service: PeerName) {
        let name = quoted(service.as_str());
        for link in self.links.accepted().collect::<Vec<_>>() {
            self.post(link, carry::ACT, whole(carry::act(Act::Withdrawn, None, &[&name], 0), &[]));
        }
        let request = self.unheard_request();
        self.give(DirectoryCommand::Provide { request, service, on: false });
    }

    /// `USE_API`: the event with the name of the service goes to one that provides it.
    pub(super) fn use_service(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let name = match (args.get(1), Name::parse(args.get(1))) {
            (Some(name), Ok(_)) => name,
            _ => {
                self.server_error(out, &"Error: USE_API has the name of a service");
                return Some(());
            }
        };
        let to = name_of(args, 1).unwrap_or_default();
        match self.way_to(Addressed::Service(to.as_ref().into()))? {
            Ok(link) => self.pass(link, packet, name, args.rest(2), out),
            Err(reason) => {
                self.server_error(out, &format!("Error: Service: {to} is not there: {reason}"));
            }
        }
        Some(())
    }
}
