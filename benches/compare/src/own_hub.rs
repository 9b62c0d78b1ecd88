//! The hub with a handler in Rust: a program that embeds the hub and answers itself. Compare starts
//! itself as this program, so that it is a process of its own like the other servers.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::Peer;
use crosspoint_hub::payload::{Ask, Format, Payload};
use crosspoint_hub::{Hub, HubOptions};
use crosspoint_net::server::{Server, ServerOptions, bind};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Builder;

/// Does what the other AnySocket servers do for a load generator: it answers whatever is said with
/// the same, but says what it is ordered to broadcast to all others.
struct Handler {
    hub: Weak<Hub>,
}

/// An order of the load generator.
#[derive(Deserialize)]
struct Order<'a> {
    #[serde(rename = "do")]
    act: &'a str,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Application for Handler {
    fn ask(&self, from: &Peer, ask: Ask, reply: Reply) {
        match serde_json::from_slice::<Order<'_>>(&ask.payload.data) {
            Ok(order) if order.act == "broadcast" => {
                let value = Bytes::copy_from_slice(order.value.get().as_bytes());
                let payload = Payload::new(Format::JSON, value);
                if let Some(hub) = self.hub.upgrade() {
                    hub.tell_all(&payload, Some(from.id));
                }
            }
            _ => reply.send(Ok(ask.payload)),
        }
    }
}

/// Serves until the process is ended.
pub(crate) fn run() -> io::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let hub = Hub::new(HubOptions::default());
        hub.set_application(Box::new(Handler { hub: Arc::downgrade(&hub) }))
            .map_err(|_| io::Error::other("the hub has a application already"))?;
        let server = Server::new(hub, ServerOptions::default());
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        server.listen(listener);
        writeln!(io::stdout(), "listening on {address}")?;
        std::future::pending::<()>().await;
        Ok(())
    })
}
