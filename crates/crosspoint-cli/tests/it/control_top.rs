//! `crosspoint top`, on a terminal and for scripts.

use crate::common::{PATIENCE, Running, hub, pieces, program};
use serde_json::Value;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

/// The program on a terminal.
struct OnTerminal {
    child: Child,
    output: Receiver<Vec<u8>>,
    shown: Vec<u8>,
}

impl OnTerminal {
    fn start(arguments: &str) -> Self {
        let line =
            format!("stty rows 30 cols 150; exec {} {arguments}", env!("CARGO_BIN_EXE_crosspoint"));
        let mut script = Command::new("script");
        script.args(["-qfec", &line, "/dev/null"]).env("TERM", "xterm-256color");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = pieces(child.stdout.take().unwrap());
        Self { child, output, shown: Vec::new() }
    }

    /// Waits for a text that is drawn in one piece, as it has another style than what was in its place.
    fn wait_for(&mut self, text: &str) {
        loop {
            let found = self.shown.windows(text.len()).position(|shown| shown == text.as_bytes());
            if let Some(at) = found {
                self.shown.drain(..at + text.len());
                return;
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown.extend(piece),
                Err(error) => {
                    panic!("no `{text}` ({error}) in {}", String::from_utf8_lossy(&self.shown))
                }
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_hub_is_watched_live_goes_away_and_comes_back() {
    let (mut first, port) = hub(&[]);
    let address = format!("tcp://127.0.0.1:{port}");
    let mut chat = program(&["chat", "--name", "Ann", "--hub", &address]);
    let mut ann = Running::start(chat.stderr(Stdio::piped()));
    ann.wait_for("you are in lobby");
    let mut top = OnTerminal::start(&format!("top --hub http://127.0.0.1:{port}"));
    top.wait_for("Ann");
    // Down, kick, yes.
    top.press("\u{1b}[B");
    top.press("k");
    top.wait_for("(Ann, 127.0.0.1)? y/n");
    top.press("y");
    top.wait_for("ended session ");
    assert_eq!(ann.wait().code(), Some(1));

    first.signal("TERM");
    top.wait_for("OLD: ");
    assert!(first.wait().success());
    let mut second =
        Running::start(&mut program(&["serve", "--listen", &format!("127.0.0.1:{port}")]));
    second.wait_for("listening on");
    top.wait_for(&format!("crosspoint http://127.0.0.1:{port}"));
    top.press("q");
    // The terminal is given back as it was.
    top.wait_for("\u{1b}[?1049l");
    assert!(top.child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_at_the_start_is_said_without_a_screen() {
    let (_hub, port) =
        hub(&["--control-access", "token", "--control-token", "a-token-of-the-tests"]);
    let mut top = OnTerminal::start(&format!("top --hub http://127.0.0.1:{port}"));
    top.wait_for("--control-token-file");
    assert_eq!(top.child.wait().unwrap().code(), Some(1));

    let output = program(&["top"]).stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("--json"), "{error}");
    assert_eq!(program(&["top", "--count", "2"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn each_second_is_a_line_of_json() {
    let (hub, port) = hub(&["--name", "the hub"]);
    let url = format!("http://127.0.0.1:{port}");
    let output = program(&["top", "--json", "--count", "2", "--hub", &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["hub"]["name"], "the hub");
    let times = [&lines[0], &lines[1]].map(|line| line["point"]["at_ms"].as_u64().unwrap());
    assert!(times[0] < times[1], "{times:?}");

    let mut command = program(&["top", "--json", "--hub", &url]);
    let mut endless = Running::start(command.stderr(Stdio::piped()));
    endless.wait_for("\"hub\"");
    hub.signal("TERM");
    let error = endless.errors().rest().pop().unwrap();
    assert!(error.contains("has ended the stream"), "{error}");
    assert_eq!(endless.wait().code(), Some(1));
}
