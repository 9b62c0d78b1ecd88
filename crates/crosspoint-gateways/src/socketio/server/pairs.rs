//! Pairs of the first generation: who asks whom, and who is told of the end.
//!
//! Whether a client wants to be a pair it decides itself, and so it does what it says within one. The hub knows the
//! pair only to tell the other side when it is over.

use super::SocketIo;
use super::events::name_of;
use super::gathering::Packet;
use super::links::{Function, Pair, PeerLink, Waiting};
use super::say::quoted;
use crate::socketio::carry::{Act, Arguments, NUMBER_MAX};
use crate::socketio::{AckId, Elements};
use crosspoint_hub::LinkNumber;
use crosspoint_hub::wire::FrameWriter;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Set in the number of the question whether the client wants to be a pair. Who sets it where it was not makes a pair
/// for itself alone.
const PROPOSAL: u32 = NUMBER_MAX / 2 + 1;

/// What the first generation says of somebody who is not there.
pub(super) fn not_found(target: &str) -> String {
    format!("Error: Could not find target client '{target}' socket")
}

/// What the hub itself has asked the client.
#[derive(Debug, Default)]
pub(super) struct Own {
    waiting: BTreeMap<u32, Waiting>,
    next: u32,
}

impl Own {
    fn wait(&mut self, what: Waiting) -> AckId {
        let id = self.unheard();
        self.waiting.insert(id.number, what);
        id
    }

    /// The id of a question whose answer is for nobody.
    pub(super) fn unheard(&mut self) -> AckId {
        let number = self.next;
        self.next = (number + 1) & NUMBER_MAX;
        AckId { link: AckId::GATEWAY, number }
    }

    /// How much is waited for.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits for anything any more.
    pub(super) fn forget_all(&mut self) {
        self.waiting = BTreeMap::new();
    }

    /// Nobody waits for that any more.
    fn forget(&mut self, what: Waiting) {
        self.waiting.retain(|_, waiting| *waiting != what);
    }

    /// The client has answered. `None`: the hub has not asked.
    pub(super) fn acknowledged(&mut self, id: AckId) -> Option<Waiting> {
        (id.link == AckId::GATEWAY).then(|| self.waiting.remove(&id.number))?
    }
}

impl SocketIo {
    /// `P2P_REGISTER`: the client wants to be a pair with another one.
    pub(super) fn register(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let to = name_of(args, 1).unwrap_or(Cow::Borrowed("undefined"));
        match self.target_way(&to)? {
            Ok(link) if self.pairs_foreign(link) => self.answer(out, packet, "true"),
            Ok(link) => {
                self.act(link, Act::Register, Some(Waiting::Pair(packet.id)), (packet, ""), out);
            }
            Err(_) => {
                self.server_error(out, &not_found(&to));
                let text = "Error: Target client is not registered to the server";
                self.server_error(out, &text);
                self.answer(out, packet, "false");
            }
        }
        Some(())
    }

    /// The one asked has answered.
    pub(super) fn hear_pair(
        &mut self,
        link: LinkNumber,
        id: Option<u64>,
        args: &Arguments,
        out: &mut FrameWriter,
    ) {
        let is_pair = args.check().is_ok_and(|args| is_yes(&args));
        if let Some(known) = self.links.get_mut(link) {
            match is_pair {
                true => known.pair = Some(Pair::Source),
                false => {
                    let name = known.name.clone();
                    let text = format!("Error: Target client {name} refuses the connection");
                    self.server_error(out, &text);
                }
            }
        }
        if let Some(id) = id {
            self.relay_ack(id, args, out);
        }
    }

    /// The client has answered something. Gives the number under which the other side knows it.
    pub(super) fn accept_pair(&mut self, id: AckId, args: &Elements<'_>) -> u32 {
        if id.number & PROPOSAL != 0
            && is_yes(args)
            && let Some(known) = self.links.get_mut(id.link)
        {
            known.pair = Some(Pair::Target);
        }
        id.number & !PROPOSAL
    }

    /// `P2P_UNREGISTER`: both members of the pair are told, and the first that answers completes it.
    pub(super) fn unregister(&mut self, packet: &Packet, out: &mut FrameWriter) {
        let Some(link) = self.links.paired() else { return self.answer(out, packet, "") };
        let may_wait = packet.id.is_none() || self.may_wait(out);
        if !may_wait {
            return;
        }
        if self.unpairs_foreign(link) {
            let ack = packet.id.map(|id| self.own.wait(Waiting::Unpair(id)));
            return self.tell(out, "P2P_UNREGISTER", "", ack);
        }
        let waiting = packet.id.map(Waiting::Unpair);
        if self.act(link, Act::Unregister, waiting, (packet, ""), out) {
            if let Some(known) = self.links.get_mut(link) {
                known.pair = None;
            }
            let ack = waiting.map(|waiting| self.own.wait(waiting));
            self.tell(out, "P2P_UNREGISTER", "", ack);
        }
    }

    /// Makes a pair with somebody who speaks something else, and cannot be asked. Gives whether it does.
    fn pairs_foreign(&mut self, link: LinkNumber) -> bool {
        let known = self.links.get_mut(link).filter(|known| known.is_foreign());
        known.map(|known| known.pair = Some(Pair::Source)).is_some()
    }

    /// Ends such a pair. Gives whether it was one.
    fn unpairs_foreign(&mut self, link: LinkNumber) -> bool {
        let known = self.links.get_mut(link).filter(|known| known.is_foreign());
        known.map(|known| known.pair = None).is_some()
    }

    /// One member has answered that the pair is over, which is enough.
    pub(super) fn unpaired(&mut self, waiting: Waiting, out: &mut FrameWriter) {
        self.links.forget(waiting);
        self.own.forget(waiting);
        if let Waiting::Unpair(id) = waiting {
            self.acknowledge(out, id, "");
        }
    }

    /// `P2P_REGISTER_STREAM`, which is answered within a pair only.
    pub(super) fn register_stream(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        if self.links.paired().is_none() {
            return Some(());
        }
        let to = name_of(args, 1).unwrap_or(Cow::Borrowed("undefined"));
        match self.way(&to)? {
            // Its streams have names, and those of this generation have none.
            Ok(link) if self.links.get(link).is_some_and(PeerLink::is_foreign) => {
                self.answer(out, packet, "false");
            }
            Ok(link) => {
                let waiting = packet.id.map(|id| Waiting::Function(id, Function::PairStream));
                self.act(link, Act::RegisterStream, waiting, (packet, ""), out);
            }
            Err(_) => self.server_error(out, &not_found(&to)),
        }
        Some(())
    }

    /// The other side does something about a pair.
    pub(super) fn hear_about_pair(
        &mut self,
        link: LinkNumber,
        act: Act,
        number: Option<u32>,
        out: &mut FrameWriter,
    ) {
        let ack = self.ack_of(link, number);
        let Some(known) = self.links.get_mut(link) else { return };
        match act {
            Act::Register => {
                let name = quoted(&known.name);
                let ack = AckId { number: ack.number | PROPOSAL, ..ack };
                self.tell(out, "P2P_REGISTER", &name, Some(ack));
            }
            Act::RegisterStream => self.tell(out, "P2P_REGISTER_STREAM", "", Some(ack)),
            // Only a member ends a pair.
            _ if known.pair.take().is_some() => self.tell(out, "P2P_UNREGISTER", "", Some(ack)),
            _ => self.dropped += 1,
        }
    }

    /// The other side of a pair has gone.
    pub(super) fn lose_pair(&self, side: Pair, name: &str, out: &mut FrameWriter) {
        if side == Pair::Source {
            self.server_error(out, &not_found(name));
        }
        self.tell(out, "P2P_DISCONNECT", "", None);
    }
}

/// Whether the first argument is `true`.
pub(super) fn is_yes(args: &Elements<'_>) -> bool {
    args.get(0) == Some("true")
}
