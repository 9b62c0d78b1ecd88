//! Servers as child processes on free loopback ports, ended with their handles.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("{program} is not installed; try: apt-get install nats-server redis-server")]
    Missing { program: &'static str },
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("the hub's program {0} is not there; try: cargo build --release")]
    NoHub(String),
    #[error("{program} did not accept connections within {PATIENCE:?}")]
    Silent { program: String },
}

const PATIENCE: Duration = Duration::from_secs(10);

/// How often a starting server is knocked at.
const KNOCK: Duration = Duration::from_millis(20);

/// What the hub prints before its address.
const LISTENING: &str = "listening on ";

/// A running child process that listens.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// `nats-server`, as it comes.
    pub(crate) fn nats() -> Result<Server, ServerError> {
        Server::on_free_port("nats-server", |port| {
            ["-a", "127.0.0.1", "-p", port].map(OsString::from).to_vec()
        })
    }

    /// `redis-server` without persistence.
    pub(crate) fn redis() -> Result<Server, ServerError> {
        Server::on_free_port("redis-server", |port| {
            ["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"]
                .into_iter()
                .chain(["--maxclients", "15000", "--protected-mode", "no"])
                .map(OsString::from)
                .collect()
        })
    }

    /// The hub, on a port of its own choice.
    pub(crate) fn hub(program: &Path) -> Result<Server, ServerError> {
        let name = program.display().to_string();
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => ServerError::NoHub(name.clone()),
                _ => ServerError::Start { program: name.clone(), source },
            })?;
        let (found, addresses) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            watch(output, found.clone());
        }
        if let Some(output) = child.stderr.take() {
            watch(output, found);
        }
        match addresses.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Server { child, address }),
            Err(_) => {
                end(&mut child);
                Err(ServerError::Silent { program: name })
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn on_free_port(
        program: &'static str,
        arguments: impl Fn(&str) -> Vec<OsString>,
    ) -> Result<Server, ServerError> {
        let failed = |source| ServerError::Start { program: program.into(), source };
        let address = free_address().map_err(failed)?;
        let arguments = arguments(&address.port().to_string());
        let child = PLACES
            .iter()
            .find_map(|place| {
                let started = Command::new(format!("{place}{program}"))
                    .args(&arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn();
                match started {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    other => Some(other),
                }
            })
            .ok_or(ServerError::Missing { program })?;
        let mut server = Server { child: child.map_err(failed)?, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait().map_err(failed)?.is_some();
            if ended || start.elapsed() > PATIENCE {
                return Err(ServerError::Silent { program: program.into() });
            }
            thread::sleep(KNOCK);
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Where programs are looked for; Debian keeps servers outside the path of ordinary users.
const PLACES: [&str; 2] = ["", "/usr/sbin/"];

fn end(child: &mut Child) {
    // Fails only if it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A port that was free a moment ago: these servers cannot tell which port they chose themselves.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Reads the output to its end, so that the child never waits, and reports the address in it.
fn watch(output: impl Read + Send + 'static, found: mpsc::Sender<SocketAddr>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let after = line.split_once(LISTENING).map(|(_, after)| after);
            let word = after.and_then(|after| after.split_whitespace().next());
            if let Some(address) = word.and_then(|word| word.parse().ok()) {
                // Nobody waits for a second address.
                let _ = found.send(address);
            }
        }
    });
}
