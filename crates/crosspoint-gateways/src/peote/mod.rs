//! The joint protocol of peote-net and peote-server (`peote-joint.md`).

pub mod chunk;
pub mod value;
