//! `crosspoint top`: a hub, live.
//!
//! * [`state`]: what is known and what keys do, pure; [`draw`]: how it looks; [`feed`]: where it comes from

mod draw;
mod feed;
mod state;

use super::api::Api;
use super::events::{Event, Events};
use super::{json_line, print};
use crate::failure::Failure;
use clap::{Arg, ArgMatches, Command, value_parser};
use feed::Feed;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyEvent, KeyEventKind};
use serde_json::json;
use state::{State, Wish};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Keys that may wait.
const KEYS_MAX: usize = 64;

/// The command.
pub(super) fn command() -> Command {
    Command::new("top")
        .about("Watch a hub live")
        .long_about(
            "Watch a hub live, through its control center (docs/control.md). Keys: arrows choose a \
             session, s changes the order, / searches, k ends the session after a question, q quits.",
        )
        .arg(
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .requires("json")
                .help("End after so many lines of JSON"),
        )
}

/// Watches until it is enough.
pub(super) async fn run(api: Api, matches: &ArgMatches) -> Result<(), Failure> {
    if matches.get_flag("json") {
        return lines(&api, matches.get_one("count").copied().unwrap_or(u64::MAX)).await;
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let fault = "top draws on a terminal, and this is none; --json prints a line each second";
        return Err(Failure::Setup(fault.to_owned()));
    }
    // What is wrong now is said without a screen.
    let hub = api.hub().await?;
    let mut state = State::new(api.place().to_string());
    state.take(Event::Hub(Box::new(hub)));
    let wrong = |error| Failure::Run(format!("nothing can be drawn: {error}"));
    let mut screen = Screen(ratatui::try_init().map_err(wrong)?);
    watch(api, state, &mut screen.0).await
}

/// Prints a line of JSON for each second.
async fn lines(api: &Api, count: u64) -> Result<(), Failure> {
    let mut events = Events::open(api, &[("views", "hub")]).await?;
    let (mut point, mut printed) = (None, 0);
    while printed < count {
        match events.next().await? {
            Some(Event::Point(new)) => point = Some(new),
            Some(Event::Hub(hub)) => {
                // The first figures may come before a second is over.
                if let Some(point) = point.take() {
                    print(&json_line(&json!({ "point": point, "hub": hub }))?)?;
                    printed += 1;
                }
            }
            Some(Event::Sessions(_)) => {}
            None => return Err(Failure::Run(format!("{} {}", api.place(), feed::ENDED))),
        }
    }
    Ok(())
}

/// The terminal, which is given back as it was.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody to tell if it has gone.
        let _ = ratatui::try_restore();
    }
}

async fn watch(api: Api, mut state: State, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
    let wrong = |error: io::Error| Failure::Run(format!("nothing can be drawn: {error}"));
    let mut ends = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .map_err(wrong)?;
    let [terminate, hangup, interrupt] = ends.as_mut_slice() else {
        unreachable!("there are three");
    };
    let api = Arc::new(api);
    let mut keys = keys().map_err(wrong)?;
    let mut feed = Feed::start(api.clone(), &state);
    let mut kicks = JoinSet::new();
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut state)).map_err(wrong)?;
        tokio::select! {
            key = keys.recv() => match key {
                None => return Err(Failure::Run("the terminal has gone".to_owned())),
                // Another size; it is drawn anew.
                Some(None) => {}
                Some(Some(key)) => match state.key(key) {
                    Wish::Nothing => {}
                    Wish::Quit => return Ok(()),
                    Wish::Follow => feed = Feed::start(api.clone(), &state),
                    Wish::Kick(session) => {
                        let api = api.clone();
                        kicks.spawn(async move { (session, api.kick(session).await) });
                    }
                },
            },
            news = feed.next() => {
                state.hear(news?);
                while let Some(news) = feed.at_once() {
                    state.hear(news?);
                }
            }
            Some(Ok((session, result))) = kicks.join_next() => state.kicked(session, &result),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// What is typed, and `None` for a new size. Ends when the terminal has gone.
fn keys() -> io::Result<mpsc::Receiver<Option<KeyEvent>>> {
    let (tell, keys) = mpsc::channel(KEYS_MAX);
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            let told = match event {
                event::Event::Key(key) if key.kind != KeyEventKind::Release => Some(key),
                event::Event::Resize(..) => None,
                _ => continue,
            };
            if tell.blocking_send(told).is_err() {
                return;
            }
        }
    })?;
    Ok(keys)
}
