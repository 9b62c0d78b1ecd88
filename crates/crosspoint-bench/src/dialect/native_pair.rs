//! Two sessions of the native protocol with a link between them, until data flows.

use std::sync::Arc;

use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, Command, Event, LinkCommand, LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{LinkNumber, PeerName};
use crosspoint_proto::frame::put_varint;
use crosspoint_proto::identity::Identity;
use crosspoint_proto::peer::kind;
use crosspoint_proto::peer::secure::{self, HANDSHAKE, Role, Secure};

use super::fresh_name;
use super::native_session::{Native, Session};
use crate::BenchError;
use crate::transport::Options;

/// One end of a link.
pub(super) struct Side {
    pub(super) session: Session,
    pub(super) link: LinkNumber,
}

/// The two ends of a link.
pub(super) struct Pair {
    pub(super) opener: Side,
    pub(super) accepter: Side,
}

/// The first stream of the side that opened the link.
pub(super) const STREAM: u32 = 0;

/// Names of streams need not differ.
const STREAM_NAME: &str = "bench";

impl Pair {
    /// Opens two sessions and a link from the first to the second. `accepter` says how the second
    /// is connected.
    pub(super) fn open(
        native: &Native,
        accepter: Options,
        identities: Option<&[Arc<Identity>; 2]>,
    ) -> Result<Pair, BenchError> {
        const DOING: &str = "opening a link";
        let name = fresh_name();
        let identity = |index: usize| identities.map(|both| both[index].clone());
        let mut opener = native.connect_as(None, identity(0), Options::default())?;
        let mut accepter = native.connect_as(Some(name.clone()), identity(1), accepter)?;
        let to = PeerName::new(name).map_err(|error| {
            BenchError::Plan(format!("the name of the other end is no name: {error}"))
        })?;
        let (to, options) = (Addressee::Name(to), LinkOptions::default());
        opener.command(DOING, Command::Link(LinkCommand::Open { request: 0, to, options }))?;
        let linked = |event: &Event| match event {
            Event::Link(LinkEvent::Opened { link, .. }) => Some(*link),
            _ => None,
        };
        let link = opener.wait(DOING, linked)?;
        let opener = Side { session: opener, link };
        let link = accepter.wait(DOING, linked)?;
        Ok(Pair { opener, accepter: Side { session: accepter, link } })
    }

    /// Encrypts the link (docs/peers.md, section 6): the opener's and the accepter's end.
    pub(super) fn encrypt(
        &mut self,
        identities: &[Arc<Identity>; 2],
    ) -> Result<[Secure; 2], BenchError> {
        let [anna, bert] = identities;
        let Pair { opener, accepter } = self;
        let mut ours = opener.secure(Role::Initiator, anna, bert)?;
        let mut theirs = accepter.secure(Role::Responder, bert, anna)?;
        while !(ours.is_ready() && theirs.is_ready()) {
            opener.shake(&mut ours, accepter, &mut theirs)?;
            accepter.shake(&mut theirs, opener, &mut ours)?;
        }
        Ok([ours, theirs])
    }

    /// Opens a stream from the opener to the accepter, who gives it this window.
    pub(super) fn stream(&mut self, window: u32) -> Result<(), BenchError> {
        const DOING: &str = "opening a stream";
        let mut open = Vec::new();
        put_varint(STREAM, &mut open);
        put_varint(0, &mut open);
        put_varint(STREAM_NAME.len() as u32, &mut open);
        open.extend_from_slice(STREAM_NAME.as_bytes());
        self.opener.say(DOING, kind::OPEN, open.into())?;
        self.accepter.hear(DOING, kind::OPEN)?;
        let mut accept = Vec::new();
        put_varint(STREAM, &mut accept);
        put_varint(window, &mut accept);
        self.accepter.say(DOING, kind::ACCEPT, accept.into())?;
        self.opener.hear(DOING, kind::ACCEPT)?;
        Ok(())
    }
}

impl Side {
    /// Sends a message to the other end.
    fn say(&mut self, doing: &'static str, kind: u8, body: Bytes) -> Result<(), BenchError> {
        let part = Part { kind, ..Part::whole(body) };
        self.session.command(doing, Command::Send { to: Target::Link(self.link), part })?;
        self.session.flush(doing)
    }

    /// Waits for a message of this kind from the other end; its body.
    fn hear(&mut self, doing: &'static str, kind: u8) -> Result<Bytes, BenchError> {
        let here = Place::Link(self.link);
        self.session.wait(doing, |event| match event {
            Event::Data { place, part }
                if *place == here && part.kind == kind && part.is_first() && part.is_last() =>
            {
                Some(part.data.clone())
            }
            _ => None,
        })
    }

    fn secure(&self, role: Role, own: &Identity, other: &Identity) -> Result<Secure, BenchError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(std::io::Error::other)
            .map_err(BenchError::system("asking for random numbers"))?;
        Secure::new(role, own, other.peer_id(), secure::Options::default(), random)
            .map_err(|error| self.failed(error))
    }

    /// Hands the next message of the handshake over, if there is one.
    fn shake(
        &mut self,
        secure: &mut Secure,
        other: &mut Side,
        others: &mut Secure,
    ) -> Result<(), BenchError> {
        if let Some(body) = secure.transmit() {
            self.say(ENCRYPTING, HANDSHAKE, body)?;
            let body = other.hear(ENCRYPTING, HANDSHAKE)?;
            // Whether more has to follow is asked of both ends.
            let _progress = others.receive(&body).map_err(|error| other.failed(error))?;
        }
        Ok(())
    }

    fn failed(&self, error: secure::SecureError) -> BenchError {
        self.session.refused(ENCRYPTING, &error.to_string())
    }
}

const ENCRYPTING: &str = "encrypting a link";
