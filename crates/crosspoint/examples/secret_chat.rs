//! A chat that the hub between cannot read: both sides have an identity, and each makes sure that
//! it talks to the other.
//!
//! `cargo run -p crosspoint --example secret_chat`

use crosspoint::{HubOptions, Identity, Node, Peer, PeerEvent, PeerId, Server};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Gives what both have read.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let hub = Server::new(HubOptions::default());
    let address = format!("tcp://{}", hub.listen("127.0.0.1:0".parse()?)?);

    // A program keeps its identity in a file that nobody else can read; `crosspoint id new` makes one,
    // and `Identity` is parsed from its text. The peer id follows from it: who has got it in a way that
    // can be trusted needs to trust no hub.
    let (anns, bobs) = (Identity::generate()?, Identity::generate()?);
    let (anns_id, bobs_id) = (anns.peer_id(), bobs.peer_id());
    let ann = Node::builder().identity(anns).connect(&address).await?;
    let bob = Node::builder().identity(bobs).connect(&address).await?;

    let (reply, question) = tokio::try_join!(ask(ann, bobs_id), answer(bob, anns_id))?;
    hub.stop().await;
    Ok(vec![question, reply])
}

async fn ask(node: Node, whom: PeerId) -> Result<String, Box<dyn Error>> {
    let peer = node.peer(whom).await?;
    peer.secure().await?;
    peer.send("shall we meet at noon?").await?;
    read(&peer).await
}

async fn answer(node: Node, whom: PeerId) -> Result<String, Box<dyn Error>> {
    let mut incoming = node.incoming();
    let peer = incoming.next().await.ok_or("nobody came")?;
    if peer.id() != whom {
        return Err("a stranger".into());
    }
    // Before this, it is only the hub that says who it is.
    peer.secure().await?;
    let question = read(&peer).await?;
    peer.send("at the bridge").await?;
    peer.close().await;
    Ok(question)
}

async fn read(peer: &Peer) -> Result<String, Box<dyn Error>> {
    match peer.next().await {
        Some(PeerEvent::Message(message)) => Ok(String::from_utf8(message.data.to_vec())?),
        other => Err(format!("no message: {other:?}").into()),
    }
}
