//! The program of a hub in the place of the program around the recorded servers of the plugin.

use crate::socketio_common::{Plugin, hub_with_program};
use crosspoint::Stream;
use crosspoint::socketio::{Application, Args, Call, StreamOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// What stands in a transcript for something that this hub calls otherwise.
#[derive(Default)]
struct Names {
    /// Ids of acknowledgements that the hub wants.
    acks: HashMap<String, String>,
    /// Ids of streams and of their server's side.
    ids: HashMap<String, String>,
}

impl Names {
    /// The words of a recorded client for this hub.
    fn said(&self, text: &str) -> String {
        let mut text = match text.strip_prefix("43").and_then(|rest| rest.split_once('[')) {
            Some((id, rest)) => format!("43{}[{rest}", self.acks[id]),
            None => text.to_owned(),
        };
        for (theirs, ours) in &self.ids {
            text = text.replace(theirs, ours);
        }
        text
    }

    /// Whether this hub says what the recorded server says.
    fn hears(&mut self, ours: &str, theirs: &str) -> bool {
        let [(our, our_data), (their, their_data)] = [ours, theirs].map(split);
        let [our_kind, their_kind] = [our, their].map(|header| &header[..header.len().min(2)]);
        // Answers have the client's own ids, and questions ours.
        let is_question = matches!(their_kind, "42" | "45");
        let same_ids = match (is_question, id(our), id(their)) {
            (true, Some(our), Some(their)) => {
                let known = self.acks.entry(their.to_owned()).or_insert_with(|| our.to_owned());
                known == our
            }
            (_, our, their) => our == their,
        };
        let same = same_ids && our_kind == their_kind;
        match [our_data, their_data].map(serde_json::from_str::<Value>) {
            [Ok(our), Ok(their)] => same && self.same(&our, &their),
            _ => same && our_data == their_data,
        }
    }

    fn same(&mut self, ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Array(ours), Value::Array(theirs)) => {
                let mut both = ours.iter().zip(theirs);
                ours.len() == theirs.len() && both.all(|(ours, theirs)| self.same(ours, theirs))
            }
            (Value::Object(ours), Value::Object(theirs)) => {
                let mut both = ours.iter().zip(theirs);
                ours.len() == theirs.len()
                    && both.all(|(ours, theirs)| {
                        let is_sid = ["sid", "pingInterval", "pingTimeout"].contains(&&**ours.0);
                        ours.0 == theirs.0 && (is_sid || self.same(ours.1, theirs.1))
                    })
            }
            (Value::String(ours), Value::String(theirs)) => self.same_text(ours, theirs),
            _ => ours == theirs,
        }
    }

    /// A text may have one id of 36 letters in it.
    fn same_text(&mut self, ours: &str, theirs: &str) -> bool {
        const LENGTH: usize = 36;
        let is_id = |at: &usize| {
            let id = theirs.get(*at..at + LENGTH).unwrap_or_default();
            let is_dash =
                |(at, letter): (usize, char)| (letter == '-') == [8, 13, 18, 23].contains(&at);
            id.len() == LENGTH
                && id.chars().enumerate().all(is_dash)
                && id.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit())
        };
        let Some(at) = (0..theirs.len()).find(is_id) else { return ours == theirs };
        let (before, after) = (&theirs[..at], &theirs[at + LENGTH..]);
        let our = ours.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        let Some(our) = our.filter(|id| !id.is_empty()) else { return false };
        let their = theirs[at..at + LENGTH].to_owned();
        self.ids.entry(their).or_insert_with(|| our.to_owned()) == our
    }
}

/// The header of a packet, and its data.
fn split(packet: &str) -> (&str, &str) {
    packet.split_at(packet.find(['[', '{']).unwrap_or(packet.len()))
}

/// The id in a header.
fn id(header: &str) -> Option<&str> {
    let rest = header.get(2..).unwrap_or_default();
    let id = rest.rsplit_once('-').map_or(rest, |(_, id)| id);
    // A number of attachments has a dash behind it.
    Some(id).filter(|id| !id.is_empty())
}

/// What the program does at a line of a transcript, counted from 1.
type Part = fn(usize, &Application, &mut Option<JoinHandle<Stream>>);

async fn replay(name: &str, part: Part) {
    for generation in ["gen2", "gen2-eio3"] {
        let (hub, address, program) = hub_with_program().await;
        let answer = |call: Call| async move {
            Ok(Args::of(&["server-handled"]).unwrap().then(call.args()))
        };
        program.provide("srvapi", answer).await.unwrap();
        let folder = "../crosspoint-gateways/tests/vectors/socketio";
        let lines = std::fs::read_to_string(format!("{folder}/{generation}/{name}.jsonl")).unwrap();
        let (mut client, mut names, mut stream) = (None, Names::default(), None);
        for (number, line) in lines.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = line["open"].as_str() {
                client = Some(Plugin::open(address, path).await);
                continue;
            }
            let client = client.as_mut().unwrap();
            let is_client = line["from"] == "client";
            match (is_client, line["text"].as_str(), line["bin_hex"].as_str()) {
                (true, Some(text), _) => client.say(&names.said(text)).await,
                (true, _, Some(hex)) => client.say_bytes(&unhex(hex)).await,
                (false, Some(theirs), _) => {
                    let ours = client.text().await;
                    let is_same = names.hears(&ours, theirs);
                    assert!(is_same, "{generation}/{name}:\n{ours} instead of\n{theirs}");
                }
                (false, _, Some(hex)) => assert_eq!(client.bytes().await, unhex(hex)),
                other => panic!("an unknown line: {other:?}"),
            }
            part(number + 1, &program, &mut stream);
        }
        client.unwrap().heard_all().await;
        hub.stop().await;
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[tokio::test]
async fn the_program_says_an_event_as_recorded() {
    replay("server-emit", |_, program, stream| {
        if stream.is_some() {
            return;
        }
        // It waits for the client.
        let program = program.clone();
        let emit = async move {
            let args = || Args::of(&(json!({"n": 1}), "two")).unwrap();
            while program.emit("B", "news", args()).await.is_err() {
                tokio::task::yield_now().await;
            }
            std::future::pending().await
        };
        *stream = Some(tokio::spawn(emit));
    })
    .await;
}

#[tokio::test]
async fn a_service_of_the_program_answers_as_recorded() {
    replay("service-server", |_, _, _| {}).await;
}

#[tokio::test]
async fn the_program_streams_to_a_client_as_recorded() {
    replay("server-stream", |_, program, stream| {
        if stream.is_some() {
            return;
        }
        let program = program.clone();
        let talk = async move {
            let mut stream = loop {
                match program.open("B", StreamOptions::new()).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            stream.write_all(b"from-server").await.unwrap();
            let mut heard = [0; 9];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"to-server");
            // Dropping it destroys it.
            stream
        };
        *stream = Some(tokio::spawn(async move {
            drop(talk.await);
            std::future::pending().await
        }));
    })
    .await;
}
