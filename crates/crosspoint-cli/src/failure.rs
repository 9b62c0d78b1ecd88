//! Why the program ends without success.

use std::io::Write;

/// Why a command did not do what it was asked for. The text follows the program's name.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was called or set up wrongly: exit code 2, as of a wrong flag.
    Setup(String),
    /// Something went wrong while it ran: exit code 1.
    Run(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Run(message)
    }
}

/// Says on standard error what is wrong. If nobody can hear it, the exit code still tells.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "crosspoint: {message}");
}
