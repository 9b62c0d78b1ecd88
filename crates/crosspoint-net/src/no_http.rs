//! What stands in the place of HTTP where the feature `http` is off: upgrades of programs to WebSocket, and
//! nothing else. Pages, whose origin would have to be checked, and requests are refused.

use crate::gateway::Gateways;
use crate::parting::{LINGER, Parting};
use crate::reading::discard;
use crate::refusal;
use crate::remote::Remote;
use crate::runner::Runner;
use crate::stream::{Reader, Writer};
use crate::upgraded::Accepted;
use crate::ws::handshake::{self, Upgrade};
use ::http::request::Parts;
use bytes::{Bytes, BytesMut};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::{Hub, Limit, PeerId, Reason};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What there is to say of HTTP.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// The id of the hub's node, if it is not made up.
    pub node_id: Option<PeerId>,
}

/// What is answered to requests.
#[derive(Debug)]
pub(crate) struct Site {
    hub: Arc<Hub>,
}

/// What becomes of a request to upgrade; if it is refused, the reason to close and the answer.
type Verdict = Result<Accepted, (Reason, Bytes)>;

/// What became of a connection.
pub(crate) enum Outcome {
    /// It is over.
    Ended(Reason),
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Site {
    pub(crate) fn new(runner: &Arc<Runner>, _: &HttpOptions, _: &Gateways) -> Self {
        Self { hub: runner.hub.clone() }
    }

    /// How long a head may take from its first byte, and the limit that says so.
    pub(crate) fn head_max(&self) -> (Duration, Limit) {
        (self.hub.limits.handshake_max, Limit::Handshake)
    }

    /// Decides about an upgrade.
    pub(crate) fn first_upgrade(
        &self,
        upgrade: &Upgrade,
        has_origin: bool,
        _head: &[u8],
        (from, _here): (Remote, Option<SocketAddr>),
    ) -> (Verdict, Option<Parts>) {
        if has_origin {
            let text = b"Web pages are not served here.\n";
            return (Err((Reason::NotAllowed, handshake::answer(403, "", TEXT, text))), None);
        }
        let protocol = upgrade.protocols.first().map(String::as_str);
        (Ok(Accepted::new(&self.hub, upgrade, protocol, from)), None)
    }
}

/// A verdict after the connection was counted where it comes from.
pub(crate) fn counted(verdict: Verdict, admission: &mut Admission) -> Verdict {
    let accepted = verdict?;
    match admission.come_from(accepted.remote.ip()) {
        Ok(()) => Ok(accepted),
        Err(reason) => Err((reason, refusal::later(reason))),
    }
}

/// Says to a connection that requests are not answered here.
pub(crate) async fn serve(
    _: &Site,
    (mut reader, writer): (Reader, Writer),
    _first: BytesMut,
    _from: (Remote, &mut Admission),
    parting: Arc<Parting>,
) -> Outcome {
    let answer = handshake::answer(404, "", TEXT, b"This hub answers no requests.\n");
    let said = async {
        if writer.write_all(&answer).await.is_ok() {
            writer.shutdown();
            discard(&mut reader).await;
        }
    };
    parting.wait(LINGER, said).await;
    Outcome::Ended(Reason::UnknownProtocol)
}

#[cfg(test)]
mod tests {
    use crate::memory::{Shape, pair};
    use crate::reading::read;
    use crate::server::{Server, ServerOptions};
    use crate::stream::Stream;
    use crosspoint_hub::{Hub, HubOptions};

    /// The beginning of the answer to a request with these headers.
    async fn answer(path: &str, headers: &str) -> String {
        let server = Server::new(Hub::new(HubOptions::default()), ServerOptions::default());
        let (near, far) = pair(Shape::default(), Shape::default());
        server.accept(far.into());
        let (mut reader, writer) = Stream::from(near).into_split();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        writer.write_all(request.as_bytes()).await.unwrap();
        let answer = read(&mut reader).await.unwrap();
        String::from_utf8_lossy(&answer).chars().take("HTTP/1.1 101".len()).collect()
    }

    #[tokio::test]
    async fn programs_may_upgrade_and_pages_and_requests_are_refused() {
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(answer("/", upgrade).await, "HTTP/1.1 101");
        let page = format!("{upgrade}Origin: https://page.example\r\n");
        assert_eq!(answer("/", &page).await, "HTTP/1.1 403");
        assert_eq!(answer("/metrics", "").await, "HTTP/1.1 404");
    }
}
