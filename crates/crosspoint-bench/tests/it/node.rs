//! Servers made with packages from npm, each in a process of its own. `./check` installs the packages into `interop/`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that is ended with the test.
pub(crate) struct NodeServer {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl NodeServer {
    /// Starts a program of `interop/`, which needs this package.
    pub(crate) fn start(program: &str, package: &str) -> NodeServer {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop"));
        assert!(
            folder.join("node_modules").join(package).exists(),
            "run ./check once, or `npm install --no-package-lock` in interop/"
        );
        let mut process = Command::new("node")
            .current_dir(folder)
            .args([program, "0"])
            .env_remove("ANYSOCKET_AUTH")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().strip_prefix("listening ").unwrap().parse().unwrap();
        NodeServer { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for NodeServer {
    fn drop(&mut self) {
        // Has ended already if the test failed for that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
