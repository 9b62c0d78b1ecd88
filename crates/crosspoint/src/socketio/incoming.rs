//! The streams that clients open to the program of a hub.

use super::args::Args;
use crate::PeerInfo;
use crate::node::Node;
use crate::peer::{Peer, PeerEvent, Stream, StreamOffer};
use crosspoint_proto::peer::code;
use std::fmt;
use tokio::sync::mpsc;

/// Streams that may wait here. Those above are refused.
const OFFERS_MAX: usize = 64;

/// The streams that clients open to a program, see [`Application::streams`](super::Application::streams).
///
/// As long as it is there, clients hear when the program goes, if they have added it as a target. Dropping it ends that,
/// and refuses further streams.
pub struct Streams {
    offers: mpsc::Receiver<Offer>,
}

impl Streams {
    pub(super) fn new(node: &Node) -> Self {
        let (taker, offers) = mpsc::channel(OFFERS_MAX);
        let mut incoming = node.incoming();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    peer = incoming.next() => match peer {
                        Some(peer) => drop(tokio::spawn(attend(peer, taker.clone()))),
                        None => return,
                    },
                    () = taker.closed() => return,
                }
            }
        });
        Self { offers }
    }

    /// The next stream that a client opens. `None` when the connection to the hub has ended. It is cancel safe.
    pub async fn next(&mut self) -> Option<Offer> {
        self.offers.recv().await
    }
}

/// Hands on what a client offers over one link. What it says without a handler is for nobody.
async fn attend(peer: Peer, taker: mpsc::Sender<Offer>) {
    loop {
        let event = tokio::select! {
            event = peer.next() => event,
            () = taker.closed() => return,
        };
        match event {
            Some(PeerEvent::Stream(offer)) => {
                let offer = Offer { from: peer.info().clone(), offer };
                if let Err(mpsc::error::TrySendError::Full(offer)) = taker.try_send(offer) {
                    offer.offer.refuse(code::TOO_MANY, "too many streams wait");
                }
            }
            // Requests are refused by dropping them.
            Some(_) => {}
            None => return,
        }
    }
}

/// A stream that a client offers. Dropping it refuses it.
#[derive(Debug)]
#[must_use = "dropping it refuses the stream"]
pub struct Offer {
    from: PeerInfo,
    offer: StreamOffer,
}

impl Offer {
    /// Who opens it, as the hub states it.
    pub fn from(&self) -> &PeerInfo {
        &self.from
    }

    /// The channel in which the client opens it; empty if in none.
    pub fn channel(&self) -> &str {
        self.offer.name()
    }

    /// What the client gives as `argArray`, if it is a list.
    pub fn args(&self) -> Option<Args> {
        let text = str::from_utf8(self.offer.metadata()).ok()?;
        Args::raw(text, Vec::new()).ok()
    }

    /// Takes it.
    pub fn accept(self) -> Stream {
        self.offer.accept()
    }

    /// Refuses it. The client's `addP2pStream` is rejected with the text.
    pub fn refuse(self, text: &str) {
        self.offer.refuse(code::NOT_FOUND, text);
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}
