//! The program `crosspoint`: a thin shell around the library.
//!
//! * [`serve`]: the hub; [`reload`]: new secrets and keys while it runs
//! * [`listen`]: where it listens; [`sockets`]: Unix sockets; [`activation`] and [`notify`]: under systemd
//! * [`settings`]: its settings, shown by `crosspoint config`; [`options`]: what they become
//! * [`chat`]: lines of text in a room
//! * [`client_tls`]: whom the clients trust
//! * [`mod@control`]: the control center of the hub; [`operator`]: the commands that use it
//! * [`identity`]: keys in files; [`secret_file`]: how secrets are written; [`hash_secret`]: hashes of secrets
//! * [`mod@bench`]: the load generator
//! * [`logging`]: the log; [`small_file`]: how files are read

// They panic when nobody can be told, such as when the reader of a pipe has gone.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod activation;
mod bench;
mod certificates;
mod chat;
mod client_tls;
mod control;
mod failure;
mod give_back;
mod hash_secret;
mod identity;
mod listen;
mod logging;
mod machine;
mod notify;
mod operator;
mod options;
mod reload;
mod secret_file;
mod serve;
mod settings;
mod small_file;
mod sockets;

use clap::builder::UnknownArgumentValueParser;
use clap::{Arg, ArgMatches, Command};
use failure::Failure;
use settings::{Loaded, add_arguments, load, render};
use small_file::FileKind;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// Frees and reuses small pieces faster than the system's allocator, from any thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code when something went wrong at run time.
const RUN: u8 = 1;
/// The exit code when the program was called or set up wrongly; the same number that clap uses.
const SETUP: u8 = 2;

fn main() -> ExitCode {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("serve", matches)) => {
            let again = matches.clone();
            let load = Arc::new(move |kind| read(&again, kind));
            with_settings(matches, |loaded| serve::run(&loaded.settings, load))
        }
        Some(("config", matches)) => with_settings(matches, |loaded| {
            let shown = write!(std::io::stdout(), "{}", render(loaded));
            shown.map_err(|error| format!("the settings cannot be shown: {error}"))?;
            serve::check(&loaded.settings)
        }),
        Some(("chat", matches)) => finish(chat::run(matches)),
        Some(("id", matches)) => finish(identity::run(matches).map_err(Failure::Run)),
        Some(("hash-secret", _)) => finish(hash_secret::run().map_err(Failure::Run)),
        Some(("bench", matches)) => finish(bench::run(matches)),
        Some((name, matches)) => match operator::run(name, matches) {
            Some(result) => finish(result),
            None => unreachable!("clap knows the commands"),
        },
        None => unreachable!("clap demands one of the commands"),
    }
}

fn command() -> Command {
    let serve = Command::new("serve").about("Run the hub").long_about(
        "Run the hub. Without settings it listens on port 7680 of all addresses, for every \
         protocol. SIGINT and SIGTERM stop it: it tells its clients and delivers pending data; a \
         second signal ends it at once. SIGHUP reloads secrets and keys, and stops the hub when its \
         terminal closes.",
    );
    let config =
        Command::new("config").about("Show the effective settings and where each value comes from");
    Command::new("crosspoint")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A realtime hub: connects the clients of games and apps")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help("Exit codes: 0 success, 1 failure, 2 wrong usage or invalid settings")
        .subcommand(add_arguments(serve).arg(no_port()))
        .subcommand(add_arguments(config))
        .subcommands(operator::commands())
        .subcommand(chat::command())
        .subcommand(identity::command())
        .subcommand(hash_secret::command())
        .subcommand(bench::command())
}

/// A flag that many programs have. Here it says what to write instead.
fn no_port() -> Arg {
    let parser = UnknownArgumentValueParser::suggest_arg("--listen").and_suggest(
        "write `--listen 0.0.0.0:PORT`, or `--listen 127.0.0.1:PORT` for this machine only",
    );
    Arg::new("port").long("port").hide(true).value_parser(parser)
}

fn with_settings(
    matches: &ArgMatches,
    run: impl FnOnce(&Loaded) -> Result<(), Failure>,
) -> ExitCode {
    finish(read(matches, FileKind::Any).and_then(|loaded| run(&loaded)))
}

/// Reads the settings, wherever they are.
fn read(matches: &ArgMatches, kind: FileKind) -> Result<Loaded, Failure> {
    let environment = std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    load(matches, environment, kind).map_err(|error| Failure::Setup(error.to_string()))
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    let (code, message) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Setup(message)) => (SETUP, message),
        Err(Failure::Run(message)) => (RUN, message),
    };
    failure::complain(&message);
    ExitCode::from(code)
}
