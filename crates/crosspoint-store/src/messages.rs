//! How messages are written down.

use bytes::Bytes;
use std::sync::Arc;

/// Writes messages down and finds them again. Numbers go up, and none is given twice.
pub trait MessageStore: Send + 'static {
    /// Tells of all messages that are kept, in the order of their numbers, and gives the first number that was never used.
    /// It is called before anything else, and again when [`apply`](Self::apply) has failed.
    ///
    /// # Errors
    /// [`StoreError`]
    fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError>;

    /// Makes all changes, or none. What it has confirmed outlives the end of the program, however it ends.
    ///
    /// # Errors
    /// [`StoreError`]: it is not known whether the changes were made, and [`survey`](Self::survey) tells. A store may fail
    /// once and work again.
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// The messages for somebody, from this number on and in order, with at most so many bytes together; but at least one,
    /// if there is one.
    ///
    /// # Errors
    /// [`StoreError`]
    fn read(&mut self, to: &str, from: u64, bytes_max: usize) -> Result<Vec<Kept>, StoreError>;
}

impl MessageStore for Box<dyn MessageStore> {
    fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError> {
        (**self).survey(each)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        (**self).apply(changes)
    }

    fn read(&mut self, to: &str, from: u64, bytes_max: usize) -> Result<Vec<Kept>, StoreError> {
        (**self).read(to, from, bytes_max)
    }
}

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whom it is for.
    pub to: Arc<str>,
    /// Its number.
    pub number: u64,
    /// Since when it is kept, in milliseconds since 1970.
    pub since_ms: u64,
    /// How many bytes it has.
    pub bytes: u32,
}

/// A message that was kept, to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// What it says.
    pub data: Bytes,
}

/// A change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keep this message. Its number is above all others.
    Keep {
        /// What is known of it.
        entry: Entry,
        /// What it says.
        data: Bytes,
    },
    /// Forget it, if it is there.
    Forget {
        /// Whom it is for.
        to: Arc<str>,
        /// Its number.
        number: u64,
    },
}

/// Why something was not written down or found.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be opened or created.
    #[error("{path} cannot be opened: {why}")]
    Open {
        /// The file.
        path: String,
        /// What the system or the format says.
        why: String,
    },
    /// The file is not what was written to it. To go on without what it holds, move it away.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// Where, or how that was found.
        why: String,
    },
    /// Reading or writing has failed. What was to be written may be there all the same.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// What is there is nothing that this version has written.
    #[error("the store holds what this version has not written: {0}")]
    Foreign(String),
}
