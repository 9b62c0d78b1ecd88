//! Calls between the two ends of a channel, or of a link between peers, by typed traits.
//!
//! [`#[remote]`](macro@crate::remote) on a trait makes both ends of it: `GameCaller`, whose methods
//! send the call, and `GameDispatch`, which decodes calls for an implementation of the trait.
//!
//! ```
//! use crosspoint::remote::{Objects, Origin, Outcome};
//!
//! /// What a member may ask of the game.
//! #[crosspoint::remote]
//! trait Game {
//!     /// Without a result: nothing comes back, and Haxe programs can call it too.
//!     fn say(&mut self, #[remote(caller)] from: Origin, text: String);
//!     /// With a result: the caller waits for the reply.
//!     fn add(&mut self, a: i32, b: i32) -> i32;
//! }
//!
//! struct Table(Vec<String>);
//!
//! impl Game for Table {
//!     fn say(&mut self, from: Origin, text: String) {
//!         self.0.push(format!("{from}: {text}"));
//!     }
//!     fn add(&mut self, a: i32, b: i32) -> i32 {
//!         a.wrapping_add(b)
//!     }
//! }
//!
//! let mut objects = Objects::new();
//! let announcement = objects.register(0, GameDispatch::new(Table(Vec::new()))).unwrap();
//! assert_eq!(announcement, [0][..]);
//!
//! let outcome = objects.message(Origin::Owner, b"\0\0\x02hi"[..].into());
//! assert!(matches!(outcome, Outcome::Called { object: 0, procedure: 0 }));
//! ```
//!
//! Procedures are numbered by their position in the trait, from 0 to 255. Arguments and results
//! are [`Value`]s. A method takes `&mut self` or `&self`; a parameter marked `#[remote(caller)]`
//! is not sent, it tells the method who is calling.
//!
//! A type without encoding is refused by the compiler. There is none for an absent value:
//!
//! ```compile_fail,E0277
//! #[crosspoint::remote]
//! trait Game {
//!     fn place(&mut self, card: Option<u8>);
//! }
//! ```
//!
//! An empty `Vec` takes its place:
//!
//! ```
//! #[crosspoint::remote]
//! trait Game {
//!     fn place(&mut self, card: Vec<u8>);
//! }
//! ```
//!
//! # Over a channel
//!
//! A channel of calls is created and entered with `calls()`
//! ([there](crate::ChannelOptions::calls) and [there](crate::EnterOptions::calls)). Each side lets
//! the other call objects by [`Owner::register`](crate::Owner::register) or
//! [`Member::register`](crate::Member::register), several under different ids, and calls objects
//! that were announced to it over [`Owner::calls`](crate::Owner::calls) or
//! [`Member::calls`](crate::Member::calls). Calls are carried out while their side reads its events.
//! A malformed one changes nothing, and becomes a `Malicious` event that names who sent it.
//!
//! ```
//! # #[crosspoint::remote]
//! # trait Game { fn add(&mut self, a: i32, b: i32) -> i32; }
//! # struct Sum;
//! # impl Game for Sum { fn add(&mut self, a: i32, b: i32) -> i32 { a + b } }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use crosspoint::{ChannelOptions, EnterOptions, testing};
//!
//! let (_hub, ann, bob) = testing::two_nodes().await;
//! let mut owner = ann.create("game", ChannelOptions::new().calls()).await?;
//! owner.register(0, GameDispatch::new(Sum))?;
//! tokio::spawn(async move { while owner.next().await.is_some() {} });
//!
//! let member = bob.enter("game", EnterOptions::new().calls()).await?;
//! let game = GameCaller::new(member.calls(), 0);
//! assert_eq!(game.add(20, 22).await?, 42);
//! # Ok(()) })}
//! ```
//!
//! # Over a link
//!
//! Both sides of a link do the same with their [`Peer`](crate::Peer):
//! [`register`](crate::Peer::register) an object, call those of the other side over
//! [`calls`](crate::Peer::calls), and read [`next`](crate::Peer::next), which carries calls out.
//! Calls live beside messages, requests and streams there.
//!
//! # On the wire
//!
//! | kind | payload |
//! |---|---|
//! | [`MESSAGE`], one byte | *object id*: an announcement, "you may call this object" |
//! | [`MESSAGE`] | *object id*, *procedure*, arguments |
//! | [`CALL`] | *call id*, *object id*, *procedure*, arguments |
//! | [`REPLY`] | *call id*, *status*, the result if the status is 0 |
//!
//! The first two are those of the Haxe library. The call id is a `u32` in LEB128; status 1 says
//! unknown object, 2 unknown procedure, 3 malformed arguments, 4 that the result was too large.
//! A [`CALL`] of a method without result is answered with status 0 and nothing once the method has
//! returned. A [`MESSAGE`] to a method with a result runs it and drops the result.

mod call;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod object;
mod wire;

pub use bytes::Bytes;
pub use call::MAX_CALLS;
pub use call::{
    Answered, Call, CallError, CallTransport, Caller, Calls, DEFAULT_TIMEOUT, TransportError,
};
pub use crosspoint_gateways::peote::value::{DecodeError, EncodeError, Reader, Serialized, Value};
pub use object::{Fault, IdInUse, Malicious, Object, Objects, Origin, Outcome, encode_result};

/// The kind of a message that is data, an announcement or a call without reply.
pub const MESSAGE: u8 = 0;
/// The kind of a message that is a call with a reply.
pub const CALL: u8 = 1;
/// The kind of a message that is a reply.
pub const REPLY: u8 = 2;
