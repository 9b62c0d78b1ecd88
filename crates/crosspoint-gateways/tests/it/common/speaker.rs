//! A session of the hub without a protocol, whose other side is the test: it gives commands and gets events,
//! data among them.

use crosspoint_hub::command::{
    Addressee, Command, Event, Hello, LinkCommand, LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{EVENTS, events, open_as};
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{Hub, LinkNumber, PeerId, Session};
use std::sync::Arc;
use std::time::Instant;

/// The purpose of links for requests.
pub(crate) const FOR_REQUESTS: &[u8] = b"\x81\xa8requests\xc3";

pub(crate) struct Speaker {
    pub(crate) session: Session,
    now: Instant,
}

impl Speaker {
    pub(crate) fn new(hub: &Arc<Hub>, now: Instant, id: PeerId, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        let hello = Hello { peer: Some(id), name, ..Hello::default() };
        Self { session: open_as(hub, now, &EVENTS, None, hello), now }
    }

    pub(crate) fn give(&mut self, command: impl Into<Command>) {
        let command = command.into();
        let step = self.session.execute(self.now, command);
        assert_eq!(step, Step::Go);
        assert_eq!(self.session.flush(self.now), Step::Go);
    }

    /// Opens a link.
    pub(crate) fn link(&mut self, to: PeerId, purpose: &'static [u8]) -> LinkNumber {
        self.link_to(Addressee::Peer(to), purpose)
    }

    /// The same to somebody by name.
    pub(crate) fn link_to(&mut self, to: Addressee, purpose: &'static [u8]) -> LinkNumber {
        let options = LinkOptions { purpose: purpose.into(), ..LinkOptions::default() };
        self.give(LinkCommand::Open { request: 7, to, options });
        match &self.heard()[..] {
            [Event::Link(LinkEvent::Opened { request: Some(7), link, .. })] => *link,
            other => panic!("no link: {other:?}"),
        }
    }

    /// Sends a message of a kind over a link.
    pub(crate) fn say(&mut self, link: LinkNumber, kind: u8, body: &[u8]) {
        let part = Part { kind, ..Part::whole(body.to_vec()) };
        self.give(Command::Send { to: Target::Link(link), part });
    }

    pub(crate) fn heard(&mut self) -> Vec<Event> {
        events(&mut self.session)
    }

    /// What came over a link: kinds and bodies. Nothing else may have come.
    pub(crate) fn data(&mut self, link: LinkNumber) -> Vec<(u8, Vec<u8>)> {
        let data = |event| match event {
            Event::Data { place: Place::Link(at), part } if at == link => {
                assert!(part.is_first() && part.is_last());
                (part.kind, part.data.to_vec())
            }
            other => panic!("something else came: {other:?}"),
        };
        self.heard().into_iter().map(data).collect()
    }
}
