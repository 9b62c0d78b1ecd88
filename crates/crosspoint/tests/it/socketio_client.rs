//! Clients of Socket.IO against a hub inside the test, on virtual time.

use crosspoint::socketio::client::{
    Args, Binary, Client, ClientBuilder, ConnectError, Ended, Event, Generation, Notice, Revision,
    SendError, Socket, SocketError, Status, Stream, StreamOptions, Transports,
};
use crosspoint::{HubOptions, Server, Shape};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

fn hub() -> Server {
    Server::new(HubOptions::default())
}

fn client(name: &str) -> ClientBuilder {
    Client::builder().client_id(name)
}

/// What says everywhere the same: both revisions, over each transport.
const WAYS: [(Revision, Transports); 6] = [
    (Revision::Three, Transports::WebSocket),
    (Revision::Three, Transports::Requests),
    (Revision::Three, Transports::Both),
    (Revision::Four, Transports::WebSocket),
    (Revision::Four, Transports::Requests),
    (Revision::Four, Transports::Both),
];

async fn connect(hub: &Server, builder: ClientBuilder) -> Socket {
    builder.connect(hub.inside(Shape::default())).await.unwrap()
}

/// Tells what it gets, and a handler that tells it.
fn telling<T: Send + 'static>() -> (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>) {
    mpsc::unbounded_channel()
}

fn echoing(builder: ClientBuilder) -> ClientBuilder {
    builder.on("echo", |event: Event| async move {
        let args = event.args().clone();
        event.ack(&args).await
    })
}

#[tokio::test(start_paused = true)]
async fn events_go_both_ways_over_each_transport() {
    let hub = hub();
    for (revision, transports) in WAYS {
        let with = |name| client(name).revision(revision).transports(transports);
        let (told, mut heard) = telling();
        let ann = echoing(with("ann")).on("note", move |event: Event| {
            let told = told.clone();
            async move { told.send(event.read::<(u32, Binary)>().unwrap()).unwrap() }
        });
        let ann = connect(&hub, ann).await;
        let bob = connect(&hub, with("bob")).await;
        let value = json!({"text": "zw\u{f6}lf \u{1f3b2}", "list": [1, null, -2.5, {}]});
        let said = (value.clone(), Binary::from(vec![0u8, 255]), "", Binary::default());
        let heard_again = bob.emit_to_with_ack("ann", "echo", &said).await.unwrap();
        assert_eq!(heard_again, Args::of(&said).unwrap(), "{revision:?} {transports:?}");
        let (again, bytes, ..): (Value, Binary, String, Binary) = heard_again.read().unwrap();
        assert_eq!((again, &bytes.0[..]), (value, &[0, 255][..]));
        for number in 0..200 {
            bob.emit_to("ann", "note", &(number, Binary::from(vec![1u8; 100]))).await.unwrap();
        }
        for number in 0..200 {
            assert_eq!(heard.recv().await.unwrap().0, number, "{revision:?} {transports:?}");
        }
        let (told, mut heard) = telling();
        ann.on("large", move |event: Event| {
            let told = told.clone();
            async move { told.send(event.get::<Binary>(0).unwrap().0.len()).unwrap() }
        });
        bob.emit_to("ann", "large", &Binary::from(vec![7u8; 500_000])).await.unwrap();
        assert_eq!(heard.recv().await, Some(500_000));
        assert_eq!(bob.clients().await.unwrap(), ["ann", "bob"]);
        bob.close().await;
        while ann.is_client_connected("bob").await.unwrap() {}
        ann.close().await;
        assert!(matches!(ann.closed().await, Ended::Here));
    }
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_connection_and_a_hub_that_is_gone_is_noticed() {
    let hub = hub();
    for (revision, transports) in WAYS {
        let ann = connect(&hub, client("ann").revision(revision).transports(transports)).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(matches!(ann.status(), Status::Connected { .. }), "{revision:?} {transports:?}");
        assert_eq!(ann.clients().await.unwrap(), ["ann"]);
        ann.close().await;
    }
    let (told, mut heard) = telling();
    let ann = client("ann").reconnection(None).on_notice(move |notice: Notice| {
        let told = told.clone();
        async move { told.send(notice).unwrap() }
    });
    let ann = connect(&hub, ann).await;
    assert!(matches!(heard.recv().await, Some(Notice::Connected { .. })));
    hub.stop().await;
    assert!(matches!(ann.closed().await, Ended::There | Ended::Disconnected));
    assert!(matches!(heard.recv().await, Some(Notice::Disconnected(_))));
    let error = ann.emit("x", &()).await.unwrap_err();
    assert!(matches!(error, SocketError::Closed(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn rooms_services_and_targets() {
    let hub = hub();
    let (told, mut heard) = telling();
    let telling_all = |name: &'static str| {
        let told = told.clone();
        let noting = told.clone();
        client(name)
            .on_any(move |event: Event| {
                let told = told.clone();
                let text = format!("{name} hears {} {}", event.name(), event.args().json());
                async move { told.send(text).unwrap() }
            })
            .on_notice(move |notice: Notice| {
                let told = noting.clone();
                async move {
                    let text = match notice {
                        Notice::Connected { .. } => return,
                        Notice::Disconnected(_) => return,
                        Notice::TargetAdded { id } => format!("{name} is a target of {id}"),
                        Notice::TargetGone { id } => format!("{name} has lost {id}"),
                        Notice::ServerError(text) => format!("{name}: {text}"),
                        other => format!("{other:?}"),
                    };
                    told.send(text).unwrap();
                }
            })
    };
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(telling_all);
    let (ann, bob) = (connect(&hub, ann).await, connect(&hub, bob).await);
    let cat = connect(&hub, cat).await;
    ann.join_room("lobby").await.unwrap();
    bob.join_room("lobby").await.unwrap();
    bob.clients().await.unwrap();
    ann.emit_room("lobby", "news", &(json!({"n": 1}), "two")).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), r#"bob hears news [{"n":1},"two"]"#);
    bob.leave_room("lobby").await.unwrap();
    bob.clients().await.unwrap();
    cat.emit_room("lobby", "news", "again").await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), r#"ann hears news ["again"]"#);

    let serve = |event: Event| async move {
        let (a, b): (i64, i64) = event.read()?;
        event.ack(&(a + b)).await
    };
    bob.provide_service("sum", serve).await.unwrap();
    let again = cat.provide_service("sum", |_| async {}).await;
    assert!(matches!(again, Err(SocketError::ServiceExists(name)) if name == "sum"));
    while !ann.has_service("sum").await.unwrap() {}
    let sum = ann.call_service("sum", &(2, 3)).await.unwrap();
    assert_eq!(sum.value::<i64>().unwrap(), 5);
    let missing = ann.call_service("missing", &()).await;
    assert!(matches!(missing, Err(SocketError::NoService(name)) if name == "missing"));
    bob.destroy_service("sum").await.unwrap();
    while ann.has_service("sum").await.unwrap() {}

    ann.add_target("cat").await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), "cat is a target of ann");
    let refused = ann.add_target("nobody").await.unwrap_err().to_string();
    assert!(refused.contains("nobody is not connected"), "{refused}");
    cat.close().await;
    assert_eq!(heard.recv().await.unwrap(), "ann has lost cat");
    ann.emit_to("cat", "x", &()).await.unwrap();
    let error = heard.recv().await.unwrap();
    assert!(error.starts_with("ann: Error: Core: Client cat is not connected"), "{error}");
    // An answer that does not come has no deadline, and a question that is given up is forgotten.
    let nobody = ann.emit_to_with_ack("bob", "unheard", &());
    assert!(timeout(Duration::from_secs(86_400), nobody).await.is_err());
    assert_eq!(heard.recv().await.unwrap(), "bob hears unheard []");
    assert!(matches!(ann.emit("connect", &()).await, Err(SocketError::Send(SendError::Reserved))));
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn streams_carry_bytes_and_a_slow_reader_slows_the_writer() {
    let hub = hub();
    let (told, mut taken) = telling::<Stream>();
    let taker = told.clone();
    let ann = client("ann")
        .on_stream(move |stream: Stream| {
            let told = told.clone();
            async move { told.send(stream).unwrap() }
        })
        .on_stream_in("logs", move |stream: Stream| {
            let told = taker.clone();
            async move { told.send(stream).unwrap() }
        });
    let ann = connect(&hub, ann).await;
    let bob = connect(&hub, client("bob")).await;
    let options = StreamOptions::new().channel("logs").args(&("x", 5, Binary::from(vec![1u8])));
    let mut near = bob.open_stream_with("ann", options).await.unwrap();
    let mut far = taken.recv().await.unwrap();
    assert_eq!((far.peer(), far.channel()), ("bob", Some("logs")));
    let (text, number, bytes): (String, u8, Binary) = far.args().read().unwrap();
    assert_eq!((&*text, number, &bytes.0[..]), ("x", 5, &[1][..]));

    let large: Vec<u8> = (0..1_000_000u32).map(|at| (at * 7 % 251) as u8).collect();
    let all = large.clone();
    let writing = tokio::spawn(async move {
        near.write_all(&all).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    // What nobody reads is little, however long it takes.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert!(!writing.is_finished());
    let mut read = Vec::new();
    far.read_to_end(&mut read).await.unwrap();
    assert!(read == large);
    let mut near = writing.await.unwrap();
    far.write_all(b"back").await.unwrap();
    let mut back = [0; 4];
    near.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"back");
    far.flush().await.unwrap();
    drop(far);
    let error = near.read(&mut back).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");

    // Dropped after its end was said, what was written still arrives.
    let mut near = bob.open_stream("ann").await.unwrap();
    let mut far = taken.recv().await.unwrap();
    near.write_all(b"the end").await.unwrap();
    near.shutdown().await.unwrap();
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "the end");

    let refused = bob.open_stream("nobody").await.unwrap_err().to_string();
    assert_eq!(refused, "refused: Stream: Client nobody is not connected to server");
    let options = StreamOptions::new().channel("unknown");
    let unheard = bob.open_stream_with("ann", options).await;
    assert!(matches!(unheard, Err(SocketError::TimedOut(after)) if after.as_secs() == 10));
    let mut last = bob.open_stream("ann").await.unwrap();
    ann.close().await;
    drop(taken);
    let error = last.read(&mut back).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_generation_pairs() {
    let hub = hub();
    let first = |name| client(name).generation(Generation::First);
    let (told, mut heard) = telling();
    let ann = echoing(first("ann"))
        .on_notice(move |notice: Notice| {
            let told = told.clone();
            async move {
                match notice {
                    Notice::Paired { id } => told.send(format!("paired with {id}")).unwrap(),
                    Notice::Unpaired { id } => told.send(format!("without {id}")).unwrap(),
                    _ => {}
                }
            }
        })
        .on_stream(|mut stream: Stream| async move {
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await?;
            bytes.reverse();
            stream.write_all(&bytes).await?;
            stream.flush().await
        });
    let ann = connect(&hub, ann).await;
    let bob = connect(&hub, first("bob")).await;
    let cat = connect(&hub, first("cat")).await;
    assert!(bob.pair("ann").await.unwrap());
    assert_eq!(heard.recv().await.unwrap(), "paired with bob");
    assert!(!cat.pair("ann").await.unwrap());
    assert_eq!((ann.paired_with(), bob.paired_with()), (Some("bob".into()), Some("ann".into())));
    let again = bob.emit_to_with_ack("ann", "echo", &(1, Binary::from(vec![2u8]))).await.unwrap();
    assert_eq!(again.len(), 2);
    let mut stream = bob.open_stream("ann").await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"olleh");
    assert!(matches!(
        cat.open_stream("ann").await,
        Err(SocketError::Send(SendError::Paired(false)))
    ));
    bob.unpair().await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), "without bob");
    assert!(stream.read(&mut back).await.is_err());
    assert!(cat.pair("ann").await.unwrap());
    cat.close().await;
    assert_eq!(heard.recv().await.unwrap(), "paired with cat");
    assert_eq!(heard.recv().await.unwrap(), "without cat");
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_handler_is_bounded_and_nothing_is_lost() {
    let hub = hub();
    let (told, mut heard) = telling();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let gated = gate.clone();
    let ann = client("ann").handling_max(10, 1 << 20).on("count", move |event: Event| {
        let (told, gate) = (told.clone(), gated.clone());
        async move {
            gate.acquire().await.unwrap().forget();
            told.send(event.get::<u32>(0).unwrap()).unwrap();
        }
    });
    let ann = connect(&hub, ann).await;
    let bob = connect(&hub, client("bob")).await;
    for count in 0..5000u32 {
        bob.emit_to("ann", "count", &count).await.unwrap();
    }
    bob.clients().await.unwrap();
    gate.add_permits(5000);
    for count in 0..5000 {
        assert_eq!(heard.recv().await, Some(count));
    }
    assert!(matches!(ann.status(), Status::Connected { .. }));
    // A handler that takes longer than the heartbeat costs the connection.
    for count in 0..20u32 {
        bob.emit_to("ann", "count", &count).await.unwrap();
    }
    bob.clients().await.unwrap();
    let asked = ann.emit_to_with_ack("bob", "unheard", &());
    let error = asked.await.unwrap_err();
    assert!(matches!(error, SocketError::Abandoned), "{error}");
    gate.add_permits(20);
    ann.connected().await.unwrap();
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_client_of_the_name_is_put_out_and_does_not_come_back() {
    let hub = hub();
    let ann = connect(&hub, echoing(client("ann"))).await;
    let second = connect(&hub, client("ann")).await;
    assert!(matches!(second.closed().await, Ended::Disconnected));
    let error = second.clients().await.unwrap_err();
    assert!(matches!(error, SocketError::Closed(Ended::Disconnected)), "{error}");
    let refused = Client::builder()
        .namespace("unknown")
        .connect(hub.inside(Shape::default()))
        .await
        .unwrap_err();
    let ConnectError::Ended { ended: Ended::Refused(why), .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!(why, "Invalid namespace");
    ann.clients().await.unwrap();
    hub.stop().await;
    let gone = client("ann").connect(hub.inside(Shape::default())).await.unwrap_err();
    assert!(matches!(gone, ConnectError::Unreachable { .. }), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_leaves_the_hub() {
    let hub = hub();
    let bob = connect(&hub, client("bob")).await;
    let ann = connect(&hub, client("ann")).await;
    drop(ann.clone());
    assert!(bob.is_client_connected("ann").await.unwrap());
    ann.emit("last words", &()).await.unwrap();
    drop(ann);
    while bob.is_client_connected("ann").await.unwrap() {}
    hub.stop().await;
}
