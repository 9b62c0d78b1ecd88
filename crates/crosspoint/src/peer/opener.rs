//! Opens links to peers.

use super::Peer;
use super::asked::Asked;
use super::error::PeerError;
use super::link::{Core, NewLink, Terms};
use super::route::Route;
use crate::connection::{AskError, Connection, Linked, Question};
use crate::{PeerId, Reason};
use crosspoint_hub::command::{Addressee, LinkCommand, LinkOptions};
use crosspoint_proto::peer::Side;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Opens links over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    connection: Arc<Connection>,
    terms: Arc<Terms>,
}

impl Opener {
    pub(crate) fn new(connection: &Arc<Connection>, terms: &Arc<Terms>) -> Self {
        Self { connection: connection.clone(), terms: terms.clone() }
    }

    /// Opens a link, and encrypts it if that is required. `behind` says who is at the far end if
    /// others forward it.
    pub(crate) async fn open(
        &self,
        to: Addressee,
        behind: Option<(PeerId, Route)>,
        options: LinkOptions,
    ) -> Result<Peer, PeerError> {
        if !self.connection.is_native() {
            return Err(PeerError::Unsupported);
        }
        let (answer, answered) = oneshot::channel();
        let asked = Asked::link(&to, &options.except);
        let terms = self.terms.clone();
        let question = Question::Link(Box::new(move |linked| {
            // If nobody waits any more, or it cannot be encrypted, the peer is dropped, which ends the
            // link.
            drop(answer.send(link(&asked, behind, &terms, linked)));
        }));
        let command = |request| LinkCommand::Open { request, to, options };
        self.connection.send_question(question, command).await?;
        let peer = answered.await.unwrap_or_else(|_| Err(self.connection.lost().into()))?;
        if peer.handle.core.encryption_required {
            peer.secure().await?;
        }
        Ok(peer)
    }
}

/// The peer of a link that was asked for, and is there.
fn link(
    asked: &Asked,
    behind: Option<(PeerId, Route)>,
    terms: &Arc<Terms>,
    linked: Result<Linked, AskError>,
) -> Result<Peer, PeerError> {
    let Linked { connection, link, info } = linked?;
    let (far, route) = behind.unwrap_or_else(|| (info.id, Route::default()));
    let required = asked.check(&info);
    let required = required.and_then(|()| terms.encryption_required(&info, far, &route));
    let encryption_required =
        required.inspect_err(|_error| connection.refuse(link, Reason::Left))?;
    let (side, attended) = (Side::Opener, true);
    let new = NewLink { link, side, info, far, route, encryption_required, attended };
    let core = Core::new(&connection, terms, new);
    connection.links.insert(link, core.clone());
    let opened = match encryption_required {
        true => core.require_encryption(),
        false => Ok(()),
    };
    let peer = Peer::of(&core);
    opened.map(|()| peer)
}
