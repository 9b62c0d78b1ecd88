//! Connections that are opened one after the other, and must not fall silent meanwhile.

use std::io::Write;
use std::time::Instant;

use super::{Dialect, KEEPALIVE_EVERY};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;

/// Connections that send keepalives while more are opened.
pub(super) struct Awake {
    pub(super) streams: Vec<Connection>,
    dialect: &'static str,
    keepalive: Option<Vec<u8>>,
    last: Instant,
}

impl Awake {
    pub(super) fn new(dialect: &dyn Dialect, count: usize) -> Awake {
        Awake {
            streams: Vec::with_capacity(count),
            dialect: dialect.name(),
            keepalive: dialect.keepalive(),
            last: Instant::now(),
        }
    }

    pub(super) fn push(&mut self, link: Link) -> Result<(), BenchError> {
        self.streams.push(link.ready()?);
        if let Some(keepalive) = &self.keepalive
            && self.last.elapsed() >= KEEPALIVE_EVERY
        {
            self.last = Instant::now();
            for stream in &mut self.streams {
                stream.write_all(keepalive).map_err(|source| BenchError::Io {
                    dialect: self.dialect,
                    doing: "sending a keepalive",
                    source,
                })?;
            }
        }
        Ok(())
    }
}
