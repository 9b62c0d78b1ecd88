//! What was a node server with AnySocket, in Rust: the hub application answers what its clients ask of the
//! hub, and speaks to them.
//!
//! `cargo run -p crosspoint --example application`

use crosspoint::anysocket::{Arg, Client, Message, Peer, Value};
use crosspoint::{Application, Ask, Failure, Format, Hub, HubOptions, Payload, PeerInfo, Reply};
use crosspoint::{Server, ServerOptions};
use serde_json::json;
use std::error::Error;
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// The program of the hub. It is asked by the task of the client that asks, so it answers at once, or hands
/// the reply to a task of its own.
struct Office {
    /// Messages, which are answered elsewhere.
    desk: mpsc::UnboundedSender<(Payload, Reply)>,
}

impl Application for Office {
    fn ask(&self, _from: &PeerInfo, ask: Ask, reply: Reply) {
        match ask.method.as_str() {
            // In JavaScript: `hub.send(…)`.
            "" => drop(self.desk.send((ask.payload, reply))),
            // `hub.rpc.add(2, 3)`.
            "add" => {
                let sum = serde_json::from_slice(&ask.payload.data).map(|(a, b): (i64, i64)| a + b);
                reply.send(match sum {
                    Ok(sum) => Ok(Payload::new(Format::JSON, sum.to_string())),
                    Err(_) => Err(Failure::new(400, "two numbers, please")),
                });
            }
            method => reply.send(Err(Failure::no_method(method))),
        }
    }
}

/// Gives what a client hears.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let hub = Hub::new(HubOptions::default());
    let (desk, mut messages) = mpsc::unbounded_channel();
    if hub.set_application(Box::new(Office { desk })).is_err() {
        return Err("the hub has a program already".into());
    }
    let server = Server::with_hub(hub, ServerOptions::default());
    let address = format!("ws://{}", server.listen("127.0.0.1:0".parse()?)?);

    let answers = async {
        let (said, reply) = messages.recv().await.ok_or("nobody said anything")?;
        let said = String::from_utf8_lossy(&said.data);
        reply.send(Ok(Payload::new(Format::JSON, json!(format!("you said {said}")).to_string())));
        // To all clients at once.
        server.hub().tell_all(&Payload::new(Format::JSON, r#""lunch""#), None);
        Ok(())
    };
    let (seen, ()) = tokio::try_join!(client(&address), answers)?;
    server.stop().await;
    Ok(seen)
}

/// A client, which could as well be a page or a node program.
async fn client(address: &str) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let (heard, mut news) = mpsc::unbounded_channel();
    let hub: Peer = Client::builder()
        .on_message(move |message: Message| {
            let heard = heard.clone();
            async move {
                // Nobody listens any more when the client is about to go.
                let _ = heard.send(message.read::<Value>().ok());
                None
            }
        })
        .connect(address)
        .await?;
    let mut seen = Vec::new();
    let sum = hub.call("add", [Arg::from(json!(2)), Arg::from(json!(3))]).await?.json();
    seen.push(sum.unwrap_or_default().to_string());
    if let Err(error) = hub.call("missing", Arg::NONE).await {
        seen.push(error.to_string());
    }
    let answer: String = serde_json::from_value(hub.request(&"hello").await?)?;
    seen.push(answer);
    let told = news.recv().await.flatten().ok_or("nothing was told")?;
    seen.push(format!("all: {told}"));
    hub.close().await;
    Ok(seen)
}
