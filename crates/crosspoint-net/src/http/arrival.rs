//! How a request has come: over which connection, and whether through somebody else.

use super::forwarded::names_others;
use crate::remote::Remote;
use crate::stream::Writer;
use axum::http::HeaderMap;
use crosspoint_hub::networks::Networks;
use std::net::{IpAddr, SocketAddr};
use tokio_util::sync::CancellationToken;

/// How a request has come, as an extension of each request for the routes of programs and gateways.
///
/// The client's address, which a trusted proxy may have told, is
/// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo). This is what the system knows.
#[derive(Debug, Clone)]
pub struct Arrival {
    peer: Option<IpAddr>,
    local: Option<IpAddr>,
    tls: bool,
    through_proxy: bool,
    stop: CancellationToken,
}

impl Arrival {
    /// The address at the other end of the connection, maybe of a proxy. `None` inside the program and over a
    /// socket of the file system.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The address under which the other end has found this machine; `None` as for [`Self::peer`].
    pub fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Whether the connection is inside TLS that ends here.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the request comes through a proxy: a header says so, whoever wrote it, or the other end is a trusted
    /// proxy, whether it has told for whom it speaks or not.
    pub fn is_through_proxy(&self) -> bool {
        self.through_proxy
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the server stops. An answer that goes on should end then: it holds up the stop, and is cut off.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stop.clone().cancelled_owned()
    }
}

/// What is known of a connection when its first request comes.
#[derive(Debug)]
pub(super) struct Line {
    peer: Option<IpAddr>,
    local: Option<IpAddr>,
    tls: bool,
    through_proxy: bool,
    stop: CancellationToken,
}

impl Line {
    /// A connection that comes from somebody as far as is known before its first request.
    pub(super) fn new(
        writer: &Writer,
        from: Remote,
        proxies: &Networks,
        stop: &CancellationToken,
    ) -> Self {
        let ip = |address: Option<SocketAddr>| address.map(|address| address.ip().to_canonical());
        let peer = ip(writer.peer_address());
        let is_proxy = peer.is_some_and(|peer| proxies.contain(peer));
        Self {
            peer,
            local: ip(writer.local_address()),
            tls: matches!(writer, Writer::Tls(_)),
            // A header of the PROXY protocol has told another address.
            through_proxy: is_proxy || peer != from.ip(),
            stop: stop.clone(),
        }
    }

    /// How a request with these headers has come over it.
    pub(super) fn arrival(&self, headers: &HeaderMap) -> Arrival {
        Arrival {
            peer: self.peer,
            local: self.local,
            tls: self.tls,
            through_proxy: self.through_proxy || names_others(headers),
            stop: self.stop.clone(),
        }
    }
}
