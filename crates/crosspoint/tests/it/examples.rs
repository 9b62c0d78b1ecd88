//! The examples run to their end.

use crate::anysocket_common;
use crosspoint::{EnterOptions, MemberEvent, Node};

#[path = "../../examples/application.rs"]
mod application;
#[path = "../../examples/file.rs"]
mod file;
#[path = "../../examples/line_chat.rs"]
mod line_chat;
#[path = "../../examples/lobby.rs"]
mod lobby;
#[path = "../../examples/new_host.rs"]
mod new_host;
#[path = "../../examples/offline.rs"]
mod offline;
#[path = "../../examples/plugin_server.rs"]
mod plugin_server;
#[path = "../../examples/remote.rs"]
mod remote;
#[path = "../../examples/requests.rs"]
mod requests;
#[path = "../../examples/secret_chat.rs"]
mod secret_chat;
#[path = "../../examples/shared_room.rs"]
mod shared_room;
#[path = "../../examples/symmetric.rs"]
mod symmetric;

#[tokio::test]
async fn the_lobby_is_a_chat() {
    let seen = lobby::run().await.unwrap();
    assert_eq!(seen, ["1 is Bob", "1: hello?", "1: bye!", "1 has gone: left"]);
}

#[tokio::test]
async fn the_hub_s_own_program_answers_and_speaks() {
    let seen = application::run().await.unwrap();
    let failed = "the call failed: Method not found! (method: 'missing', code 404)";
    assert_eq!(seen, ["5", failed, "you said \"hello\"", "all: \"lunch\""]);
}

#[tokio::test]
async fn a_match_outlives_its_host() {
    let seen = new_host::run().await.unwrap();
    let told =
        ["host: round 1", "Bob is the host now", "host: round 2", "over: closed by its owner"];
    assert_eq!(seen, told);
}

#[tokio::test(start_paused = true)]
async fn offline_has_the_lag_of_a_network() {
    let took = offline::run().await.unwrap().as_millis();
    // Twice the lag, and twice a little for the bytes, in the whole milliseconds of the clock.
    assert_eq!(took, 82);
}

#[tokio::test]
async fn the_remote_board_is_played() {
    let mut lines = remote::run().await.unwrap();
    lines.sort();
    assert_eq!(lines, ["field 4 was free: true, and then: false", "welcome, 0"]);
}

#[tokio::test]
async fn two_programs_talk_without_a_hub() {
    let said = symmetric::run().await.unwrap();
    assert_eq!(said, ["Bob: you say 42", "Ann: you say 42"]);
}

#[tokio::test]
async fn requests_go_to_peers_and_services_and_back() {
    assert_eq!(requests::run().await.unwrap(), ["2 x soup", "how many?"]);
}

#[tokio::test]
async fn a_file_goes_over_a_stream() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("file"), directory.path().join("copy"));
    let bytes = (0..3_000_000_u32).map(|at| (at.wrapping_mul(at) >> 8) as u8).collect::<Vec<_>>();
    std::fs::write(&from, &bytes).unwrap();
    let progress = file::run(&from, &to).await.unwrap();
    assert_eq!(progress, ["25 %", "50 %", "75 %", "100 %"]);
    assert!(std::fs::read(&to).unwrap() == bytes);
}

#[tokio::test]
async fn a_secret_chat_is_between_two() {
    let read = secret_chat::run().await.unwrap();
    assert_eq!(read, ["shall we meet at noon?", "at the bridge"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_four_systems_share_a_room() {
    // The example waits for ever for a program that cannot start.
    let _ = anysocket_common::with_package();
    let heard = shared_room::run().await.unwrap();
    let node_and_page = ["hello from node", "hello from the page"];
    let expected = [
        ("Rust", &node_and_page[..]),
        ("Haxe", &node_and_page),
        ("Haxe", &["hello from Rust"]),
        ("Rust", &["hello from Haxe"]),
        ("node", &["hello from the page", "hello from Rust", "hello from Haxe"]),
        ("page", &["hello from node", "hello from Rust", "hello from Haxe"]),
    ];
    let expected = expected
        .iter()
        .flat_map(|(who, heard)| heard.iter().map(move |text| format!("{who} heard: {text}")));
    assert_eq!(heard, expected.collect::<Vec<_>>());
}

/// Two people with `nc` and a node, over one port.
#[tokio::test]
async fn a_protocol_from_outside_meets_the_others() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let hub = line_chat::hub();
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let chat = async |hello: &str| {
        let mut chat = BufReader::new(tokio::net::TcpStream::connect(address).await.unwrap());
        // Cut where it is not yet clear what it is.
        chat.write_all(&hello.as_bytes()[..3]).await.unwrap();
        chat.write_all(&hello.as_bytes()[3..]).await.unwrap();
        chat
    };
    let line = async |chat: &mut BufReader<tokio::net::TcpStream>| {
        let mut line = String::new();
        chat.read_line(&mut line).await.unwrap();
        line
    };
    let mut alice = chat("CHAT alice lobby\n").await;
    assert_eq!(line(&mut alice).await, "* you are in the room\n");
    let node = Node::builder().name("bob").connect(format!("tcp://{address}")).await.unwrap();
    let mut bob = node.enter("lobby", EnterOptions::new()).await.unwrap();
    bob.send("hello from bob").await.unwrap();
    assert_eq!(line(&mut alice).await, "hello from bob\n");
    alice.write_all(b"hello\r\n").await.unwrap();
    let heard = bob.next().await;
    let said = matches!(&heard, Some(MemberEvent::Message { data, .. }) if data == "alice: hello");
    assert!(said, "{heard:?}");
    let mut hasty = chat("CHAT carol lobby\nhello at once\n").await;
    assert_eq!(line(&mut hasty).await, "* you are in the room\n");
    assert_eq!(line(&mut alice).await, "carol: hello at once\n");
    let mut wrong = chat("CHAT\t\n").await;
    assert_eq!(line(&mut wrong).await, "");
    hub.stop().await;
    assert_eq!(line(&mut alice).await, "* the hub is stopping; connect again later\n");
}

/// With clients of the plugin from npm. Orders wait while the program is started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_place_of_the_plugin_s_server_serves_its_clients() {
    for version in ["2", "4"] {
        let folder = tempfile::tempdir().unwrap();
        for part in ["first", "second"] {
            let file = folder.path().join("orders");
            let listen = "127.0.0.1:0".parse().unwrap();
            let office = plugin_server::Office::open(listen, &file).await.unwrap();
            let url = format!("http://{}", office.address);
            let clients = tokio::task::spawn_blocking(move || {
                let mut node = std::process::Command::new("node");
                node.current_dir(anysocket_common::with_package());
                node.args(["socketio_program.mjs", &url, version, part]).output().unwrap()
            });
            let clients = clients.await.unwrap();
            let cried = String::from_utf8_lossy(&clients.stderr);
            assert!(clients.status.success(), "{version} {part}: {cried}");
            office.close().await;
        }
    }
}
