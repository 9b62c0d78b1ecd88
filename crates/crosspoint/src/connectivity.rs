//! Connections that come back by themselves.

use crate::{Address, Node, NodeBuilder};
use crosspoint_net::client::{Dialed, Endpoint, dial};
use crosspoint_net::resume;
use std::io;
use std::time::Duration;
use tokio::sync::watch;

pub use crosspoint_net::resume::{Connectivity, Lost, Receipt, Why};

/// Whether a node comes back after a lost connection, and where else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resume {
    wanted: bool,
    others: Vec<Endpoint>,
}

impl NodeBuilder {
    /// Comes back by itself when the connection is lost: the hub waits for a while (20 s unless it
    /// is set otherwise), and nothing is lost, doubled or reordered meanwhile. Channels, links and
    /// requests go on as if it had been slow. [`Node::connectivity`] tells what is going on, and
    /// what was lost if it took too long (docs/resume.md). A peote-server cannot do this.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.resume.wanted = true;
        self
    }

    /// As [`resume`](Self::resume), and tries this place too, which may be the same hub over another
    /// transport. Can be said several times.
    #[must_use]
    pub fn resume_at(mut self, address: Address) -> Self {
        self.resume.others.push(address.endpoint);
        self.resume()
    }
}

impl Node {
    /// Whether the connection is there, for a node that [comes back](NodeBuilder::resume) by itself.
    pub fn connectivity(&self) -> Option<watch::Receiver<Connectivity>> {
        self.shared.facts.connectivity()
    }
}

impl Resume {
    /// Connects, with a connection that comes back if that is wanted, and asks for signs of life after so
    /// much silence.
    pub(crate) async fn dial(
        &self,
        address: &Address,
        heartbeat: Option<Duration>,
    ) -> io::Result<(Dialed, Option<watch::Receiver<Connectivity>>)> {
        if !self.wanted || address.protocol != crate::Protocol::Native {
            return Ok((dial(&address.endpoint).await?, None));
        }
        let first = std::iter::once(&address.endpoint);
        let endpoints = first.chain(&self.others).cloned().collect();
        let options = resume::Options { heartbeat, ..resume::Options::new(endpoints) };
        let (dialed, states) = resume::dial(options).await?;
        Ok((dialed, Some(states)))
    }
}
