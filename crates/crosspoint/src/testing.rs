//! For tests of programs that use this crate.

use crate::{HubOptions, Node, Server, Shape};

/// A fresh hub inside the test, and two nodes at it: named Ann and Bob, without lag.
///
/// On a paused clock (`#[tokio::test(start_paused = true)]`) all timeouts, bans and lags take no
/// real time.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use crosspoint::{ChannelOptions, EnterOptions, testing};
///
/// let (hub, ann, bob) = testing::two_nodes().await;
/// let mut owner = ann.create("game", ChannelOptions::new()).await?;
/// let member = bob.enter("game", EnterOptions::new()).await?;
/// hub.stop().await;
/// # Ok::<(), crosspoint::ChannelError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// Outside a tokio runtime with I/O and time.
pub async fn two_nodes() -> (Server, Node, Node) {
    let server = Server::new(HubOptions::default());
    let ann = node(&server, "Ann", Shape::default()).await;
    let bob = node(&server, "Bob", Shape::default()).await;
    (server, ann, bob)
}

/// A node of this program at a hub of this program.
///
/// # Panics
/// If the hub has stopped or wants an access token.
pub async fn node(server: &Server, name: &str, shape: Shape) -> Node {
    let address = server.inside(shape);
    match Node::builder().name(name).connect(address).await {
        Ok(node) => node,
        Err(error) => panic!("{name} could not connect inside the program: {error}"),
    }
}
