//! Programs made with the package from npm, which `./check` installs into `interop/`.

use crosspoint::anysocket::{Client, ClientBuilder, Peer};
use serde_json::json;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What the convention of the programs in `interop/` is about: see `anysocket_convention.mjs`.
pub(crate) const ACCEPTED: &str = "open sesame";

/// Longer than anything takes that goes well.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The folder of the programs, in which the package is installed.
pub(crate) fn with_package() -> &'static Path {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop"));
    assert!(
        folder.join("node_modules/anysocket").exists(),
        "run ./check once, or `npm install --no-package-lock` in interop/"
    );
    folder
}

/// A program in a process of its own, ended with the test.
pub(crate) struct Program {
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new("node")
            .current_dir(with_package())
            .arg(script)
            .args(arguments)
            .env_remove("ANYSOCKET_AUTH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let input = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, input, lines }
    }

    /// The rest of the next line, which has to begin so.
    pub(crate) fn expect(&mut self, beginning: &str) -> String {
        let line = self.lines.next().expect("the program still runs").unwrap();
        let rest = line.strip_prefix(beginning);
        rest.unwrap_or_else(|| panic!("`{line}` instead of `{beginning}`")).trim().to_owned()
    }

    pub(crate) fn order(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Has ended already if the test failed for that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server made with the package.
pub(crate) struct Server {
    /// Runs as long as this is kept.
    _program: Program,
    pub(crate) port: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut program = Program::start("anysocket_server.mjs", &["0"]);
        let port = program.expect("listening ");
        Self { _program: program, port }
    }

    pub(crate) fn address(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    pub(crate) async fn connect(&self, builder: ClientBuilder) -> Peer {
        builder.connect(&self.address()).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Peer {
        self.connect(client()).await
    }

    /// A client made with the package, and its id.
    pub(crate) fn node_client(&self) -> (Program, String) {
        let mut program = Program::start("anysocket_peer.mjs", &["127.0.0.1", &self.port]);
        let id = program.expect("id ");
        (program, id)
    }
}

/// A client that a server lets in.
pub(crate) fn client() -> ClientBuilder {
    Client::builder().auth(ACCEPTED).timeout(LONG)
}

pub(crate) async fn is_alive(peer: &Peer) {
    assert_eq!(peer.request(&json!({"still": "here"})).await.unwrap(), json!({"still": "here"}));
}

/// A text of so many characters of one to three bytes.
pub(crate) fn large_text(characters: usize) -> String {
    "0123456789\u{e4}\u{f6}\u{fc}\u{20ac}\u{6f22}".chars().cycle().take(characters).collect()
}
