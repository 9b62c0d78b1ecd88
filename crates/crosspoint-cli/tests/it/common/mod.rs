//! The program, run for a test and ended with it.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// The program with some arguments and no settings from the environment.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosspoint"));
    let foreign =
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CROSSPOINT_"));
    foreign.for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.args(arguments);
    command
}

/// A process whose output is read line by line.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_input(command.stdin(Stdio::piped()))
    }

    /// As [`start`](Self::start), with the input that the command has.
    pub(crate) fn start_with_input(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until a line holds a text, and gives what follows the text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once(text) {
                return rest.to_owned();
            }
            seen.push(line);
        }
        panic!("`{text}` was not printed, but {seen:#?}");
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Takes the reader of its standard error away.
    pub(crate) fn close_errors(&mut self) {
        self.child.stderr = None;
    }

    /// What comes from its standard error, line by line.
    pub(crate) fn errors(&mut self) -> Lines<BufReader<ChildStderr>> {
        BufReader::new(self.child.stderr.take().unwrap()).lines()
    }

    /// Ends the input.
    pub(crate) fn end_input(&mut self) {
        self.child.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Ends the program after this time, unless the result is dropped before: a test of what may hang
    /// fails then.
    pub(crate) fn watch(&self, longest: Duration) -> Sender<()> {
        let (alive, dropped) = channel();
        let pid = self.child.id().to_string();
        std::thread::spawn(move || {
            if dropped.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
                // It may have ended by itself.
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        alive
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        // Waiting would end the input, which is a reason to end for some.
        let input = self.child.stdin.take();
        let status = self.child.wait().unwrap();
        drop(input);
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A hub on a free port.
pub(crate) fn hub(more: &[&str]) -> (Running, String) {
    let arguments = [&["serve", "--listen", "127.0.0.1:0"], more].concat();
    let mut hub = Running::start(&mut program(&arguments));
    let port = hub.wait_for("listening on 127.0.0.1:");
    (hub, port)
}

/// The hub's whole answer to a GET.
pub(crate) fn get(port: &str, path: &str) -> String {
    try_get(port, path).unwrap()
}

/// The same, where the hub may close the connection without a word.
pub(crate) fn try_get(port: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The program's output, after it was given all of an input.
pub(crate) fn output_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = program(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}
