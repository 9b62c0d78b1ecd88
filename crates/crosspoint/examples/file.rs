//! A file over a stream, with its progress: the reader's disk sets the pace.
//!
//! `cargo run -p crosspoint --example file -- FILE`

use crosspoint::{Node, Peer, PeerEvent, testing};
use std::error::Error;
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let copy = format!("{path}.copy");
    for line in run(path.as_ref(), copy.as_ref()).await? {
        println!("{line}");
    }
    Ok(())
}

/// Copies a file from one node to another, and gives the progress.
pub(crate) async fn run(from: &Path, to: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let (hub, ann, bob) = testing::two_nodes().await;
    let (sent, received) = tokio::join!(send(&ann, from), receive(&bob, to));
    sent?;
    hub.stop().await;
    received
}

async fn send(node: &Node, path: &Path) -> Result<(), Box<dyn Error>> {
    let peer = node.peer("Bob").await?;
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let mut stream = peer.open("file", length.to_be_bytes().to_vec()).await?;
    tokio::io::copy(&mut file, &mut stream).await?;
    stream.shutdown().await?;
    // The other side ends its direction when it has stored everything.
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn receive(node: &Node, path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let peer = node.incoming().next().await.ok_or("nobody came")?;
    while let Some(event) = peer.next().await {
        // Dropping an offer refuses it.
        if let PeerEvent::Stream(offer) = event
            && offer.name() == "file"
        {
            let length = u64::from_be_bytes(offer.metadata()[..].try_into()?);
            return store(&peer, offer.accept(), length, path).await;
        }
    }
    Err("the peer went before it sent a file".into())
}

async fn store(
    peer: &Peer,
    mut stream: crosspoint::Stream,
    length: u64,
    path: &Path,
) -> Result<Vec<String>, Box<dyn Error>> {
    let mut file = File::create(path).await?;
    let mut lines = Vec::new();
    let mut stored = 0;
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            break;
        }
        file.write_all(&bytes[..count]).await?;
        let quarters = |bytes: u64| 4 * bytes / length.max(1);
        let before = quarters(stored);
        stored += count as u64;
        if quarters(stored) > before {
            lines.push(format!("{} %", 25 * quarters(stored)));
        }
    }
    file.sync_all().await?;
    if stored != length {
        return Err(format!("{stored} bytes instead of {length}").into());
    }
    stream.shutdown().await?;
    drop(stream);
    peer.closed().await;
    Ok(lines)
}
