//! The table: every setting in one place, each section in a module of its own.

mod anysocket;
mod auth;
pub(super) mod channels;
mod control;
mod http;
mod limits;
pub(super) mod log;
mod peers;
mod peote;
mod permissions;
mod resume;
pub(super) mod rooms;
mod server;
mod socketio;
mod tls;
mod websocket;

use super::row::{Place, Row, Section};
use std::sync::LazyLock;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const HOUR_MS: u64 = 3_600_000;
const YEAR_S: u64 = 365 * 24 * 3600;

macro_rules! settings {
    ($($section:ident: $Section:ident,)*) => {
        /// The settings of the program, in the sections of the file. Where a setting says that 0
        /// has a meaning of its own, the field holds 0.
        #[derive(Clone, Default, PartialEq)]
        pub(crate) struct Settings {$(
            pub(crate) $section: $section::$Section,
        )*}

        /// The sections and their rows, in the order of help, file and reference.
        pub(super) static SECTIONS: LazyLock<Vec<Section<Settings>>> = LazyLock::new(|| vec![$(
            $section::section(Place {
                get: |settings: &Settings| &settings.$section,
                field: |settings| &mut settings.$section,
            }),
        )*]);
    };
}

settings! {
    server: Server,
    tls: Tls,
    auth: Auth,
    permissions: Permitted,
    peers: Peers,
    log: Log,
    http: Http,
    control: Control,
    websocket: WebSocket,
    peote: Peote,
    anysocket: AnySocket,
    socketio: SocketIo,
    resume: Resume,
    rooms: Rooms,
    channels: Channels,
    limits: Limits,
}

/// All rows.
pub(super) fn rows() -> impl Iterator<Item = &'static Row<Settings>> {
    SECTIONS.iter().flat_map(|section| &section.rows)
}
