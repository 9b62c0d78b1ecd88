//! A Rust program, a peote member (as a Haxe game would be one), a program with the npm package `anysocket` and one
//! with `socket.io-client` share a room. The last two are `interop/room_member.mjs` and
//! `interop/socketio_member.mjs`; `./check` installs their packages.
//!
//! `cargo run -p crosspoint --example shared_room`

use crosspoint::{EnterOptions, HubOptions, Member, MemberEvent, Node, Server};
use std::error::Error;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

type Any = Box<dyn Error + Send + Sync>;

#[tokio::main]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Any> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Gives who has heard what.
pub(crate) async fn run() -> Result<Vec<String>, Any> {
    let hub = Server::new(HubOptions::default());
    let address = hub.listen("127.0.0.1:0".parse()?)?;

    let rust = Node::builder().name("Rust").connect(format!("tcp://{address}")).await?;
    let mut rust = rust.enter("lobby", EnterOptions::new().room()).await?;
    let haxe = Node::connect(format!("peote://{address}")).await?;
    let mut haxe = haxe.enter("lobby", EnterOptions::new()).await?;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let url = format!("http://{address}");
    let mut page = Program::start("socketio_member.mjs", &[&url, "lobby", "3"])?;
    assert_eq!(page.line().await?, "entered");
    let mut node = Program::start("room_member.mjs", &[&host, &port, "lobby", "3"])?;

    let mut heard = Vec::new();
    for (who, member) in [("Rust", &mut rust), ("Haxe", &mut haxe)] {
        // The page answers the node program.
        heard.push(format!("{who} heard: {}", message(member).await?));
        heard.push(format!("{who} heard: {}", message(member).await?));
    }
    rust.send("hello from Rust").await?;
    heard.push(format!("Haxe heard: {}", message(&mut haxe).await?));
    haxe.send("hello from Haxe").await?;
    heard.push(format!("Rust heard: {}", message(&mut rust).await?));
    for (who, program) in [("node", &mut node), ("page", &mut page)] {
        for _ in 0..3 {
            heard.push(format!("{who} heard: {}", program.line().await?));
        }
        program.child.wait()?;
    }
    hub.stop().await;
    Ok(heard)
}

async fn message(member: &mut Member) -> Result<String, Any> {
    match member.next().await {
        Some(MemberEvent::Message { data, .. }) => Ok(String::from_utf8(data.to_vec())?),
        other => Err(format!("no message: {other:?}").into()),
    }
}

/// A program in `interop/`.
struct Program {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Program {
    fn start(script: &str, arguments: &[&str]) -> Result<Self, Any> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/");
        let mut command = Command::new("node");
        command.arg(format!("{folder}{script}")).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(Self { child, lines })
    }

    /// The next line that it prints.
    async fn line(&mut self) -> Result<String, Any> {
        let mut lines = self.lines.take().ok_or("it prints nothing")?;
        // The hub runs meanwhile, in the same program.
        let (line, lines) = tokio::task::spawn_blocking(move || (lines.next(), lines)).await?;
        self.lines = Some(lines);
        Ok(line.ok_or("it has ended")??)
    }
}
