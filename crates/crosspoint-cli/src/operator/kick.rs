//! `crosspoint kick`: ends sessions.

use super::api::{Api, ApiError};
use super::columns::{name, transport};
use super::{json_line, plain, print};
use crate::failure::{Failure, complain};
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgMatches, Command};
use crosspoint_control::model::{SessionRow, Sessions};
use serde_json::json;

/// Candidates that are named where a name is ambiguous.
const CANDIDATES_MAX: usize = 10;

/// The command.
pub(super) fn command() -> Command {
    Command::new("kick")
        .about("End sessions at a hub")
        .long_about(
            "End sessions at a hub, through its control center (docs/control.md). Their clients are told \
             that they were kicked, and cannot resume; they may connect again.",
        )
        .arg(
            Arg::new("who")
                .value_name("WHO")
                .num_args(1..)
                .required(true)
                .value_parser(NonEmptyStringValueParser::new())
                .help("The number of a session, a whole id, or a whole name; digits are always a number, and what is the id of somebody is no name"),
        )
        .after_help("Exit codes: 0 all are ended, 1 one was not found, ambiguous or not ended, 2 wrong usage")
}

/// Why somebody was not ended, while others may be.
enum NotKicked {
    /// Nobody, or more than one.
    Who(String),
    /// There is no use in trying others.
    Api(ApiError),
}

impl From<ApiError> for NotKicked {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Ends all of them that can be.
pub(super) async fn run(api: &Api, matches: &ArgMatches) -> Result<(), Failure> {
    let is_json = matches.get_flag("json");
    let (mut ended, mut wrong) = (Vec::new(), Vec::new());
    for who in matches.get_many::<String>("who").into_iter().flatten() {
        match kick(api, who, &ended).await {
            Ok((session, row)) => {
                ended.push(session);
                print(&told(session, row.as_ref(), is_json)?)?;
            }
            Err(NotKicked::Who(why)) => wrong.push(why),
            Err(NotKicked::Api(error)) => return Err(error.into()),
        }
    }
    let Some(last) = wrong.pop() else {
        return Ok(());
    };
    wrong.iter().for_each(|why| complain(why));
    Err(Failure::Run(last))
}

/// Ends somebody. Gives the number, and what is known of the session.
async fn kick(api: &Api, who: &str, ended: &[u64]) -> Result<(u64, Option<SessionRow>), NotKicked> {
    let (session, row) = match number(who) {
        // It may be too new for the lists, which are a second old.
        Some(session) => (session, api.session(session).await?),
        None => {
            let found = api.list::<Sessions>(&[("who", who)], u64::MAX).await?.rows;
            let row = choose(who, found, ended).map_err(NotKicked::Who)?;
            (row.session, Some(row))
        }
    };
    match api.kick(session).await? {
        true => Ok((session, row)),
        false => Err(NotKicked::Who(format!("there is no session {session} (any more)"))),
    }
}

/// A text that is a number is never a name, so that nobody hides behind the number of another.
fn number(who: &str) -> Option<u64> {
    who.bytes().all(|byte| byte.is_ascii_digit()).then(|| who.parse().ok()).flatten()
}

/// The one who is meant: who has this id, else who has this name.
///
/// # Errors
/// There is nobody, or more than one.
fn choose(who: &str, found: Vec<SessionRow>, ended: &[u64]) -> Result<SessionRow, String> {
    let found = found.into_iter().filter(|row| !ended.contains(&row.session));
    let (by_id, others): (Vec<_>, Vec<_>) = found.partition(|row| row.id.eq_ignore_ascii_case(who));
    let mut meant = match by_id.is_empty() {
        true => others.into_iter().filter(|row| row.name.as_deref() == Some(who)).collect(),
        false => by_id,
    };
    let shown = plain(who);
    match (meant.pop(), meant.len()) {
        (None, _) => {
            Err(format!("nobody has the name or id {shown}; `crosspoint sessions` lists all"))
        }
        (Some(row), 0) => Ok(row),
        (Some(last), others) => {
            meant.push(last);
            let candidates =
                meant.iter().take(CANDIDATES_MAX).map(|row| format!("\n  {}", line(row)));
            let more = match meant.len().saturating_sub(CANDIDATES_MAX) {
                0 => String::new(),
                more => format!("\n  and {more} more"),
            };
            let candidates: String = candidates.collect();
            let count = others + 1;
            Err(format!(
                "{shown} is ambiguous, nobody was ended; give one of these {count} numbers:{candidates}{more}"
            ))
        }
    }
}

/// A session in one line.
fn line(row: &SessionRow) -> String {
    let SessionRow { session, name: called, address, protocol, .. } = row;
    let [called, address] = [called, address].map(|text| name(text.as_deref()));
    format!("{session}: {called}, {} over {}, from {address}", plain(protocol), transport(row))
}

/// What is said of a session that was ended.
fn told(session: u64, row: Option<&SessionRow>, is_json: bool) -> Result<String, Failure> {
    match (row, is_json) {
        (Some(row), true) => json_line(row),
        (None, true) => json_line(&json!({ "session": session })),
        (Some(row), false) => Ok(format!("ended session {}\n", line(row))),
        (None, false) => Ok(format!("ended session {session}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::tests::session;

    #[test]
    fn digits_are_a_number_and_an_id_counts_more_than_a_name() {
        assert_eq!(number("17"), Some(17));
        assert_eq!([number("+17"), number("17a"), number(&"1".repeat(32))], [None, None, None]);
        let ann = SessionRow { id: "ab".repeat(16), ..session(1, Some("Ann")) };
        let thief = session(2, Some(&"ab".repeat(16)));
        let chosen = choose(&"AB".repeat(16), vec![thief.clone(), ann.clone()], &[]).unwrap();
        assert_eq!(chosen.session, 1);
        assert_eq!(choose(&"ab".repeat(16), vec![thief], &[]).unwrap().session, 2);
    }

    #[test]
    fn a_name_has_to_be_whole_and_of_one() {
        let rows = vec![session(1, Some("Ann")), session(2, Some("Anna")), session(3, None)];
        assert_eq!(choose("Ann", rows.clone(), &[]).unwrap().session, 1);
        for nobody in ["ann", "An", "\u{1b}[2J"] {
            let wrong = choose(nobody, rows.clone(), &[]).unwrap_err();
            assert!(wrong.starts_with("nobody has") && !wrong.contains('\u{1b}'), "{wrong}");
        }
        let twins: Vec<_> = (0..12).map(|number| session(number, Some("Ann"))).collect();
        let wrong = choose("Ann", twins[..2].to_vec(), &[]).unwrap_err();
        assert!(wrong.contains("of these 2 numbers:\n  0: Ann, native over tcp, from"), "{wrong}");
        assert!(choose("Ann", twins.clone(), &[]).unwrap_err().ends_with("\n  and 2 more"));
        // The one of two who is left is not ambiguous any more.
        assert_eq!(choose("Ann", twins[..2].to_vec(), &[0]).unwrap().session, 1);
    }
}
