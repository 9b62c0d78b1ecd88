//! What the API tells of sessions, channels, services and ends, and what it does to them.

use crate::common::*;
use crosspoint::{
    ChannelName, ChannelOptions, ConnectError, EnterOptions, HubOptions, MemberEvent, Mode, Node,
    OwnerEvent, Reason, RoomOptions,
};
use crosspoint_control::ControlOptions;
use serde_json::{Value, json};

fn names(list: &Value, of: &str) -> Vec<String> {
    let rows = list[of].as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn the_figures_count_what_there_is() {
    let options = ControlOptions { name: "north".to_owned(), ..usual() };
    let served = serve(HubOptions::default(), options);
    let (ann, bob) = (served.node("Ann").await, served.inside("Bob").await);
    let _owner = ann.create("game", ChannelOptions::new()).await.unwrap();
    let _member = bob.enter("game", EnterOptions::new()).await.unwrap();
    let _lobby = enter(&ann, "lobby").await;
    ann.provide("time").await.unwrap();
    let _link = bob.peer("Ann").await.unwrap();
    let figures = served.json("/api/v1/hub").await;
    for (name, expected) in [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("stopping", json!(false)),
        ("connections_max", json!(100_000)),
        ("sessions", json!(2)),
        ("channels", json!(1)),
        ("rooms", json!(1)),
        ("members", json!(2)),
        ("links", json!(1)),
        ("services", json!(1)),
        ("dropped", json!(0)),
        ("limit_hits", json!({})),
        ("closed", json!({})),
        ("refused", json!({})),
        ("connections_refused", json!({})),
        ("memory_bytes_max", json!(2_u64 * 1024 * 1024 * 1024)),
    ] {
        assert_eq!(figures[name], expected, "{name}");
    }
    assert_eq!(figures["sessions_by_protocol"]["native"], 2);
    assert_eq!(figures["sessions_by_protocol"]["peote"], 0);
    assert_eq!(figures["name"], "north");
    // They and the one who asks.
    assert_eq!(figures["connections"], 3);
    let started = figures["started_at_ms"].as_u64().unwrap();
    assert!(started <= figures["now_ms"].as_u64().unwrap());
    assert!(figures["bytes_in"].as_u64() > Some(0) && figures["memory_bytes"].as_u64() > Some(0));
    assert!(bob.enter("nowhere", EnterOptions::new()).await.is_err());
    let figures = served.json("/api/v1/hub").await;
    assert_eq!(figures["refused"], json!({ "no_such_name": 1 }));
}

#[tokio::test]
async fn sessions_are_searched_sorted_and_paged() {
    let served = serve(HubOptions::default(), usual());
    let mut nodes = Vec::new();
    for name in ["Zoe", "ansel", "Bea", "Ärne", "anton"] {
        nodes.push(served.node(name).await);
    }
    nodes.push(served.inside("inside").await);
    let total = |list: &Value| list["total"] == 6;
    let list = served.until("/api/v1/sessions", total).await;
    assert_eq!(names(&list, "sessions"), ["ansel", "anton", "Bea", "inside", "Zoe", "Ärne"]);
    let row = &list["sessions"][0];
    for (name, expected) in [
        ("protocol", json!("native")),
        ("transport", json!("tcp")),
        ("tls", json!(false)),
        ("address", json!("127.0.0.1")),
        ("away", json!(false)),
        ("proven", json!(false)),
        ("outbox_bytes", json!(0)),
    ] {
        assert_eq!(row[name], expected, "{name}");
    }
    assert_eq!(list["sessions"][3]["transport"], "memory");
    assert_eq!(list["sessions"][3]["address"], Value::Null);
    assert!(row["bytes_in"].as_u64() > Some(0) && row["since_ms"].as_u64() > Some(0));
    let id = row["id"].as_str().unwrap();
    let session = row["session"].as_u64().unwrap();
    // No id begins with what is searched for in names: it has hexadecimal digits alone.
    for (query, matched, expected) in [
        ("search=AN".to_owned(), 2, vec!["ansel", "anton"]),
        ("search=%C3%84RN".to_owned(), 1, vec!["Ärne"]),
        (format!("search={}", &id[..12]), 1, vec!["ansel"]),
        (format!("search={}", id[..12].to_uppercase()), 1, vec!["ansel"]),
        ("search=127.0.0.".to_owned(), 5, vec!["ansel", "anton", "Bea", "Zoe", "Ärne"]),
        (format!("search={session}&protocol=native&limit=1"), 1, vec!["ansel"]),
        ("search=nobody".to_owned(), 0, vec![]),
        ("protocol=peote".to_owned(), 0, vec![]),
        ("sort=name&order=desc&limit=2".to_owned(), 6, vec!["Ärne", "Zoe"]),
        ("sort=since&limit=3".to_owned(), 6, vec!["Zoe", "ansel", "Bea"]),
        ("sort=since&order=desc&limit=1".to_owned(), 6, vec!["inside"]),
        ("sort=address&order=desc&offset=5".to_owned(), 6, vec!["inside"]),
        ("offset=4&limit=500".to_owned(), 6, vec!["Zoe", "Ärne"]),
        ("offset=6".to_owned(), 6, vec![]),
        ("offset=4294967295".to_owned(), 6, vec![]),
        ("channel=nowhere".to_owned(), 0, vec![]),
    ] {
        let list = served.json(&format!("/api/v1/sessions?{query}")).await;
        assert_eq!(list["total"], 6, "{query}");
        // The id of another one may begin with the digits of the number.
        if query.starts_with(&format!("search={session}&")) {
            assert!(list["matched"].as_u64() >= Some(matched), "{query}");
        } else {
            assert_eq!(list["matched"], matched, "{query}");
            assert_eq!(names(&list, "sessions"), expected, "{query}");
        }
    }
    let _rooms = (enter(&nodes[0], "a/b").await, enter(&nodes[5], "a/b").await);
    let here = served.until("/api/v1/sessions?channel=a%252Fb", |list| list["matched"] == 2).await;
    assert_eq!(names(&here, "sessions"), ["inside", "Zoe"]);
    let sorts =
        ["protocol", "round_trip", "outbox", "rate_in", "rate_out", "bytes_in", "bytes_out"];
    for sort in sorts {
        let list = served.json(&format!("/api/v1/sessions?sort={sort}&order=desc")).await;
        assert_eq!(list["sessions"].as_array().unwrap().len(), 6, "{sort}");
    }
}

#[tokio::test]
async fn a_session_is_shown_with_what_it_takes_part_in() {
    let served = serve(HubOptions::default(), usual());
    let (ann, bob) = (served.node("Ann").await, served.node("Bob").await);
    let _owner = ann.create("game", ChannelOptions::new()).await.unwrap();
    let _member = bob.enter("game", EnterOptions::new()).await.unwrap();
    let _lobby = enter(&bob, "lobby").await;
    bob.provide("time").await.unwrap();
    let _link = bob.peer("Ann").await.unwrap();
    let number = served.number("Bob").await;
    let path = format!("/api/v1/sessions/{number}");
    let detail = served.json(&path).await;
    assert_eq!((&detail["session"], &detail["name"]), (&json!(number), &json!("Bob")));
    let channels = json!([
        { "name": "game", "key": "game", "room": false, "owner": false, "number": 0 },
        { "name": "lobby", "key": "lobby", "room": true, "owner": false, "number": 0 },
    ]);
    assert_eq!(detail["channels"], channels);
    assert_eq!(detail["services"], json!(["time"]));
    assert_eq!((&detail["links"][0]["name"], &detail["link_count"]), (&json!("Ann"), &json!(1)));
    let ann_number = served.number("Ann").await;
    let detail = served.json(&format!("/api/v1/sessions/{ann_number}")).await;
    let owned = json!([
        { "name": "game", "key": "game", "room": false, "owner": true, "number": null }
    ]);
    assert_eq!(detail["channels"], owned);
    let services = served.until("/api/v1/services", |list| list["total"] == 1).await;
    assert_eq!(services["services"][0]["name"], "time");
    assert_eq!(services["services"][0]["provider_count"], 1);
    assert_eq!(services["services"][0]["providers"][0]["name"], "Bob");
    for wrong in ["/api/v1/sessions/999999", "/api/v1/sessions/18446744073709551615"] {
        let (status, code, message) = served.ask("GET", wrong, "").await.error();
        assert_eq!((status, code.as_str()), (404, "not_found"), "{message}");
    }
    for wrong in ["Bob", "+1", "-1", "1.0", "18446744073709551616", "%20", "1%00"] {
        let answer = served.ask("GET", &format!("/api/v1/sessions/{wrong}"), "").await;
        assert_eq!(answer.error().0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_session_is_kicked_by_its_number_and_remembered_among_the_ends() {
    let served = serve(HubOptions::default(), usual());
    let (ann, bob) = (served.node("Ann").await, served.node("Bob").await);
    let mut lobby = enter(&ann, "lobby").await;
    let _stays = enter(&bob, "lobby").await;
    let number = served.number("Ann").await;
    let path = format!("/api/v1/sessions/{number}");
    let answer = served.ask("DELETE", &path, MARK).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    loop {
        match lobby.next().await {
            Some(MemberEvent::Ended { reason }) => {
                assert_eq!(reason, Reason::Kicked);
                break;
            }
            Some(_) => {}
            None => break,
        }
    }
    let ends = served.until("/api/v1/ends", |ends| ends["ends"] != json!([])).await;
    let end = &ends["ends"][0];
    for (name, expected) in [
        ("session", json!(number)),
        ("name", json!("Ann")),
        ("protocol", json!("native")),
        ("address", json!("127.0.0.1")),
        ("reason", json!("kicked")),
        ("text", json!("kicked by the hub's operator")),
        ("let_in", json!(true)),
    ] {
        assert_eq!(end[name], expected, "{name}");
    }
    assert!(end["ended_at_ms"].as_u64() > end["lasted_ms"].as_u64());
    for (query, matched) in [
        ("search=an", 1),
        ("search=bob", 0),
        ("reason=kicked", 1),
        ("reason=bye", 0),
        ("let_in=yes", 1),
        ("let_in=no", 0),
        ("limit=1&search=127.", 1),
    ] {
        let ends = served.json(&format!("/api/v1/ends?{query}")).await;
        assert_eq!(ends["ends"].as_array().unwrap().len(), matched, "{query}");
    }
    assert_eq!(served.ask("DELETE", &path, MARK).await.error().0, 404);
    assert_eq!(served.ask("GET", &path, "").await.error().0, 404);
    assert_eq!(served.json("/api/v1/hub").await["closed"], json!({ "kicked": 1 }));
}

#[tokio::test]
async fn who_is_not_let_in_is_found_with_what_it_wished_to_be_called() {
    let served = serve(HubOptions::default(), usual());
    let _ann = served.node("Ann").await;
    let other = Node::builder().name("Ann").connect(format!("tcp://{}", served.address)).await;
    assert!(matches!(other, Err(ConnectError::Refused { reason: Reason::NameTaken, .. })));
    let path = "/api/v1/ends?reason=name_taken&let_in=no";
    let ends = served.until(path, |ends| ends["ends"] != json!([])).await;
    let end = &ends["ends"][0];
    assert_eq!((&end["name"], &end["address"]), (&json!("Ann"), &json!("127.0.0.1")));
    assert_eq!((&end["let_in"], &end["protocol"]), (&json!(false), &json!("native")));
    assert_eq!(served.json("/api/v1/ends?let_in=yes").await["ends"], json!([]));
}

#[tokio::test]
async fn who_is_asked_for_by_name_or_id_is_found_at_once() {
    let served = serve(HubOptions::default(), usual());
    let first = served.json("/api/v1/sessions").await;
    assert_eq!(first["total"], 0);
    // The list of this second is taken, and both have come since.
    let (ann, _bob) = (served.node("Ann").await, served.inside("Bob").await);
    let list = served.json("/api/v1/sessions?who=Ann").await;
    assert_eq!((&list["matched"], names(&list, "sessions")), (&json!(1), vec!["Ann".to_owned()]));
    let bobs = served.json("/api/v1/sessions?who=Bob").await;
    let id = bobs["sessions"][0]["id"].as_str().unwrap().to_uppercase();
    let path = format!("/api/v1/sessions?who={id}");
    assert_eq!(names(&served.json(&path).await, "sessions"), ["Bob"]);
    for nobody in ["ann", "An", "Ann%20", "00"] {
        let list = served.json(&format!("/api/v1/sessions?who={nobody}")).await;
        assert_eq!(list["matched"], 0, "{nobody}");
    }
    ann.close().await;
    served.until("/api/v1/hub", |hub| hub["sessions"] == 1).await;
    assert_eq!(served.json("/api/v1/sessions?who=Ann").await["matched"], 0);
}

#[tokio::test]
async fn the_owner_of_a_channel_that_is_closed_keeps_its_session() {
    let served = serve(HubOptions::default(), usual());
    let (ann, bob) = (served.node("Ann").await, served.node("Bob").await);
    let mut owner = ann.create("game", ChannelOptions::new()).await.unwrap();
    let mut member = bob.enter("game", EnterOptions::new()).await.unwrap();
    assert_eq!(served.ask("DELETE", "/api/v1/channels/game", MARK).await.status, 204);
    while let Some(event) = owner.next().await {
        if let OwnerEvent::Closed { reason } = event {
            assert_eq!(reason, Reason::Kicked);
        }
    }
    assert!(matches!(
        member.next().await,
        Some(MemberEvent::Ended { reason: Reason::Kicked }) | None
    ));
    // Both go on, and the name is free for either.
    let _again = ann.create("game", ChannelOptions::new()).await.unwrap();
    let _member = bob.enter("game", EnterOptions::new()).await.unwrap();
    assert_eq!(served.json("/api/v1/ends").await["ends"], json!([]));
}

#[tokio::test]
async fn what_lists_are_made_of_is_counted() {
    let served = serve(HubOptions::default(), usual());
    let mut nodes = Vec::new();
    for number in 0..200 {
        nodes.push(served.inside(&format!("{number:0>250}")).await);
    }
    // Nobody has looked.
    let before = served.server.hub().ledger.used();
    served.until("/api/v1/sessions", |list| list["total"] == 200).await;
    let listed = served.server.hub().ledger.used();
    assert!(listed - before > 200 * 250, "{before} and {listed}");
    // It is given back when nobody looks any more.
    let is_as_before =
        |hub: &Value| hub["memory_bytes"].as_u64() <= Some(before as u64 + 64 * 1024);
    served.until("/api/v1/hub", is_as_before).await;
}

#[tokio::test]
async fn channels_are_listed_shown_and_closed_whatever_their_names_are() {
    let rooms = vec![RoomOptions {
        name: ChannelName::new("declared").unwrap(),
        mode: Mode::Raw,
        members_max: Some(7),
    }];
    let served = serve(HubOptions { rooms, ..HubOptions::default() }, usual());
    let (ann, bob) = (served.node("Ann").await, served.node("Bob").await);
    let odd = b"\xff/..?%";
    let _owner = ann.create(odd, ChannelOptions::new()).await.unwrap();
    let mut member = bob.enter(odd, EnterOptions::new()).await.unwrap();
    let _dots = enter(&bob, "..").await;
    let _empty = enter(&bob, "").await;
    let mut declared = enter(&bob, "declared").await;
    let list = served.until("/api/v1/channels?sort=members", |list| list["total"] == 4).await;
    let key = |list: &Value, name: &str| {
        let rows = list["channels"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("{name}: {list}"))["key"].as_str().unwrap().to_owned()
    };
    assert_eq!(key(&list, "\u{fffd}/..?%"), "%FF%2F..%3F%25");
    assert_eq!((key(&list, ".."), key(&list, "")), (";..".to_owned(), ";".to_owned()));
    for (query, matched) in [
        ("kind=room", 3),
        ("kind=channel", 1),
        ("search=DECL", 1),
        ("search=..", 2),
        ("kind=room&sort=since&order=desc&limit=1&offset=1", 3),
    ] {
        let list = served.json(&format!("/api/v1/channels?{query}")).await;
        assert_eq!(list["matched"], matched, "{query}");
    }
    let detail = served.json("/api/v1/channels/%FF%2F..%3F%25").await;
    assert_eq!((&detail["room"], &detail["owner"]["name"]), (&json!(false), &json!("Ann")));
    assert_eq!(detail["members"]["total"], 1);
    assert_eq!(detail["members"]["items"][0]["name"], "Bob");
    assert_eq!(detail["members"]["items"][0]["number"], 0);
    let detail = served.json("/api/v1/channels/declared?offset=1&limit=1").await;
    let expected = json!({ "total": 1, "offset": 1, "items": [] });
    assert_eq!(detail["members"], expected);
    assert_eq!((&detail["declared"], &detail["members_max"]), (&json!(true), &json!(7)));
    assert_eq!((&detail["mode"], &detail["owner"]), (&json!("raw"), &Value::Null));
    for path in ["/api/v1/channels/;..", "/api/v1/channels/;", "/api/v1/channels/%FF%2F..%3F%25"] {
        assert_eq!(served.ask("GET", path, "").await.status, 200, "{path}");
        assert_eq!(served.ask("DELETE", path, MARK).await.status, 204, "{path}");
        assert_eq!(served.ask("GET", path, "").await.error().0, 404, "{path}");
        assert_eq!(served.ask("DELETE", path, MARK).await.error().0, 404, "{path}");
    }
    assert!(matches!(member.next().await, Some(MemberEvent::Ended { .. }) | None));
    // A room of the settings is emptied, and stays.
    assert_eq!(served.ask("DELETE", "/api/v1/channels/declared", MARK).await.status, 204);
    assert!(matches!(declared.next().await, Some(MemberEvent::Ended { .. }) | None));
    let detail = served.json("/api/v1/channels/declared").await;
    assert_eq!(detail["members"]["total"], 0);
    let long = "x".repeat(256);
    let answer = served.ask("GET", &format!("/api/v1/channels/{long}"), "").await;
    assert_eq!(answer.error().0, 400);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let served = serve(HubOptions::default(), usual());
    for (path, message) in [
        ("/api/v1/hub?x=1", "There is no parameter \"x\". There are none here."),
        ("/api/v1/sessions?sort=age", "sort is \"age\"; it has to be one of name, since"),
        ("/api/v1/sessions?limit=501", "it has to be a whole number from 1 to 500."),
        ("/api/v1/sessions?limit=5&limit=5", "\"limit\" is given twice."),
        ("/api/v1/channels?kind=all", "it has to be one of room, channel."),
        ("/api/v1/channels/lobby?sort=name", "There are offset, limit."),
        ("/api/v1/services?sort=name", "There are search, offset, limit."),
        ("/api/v1/ends?offset=1", "There are search, reason, let_in, limit."),
        ("/api/v1/history?x", "There is no parameter"),
        ("/api/v1/openapi.json?x", "There is no parameter"),
        ("/api/v1/access?x", "There is no parameter"),
        ("/api/v1/events?views=all", "a list of hub, sessions, channels, services, ends"),
        ("/api/v1/events?sessions.sort=age&views=sessions", "sessions.sort is \"age\""),
        ("/api/v1/events?sessions.age=1", "There is no parameter \"sessions.age\""),
        ("/api/v1/events?sessions.limit=1", "parameters for sessions, which views does not name"),
        ("/api/v1/events?session=Ann", "session is \"Ann\""),
        ("/api/v1/events?hub.limit=1", "There is no parameter \"hub.limit\""),
    ] {
        let (status, code, said) = served.ask("GET", path, "").await.error();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{path}");
        assert!(said.contains(message), "{path}: {said}");
    }
    let (status, code, _) = served.ask("GET", "/api/v1/nothing", "").await.error();
    assert_eq!((status, code.as_str()), (404, "not_found"));
    for (method, path, allow) in [
        ("POST", "/api/v1/hub", "GET,HEAD"),
        ("PUT", "/api/v1/sessions/1", "GET,HEAD,DELETE"),
        ("DELETE", "/api/v1/sessions", "GET,HEAD"),
        ("GET", "/api/v1/login", "POST"),
        ("OPTIONS", "/api/v1/hub", "GET,HEAD"),
    ] {
        let answer = served.ask(method, path, MARK).await;
        assert_eq!((answer.status, answer.error().1.as_str()), (405, "method_not_allowed"));
        assert_eq!(answer.header("Allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn a_head_is_that_of_the_answer() {
    let served = serve(HubOptions::default(), usual());
    for path in ["/", "/control/", "/control/app.js", "/api/v1/sessions", "/api/v1/access"] {
        let (whole, head) = (served.ask("GET", path, "").await, served.ask("HEAD", path, "").await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["Content-Length", "Content-Type", "Cache-Control", "ETag"] {
            assert_eq!(head.header(name), whole.header(name), "{path}");
        }
    }
    let head = served.ask("HEAD", "/api/v1/events", "").await;
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
}

#[tokio::test]
async fn the_past_is_told_second_by_second() {
    let served = serve(HubOptions::default(), usual());
    let _ann = served.node("Ann").await;
    let is_right = |history: &Value| {
        let points = history["points"].as_array().unwrap();
        points.last().is_some_and(|point| point["sessions"] == 1)
    };
    let history = served.until("/api/v1/history", is_right).await;
    assert_eq!(history["interval_ms"], 1000);
    assert!(history["at_ms"].as_u64() > Some(0));
    let points = history["points"].as_array().unwrap();
    assert_eq!(points.last().unwrap()["at_ms"], history["at_ms"]);
}
