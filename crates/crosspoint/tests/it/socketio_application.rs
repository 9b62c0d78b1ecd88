//! The program of a hub and its clients of Socket.IO.

use crate::socketio_common::{Plugin, hub_with_program};
use crosspoint::socketio::{Application, Args, ArgsError, Call, EmitError, StreamOptions};
use crosspoint::{ChannelName, Failure, Node, PeerError, Reason, Server, Shape};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PLACE: &str = r#"{"_placeholder":true,"num":0}"#;

#[tokio::test]
async fn a_client_acknowledges_with_any_number_of_arguments() {
    let (_hub, address, program) = hub_with_program().await;
    let mut ann = Plugin::named(address, "ann").await;
    for (answer, heard) in [("[]", "[]"), ("[[1]]", "[[1]]"), ("[1,{\"a\": 2}]", "[1,{\"a\": 2}]")]
    {
        let asking = program.ask("ann", "sum", Args::of(&[20, 22]).unwrap()).into_future();
        let asking = tokio::spawn(asking);
        let (id, array) = ann.asked().await;
        assert_eq!(array, r#"["sum",20,22]"#);
        ann.say(&format!("43{id}{answer}")).await;
        assert_eq!(asking.await.unwrap().unwrap().json(), heard);
    }
    // Attachments both ways, at any depth.
    let args = Args::raw(&format!(r#"[{{"deep":[{PLACE}]}},"x"]"#), vec!["\0a".into()]).unwrap();
    let asking = tokio::spawn(program.ask("ann", "keep", args).into_future());
    let (id, array) = ann.asked().await;
    assert_eq!(array, format!(r#"["keep",{{"deep":[{PLACE}]}},"x"]"#));
    assert_eq!(ann.bytes().await, b"\0a");
    ann.say(&format!("461-{id}[1,{PLACE}]")).await;
    ann.say_bytes(b"\xff").await;
    let answer = asking.await.unwrap().unwrap();
    assert_eq!((answer.get::<u8>(0).unwrap(), answer.bytes(1).unwrap()), (1, &b"\xff"[..].into()));
    ann.heard_all().await;
}

#[tokio::test]
async fn the_program_hears_why_no_acknowledgement_comes() {
    let (_hub, address, program) = hub_with_program().await;
    let missing = program.emit("nobody", "ev", Args::new()).await;
    assert_eq!(missing, Err(EmitError::NotConnected("nobody".to_owned())));
    let missing = program.ask("nobody", "ev", Args::new()).await;
    assert_eq!(missing, Err(EmitError::NotConnected("nobody".to_owned())));
    for event in ["disconnect", "TARGET_DISCONNECT", "", &"e".repeat(256)] {
        let wrong = program.emit("ann", event, Args::new()).await;
        assert_eq!(wrong, Err(EmitError::Event(event.to_owned())));
    }

    let mut ann = Plugin::named(address, "ann").await;
    let many = (0..11).fold(Args::new(), |args, _| args.with_bytes("x"));
    let wrong = program.emit("ann", "ev", many).await;
    assert_eq!(wrong, Err(ArgsError::TooManyAttachments(11).into()));

    let short = Duration::from_millis(1);
    let late = program.ask("ann", "slow", Args::new()).timeout(short).await;
    assert_eq!(late, Err(EmitError::TimedOut));
    let _slow = ann.asked().await;

    let asking = tokio::spawn(program.ask("ann", "ev", Args::new()).into_future());
    let _never = ann.asked().await;
    drop(ann);
    let gone = asking.await.unwrap();
    assert!(matches!(gone, Err(EmitError::Gone(_))), "{gone:?}");
    // The name is free, and whoever has it next is asked.
    let mut ann = loop {
        match program.client("ann").await.unwrap() {
            None => break Plugin::named(address, "ann").await,
            Some(_) => tokio::task::yield_now().await,
        }
    };
    program.emit("ann", "again", Args::new()).await.unwrap();
    assert_eq!(ann.text().await, r#"42["again"]"#);
}

#[tokio::test]
async fn events_to_one_client_come_in_their_order() {
    let (_hub, address, program) = hub_with_program().await;
    let mut ann = Plugin::named(address, "ann").await;
    let emitting = async {
        for number in 0..500 {
            program.emit("ann", "n", Args::of(&[number]).unwrap()).await.unwrap();
        }
    };
    let hearing = async {
        for number in 0..500 {
            assert_eq!(ann.text().await, format!(r#"42["n",{number}]"#));
        }
    };
    tokio::join!(emitting, hearing);
}

#[tokio::test]
async fn the_program_speaks_into_rooms_and_is_not_seen_there() {
    let (_hub, address, program) = hub_with_program().await;
    // Nobody is there.
    program.emit_room("lobby", "news", Args::new()).await.unwrap();
    let mut ann = Plugin::named(address, "ann").await;
    for round in 0..2 {
        ann.say(r#"421["JOIN_ROOM","lobby"]"#).await;
        assert_eq!(ann.text().await, "431[null]");
        let args = Args::of(&[round]).unwrap().with_bytes("b");
        program.emit_room("lobby", "news", args).await.unwrap();
        assert_eq!(ann.text().await, format!(r#"451-["news",{round},{PLACE}]"#));
        assert_eq!(ann.bytes().await, b"b");
        // The room ends with its last member, and the program hears of the next one of its name.
        ann.say(r#"422["LEAVE_ROOM","lobby"]"#).await;
        assert_eq!(ann.text().await, "432[null]");
    }
    assert_eq!(program.clients().await.unwrap(), ["ann"]);
    // Several tasks may speak at once.
    ann.say(r#"423["JOIN_ROOM","lobby"]"#).await;
    assert_eq!(ann.text().await, "433[null]");
    let emit = || program.emit_room("lobby", "both", Args::new());
    let (one, other) = tokio::join!(emit(), emit());
    one.and(other).unwrap();
    assert_eq!([ann.text().await, ann.text().await], [r#"42["both"]"#; 2]);
}

#[tokio::test]
async fn services_of_the_program_answer_until_they_are_withdrawn() {
    let (hub, address, program) = hub_with_program().await;
    let sum = |call: Call| async move {
        assert_eq!(call.from().name.as_deref(), Some("ann"));
        let (a, b): (i64, i64) = call.read()?;
        Ok(Args::of(&(a + b, "sum")).unwrap())
    };
    program.provide("sum", sum).await.unwrap();
    program.provide("fails", |_| async { Err(Failure::new(1000, "not today")) }).await.unwrap();
    program.provide("keep", |call: Call| async move { Ok(call.args().clone()) }).await.unwrap();

    let mut ann = Plugin::named(address, "ann").await;
    ann.say(r#"421["USE_API","sum",20,22]"#).await;
    assert_eq!(ann.text().await, r#"431[42,"sum"]"#);
    ann.say(r#"422["USE_API","sum","x"]"#).await;
    assert!(ann.text().await.starts_with(r#"42["SERVER_ERROR","Error: Client "#));
    ann.say(r#"423["USE_API","fails"]"#).await;
    assert!(ann.text().await.contains("not today (code 1000)"));
    ann.say(&format!(r#"451-4["USE_API","keep",{PLACE}]"#)).await;
    ann.say_bytes(b"\0").await;
    assert_eq!(ann.text().await, format!("461-4[{PLACE}]"));
    assert_eq!(ann.bytes().await, b"\0");
    // Clients cannot end it.
    ann.say(r#"42["DESTROY_API","sum"]"#).await;
    ann.say(r#"425["CHECK_API_NAME","sum"]"#).await;
    assert_eq!(ann.text().await, "435[true]");
    program.withdraw("sum").await.unwrap();
    ann.say(r#"426["CHECK_API_NAME","sum"]"#).await;
    assert_eq!(ann.text().await, "436[false]");

    // The program speaks to programs of the native protocol as well.
    let bob = Node::builder().name("bob").connect(hub.inside(Shape::default())).await.unwrap();
    bob.serve("plus", |(a, b): (i64, i64)| async move { Ok(a + b) });
    let answer = program.ask("bob", "plus", Args::of(&(1, 2)).unwrap()).await.unwrap();
    assert_eq!(answer.json(), "[3]");
    let refused = program.ask("bob", "minus", Args::new()).await;
    assert!(matches!(refused, Err(EmitError::Refused(Failure { code: 404, .. }))), "{refused:?}");
}

#[tokio::test]
async fn the_program_opens_a_stream_in_a_channel_and_a_slow_client_slows_it() {
    let (_hub, address, program) = hub_with_program().await;
    let mut ann = Plugin::named(address, "ann").await;
    let options = StreamOptions::new().channel("files").args(Args::of(&json!(["a.txt"])).unwrap());
    let opening = tokio::spawn({
        let program = program.clone();
        async move { program.open("ann", options).await }
    });
    let (id, array) = ann.asked().await;
    let (event, info): (String, serde_json::Value) = serde_json::from_str(&array).unwrap();
    assert_eq!((&*event, &info["argArray"]), ("CREATE_STREAM-CHANNEL-files", &json!(["a.txt"])));
    assert!(info["sourceClientId"].as_str().unwrap().ends_with("--server-side"), "{info}");
    assert_eq!(info["targetClientId"], "ann");
    ann.say(&format!("43{id}[]")).await;
    let mut stream = opening.await.unwrap().unwrap();

    // A chunk is on its way, and the window is full behind it: the writer waits.
    let data = vec![7; 1 << 20];
    let mut written = 0;
    let mut writing = std::pin::pin!(async {
        stream.write_all(&data).await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    });
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut writing).await;
    assert!(waits.is_err(), "a megabyte fits into no window");
    let taking = async {
        loop {
            let (id, array) = ann.asked().await;
            let is_chunk = array.contains("_placeholder");
            if is_chunk {
                written += ann.bytes().await.len();
            }
            ann.say(&format!("43{id}[]")).await;
            if !is_chunk {
                assert!(array.ends_with(",null]"), "{array}");
                break;
            }
        }
    };
    let (mut stream, ()) = tokio::join!(writing, taking);
    assert_eq!(written, data.len());
    // The other direction goes on.
    let (near, far) =
        (info["targetStreamId"].as_str().unwrap(), info["sourceClientId"].as_str().unwrap());
    let chunk = format!(r#""P2P_EMIT","{far}","P2P_EMIT_STREAM-from-stream-{near}""#);
    ann.say(&format!(r#"427[{chunk},["text"]]"#)).await;
    assert_eq!(ann.text().await, "437[]");
    ann.say(&format!("428[{chunk},[null]]")).await;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "text");
}

#[tokio::test]
async fn a_client_takes_no_stream_or_not_in_time() {
    let (hub, address, program) = hub_with_program().await;
    let mut ann = Plugin::named(address, "ann").await;
    let opening = program.open("ann", StreamOptions::new());
    let refusing = async {
        let (id, _) = ann.asked().await;
        ann.say(&format!(r#"43{id}["no room"]"#)).await;
    };
    let (refused, ()) = tokio::join!(opening, refusing);
    assert_eq!(
        refused.err(),
        Some(EmitError::Peer(PeerError::StreamRefused { code: 404, text: "no room".to_owned() }))
    );
    let hasty = Application::builder().stream_timeout(Duration::from_millis(1));
    let hasty = hasty.connect(hub.inside(Shape::default())).await.unwrap();
    let late = hasty.open("ann", StreamOptions::new()).await;
    assert_eq!(late.err(), Some(EmitError::Peer(PeerError::TimedOut)));
    let missing = program.open("nobody", StreamOptions::new()).await;
    assert_eq!(missing.err(), Some(EmitError::NotConnected("nobody".to_owned())));
}

#[tokio::test]
async fn a_client_opens_a_stream_to_the_program() {
    let (hub, address, program) = hub_with_program().await;
    let office = Node::builder().name("office");
    let office = Application::builder().node(office).connect(hub.inside(Shape::default()));
    let office = office.await.unwrap();
    let mut ann = Plugin::named(address, "ann").await;
    let open = |to: &str, id: u8| {
        let info = format!(
            r#"{{"sourceStreamId":"s{id}","targetStreamId":"t{id}","targetClientId":"{to}","channel":"up","argArray":[1]}}"#
        );
        format!(r#"42{id}["CREATE_STREAM",{info}]"#)
    };
    // Nobody takes streams yet.
    ann.say(&open("office", 1)).await;
    assert!(ann.text().await.starts_with(r#"431["Stream: "#));
    let mut streams = office.streams();
    ann.say(&open("office", 2)).await;
    let offer = streams.next().await.unwrap();
    assert_eq!(offer.from().name.as_deref(), Some("ann"));
    assert_eq!((offer.channel(), offer.args().unwrap().json()), ("up", "[1]".to_owned()));
    let mut stream = offer.accept();
    assert_eq!(ann.text().await, "432[]");
    ann.say(r#"423["P2P_EMIT","office","P2P_EMIT_STREAM-from-stream-s2",["hello"]]"#).await;
    assert_eq!(ann.text().await, "433[]");
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    stream.write_all(b"well").await.unwrap();
    let (id, array) = ann.asked().await;
    assert!(array.starts_with(r#"["P2P_EMIT_STREAM-from-stream-t2""#), "{array}");
    assert_eq!(ann.bytes().await, b"well");
    ann.say(&format!("43{id}[]")).await;
    drop(stream);
    assert_eq!(ann.text().await, r#"42["PEER_STREAM_DESTROYED","t2"]"#);

    ann.say(&open("office", 4)).await;
    streams.next().await.unwrap().refuse("not now");
    assert_eq!(ann.text().await, r#"434["Stream: not now"]"#);

    // To a service of a program without a name.
    program.provide("depot", |_| async { Ok(Args::new()) }).await.unwrap();
    let mut streams = program.streams();
    ann.say(&open("depot", 5)).await;
    let _stream = streams.next().await.unwrap().accept();
    assert_eq!(ann.text().await, "435[]");
    ann.say(r#"426["P2P_EMIT","depot","depot",[]]"#).await;
    assert_eq!(ann.text().await, "436[]");
}

#[tokio::test]
async fn the_program_looks_who_is_there() {
    let (hub, address, program) = hub_with_program().await;
    assert_eq!(program.clients().await.unwrap(), Vec::<String>::new());
    let _ann = Plugin::named(address, "ann").await;
    let _bob = Plugin::named(address, "bob").await;
    assert_eq!(program.clients().await.unwrap(), ["ann", "bob"]);
    let ann = program.client("ann").await.unwrap().unwrap();
    assert_eq!((ann.name.as_deref(), ann.protocol), (Some("ann"), "socketio"));
    assert_eq!(program.client("carl").await.unwrap(), None);
    program.close().await;
    assert_eq!(program.closed().await, Reason::Bye);
    hub.stop().await;
}

#[tokio::test]
async fn topics_of_the_program_reach_clients_of_version_1_5() {
    let (hub, address, program) = hub_with_program().await;
    let topic = program.topic("jobs", "new").await.unwrap();
    let _other = program.topic("jobs", "old").await.unwrap();
    let mut clients = Vec::new();
    let emit = |event: &str, name: &str, topic: &str| {
        let args = format!(r#"["{name}","{name}","{topic}"]"#);
        format!(r#"{{"targetClientId":"jobs","event":"{event}","args":{args}}}"#)
    };
    for name in ["ann", "bob"] {
        let path = format!("/socket.io/?clientId={name}&EIO=3&transport=websocket");
        let mut client = Plugin::open(address, &path).await;
        assert!(client.text().await.starts_with('0'));
        assert_eq!(client.text().await, "40");
        let wish = emit("SUBSCRIBE_TOPIC", name, "new");
        client.say(&format!(r#"421["P2P_EMIT_ACKNOWLEDGE",{wish}]"#)).await;
        assert_eq!(client.text().await, "431[]");
        clients.push(client);
    }
    let [ann, bob] = &mut clients[..] else { panic!() };
    topic.publish(Args::of(&[1]).unwrap()).await.unwrap();
    for client in [&mut *ann, &mut *bob] {
        let heard = client.text().await;
        assert_eq!(heard, r#"42["service:jobs:topic:new-DEFAULT_TOPIC_EVENT",1]"#);
    }
    // One that is not there.
    let wish = emit("SUBSCRIBE_TOPIC", "ann", "none");
    ann.say(&format!(r#"422["P2P_EMIT_ACKNOWLEDGE",{wish}]"#)).await;
    assert!(ann.text().await.contains("no topic none"));
    ann.say(&format!(r#"42["P2P_EMIT",{}]"#, emit("UNSUBSCRIBE_TOPIC", "ann", "new"))).await;
    let name = ChannelName::new("service:jobs:topic:new").unwrap();
    while clients_in(&hub, &name) > 1 {
        tokio::task::yield_now().await;
    }
    topic.publish(Args::of(&[2]).unwrap()).await.unwrap();
    let heard = bob.text().await;
    assert_eq!(heard, r#"42["service:jobs:topic:new-DEFAULT_TOPIC_EVENT",2]"#);
    topic.destroy().await.unwrap();
    assert_eq!(bob.text().await, r#"42["service:jobs:topic:new-TOPIC_BEING_DESTROYED"]"#);
    while clients_in(&hub, &name) > 0 {
        tokio::task::yield_now().await;
    }
    ann.heard_all().await;
    let wish = emit("SUBSCRIBE_TOPIC", "ann", "new");
    ann.say(&format!(r#"423["P2P_EMIT_ACKNOWLEDGE",{wish}]"#)).await;
    assert!(ann.text().await.contains("no topic new"));
}

/// How many are in a room, but for the program, which speaks there.
fn clients_in(hub: &Server, room: &ChannelName) -> usize {
    let members = hub.hub().channel_members(room).unwrap_or_default();
    members.iter().filter(|(_, member)| member.peer.protocol == "socketio").count()
}
