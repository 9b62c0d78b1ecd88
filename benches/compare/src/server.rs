//! Servers as child processes on free loopback ports, ended with their handles.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crosspoint_net::tls::Fingerprint;

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("{program} is not installed; try: apt-get install nats-server redis-server haproxy")]
    Missing { program: &'static str },
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("the program {0} is not there; for the hub, try: cargo build --release")]
    NoProgram(String),
    #[error("the package {package} is not in {folder}; run ./check once, or npm install there")]
    NoPackages { package: &'static str, folder: String },
    #[error("no loopback port can be had: {0}")]
    NoPort(io::Error),
    #[error("{program} did not accept connections within {PATIENCE:?}")]
    Silent { program: String },
}

const PATIENCE: Duration = Duration::from_secs(10);

/// How often a starting server is knocked at.
const KNOCK: Duration = Duration::from_millis(20);

/// What programs that choose their port themselves print before it.
const LISTENING: &str = "listening ";

/// A running child process that listens.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// `nats-server`, as it comes.
    pub(crate) fn nats() -> Result<Server, ServerError> {
        Server::on_free_port("nats-server", |address| {
            let port = address.port().to_string();
            (["-a", "127.0.0.1", "-p", &port].map(OsString::from).to_vec(), String::new())
        })
    }

    /// `redis-server` without persistence.
    pub(crate) fn redis() -> Result<Server, ServerError> {
        Server::on_free_port("redis-server", |address| {
            let port = address.port().to_string();
            let arguments =
                ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]
                    .into_iter()
                    .chain(["--maxclients", "15000", "--protected-mode", "no"])
                    .map(OsString::from)
                    .collect();
            (arguments, String::new())
        })
    }

    /// `haproxy`, as it comes, handing connections on to this address.
    pub(crate) fn haproxy(behind: SocketAddr) -> Result<Server, ServerError> {
        Server::on_free_port("haproxy", |address| {
            let settings = format!(
                "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n \
                 timeout server 1h\nlisten bench\n bind {address}\n server behind {behind}\n"
            );
            (["-db", "-f", "/dev/stdin"].map(OsString::from).to_vec(), settings)
        })
    }

    /// The hub, on a port of its own choice.
    pub(crate) fn hub(program: &Path) -> Result<Server, ServerError> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Server::that_says_where(command)
    }

    /// The hub with TLS as well, and the fingerprint of its certificate.
    pub(crate) fn hub_with_tls(program: &Path) -> Result<(Server, Fingerprint), ServerError> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--tls-dev"]);
        let (child, (address, pin)) = that_says(command, address_and_pin_in)?;
        Ok((Server { child, address }, pin))
    }

    /// This program as a hub with a handler of its own.
    pub(crate) fn own_hub() -> Result<Server, ServerError> {
        let program = "compare";
        let own = std::env::current_exe()
            .map_err(|source| ServerError::Start { program: program.into(), source })?;
        let mut command = Command::new(own);
        command.arg("--own-hub");
        Server::that_says_where(command)
    }

    /// The AnySocket server made with the package from npm.
    pub(crate) fn npm(folder: &Path) -> Result<Server, ServerError> {
        Server::node(folder, "anysocket_server.mjs", "anysocket")
    }

    /// The server of Socket.IO with the plugin, made with the packages from npm.
    pub(crate) fn plugin(folder: &Path) -> Result<Server, ServerError> {
        Server::node(folder, "socketio_server.mjs", "@gigasource/socket.io-p2p-plugin")
    }

    /// A program for node in this folder, which needs a package there.
    fn node(
        folder: &Path,
        program: &'static str,
        package: &'static str,
    ) -> Result<Server, ServerError> {
        if !folder.join("node_modules").join(package).exists() {
            return Err(ServerError::NoPackages { package, folder: folder.display().to_string() });
        }
        let mut command = Command::new("node");
        command.current_dir(folder).args([program, "0"]).env_remove("ANYSOCKET_AUTH");
        Server::that_says_where(command)
    }

    /// Starts a program that chooses its port itself, and waits until it says which.
    fn that_says_where(command: Command) -> Result<Server, ServerError> {
        let (child, address) = that_says(command, address_in)?;
        Ok(Server { child, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn on_free_port(
        program: &'static str,
        settings: impl Fn(SocketAddr) -> (Vec<OsString>, String),
    ) -> Result<Server, ServerError> {
        let failed = |source| ServerError::Start { program: program.into(), source };
        let (_, address) = loopback()?;
        let (arguments, input) = settings(address);
        let child = PLACES
            .iter()
            .find_map(|place| {
                let started = Command::new(format!("{place}{program}"))
                    .args(&arguments)
                    .stdin(Stdio::piped())
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
        if let Some(mut stdin) = server.child.stdin.take()
            && !input.is_empty()
        {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
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

/// Starts a program, and waits until it prints a line in which something is found.
fn that_says<T: Send + 'static>(
    mut command: Command,
    find: fn(&str) -> Option<T>,
) -> Result<(Child, T), ServerError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ServerError::NoProgram(name.clone()),
            _ => ServerError::Start { program: name.clone(), source },
        })?;
    let (sender, found) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        watch(output, find, sender.clone());
    }
    if let Some(output) = child.stderr.take() {
        watch(output, find, sender);
    }
    match found.recv_timeout(PATIENCE) {
        Ok(found) => Ok((child, found)),
        Err(_) => {
            end(&mut child);
            Err(ServerError::Silent { program: name })
        }
    }
}

/// Where programs are looked for; Debian keeps servers outside the path of ordinary users.
const PLACES: [&str; 2] = ["", "/usr/sbin/"];

fn end(child: &mut Child) {
    // Fails only if it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A listener on a free loopback port. Dropped, it leaves a port that was free a moment ago to
/// servers which cannot tell which port they chose themselves.
pub(crate) fn loopback() -> Result<(TcpListener, SocketAddr), ServerError> {
    let open = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    open().map_err(ServerError::NoPort)
}

/// Reads the output to its end, so that the child never waits, and reports what is found in it.
fn watch<T: Send + 'static>(
    output: impl Read + Send + 'static,
    find: fn(&str) -> Option<T>,
    found: mpsc::Sender<T>,
) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(what) = find(&line) {
                // Nobody waits for a second one.
                let _ = found.send(what);
            }
        }
    });
}

/// The hint of a hub with a certificate of its own making.
fn address_and_pin_in(line: &str) -> Option<(SocketAddr, Fingerprint)> {
    let (_, after) = line.split_once("--hub tls://")?;
    let (address, pin) = after.split_once(" --tls-pin ")?;
    Some((address.parse().ok()?, pin.trim().parse().ok()?))
}

/// Where a program says that it listens: an address, or a port of this machine.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once(LISTENING)?;
    let word = after.strip_prefix("on ").unwrap_or(after).split_whitespace().next()?;
    let port = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    word.parse().ok().or_else(|| word.parse().map(port).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_where_they_listen_in_two_ways() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7000));
        assert_eq!(address_in("listening on 127.0.0.1:7000"), Some(address));
        assert_eq!(address_in("listening 7000"), Some(address));
        assert_eq!(address_in("listening with pleasure"), None);
        assert_eq!(address_in("7000"), None);
        let pin = "ab".repeat(32);
        let hint =
            format!("  chat with TLS  crosspoint chat --hub tls://{address} --tls-pin {pin}");
        assert_eq!(address_and_pin_in(&hint), Some((address, pin.parse().unwrap())));
    }
}
