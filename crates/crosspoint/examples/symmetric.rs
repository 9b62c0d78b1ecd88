//! Two programs without a hub: one listens, the other connects, and then both can do the same.
//!
//! `cargo run -p crosspoint --example symmetric`

use crosspoint::{Node, NodeBuilder, Peer, PeerEvent};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// What both of them answer.
fn node(name: &'static str) -> NodeBuilder {
    Node::builder().name(name).serve("double", |n: u32| async move { Ok(2 * n) })
}

/// Gives what they have said to each other.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let ann = node("Ann").listen("127.0.0.1:0".parse()?).await?;
    let mut incoming = ann.incoming();
    let address = format!("tcp://{}", ann.addresses()[0]);

    let bob = node("Bob").connect(address).await?;
    let to_ann = bob.neighbour().await?;
    let to_bob = incoming.next().await.ok_or("nobody came")?;

    let mut said = Vec::new();
    for (peer, other) in [(&to_ann, &to_bob), (&to_bob, &to_ann)] {
        said.push(talk(peer, other).await?);
    }
    bob.close().await;
    ann.close().await;
    Ok(said)
}

async fn talk(peer: &Peer, other: &Peer) -> Result<String, Box<dyn Error>> {
    let doubled = peer.call::<u32>("double", &21).await?;
    peer.send(format!("you say {doubled}")).await?;
    let name = other.info().name.as_deref().unwrap_or("somebody").to_owned();
    match other.next().await {
        Some(PeerEvent::Message(message)) => {
            Ok(format!("{name}: {}", String::from_utf8_lossy(&message.data)))
        }
        other => Err(format!("no message: {other:?}").into()),
    }
}
