//! crosspoint

pub mod remote;

pub use crosspoint_macros::remote;
