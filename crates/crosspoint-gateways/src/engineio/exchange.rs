//! Who may ask what of a session that comes by requests, and when it becomes a WebSocket.
//!
//! What the session says waits elsewhere, in order. One request at a time takes it (`GET`), and one at a time brings
//! what the client says (`POST`). A request that does not fit ends the session, as with the original.
//!
//! ```text
//! GET    poll ─▶ hang … hang ─▶ polled       POST   post ─▶ posted ─▶ post_done
//! WebSocket   2probe: probe   5: upgrade   … may_hand_over ─▶ handed_over
//! ```

use super::packet::{self, Kind, Packet};
use super::payload::{self, Message};
use super::{Refusal, Revision};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How long a request may still wait for what the session says once a WebSocket has come. The client upgrades when it
/// has its answer.
pub const NOOP_AFTER: Duration = Duration::from_millis(50);

/// The most packets in one payload of a client.
pub const PACKETS_MAX: usize = 16_384;

/// The state of one session.
#[derive(Debug)]
pub struct Exchange {
    revision: Revision,
    takes_octets: bool,
    poll: Poll,
    /// Whether a request brings something.
    posts: bool,
    upgrade: Upgrade,
    /// Whether nobody may ask anything any more.
    over: bool,
}

/// The request that takes what the session says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poll {
    /// There is none.
    None,
    /// It waits.
    Hangs,
    /// It is answered with this packet, and nothing else.
    Told(Kind),
}

/// The WebSocket that the session may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    None,
    /// One has come, and a request that waits is to be answered by then.
    Probed {
        noop_at: Instant,
    },
    /// The client sends nothing more by requests.
    Asked,
    Done,
}

/// What becomes of a request that waits for what the session says. If that has said something, it is answered with that
/// in the first two cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hang {
    /// It goes on waiting, until then at the most.
    Wait(Option<Instant>),
    /// It is answered with an empty packet.
    Noop,
    /// It is answered with this packet alone, whatever the session has said.
    Told(Kind),
    /// It is not served.
    Refused(Refusal),
}

impl Exchange {
    /// A session that was asked for by a request, which waits for the first that the session says. `takes_octets`:
    /// whether the client takes bytes as they are, where the revision has that.
    pub fn new(revision: Revision, takes_octets: bool) -> Self {
        let (poll, upgrade) = (Poll::Hangs, Upgrade::None);
        Self { revision, takes_octets, poll, posts: false, upgrade, over: false }
    }

    /// The revision that the client speaks.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether nobody may ask anything any more.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Something is wrong with the session: it is lost to its client.
    pub fn fail(&mut self) {
        self.over = true;
        if self.poll == Poll::Hangs {
            self.poll = Poll::Told(Kind::Close);
        }
    }

    fn may_ask(&self) -> Result<(), Refusal> {
        match self.upgrade {
            _ if self.over => Err(Refusal::UnknownSid),
            Upgrade::Asked | Upgrade::Done => Err(Refusal::BadRequest),
            Upgrade::None | Upgrade::Probed { .. } => Ok(()),
        }
    }

    /// A request comes that takes what the session says.
    ///
    /// # Errors
    /// What it is answered. If another one waits already, the session ends.
    pub fn poll(&mut self) -> Result<(), Refusal> {
        self.may_ask()?;
        if self.poll != Poll::None {
            self.fail();
            return Err(Refusal::BadRequest);
        }
        self.poll = Poll::Hangs;
        Ok(())
    }

    /// What becomes of the request that waits. To be asked again when something else has come.
    pub fn hang(&self, now: Instant) -> Hang {
        match (self.poll, self.upgrade) {
            (Poll::Told(kind), _) => Hang::Told(kind),
            (_, Upgrade::Asked | Upgrade::Done) => Hang::Refused(Refusal::BadRequest),
            (_, Upgrade::Probed { noop_at }) if now >= noop_at => Hang::Noop,
            (_, Upgrade::Probed { noop_at }) => Hang::Wait(Some(noop_at)),
            (_, Upgrade::None) => Hang::Wait(None),
        }
    }

    /// The request that waits is answered. `ended`: the session has said its last.
    pub fn polled(&mut self, ended: bool) {
        self.poll = Poll::None;
        self.over |= ended;
    }

    /// The body of an answer, and its media type.
    pub fn payload(&self, messages: &[Message]) -> (Vec<u8>, &'static str) {
        payload::encode(self.revision, self.takes_octets, messages)
    }

    /// The body of an answer that is one packet without data, and its media type.
    pub fn packet(&self, kind: Kind) -> (Vec<u8>, &'static str) {
        self.payload(&[bare(kind)])
    }

    /// A request comes that brings what the client says.
    ///
    /// # Errors
    /// What it is answered. If another one is not done yet, the session ends.
    pub fn post(&mut self) -> Result<(), Refusal> {
        self.may_ask()?;
        if self.posts {
            self.fail();
            return Err(Refusal::BadRequest);
        }
        self.posts = true;
        Ok(())
    }

    /// The body of that request has come. Gives the packets for the session, in order; nothing follows one that closes
    /// it.
    ///
    /// # Errors
    /// What the request is answered. The session ends, and gets nothing of the body.
    pub fn posted(&mut self, is_octets: bool, body: &Bytes) -> Result<Vec<Message>, Refusal> {
        if self.over {
            return Err(Refusal::UnknownSid);
        }
        let decoded = payload::decode(self.revision, is_octets, body, PACKETS_MAX);
        let Ok(mut messages) = decoded else { return Err(self.broken()) };
        for at in 0..messages.len() {
            let Message { is_text, bytes } = &messages[at];
            match packet::parse(self.revision, *is_text, bytes.clone()) {
                Ok(Packet::Text(Kind::Close, _)) => {
                    messages.truncate(at + 1);
                    self.over = true;
                    if self.poll == Poll::Hangs {
                        self.poll = Poll::Told(Kind::Noop);
                    }
                    break;
                }
                Ok(_) => {}
                Err(_) => return Err(self.broken()),
            }
        }
        Ok(messages)
    }

    fn broken(&mut self) -> Refusal {
        self.fail();
        Refusal::BadRequest
    }

    /// Whether such a request is under way.
    pub fn is_posting(&self) -> bool {
        self.posts
    }

    /// The session has what the request has brought.
    pub fn post_done(&mut self) {
        self.posts = false;
    }

    /// Whether a WebSocket may come for the session. One that may not is closed.
    pub fn may_probe(&self) -> bool {
        !self.over && self.upgrade == Upgrade::None
    }

    /// A WebSocket has come, and has said the word for that. Gives whether it may go on; it is closed otherwise.
    pub fn probe(&mut self, now: Instant) -> bool {
        let may = self.may_probe();
        if may {
            self.upgrade = Upgrade::Probed { noop_at: now + NOOP_AFTER };
        }
        may
    }

    /// The WebSocket that has come asks to be the session from now on. Gives whether it may.
    pub fn upgrade(&mut self) -> bool {
        let may = !self.over && matches!(self.upgrade, Upgrade::Probed { .. });
        if may {
            self.upgrade = Upgrade::Asked;
        }
        may
    }

    /// The WebSocket that had come is lost. A client that has asked for the upgrade has nothing else any more.
    pub fn probe_lost(&mut self) {
        match self.upgrade {
            Upgrade::Probed { .. } => self.upgrade = Upgrade::None,
            Upgrade::Asked => self.fail(),
            Upgrade::None | Upgrade::Done => {}
        }
    }

    /// Whether the WebSocket can have the session: no request is under way.
    pub fn may_hand_over(&self) -> bool {
        let is_idle = !self.posts && self.poll == Poll::None;
        !self.over && self.upgrade == Upgrade::Asked && is_idle
    }

    /// The WebSocket has the session.
    pub fn handed_over(&mut self) {
        self.upgrade = Upgrade::Done;
    }
}

/// A packet without data.
fn bare(kind: Kind) -> Message {
    Message { is_text: true, bytes: Bytes::copy_from_slice(&[kind.digit()]) }
}

#[cfg(test)]
mod tests;
