//! Sockets of the file system that the hub listens on. Their files are removed at the end.

use crate::settings::split_socket;
use crosspoint_net::server::{Server, bind_unix};
use std::path::{Path, PathBuf};

/// The files of the sockets, which this removes when it is dropped.
pub(crate) struct Sockets(Vec<PathBuf>);

impl Sockets {
    /// Listens on the items of this list that are sockets.
    pub(crate) fn listen(server: &Server, wanted: &[String]) -> Result<Self, String> {
        let mut sockets = Self(Vec::new());
        for path in wanted.iter().filter_map(|item| split_socket(item)) {
            let path = Path::new(path);
            let listener = bind_unix(path, true).map_err(|error| {
                let path = path.display();
                format!(
                    "cannot listen on unix:{path}: {error}; choose another with --listen unix:PATH"
                )
            })?;
            sockets.0.push(path.to_owned());
            server.listen_unix(listener);
        }
        Ok(sockets)
    }

    /// Where they are.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in &self.0 {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}
