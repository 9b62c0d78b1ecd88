//! What sessions of Socket.IO do beyond the recorded conversations, and what strangers can do to them.

use crate::common::World;
use crate::common::speaker::Speaker;
use crate::socketio_common::Message;
use crosspoint_gateways::engineio::Revision::{Four, Three};
use crosspoint_gateways::socketio::server::{Options, Start};
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, ChannelOptions, Command, DirectoryCommand, EnterOptions, Event,
    Peer, Target,
};
use crosspoint_hub::payload::{Ask, Failure, Format, Payload};
use crosspoint_hub::wire::Part;
use crosspoint_hub::{ChannelName, HubOptions, OwnedChannelId, PeerId, PeerName, Reason};
use std::time::Duration;

fn world() -> World {
    World::new(HubOptions::default())
}

/// What a client hears that was told of nothing but a mistake.
fn is_error(heard: &[String]) -> bool {
    matches!(heard, [one] if one.starts_with(r#"42["SERVER_ERROR","Error: "#))
}

#[test]
fn everything_happens_in_the_order_in_which_the_client_says_it() {
    let mut world = world();
    let [ann, bob] = ["ann", "bob"].map(|name| world.plugin(Four, name));
    world.tell(bob, r#"42["JOIN_ROOM","r",null]"#);
    let said = [
        r#"42["P2P_EMIT","bob","one",[1],null]"#,
        r#"42["EMIT_ROOM","r","two",2]"#,
        r#"42["P2P_EMIT","nobody","lost",[],null]"#,
        r#"42["P2P_EMIT","bob","three",[3],null]"#,
        r#"42["JOIN_ROOM","other",null]"#,
        r#"42["EMIT_ROOM","r","four"]"#,
        r#"42["P2P_EMIT","bob","five",[5],null]"#,
    ];
    for message in said {
        world.queue(ann, true, message.as_bytes());
    }
    world.run(ann);
    let heard = world.texts(bob);
    let expected = [
        r#"42["one",1]"#,
        r#"42["two",2]"#,
        r#"42["three",3]"#,
        r#"42["four"]"#,
        r#"42["five",5]"#,
    ];
    assert_eq!(heard, expected);
    let error = r#"42["SERVER_ERROR","Error: Core: Client nobody is not connected to server"]"#;
    assert_eq!(world.texts(ann), [error]);
}

#[test]
fn an_answer_counts_once_and_from_the_one_who_was_asked() {
    let mut world = world();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| world.plugin(Four, name));
    world.tell(ann, r#"4211["P2P_EMIT","bob","ask",[]]"#);
    world.tell(ann, r#"42["P2P_EMIT","eve","hello",[],null]"#);
    let asked = world.texts(bob);
    let id = asked[0].strip_prefix("42").unwrap().strip_suffix(r#"["ask"]"#).unwrap();
    assert_eq!(world.texts(eve), [r#"42["hello"]"#]);
    // Whatever number she guesses, it is for her own links.
    for number in 0..64_u64 {
        world.tell(eve, &*format!(r#"43{number}["forged"]"#));
        world.tell(eve, &*format!(r#"43{}["forged"]"#, number << 21));
    }
    world.tell(eve, &*format!(r#"43{}["forged"]"#, u64::from(u32::MAX) << 21));
    assert_eq!(world.texts(ann), [""; 0]);
    world.tell(bob, &*format!(r#"43{id}["yes",{{"a":[1]}}]"#));
    world.tell(bob, &*format!(r#"43{id}["again"]"#));
    assert_eq!(world.texts(ann), [r#"4311["yes",{"a":[1]}]"#]);
    assert_eq!(world.closed(eve), None);
}

#[test]
fn acknowledgements_wait_for_as_long_as_both_are_there_and_are_bounded_in_number() {
    let mut world = world();
    let bob = world.plugin(Three, "bob");
    let options = Options { acks_max: 3, ..Options::new(world.hub.limits.clone()) };
    let start = Start { client_id: Some("ann".into()), ..Start::default() };
    let ann = world.socketio_with(Three, options, start);
    world.texts(ann);
    for number in 0..4 {
        world.tell(ann, &*format!(r#"42{number}["P2P_EMIT","bob","ask",[]]"#));
    }
    let errors = world.texts(ann);
    assert!(is_error(&errors) && errors[0].contains("socketio.acks_max"), "{errors:?}");
    let asked = world.texts(bob);
    assert_eq!(asked.len(), 3);
    for _ in 0..100 {
        world.pass(Duration::from_secs(40));
        world.tell(ann, "2");
        world.tell(bob, "2");
    }
    let id = asked[1].strip_prefix("42").unwrap().strip_suffix(r#"["ask"]"#).unwrap();
    world.texts(ann);
    world.tell(bob, &*format!("43{id}[]"));
    assert_eq!(world.texts(ann), ["431[]"]);
    world.tell(ann, r#"429["P2P_EMIT","bob","ask",[]]"#);
    assert_eq!(world.texts(ann), [""; 0], "there is room for one more");
    world.lose(bob);
    assert_eq!(world.texts(ann), [""; 0]);
    assert!(world.buffered(ann) < 4096, "{}", world.buffered(ann));
}

/// The packets at which the server of the plugin dies, and others.
const WRONG: [&str; 35] = [
    r#"42["JOIN_ROOM"]"#,
    r#"42["EMIT_ROOM","","x"]"#,
    r#"42["LIST_CLIENTS"]"#,
    r#"42["GET_CLIENT_CONNECTED_STATUS","bob"]"#,
    r#"42["CHECK_API_NAME","x"]"#,
    r#"42["ADD_TARGET","nobody"]"#,
    r#"42["ADD_TARGET"]"#,
    r#"42["USE_API","nothing",1]"#,
    r#"42["USE_API"]"#,
    r#"42["USE_API",{}]"#,
    r#"42["CREATE_API"]"#,
    r#"42["CREATE_API",""]"#,
    r#"42["P2P_EMIT"]"#,
    r#"42["P2P_EMIT","bob"]"#,
    r#"42["P2P_EMIT","bob","ev"]"#,
    r#"42["P2P_EMIT","bob","ev",{}]"#,
    r#"42["P2P_EMIT","bob","ev",null]"#,
    r#"42["P2P_EMIT","bob",null,[]]"#,
    r#"42["P2P_EMIT","bob",["ev"],[]]"#,
    r#"42["P2P_EMIT",{}]"#,
    r#"42["P2P_EMIT",{"targetClientId":"bob"}]"#,
    r#"42["P2P_EMIT",{"targetClientId":"bob","event":"ev","args":1}]"#,
    r#"42["P2P_EMIT_ACKNOWLEDGE"]"#,
    r#"42["P2P_EMIT_ACKNOWLEDGE",null]"#,
    r#"42["CREATE_STREAM"]"#,
    r#"42["CREATE_STREAM",null]"#,
    r#"42["CREATE_STREAM",{"targetClientId":null}]"#,
    r#"42["P2P_EMIT","bob","connect",[],null]"#,
    r#"42["P2P_EMIT","bob","connect_error",[],null]"#,
    r#"42["P2P_EMIT","bob","disconnect",[],null]"#,
    r#"42["P2P_EMIT","bob","disconnecting",[],null]"#,
    r#"42["P2P_EMIT","bob","newListener",[],null]"#,
    r#"42["P2P_EMIT","bob","rem\u006fveListener",[],null]"#,
    r#"42["P2P_EMIT","bob","TARGET_DISCONNECT",["eve"],null]"#,
    r#"42["EMIT_ROOM","r","SERVER_ERROR","x"]"#,
];

#[test]
fn a_wrong_event_is_answered_by_a_clear_error_and_reaches_nobody() {
    for revision in [Three, Four] {
        let mut world = world();
        let [ann, bob] = ["ann", "bob"].map(|name| world.plugin(revision, name));
        world.tell(bob, r#"42["JOIN_ROOM","r",null]"#);
        for wrong in WRONG {
            world.tell(ann, wrong);
            let heard = world.texts(ann);
            let is_told = heard.iter().all(|one| one.starts_with(r#"42["SERVER_ERROR","Error: "#));
            assert!(is_told && !heard.is_empty(), "{wrong}: {heard:?}");
            assert_eq!(world.texts(bob), [""; 0], "{wrong}");
        }
        // Unknown ones are ignored, and so is what changes nothing.
        let ignored = [
            r#"421["UNKNOWN",1]"#,
            r#"42["DESTROY_API","nothing"]"#,
            r#"42["DESTROY_API",{}]"#,
            r#"42["EMIT_ROOM","nowhere","x"]"#,
            r#"42["P2P_REGISTER_STREAM","bob"]"#,
            r#"42["CHECK_TOPIC_NAME","t"]"#,
            "4399[]",
        ];
        for ignored in ignored {
            world.tell(ann, ignored);
            assert_eq!(world.texts(ann), [""; 0], "{ignored}");
        }
        world.tell(ann, r#"427["LIST_CLIENTS"]"#);
        assert_eq!(world.texts(ann), [r#"437[["ann","bob"]]"#]);
        assert_eq!((world.closed(ann), world.closed(bob)), (None, None));
    }
}

#[test]
fn a_broken_packet_ends_the_session_that_sent_it() {
    let deep = format!("42[\"a\",{}]", "[".repeat(100_000));
    let placeholders: Vec<_> =
        (0..10_000).map(|number| format!(r#"{{"_placeholder":true,"num":{number}}}"#)).collect();
    let many = format!("4510000-[\"a\",{}]", placeholders.join(","));
    let one_of_many = format!("451-[\"a\",{}]", placeholders.join(","));
    let broken: [&[Message]; 19] = [
        &["".into()],
        &["7".into()],
        &["4".into()],
        &["48".into()],
        &["42".into()],
        &["42{}".into()],
        &["42[]".into()],
        &["42[1".into()],
        &["42[null]".into()],
        &[r#"42["connect"]"#.into()],
        &[r#"42abc["a"]"#.into()],
        &[r#"42/other,["a"]"#.into()],
        &[r#"44{"message":"x"}"#.into()],
        &[r#"40/other,{"a""#.into()],
        &["40/other,{},{}".into()],
        &[deep.as_str().into()],
        &[many.as_str().into()],
        &[one_of_many.as_str().into(), (&b"x"[..]).into()],
        &[(&b"x"[..]).into()],
    ];
    let mut world = world();
    let bob = world.plugin(Four, "bob");
    for broken in broken {
        let ann = world.plugin(Four, "ann");
        for message in broken {
            world.tell(ann, message.clone());
        }
        let told = world.complaint(ann);
        assert_eq!(world.closed(ann), Some(Reason::Malformed), "{broken:?}");
        assert!(told.is_some_and(|told| told.len() < 300), "{broken:?}");
    }
    for waits in [
        &[r#"451-["a",{"_placeholder":true,"num":0}]"#.into(), r#"42["b"]"#.into()][..],
        &[
            r#"452-["a",{"_placeholder":true,"num":0}]"#.into(),
            (&b"1"[..]).into(),
            (&b"2"[..]).into(),
        ],
    ] {
        let ann = world.plugin(Four, "ann");
        waits.iter().for_each(|message: &Message| world.tell(ann, message.clone()));
        assert_eq!(world.closed(ann), Some(Reason::Malformed), "{waits:?}");
    }
    assert_eq!(world.texts(bob), [""; 0]);
    assert_eq!(world.closed(bob), None);
}

#[test]
fn a_way_that_is_not_used_is_closed_and_a_target_stays() {
    let mut world = world();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| world.plugin(Three, name));
    world.tell(ann, r#"42["P2P_EMIT","bob","hello",[],null]"#);
    world.tell(ann, r#"420["ADD_TARGET","eve"]"#);
    let links = |world: &World| world.hub.metrics.links.get();
    assert_eq!(links(&world), 4, "both ends of two links");
    for _ in 0..4 {
        world.pass(Duration::from_secs(20));
        for end in [ann, bob, eve] {
            world.tell(end, "2");
        }
    }
    assert_eq!(links(&world), 2);
    for end in [ann, bob, eve] {
        world.texts(end);
    }
    world.lose(eve);
    assert_eq!(world.texts(ann), [r#"42["TARGET_DISCONNECT","eve"]"#]);
    world.lose(bob);
    assert_eq!(world.texts(ann), [""; 0]);
    assert_eq!(links(&world), 0);
}

#[test]
fn a_client_waits_for_a_room_whose_owner_does_not_answer_no_longer_than_ten_seconds() {
    let mut world = world();
    let mut owner = Speaker::new(&world.hub, world.now, PeerId::new([7; 16]), None);
    let options = ChannelOptions { approve: true, ..ChannelOptions::default() };
    let name = ChannelName::new("club").unwrap();
    owner.give(ChannelCommand::Create { request: 1, name, options });
    owner.heard();
    let ann = world.plugin(Three, "ann");
    world.tell(ann, r#"421["JOIN_ROOM","club"]"#);
    world.tell(ann, r#"422["LIST_CLIENTS"]"#);
    assert!(world.asks(ann) && world.texts(ann).is_empty());
    world.pass(Duration::from_secs(11));
    let heard = world.texts(ann);
    assert!(heard[0].starts_with(r#"42["SERVER_ERROR","Error: Room: club: "#), "{heard:?}");
    let late = r#"431["Room: club: its owner has not let you in within 10 s; try again later"]"#;
    assert_eq!(heard[1], late);
    assert_eq!(heard[2], r#"432[["ann"]]"#);
    // It asks again, and does not count as somebody who is there.
    world.tell(ann, r#"423["JOIN_ROOM","club"]"#);
    let ticket = |event: &Event| match event {
        Event::Channel(ChannelEvent::Knock { ticket, .. }) => Some(*ticket),
        _ => None,
    };
    let tickets: Vec<_> = owner.heard().iter().filter_map(ticket).collect();
    let admit = |ticket| ChannelCommand::Admit { channel: OwnedChannelId(0), ticket, admit: true };
    tickets.into_iter().for_each(|ticket| owner.give(admit(ticket)));
    world.settle();
    assert_eq!(world.texts(ann), ["433[null]"]);
}

#[test]
fn a_call_goes_to_somebody_who_provides_the_service_now() {
    let mut world = world();
    let [ann, bob] = ["ann", "bob"].map(|name| world.plugin(Four, name));
    world.tell(bob, r#"42["CREATE_API","sum"]"#);
    world.tell(ann, r#"421["USE_API","sum",1]"#);
    let asked = world.texts(bob);
    assert!(asked[0].ends_with(r#"["sum",1]"#), "{asked:?}");
    let eve = world.plugin(Four, "eve");
    world.tell(eve, r#"42["CREATE_API","sum"]"#);
    world.tell(bob, r#"42["DESTROY_API","sum"]"#);
    world.tell(ann, r#"422["USE_API","sum",2]"#);
    assert_eq!(world.texts(bob), [""; 0]);
    assert!(world.texts(eve)[0].ends_with(r#"["sum",2]"#));
    // A provider that speaks another protocol is one as well.
    let mut other = Speaker::new(&world.hub, world.now, PeerId::new([7; 16]), None);
    let service = PeerName::new("other").unwrap();
    other.give(DirectoryCommand::Provide { request: 1, service, on: true });
    world.tell(ann, r#"423["CHECK_API_NAME","other"]"#);
    assert_eq!(world.texts(ann), ["433[true]"]);
}

#[test]
fn a_name_that_is_too_long_is_refused_and_so_is_another_namespace() {
    let mut world = world();
    let long = "n".repeat(256);
    let start = Start { client_id: Some(long.into()), ..Start::default() };
    let ann = world.socketio(Four, start);
    world.texts(ann);
    world.tell(ann, "40");
    let refused = r#"44{"message":"clientId has more than 255 bytes"}"#;
    assert_eq!(world.texts(ann), [refused]);

    let mut options = Options::new(world.hub.limits.clone());
    options.namespaces = vec!["/chat".into()];
    let bob = world.socketio_with(Four, options, Start::default());
    world.texts(bob);
    world.tell(bob, "40/other,");
    assert_eq!(world.texts(bob), [r#"44/other,{"message":"Invalid namespace"}"#]);
    world.tell(bob, r#"40/chat,{"token":"x"}"#);
    let heard = world.texts(bob);
    assert!(heard[0].starts_with(r#"40/chat,{"sid":""#), "{heard:?}");
    world.tell(bob, r#"42/chat,["hello"]"#);
    assert_eq!((world.texts(bob).len(), world.closed(bob)), (0, None));
}

#[test]
fn a_client_that_leaves_gives_its_name_back_and_still_hears_heartbeats() {
    let mut world = world();
    let ann = world.plugin(Four, "ann");
    let bob = world.plugin(Four, "bob");
    world.tell(bob, r#"420["ADD_TARGET","ann"]"#);
    world.texts(ann);
    world.tell(ann, "41");
    assert_eq!(world.texts(bob), [r#"42["TARGET_DISCONNECT","ann"]"#]);
    world.pass(Duration::from_secs(26));
    assert_eq!(world.texts(ann), ["2"]);
    world.tell(ann, "3");
    let again = world.plugin(Four, "ann");
    world.tell(ann, r#"42["P2P_EMIT","bob","ghost",[],null]"#);
    world.tell(bob, "3");
    world.texts(bob);
    assert_eq!(world.closed(ann), None);
    world.tell(ann, "40");
    assert_eq!(world.closed(ann), Some(Reason::Bye));
    assert_eq!(world.closed(again), None);
}

/// Answers what it is told to, and says what it was asked.
struct Office;

impl Application for Office {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        let Payload { format, data } = &ask.payload;
        match ask.method.as_str() {
            "bytes" => reply.send(Ok(Payload::bytes(&b"\xff"[..]))),
            "text" => reply.send(Ok(Payload::text("[1]"))),
            "nothing" => reply.send(Ok(Payload::new(Format::JSON, ""))),
            "broken" => reply.send(Ok(Payload::new(Format::JSON, "{"))),
            "failure" => reply.send(Err(Failure::new(400, "no"))),
            "again" | "/chat,again" => reply.send(Ok(ask.payload)),
            method => {
                let data = String::from_utf8_lossy(data);
                let said = serde_json::json!(["asked", method, format.0, data]).to_string();
                reply.send(Ok(Payload::new(Format::JSON, said)));
            }
        }
    }
}

#[test]
fn the_hub_application_is_asked_what_is_not_the_plugin_s_and_its_answers_come_back() {
    for revision in [Three, Four] {
        let mut world = world();
        assert!(world.hub.set_application(Box::new(Office)).is_ok());
        let options =
            Options { namespaces: vec!["/chat".into()], ..Options::new(world.hub.limits.clone()) };
        let ann = world.socketio_with(revision, options, Start::default());
        if revision == Four {
            world.tell(ann, r#"40{"token":"x"}"#);
        }
        let auth = if revision == Four { r#"{\"token\":\"x\"}"# } else { "" };
        let asked = format!(r#"42["asked","connect",2,"[{auth}]"]"#);
        assert_eq!(world.texts(ann).pop(), Some(asked));
        world.tell(ann, "40/chat,");
        assert_eq!(world.texts(ann)[1], r#"42/chat,["asked","/chat,connect",2,"[]"]"#);

        let header = if revision == Three { &b"\x04"[..] } else { b"" };
        let attachment = |bytes: &[u8]| Message::from(&[header, bytes].concat()[..]);
        let text = |text: &str| Message::from(text);
        let conversations: [(&[Message], &[Message]); 12] = [
            (&[text(r#"42["a",1]"#)], &[text(r#"42["asked","a",2,"[1]"]"#)]),
            (&[text(r#"425["a"]"#)], &[text(r#"435["asked","a",2,"[]"]"#)]),
            (&[text(r#"426["again",null]"#)], &[text("436[null]")]),
            (
                &[
                    text(
                        r#"452-["again","said",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#,
                    ),
                    attachment(b"0"),
                    attachment(b""),
                ],
                &[
                    text(
                        r#"452-["said",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#,
                    ),
                    attachment(b""),
                    attachment(b"0"),
                ],
            ),
            (
                &[text(r#"451-/chat,7["again",{"_placeholder":true,"num":0}]"#), attachment(b"0")],
                &[text(r#"461-/chat,7[{"_placeholder":true,"num":0}]"#), attachment(b"0")],
            ),
            (
                &[text(r#"428["bytes"]"#)],
                &[text(r#"461-8[{"_placeholder":true,"num":0}]"#), attachment(b"\xff")],
            ),
            (&[text(r#"429["text"]"#)], &[text(r#"439["[1]"]"#)]),
            (&[text(r#"4210["nothing"]"#)], &[text("4310[]")]),
            (&[text(r#"42["nothing"]"#)], &[]),
            (&[text(r#"4211["broken"]"#)], &[]),
            (&[text(r#"4212["failure"]"#)], &[]),
            (
                &[
                    text(r#"451-/chat,13["again","\ud800",{"_placeholder":true,"num":0}]"#),
                    attachment(b"0"),
                ],
                &[text(
                    r#"42/chat,["SERVER_ERROR","Error: again: the arguments beside attachments have no form in MessagePack"]"#,
                )],
            ),
        ];
        for (said, heard) in conversations {
            said.iter().for_each(|message| world.tell(ann, message.clone()));
            assert_eq!(world.hears(ann), heard, "{said:?}");
        }
        let told = Payload::new(Format::MESSAGE_PACK, &b"\x92\xa4news\xc4\x01\xff"[..]);
        world.hub.tell_all(&told, None);
        world.settle();
        let news = text(r#"451-["news",{"_placeholder":true,"num":0}]"#);
        assert_eq!(world.hears(ann), [news, attachment(b"\xff")]);
        assert_eq!(world.closed(ann), None);
    }
}

#[test]
fn a_client_speaks_in_any_number_of_rooms_and_is_in_few_of_them() {
    let mut world = world();
    let [ann, bob] = ["ann", "bob"].map(|name| world.plugin(Four, name));
    for room in 0..100 {
        world.tell(bob, &*format!(r#"42["JOIN_ROOM","r{room}",null]"#));
    }
    for _ in 0..2 {
        for room in 0..100 {
            world.tell(ann, &*format!(r#"42["EMIT_ROOM","r{room}","n",{room}]"#));
        }
    }
    let expected: Vec<_> =
        (0..2).flat_map(|_| 0..100).map(|room| format!(r#"42["n",{room}]"#)).collect();
    assert_eq!(world.texts(bob), expected);
    assert_eq!(world.texts(ann), [""; 0]);
    assert!(world.hub.metrics.members.get() <= 116, "{}", world.hub.metrics.members.get());
    world.lose(bob);
    world.tell(ann, r#"42["EMIT_ROOM","r0","n"]"#);
    assert_eq!(world.texts(ann), [""; 0]);
    assert_eq!(world.hub.metrics.members.get(), 0, "rooms do not stay for who only speaks there");
}

#[test]
fn nobody_but_the_hub_says_the_hub_s_events() {
    let mut world = world();
    let [ann, bob] = ["ann", "bob"].map(|name| world.plugin(Four, name));
    world.tell(ann, r#"42["JOIN_ROOM","r",null]"#);
    let mut stranger = Speaker::new(&world.hub, world.now, PeerId::new([7; 16]), None);
    let name = ChannelName::new("r").unwrap();
    stranger.give(ChannelCommand::Enter { request: 1, name, options: EnterOptions::default() });
    let channel = match &stranger.heard()[..] {
        [Event::Channel(ChannelEvent::Entered(entered))] => entered.channel,
        other => panic!("{other:?}"),
    };
    for said in [
        r#"["SERVER_PING"]"#,
        r#"["CREATE_STREAM-CHANNEL-x",{}]"#,
        r#"["TARGET_DISCONNECT","bob"]"#,
    ] {
        let part = Part::whole(said.as_bytes().to_vec());
        stranger.give(Command::Send { to: Target::Up(channel), part });
        world.settled();
        let told = serde_json::to_string(&["message", said]).unwrap();
        assert_eq!(world.texts(ann), [format!("42{told}")]);
    }
    // One who is no member of a pair ends none.
    world.tell(bob, r#"42["P2P_EMIT","ann","hello",[],null]"#);
    world.tell(ann, r#"42["P2P_EMIT","bob","hello",[],null]"#);
    world.texts(ann);
    // Whatever id he takes, he makes a pair for himself alone.
    world.tell(bob, &*format!("43{}[true]", (1_u64 << 21) | (1 << 20)));
    world.tell(bob, r#"421["P2P_UNREGISTER"]"#);
    assert_eq!(world.texts(ann), [""; 0]);
}

#[test]
fn who_is_called_as_another_s_id_does_not_get_what_is_for_that_one() {
    let mut world = world();
    let ann = world.plugin(Three, "ann");
    let unnamed = world.socketio(Three, Start::default());
    world.texts(unnamed);
    world.tell(unnamed, r#"42["P2P_EMIT","ann","hello",[],null]"#);
    world.tell(unnamed, r#"420["ADD_TARGET","ann"]"#);
    let told = world.texts(ann);
    let id = told[1].split('"').nth(3).unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let thief = world.plugin(Three, &id);
    let bob = world.plugin(Three, "bob");
    world.tell(bob, &*format!(r#"42["P2P_EMIT","{id}","secret",[],null]"#));
    assert_eq!(
        (world.texts(unnamed), world.texts(thief).len()),
        (vec![r#"42["secret"]"#.to_owned()], 0)
    );
    // Where nobody has the id, it is a name as any other.
    world.lose(unnamed);
    world.pass(Duration::from_secs(1));
    world.tell(ann, &*format!(r#"42["P2P_EMIT","{id}","hello",[],null]"#));
    assert_eq!(world.texts(thief), [r#"42["hello"]"#]);
}

#[test]
fn a_client_is_told_of_the_end_of_one_link_a_bounded_number_of_times() {
    let mut world = world();
    let [ann, bob] = ["ann", "bob"].map(|name| world.plugin(Four, name));
    for _ in 0..1000 {
        world.tell(ann, r#"42["ADD_TARGET","bob"]"#);
    }
    world.texts(bob);
    world.lose(ann);
    assert_eq!(world.texts(bob).len(), 64);
}

#[test]
fn who_does_not_answer_is_waited_for_as_long_as_is_set() {
    let mut world = world();
    let second = Duration::from_secs(1);
    let ann = world.hasty("ann", [Some(second), None]);
    let bob = world.plugin(Three, "bob");
    let stream = r#"{"sourceStreamId":"s","targetStreamId":"t","targetClientId":"bob"}"#;
    world.tell(ann, r#"421["ADD_TARGET","bob"]"#);
    world.tell(ann, &*format!(r#"422["CREATE_STREAM",{stream}]"#));
    world.tell(ann, r#"423["P2P_REGISTER","bob"]"#);
    world.tell(ann, r#"424["P2P_EMIT","bob","ask",[]]"#);
    let asked = world.texts(bob);
    assert_eq!((asked.len(), world.texts(ann)), (4, vec![]));
    world.pass(second);
    let told = [
        r#"431["Message: Client bob does not answer"]"#,
        r#"432["Stream: Client bob does not answer"]"#,
        r#"42["SERVER_ERROR","Error: Client bob does not answer"]"#,
        "433[false]",
    ];
    assert_eq!(world.texts(ann), told);
    // What comes later is for nobody, but an emit has all the time.
    let ids = asked.iter().map(|packet| packet[2..packet.find('[').unwrap()].to_owned());
    for (id, answer) in ids.zip(["[]", "[]", "[true]", "[7]"]) {
        world.tell(bob, &*format!("43{id}{answer}"));
    }
    assert_eq!(world.texts(ann), ["434[7]"]);
    // And nobody is left in a pair for itself alone.
    let told = world.texts(bob);
    assert!(matches!(&told[..], [told] if told.ends_with(r#"["P2P_UNREGISTER"]"#)), "{told:?}");
    world.tell(bob, r#"421["P2P_REGISTER","ann"]"#);
    assert!(world.texts(ann)[0].ends_with(r#"["P2P_REGISTER","bob"]"#));
}

#[test]
fn acknowledgements_are_given_up_if_that_is_set_and_those_of_chunks_are_not() {
    let mut world = world();
    let second = Duration::from_secs(1);
    let ann = world.hasty("ann", [None, Some(second)]);
    let bob = world.plugin(Three, "bob");
    world.tell(ann, r#"421["P2P_EMIT","bob","ask",[]]"#);
    world.tell(ann, r#"422["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-s",["x"]]"#);
    world.tell(ann, r#"423["ADD_TARGET","bob"]"#);
    let asked = world.texts(bob);
    world.pass(second);
    let told = r#"42["SERVER_ERROR","Error: Core: Client bob does not answer"]"#;
    assert_eq!(world.texts(ann), [told]);
    for packet in &asked {
        world.tell(bob, &*format!("43{}[]", &packet[2..packet.find('[').unwrap()]));
    }
    assert_eq!(world.texts(ann), ["432[]", "433[]"]);
}
