//! The hub under systemd: sockets that it passes, and what it is told.

use crate::common::{Running, get, program};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// `crosspoint serve` with a socket as its file descriptor 3, and what systemd says of it.
fn passed(socket: impl Into<OwnedFd>, variables: &str, arguments: &[&str]) -> Command {
    let serve = program(&[&["serve"], arguments].concat());
    let mut shell = Command::new("sh");
    // The id of the shell is the id of the program.
    shell.args(["-c", &format!("{variables} exec \"$0\" \"$@\" 3<&0 </dev/null")]);
    shell.arg(serve.get_program()).args(serve.get_args()).stdin(Stdio::from(socket.into()));
    shell
}

const ONE: &str = "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web";

/// Asks a hub whether it is healthy.
fn ask<S: Write>(mut stream: S) -> S {
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn answer(mut asked: impl Read) -> String {
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_hub_serves_sockets_that_systemd_opens_and_is_started_by_the_first_connection() {
    let directory = tempfile::tempdir().unwrap();
    let [plain, tls] = ["plain.sock", "tls.sock"].map(|name| directory.path().join(name));
    let serve = program(&["serve", "--listen", "systemd,tls://systemd:safe", "--tls-dev"]);
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg("--listen").arg(&plain).arg("--listen").arg(&tls).arg("--fdname=open:safe");
    activate.arg(serve.get_program()).args(serve.get_args()).stderr(Stdio::piped());
    let mut hub = Running::start(&mut activate);
    let mut log = hub.errors();
    log.wait_for("tls.sock as 4.");

    let asked = ask(UnixStream::connect(&plain).unwrap());
    hub.wait_for(&format!("listening on unix:{} (systemd)", plain.display()));
    hub.wait_for(&format!("listening on tls://unix:{} (systemd)", tls.display()));
    assert!(answer(asked).ends_with("\r\n\r\nok\n"));
    let refused = answer(ask(UnixStream::connect(&tls).unwrap()));
    assert!(refused.contains("only TLS is served here"), "{refused}");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--max-time", "20", "--unix-socket"]).arg(&tls);
    let served = curl.arg("https://localhost/health").output().unwrap();
    assert_eq!(served.stdout, b"ok\n");

    hub.signal("TERM");
    hub.wait_for("stopped");
    assert!(hub.wait().success());
    assert!(plain.exists() && tls.exists(), "the sockets are systemd's");
}

#[test]
fn a_connection_that_is_made_between_two_hubs_is_served_by_the_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = || {
        let socket = listener.try_clone().unwrap();
        let mut serve = passed(socket, ONE, &["--listen=systemd:web"]);
        let mut hub = Running::start_with_input(&mut serve);
        hub.wait_for(&format!("listening on {address} (systemd)"));
        hub
    };
    let mut first = start();
    assert!(answer(ask(TcpStream::connect(address).unwrap())).ends_with("ok\n"));
    first.signal("TERM");
    assert!(first.wait().success());
    let between = ask(TcpStream::connect(address).unwrap());
    let _second = start();
    assert!(answer(between).ends_with("ok\n"));
}

#[test]
fn what_is_wrong_with_passed_sockets_is_said() {
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap().into();
    let udp = || UdpSocket::bind("127.0.0.1:0").unwrap().into();
    let silent = || UnixStream::pair().unwrap().0.into();
    let sockets: [&dyn Fn() -> OwnedFd; 3] = [&tcp, &udp, &silent];
    let file = || std::fs::File::open("/dev/null").unwrap().into();
    let [tcp, udp, silent] = sockets;
    for (socket, variables, listen, said) in [
        (tcp, "LISTEN_FDS=1 LISTEN_PID=1", "systemd", "(LISTEN_PID is 1, this process is "),
        (
            tcp,
            "LISTEN_FDS=1",
            "systemd:web",
            "takes systemd:web, but systemd has passed no sockets;",
        ),
        (tcp, ONE, "systemd:api", "no socket that is left for it; passed: web"),
        (tcp, ONE, "127.0.0.1:0", "add systemd:web or systemd"),
        (tcp, ONE, "tls://systemd", "server.listen has a tls:// address without tls.cert"),
        (
            tcp,
            "LISTEN_FDS=x LISTEN_PID=$$",
            "systemd",
            "LISTEN_FDS = \"x\": expected a number from",
        ),
        (udp, ONE, "systemd", "\"web\" that systemd has passed (file descriptor 3) is a datagram"),
        (silent, ONE, "systemd", "does not listen; use Accept=no"),
        (&file, ONE, "systemd", "is no TCP socket and no Unix stream socket"),
        (tcp, "LISTEN_FDS=2 LISTEN_PID=$$", "systemd", "(file descriptor 4) is no TCP socket"),
    ] {
        let output = passed(socket(), variables, &["--listen", listen]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{variables} {listen}: {error}");
        assert_eq!(output.status.code(), Some(2), "{error}");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut serve = passed(socket, "LISTEN_FDS=1 LISTEN_PID=1", &["--listen=127.0.0.1:0"]);
    Running::start_with_input(&mut serve).wait_for("listening on 127.0.0.1:");
}

#[test]
fn the_service_manager_hears_when_the_hub_is_ready_reads_its_files_again_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify").display().to_string();
    let name = path.replace('/', "-");
    for (socket, address) in [
        (path.clone(), SocketAddr::from_pathname(&path).unwrap()),
        (format!("@{name}"), SocketAddr::from_abstract_name(name).unwrap()),
    ] {
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let heard = || {
            let mut message = [0; 256];
            let bytes = manager.recv(&mut message).unwrap();
            String::from_utf8(message[..bytes].to_vec()).unwrap()
        };
        let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
        let mut hub = Running::start(serve.env("NOTIFY_SOCKET", socket).stderr(Stdio::null()));
        assert_eq!(heard(), "READY=1\n");
        let port = hub.wait_for("listening on 127.0.0.1:");
        assert!(get(&port, "/ready").starts_with("HTTP/1.1 200 "));
        hub.signal("HUP");
        let reloading = heard();
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(str::trim_end);
        assert!(micros.is_some_and(|micros| micros.parse::<u64>().is_ok()), "{reloading}");
        assert_eq!(heard(), "READY=1\n");
        hub.signal("TERM");
        assert_eq!(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n");
        assert!(hub.wait().success());
    }
}

#[test]
fn a_service_manager_that_does_not_listen_holds_up_no_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let _deaf = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"more", &path).is_ok() {}
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
    let mut hub = Running::start(serve.env("NOTIFY_SOCKET", &path).stderr(Stdio::null()));
    hub.wait_for("listening on 127.0.0.1:");
    hub.signal("TERM");
    assert!(hub.wait().success());
}
