//! A Rust program, a peote member (as a Haxe game would be one) and a node program with the npm
//! package `anysocket` share a room. The node program is `interop/room_member.mjs`; `./check`
//! installs its package.
//!
//! `cargo run -p crosspoint --example shared_room`

use crosspoint::{EnterOptions, HubOptions, Member, MemberEvent, Node, Server};
use std::error::Error;
use std::process::{Command, Stdio};

type Any = Box<dyn Error + Send + Sync>;

#[tokio::main]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Any> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Gives who has heard what.
pub(crate) async fn run() -> Result<Vec<String>, Any> {
    let hub = Server::new(HubOptions::default());
    let address = hub.listen("127.0.0.1:0".parse()?)?;

    let rust = Node::builder().name("Rust").connect(format!("tcp://{address}")).await?;
    let mut rust = rust.enter("lobby", EnterOptions::new().room()).await?;
    let haxe = Node::connect(format!("peote://{address}")).await?;
    let mut haxe = haxe.enter("lobby", EnterOptions::new()).await?;
    let node = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/room_member.mjs"))
        .args([&address.ip().to_string(), &address.port().to_string(), "lobby"])
        .stdout(Stdio::piped())
        .spawn()?;

    let mut heard = Vec::new();
    heard.push(format!("Rust heard: {}", message(&mut rust).await?));
    heard.push(format!("Haxe heard: {}", message(&mut haxe).await?));
    rust.send("hello from Rust").await?;
    heard.push(format!("Haxe heard: {}", message(&mut haxe).await?));
    haxe.send("hello from Haxe").await?;
    heard.push(format!("Rust heard: {}", message(&mut rust).await?));
    let output = tokio::task::spawn_blocking(|| node.wait_with_output()).await??;
    for line in String::from_utf8(output.stdout)?.lines() {
        heard.push(format!("node heard: {line}"));
    }
    hub.stop().await;
    Ok(heard)
}

async fn message(member: &mut Member) -> Result<String, Any> {
    match member.next().await {
        Some(MemberEvent::Message { data, .. }) => Ok(String::from_utf8(data.to_vec())?),
        other => Err(format!("no message: {other:?}").into()),
    }
}
