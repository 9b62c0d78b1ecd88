//! What an operator does at a terminal: `crosspoint top`, `sessions`, `rooms` and `kick`, over the API of the control center.
//!
//! * [`place`]: where the hub is; [`api`]: requests to it, and what is wrong with them
//! * [`events`]: what it tells live
//! * [`mod@top`], [`lists`], [`kick`]: the commands
//! * [`columns`]: what tables show; [`table`]: tables as text; [`figures`]: numbers for people

mod api;
mod columns;
mod events;
mod figures;
mod kick;
mod lists;
mod place;
mod table;
mod top;

use crate::client_tls;
use crate::failure::Failure;
use crate::logging::{Style, clean};
use crate::small_file::{self, FileKind};
use api::Api;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use crosspoint_control::Token;
use place::Place;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use tokio::runtime::Builder;

/// More than any token has, with the end of its line.
const TOKEN_FILE_BYTES_MAX: u64 = 1024;

/// The environment variable with the token. It is that of the setting, so that what starts a hub can also watch it.
const TOKEN_VARIABLE: &str = "CROSSPOINT_CONTROL__TOKEN";

/// The same for the file with the token.
const TOKEN_FILE_VARIABLE: &str = "CROSSPOINT_CONTROL__TOKEN_FILE";

/// The commands.
pub(crate) fn commands() -> [Command; 4] {
    [top::command(), lists::sessions(), lists::rooms(), kick::command()].map(add_arguments)
}

/// Runs a command, if it is one of these.
pub(crate) fn run(name: &str, matches: &ArgMatches) -> Option<Result<(), Failure>> {
    Some(match name {
        "top" => with_api(matches, async |api| top::run(api, matches).await),
        "sessions" => with_api(matches, async |api| lists::list_sessions(&api, matches).await),
        "rooms" => with_api(matches, async |api| lists::list_rooms(&api, matches).await),
        "kick" => with_api(matches, async |api| kick::run(&api, matches).await),
        _ => return None,
    })
}

/// Adds the flags that all have: where the hub is, and who one is.
fn add_arguments(command: Command) -> Command {
    let command = command
        .arg(
            Arg::new("hub")
                .long("hub")
                .value_name("URL")
                .value_parser(value_parser!(Place))
                .default_value("http://127.0.0.1:7680")
                .help("Where the hub is: http:// or https://HOST:PORT, or unix:PATH"),
        )
        .arg(
            Arg::new("control-token")
                .long("control-token")
                .value_name("TOKEN")
                .env(TOKEN_VARIABLE)
                .hide_env_values(true)
                .help("The token of the control center, which a hub on this machine does not ask for unless it is set up so; others can see flags"),
        )
        .arg(
            Arg::new("control-token-file")
                .long("control-token-file")
                .value_name("FILE")
                .env(TOKEN_FILE_VARIABLE)
                .value_parser(value_parser!(PathBuf))
                .help("The file with this token"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON, an object on each line"),
        );
    client_tls::add_arguments(command)
}

/// Runs a command that asks the hub.
fn with_api(
    matches: &ArgMatches,
    run: impl AsyncFnOnce(Api) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let api = api(matches)?;
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(run(api));
    // A thread that reads the terminal or asks for addresses cannot be woken.
    runtime.shutdown_background();
    result
}

fn api(matches: &ArgMatches) -> Result<Api, Failure> {
    let Some(place) = matches.get_one::<Place>("hub").cloned() else {
        unreachable!("there is a default");
    };
    if !place.has_tls() {
        client_tls::refuse_without_tls(matches, &place, "https://")?;
    }
    Api::new(place, &client_tls::read(matches)?, token(matches)?)
}

/// The token. What was given with the command counts more than the environment.
fn token(matches: &ArgMatches) -> Result<Option<Token>, Failure> {
    let (flag, file_flag) = ("control-token", "control-token-file");
    let is_typed = |flag| matches.value_source(flag) == Some(ValueSource::CommandLine);
    if is_typed(flag) && is_typed(file_flag) {
        return Err(Failure::Setup(format!("give either --{flag} or --{file_flag}")));
    }
    let text = matches.get_one::<String>(flag).filter(|_| !is_typed(file_flag));
    if let Some(text) = text {
        let token = Token::new(text.as_str());
        return token.map(Some).map_err(|error| Failure::Setup(format!("--{flag}: {error}")));
    }
    let Some(path) = matches.get_one::<PathBuf>(file_flag) else {
        return Ok(None);
    };
    let wrong = |error: &dyn std::error::Error| {
        Failure::Setup(format!("--{file_flag} {}: {error}", path.display()))
    };
    let file = small_file::read(path, FileKind::Any, TOKEN_FILE_BYTES_MAX);
    let text = file.map_err(|error| wrong(&error))?.text;
    Token::new(text.trim()).map(Some).map_err(|error| wrong(&error))
}

/// Prints a text that ends its lines itself.
fn print(text: &str) -> Result<(), Failure> {
    let shown = std::io::stdout().write_all(text.as_bytes());
    shown.map_err(|error| Failure::Run(format!("nothing can be shown: {error}")))
}

/// A line of JSON that is harmless on a terminal too.
fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::Run(format!("this cannot be written as JSON: {error}")))?;
    Ok(format!("{}\n", clean(&text, Style::Json)))
}

/// What others have chosen must not command the terminal.
fn plain(text: &str) -> String {
    clean(text, Style::Plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_control::model::SessionRow;

    /// A session with a number and a name, as good as any.
    pub(super) fn session(session: u64, name: Option<&str>) -> SessionRow {
        SessionRow {
            session,
            id: format!("{session:032x}"),
            name: name.map(str::to_owned),
            protocol: "native".to_owned(),
            transport: "tcp".to_owned(),
            tls: false,
            address: Some("192.0.2.7".to_owned()),
            since_ms: 0,
            away: false,
            proven: false,
            round_trip_us: None,
            outbox_bytes: 0,
            memory_bytes: 0,
            messages_in: 0,
            messages_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            messages_in_per_s: 0.0,
            messages_out_per_s: 0.0,
            bytes_in_per_s: 0.0,
            bytes_out_per_s: 0.0,
        }
    }

    #[test]
    fn lines_of_json_are_harmless_and_can_be_read_again() {
        let row = session(1, Some("\u{1b}[2J\u{202e}"));
        let line = json_line(&row).unwrap();
        assert!(line.is_ascii() && !line.contains('\u{1b}'), "{line}");
        assert_eq!(serde_json::from_str::<SessionRow>(&line).unwrap(), row);
    }
}
