//! Without a network: an owner and a member in one program, with the lag of a real connection.
//!
//! `cargo run -p crosspoint --example offline`

use crosspoint::{
    ChannelOptions, EnterOptions, HubOptions, MemberEvent, Node, OwnerEvent, Server, Shape,
};
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("there and back in {:?}", run().await?);
    Ok(())
}

/// Gives how long a message and its answer take.
pub(crate) async fn run() -> Result<Duration, Box<dyn Error>> {
    let hub = Server::new(HubOptions::default());
    let near = Shape::default();
    let far = Shape {
        lag: Duration::from_millis(40),
        bytes_per_second: 1_000_000.try_into().ok(),
        ..Shape::default()
    };
    let host = Node::connect(hub.inside(near)).await?;
    let guest = Node::connect(hub.inside(far)).await?;

    let mut owner = host.create("game", ChannelOptions::new()).await?;
    tokio::spawn(async move {
        while let Some(event) = owner.next().await {
            if let OwnerEvent::Message { member, data } = event {
                // The guest may have gone meanwhile.
                let _ = owner.send(member, data).await;
            }
        }
    });

    let mut member = guest.enter("game", EnterOptions::new()).await?;
    let start = Instant::now();
    member.send("ping").await?;
    let answer = member.next().await;
    let took = start.elapsed();
    assert!(matches!(answer, Some(MemberEvent::Message { .. })), "{answer:?}");
    hub.stop().await;
    Ok(took)
}
