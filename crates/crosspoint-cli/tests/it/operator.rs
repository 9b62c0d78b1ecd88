//! What an operator does to a running hub, and where it listens.

use crate::common::{
    PATIENCE, PATIENT, Printed, Running, connect, get, output_with_input, program,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

fn start(arguments: &[&str]) -> (Running, Printed) {
    let arguments = [&["serve"], &PATIENT[..], arguments].concat();
    let mut hub = Running::start(program(&arguments).stderr(Stdio::piped()));
    let errors = hub.errors();
    (hub, errors)
}

/// A native client that has said who it is, by no name if that is empty.
fn introduced(port: &str, token: &str, name: &str) -> TcpStream {
    let mut stream = connect(port);
    let mut hello = b"\x01\x82\xa1v\x01".to_vec();
    if !name.is_empty() {
        hello[1] += 1;
        hello.extend(b"\xa4name\xd9");
        hello.push(name.len().try_into().unwrap());
        hello.extend(name.as_bytes());
    }
    hello.extend(b"\xa5token\xc4");
    hello.push(token.len().try_into().unwrap());
    hello.extend(token.as_bytes());
    let mut bytes = b"XPT1".to_vec();
    bytes.push(hello.len().try_into().unwrap());
    bytes.extend(hello);
    stream.write_all(&bytes).unwrap();
    stream
}

/// Whether a native client that has introduced itself is let in.
fn is_let_in(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).expect("an answer to the hello");
    // WELCOME is longer than 127 bytes or not, CLOSE is short.
    let kind = match answer[0] & 0x80 {
        0 => answer[1],
        _ => {
            let mut kind = [0];
            stream.read_exact(&mut kind).expect("an answer to the hello");
            kind[0]
        }
    };
    kind == 2
}

/// Whether a native client with this token is let in.
fn lets_in(port: &str, token: &str) -> bool {
    is_let_in(&mut introduced(port, token, ""))
}

fn is_healthy(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes());
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn both_families_listen_on_one_port_in_either_order_and_localhost_on_both() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (four, six) = (format!("0.0.0.0:{free}"), format!("[::]:{free}"));
    for (first, second) in [(&four, &six), (&six, &four)] {
        let (mut hub, _log) = start(&["--listen", first, "--listen", second]);
        hub.wait_for("Stop with");
        assert!(is_healthy(&format!("127.0.0.1:{free}")) && is_healthy(&format!("[::1]:{free}")));
    }
    let (mut hub, _log) = start(&["--listen", "[::]:0"]);
    let port = hub.wait_for("listening on [::]:");
    assert!(is_healthy(&format!("127.0.0.1:{port}")) && is_healthy(&format!("[::1]:{port}")));
    let (mut hub, _log) = start(&["--listen", "localhost:0"]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    assert_eq!(hub.wait_for("listening on [::1]:"), port);
    assert!(is_healthy(&format!("127.0.0.1:{port}")) && is_healthy(&format!("[::1]:{port}")));
}

#[test]
fn metrics_have_an_address_of_their_own_where_nothing_else_is_served() {
    let (mut hub, _log) =
        start(&["--listen", "127.0.0.1:0", "--http-metrics-listen", "127.0.0.1:0"]);
    let public = hub.wait_for("listening on 127.0.0.1:");
    let own = hub.wait_for("metrics on 127.0.0.1:");
    assert!(hub.wait_for("metrics         curl http://127.0.0.1:").starts_with(&own));
    for (port, path, status) in [
        (&public, "/metrics", 404),
        (&public, "/health", 200),
        (&public, "/", 200),
        (&own, "/metrics", 200),
        (&own, "/health", 200),
        (&own, "/ready", 200),
        (&own, "/", 404),
    ] {
        let answer = get(port, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {answer}");
        assert_eq!(answer.contains("crosspoint_connections "), path == "/metrics" && status == 200);
    }
    for (bytes, status) in [
        (
            &b"GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
               Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"[..],
            404,
        ),
        (b"XPT1\x05\x01\x81\xa1v\x01", 400),
    ] {
        let mut stream = connect(&own);
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
    }
}

#[test]
fn a_second_signal_cuts_a_stop_short_and_the_exit_code_tells() {
    let (mut hub, mut log) = start(&["--listen", "127.0.0.1:0", "--stop-ms-max", "600000"]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    // It does not close when it is told to, for which the hub waits.
    let mut stream = connect(&port);
    stream.write_all(b"XPT1\x05\x01\x81\xa1v\x01").unwrap();
    assert!(is_let_in(&mut stream));
    hub.signal("TERM");
    log.wait_for("stopping");
    // It says so before it does it.
    let since = Instant::now();
    while is_healthy(&format!("127.0.0.1:{port}")) {
        assert!(since.elapsed() < PATIENCE, "still healthy");
    }
    hub.signal("TERM");
    assert_eq!(hub.wait().code(), Some(1));
    log.wait_for("SIGTERM has cut the stop short");
}

#[test]
fn a_secret_has_no_line_end_and_an_empty_line_is_none() {
    for token in ["open sesame", "open sesame\n", "open sesame\r\n"] {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        let command = command.env("CROSSPOINT_SERVER__ACCESS_TOKEN", token).stderr(Stdio::null());
        let mut hub = Running::start(command);
        let port = hub.wait_for("listening on 127.0.0.1:");
        assert!(lets_in(&port, "open sesame") && !lets_in(&port, "open barley"), "{token:?}");
        assert!(lets_in(&port, "open sesame\n") && lets_in(&port, "Bearer open sesame"));
    }
    for token in ["\n", "two\nlines"] {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        let output = command.env("CROSSPOINT_SERVER__ACCESS_TOKEN", token).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "nobody wants a hub open to all, {token:?}");
    }
}

/// A line for a file of secrets.
fn secret(secret: &[u8]) -> String {
    let output = output_with_input(&["hash-secret"], secret);
    let hash = String::from_utf8(output.stdout).unwrap();
    format!("[[secret]]\nname = \"a\"\nhash = \"{}\"\n", hash.trim_end())
}

#[test]
fn files_that_cannot_be_read_hold_up_no_signal_and_leave_the_old_secrets_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    let name = path.to_str().unwrap();
    let pipe = || assert!(Command::new("mkfifo").arg(name).status().unwrap().success());
    // A shell gives a pipe, which is fine as long as somebody writes it.
    pipe();
    let (right, written) = (secret(b"old"), path.clone());
    let writer = std::thread::spawn(move || std::fs::write(written, right).unwrap());
    let (mut hub, mut log) = start(&["--listen", "127.0.0.1:0", "--secrets-file", name]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    writer.join().unwrap();
    assert!(lets_in(&port, "a:old") && !lets_in(&port, "a:new"));

    let refused = |hub: &Running, log: &mut Printed, why: &str| {
        hub.signal("HUP");
        let line = log.wait_for("stay in force");
        assert!(line.contains(name) && line.contains(why), "{line}");
        assert!(lets_in(&port, "a:old"));
        std::fs::remove_file(&path).unwrap();
    };
    refused(&hub, &mut log, "no regular file");
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    refused(&hub, &mut log, "no regular file");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    refused(&hub, &mut log, "longer than");

    std::fs::write(&path, secret(b"new")).unwrap();
    hub.signal("HUP");
    log.wait_for("secrets and keys were read again");
    assert!(lets_in(&port, "a:new"));
    std::fs::remove_file(&path).unwrap();
    pipe();
    hub.signal("HUP");
    hub.signal("TERM");
    assert!(hub.wait().success());
}

#[test]
fn a_hang_up_reads_secrets_again_and_wrong_ones_leave_the_old_ones_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |text: &str| std::fs::write(path("secrets.toml"), text).unwrap();
    let (old, new) = (secret(b"old"), secret(b"new"));
    write(&old);
    let config = path("hub.toml");
    let settings = |more: &str| {
        let secrets = path("secrets.toml");
        let text = format!("[auth]\nsecrets_file = \"{secrets}\"\n{more}");
        std::fs::write(&config, text).unwrap();
    };
    settings("");
    let (mut hub, mut log) = start(&["--listen", "127.0.0.1:0", "--config", &config]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    assert!(lets_in(&port, "a:old") && !lets_in(&port, "a:new"));

    write(&new);
    hub.signal("HUP");
    log.wait_for("secrets and keys were read again");
    assert!(!lets_in(&port, "a:old") && lets_in(&port, "a:new"));

    write("no secret");
    hub.signal("HUP");
    let line = log.wait_for("stay in force");
    assert!(line.contains("auth.secrets_file") && line.contains("secrets.toml"), "{line}");
    assert!(lets_in(&port, "a:new"));

    write(&old);
    settings("[limits]\nbans_max = 7\n");
    hub.signal("HUP");
    let line = log.wait_for("need a restart");
    assert!(line.contains("limits.bans_max") && !line.contains("auth."), "{line}");
    assert!(lets_in(&port, "a:old") && !lets_in(&port, "a:new"));

    // Without the line everybody would be let in.
    std::fs::write(&config, "").unwrap();
    hub.signal("HUP");
    let line = log.wait_for("need a restart");
    assert!(line.contains("auth.secrets_file"), "{line}");
    assert!(lets_in(&port, "a:old") && !lets_in(&port, "b:new"));
    hub.signal("TERM");
    assert!(hub.wait().success());
}

#[test]
fn a_hang_up_that_reserves_a_name_ends_the_session_that_only_calls_itself_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml").to_str().unwrap().to_owned();
    let text = secret(b"old");
    std::fs::write(&path, &text).unwrap();
    let (mut hub, mut log) = start(&["--listen", "127.0.0.1:0", "--secrets-file", &path]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    let mut claims = introduced(&port, "a:old", "later");
    let mut other = introduced(&port, "a:old", "other");
    assert!(is_let_in(&mut claims) && is_let_in(&mut other));

    std::fs::write(&path, format!("{text}\nas = \"later\"\n")).unwrap();
    hub.signal("HUP");
    let line = log.wait_for("reserved for others now");
    assert!(line.contains("ended=1"), "{line}");
    let mut end = Vec::new();
    claims.read_to_end(&mut end).expect("the end of the session");
    let close_not_allowed = [3, 15];
    assert!(end.windows(2).any(|bytes| bytes == close_not_allowed), "{end:?}");
    assert!(lets_in(&port, "a:old"));
    hub.signal("TERM");
    assert!(hub.wait().success());
}

#[test]
fn a_hub_on_a_terminal_stops_when_that_is_closed() {
    let hub = format!(
        "echo pid $$; exec {} serve --listen 127.0.0.1:0",
        env!("CARGO_BIN_EXE_crosspoint")
    );
    let mut terminal = Running::start(Command::new("script").args(["-qfec", &hub, "/dev/null"]));
    let pid = terminal.wait_for("pid ").trim().to_owned();
    let address = format!("127.0.0.1:{}", terminal.wait_for("listening on 127.0.0.1:").trim());
    // At the first moment at which somebody knows that the hub is there.
    terminal.signal("KILL");
    let begun = Instant::now();
    while is_healthy(&address) && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let stopped = !is_healthy(&address);
    if !stopped {
        // Nobody else would end it.
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
    }
    assert!(stopped, "it serves on without a terminal");
}
