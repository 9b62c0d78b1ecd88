//! The commands that use the control center: `sessions`, `rooms`, `kick`.

use crate::common::{Running, hub, program};
use crosspoint::{ChannelOptions, Node};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const TOKEN: &str = "a-token-of-the-tests";

/// What a command says and how it ends.
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let [out, error] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(!out.contains(TOKEN) && !error.contains(TOKEN), "{out}{error}");
    Said { code: status.code(), out, error }
}

/// A command at a hub.
fn at(port: &str, arguments: &[&str]) -> Said {
    let url = format!("http://127.0.0.1:{port}");
    said(&mut program(&[arguments, &["--hub", &url]].concat()))
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn node(port: &str, name: &str) -> Node {
    Node::builder().name(name).connect(&format!("tcp://127.0.0.1:{port}")).await.unwrap()
}

/// The objects of lines of JSON.
fn objects(said: &Said) -> Vec<Value> {
    assert_eq!(said.code, Some(0), "{}", said.error);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(said: &Said) -> Vec<String> {
    objects(said).iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Lists until it is as it has to be: lists are up to a second old.
fn until(port: &str, list: &str, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let names = names(&at(port, &[list, "--json"]));
        if names == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{names:?}");
    }
}

#[test]
fn sessions_and_rooms_are_listed_for_people_and_for_scripts() {
    let (_hub, port) = hub(&[]);
    let runtime = runtime();
    let mut nodes = Vec::new();
    let _held = runtime.block_on(async {
        for name in ["bob", "ann", "\u{1b}[2Jeve\u{202e}"] {
            nodes.push(node(&port, name).await);
        }
        let channel = nodes[0].create("cave", ChannelOptions::new()).await.unwrap();
        let member = nodes[1].enter("lobby", crosspoint::EnterOptions::new().room()).await.unwrap();
        (channel, member)
    });
    until(&port, "sessions", &["\u{1b}[2Jeve\u{202e}", "ann", "bob"]);
    until(&port, "rooms", &["cave", "lobby"]);
    let table = at(&port, &["sessions"]);
    assert_eq!(table.code, Some(0), "{}", table.error);
    let lines: Vec<_> = table.out.lines().collect();
    assert!(lines[0].trim_start().starts_with("SESSION  NAME"), "{}", table.out);
    assert!(
        lines[1].contains("\\u{1b}[2Jeve\\u{202e}") && lines[2].contains("ann"),
        "{}",
        table.out
    );
    assert!(lines.len() == 4 && lines[3].contains("bob  "), "{}", table.out);
    assert!(lines[3].contains("native") && lines[3].contains("127.0.0.1"), "{}", table.out);
    // Names end below each other.
    let column = lines[0].find("PROTOCOL").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with("native")), "{}", table.out);

    let list = |more: &[&str]| at(&port, &[&["sessions", "--json"], more].concat());
    assert_eq!(names(&list(&[])), ["\u{1b}[2Jeve\u{202e}", "ann", "bob"]);
    assert!(list(&[]).out.is_ascii());
    assert_eq!(names(&list(&["--search", "AN"])), ["ann"]);
    assert_eq!(names(&list(&["--sort", "since"])), ["\u{1b}[2Jeve\u{202e}", "ann", "bob"]);
    assert_eq!(
        names(&list(&["--sort", "since", "--order", "asc", "--limit", "2"])),
        ["bob", "ann"]
    );
    assert!(names(&list(&["--protocol", "peote"])).is_empty());
    for order in [
        "protocol",
        "address",
        "round_trip",
        "outbox",
        "rate_in",
        "rate_out",
        "bytes_in",
        "bytes_out",
    ] {
        assert_eq!(objects(&list(&["--all", "--sort", order])).len(), 3, "{order}");
    }
    let few = at(&port, &["sessions", "--limit", "1"]);
    assert_eq!(few.out.lines().count(), 2);
    assert!(few.error.contains("1 of 3 are shown"), "{}", few.error);

    let rooms = at(&port, &["rooms"]);
    let lines: Vec<_> =
        rooms.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[1][..3], ["cave", "channel", "chunk"], "{}", rooms.out);
    assert!(lines[1].contains(&"bob"), "{}", rooms.out);
    assert_eq!(lines[2][..4], ["lobby", "room", "chunk", "1"], "{}", rooms.out);
    assert_eq!(names(&at(&port, &["rooms", "--json", "--kind", "room"])), ["lobby"]);
    assert_eq!(names(&at(&port, &["rooms", "--json", "--search", "AV"])), ["cave"]);
    assert_eq!(names(&at(&port, &["rooms", "--json", "--sort", "members"])), ["lobby", "cave"]);
    // What the hub does not take is wrong use too.
    let long = at(&port, &["sessions", "--search", &"x".repeat(300)]);
    assert!(long.code == Some(2) && long.error.contains("at most 256 bytes"), "{}", long.error);
    assert_eq!(at(&port, &["sessions", "--sort", "size"]).code, Some(2));
}

#[test]
fn more_than_a_page_is_listed_from_as_many_as_it_takes() {
    let (_hub, port) = hub(&[]);
    let runtime = runtime();
    let nodes = runtime.block_on(async {
        let mut nodes = Vec::new();
        for number in 0..520 {
            nodes.push(node(&port, &format!("n{number:03}")).await);
        }
        nodes
    });
    let last = ["sessions", "--json", "--search", "n519"];
    while names(&at(&port, &last)).is_empty() {}
    let all = names(&at(&port, &["sessions", "--json", "--all"]));
    assert_eq!(all.len(), nodes.len());
    assert!(all.is_sorted(), "{all:?}");
    assert_eq!(names(&at(&port, &["sessions", "--json", "--limit", "510"])), all[..510]);
}

#[test]
fn a_session_is_ended_by_its_number_id_or_name() {
    let (mut log, port) = hub(&[]);
    let chat = |name: &str| {
        let address = format!("tcp://127.0.0.1:{port}");
        let mut chat = program(&["chat", "--name", name, "--hub", &address]);
        let mut chat = Running::start(chat.stderr(Stdio::piped()));
        chat.wait_for("you are in lobby");
        chat
    };
    let mut people = ["Ann", "Bob", "Eve", "7"].map(chat);
    until(&port, "sessions", &["7", "Ann", "Bob", "Eve"]);
    let rows = objects(&at(&port, &["sessions", "--json"]));
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let (number, id) = (row("Bob")["session"].to_string(), row("Eve")["id"].as_str().unwrap());

    // Digits are a number, whoever has them as a name.
    let nobody = at(&port, &["kick", "4711"]);
    assert!(nobody.code == Some(1) && nobody.error.contains("no session 4711"), "{}", nobody.error);
    let part = at(&port, &["kick", "An"]);
    assert!(part.code == Some(1) && part.error.contains("nobody has the name"), "{}", part.error);

    let kicked = at(&port, &["kick", "Ann", "nobody", &number]);
    assert_eq!(kicked.code, Some(1), "{}", kicked.error);
    assert!(kicked.error.contains("nobody has the name or id nobody"), "{}", kicked.error);
    let lines: Vec<_> = kicked.out.lines().collect();
    assert!(lines[0].starts_with("ended session ") && lines[0].contains(": Ann, native over tcp"));
    assert!(lines[1].starts_with(&format!("ended session {number}: Bob, ")), "{}", kicked.out);
    let kicked = at(&port, &["kick", "--json", &id.to_uppercase()]);
    assert_eq!(objects(&kicked)[0]["name"], "Eve");
    for person in &mut people[..3] {
        let error = person.errors().rest().pop().unwrap();
        assert!(error.contains("the chat has ended: kicked by the hub's operator"), "{error}");
        assert_eq!(person.wait().code(), Some(1));
    }
    until(&port, "sessions", &["7"]);
    // Lists are a second old. Who has come since is found all the same.
    let _late = chat("Late");
    assert_eq!(objects(&at(&port, &["kick", "--json", "Late"]))[0]["name"], "Late");
    log.signal("TERM");
    log.wait_for("stopped");
}

#[test]
fn a_token_is_presented_from_wherever_it_is_and_shown_nowhere() {
    let (_hub, port) = hub(&["--control-access", "token", "--control-token", TOKEN]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let path = path.to_str().unwrap();
    let (flag, file) = (["--control-token", TOKEN], ["--control-token-file", path]);
    let url = format!("http://127.0.0.1:{port}");
    let list = ["sessions", "--hub", &url];
    let with = |more: &[&str], variables: &[(&str, &str)]| {
        said(program(&[&list, more].concat()).envs(variables.iter().copied()))
    };
    let (wrong, variable) = ("another-token-of-them", "CROSSPOINT_CONTROL__TOKEN");
    let file_variable = "CROSSPOINT_CONTROL__TOKEN_FILE";
    for right in [
        with(&flag, &[]),
        with(&file, &[]),
        with(&[], &[(variable, TOKEN)]),
        with(&[], &[(file_variable, path)]),
        with(&flag, &[(variable, wrong)]),
        with(&file, &[(variable, wrong)]),
    ] {
        assert_eq!(right.code, Some(0), "{}", right.error);
    }
    for (said, code, expected) in [
        (with(&[], &[]), 1, "Give the token with --control-token-file"),
        (with(&[], &[(variable, wrong)]), 1, "This is not the token"),
        (with(&["--control-token", "short-one"], &[]), 2, "a token has at least 16"),
        (with(&["--control-token-file", "/nowhere"], &[]), 2, "No such file"),
        (with(&[&flag[..], &file[..]].concat(), &[]), 2, "give either"),
    ] {
        assert_eq!(said.code, Some(code), "{}", said.error);
        assert!(said.error.contains(expected), "{}", said.error);
        assert!(!said.error.contains(wrong) && !said.error.contains("short-one"), "{}", said.error);
    }
    assert!(!said(program(&["sessions", "--help"]).env(variable, TOKEN)).out.is_empty());
    assert_eq!(with(&["--hub", &url], &[]).code, Some(2), "twice");
    let kick = said(&mut program(&["kick", "1", "--hub", &url, "--control-token", TOKEN]));
    assert!(kick.code == Some(1) && kick.error.contains("no session 1"), "{}", kick.error);
}

#[test]
fn whatever_is_not_there_is_told_apart() {
    // A port at which nobody listens any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = at(&free.to_string(), &["sessions"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.error.contains("start a hub with `crosspoint serve`"), "{}", nobody.error);

    let (_hub, port) = hub(&["--control=false"]);
    for command in [&["sessions"][..], &["rooms"], &["kick", "1"], &["kick", "Ann"]] {
        let off = at(&port, command);
        assert_eq!(off.code, Some(1), "{command:?}: {}", off.error);
        assert!(off.error.contains("control.enabled"), "{command:?}: {}", off.error);
    }
    for (answer, expected) in [
        ("SSH-2.0-server\r\n", "does not answer as a Crosspoint hub"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "does not answer as a Crosspoint hub"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", "does not answer as a"),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "500"),
        (
            "HTTP/1.1 308 Moved\r\nLocation: https://hub.example/\r\nContent-Length: 0\r\n\r\n",
            "leads to https://hub.example/",
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 52\r\n\r\n{\"error\":\"forbidden\",\"message\":\"no\\u001b[2J\\u202e!\"}",
            "refuses: no\\u{1b}[2J\\u{202e}!",
        ),
        ("", "does not answer as a Crosspoint hub"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /api/v1/sessions?"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let said = at(&port, &["sessions"]);
        server.join().unwrap();
        assert_eq!(said.code, Some(1), "{answer}: {}", said.error);
        assert!(said.error.contains(expected), "{answer}: {}", said.error);
    }
    for (url, expected) in [
        ("tcp://127.0.0.1:7680", "http:// or https://HOST:PORT"),
        ("http://me:secret@127.0.0.1", "a token is not a part of the URL"),
    ] {
        let said = said(&mut program(&["sessions", "--hub", url]));
        assert!(said.code == Some(2) && said.error.contains(expected), "{}", said.error);
    }
}

#[test]
fn a_hub_is_reached_with_tls_and_over_a_socket_of_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let unix = format!("unix:{}", path.display());
    let mut hub = Running::start(&mut program(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        &unix,
        "--tls-dev",
        "--control-token",
        TOKEN,
    ]));
    let port = hub.wait_for("listening on 127.0.0.1:");
    let fingerprint = hub.wait_for("certificate with the fingerprint ");
    let url = format!("https://127.0.0.1:{port}");
    let list = |more: &[&str]| said(&mut program(&[&["sessions"], more].concat()));
    let pinned = list(&["--hub", &url, "--tls-pin", &fingerprint]);
    assert_eq!(pinned.code, Some(0), "{}", pinned.error);
    let unknown = list(&["--hub", &url]);
    assert!(unknown.code == Some(1) && unknown.error.contains("--tls-roots"), "{}", unknown.error);
    let other = format!("http://127.0.0.1:{port}");
    let useless = list(&["--hub", &other, "--tls-pin", &fingerprint]);
    assert!(useless.code == Some(2) && useless.error.contains("use https://"), "{}", useless.error);
    let socket = list(&["--hub", &unix, "--control-token", TOKEN]);
    assert_eq!(socket.code, Some(0), "{}", socket.error);
    assert_eq!(list(&["--hub", &unix]).code, Some(1), "a socket needs the token");
}
