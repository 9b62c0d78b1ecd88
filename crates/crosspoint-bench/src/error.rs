use std::io;
use std::net::SocketAddr;

/// Why a run gave no result. Connections opened for the run are closed when it is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The server could not be reached.
    #[error("cannot connect to {address}: {source}; is the server listening there?")]
    Connect {
        /// The server's address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no TLS with the server.
    #[error("no TLS with {address}: {source}")]
    Tls {
        /// The server's address.
        address: SocketAddr,
        /// What was wrong: a [`HandshakeError`](crosspoint_net::tls::client::HandshakeError), or what the system said.
        source: io::Error,
    },
    /// A socket failed, or stayed silent for longer than a handshake may take.
    #[error("{dialect}: {doing} failed: {source}")]
    Io {
        /// Protocol in use.
        dialect: &'static str,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server answered something else than the protocol has for success.
    #[error("{dialect}: {doing} was answered with {answer}")]
    Refused {
        /// Protocol in use.
        dialect: &'static str,
        /// What had been asked for.
        doing: &'static str,
        /// The beginning of the answer, printable.
        answer: String,
    },
    /// The server closed a connection that was in use.
    #[error(
        "the server closed receiver {receiver} during the run; if it drops slow readers, choose a \
         smaller window"
    )]
    Dropped {
        /// Which receiver, from 0.
        receiver: usize,
    },
    /// The bytes that arrived are not the frames of this protocol.
    #[error("{dialect}: received bytes that are no frame of this protocol: {reason}")]
    OutOfStep {
        /// Protocol in use.
        dialect: &'static str,
        /// What was wrong.
        reason: &'static str,
    },
    /// The plan asks for something that cannot be done.
    #[error("the plan cannot be run: {0}")]
    Plan(String),
    /// This protocol has no such workload.
    #[error("{workload} cannot be run over {dialect}")]
    Unsupported {
        /// Protocol asked for.
        dialect: &'static str,
        /// Workload asked for.
        workload: &'static str,
    },
    /// The server's memory could not be read.
    #[error("cannot read the memory of process {pid} from /proc: {reason}")]
    Memory {
        /// The server's process id.
        pid: u32,
        /// What was wrong.
        reason: String,
    },
    /// The system refused something local: a thread, a listener, a poll.
    #[error("{doing} failed: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl BenchError {
    /// Shorthand for `map_err` on local system calls.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> BenchError {
        move |source| BenchError::System { doing, source }
    }
}
