//! A log that cannot be written, or that nobody reads, does not harm the hub.

use crate::common::{PATIENCE, PATIENT, Running, connect, get, program};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A hub that logs all there is, and waits for those who say nothing yet, however busy the machine is.
fn loud(stderr: Stdio) -> (Running, String) {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "trace"];
    let mut command = program(&[&arguments[..], &PATIENT].concat());
    let mut hub = Running::start(command.stderr(stderr));
    let port = hub.wait_for("listening on 127.0.0.1:");
    (hub, port)
}

/// Does something until lines of the log are dropped.
fn until_lines_are_dropped(port: &str, act: impl Fn()) {
    let begun = Instant::now();
    while metric(port, "crosspoint_log_lines_dropped_total") == 0 {
        assert!(begun.elapsed() < PATIENCE, "no line of the log is dropped");
        act();
    }
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a device of the system").into()
}

/// The value of a counter.
fn metric(port: &str, name: &str) -> u64 {
    let metrics = get(port, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect("it is there from the start").parse().expect("a number")
}

#[test]
fn on_a_full_disk_the_hub_serves_and_counts_and_stops_when_told() {
    let (mut hub, port) = loud(full_disk());
    assert!(get(&port, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
    until_lines_are_dropped(&port, || ());
    hub.signal("TERM");
    assert!(hub.wait().success());
}

#[test]
fn without_a_reader_the_hub_serves_and_stops_when_told() {
    let (mut hub, port) = loud(Stdio::piped());
    hub.close_errors();
    for _ in 0..10 {
        assert!(get(&port, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
    }
    hub.signal("TERM");
    assert!(hub.wait().success());
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    // More than the pipe takes, and than may wait.
    let (mut hub, port) = loud(Stdio::piped());
    let mut stream = connect(&port);
    until_lines_are_dropped(&port, || {
        for _ in 0..200 {
            assert!(get(&port, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
        }
    });
    write!(stream, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    hub.signal("TERM");
    assert!(hub.wait().success());
}

#[test]
fn output_that_nobody_takes_is_an_error_at_most_and_never_a_panic() {
    let panics = |command: &mut Command| {
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!errors.contains("panic"), "{command:?}: {errors}");
        output.status.code()
    };
    assert_eq!(panics(program(&["config"]).stdout(full_disk())), Some(1));
    assert_eq!(panics(program(&["no such command"]).stderr(full_disk())), Some(2));
    assert_eq!(panics(program(&["serve", "--listen", "x"]).stderr(full_disk())), Some(2));
}
