//! What the API says, as types. They are written by the hub and read by its clients.
//!
//! Points in time are milliseconds since 1970 (`_ms`), durations milliseconds or microseconds (`_us`). A reader
//! ignores fields that it does not know: later versions add some.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The figures of the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HubFigures {
    /// The name of the hub (`server.name`); empty if it has none.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// When the hub was started.
    pub started_at_ms: u64,
    /// When these figures were taken.
    pub now_ms: u64,
    /// Whether the hub stops.
    pub stopping: bool,
    /// Connections open now, handshakes and requests included.
    pub connections: u64,
    /// The most connections (`limits.connections_max`).
    pub connections_max: u64,
    /// Sessions that have said hello.
    pub sessions: u64,
    /// The same by protocol.
    pub sessions_by_protocol: BTreeMap<String, u64>,
    /// Channels that sessions own, without rooms.
    pub channels: u64,
    /// Rooms.
    pub rooms: u64,
    /// Memberships in channels and rooms.
    pub members: u64,
    /// Links between two sessions, each counted once.
    pub links: u64,
    /// Names of services that somebody provides.
    pub services: u64,
    /// Messages and parts received since the start.
    pub messages_in: u64,
    /// Messages and parts handed to receivers since the start.
    pub messages_out: u64,
    /// Bytes read since the start.
    pub bytes_in: u64,
    /// Bytes written since the start.
    pub bytes_out: u64,
    /// Memory that is held for clients, in bytes.
    pub memory_bytes: u64,
    /// The most of it (`limits.memory_bytes_max`).
    pub memory_bytes_max: u64,
    /// Messages for numbers that name nothing (any more).
    pub dropped: u64,
    /// How often each limit was reached, those that never were left out.
    pub limit_hits: BTreeMap<String, u64>,
    /// Sessions closed by reason, reasons without any left out.
    pub closed: BTreeMap<String, u64>,
    /// Commands refused by reason, reasons without any left out.
    pub refused: BTreeMap<String, u64>,
    /// Connections refused by reason, reasons without any left out.
    pub connections_refused: BTreeMap<String, u64>,
}

/// A session, as it stands in lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionRow {
    /// Its number, which is not used twice in the life of the hub.
    pub session: u64,
    /// Its peer id, hexadecimal.
    pub id: String,
    /// Its name, if it has one.
    #[schema(required)]
    pub name: Option<String>,
    /// `native`, `peote`, `anysocket`, `socketio`.
    pub protocol: String,
    /// `tcp`, `websocket`, `polling`, `unix`, `memory`.
    pub transport: String,
    /// Whether its connection is inside TLS that ends at the hub.
    pub tls: bool,
    /// The address from which it comes, without port; `null` inside the program of the hub.
    #[schema(required)]
    pub address: Option<String>,
    /// When it has said hello.
    pub since_ms: u64,
    /// Whether its connection is lost and it may come back.
    pub away: bool,
    /// Whether it has proven that the id is its own.
    pub proven: bool,
    /// The last round trip that its protocol has measured, in microseconds.
    #[schema(required)]
    pub round_trip_us: Option<u64>,
    /// Bytes that wait to be written to it.
    pub outbox_bytes: u64,
    /// Memory that is held for it, in bytes.
    pub memory_bytes: u64,
    /// Messages and parts received from it.
    pub messages_in: u64,
    /// Messages and parts handed to it.
    pub messages_out: u64,
    /// Bytes read from it.
    pub bytes_in: u64,
    /// Bytes written to it.
    pub bytes_out: u64,
    /// Messages and parts received from it in a second.
    pub messages_in_per_s: f64,
    /// Messages and parts handed to it in a second.
    pub messages_out_per_s: f64,
    /// Bytes read from it in a second.
    pub bytes_in_per_s: f64,
    /// Bytes written to it in a second.
    pub bytes_out_per_s: f64,
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sessions {
    /// How many there are.
    pub total: u64,
    /// How many of them match.
    pub matched: u64,
    /// How many matching ones come before the first of this page.
    pub offset: u64,
    /// The page.
    pub sessions: Vec<SessionRow>,
}

/// A session with what it takes part in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionDetail {
    /// What lists say of it.
    #[serde(flatten)]
    pub row: SessionRow,
    /// Channels and rooms that it owns or has entered.
    pub channels: Vec<Membership>,
    /// The other ends of its links, at most 200.
    pub links: Vec<PeerRow>,
    /// How many links it has.
    pub link_count: u64,
    /// Services that it provides.
    pub services: Vec<String>,
}

/// A channel of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// The name as text. Names are bytes, and what is no UTF-8 is replaced.
    pub name: String,
    /// The name as it stands in paths and queries.
    pub key: String,
    /// Whether it is a room.
    pub room: bool,
    /// Whether the session owns it.
    pub owner: bool,
    /// The number of the session as a member; `null` for the owner.
    #[schema(required)]
    pub number: Option<u32>,
}

/// Who a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerRow {
    /// Its number.
    pub session: u64,
    /// Its peer id, hexadecimal.
    pub id: String,
    /// Its name, if it has one.
    #[schema(required)]
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: String,
}

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberRow {
    /// Its number in the channel.
    pub number: u32,
    /// Who it is.
    #[serde(flatten)]
    pub peer: PeerRow,
}

/// Whether a channel keeps the boundaries of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Bytes in their order.
    Raw,
    /// Messages.
    Chunk,
}

/// A channel or room, as it stands in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelRow {
    /// The name as text. Names are bytes, and what is no UTF-8 is replaced.
    pub name: String,
    /// The name as it stands in paths and queries.
    pub key: String,
    /// Whether it is a room, which the hub owns.
    pub room: bool,
    /// Whether it is a room of the settings, which stays without members.
    pub declared: bool,
    /// Whether it keeps the boundaries of messages.
    pub mode: Mode,
    /// Who owns it; `null` for rooms.
    #[schema(required)]
    pub owner: Option<PeerRow>,
    /// How many members it has, without the owner.
    pub members: u64,
    /// How many it may have.
    pub members_max: u64,
    /// When it was made.
    pub since_ms: u64,
}

/// A page of channels and rooms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Channels {
    /// How many there are.
    pub total: u64,
    /// How many of them match.
    pub matched: u64,
    /// How many matching ones come before the first of this page.
    pub offset: u64,
    /// The page.
    pub channels: Vec<ChannelRow>,
}

/// A channel or room with a page of its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelDetail {
    /// The name as text. Names are bytes, and what is no UTF-8 is replaced.
    pub name: String,
    /// The name as it stands in paths and queries.
    pub key: String,
    /// Whether it is a room, which the hub owns.
    pub room: bool,
    /// Whether it is a room of the settings, which stays without members.
    pub declared: bool,
    /// Whether it keeps the boundaries of messages.
    pub mode: Mode,
    /// Who owns it; `null` for rooms.
    #[schema(required)]
    pub owner: Option<PeerRow>,
    /// A page of its members, in the order of their numbers.
    pub members: Members,
    /// How many it may have.
    pub members_max: u64,
    /// When it was made.
    pub since_ms: u64,
}

/// A page of members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// How many there are.
    pub total: u64,
    /// How many come before the first of this page.
    pub offset: u64,
    /// The page.
    pub items: Vec<MemberRow>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// The first sessions that provide it, at most 50 of each service and 1000 of a page.
    pub providers: Vec<PeerRow>,
    /// How many provide it.
    pub provider_count: u64,
}

/// A page of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Services {
    /// How many there are.
    pub total: u64,
    /// How many of them match.
    pub matched: u64,
    /// How many matching ones come before the first of this page.
    pub offset: u64,
    /// The page.
    pub services: Vec<ServiceRow>,
}

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndRow {
    /// Its number.
    pub session: u64,
    /// Whether it was let in. If not, id and name are what it wished to be called, as far as that is known.
    pub let_in: bool,
    /// Its peer id, hexadecimal; zeros if it is not known.
    pub id: String,
    /// Its name, if it had one.
    #[schema(required)]
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: String,
    /// The address from which it came, without port.
    #[schema(required)]
    pub address: Option<String>,
    /// The word of the reason, such as `slow_receiver`.
    pub reason: String,
    /// What the reason means.
    pub text: String,
    /// When it has ended.
    pub ended_at_ms: u64,
    /// How long it has lasted, in milliseconds.
    pub lasted_ms: u64,
}

/// Sessions that have ended, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ends {
    /// They.
    pub ends: Vec<EndRow>,
}

/// What there was in one second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// When it was taken.
    pub at_ms: u64,
    /// Connections at its end.
    pub connections: u64,
    /// Sessions at its end.
    pub sessions: u64,
    /// Messages and parts received in a second.
    pub messages_in: f64,
    /// Messages and parts handed to receivers in a second.
    pub messages_out: f64,
    /// Bytes read in a second.
    pub bytes_in: f64,
    /// Bytes written in a second.
    pub bytes_out: f64,
}

/// The last ten minutes, the oldest second first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The time between two points.
    pub interval_ms: u64,
    /// When the last point was taken.
    pub at_ms: u64,
    /// The points.
    pub points: Vec<Point>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessState {
    /// Whether the one who asks needs no token.
    pub open: bool,
    /// Whether the one who asks has logged in.
    pub signed_in: bool,
    /// Whether there is a token to log in with.
    pub login: bool,
    /// `loopback` or `token`, as the log names the one who asks; `null` for nobody.
    #[schema(required)]
    pub actor: Option<String>,
}

/// What a login presents.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// The token (`control.token`).
    pub token: String,
}

impl std::fmt::Debug for LoginBody {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginBody(***)")
    }
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: something in the request is wrong.
    BadRequest,
    /// 401: the token is missing or wrong.
    Unauthorized,
    /// 403: this client may not do that.
    Forbidden,
    /// 404: there is no such thing (any more).
    NotFound,
    /// 405: there is something, and not for this method.
    MethodNotAllowed,
    /// 429: too many wrong tokens.
    TooManyTries,
    /// 503: not now.
    Unavailable,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Error {
    /// The kind.
    pub error: ErrorCode,
    /// What happened, and what to do.
    pub message: String,
}

/// What an event stream says of a session or channel that has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// The number of the session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<u64>,
    /// The key of the channel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
}
