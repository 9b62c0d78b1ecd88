//! The AnySocket client against a real server made with the package from npm.

#[path = "../../examples/anysocket_client.rs"]
mod example;

use crate::anysocket_common::{LONG, Server, client, is_alive, large_text};
use crosspoint::anysocket::{
    Arg, Call, Client, ClientBuilder, ConnectError, Ended, Message, Peer, PeerError, Reply, Value,
    peer_id,
};
use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// A client that tells the messages it gets, and answers with `{"got":MESSAGE}`.
fn telling(builder: ClientBuilder) -> (ClientBuilder, mpsc::UnboundedReceiver<Value>) {
    let (told, messages) = mpsc::unbounded_channel();
    let builder = builder.on_message(move |message: Message| {
        let told = told.clone();
        async move {
            let value: Value = message.read().unwrap();
            let _ = told.send(value.clone());
            json!({ "got": value })
        }
    });
    (builder, messages)
}

/// The methods that the server of the convention has as well.
fn serving() -> ClientBuilder {
    client()
        .serve("hello", |call: Call| async move {
            let name: String = call.read(0)?;
            Ok::<_, PeerError>(format!("Hello {name}"))
        })
        .serve("nothing", |_| async { Ok::<_, PeerError>(()) })
        .serve("ns.deep.who", |call: Call| async move {
            Ok::<_, PeerError>(call.peer().peer_id().unwrap().to_string())
        })
        .serve("bytes.join", |call: Call| async move {
            let bytes: Option<Vec<_>> =
                call.params().iter().map(|param| param.clone().binary()).collect();
            bytes.map(|all| all.concat()).ok_or("bytes are needed")
        })
        .serve("fail", |_| async { Err::<(), _>("failed on purpose") })
        .serve("panics", |_| async {
            std::hint::black_box(None::<()>).expect("panics on purpose");
            Ok::<_, PeerError>(())
        })
}

fn clock_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

#[tokio::test]
async fn the_server_decides_by_the_auth_value_whom_to_let_in() {
    let server = Server::start();
    let peer = server.client().await;
    assert!(peer.peer_id().is_some() && !peer.is_proxied());
    is_alive(&peer).await;
    for refused in [Client::builder(), Client::builder().auth(json!({"sesame": "open"}))] {
        let error = refused.timeout(LONG).connect(&server.address()).await.unwrap_err();
        let ConnectError::Refused { ended: Ended::There, .. } = error else { panic!("{error}") };
    }
    // And the client by the server's id.
    let id = peer.id().clone();
    let refused = client().accept_if(move |server, auth| *server != id || auth.is_some());
    let error = refused.connect(&server.address()).await.unwrap_err();
    let ConnectError::Refused { ended: Ended::Refused, .. } = error else { panic!("{error}") };
    is_alive(&peer).await;
}

#[tokio::test]
async fn every_value_comes_back_and_falsy_ones_as_the_original_sends_them() {
    let server = Server::start();
    let peer = server.client().await;
    for value in [
        json!({"hello": "world"}),
        json!("text"),
        json!(-1.5e300),
        json!(true),
        json!([1, "a", null]),
        json!({"text": "zw\u{f6}lf \u{20ac} \u{6f22} \0\u{1f} \"quoted\" \\ \u{1f3b2}", "": [[{}]]}),
    ] {
        assert_eq!(peer.request(&value).await.unwrap(), value);
    }
    for falsy in [json!(0), json!(""), json!(false), json!(null)] {
        assert_eq!(peer.request(&falsy).await.unwrap(), json!({}));
    }
    // A server made with the package understands them, though it cannot say them.
    let honest = server.connect(client().keep_falsy(true)).await;
    assert_eq!(honest.request(&json!([0])).await.unwrap(), json!([0]));
    let said = honest.request(&json!({"do": "send", "value": 0})).await.unwrap();
    assert_eq!(said, json!({"ok": true}));
    assert_eq!(honest.request(&json!(0)).await.unwrap(), json!({}));
}

#[tokio::test]
async fn replies_find_their_requests_and_a_late_one_fails_nothing_else() {
    let server = Server::start();
    let peer = server.client().await;
    let held = (1..=20).map(|value: u32| {
        tokio::spawn(peer.request(&json!({"do": "hold", "value": value})).into_future())
    });
    let held: Vec<_> = held.collect();
    // The others are sent before this one, and stay when it is given up.
    let late = peer.request(&json!({"do": "silence"})).timeout(Duration::from_millis(50)).await;
    assert!(matches!(late, Err(PeerError::TimedOut)));
    let released = peer.request(&json!({"do": "release"})).await.unwrap();
    assert_eq!(released, json!({"released": 20}));
    for (value, held) in (1..=20).zip(held) {
        assert_eq!(held.await.unwrap().unwrap(), json!(value));
    }
    // A reply that comes too late is dropped.
    let late = peer.request(&json!({"do": "hold", "value": 1})).timeout(Duration::from_millis(1));
    assert!(matches!(late.await, Err(PeerError::TimedOut)));
    peer.request(&json!({"do": "release"})).await.unwrap();
    is_alive(&peer).await;
}

/// Everything that can be asked of a server, encrypted or not.
async fn converse(peer: &Peer) {
    let call = async |method, params: Vec<Arg>| peer.call(method, params).await;
    assert_eq!(call("hello", vec!["Rust".into()]).await.unwrap(), "Hello Rust".into());
    assert_eq!(call("nothing", vec![]).await.unwrap(), ().into());
    assert_eq!(peer.call("ns.sum", [1, 2, 3]).await.unwrap(), 6.into());
    let own = peer.own_id().to_string();
    assert_eq!(peer.call("ns.deep.who", Arg::NONE).await.unwrap(), own.into());
    let joined = call("bytes.join", vec![vec![0, 0xff].into(), vec![7; 100_000].into()]).await;
    let joined = joined.unwrap().binary().unwrap();
    assert_eq!((joined.len(), &joined[..3]), (100_002, &[0, 0xff, 7][..]));
    assert_eq!(call("bytes.sum", vec![vec![1, 2, 0xff].into()]).await.unwrap(), 258.into());
    let value = json!({"\u{f6}": [null, 1.5]});
    assert_eq!(call("same", vec![value.clone().into()]).await.unwrap(), value.into());
    let failure = async |method| match peer.call(method, Arg::NONE).await {
        Err(PeerError::Failed(failure)) => (failure.error, failure.code),
        other => panic!("{other:?}"),
    };
    assert_eq!(failure("fail.thrown").await, (json!("thrown on purpose"), 500));
    assert_eq!(failure("fail.rejected").await, (json!("rejected on purpose"), 500));
    assert_eq!(failure("no.such").await, (json!("Method not found!"), 404));
    let time = peer.clock().await.unwrap();
    assert!(time.round_trip_ms >= 0.0 && time.offset_ms.abs() < 5000.0, "{time:?}");
    assert_eq!(peer.request(&value_of_all()).await.unwrap(), value_of_all());
}

fn value_of_all() -> Value {
    json!({"many": (0..100).map(|number| json!([number, "\u{20ac}"])).collect::<Vec<_>>()})
}

/// The same, asked for by the server.
async fn converse_from_server(peer: &Peer, messages: &mut mpsc::UnboundedReceiver<Value>) {
    let order = async |order: Value| peer.request(&order).await.unwrap();
    let said = order(json!({"do": "send", "value": {"hello": "client"}})).await;
    assert_eq!(said, json!({"ok": true}));
    assert_eq!(messages.recv().await, Some(json!({"hello": "client"})));
    let asked = order(json!({"do": "ask", "value": "how are you?"})).await;
    assert_eq!(asked, json!({"answer": {"got": "how are you?"}}));
    assert_eq!(messages.recv().await, Some(json!("how are you?")));
    let called = async |method: &[&str], params: Value, bin: Value| {
        order(json!({"do": "call", "method": method, "params": params, "bin": bin})).await
    };
    let result = |value: Value| json!({"result": value, "bin": false});
    let hello = called(&["hello"], json!(["server"]), json!([])).await;
    assert_eq!(hello, result(json!("Hello server")));
    let who = called(&["ns", "deep", "who"], json!([]), json!([])).await;
    assert_eq!(who, result(json!(peer.peer_id().unwrap().to_string())));
    assert_eq!(called(&["nothing"], json!([]), json!([])).await, result(json!(null)));
    let joined = called(&["bytes", "join"], json!(["AP8=", "Yg=="]), json!([0, 1])).await;
    assert_eq!(joined, json!({"result": "AP9i", "bin": true}));
    let error = async |method: &[&str]| {
        let answer = called(method, json!([]), json!([])).await;
        (answer["error"]["error"].clone(), answer["error"]["code"].clone())
    };
    assert_eq!(error(&["fail"]).await, (json!("failed on purpose"), json!(500)));
    assert_eq!(error(&["panics"]).await, (json!("the method panicked"), json!(500)));
    assert_eq!(error(&["no", "such"]).await, (json!("Method not found!"), json!(404)));
    assert_eq!(error(&["ns", "deep"]).await, (json!("Method not found!"), json!(404)));
    let time = order(json!({"do": "time"})).await;
    assert!((time["time"].as_f64().unwrap() - clock_ms()).abs() < 5000.0, "{time}");
}

/// A client that serves and tells.
async fn client_of(server: &Server) -> (Peer, mpsc::UnboundedReceiver<Value>) {
    let (builder, messages) = telling(serving());
    (server.connect(builder).await, messages)
}

#[tokio::test]
async fn both_sides_call_each_other_in_clear() {
    let server = Server::start();
    let (peer, mut messages) = client_of(&server).await;
    assert_eq!(peer.secured(), None);
    converse(&peer).await;
    converse_from_server(&peer, &mut messages).await;
}

#[tokio::test]
async fn both_sides_call_each_other_encrypted_whoever_starts_it() {
    let server = Server::start();
    let (peer, mut messages) = client_of(&server).await;
    let fingerprint = peer.secure().await.unwrap();
    assert_eq!(peer.secured(), Some(fingerprint));
    assert_eq!(peer.secure().await.unwrap(), fingerprint);
    converse(&peer).await;
    converse_from_server(&peer, &mut messages).await;

    let (peer, mut messages) = client_of(&server).await;
    assert_eq!(peer.request(&json!({"do": "switch"})).await.unwrap(), json!({"ok": true}));
    while peer.secured().is_none() {
        is_alive(&peer).await;
    }
    converse(&peer).await;
    converse_from_server(&peer, &mut messages).await;
}

#[tokio::test]
async fn what_is_sent_right_behind_the_call_for_encryption_arrives() {
    let server = Server::start();
    let (peer, _messages) = client_of(&server).await;
    let (secured, ()) = tokio::join!(peer.secure(), converse(&peer));
    secured.unwrap();
    converse(&peer).await;
}

#[tokio::test]
async fn values_of_3_mib_travel_both_ways() {
    let server = Server::start();
    let (builder, mut messages) = telling(client());
    let peer = server.connect(builder).await;
    let text = json!(large_text(3 << 20));
    for _ in 0..2 {
        let (before, large, after) = tokio::join!(
            peer.request("before").into_future(),
            peer.request(&text).into_future(),
            peer.request("after").into_future(),
        );
        assert_eq!((before.unwrap(), after.unwrap()), (json!("before"), json!("after")));
        assert!(large.unwrap() == text, "the same text comes back");
        let said = peer.request(&json!({"do": "send", "value": text})).await.unwrap();
        assert_eq!(said, json!({"ok": true}));
        assert!(messages.recv().await.unwrap() == text, "the same text is sent");
        // And the same encrypted.
        peer.secure().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_lost_before_a_close_and_messages_stay_in_order() {
    let server = Server::start();
    let (builder, mut messages) = telling(client());
    let hearer = server.connect(builder).await;
    // The server knows it.
    is_alive(&hearer).await;
    for encrypted in [false, true] {
        let speaker = server.client().await;
        if encrypted {
            speaker.secure().await.unwrap();
        }
        for number in 0..2000 {
            speaker.send(&json!({"do": "broadcast", "value": {"number": number}})).await.unwrap();
        }
        speaker.close().await;
        assert!(matches!(speaker.closed().await, Ended::Here));
        assert!(matches!(speaker.send("late").await, Err(PeerError::Ended(Ended::Here))));
        for number in 0..2000 {
            assert_eq!(messages.recv().await, Some(json!({"number": number})));
        }
    }
}

#[tokio::test]
async fn dropping_the_last_handle_closes_after_everything_is_written() {
    let server = Server::start();
    let (builder, mut messages) = telling(client());
    let hearer = server.connect(builder).await;
    is_alive(&hearer).await;
    let speaker = server.client().await;
    speaker.send(&json!({"do": "broadcast", "value": large_text(100_000)})).await.unwrap();
    drop(speaker);
    assert_eq!(messages.recv().await, Some(json!(large_text(100_000))));
}

#[tokio::test]
async fn the_end_is_told_with_its_reason_and_fails_what_waits() {
    let server = Server::start();
    let peer = server.client().await;
    let pending = peer.request(&json!({"do": "silence"}));
    let (pending, ended, ()) = tokio::join!(pending.into_future(), peer.closed(), async {
        peer.send(&json!({"do": "disconnect"})).await.unwrap();
    });
    assert!(matches!(pending, Err(PeerError::Ended(Ended::There))), "{pending:?}");
    assert!(matches!(ended, Ended::There));
    assert!(matches!(peer.call("hello", ["x"]).await, Err(PeerError::Ended(Ended::There))));
    assert!(matches!(peer.secure().await, Err(PeerError::Ended(Ended::There))));
    assert!(peer.accept().await.is_none());
    peer.close().await;

    let peer = server.client().await;
    drop(server);
    assert!(matches!(peer.closed().await, Ended::There | Ended::Broken(_)));
}

#[tokio::test]
async fn an_id_is_used_by_one_client_at_a_time() {
    let server = Server::start();
    let id = peer_id("c1c1c1c112344abc8def0011223300e9").unwrap();
    let first = server.connect(client().id(id)).await;
    is_alive(&first).await;
    // The original says yes before it closes.
    let second = server.connect(client().id(id)).await;
    assert!(matches!(second.closed().await, Ended::There));
    is_alive(&first).await;
    first.close().await;
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < LONG);
        // The server may not have heard yet that the first is gone.
        let again = server.connect(client().id(id)).await;
        if again.request("here").await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_message_handler_may_be_set_later_and_may_say_nothing() {
    let server = Server::start();
    let peer = server.client().await;
    let (told, mut messages) = mpsc::unbounded_channel();
    peer.on_message(move |message: Message| {
        let told = told.clone();
        async move {
            told.send(message.json().text().to_owned()).unwrap();
            Reply::from(())
        }
    });
    peer.serve("hello", |_| async { Ok::<_, PeerError>("late") });
    peer.request(&json!({"do": "send", "value": [1]})).await.unwrap();
    assert_eq!(messages.recv().await.as_deref(), Some("[1]"));
    let order = json!({"do": "call", "method": ["hello"], "params": []});
    assert_eq!(peer.request(&order).await.unwrap(), json!({"result": "late", "bin": false}));
}

#[tokio::test]
async fn addresses_that_cannot_be_are_told_from_servers_that_are_not_there() {
    for wrong in ["tls://127.0.0.1:1", "tcp://127.0.0.1:1", "http://127.0.0.1:1/", ""] {
        let error = client().connect(wrong).await.unwrap_err();
        assert!(matches!(error, ConnectError::Address(_)), "{error}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client().connect(&format!("ws://{free}/")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_example_speaks_with_the_server() {
    let server = Server::start();
    let seen = example::run(&server.address(), "open sesame").await.unwrap();
    let failure = "the call failed: Method not found! (method: 'no,such', code 404)";
    assert_eq!(seen, [r#"answer {"how":"are you?"}"#, "Rust and JavaScript", failure]);
}
