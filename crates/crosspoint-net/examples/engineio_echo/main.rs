//! A server of Engine.IO that says everything again until it is killed, as the public test suites of that protocol want it:
//!
//! `cargo run -p crosspoint-net --example engineio_echo [PORT]`, then the suite of either revision.

mod echo;

use crosspoint_hub::{Hub, HubOptions};
use crosspoint_net::engineio::{Beat, Config, EngineIo};
use crosspoint_net::gateway::Gateways;
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::{Server, ServerOptions, bind};
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

// The suites have two requests race, and expect the one that was sent first to be the first.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(3000), |port| port.parse())?;
    let config = Config {
        beat: Beat {
            interval: Duration::from_millis(300),
            timeout: Duration::from_millis(200),
            payload_bytes_max: 1_000_000,
        },
        ..Config::default()
    };
    let engineio = EngineIo::new("/engine.io".parse()?, config, Arc::new(echo::Echoes));
    let http = HttpOptions { origins: vec!["*".to_owned()], ..HttpOptions::default() };
    let gateways = Gateways::none().with(engineio);
    let options = ServerOptions { gateways, http, ..ServerOptions::default() };
    let server = Server::new(Hub::new(HubOptions::default()), options);
    let listener = bind((Ipv4Addr::LOCALHOST, port).into())?;
    println!("http://{}/engine.io/", listener.local_addr()?);
    server.listen(listener);
    std::future::pending().await
}
