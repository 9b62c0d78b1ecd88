//! A hub inside the program.

use crate::address::{Address, Protocol};
#[cfg(feature = "anysocket")]
use crate::{EncryptError, PeerId, Reason, anysocket::Fingerprint};
use crosspoint_hub::{Hub, HubOptions};
use crosspoint_net::client::Endpoint;
use crosspoint_net::memory::{Connector, Shape, listener};
use crosspoint_net::server::{self, ServerOptions, bind};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "anysocket")]
use std::time::Duration;
#[cfg(feature = "anysocket")]
use tokio::sync::oneshot;

/// A hub that runs inside the program, for its own nodes and for clients that connect to it.
///
/// It is stopped by [`stop`](Self::stop); dropping it leaves listeners and sessions as they are.
#[derive(Debug, Clone)]
pub struct Server {
    server: server::Server,
    connector: Connector,
}

impl Server {
    /// A fresh hub that listens nowhere yet.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn new(options: HubOptions) -> Self {
        Self::with_hub(Hub::new(options), ServerOptions::default())
    }

    /// Serves a hub, with a say in how.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn with_hub(hub: Arc<Hub>, options: ServerOptions) -> Self {
        let server = server::Server::new(hub, options);
        let (connector, acceptor) = listener();
        server.listen_memory(acceptor);
        Self { server, connector }
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Arc<Hub> {
        self.server.hub()
    }

    /// Listens for all protocols, over TCP and WebSocket. Gives the address, with the port that
    /// the system chose for port 0.
    ///
    /// # Errors
    /// The system's, most often that the address is in use or not ours.
    pub fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = bind(address)?;
        let address = listener.local_addr()?;
        self.server.listen(listener);
        Ok(address)
    }

    /// As [`listen`](Self::listen), but serves no connections without TLS, whatever
    /// [`Tls::required`](crate::tls::server::Tls::required) says. Without [`ServerOptions::tls`] none at all.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_tls(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = bind(address)?;
        let address = listener.local_addr()?;
        self.server.listen_tls(listener);
        Ok(address)
    }

    /// Where nodes of this program reach the hub without a network. The shape gives the connection
    /// the lag, jitter and speed of a real one, in both directions.
    pub fn inside(&self, shape: Shape) -> Address {
        Address {
            protocol: Protocol::Native,
            endpoint: Endpoint::Memory { connector: self.connector.clone(), shape },
        }
    }

    /// Closes the listeners and tells all sessions [`Reason::HubStopping`](crate::Reason), after
    /// what waits for them. Returns when all have ended; one that reads nothing has 5 s.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}

#[cfg(feature = "anysocket")]
impl Server {
    /// Encrypts the connection of one session, whose protocol can begin to do that while it is used:
    /// AnySocket's (docs/anysocket.md, section 8). Everything that the hub says to it from now on
    /// waits until that is done; what was said before may leave in clear. Gives the fingerprint of
    /// the keys, which is the same at the other end unless somebody sits in the middle. Asking again
    /// gives it again.
    ///
    /// Who does not answer is disconnected after 5 s. Messages that the other side sends meanwhile
    /// arrive, and so do those of clients that call for encryption at the same time.
    ///
    /// # Errors
    /// [`EncryptError`]; with [`EncryptError::TimedOut`] it goes on nevertheless.
    pub async fn secure(
        &self,
        peer: PeerId,
        within: Duration,
    ) -> Result<Fingerprint, EncryptError> {
        let (settled, outcome) = oneshot::channel();
        let done = Box::new(move |outcome| {
            // The caller may have given up.
            let _ = settled.send(outcome);
        });
        let unsupported = |reason| match reason {
            Reason::NoSuchPeer => EncryptError::NoSuchPeer(peer),
            Reason::Unsupported => EncryptError::Unsupported(peer),
            reason => EncryptError::Ended(reason),
        };
        self.hub().secure(peer, done).map_err(unsupported)?;
        match tokio::time::timeout(within, outcome).await {
            Ok(Ok(outcome)) => outcome.map(Fingerprint).map_err(unsupported),
            // The session was dropped, which tells all who wait; so this never comes.
            Ok(Err(_)) => Err(EncryptError::Ended(Reason::ConnectionLost)),
            Err(_) => Err(EncryptError::TimedOut { peer, after: within }),
        }
    }
}
