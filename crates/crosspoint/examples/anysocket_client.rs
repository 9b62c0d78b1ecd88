//! A Rust program among JavaScript ones: connects to a server made with AnySocket, or to a Crosspoint
//! hub, calls it and is called.
//!
//! ```text
//! cargo run -p crosspoint --example anysocket_client -- ws://127.0.0.1:3000/ "open sesame"
//! ```

use crosspoint::anysocket::{Arg, Call, Client, Message, PeerError, Value};
use serde_json::json;
use std::error::Error;

/// Gives what it has seen.
pub(crate) async fn run(
    address: &str,
    auth: &str,
) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let server = Client::builder()
        .auth(auth)
        // What the server may call: `peer.rpc.hello("you")`.
        .serve("hello", |call: Call| async move {
            let name: String = call.read(0)?;
            Ok::<_, PeerError>(format!("Hello {name}"))
        })
        // What it says besides; here everything is said back.
        .on_message(|message: Message| async move { message.read::<Value>().ok() })
        .connect(address)
        .await?;

    let mut seen = Vec::new();
    // From here on nobody in between can read along.
    server.secure().await?;
    let answer = server.request(&json!({"how": "are you?"})).await?;
    seen.push(format!("answer {answer}"));
    let joined = server
        .call("bytes.join", [Arg::from(b"Rust and ".to_vec()), Arg::from(b"JavaScript".to_vec())])
        .await?;
    let joined = joined.binary().unwrap_or_default();
    seen.push(String::from_utf8_lossy(&joined).into_owned());
    match server.call("no.such", Arg::NONE).await {
        Err(PeerError::Failed(failure)) => seen.push(failure.to_string()),
        other => seen.push(format!("{other:?}")),
    }
    server.close().await;
    Ok(seen)
}

#[allow(dead_code, reason = "a test runs the rest")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:3000/".into());
    let auth = arguments.next().unwrap_or_else(|| "open sesame".into());
    for line in run(&address, &auth).await? {
        println!("{line}");
    }
    Ok(())
}
