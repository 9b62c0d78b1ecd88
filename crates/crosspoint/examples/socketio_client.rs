//! A Rust program among JavaScript ones: takes part at a server made with socket.io and the plugin `socket.io-p2p-plugin`,
//! or at a Crosspoint hub.
//!
//! ```text
//! cargo run -p crosspoint --example socketio_client -- http://127.0.0.1:7680 rust
//! ```
//!
//! With a server of Socket.IO 2, write `2` behind that.

use crosspoint::socketio::client::{Client, Event, Notice, Revision};
use std::error::Error;

/// Gives what it has seen.
pub(crate) async fn run(
    url: &str,
    name: &str,
    revision: Revision,
) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let socket = Client::builder()
        .client_id(name)
        .revision(revision)
        // What others may ask: `socket.emitTo('rust', 'greet', 'you', (text) => …)`.
        .on("greet", |event: Event| async move {
            let who: String = event.get(0)?;
            event.ack(&format!("Hello {who}")).await
        })
        .on("news", |event: Event| async move { println!("news: {}", event.args().json()) })
        .on_notice(|notice: Notice| async move { println!("{notice:?}") })
        .connect(url)
        .await?;

    let mut seen = vec![format!("here: {}", socket.clients().await?.join(", "))];
    socket.join_room("lobby").await?;
    socket.emit_room("lobby", "news", &format!("{name} is here")).await?;
    // A service is one client or another that provides it. This program does if nobody else does.
    if !socket.has_service("double").await? {
        let double = |event: Event| async move {
            let number: i64 = event.get(0)?;
            event.ack(&(2 * number)).await
        };
        socket.provide_service("double", double).await?;
    }
    let doubled: i64 = socket.call_service("double", &21).await?.value()?;
    seen.push(format!("21 doubled is {doubled}"));
    let greeting: String = socket.emit_to_with_ack(name, "greet", "myself").await?.value()?;
    seen.push(greeting);
    socket.close().await;
    Ok(seen)
}

#[allow(dead_code, reason = "a test runs the rest")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:7680".into());
    let name = arguments.next().unwrap_or_else(|| "rust".into());
    let revision = match arguments.next().as_deref() {
        Some("2") => Revision::Three,
        _ => Revision::Four,
    };
    for line in run(&url, &name, revision).await? {
        println!("{line}");
    }
    Ok(())
}
