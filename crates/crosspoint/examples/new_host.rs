//! A match that outlives its host: the channel passes to the player whom the host has named.
//!
//! `cargo run -p crosspoint --example new_host`

use crosspoint::{
    Address, ChannelOptions, EnterOptions, HubOptions, Member, MemberEvent, Node, OwnerEvent,
    Server, Shape,
};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Gives what the last player sees.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let hub = Server::new(HubOptions::default());
    let address = hub.inside(Shape::default());
    let ann = Node::builder().name("Ann").connect(address.clone()).await?;
    let mut host = ann.create("match", ChannelOptions::new()).await?;
    let bob = join("Bob", &address).await?;
    let mut cid = join("Cid", &address).await?;

    // The member that came first takes over.
    if let Some(OwnerEvent::Entered { member, .. }) = host.next().await {
        host.set_successor(Some(member)).await?;
    }
    host.broadcast("round 1", None).await?;
    let bobs_game = tokio::spawn(play(bob));
    // Ann's program ends. A lost connection would do the same, after the time in which it may come back.
    ann.close().await;

    let mut seen = Vec::new();
    while let Some(event) = cid.next().await {
        match event {
            MemberEvent::Message { data, .. } => {
                seen.push(format!("host: {}", String::from_utf8_lossy(&data)));
            }
            MemberEvent::OwnerChanged { peer } => {
                let name = peer.name.as_deref().unwrap_or("somebody");
                seen.push(format!("{name} is the host now"));
            }
            MemberEvent::Ended { reason } => seen.push(format!("over: {reason}")),
            other => seen.push(format!("{other:?}")),
        }
    }
    bobs_game.await??;
    Ok(seen)
}

async fn join(name: &str, hub: &Address) -> Result<Member, Box<dyn Error>> {
    let node = Node::builder().name(name).connect(hub.clone()).await?;
    Ok(node.enter("match", EnterOptions::new()).await?)
}

/// Plays until the match is over, or the player is its host.
async fn play(mut player: Member) -> Result<(), crosspoint::ChannelError> {
    while let Some(event) = player.next().await {
        if event == MemberEvent::Inherited {
            break;
        }
    }
    if let Some(host) = player.into_owner() {
        host.broadcast("round 2", None).await?;
        host.delete().await?;
    }
    Ok(())
}
