//! The program `crosspoint`: a thin shell around the library.
//!
//! * [`serve`]: the hub; [`settings`]: its settings, shown by `crosspoint config`
//! * [`chat`]: lines of text in a room
//! * [`mod@bench`]: the load generator
//! * [`logging`]: the log

mod bench;
mod chat;
mod logging;
mod options;
mod serve;
mod settings;

use clap::{ArgMatches, Command};
use settings::{Loaded, add_arguments, load, render};
use std::io::Write;
use std::process::ExitCode;

/// Frees and reuses small pieces faster than the system's allocator, from any thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something went wrong at run time.
const FAILURE: u8 = 1;
/// The program was called or set up wrongly; the same number that clap uses.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("serve", matches)) => with_settings(matches, |loaded| serve::run(&loaded.settings)),
        Some(("config", matches)) => with_settings(matches, |loaded| {
            let shown = write!(std::io::stdout(), "{}", render(loaded));
            shown.map_err(|error| format!("the settings cannot be shown: {error}"))
        }),
        Some(("bench", matches)) => finish(bench::run(matches)),
        Some(("chat", matches)) => finish(chat::run(matches)),
        _ => unreachable!("clap demands one of the commands"),
    }
}

fn command() -> Command {
    let serve = Command::new("serve").about("Run the hub").long_about(
        "Run the hub. Without any setting it listens on port 7680 of all addresses, for every \
         protocol. SIGINT and SIGTERM stop it: everybody is told, what waits is delivered.",
    );
    let config =
        Command::new("config").about("Show the effective settings and where each comes from");
    Command::new("crosspoint")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A realtime hub: connects the clients of games and apps")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(add_arguments(serve))
        .subcommand(add_arguments(config))
        .subcommand(chat::command())
        .subcommand(bench::command())
}

fn with_settings(
    matches: &ArgMatches,
    run: impl FnOnce(&Loaded) -> Result<(), String>,
) -> ExitCode {
    let environment = std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    let loaded = match load(matches, environment) {
        Ok(loaded) => loaded,
        Err(error) => return fail(USAGE, &error.to_string()),
    };
    finish(run(&loaded))
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &error),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("crosspoint: {message}");
    ExitCode::from(code)
}
