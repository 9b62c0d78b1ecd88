//! The recorded conversations in `tests/vectors/anysocket`.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

/// The server's id.
pub(crate) const SERVER: &str = "5e5e5e5e12344abc8def00112233ff80";

/// What one side sent in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    Whole(Vec<u8>),
    /// A large message: its length and digest, and its first bytes.
    Digest {
        bytes: usize,
        sha256: Vec<u8>,
        head: Vec<u8>,
    },
}

impl Text {
    /// Whether the message is this one.
    pub(crate) fn is(&self, message: &[u8]) -> bool {
        match self {
            Self::Whole(wanted) => wanted == message,
            Self::Digest { bytes, sha256, .. } => {
                *bytes == message.len() && digest(&SHA256, message).as_ref() == sha256
            }
        }
    }

    /// The message, or its beginning.
    pub(crate) fn head(&self) -> &[u8] {
        match self {
            Self::Whole(message) => message,
            Self::Digest { head, .. } => head,
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) conn: usize,
    pub(crate) by_client: bool,
    pub(crate) text: Text,
}

fn file(name: &str) -> String {
    let path = format!("{}/tests/vectors/anysocket/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the file is there")
}

/// All conversations but `hostile`.
pub(crate) fn names() -> Vec<String> {
    let path = format!("{}/tests/vectors/anysocket", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(path).expect("the folder is there");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned)).collect();
    names.retain(|name| name != "hostile");
    names.sort();
    assert_eq!(names.len(), 47);
    names
}

/// The messages of a conversation.
pub(crate) fn read(name: &str) -> Vec<Line> {
    let lines = file(&format!("{name}.jsonl"));
    lines.lines().filter_map(|line| message(&serde_json::from_str(line).unwrap())).collect()
}

fn message(line: &Value) -> Option<Line> {
    // What was said before the WebSocket opened has no connection.
    let conn = line["conn"].as_u64()? as usize;
    let by_client = line["from"] == "client";
    let text = match (&line["text_hex"], &line["text_bytes"]) {
        (Value::String(hex), _) => Text::Whole(unhex(hex)),
        (_, Value::Number(bytes)) => Text::Digest {
            bytes: bytes.as_u64().unwrap() as usize,
            sha256: unhex(line["text_sha256"].as_str().unwrap()),
            head: unhex(line["head_hex"].as_str().unwrap()),
        },
        _ => return None,
    };
    Some(Line { conn, by_client, text })
}

/// The connections that the client closed, in order.
pub(crate) fn closes(name: &str) -> Vec<usize> {
    let lines = file(&format!("{name}.jsonl"));
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let closes = lines.filter(|line| line["from"] == "client" && line["frame"] == "close");
    closes.map(|line| line["conn"].as_u64().unwrap() as usize).collect()
}

/// What scripts sent to fresh servers: a name, and text messages.
pub(crate) fn hostile() -> Vec<(String, Vec<Vec<u8>>)> {
    let case = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let texts = line["send"].as_array().unwrap().iter();
        let texts = texts.filter_map(|message| message["text_hex"].as_str().map(unhex));
        (line["name"].as_str().unwrap().to_owned(), texts.collect())
    };
    file("hostile.jsonl").lines().map(case).collect()
}

/// The keys of an encrypted conversation.
pub(crate) fn keys(name: &str) -> Value {
    serde_json::from_str(&file(&format!("{name}.keys.json"))).unwrap()
}

/// The JSON text of a large packet of a conversation.
pub(crate) fn large(name: &str, by_client: bool, seq: i32) -> Option<String> {
    let text = match (name, by_client, seq) {
        ("large", true, 2) => pattern(1_048_574),
        ("large", true, 3) => pattern(1_048_575),
        ("large", true, 4) => pattern(2_597_152),
        ("large", true, 5) => pattern(1_048_574) + "\u{1f600}",
        ("large", true, 6) => "\u{20ac}".repeat(1_048_576),
        ("large", false, 2) => pattern(1_048_586),
        ("large_e2e", true, 3) => pattern(1_500_000),
        ("large_interleaved", true, 2) => pattern(2_200_000),
        ("large_interleaved", true, 5) => pattern(1_100_000),
        _ => return None,
    };
    Some(format!("\"{text}\""))
}

fn pattern(length: usize) -> String {
    "0123456789abcdefghijklmnopqrstuvwxyz".chars().cycle().take(length).collect()
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("hexadecimal digits") as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
