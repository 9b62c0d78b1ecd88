//! The server of a node that listens.

use crate::error::ConnectError;
use crate::lock::lock;
use crate::server::Server;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::runtime::Handle;

/// The server of a node that listens. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) server: Server,
    addresses: Mutex<Vec<SocketAddr>>,
    runtime: Handle,
}

impl Host {
    pub(super) fn new(server: Server) -> Self {
        Self { server, addresses: Mutex::default(), runtime: Handle::current() }
    }

    pub(super) fn listen(&self, address: SocketAddr) -> Result<SocketAddr, ConnectError> {
        let listening = self.server.listen(address);
        let listening = listening.map_err(|source| ConnectError::Listen { address, source })?;
        lock(&self.addresses).push(listening);
        Ok(listening)
    }

    /// Where it listens, in the order in which it began to.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.addresses).clone()
    }

    pub(super) async fn stop(&self) {
        self.server.stop().await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let server = self.server.clone();
        self.runtime.spawn(async move { server.stop().await });
    }
}
