//! `docs/protocol.md` says what this crate does: its byte examples, its tables of types and
//! reasons, and the section numbers that comments name.
//!
//! An example is a fenced block whose info string is `example` and an id. Each line holds bytes in
//! hexadecimal and, behind a `|`, their explanation.

use crate::examples::{ID, Says, hello, name, says, welcome, written};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::Reason;
use crosspoint_hub::command::{ChannelCommand, Command, EnterOptions, Event, Hello};
use crosspoint_hub::input::Input;
use crosspoint_hub::protocol::{Client, Output, Protocol};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_proto::frame::{FRAME_BYTES_MAX, Frame, MAGIC, next_frame, put_varint};
use crosspoint_proto::{client, message, server};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/protocol.md")).expect("the page is part of the repository")
}

/// The types of `message::kind`, as its source declares them.
fn kinds() -> Vec<(String, u8)> {
    let source = include_str!("../../src/message/mod.rs");
    let (_, module) = source.split_once("pub mod kind {").expect("the module is there");
    let (module, _) = module.split_once("\n}").expect("the module ends");
    let kinds: Vec<_> = module
        .lines()
        .filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": u8 = 0x")?;
            let value = u8::from_str_radix(value.trim_end_matches(';'), 16).expect("a byte");
            Some((name.to_owned(), value))
        })
        .collect();
    assert!(kinds.len() > 20, "the types are found");
    kinds
}

fn examples_of(page: &str) -> BTreeMap<String, Vec<u8>> {
    let mut examples = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(id) = line.strip_prefix("```example ") else {
            continue;
        };
        let bytes: Vec<u8> = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| line.split('|').next().unwrap_or_default().split_whitespace())
            .map(|byte| {
                u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{id}: {byte} is no byte"))
            })
            .collect();
        let twice = examples.insert(id.to_owned(), bytes).is_some();
        assert!(!twice, "example {id} is there twice");
    }
    examples
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut input = Input::default();
    input.push(Bytes::copy_from_slice(bytes));
    let mut frames = Vec::new();
    while let Some(frame) = next_frame(&mut input, FRAME_BYTES_MAX).expect("examples are frames") {
        frames.push(frame);
    }
    assert!(input.is_empty(), "an example ends with its last frame");
    frames
}

fn commands(bytes: &[u8]) -> Vec<Command> {
    let read = |frame| message::command(frame).expect("a command");
    frames(bytes).into_iter().filter_map(read).collect()
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let read = |frame| message::event(frame).expect("an event");
    frames(bytes).into_iter().filter_map(read).collect()
}

fn check(id: &str, says: Says, shown: &[u8]) {
    let same = |bytes: &[u8]| assert_eq!(hex(shown), hex(bytes), "example {id}");
    match says {
        Says::Command(command) => {
            same(&written(|out| message::put_command(&command, FRAME_BYTES_MAX, out)));
            assert_eq!(commands(shown), [command], "example {id}");
        }
        Says::ReadAsCommand(command) => assert_eq!(commands(shown), [command], "example {id}"),
        Says::Event(event) => {
            same(&written(|out| message::put_event(&event, out)));
            assert_eq!(events(shown), [event], "example {id}");
        }
        Says::Data(kind, address, parts, places) => {
            same(&written(|out| {
                for part in &parts {
                    message::put_data(kind, &address, part, out);
                }
            }));
            let read = |(place, part)| Event::Data { place, part };
            let expected: Vec<_> = places.into_iter().zip(parts).map(read).collect();
            assert_eq!(events(shown), expected, "example {id}");
        }
        Says::Skipped => {
            assert!(commands(shown).is_empty() && events(shown).is_empty());
            assert!(!frames(shown).is_empty(), "example {id} is empty");
        }
        Says::Bytes(bytes) => same(&bytes),
    }
}

#[test]
fn every_example_is_what_is_written_and_read() {
    let mut shown = examples_of(&page());
    let mut missing = Vec::new();
    for (id, says) in says() {
        match shown.remove(id) {
            Some(bytes) => check(id, says, &bytes),
            None => missing.push(id),
        }
    }
    assert!(missing.is_empty(), "examples that are missing: {missing:?}");
    assert!(shown.is_empty(), "examples that nothing here checks: {:?}", shown.keys());
}

#[test]
fn every_type_has_an_example_and_a_line_in_the_table() {
    let page = page();
    let examples = examples_of(&page);
    for (name, number) in kinds() {
        let id = name.to_lowercase().replace('_', "-");
        let bytes = examples
            .get(&id)
            .unwrap_or_else(|| panic!("no example shows {name}: write one named {id}"));
        let shown = frames(bytes)[0].kind;
        let flag = matches!(name.as_str(), "EXTENDED" | "IGNORABLE");
        // What goes over links always has a kind.
        let usual = if name == "LINK_DATA" { number | message::kind::EXTENDED } else { number };
        let fits = if flag { shown & number != 0 } else { shown == usual };
        assert!(fits, "example {id} has type {shown:#04x}");
        let line = format!("| `0x{number:02x}` | {name} |");
        assert!(page.contains(&line), "no line of a table begins {line}");
    }
}

#[test]
fn every_reason_has_its_number_in_the_table() {
    let page = page();
    for reason in Reason::ALL {
        let line = format!("| {} | `{reason:?}` |", reason.number());
        assert!(page.contains(&line), "no line of a table begins {line}");
    }
}

#[test]
fn examples_in_a_row_are_a_session() {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut client = client::Native::new(now, client::Options::default(), &mut out);
    client.receive(now, welcome().into());
    assert_eq!(client.poll(now, &mut out), Some(Event::Welcome { peer: ID }));
    assert_eq!(client.message_bytes_max(), 16 * 1024 * 1024);

    let examples = examples_of(&page());
    let mut server = server::Native::new(now, server::Options::default());
    for id in ["magic", "hello", "create-plain", "send-to", "pong", "ignorable", "link", "watch"] {
        server.receive(now, Bytes::copy_from_slice(&examples[id]));
    }
    let mut heard = 0;
    while let Some(Output::Command(_)) = server.poll(now, &mut out) {
        heard += 1;
    }
    assert_eq!(heard, 5, "hello, create, a message, link and watch");
}

/// The files in a directory and in those below it.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the sources are there");
    entries
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .collect()
}

#[test]
fn sections_that_comments_name_exist() {
    let page = page();
    let mut named = 0;
    for path in sources(&root().join("crates/crosspoint-proto/src")) {
        let source = fs::read_to_string(path).expect("a source");
        for (_, after) in
            source.match_indices("(section ").map(|(at, mark)| source.split_at(at + mark.len()))
        {
            let number =
                after.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
            let heading = |line: &str| {
                let title = line.trim_start_matches('#').trim_start();
                line.starts_with("##")
                    && title
                        .split([' ', '.'])
                        .collect::<Vec<_>>()
                        .join(".")
                        .starts_with(&format!("{number}."))
            };
            assert!(page.lines().any(heading), "no section {number}");
            named += 1;
        }
    }
    assert!(named > 5, "comments name sections");
}

/// Keeps the buffers honest: a hello in one piece and in single bytes is the same.
#[test]
fn the_magic_bytes_and_hello_may_come_in_pieces() {
    let now = Instant::now();
    let mut bytes = BytesMut::from(&MAGIC[..]);
    bytes.put_slice(&hello(Hello::default()));
    let mut server = server::Native::new(now, server::Options::default());
    let mut out = FrameWriter::default();
    let mut heard = Vec::new();
    for byte in bytes {
        server.receive(now, Bytes::copy_from_slice(&[byte]));
        heard.extend(server.poll(now, &mut out));
    }
    assert_eq!(heard, [Output::Command(Command::Hello(Hello::default()))]);
}

#[test]
fn maps_may_be_written_as_the_rules_for_them_say() {
    let body = |map: &[u8]| {
        let mut frame = BytesMut::new();
        put_varint(u32::try_from(map.len() + 4).expect("short"), &mut frame);
        frame.put_slice(&[message::kind::ENTER, 1, 1, b'x']);
        frame.put_slice(map);
        message::command(frames(&frame).remove(0)).map_err(Reason::from)
    };
    let password = |bytes: &'static [u8]| {
        let options =
            EnterOptions { password: Some(Bytes::from_static(bytes)), ..EnterOptions::default() };
        Ok(Some(Command::Channel(ChannelCommand::Enter { request: 1, name: name("x"), options })))
    };
    assert_eq!(body(b"\x81\xa8password\xc4\x03xyz"), password(b"xyz"));
    assert_eq!(body(b"\x81\xa8password\xa3xyz"), password(b"xyz"), "text");
    let wide =
        b"\x83\xa5later\x05\xa3max\xcf\x00\x00\x00\x00\x00\x00\x80\x00\xa8password\xa3xyz\x01";
    assert_eq!(body(wide), password(b"xyz"), "unknown key, wide integer, a byte behind");
    let malformed = Err(Reason::Malformed);
    assert_eq!(body(b"\x82\xa3max\x01\xa3max\x01"), malformed, "twice");
    assert_eq!(body(b"\x81\xa3max\xa11"), malformed, "text for a number");
    assert_eq!(body(b"\x91\xc3"), malformed, "an array");
}

#[test]
fn a_client_may_close_without_a_hello() {
    let now = Instant::now();
    let mut server = server::Native::new(now, server::Options::default());
    server.receive(now, Bytes::from_static(&MAGIC));
    server.receive(now, Bytes::copy_from_slice(&[2, message::kind::CLOSE, 0]));
    let closed = Some(Output::Close(Reason::Bye));
    assert_eq!(server.poll(now, &mut FrameWriter::default()), closed);
}
