//! The program as its user sees it.

mod common;

use common::{Running, hub, program};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn two_people_chat_over_tcp_and_websocket() {
    let (_hub, port) = hub(&[]);
    let chat = |name: &str, scheme: &str| {
        let address = format!("{scheme}://127.0.0.1:{port}");
        Running::start(&mut program(&[
            "chat", "--room", "lobby", "--name", name, "--hub", &address,
        ]))
    };
    let mut ann = chat("Ann", "tcp");
    ann.wait_for("you are in lobby");
    let mut bob = chat("Bob", "ws");
    bob.wait_for("Ann is here");
    ann.wait_for("Bob is here");
    ann.type_line("hello Bob");
    assert_eq!(bob.wait_for("Ann: "), "hello Bob");
    bob.type_line("hello \u{1b}[31mAnn");
    assert_eq!(
        ann.wait_for("Bob: "),
        "hello \u{fffd}[31mAnn",
        "nobody commands another's terminal"
    );
    bob.end_input();
    assert!(bob.wait().success());
    assert_eq!(ann.wait_for("Bob has gone "), "(left)");
}

#[test]
fn a_signal_stops_the_hub_members_are_told_and_all_is_well() {
    for name in ["INT", "TERM"] {
        let (mut hub, port) = hub(&[]);
        let address = format!("tcp://127.0.0.1:{port}");
        let mut command = program(&["chat", "--hub", &address]);
        let mut ann = Running::start(command.stderr(std::process::Stdio::piped()));
        ann.wait_for("you are in lobby");
        hub.signal(name);
        hub.wait_for("stopped");
        assert!(hub.wait().success());
        assert_eq!(ann.wait().code(), Some(1));
    }
}

#[test]
fn health_and_metrics_answer_on_the_same_port() {
    let (_hub, port) = hub(&[]);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/health").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get("/metrics").contains("\ncrosspoint_connections "));
    assert!(get("/elsewhere").starts_with("HTTP/1.1 404 "));
}

#[test]
fn wrong_settings_are_named_with_where_they_come_from_and_exit_2() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[limits]\noutbox_bytes_max = \"many\"\n[servr]\nname = \"x\"").unwrap();
    let path = file.path().to_str().unwrap();
    let output = program(&["serve", "--config", path])
        .env("CROSSPOINT_LOG__FORMAT", "xml")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in [
        path,
        "limits.outbox_bytes_max",
        "many",
        "servr",
        "server",
        "CROSSPOINT_LOG__FORMAT",
        "json",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn config_shows_what_is_in_force_and_where_it_comes_from() {
    let mut command = program(&["config", "--listen", "127.0.0.1:9", "--access-token", "hidden"]);
    let output = command.env("CROSSPOINT_LOG__FORMAT", "json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("hidden"), "{text}");
    let has = |words: [&str; 3]| {
        let mut lines =
            text.lines().map(|line| line.split(['=', '#']).map(str::trim).collect::<Vec<_>>());
        assert!(lines.any(|line| line == words), "{words:?} is not in:\n{text}");
    };
    has(["listen", "[\"127.0.0.1:9\"]", "flag --listen"]);
    has(["format", "\"json\"", "env CROSSPOINT_LOG__FORMAT"]);
    has(["frame_bytes_max", "\"64KiB\"", "default"]);
}

#[test]
fn a_port_in_use_is_said_plainly_and_exits_1() {
    let (_hub, port) = hub(&[]);
    let output = program(&["serve", "--listen", &format!("127.0.0.1:{port}")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&port) && text.contains("--listen"), "{text}");
}

#[test]
fn an_access_token_is_asked_for() {
    let (_hub, port) = hub(&["--access-token", "open sesame"]);
    let address = format!("tcp://127.0.0.1:{port}");
    let output = program(&["chat", "--hub", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("not allowed"), "{text}");
    let mut ann =
        Running::start(&mut program(&["chat", "--hub", &address, "--token", "open sesame"]));
    ann.wait_for("you are in lobby");
}

#[test]
fn every_workload_of_bench_runs_over_both_protocols() {
    for protocol in ["native", "joint"] {
        for workload in [
            &["fanout", "--receivers", "3", "--seconds", "1"][..],
            &["relay", "--in-flight", "8", "--seconds", "1"],
            &["stall", "--members", "3", "--rate", "100", "--seconds", "1"],
            &["idle", "--connections", "50"],
        ] {
            let arguments = [&["bench"], workload, &["--protocol", protocol, "--json"]].concat();
            let output = program(&arguments).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {errors}");
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(report["dialect"], protocol);
        }
    }
}
