//! Topics of the plugin's version 1.5, between clients and of peers of other protocols.

use crate::common::World;
use crate::socketio_peers::{Peer, id, json};
use crosspoint_gateways::engineio::Revision::{Four, Three};
use crosspoint_hub::payload::Format;
use crosspoint_hub::{ChannelName, HubOptions};
use crosspoint_proto::peer::{Event as Heard, Outcome};
use std::time::Duration;

const ROOM: &str = "service:jobs:topic:new";
const SUBSCRIBE: &str = r#"421["P2P_EMIT_ACKNOWLEDGE",{"targetClientId":"jobs","event":"SUBSCRIBE_TOPIC","args":["ann","ann","new"]}]"#;
const UNSUBSCRIBE: &str = r#"42["P2P_EMIT",{"targetClientId":"jobs","event":"UNSUBSCRIBE_TOPIC","args":["ann","ann","new"]}]"#;

/// How many are in the room of the topic.
fn members(world: &World) -> usize {
    let name = ChannelName::new(ROOM).unwrap();
    world.hub.channel_members(&name).map_or(0, |members| members.len())
}

/// A client that has the topic, and the service.
fn subscribed(world: &mut World) -> (usize, usize) {
    let [ann, jobs] = ["ann", "jobs"].map(|name| world.plugin(Three, name));
    world.tell(jobs, &*format!(r#"42["JOIN_ROOM","SERVICE_CREATE_TOPIC","{ROOM}"]"#));
    world.tell(ann, SUBSCRIBE);
    let asked = world.texts(jobs);
    assert!(asked[0].ends_with(r#"["SUBSCRIBE_TOPIC","ann","ann","new"]"#), "{asked:?}");
    // The service gives its callback to the hub, and calls it as well.
    world.tell(jobs, &*format!(r#"427["JOIN_ROOM","CLIENT_SUBSCRIBE_TOPIC","ann","{ROOM}"]"#));
    world.tell(jobs, &*format!("43{}[]", id(&asked[0])));
    assert_eq!(world.texts(ann), ["431[]"]);
    assert_eq!(world.texts(jobs), ["437[null]"]);
    assert_eq!(members(world), 2);
    (ann, jobs)
}

#[test]
fn a_client_hears_of_a_topic_as_long_as_it_has_it() {
    let mut world = World::new(HubOptions::default());
    let (ann, jobs) = subscribed(&mut world);
    let publish = format!(r#"42["EMIT_ROOM","{ROOM}","{ROOM}-DEFAULT_TOPIC_EVENT",1,"two"]"#);
    world.tell(jobs, &*publish);
    assert_eq!(world.texts(ann), [format!(r#"42["{ROOM}-DEFAULT_TOPIC_EVENT",1,"two"]"#)]);
    world.tell(ann, UNSUBSCRIBE);
    assert_eq!(world.texts(jobs), [r#"42["UNSUBSCRIBE_TOPIC","ann","ann","new"]"#]);
    world.tell(jobs, &*format!(r#"42["LEAVE_ROOM","CLIENT_UNSUBSCRIBE_TOPIC","ann","{ROOM}"]"#));
    world.tell(jobs, &*publish);
    assert_eq!(world.texts(ann), [""; 0]);
    assert_eq!(members(&world), 1);
}

#[test]
fn a_topic_that_is_over_has_nobody_in_it_however_long_nothing_was_said() {
    let mut world = World::new(HubOptions::default());
    let (ann, jobs) = subscribed(&mut world);
    for _ in 0..9 {
        world.pass(Duration::from_secs(20));
        world.tell(ann, "2");
        world.tell(jobs, "2");
    }
    world.texts(ann);
    world.texts(jobs);
    world.tell(jobs, &*format!(r#"42["LEAVE_ROOM","SERVICE_DESTROY_TOPIC","{ROOM}"]"#));
    assert_eq!(world.texts(ann), [format!(r#"42["{ROOM}-TOPIC_BEING_DESTROYED"]"#)]);
    assert_eq!(members(&world), 0);
    assert_eq!(world.texts(jobs), [""; 0]);
}

/// As the plugin's server does it: the room of a topic does not end with its service.
#[test]
fn a_service_that_comes_again_ends_a_topic_for_those_who_had_it_before() {
    let mut world = World::new(HubOptions::default());
    let (ann, jobs) = subscribed(&mut world);
    // She has entered the room by herself.
    let eve = world.plugin(Four, "eve");
    world.tell(eve, &*format!(r#"421["JOIN_ROOM","{ROOM}"]"#));
    world.texts(eve);
    world.lose(jobs);
    world.settled();
    assert_eq!(members(&world), 2);
    let jobs = world.plugin(Three, "jobs");
    world.tell(jobs, &*format!(r#"42["JOIN_ROOM","SERVICE_CREATE_TOPIC","{ROOM}"]"#));
    world.tell(jobs, &*format!(r#"421["LEAVE_ROOM","SERVICE_DESTROY_TOPIC","{ROOM}"]"#));
    assert_eq!(world.texts(jobs), ["431[null]"]);
    for end in [ann, eve] {
        assert_eq!(world.texts(end), [format!(r#"42["{ROOM}-TOPIC_BEING_DESTROYED"]"#)]);
    }
    assert_eq!(members(&world), 0);
    // The topic may begin again, and nobody has it.
    world.tell(jobs, &*format!(r#"422["JOIN_ROOM","SERVICE_CREATE_TOPIC","{ROOM}"]"#));
    assert_eq!((world.texts(jobs), members(&world)), (vec!["432[null]".to_owned()], 1));
}

#[test]
fn nobody_is_put_into_a_room_that_it_has_not_wished() {
    let mut world = World::new(HubOptions::default());
    let [ann, jobs, eve] = ["ann", "jobs", "eve"].map(|name| world.plugin(Three, name));
    let put = |whom: &str| format!(r#"42["JOIN_ROOM","CLIENT_SUBSCRIBE_TOPIC","ann","{whom}"]"#);
    // She has wished nothing, or of somebody else.
    world.tell(jobs, &*put(ROOM));
    world.tell(ann, SUBSCRIBE);
    world.texts(jobs);
    world.tell(eve, &*put("service:eve:topic:new"));
    assert_eq!(world.texts(eve), [""; 0]);
    // A topic has the name of its service.
    for wrong in [ROOM, "lobby", ""] {
        world.tell(eve, &*put(wrong));
        let told = world.texts(eve);
        assert!(matches!(&told[..], [told] if told.contains("begins with service:eve:topic:")));
    }
    assert_eq!((members(&world), world.texts(ann)), (0, vec![]));
    // Rooms of clients of the second generation may have such names.
    world.tell(ann, r#"422["JOIN_ROOM","SERVICE_CREATE_TOPIC",null]"#);
    assert_eq!(world.texts(ann), ["432[null]"]);
    world.tell(jobs, &*format!(r#"425["JOIN_ROOM","CLIENT_SUBSCRIBE_TOPIC","nobody","{ROOM}"]"#));
    let told = world.texts(jobs);
    assert!(told[0].contains("Could not find target client 'nobody'"), "{told:?}");
    assert_eq!(told[1], r#"435["Client nobody is not connected to server"]"#);
}

#[test]
fn a_peer_of_another_protocol_has_topics_too() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Three, "ann");
    let mut jobs = Peer::new(&world, "jobs");
    world.tell(ann, SUBSCRIBE);
    let heard = jobs.hear(&world);
    let [Heard::Request { id: wish, method, payload, .. }] = &heard[..] else { panic!() };
    assert_eq!((&**method, payload), ("SUBSCRIBE_TOPIC", &json(r#"["ann","ann","new"]"#)));
    let ask = |jobs: &mut Peer, world: &mut World| {
        let asked =
            jobs.machine.request(world.now, None, "SUBSCRIBE_TOPIC", Format::JSON, b"[\"new\"]");
        jobs.say();
        world.settled();
        asked.unwrap()
    };
    let asked = ask(&mut jobs, &mut world);
    let heard = jobs.hear(&world);
    let done = |event: &Heard| matches!(event, Heard::Result { id, outcome: Outcome::Result(_) } if *id == asked);
    assert!(heard.iter().any(done), "{heard:?}");
    assert_eq!((members(&world), world.texts(ann)), (1, vec![]));
    jobs.machine.answer(*wish, Format::JSON, b"").unwrap();
    jobs.say();
    world.settled();
    assert_eq!(world.texts(ann), ["431[]"]);
    jobs.machine.notify("UNSUBSCRIBE_TOPIC", Format::JSON, b"[\"new\"]").unwrap();
    jobs.say();
    world.settled();
    assert_eq!((members(&world), world.texts(ann)), (0, vec![]));
    // Without a wish it is an event like others.
    ask(&mut jobs, &mut world);
    assert_eq!(members(&world), 0);
    assert!(world.texts(ann)[0].ends_with(r#"["SUBSCRIBE_TOPIC","new"]"#));
}
