//! `crosspoint chat`: lines of text in a room, to see the hub at work.

use clap::{Arg, ArgMatches, Command};
use crosspoint::{EnterOptions, MemberEvent, MemberNumber, Node, Reason};
use std::collections::HashMap;
use std::io::Write;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::runtime::Builder;

/// The command and its flags.
pub(crate) fn command() -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("chat")
        .about("Talk in a room: lines you type go to everybody else in it")
        .long_about(
            "Talk in a room: each line you type goes to everybody else in it, and theirs are shown. \
             The end of the input (Ctrl-D) or Ctrl-C leaves.",
        )
        .arg(flag("room", "NAME", "The room; made if there is none of this name").default_value("lobby"))
        .arg(flag("hub", "ADDRESS", "Where the hub is: tcp://HOST:PORT or ws://HOST:PORT").default_value("tcp://127.0.0.1:7680"))
        .arg(flag("name", "NAME", "What others see; your user name if not given"))
        .arg(flag("token", "TOKEN", "The hub's access token, if it has one"))
}

/// Chats until the input ends, Ctrl-C, or the hub ends it.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), String> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(chat(matches));
    // The thread that reads the input cannot be woken; the program ends without it.
    runtime.shutdown_background();
    result
}

async fn chat(matches: &ArgMatches) -> Result<(), String> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let (room, hub) = (text("room").unwrap_or_default(), text("hub").unwrap_or_default());
    let name =
        text("name").or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "somebody".into());
    let mut builder =
        Node::builder().name(name).agent(concat!("crosspoint-chat/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = text("token") {
        builder = builder.token(token.into_bytes());
    }
    let node = builder.connect(hub.as_str()).await.map_err(|error| error.to_string())?;
    let options = EnterOptions::new().room().presence();
    let mut member = node.enter(room.as_str(), options).await.map_err(|error| error.to_string())?;
    show(&format!("* you are in {}; type a line, or Ctrl-D to leave", plain(&room)))?;

    let mut names: HashMap<MemberNumber, String> = HashMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let result = loop {
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => {
                    if let Err(error) = member.send(line).await {
                        break Err(error.to_string());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(format!("the input cannot be read: {error}")),
            },
            event = member.next() => match event {
                Some(MemberEvent::Message { from, data }) => {
                    let name = from.and_then(|from| names.get(&from)).map_or("somebody", String::as_str);
                    show(&format!("{name}: {}", plain(&String::from_utf8_lossy(&data))))?;
                }
                Some(MemberEvent::OtherEntered { member, peer }) => {
                    let name = peer.name.as_deref().map_or_else(|| format!("{} {member}", peer.protocol), plain);
                    show(&format!("* {name} is here"))?;
                    names.insert(member, name);
                }
                Some(MemberEvent::OtherLeft { member, reason }) => {
                    let name = names.remove(&member).unwrap_or_else(|| member.to_string());
                    show(&format!("* {name} has gone ({reason})"))?;
                }
                Some(MemberEvent::Ended { reason }) => break Err(ended(reason)),
                Some(_) => {}
                None => break Err(ended(Reason::ConnectionLost)),
            },
            _ = tokio::signal::ctrl_c() => break Ok(()),
        }
    };
    // What was typed last is still on its way.
    node.close().await;
    result
}

fn ended(reason: Reason) -> String {
    format!("the chat has ended: {reason}")
}

fn show(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("nothing can be shown: {error}"))
}

/// What comes from others must not command the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
