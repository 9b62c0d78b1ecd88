//! Sockets of the file system that the hub listens on. Their files are removed at the end.

use crate::settings::split_socket;
use crosspoint_net::server::{FileId, Server, bind_unix};
use std::path::{Path, PathBuf};

/// The files of the sockets, which this removes when it is dropped.
pub(crate) struct Sockets(Vec<(PathBuf, FileId)>);

impl Sockets {
    /// Listens on the items of this list that are sockets.
    pub(crate) fn listen(server: &Server, wanted: &[String]) -> Result<Self, String> {
        let mut sockets = Self(Vec::new());
        for path in wanted.iter().filter_map(|item| split_socket(item)) {
            let path = Path::new(path);
            let wrong = |error| {
                let path = path.display();
                format!(
                    "cannot listen on unix:{path}: {error}; choose another with --listen unix:PATH"
                )
            };
            let listener = bind_unix(path, true).map_err(wrong)?;
            sockets.0.push((path.to_owned(), FileId::of(path).map_err(wrong)?));
            server.listen_unix(listener);
        }
        Ok(sockets)
    }

    /// Where they are.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for (path, file) in &self.0 {
            // What somebody else has put there stays.
            if FileId::of(path).is_ok_and(|there| there == *file) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
