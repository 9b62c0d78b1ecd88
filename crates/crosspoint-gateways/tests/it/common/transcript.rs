//! The recorded conversations in `tests/vectors/peote`.

use super::frames::unwrap_web_socket;

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// One line of a transcript.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) conn: usize,
    pub(crate) side: Side,
    /// `None`: this side ended the connection.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// The recordings with the Haxe library; those with `ws-` over WebSocket.
pub(crate) const LIBRARY: [&str; 24] = [
    "basic",
    "big",
    "broadcast",
    "emptyid",
    "errors",
    "keepalive",
    "limits",
    "longid",
    "numbers",
    "ownervanish",
    "rawdata",
    "rpc",
    "rpc-serializers",
    "sizes",
    "small",
    "uservanish",
    "ws-basic",
    "ws-broadcast",
    "ws-errors",
    "ws-keepalive",
    "ws-ownervanish",
    "ws-rpc",
    "ws-small",
    "ws-uservanish",
];

/// What the library does not do.
pub(crate) const SCRIPTED: [&str; 5] =
    ["raw-full", "raw-odd", "raw-partial", "raw-unknown-command", "ws-raw-pieces"];

/// All of them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.into_iter().chain(SCRIPTED)
}

/// A transcript as joint streams: without upgrades, envelopes and close frames of WebSocket, and
/// without the end, where all programs stop at once and what they still hear is not recorded.
pub(crate) fn read(name: &str) -> Vec<Line> {
    let path = format!("{}/tests/vectors/peote/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the transcript is there");
    let mut lines: Vec<Line> = text.lines().map(line).collect();
    let ends = |line: &mut Line| line.side == Side::Client && line.bytes.is_none();
    while lines.pop_if(ends).is_some() {}
    if name.starts_with("ws-") { unwrap_web_socket(lines) } else { lines }
}

/// How many connections there are in it.
pub(crate) fn connections(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.conn + 1).max().unwrap_or(0)
}

fn line(text: &str) -> Line {
    let value: serde_json::Value = serde_json::from_str(text).expect("a line is JSON");
    let conn = value["conn"].as_u64().expect("a line has a connection") as usize;
    let side = match value["from"].as_str() {
        Some("client") => Side::Client,
        Some("server") => Side::Server,
        other => panic!("nobody is called {other:?}"),
    };
    let bytes = value["hex"].as_str().map(unhex);
    assert!(bytes.is_some() || value["event"] == "close");
    Line { conn, side, bytes }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("hexadecimal digits") as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
