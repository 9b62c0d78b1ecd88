//! Conversations of the originals, as they were recorded.

use crate::socketio_common::Message;
use serde_json::Value;

/// What happened on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A client asks for a session, with this request.
    Open(String),
    /// The client says something.
    Say(Message),
    /// The server says something.
    Hear(Message),
    /// One side closes the connection.
    Close,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) conn: u64,
    pub(crate) act: Act,
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/socketio");

pub(crate) fn lines(generation: &str, name: &str) -> Vec<Line> {
    let text = std::fs::read_to_string(format!("{FOLDER}/{generation}/{name}.jsonl")).unwrap();
    text.lines().map(line).collect()
}

/// The names of all conversations of a generation, in their order.
pub(crate) fn names(generation: &str) -> Vec<String> {
    let files = std::fs::read_dir(format!("{FOLDER}/{generation}")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.map(|name| name.strip_suffix(".jsonl").unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() >= 20);
    names
}

fn line(text: &str) -> Line {
    let line: Value = serde_json::from_str(text).unwrap();
    let message = match (&line["text"], &line["bin_hex"]) {
        (Value::String(text), _) => Some(Message::from(text.as_str())),
        (_, Value::String(hex)) => Some(Message::Binary(unhex(hex))),
        _ => None,
    };
    let act = match (line["from"].as_str(), line["open"].as_str(), message) {
        (Some("client"), Some(request), _) => Act::Open(request.to_owned()),
        (Some("client"), _, Some(message)) => Act::Say(message),
        (Some("server"), _, Some(message)) => Act::Hear(message),
        _ if line["close"] == true => Act::Close,
        other => panic!("an unknown line: {other:?}"),
    };
    Line { conn: line["conn"].as_u64().unwrap(), act }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
