//! Connecting, and the blocking conversation that precedes a workload.

use std::io::{self, Read, Write};

use crosspoint_proto::identity::ChannelBinding;

use crate::BenchError;
use crate::connection::Connection;
use crate::transport::{Options, Transport};

/// No greeting line of any protocol is longer than this.
const LONGEST_LINE: usize = 64 * 1024;

/// Raises the limit of open files of this process (and of those it starts later) as far as the
/// system allows without privileges. Returns the limit.
///
/// # Errors
///
/// [`BenchError::System`] if the system refuses.
pub fn raise_file_limit() -> Result<u64, BenchError> {
    rlimit::increase_nofile_limit(u64::MAX).map_err(BenchError::system("raising the file limit"))
}

/// A connection during its handshake: blocking, with a time limit.
pub(crate) struct Link {
    stream: Connection,
    dialect: &'static str,
}

impl Link {
    pub(crate) fn connect(
        dialect: &'static str,
        transport: &Transport,
        options: Options,
    ) -> Result<Link, BenchError> {
        Ok(Link { stream: transport.connect(options)?, dialect })
    }

    /// What a proof of a key is bound to.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }

    pub(crate) fn send(&mut self, doing: &'static str, bytes: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(bytes).map_err(|source| self.failed(doing, source))
    }

    pub(crate) fn receive<const N: usize>(
        &mut self,
        doing: &'static str,
    ) -> Result<[u8; N], BenchError> {
        let mut bytes = [0; N];
        self.receive_into(doing, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn receive_into(
        &mut self,
        doing: &'static str,
        bytes: &mut [u8],
    ) -> Result<(), BenchError> {
        self.stream.read_exact(bytes).map_err(|source| self.failed(doing, source))
    }

    /// Reads exactly the expected answer, or fails with what came instead.
    pub(crate) fn expect(&mut self, doing: &'static str, answer: &[u8]) -> Result<(), BenchError> {
        let mut seen = vec![0; answer.len()];
        let mut filled = 0;
        while filled < answer.len() {
            match self.stream.read(&mut seen[filled..]) {
                Ok(0) => return Err(self.failed(doing, io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(doing, source)),
            }
            if seen[..filled] != answer[..filled] {
                return Err(self.refused(doing, &seen[..filled]));
            }
        }
        Ok(())
    }

    /// Reads up to and including the next line feed; nothing after it is consumed.
    pub(crate) fn line(&mut self, doing: &'static str) -> Result<Vec<u8>, BenchError> {
        let mut line = Vec::new();
        let mut seen = [0; 1024];
        while line.len() < LONGEST_LINE {
            let count = self.stream.peek(&mut seen).map_err(|source| self.failed(doing, source))?;
            let end = seen[..count].iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(count, |end| end + 1);
            if taken == 0 {
                return Err(self.failed(doing, io::ErrorKind::UnexpectedEof.into()));
            }
            self.stream
                .read_exact(&mut seen[..taken])
                .map_err(|source| self.failed(doing, source))?;
            line.extend_from_slice(&seen[..taken]);
            if end.is_some() {
                return Ok(line);
            }
        }
        Err(self.refused(doing, &line))
    }

    pub(crate) fn refused(&self, doing: &'static str, answer: &[u8]) -> BenchError {
        let shown = &answer[..answer.len().min(100)];
        BenchError::Refused {
            dialect: self.dialect,
            doing,
            answer: shown.escape_ascii().to_string(),
        }
    }

    /// The connection for the workload: blocking, without a time limit.
    pub(crate) fn ready(self) -> Result<Connection, BenchError> {
        let unlimited = |stream: &Connection| {
            stream.set_read_timeout(None)?;
            stream.set_write_timeout(None)
        };
        unlimited(&self.stream).map_err(|source| self.failed("ending the handshake", source))?;
        Ok(self.stream)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> BenchError {
        BenchError::Io { dialect: self.dialect, doing, source }
    }
}
