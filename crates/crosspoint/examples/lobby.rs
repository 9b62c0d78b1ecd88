//! A chat in a room: two nodes of one program meet at a hub of the same program.
//!
//! `cargo run -p crosspoint --example lobby`

use crosspoint::{EnterOptions, HubOptions, Member, MemberEvent, Node, Server};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Gives what Ann sees.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let hub = Server::new(HubOptions::default());
    let address = format!("tcp://{}", hub.listen("127.0.0.1:0".parse()?)?);
    let ann = Node::builder().name("Ann").connect(&address).await?;
    let bob = Node::builder().name("Bob").connect(&address).await?;

    // The first to enter makes the room, and the last to leave ends it.
    let options = EnterOptions::new().room().presence();
    let mut here = ann.enter("lobby", options.clone()).await?;
    let there = bob.enter("lobby", options).await?;
    tokio::try_join!(chat(there), watch(&mut here)).map(|((), seen)| seen)
}

async fn chat(mut lobby: Member) -> Result<(), Box<dyn Error>> {
    lobby.send("hello?").await?;
    while let Some(event) = lobby.next().await {
        if let MemberEvent::Message { .. } = event {
            lobby.send("bye!").await?;
            lobby.leave().await?;
            break;
        }
    }
    Ok(())
}

async fn watch(lobby: &mut Member) -> Result<Vec<String>, Box<dyn Error>> {
    let mut seen = Vec::new();
    while let Some(event) = lobby.next().await {
        match event {
            MemberEvent::OtherEntered { member, peer } => {
                let name = peer.name.as_deref().unwrap_or("somebody");
                seen.push(format!("{member} is {name}"));
            }
            MemberEvent::Message { from: Some(member), data } => {
                let text = String::from_utf8_lossy(&data);
                seen.push(format!("{member}: {text}"));
                lobby.send("hello, whoever you are").await?;
            }
            MemberEvent::OtherLeft { member, reason } => {
                seen.push(format!("{member} has gone: {reason}"));
                return Ok(seen);
            }
            other => seen.push(format!("{other:?}")),
        }
    }
    Ok(seen)
}
