//! What the plugin's server offers to the program around it, for programs that embed a hub: clients with
//! `socket.io-p2p-plugin` are spoken to, answered and streamed to by name (docs/socketio.md, section 4).
//!
//! * [`Application`]: events with and without acknowledgement, rooms, services, streams, and who is there
//! * [`Application::emit_persistent`], [`Mailbox`], [`Letter`]: messages that are kept for clients that are absent;
//!   [`store`] has what keeps them
//! * [`Args`]: what events carry: JSON, and attachments; [`Binary`], [`ToArgs`]: what becomes that
//! * [`EmitError`], [`ArgsError`]: what goes wrong
//! * [`client`]: the other side: a client of Socket.IO servers and hubs
//!
//! ```no_run
//! use crosspoint::socketio::{Application, Args, Call};
//! use crosspoint::{HubOptions, Server, Shape};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Server::new(HubOptions::default());
//! hub.listen("127.0.0.1:7680".parse()?)?;
//! let app = Application::builder().connect(hub.inside(Shape::default())).await?;
//!
//! // In a client: `socket.useApi('add', 2, 3, sum => …)`.
//! app.provide("add", |call: Call| async move {
//!     let (a, b): (i64, i64) = call.read()?;
//!     Ok(Args::of(&[a + b]).expect("a number has a form"))
//! })
//! .await?;
//! // In the client `ann`: `socket.on('how are you?', (since, answer) => answer('fine'))`.
//! let answer = app.ask("ann", "how are you?", Args::of(&["yesterday"])?).await?;
//! println!("ann is {}", answer.get::<String>(0)?);
//! # Ok(()) }
//! ```

mod application;
mod args;
pub mod client;
mod error;
mod incoming;
mod mail;
mod rooms;
mod topics;
mod ways;

pub use application::{
    Application, ApplicationBuilder, ApplicationError, Ask, Call, StreamOptions,
};
pub use args::{Args, ArgsError, Binary, ToArgs};
pub use crosspoint_store as store;
pub use error::EmitError;
pub use incoming::{Offer, Streams};
pub use mail::{AckFunction, Acknowledged, Letter, MailError, Mailbox, Notice, Receipt};
pub use topics::Topic;
