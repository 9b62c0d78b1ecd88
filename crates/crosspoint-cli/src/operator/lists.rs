//! `crosspoint sessions` and `crosspoint rooms`: what there is, as a table or as JSON.

use super::api::{Api, Listed, Page};
use super::columns;
use super::table::{self, Column};
use super::{json_line, print};
use crate::failure::{Failure, complain};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use crosspoint_control::model::{Channels, Sessions};

/// Flags that are parameters of the API, of the same name.
const PARAMETERS: [&str; 4] = ["search", "protocol", "kind", "sort"];

/// What ascends if nothing else is said. The other orders are of figures, of which the largest matter most.
const ASCENDING: [&str; 3] = ["name", "protocol", "address"];

/// The command for sessions.
pub(super) fn sessions() -> Command {
    let command = Command::new("sessions")
        .about("List who is connected to a hub")
        .long_about(
            "List who is connected to a hub, through its control center (docs/control.md). Rates \
             are over the last seconds if the control center is in use, and else since the session began.",
        )
        .arg(text("search", "TEXT", "Those with this in their names, an id or address that begins with it, or this number"))
        .arg(text("protocol", "PROTOCOL", "Those of this protocol: native, peote, anysocket or socketio"));
    let orders = [
        "name",
        "since",
        "protocol",
        "address",
        "round_trip",
        "outbox",
        "rate_in",
        "rate_out",
        "bytes_in",
        "bytes_out",
    ];
    add_arguments(command, &orders)
}

/// The command for channels and rooms.
pub(super) fn rooms() -> Command {
    let command = Command::new("rooms")
        .about("List the channels and rooms of a hub")
        .long_about(
            "List the channels and rooms of a hub, through its control center (docs/control.md).",
        )
        .arg(text("search", "TEXT", "Those with this in their names"))
        .arg(
            text("kind", "KIND", "Rooms alone, or channels that sessions own")
                .value_parser(["room", "channel"]),
        );
    add_arguments(command, &["name", "members", "since"])
}

fn add_arguments(command: Command, orders: &[&'static str]) -> Command {
    command
        .arg(
            text("sort", "ORDER", "What decides about the order")
                .value_parser(orders.to_vec())
                .default_value("name"),
        )
        .arg(
            text("order", "ORDER", "Whether the smallest comes first; if not given, names and addresses ascend, and figures and times descend")
                .value_parser(["asc", "desc"]),
        )
        .arg(
            text("limit", "N", "How many at most")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("50"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .conflicts_with("limit")
                .help("However many there are"),
        )
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// Lists sessions.
pub(super) async fn list_sessions(api: &Api, matches: &ArgMatches) -> Result<(), Failure> {
    list::<Sessions>(api, matches, columns::SESSIONS).await
}

/// Lists channels and rooms.
pub(super) async fn list_rooms(api: &Api, matches: &ArgMatches) -> Result<(), Failure> {
    list::<Channels>(api, matches, columns::CHANNELS).await
}

async fn list<P: Page>(
    api: &Api,
    matches: &ArgMatches,
    columns: &[Column<P::Row>],
) -> Result<(), Failure> {
    let given = |name: &str| matches.try_get_one::<String>(name).ok().flatten();
    let mut query: Vec<(&str, &str)> = Vec::new();
    query.extend(PARAMETERS.iter().filter_map(|name| Some((*name, given(name)?.as_str()))));
    let sort = given("sort").map_or("name", String::as_str);
    let order = given("order").map(String::as_str);
    query.push(("order", order.unwrap_or(if ASCENDING.contains(&sort) { "asc" } else { "desc" })));
    let limit = matches.get_one::<u64>("limit").copied().unwrap_or(u64::MAX);
    let limit = if matches.get_flag("all") { u64::MAX } else { limit };
    let Listed { rows, matched } = api.list::<P>(&query, limit).await?;
    if matches.get_flag("json") {
        return rows.iter().try_for_each(|row| print(&json_line(row)?));
    }
    let now_ms = api.hub().await?.now_ms;
    print(&table::text(columns, &rows, now_ms))?;
    let shown = rows.len() as u64;
    if shown < matched {
        complain(&format!("{shown} of {matched} are shown; --all shows all, --limit N more"));
    }
    Ok(())
}
