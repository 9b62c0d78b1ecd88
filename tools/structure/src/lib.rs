//! How the modules of a crate depend on each other, read from its source.
//!
//! Modules next to each other are compared: the children of one module, each with all that is below it. What a
//! module and its own parent know of each other counts as one idea, and test code does not count.

mod graph;
mod source;

pub use graph::{Circle, circles};
pub use source::{Crate, SourceError};
