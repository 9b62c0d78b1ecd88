//! Namespaces: which of them a client has entered. All have the session's one identity.

use super::gathering::Packet;
use super::say::quoted;
use super::{SocketIo, State};
use crate::engineio::{Revision, Sid};
use crate::socketio::elements;
use crate::socketio::packet::{Header, Kind, ROOT};
use bytes::Bytes;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{PeerName, Reason};

/// The namespaces of a session.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// The root is entered.
    root: bool,
    /// The others that are entered.
    others: Vec<Box<str>>,
    /// The one that is entered when the hub has let the client in.
    wanted: Option<Box<Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    namespace: Box<str>,
    /// What the client gives to be let in.
    auth: Bytes,
}

impl Namespaces {
    pub(super) fn has(&self, namespace: &str) -> bool {
        match namespace {
            ROOT => self.root,
            other => self.others.iter().any(|name| **name == *other),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.root && self.others.is_empty()
    }

    fn enter(&mut self, namespace: &str) {
        match namespace {
            ROOT => self.root = true,
            other => self.others.push(other.into()),
        }
    }

    pub(super) fn leave(&mut self, namespace: &str) {
        match namespace {
            ROOT => self.root = false,
            other => self.others.retain(|name| **name != *other),
        }
    }

    /// The client is in no other than the root any more.
    pub(super) fn leave_others(&mut self) {
        self.others = Vec::new();
    }

    /// The one that the client wants to enter, and does not.
    pub(super) fn take_wanted(&mut self) -> Option<Box<str>> {
        self.wanted.take().map(|wanted| wanted.namespace)
    }

    /// The client enters a namespace as soon as it is let in.
    pub(super) fn want(&mut self, namespace: &str, auth: Bytes) {
        self.wanted = Some(Box::new(Wanted { namespace: namespace.into(), auth }));
    }
}

impl SocketIo {
    /// The client wants to enter a namespace.
    pub(super) fn connect(&mut self, packet: &Packet, out: &mut FrameWriter) {
        let namespace = packet.namespace();
        let is_known =
            namespace == ROOT || self.options.namespaces.iter().any(|known| **known == *namespace);
        if !packet.data.is_empty()
            && let Err(error) = elements::check(packet.text())
        {
            return self.blame(&error);
        }
        match self.state {
            _ if self.namespaces.has(namespace) => self.dropped += 1,
            // A name that is free again is taken with a new session.
            State::Left => self.fail(Reason::Bye),
            _ if !is_known => self.refuse(namespace, "Invalid namespace", out),
            State::Begun if self.start.is_name_too_long() => {
                let most = PeerName::BYTES_MAX;
                self.refuse(namespace, &format!("clientId has more than {most} bytes"), out);
            }
            State::Begun => {
                let auth = packet.data.as_bytes();
                self.namespaces.want(namespace, auth.clone());
                self.introduce((!auth.is_empty()).then(|| auth.clone()));
            }
            _ => {
                self.namespaces.want(namespace, packet.data.as_bytes().clone());
                self.enter_wanted(out);
            }
        }
    }

    /// The client is in the namespace that it wanted.
    pub(super) fn enter_wanted(&mut self, out: &mut FrameWriter) {
        let Some(wanted) = self.namespaces.wanted.take() else { return };
        let Wanted { namespace, auth } = *wanted;
        if self.welcome(&namespace, out).is_some() {
            self.namespaces.enter(&namespace);
            self.ask_about_connect(&namespace, &auth);
        }
    }

    /// Tells the client that it is in a namespace. Gives what it is called there, or nothing if there is no
    /// randomness.
    pub(super) fn welcome(&mut self, namespace: &str, out: &mut FrameWriter) -> Option<String> {
        let header = Header { kind: Kind::Connect, attachments: 0, namespace, id: None };
        if self.revision() == Revision::Three {
            self.put(out, header, "");
            return Some(self.socket.sid().text());
        }
        let Ok(sid) = Sid::random() else {
            self.fail(Reason::Internal);
            return None;
        };
        let sid = sid.text();
        self.put(out, header, &format!(r#"{{"sid":"{sid}"}}"#));
        Some(sid)
    }

    /// Tells the client that it cannot enter a namespace.
    pub(super) fn refuse(&self, namespace: &str, why: &str, out: &mut FrameWriter) {
        let header = Header { kind: Kind::ConnectError, attachments: 0, namespace, id: None };
        let text = match self.revision() {
            Revision::Three => quoted(why),
            Revision::Four => format!(r#"{{"message":{}}}"#, quoted(why)),
        };
        self.put(out, header, &text);
    }
}
