//! `crosspoint chat`: lines of text in a room, to see the hub at work.

use crate::client_tls;
use crate::failure::Failure;
use crate::identity;
use crate::logging::{Style, clean};
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use crosspoint::tls::client::{ClientTls, HandshakeError};
use crosspoint::{
    ChannelError, ConnectError, EnterOptions, MemberEvent, MemberNumber, Node, Reason,
};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::runtime::Builder;

/// How many of the same user may chat at once without names of their own choice.
const NAMESAKES_MAX: u32 = 9;

/// The command and its flags.
pub(crate) fn command() -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let command = Command::new("chat")
        .about("Talk in a room: lines you type go to everybody else in it")
        .long_about(
            "Talk in a room: each line you type goes to everybody else in it, and theirs are shown. \
             The end of the input (Ctrl-D) or Ctrl-C leaves.",
        )
        .arg(
            flag("room", "NAME", "The room, or a channel that somebody owns; a room is made if there is none of this name")
                .default_value("lobby")
                .value_parser(NonEmptyStringValueParser::new()),
        )
        .arg(flag("password", "PASSWORD", "The password of the channel, if its owner has set one"))
        .arg(flag("hub", "ADDRESS", "Where the hub is: tcp://, tls://, ws:// or wss://HOST:PORT, or unix:PATH").default_value("tcp://127.0.0.1:7680"))
        .arg(flag("name", "NAME", "What others see, different from theirs; your user name if not given"))
        .arg(
            flag("identity", "FILE", "Prove to be the owner of an identity that `crosspoint id new` made")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("unbound-proof")
                .long("unbound-proof")
                .help("Do not bind the proof of --identity to TLS: for a hub behind a proxy that ends TLS, which could then use the proof")
                .action(ArgAction::SetTrue)
                .requires("identity"),
        )
        .arg(flag("token", "TOKEN", "What the hub asks for: its access token, NAME:SECRET, or a signed token"));
    client_tls::add_arguments(command)
}

/// Chats until the input ends, Ctrl-C, or the hub ends it.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(chat(matches));
    // The thread that reads the input cannot be woken; the program ends without it.
    runtime.shutdown_background();
    result
}

async fn chat(matches: &ArgMatches) -> Result<(), Failure> {
    let room = matches.get_one::<String>("room").cloned().unwrap_or_default();
    let node = connect(matches).await?;
    let mut options = EnterOptions::new().room().presence();
    if let Some(password) = matches.get_one::<String>("password") {
        options = options.password(password.clone());
    }
    let entered = node.enter(room.as_str(), options).await;
    let mut member = entered.map_err(|error| format!("{error}{}", advice(&error)))?;
    let is_room = member.is_room();
    let hearers = match is_room {
        true => "",
        false => ", a channel whose owner alone gets your lines",
    };
    show(&format!("* you are in {}{hearers}; type a line, or Ctrl-D to leave", plain(&room)))?;

    let mut names: HashMap<MemberNumber, String> = HashMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let result = loop {
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => {
                    match member.send(line).await {
                        Ok(()) => {}
                        Err(ChannelError::TooLarge { length, max }) => {
                            show(&format!("* that line was not sent: it has {length} bytes, the room takes {max}"))?;
                        }
                        Err(error) => break Err(error.to_string().into()),
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(format!("the input cannot be read: {error}").into()),
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
                    show(&format!("* {name} has gone ({})", why(reason, is_room)))?;
                }
                Some(MemberEvent::Ended { reason }) => break Err(ended(&why(reason, is_room)).into()),
                Some(_) => {}
                None => break Err(ended(&Reason::ConnectionLost.to_string()).into()),
            },
            _ = tokio::signal::ctrl_c() => break Ok(()),
        }
    };
    // What was typed last is still on its way.
    node.close().await;
    result
}

/// What to do if the room cannot be entered, to be said behind the error.
fn advice(error: &ChannelError) -> &'static str {
    match error {
        ChannelError::Refused(Reason::NotAllowed) => {
            "; your permissions have to cover entering this room, and creating it if nobody is in it; the hub's log says which one does not"
        }
        ChannelError::Refused(Reason::WrongPassword) => "; give it with --password",
        _ => "",
    }
}

/// Connects. Names are unique at a hub, so a number tells the windows of one user apart.
async fn connect(matches: &ArgMatches) -> Result<Node, Failure> {
    let text = |name: &str| matches.get_one::<String>(name);
    let hub = text("hub").map_or("", String::as_str);
    if hub.starts_with("peote") {
        let fault = "--hub: a peote server has no rooms to talk in; write tcp://, tls://, ws:// or wss://HOST:PORT";
        return Err(Failure::Setup(fault.to_owned()));
    }
    if !["tls://", "wss://"].iter().any(|scheme| hub.starts_with(scheme)) {
        client_tls::refuse_without_tls(matches, hub, "tls:// or wss://")?;
    }
    let ClientTls { trust, certificate } = client_tls::read(matches)?;
    let mut builder =
        Node::builder().agent(concat!("crosspoint-chat/", env!("CARGO_PKG_VERSION"))).trust(trust);
    if let Some(token) = text("token") {
        builder = builder.token(token.clone().into_bytes());
    }
    if let Some(path) = matches.get_one::<PathBuf>("identity") {
        builder = builder.identity(identity::load(path)?);
    }
    if matches.get_flag("unbound-proof") {
        builder = builder.unbound_proof();
    }
    if let Some(certificate) = certificate {
        builder = builder.client_certificate(certificate);
    }
    if let Some(name) = text("name") {
        return match builder.name(name).connect(hub).await {
            Err(error) if is_refused(&error, Reason::NameTaken) => {
                Err(format!("{error}; choose another name with --name").into())
            }
            result => result.map_err(|error| failed(error, matches)),
        };
    }
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    let mut number = 1;
    loop {
        let name = if number == 1 { user.clone() } else { format!("{user}-{number}") };
        match builder.clone().name(name).connect(hub).await {
            Err(error) if is_refused(&error, Reason::NameTaken) && number < NAMESAKES_MAX => {
                number += 1;
            }
            result => return result.map_err(|error| failed(error, matches)),
        }
    }
}

fn is_refused(error: &ConnectError, why: Reason) -> bool {
    matches!(error, ConnectError::Refused { reason, .. } if *reason == why)
}

/// An address or a name that cannot be is wrong use.
fn failed(error: ConnectError, matches: &ArgMatches) -> Failure {
    match error {
        ConnectError::Address(error) => Failure::Setup(format!("--hub: {error}")),
        ConnectError::Name(error) => Failure::Setup(format!("--name: {error}")),
        error if is_refused(&error, Reason::NotAllowed) && !matches.contains_id("token") => {
            let hint = "give what the hub asks for with --token, or with --tls-cert if that is a certificate";
            Failure::Run(format!("{error}; {hint}"))
        }
        ConnectError::Unreachable { ref address, ref source }
            if let Some(wrong) = HandshakeError::find(source) =>
        {
            let advice = client_tls::advice(wrong);
            Failure::Run(format!("no connection to {address}: {wrong}{advice}"))
        }
        error => Failure::Run(error.to_string()),
    }
}

fn ended(why: &str) -> String {
    format!("the chat has ended: {why}")
}

/// Why somebody is no member any more. What owners do, only the hub's operator does in a room.
fn why(reason: Reason, is_room: bool) -> String {
    if is_room { reason.of_session().to_string() } else { reason.to_string() }
}

fn show(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("nothing can be shown: {error}"))
}

/// What comes from others must not command the terminal.
fn plain(text: &str) -> String {
    clean(text, Style::Plain).into_owned()
}
