//! What a hub keeps for clients that are not there.
//!
//! [`Mailboxes`] has the bounds: how much is kept for one client and in all, and for how long. Below it is a
//! [`MessageStore`], which writes messages down: [`Memory`], [`Disk`], or one of the embedder. Both are plain values:
//! whoever calls them waits for the disk, so a thread of its own should, and the time is an argument.

#[cfg(feature = "disk")]
mod disk;
mod mailboxes;
mod memory;
mod messages;

#[cfg(feature = "disk")]
pub use disk::Disk;
pub use mailboxes::{Bound, Bounds, Due, KeepError, Mailboxes};
pub use memory::Memory;
pub use messages::{Change, Entry, Kept, MessageStore, StoreError};
