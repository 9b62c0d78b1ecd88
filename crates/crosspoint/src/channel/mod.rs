//! The two ends of a channel.

mod alone;
mod member;
mod outgoing;
mod owner;

pub use member::{Member, MemberSender};
pub use owner::{Owner, OwnerSender};
