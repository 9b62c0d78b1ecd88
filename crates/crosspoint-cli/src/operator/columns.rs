//! What tables show of sessions and channels.

use super::figures::{bytes, rate, round_trip, since};
use super::plain;
use super::table::Column;
use crosspoint_control::model::{ChannelRow, Mode, PeerRow, SessionRow};

/// Where there is nothing.
const NONE: &str = "-";

/// Of sessions.
pub(crate) static SESSIONS: &[Column<SessionRow>] = &[
    Column { head: "SESSION", is_number: true, show: |row, _| row.session.to_string() },
    Column { head: "NAME", is_number: false, show: |row, _| name(row.name.as_deref()) },
    Column { head: "PROTOCOL", is_number: false, show: |row, _| plain(&row.protocol) },
    Column { head: "TRANSPORT", is_number: false, show: |row, _| transport(row) },
    Column { head: "ADDRESS", is_number: false, show: |row, _| name(row.address.as_deref()) },
    Column { head: "SINCE", is_number: true, show: |row, now| since(row.since_ms, now) },
    Column { head: "ROUND TRIP", is_number: true, show: |row, _| trip(row) },
    Column { head: "WAITING", is_number: true, show: |row, _| bytes(row.outbox_bytes as f64) },
    Column { head: "IN/S", is_number: true, show: |row, _| rate(row.messages_in_per_s) },
    Column { head: "OUT/S", is_number: true, show: |row, _| rate(row.messages_out_per_s) },
    Column { head: "BYTES IN/S", is_number: true, show: |row, _| bytes(row.bytes_in_per_s) },
    Column { head: "BYTES OUT/S", is_number: true, show: |row, _| bytes(row.bytes_out_per_s) },
];

/// Of channels and rooms.
pub(crate) static CHANNELS: &[Column<ChannelRow>] = &[
    Column { head: "NAME", is_number: false, show: |row, _| plain(&row.name) },
    Column { head: "KIND", is_number: false, show: |row, _| kind(row).to_owned() },
    Column { head: "MODE", is_number: false, show: |row, _| mode(row.mode).to_owned() },
    Column { head: "MEMBERS", is_number: true, show: |row, _| row.members.to_string() },
    Column { head: "AT MOST", is_number: true, show: |row, _| row.members_max.to_string() },
    Column { head: "OWNER", is_number: false, show: |row, _| owner(row.owner.as_ref()) },
    Column { head: "SINCE", is_number: true, show: |row, now| since(row.since_ms, now) },
];

/// A name or another text that may be missing.
pub(crate) fn name(name: Option<&str>) -> String {
    name.map_or_else(|| NONE.to_owned(), plain)
}

/// How a session is connected.
pub(crate) fn transport(row: &SessionRow) -> String {
    let tls = if row.tls { "+tls" } else { "" };
    let away = if row.away { ", away" } else { "" };
    format!("{}{tls}{away}", plain(&row.transport))
}

fn trip(row: &SessionRow) -> String {
    row.round_trip_us.map_or_else(|| NONE.to_owned(), round_trip)
}

fn kind(row: &ChannelRow) -> &'static str {
    match (row.room, row.declared) {
        (true, true) => "room, stays",
        (true, false) => "room",
        (false, _) => "channel",
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Raw => "raw",
        Mode::Chunk => "chunk",
    }
}

fn owner(owner: Option<&PeerRow>) -> String {
    owner.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let name = owner.name.as_deref().map(plain).unwrap_or_default();
            format!("{} {name}", owner.session).trim_end().to_owned()
        },
    )
}
