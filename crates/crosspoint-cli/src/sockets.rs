//! Unix sockets that the hub creates. Their files are removed at the end.

use crosspoint_net::server::{FileId, bind_unix};
use nix::unistd::Group;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Who may connect to the sockets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    /// The permissions of their files.
    pub(crate) mode: u32,
    /// The group of their files, if it is not that of this process.
    pub(crate) group: Option<u32>,
}

/// The number of a group of this name or number.
pub(crate) fn group(name: &str) -> Result<u32, String> {
    // The largest number says to the system that the group stays as it is.
    if let Some(number) = name.parse().ok().filter(|number| *number != u32::MAX) {
        return Ok(number);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err("there is no such group".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The files of the sockets, which this removes when it is dropped.
#[derive(Default)]
pub(crate) struct SocketFiles(Vec<(PathBuf, FileId)>);

impl SocketFiles {
    /// Opens a socket with this path.
    pub(crate) fn open(&mut self, path: &Path, access: Access) -> io::Result<UnixListener> {
        let listener = bind_unix(path, access.mode, access.group)?;
        self.0.push((path.to_owned(), FileId::of(path)?));
        Ok(listener)
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for (path, file) in &self.0 {
            // What somebody else has put there stays.
            if FileId::of(path).is_ok_and(|there| there == *file) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
