//! Files with one secret, that nobody but their owner reads.

use crate::failure::complain;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The permissions of all but the owner.
const OTHERS: u32 = 0o077;

/// Writes a line into a new file, which only its owner reads.
///
/// # Errors
/// The system's; [`io::ErrorKind::AlreadyExists`] if there is something already.
pub(crate) fn create(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = writeln!(file, "{line}").and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret is of no use. What was wrong first is what matters.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Says on standard error when others have access to a file of this mode.
pub(crate) fn warn_of_others(path: &Path, mode: u32, advice: &str) {
    if mode & OTHERS != 0 {
        let path = path.display();
        complain(&format!(
            "warning: other users have access to {path}; take it from them with \
             chmod 600, and {advice} if they may have read it"
        ));
    }
}
