//! The program, run for a test and ended with it.

mod printed;

pub(crate) use printed::{PATIENCE, Printed, pieces};

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

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

/// Settings of a hub that lets clients in also where the check of a secret takes long, as the machine is busy.
pub(crate) const PATIENT: [&str; 2] = ["--handshake-ms-max", "120000"];

/// A process whose output is read line by line.
pub(crate) struct Running {
    child: Child,
    printed: Printed,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_input(command.stdin(Stdio::piped()))
    }

    /// As [`start`](Self::start), with the input that the command has.
    pub(crate) fn start_with_input(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = Printed::new(child.stdout.take().unwrap());
        Self { child, printed }
    }

    /// Reads on until a line holds a text, and gives what follows the text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let line = self.printed.wait_for(text);
        line.split_once(text).expect("it holds the text").1.to_owned()
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Takes the reader of its standard error away.
    pub(crate) fn close_errors(&mut self) {
        self.child.stderr = None;
    }

    /// What comes from its standard error.
    pub(crate) fn errors(&mut self) -> Printed {
        Printed::new(self.child.stderr.take().unwrap())
    }

    /// Ends the input.
    pub(crate) fn end_input(&mut self) {
        self.child.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.printed.rest();
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

/// A connection to the hub, which is waited for no longer than [`PATIENCE`].
pub(crate) fn connect(port: &str) -> TcpStream {
    try_connect(port).unwrap_or_else(|error| panic!("no connection to port {port}: {error}"))
}

fn try_connect(port: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(format!("127.0.0.1:{}", port.trim()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The hub's whole answer to a GET.
pub(crate) fn get(port: &str, path: &str) -> String {
    try_get(port, path).unwrap_or_else(|error| panic!("no answer to GET {path}: {error}"))
}

/// The same, where the hub may close the connection without a word.
pub(crate) fn try_get(port: &str, path: &str) -> std::io::Result<String> {
    let mut stream = try_connect(port)?;
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
