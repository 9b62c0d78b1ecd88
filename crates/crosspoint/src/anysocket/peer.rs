//! The handle of a peer.

use super::shared::{Answer, Handle, Link, State, after, moment, now};
use super::{Ended, Id, Json, PeerError, ProxyError};
use crosspoint_gateways::anysocket::cipher::{SwitchError, SystemRandom};
use crosspoint_gateways::anysocket::client::SendError;
use crosspoint_gateways::anysocket::id;
use crosspoint_gateways::anysocket::internal::{Offset, Time};
use crosspoint_gateways::anysocket::link;
use crosspoint_hub::PeerId;
use serde::Serialize;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Another peer: the neighbour, or one that is reached through it. Clones are the same link.
///
/// The connection lasts until the neighbour is [closed](Self::close), or until all handles of it and
/// of its proxied peers are dropped; running handlers have such handles too. What was handed over is
/// written first. Links to proxied peers are not ended by dropping their handles.
#[derive(Clone)]
pub struct Peer {
    pub(super) handle: Arc<Handle>,
    pub(super) link: Arc<Link>,
}

impl Peer {
    /// What the peer calls itself. Proxied peers always have an [`Id::Peer`].
    pub fn id(&self) -> &Id {
        &self.link.id
    }

    /// The same, if it is an ordinary id of 32 hexadecimal digits.
    pub fn peer_id(&self) -> Option<PeerId> {
        self.link.id.peer()
    }

    /// What the peer's application gave to be trusted; proxied peers give nothing.
    pub fn auth(&self) -> Option<&Json> {
        self.link.auth.as_ref()
    }

    /// The own id.
    pub fn own_id(&self) -> PeerId {
        self.handle.shared.id
    }

    /// Whether it is reached through the neighbour.
    pub fn is_proxied(&self) -> bool {
        !self.link.link.is_neighbour()
    }

    /// Sends a message. Waits as long as too much waits to be written.
    ///
    /// Values that JavaScript takes for false arrive as `{}`, as the original sends them; see
    /// [`keep_falsy`](super::ClientBuilder::keep_falsy).
    ///
    /// # Errors
    /// [`PeerError::Value`], [`PeerError::Ended`]
    pub async fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), PeerError> {
        let body = Json::new(value).map_err(PeerError::value)?;
        let link = self.link.link;
        let send = |state: &mut State| state.machine.send(link, body.clone());
        self.handle.shared.submit(&self.link, send).await
    }

    /// Asks for the other side's clock.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn clock(&self) -> Result<Offset, PeerError> {
        let link = self.link.link;
        let asked = moment();
        let ask =
            |state: &mut State, deadline, token| state.machine.clock(link, asked, deadline, token);
        let (body, at) = self.ask(self.handle.shared.reply_timeout, ask).await?;
        let time = Time::parse(&body).map_err(PeerError::unreadable)?;
        // On the monotonic clock, in case the other one is set meanwhile.
        let took = at.saturating_duration_since(asked.now).as_secs_f64() * 1000.0;
        let asked_ms = asked.clock_ms as f64;
        Ok(time.offset(asked_ms, asked_ms + took))
    }

    /// Encrypts the link, unless it is already; whichever side calls for it, both do. Gives what both
    /// sides can compare over another way to see that nobody sits in the middle, for which the
    /// protocol has no protection of its own.
    ///
    /// A link whose other side does not answer within 5 s ends.
    ///
    /// # Errors
    /// [`PeerError::Ended`], [`PeerError::Insecure`]
    pub async fn secure(&self) -> Result<Fingerprint, PeerError> {
        let (shared, link) = (&self.handle.shared, &self.link);
        let started = shared.submit(link, |state| {
            match state.machine.encrypt(link.link, now(), &mut SystemRandom) {
                // By the other side, or by another handle.
                Err(SendError::Link(link::SendError::Switch(SwitchError::Already))) => Ok(()),
                result => result,
            }
        });
        started.await?;
        let mut secured = link.secured.subscribe();
        tokio::select! {
            biased;
            Ok(secured) = secured.wait_for(Option::is_some) => {
                secured.map(Fingerprint).ok_or_else(|| PeerError::Ended(link.end_or_here()))
            }
            ended = link.over() => Err(PeerError::Ended(ended)),
        }
    }

    /// Whether the link is encrypted.
    pub fn secured(&self) -> Option<Fingerprint> {
        self.link.secured.borrow().map(Fingerprint)
    }

    /// A peer behind this one, which has to be the neighbour. Gives the same link if there is one.
    ///
    /// Hubs made with the original disconnect who asks for a peer that they do not know, or may not
    /// have.
    ///
    /// # Errors
    /// [`PeerError::NotNeighbour`], [`PeerError::Proxy`]
    pub async fn proxy(&self, id: PeerId) -> Result<Peer, PeerError> {
        if self.is_proxied() {
            return Err(PeerError::NotNeighbour);
        }
        let shared = &self.handle.shared;
        let deadline = after(shared.reply_timeout);
        let wait = loop {
            let mut room = pin!(shared.room.notified());
            room.as_mut().enable();
            let asked = {
                let mut state = shared.lock();
                match state.machine.proxy(id, deadline) {
                    Ok(Some(link)) => match state.links.get(&link) {
                        Some(link) => return Ok(self.sibling(link.clone())),
                        // The driver is about to tell of it.
                        None => Err(ProxyError::Full),
                    },
                    Ok(None) => {
                        let (answer, answered) = oneshot::channel();
                        state.askers.entry(id).or_default().push(answer);
                        Ok(answered)
                    }
                    Err(error) => Err(error),
                }
            };
            match asked {
                Ok(answered) => break answered,
                Err(ProxyError::Full) => {}
                Err(ProxyError::Ended(_)) => {
                    return Err(ProxyError::Ended(self.link.end_or_here()).into());
                }
                Err(error) => return Err(error.into()),
            }
            if tokio::time::timeout_at(deadline.into(), room).await.is_err() {
                return Err(ProxyError::TimedOut.into());
            }
        };
        shared.wake.notify_one();
        let link =
            wait.await.unwrap_or_else(|_| Err(ProxyError::Ended(self.link.end_or_here())))?;
        Ok(self.sibling(link))
    }

    /// Waits for the next peer that has asked the neighbour for us. `None` when the connection has
    /// ended. Their messages and calls are handled before they are accepted, too.
    pub async fn accept(&self) -> Option<Peer> {
        let shared = &self.handle.shared;
        loop {
            let mut arrived = pin!(shared.arrived.notified());
            arrived.as_mut().enable();
            {
                let mut state = shared.lock();
                if let Some(link) = state.incoming.pop_front() {
                    return Some(self.sibling(link));
                }
                if !state.machine.is_connected() {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Another peer of the same connection.
    fn sibling(&self, link: Arc<Link>) -> Peer {
        Peer { handle: self.handle.clone(), link }
    }

    /// Asks something and waits for the answer.
    pub(super) async fn ask(
        &self,
        timeout: Duration,
        ask: impl Fn(&mut State, Instant, oneshot::Sender<Answer>) -> Result<(), SendError>,
    ) -> Answer {
        let deadline = after(timeout);
        let sent = self.handle.shared.submit(&self.link, |state| {
            let (token, answered) = oneshot::channel();
            ask(state, deadline, token).map(|()| answered)
        });
        match tokio::time::timeout_at(deadline.into(), sent).await {
            Ok(sent) => {
                sent?.await.unwrap_or_else(|_| Err(PeerError::Ended(self.link.end_or_here())))
            }
            Err(_elapsed) => Err(PeerError::TimedOut),
        }
    }

    /// Waits for the end of the link.
    pub async fn closed(&self) -> Ended {
        self.link.over().await
    }

    /// Ends the link after everything that was handed over, and waits for that.
    ///
    /// For the neighbour this ends the connection with all its proxied peers, and everything has been
    /// written then. For a proxied peer it is what AnySocket calls `unproxy`.
    pub async fn close(&self) {
        {
            let mut state = self.handle.shared.lock();
            match self.is_proxied() {
                true => state.machine.unproxy(self.link.link),
                false => state.machine.close(),
            }
        }
        self.handle.shared.wake.notify_one();
        self.closed().await;
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.link.id)
            .field("proxied", &self.is_proxied())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Peer {
    /// Whether it is the same link.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
    }
}

/// What both sides of an encrypted link have in common. Shown as eight groups of four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pair) in self.0[..16].chunks_exact(2).enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{:02x}{:02x}", pair[0], pair[1])?;
        }
        Ok(())
    }
}

/// An id from its 32 lowercase hexadecimal digits.
pub fn peer_id(digits: &str) -> Option<PeerId> {
    id::parse(digits.as_bytes())
}
