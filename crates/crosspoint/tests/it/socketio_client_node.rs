//! Clients of Socket.IO at servers made with the packages from npm, with clients made with them at the other side.

#[path = "../../examples/socketio_client.rs"]
mod example;

use crate::anysocket_common::{LONG, Program};
use aws_lc_rs::digest::{SHA256, digest};
use crosspoint::socketio::client::{
    Args, Backoff, Binary, Client, ClientBuilder, Ended, Event, Notice, Revision, Socket,
    SocketError, Stream, StreamOptions, Transports,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A server with the plugin, and a client of it.
struct Party {
    program: Program,
    version: &'static str,
    port: String,
}

impl Party {
    fn start(version: &'static str) -> Self {
        Self::at(version, "0")
    }

    fn at(version: &'static str, port: &str) -> Self {
        let mut program = Program::start("socketio_party.mjs", &[version, port]);
        let port = program.expect("listening ");
        Self { program, version, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn revision(&self) -> Revision {
        match self.version {
            "2" => Revision::Three,
            _ => Revision::Four,
        }
    }

    fn client(&self, name: &str) -> ClientBuilder {
        Client::builder().client_id(name).revision(self.revision()).timeout(LONG)
    }

    async fn connect(&self, builder: ClientBuilder) -> Socket {
        builder.connect(self.url()).await.unwrap()
    }
}

const VERSIONS: [&str; 2] = ["2", "4"];
const TRANSPORTS: [Transports; 3] = [Transports::WebSocket, Transports::Requests, Transports::Both];

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits no longer than anything takes that goes well.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("it does not take so long")
}

/// A handler that tells its events.
fn telling(builder: ClientBuilder, event: &str) -> (ClientBuilder, mpsc::UnboundedReceiver<Value>) {
    let (told, heard) = mpsc::unbounded_channel();
    let builder = builder.on(event, move |event: Event| {
        let told = told.clone();
        async move { told.send(event.read::<Value>().unwrap()).unwrap() }
    });
    (builder, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_answers_go_both_ways_over_each_transport() {
    for version in VERSIONS {
        let mut party = Party::start(version);
        for transports in TRANSPORTS {
            let builder = party.client("rust").transports(transports);
            let builder = builder.on("sum", |event: Event| async move {
                let (a, b): (i64, i64) = event.read()?;
                event.ack(&(a + b, "sum")).await
            });
            let (builder, mut heard) = telling(builder, "news");
            let rust = party.connect(builder).await;
            // Two attachments, one of them empty, deep in what is said.
            let value = json!({"text": "zw\u{f6}lf \u{20ac} \u{1f3b2}", "list": [1, null, -2.5]});
            let bytes = [Binary::from(vec![0u8, 4, 255]), Binary::default()];
            let said = (value, &bytes, "", true);
            let answer = soon(rust.emit_with_ack("same", &said)).await.unwrap();
            assert_eq!(answer, Args::of(&said).unwrap(), "{version} {transports:?}");
            let answer = soon(rust.emit_to_with_ack("node", "same", &said)).await.unwrap();
            assert_eq!(answer, Args::of(&said).unwrap(), "{version} {transports:?}");
            party.program.order("ask rust sum [2,3]");
            assert_eq!(party.program.expect("answer"), r#"[5,"sum"]"#);
            assert_eq!(soon(rust.clients()).await.unwrap(), ["node", "rust"]);
            assert!(soon(rust.is_client_connected("node")).await.unwrap());
            assert!(!soon(rust.is_client_connected("nobody")).await.unwrap());

            rust.join_room("lobby").await.unwrap();
            soon(rust.clients()).await.unwrap();
            rust.emit_room("lobby", "news", &("from Rust", json!({"n": 1}))).await.unwrap();
            assert_eq!(party.program.expect("news"), r#"["from Rust",{"n":1}]"#);
            party.program.order("room lobby news [\"from_node\"]");
            assert_eq!(soon(heard.recv()).await.unwrap(), json!(["from_node"]));
            rust.leave_room("lobby").await.unwrap();

            let doubled = soon(rust.call_service("double", &21)).await.unwrap();
            assert_eq!(doubled.value::<i64>().unwrap(), 42);
            let provided = rust.provide_service("triple", |event: Event| async move {
                let number: i64 = event.get(0)?;
                event.ack(&(3 * number)).await
            });
            soon(provided).await.unwrap();
            assert!(soon(rust.has_service("triple")).await.unwrap());
            party.program.order("call triple [14]");
            assert_eq!(party.program.expect("answer"), "[42]");
            soon(rust.destroy_service("triple")).await.unwrap();
            assert!(!soon(rust.has_service("triple")).await.unwrap());
            let taken = rust.provide_service("double", |_| async {});
            assert!(matches!(soon(taken).await, Err(SocketError::ServiceExists(_))));
            if transports == Transports::Both {
                // The upgrade takes as long as it takes, and nothing is lost meanwhile.
                loop {
                    party.program.order("transports");
                    if party.program.expect("transports") == "websocket,websocket" {
                        break;
                    }
                    soon(rust.emit_with_ack("same", &1)).await.unwrap();
                }
            }
            // As large as servers take at once, with the attachment in base64 where requests carry it.
            let large = vec![7u8; 700_000];
            let large = (Binary::from(large), "x".repeat(20_000));
            let answer = soon(rust.emit_to_with_ack("node", "same", &large)).await.unwrap();
            assert!(answer == Args::of(&large).unwrap());
            rust.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_hear_of_each_other() {
    for version in VERSIONS {
        let mut party = Party::start(version);
        let (told, mut notices) = mpsc::unbounded_channel();
        let rust = party.client("rust").on_notice(move |notice: Notice| {
            let told = told.clone();
            async move { told.send(notice).unwrap() }
        });
        let rust = party.connect(rust).await;
        assert!(matches!(soon(notices.recv()).await, Some(Notice::Connected { .. })));
        soon(rust.add_target("node")).await.unwrap();
        assert_eq!(party.program.expect("added"), "rust");
        party.program.order("target rust");
        party.program.expect("target");
        let added = soon(notices.recv()).await;
        assert!(matches!(&added, Some(Notice::TargetAdded { id }) if id == "node"), "{added:?}");
        let missing = soon(rust.add_target("nobody")).await.unwrap_err().to_string();
        assert_eq!(missing, "refused: Client nobody is not connected to server");
        rust.close().await;
        // Each of the two has made a link.
        assert_eq!(party.program.expect("gone"), "rust");
        assert_eq!(party.program.expect("gone"), "rust");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_megabytes_arrive_as_they_were_sent() {
    for version in VERSIONS {
        let mut party = Party::start(version);
        for transports in [Transports::WebSocket, Transports::Both] {
            let (told, mut taken) = mpsc::unbounded_channel();
            let builder = party.client("rust").transports(transports);
            let (builder, mut hashed) = telling(builder, "hashed");
            let builder = builder.on_stream(move |mut stream: Stream| {
                let told = told.clone();
                async move {
                    let (what, bytes): (String, usize) = stream.args().read()?;
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.map_err(SocketErrorText::of)?;
                    assert_eq!((&*what, bytes, stream.peer()), ("upload", all.len(), "node"));
                    told.send(hex(&all)).unwrap();
                    Ok::<_, SocketErrorText>(())
                }
            });
            let rust = party.connect(builder).await;
            let large: Vec<u8> = (0..3_000_000u32).map(|at| (at * 7 % 251) as u8).collect();
            let mut stream = soon(rust.open_stream("node")).await.unwrap();
            soon(stream.write_all(&large)).await.unwrap();
            soon(stream.shutdown()).await.unwrap();
            assert_eq!(soon(hashed.recv()).await.unwrap(), json!([hex(&large)]));
            drop(stream);

            party.program.order("stream rust 3000000");
            let hash = party.program.expect("hash");
            assert_eq!(soon(taken.recv()).await.unwrap(), hash);

            let options = StreamOptions::new().channel("back");
            let mut stream = soon(rust.open_stream_with("node", options)).await.unwrap();
            let mut back = vec![0; 100_000];
            for round in 0..10 {
                soon(stream.write_all(&large[round..round + back.len()])).await.unwrap();
                soon(stream.read_exact(&mut back)).await.unwrap();
                assert!(back == large[round..round + back.len()]);
            }
            drop(stream);
            let refused = soon(rust.open_stream("nobody")).await.unwrap_err().to_string();
            assert_eq!(refused, "refused: Client nobody is not connected to server");
            rust.close().await;
        }
    }
}

/// What a handler of the test has failed of.
struct SocketErrorText(String);

impl SocketErrorText {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl std::fmt::Display for SocketErrorText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<crosspoint::socketio::client::ArgsError> for SocketErrorText {
    fn from(error: crosspoint::socketio::client::ArgsError) -> Self {
        Self::of(error)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_when_its_server_does() {
    let soon_again = Backoff {
        first: Duration::from_millis(20),
        most: Duration::from_millis(200),
        ..Backoff::default()
    };
    for version in VERSIONS {
        let party = Party::start(version);
        let (told, mut notices) = mpsc::unbounded_channel();
        let rust =
            party.client("rust").reconnection(soon_again).on_notice(move |notice: Notice| {
                let told = told.clone();
                async move { told.send(notice).unwrap() }
            });
        let rust = party.connect(rust).await;
        assert!(matches!(soon(notices.recv()).await, Some(Notice::Connected { .. })));
        let asked = tokio::spawn({
            let rust = rust.clone();
            async move { rust.emit_to_with_ack("node", "unheard", &()).await }
        });
        soon(rust.clients()).await.unwrap();
        let (version, port) = (party.version, party.port.clone());
        drop(party);
        assert!(matches!(soon(asked).await.unwrap(), Err(SocketError::Abandoned)));
        assert!(matches!(soon(notices.recv()).await, Some(Notice::Disconnected(_))));
        // What is said meanwhile waits.
        let later = tokio::spawn({
            let rust = rust.clone();
            async move { rust.emit_with_ack("same", &1).await }
        });
        let party = Party::at(version, &port);
        assert!(matches!(soon(notices.recv()).await, Some(Notice::Connected { .. })));
        assert_eq!(soon(later).await.unwrap().unwrap().value::<i64>().unwrap(), 1);
        let answer = soon(rust.emit_to_with_ack("node", "same", &2)).await.unwrap();
        assert_eq!(answer.value::<i64>().unwrap(), 2);
        // One that the server has put out does not come back.
        rust.emit("kick", &()).await.unwrap();
        assert!(matches!(soon(rust.closed()).await, Ended::Disconnected));
        drop(party);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_with_its_session_where_the_server_lets_it() {
    let soon_again = Backoff { first: Duration::from_millis(20), ..Backoff::default() };
    let mut party = Party::start("4-recovery");
    for transports in TRANSPORTS {
        let (told, mut heard) = mpsc::unbounded_channel();
        let noting = told.clone();
        let rust = party.client("rust").transports(transports).reconnection(soon_again);
        let rust = rust
            .on("news", move |event: Event| {
                let told = told.clone();
                async move { told.send(format!("news {}", event.get::<u32>(0).unwrap())).unwrap() }
            })
            .on_notice(move |notice: Notice| {
                let told = noting.clone();
                async move {
                    match notice {
                        Notice::Connected { sid, recovered } => {
                            told.send(format!("{sid} {recovered}")).unwrap();
                        }
                        Notice::Disconnected(_) => told.send("lost".to_owned()).unwrap(),
                        _ => {}
                    }
                }
            });
        let rust = party.connect(rust).await;
        let first = soon(heard.recv()).await.unwrap();
        let sid = first.strip_suffix(" false").unwrap();
        rust.join_room("lobby").await.unwrap();
        soon(rust.clients()).await.unwrap();
        // An offset is known with the first event.
        for number in 0..3 {
            party.program.order(&format!("room lobby news [{number}]"));
            assert_eq!(soon(heard.recv()).await.unwrap(), format!("news {number}"));
        }
        for number in 3..6 {
            party.program.order(&format!("cut rust lobby news [{number}]"));
            let lost = soon(heard.recv()).await.unwrap();
            assert_eq!(lost, "lost", "{transports:?}");
            assert_eq!(soon(heard.recv()).await.unwrap(), format!("{sid} true"));
            assert_eq!(soon(heard.recv()).await.unwrap(), format!("news {number}"));
        }
        rust.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_takes_part_at_servers_of_both_versions() {
    for version in VERSIONS {
        let mut party = Party::start(version);
        let seen = soon(example::run(&party.url(), "rust", party.revision())).await.unwrap();
        assert_eq!(seen, ["here: node, rust", "21 doubled is 42", "Hello myself"]);
        assert_eq!(party.program.expect("news"), r#"["rust is here"]"#);
    }
}
