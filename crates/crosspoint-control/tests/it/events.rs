//! Event streams.

use crate::common::*;
use crosspoint::{HubOptions, Limits};
use crosspoint_control::ControlOptions;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn each_second_there_are_figures_and_what_has_changed() {
    let served = serve(HubOptions::default(), usual());
    let ann = served.node("Ann").await;
    let query = "?views=hub,sessions,channels,services,ends&sessions.limit=1&sessions.search=ann";
    let mut events = served.follow(query, "").await;
    assert_eq!(events.wait_for("hub").await["version"], env!("CARGO_PKG_VERSION"));
    let sessions = events.wait_for("sessions").await;
    assert_eq!((&sessions["matched"], &sessions["offset"]), (&json!(1), &json!(0)));
    assert_eq!(events.wait_for("channels").await["total"], 0);
    assert_eq!(events.wait_for("services").await["total"], 0);
    assert_eq!(events.wait_for("ends").await, json!({ "ends": [] }));
    let point = events.wait_for("point").await;
    assert!(point["sessions"] == 1 && point["messages_in"].is_number(), "{point}");
    // What stays the same is not told again.
    let mut seen = Vec::new();
    while seen.iter().filter(|name| *name == "hub").count() < 2 {
        let (name, _) = events.next().await.unwrap();
        seen.push(name);
    }
    assert!(!seen.iter().any(|name| ["channels", "services", "ends"].contains(&name.as_str())));
    let lobby = enter(&ann, "lobby").await;
    let channels = events.wait_for("channels").await;
    assert_eq!(channels["channels"][0]["name"], "lobby");
    drop(lobby);
    ann.close().await;
    events.wait_until("sessions", |sessions| sessions["matched"] == 0).await;
    events.wait_until("ends", |ends| ends["ends"][0]["name"] == "Ann").await;
}

#[tokio::test]
async fn a_session_and_a_channel_are_followed_until_they_are_gone() {
    let served = serve(HubOptions::default(), usual());
    let (ann, bob) = (served.node("Ann").await, served.node("Bob").await);
    let lobby = enter(&ann, "a/b").await;
    let number = served.number("Ann").await;
    let query = format!("?session={number}&channel=a%252Fb&channel.limit=1");
    let mut events = served.follow(&query, "").await;
    let session = events.wait_for("session").await;
    assert_eq!(
        (&session["name"], &session["channels"][0]["key"]),
        (&json!("Ann"), &json!("a%2Fb"))
    );
    assert_eq!(events.wait_for("channel").await["members"]["total"], 1);
    let _second = enter(&bob, "a/b").await;
    let two = |channel: &Value| channel["members"]["total"] == 2;
    let channel = events.wait_until("channel", two).await;
    assert_eq!(channel["members"]["items"].as_array().unwrap().len(), 1);
    drop(lobby);
    ann.close().await;
    assert_eq!(events.wait_for("gone").await, json!({ "session": number }));
    bob.close().await;
    assert_eq!(events.wait_for("gone").await, json!({ "channel": "a%2Fb" }));
    // The next room of this name is another one, and the session does not come back.
    let cleo = served.node("Cleo").await;
    let _third = enter(&cleo, "a/b").await;
    assert_eq!(events.wait_for("channel").await["members"]["total"], 1);
}

#[tokio::test]
async fn there_are_as_many_viewers_as_there_may_be() {
    let options = ControlOptions { viewers_max: 2, ..usual() };
    let served = serve(HubOptions::default(), options);
    let mut first = served.follow("", "").await;
    let second = served.follow("", "").await;
    let answer = served.ask("GET", "/api/v1/events", "").await;
    let (status, code, message) = answer.error();
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert!(message.contains("control.viewers_max"), "{message}");
    assert_eq!(answer.header("Retry-After"), Some("10"));
    let hits = json!({ "control.viewers_max": 1 });
    assert_eq!(served.json("/api/v1/hub").await["limit_hits"], hits);
    // Who goes makes room, as soon as that is noticed.
    drop(second);
    loop {
        first.wait_for("hub").await;
        let answer = served.ask("HEAD", "/api/v1/events", "").await;
        if answer.status == 200 {
            break;
        }
    }
    served.follow("", "").await.wait_for("hub").await;
}

#[tokio::test]
async fn a_stop_of_the_hub_ends_streams_and_waits_for_none() {
    let served = serve(HubOptions::default(), usual());
    let mut events = served.follow("", "").await;
    events.wait_for("hub").await;
    let begun = std::time::Instant::now();
    let (_, ()) = tokio::join!(events.end(), served.server.stop());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stream_ends_with_the_login_of_its_viewer() {
    let served = serve(HubOptions::default(), closed());
    let body = format!("{{\"token\":\"{TOKEN}\"}}");
    let head = format!("{MARK}Content-Length: {}\r\n", body.len());
    let address = served.address;
    let login = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {address}\r\n{head}Connection: close\r\n\r\n{body}"
    );
    let answer = served.raw(&login).await;
    let id = answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = format!("Cookie: {id}\r\n");
    let mut events = served.follow("", &cookie).await;
    let mut other = served.follow("", BEARER).await;
    events.wait_for("hub").await;
    let answer = served.ask("POST", "/api/v1/logout", &format!("{cookie}{MARK}")).await;
    assert_eq!(answer.status, 204);
    events.end().await;
    other.wait_for("hub").await;
    other.wait_for("hub").await;
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_cut_off() {
    let limits = Limits { outbox_stall_max: Duration::from_millis(300), ..Limits::default() };
    let served = serve(HubOptions { limits, ..HubOptions::default() }, usual());
    let mut nodes = Vec::new();
    for number in 0..200 {
        nodes.push(served.inside(&format!("{number:0>200}")).await);
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut slow: TcpStream = socket.connect(served.address).await.unwrap();
    let request = "GET /api/v1/events?views=sessions&sessions.limit=500&sessions.sort=rate_in \
                   HTTP/1.1\r\nHost: localhost\r\n\r\n";
    slow.write_all(request.as_bytes()).await.unwrap();
    // What a session says changes its row, so that there is always more to tell.
    let talk = async {
        loop {
            for node in &nodes {
                let _ = node.peers("nobody").await;
            }
        }
    };
    let hit = served.until("/api/v1/hub", |hub| {
        hub["limit_hits"]["limits.outbox_stall_ms_max"].as_u64() > Some(0)
    });
    tokio::select! {
        _ = hit => {}
        () = talk => {}
    }
}
