//! A server of Socket.IO whose application gives its clients back what they say, as the public test suite of that protocol
//! wants it, until it is killed:
//!
//! `cargo run -p crosspoint-net --example socketio_echo [PORT]`, then the suite.

use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::Peer;
use crosspoint_hub::payload::{Ask, Format, Payload};
use crosspoint_hub::{Hub, HubOptions, Limits};
use crosspoint_net::engineio::{Beat, Config, EngineIo};
use crosspoint_net::gateway::Gateways;
use crosspoint_net::gateways::SocketIo;
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::{Server, ServerOptions, bind};
use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Says everything again.
struct Echo;

impl Application for Echo {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        let answer = match ask.method.as_str() {
            // What the client has given to be let in, or nothing.
            "connect" | "/custom,connect" if *ask.payload.data == *b"[]" => {
                Some(Payload::new(Format::JSON, r#"["auth",{}]"#))
            }
            "connect" | "/custom,connect" => event("auth", &ask.payload),
            "message" => event("message-back", &ask.payload),
            // The arguments themselves are the acknowledgement.
            "message-with-ack" => Some(ask.payload),
            _ => None,
        };
        if let Some(answer) = answer {
            reply.send(Ok(answer));
        }
    }
}

/// The arguments of a client with the name of an event in front.
fn event(name: &str, arguments: &Payload) -> Option<Payload> {
    let data = match arguments.format {
        Format::JSON => {
            let inside = arguments.data.strip_prefix(b"[")?;
            let comma = if inside == b"]" { "" } else { "," };
            [format!("[\"{name}\"{comma}").as_bytes(), inside].concat()
        }
        // With attachments: an array whose length has 4 bytes.
        Format::MESSAGE_PACK => {
            let (length, inside) = arguments.data.strip_prefix(b"\xdd")?.split_first_chunk()?;
            let length = u32::from_be_bytes(*length) + 1;
            let name = [&[0xa0 | name.len() as u8], name.as_bytes()].concat();
            [b"\xdd", &length.to_be_bytes()[..], &name, inside].concat()
        }
        _ => return None,
    };
    Some(Payload::new(arguments.format, data))
}

// The suite has two requests race, and expects the one that was sent first to be the first.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(3000), |port| port.parse())?;
    let gateway = SocketIo {
        engine: Config {
            beat: Beat {
                interval: Duration::from_millis(300),
                timeout: Duration::from_millis(200),
                payload_bytes_max: 1_000_000,
            },
            ..Config::default()
        },
        namespaces: vec!["/custom".into()],
        ..SocketIo::default()
    };
    let limits = Limits { handshake_max: Duration::from_secs(1), ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    if hub.set_application(Box::new(Echo)).is_err() {
        return Err("the hub has an application already".into());
    }
    let http = HttpOptions { origins: vec!["*".to_owned()], ..HttpOptions::default() };
    let gateways = Gateways::none().with(EngineIo::from(gateway));
    let server = Server::new(hub, ServerOptions { gateways, http, ..ServerOptions::default() });
    let listener = bind((Ipv4Addr::LOCALHOST, port).into())?;
    println!("http://{}/socket.io/", listener.local_addr()?);
    server.listen(listener);
    std::future::pending().await
}
