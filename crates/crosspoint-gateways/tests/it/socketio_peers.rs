//! Clients of Socket.IO and peers that speak the peer layer itself, each with its own words.

use crate::common::World;
use crate::common::speaker::{FOR_REQUESTS, Speaker};
use crate::socketio_common::Message;
use crosspoint_gateways::engineio::Revision::{Four, Three};
use crosspoint_hub::command::{Addressee, Event, LinkCommand, LinkEvent};
use crosspoint_hub::payload::{Format, Payload};
use crosspoint_hub::wire::Place;
use crosspoint_hub::{HubOptions, LinkNumber, PeerId, PeerName, Reason};
use crosspoint_proto::peer::{Config, Event as Heard, Machine, Outcome, Read, Side, StreamId};
use std::time::Duration;

/// A peer with one link.
pub(crate) struct Peer {
    speaker: Speaker,
    link: Option<LinkNumber>,
    pub(crate) machine: Machine,
}

impl Peer {
    pub(crate) fn new(world: &World, name: &str) -> Self {
        let id = PeerId::new([name.as_bytes()[0]; 16]);
        let speaker = Speaker::new(&world.hub, world.now, id, Some(name));
        Self { speaker, link: None, machine: Machine::new(Side::Accepter, Config::default()) }
    }

    /// Opens a link to a client.
    fn open(&mut self, name: &str, purpose: &'static [u8]) {
        self.machine = Machine::new(Side::Opener, Config::default());
        self.link =
            Some(self.speaker.link_to(Addressee::Name(PeerName::new(name).unwrap()), purpose));
    }

    /// Says what the machine has.
    pub(crate) fn say(&mut self) {
        while let Some((kind, body)) = self.machine.transmit(0) {
            self.speaker.say(self.link.unwrap(), kind, &body);
        }
    }

    /// What has come since the last call.
    pub(crate) fn hear(&mut self, world: &World) -> Vec<Heard> {
        for event in self.speaker.heard() {
            match event {
                Event::Link(LinkEvent::Opened { request: None, link, .. }) => {
                    // For a target there is one besides that for requests.
                    self.link = Some(link);
                }
                Event::Data { place: Place::Link(_), part } => {
                    self.machine.receive(world.now, part.kind, part.data).unwrap();
                }
                Event::Link(LinkEvent::Closed { .. }) => self.link = None,
                other => panic!("{other:?}"),
            }
        }
        std::iter::from_fn(|| self.machine.poll()).collect()
    }
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::new(Format::JSON, text.to_owned())
}

/// The number in front of an event that wants to be acknowledged.
pub(crate) fn id(packet: &str) -> &str {
    let packet = &packet[..packet.find('[').unwrap()];
    match packet.split_once('-') {
        Some((_, id)) => id,
        None => packet.strip_prefix("42").unwrap(),
    }
}

#[test]
fn a_client_asks_a_peer_and_is_asked_by_it() {
    for revision in [Three, Four] {
        let mut world = World::new(HubOptions::default());
        let ann = world.plugin(revision, "ann");
        let mut bob = Peer::new(&world, "bob");
        world.tell(ann, r#"427["P2P_EMIT","bob","sum",[1,[2,3]]]"#);
        world.tell(ann, r#"42["P2P_EMIT","bob","note",[],null]"#);
        let heard = bob.hear(&world);
        let [
            Heard::Request { id: request, method, payload, until: None },
            Heard::Notify { method: note, payload: nothing },
        ] = &heard[..]
        else {
            panic!("{heard:?}")
        };
        assert_eq!((&**method, payload), ("sum", &json("[1,[2,3]]")));
        assert_eq!((&**note, nothing), ("note", &json("[]")));
        bob.machine.answer(*request, Format::JSON, b"{\"is\":6}").unwrap();
        bob.say();
        world.settled();
        assert_eq!(world.texts(ann), [r#"437[{"is":6}]"#]);

        // A failure has no form, so people are told.
        world.tell(ann, r#"428["P2P_EMIT","bob","sum",[]]"#);
        let Some(Heard::Request { id: request, .. }) = bob.hear(&world).pop() else { panic!() };
        bob.machine.fail(request, 500, "no numbers", Format::BYTES, b"").unwrap();
        bob.say();
        world.settled();
        let told = r#"42["SERVER_ERROR","Error: Client bob: no numbers (code 500)"]"#;
        assert_eq!(world.texts(ann), [told]);

        // It is asked over the same link, as a link for requests.
        bob.machine.request(world.now, None, "double", Format::JSON, b"21").unwrap();
        bob.machine.notify("hello", Format::TEXT, "é".as_bytes()).unwrap();
        bob.machine.message(Format::JSON, b"[1]").unwrap();
        bob.say();
        world.settled();
        let heard = world.texts(ann);
        assert!(heard[0].ends_with(r#"["double",21]"#), "{heard:?}");
        assert_eq!(heard[1..], [r#"42["hello","é"]"#, r#"42["message",[1]]"#]);
        world.tell(
            ann,
            &*format!("43{}[42]", heard[0].strip_prefix("42").unwrap().split('[').next().unwrap()),
        );
        let heard = bob.hear(&world);
        assert!(
            matches!(&heard[..], [Heard::Result { outcome: Outcome::Result(answer), .. }] if *answer == json("42")),
            "{heard:?}"
        );
    }
}

#[test]
fn attachments_are_bytes_of_a_value_for_a_peer_and_the_reverse() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Four, "ann");
    let mut bob = Peer::new(&world, "bob");
    world.tell(ann, r#"451-3["P2P_EMIT","bob","keep",[{"a":{"_placeholder":true,"num":0}}]]"#);
    world.tell(ann, &b"\0\xff"[..]);
    let heard = bob.hear(&world);
    let [Heard::Request { id: request, payload, .. }] = &heard[..] else { panic!("{heard:?}") };
    let packed = Payload::new(
        Format::MESSAGE_PACK,
        &b"\xdd\0\0\0\x01\xdf\0\0\0\x01\xa1a\xc6\0\0\0\x02\0\xff"[..],
    );
    assert_eq!(payload, &packed);
    bob.machine.answer(*request, Format::BYTES, b"raw").unwrap();
    bob.say();
    world.settled();
    let expected =
        [Message::from(r#"461-3[{"_placeholder":true,"num":0}]"#), Message::from(&b"raw"[..])];
    assert_eq!(world.hears(ann), expected);
}

#[test]
fn a_peer_that_opens_a_link_is_a_target_until_the_link_ends() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Four, "ann");
    let mut bob = Peer::new(&world, "bob");
    bob.open("ann", b"");
    world.settled();
    let told = world.texts(ann);
    assert!(told[0].ends_with(r#"["ADD_TARGET","bob"]"#), "{told:?}");
    assert!(!id(&told[0]).is_empty(), "clients acknowledge it whether they are asked to or not");
    bob.speaker.give(LinkCommand::Close { link: bob.link.unwrap(), reason: Reason::Left });
    world.settled();
    assert_eq!(world.texts(ann), [r#"42["TARGET_DISCONNECT","bob"]"#]);
    // One for requests alone is none.
    let mut eve = Peer::new(&world, "eve");
    eve.open("ann", FOR_REQUESTS);
    world.settled();
    assert_eq!(world.texts(ann), [""; 0]);

    let mut cat = Peer::new(&world, "cat");
    world.tell(ann, r#"421["ADD_TARGET","cat"]"#);
    assert_eq!(world.texts(ann), ["431[]"]);
    world.tell(ann, r#"422["P2P_REGISTER","cat"]"#);
    assert_eq!(world.texts(ann), ["432[true]"]);
    cat.hear(&world);
    cat.speaker.give(LinkCommand::Close { link: cat.link.unwrap(), reason: Reason::Left });
    world.settled();
    let gone = [
        r#"42["TARGET_DISCONNECT","cat"]"#,
        r#"42["SERVER_ERROR","Error: Could not find target client 'cat' socket"]"#,
        r#"42["P2P_DISCONNECT"]"#,
    ];
    assert_eq!(world.texts(ann), gone);
}

#[test]
fn a_client_opens_a_stream_to_a_peer_and_its_window_is_the_back_pressure() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Four, "ann");
    let mut bob = Peer::new(&world, "bob");
    let info = r#"{"sourceStreamId":"s","targetStreamId":"t","targetClientId":"bob","channel":"logs","argArray":[1]}"#;
    world.tell(ann, &*format!(r#"420["CREATE_STREAM",{info}]"#));
    let heard = bob.hear(&world);
    let [Heard::Opened { stream, name, metadata }] = &heard[..] else { panic!("{heard:?}") };
    let stream: StreamId = *stream;
    assert_eq!((&**name, &metadata[..]), ("logs", &b"[1]"[..]));
    bob.machine.accept(stream).unwrap();
    bob.say();
    world.settled();
    assert_eq!(world.texts(ann), ["430[]"]);

    // More than the window has room for: the chunk that is not taken whole is not acknowledged.
    let chunk = vec![7; 100_000];
    let mut sent = 0;
    loop {
        let number = sent + 1;
        let data =
            r#"["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-s",[{"_placeholder":true,"num":0}]]"#;
        world.tell(ann, &*format!("451-{number}{data}"));
        world.tell(ann, &chunk[..]);
        sent += 1;
        match &world.texts(ann)[..] {
            [ack] => assert_eq!(*ack, format!("43{number}[]")),
            _ => break,
        }
        assert!(sent < 20, "nothing holds it back");
    }
    assert!(world.buffered(ann) < 300_000, "{}", world.buffered(ann));
    let mut read = 0;
    for _ in 0..1000 {
        bob.hear(&world);
        match bob.machine.read(stream, 1 << 20).unwrap() {
            Read::Bytes(bytes) => read += bytes.len(),
            _ => {
                bob.say();
                world.settled();
            }
        }
    }
    assert_eq!(read, sent * chunk.len());
    assert_eq!(world.texts(ann), [format!("43{sent}[]")]);
    world.tell(ann, r#"4299["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-s",[null]]"#);
    assert_eq!(world.texts(ann), ["4399[]"]);
    assert!(bob.hear(&world).contains(&Heard::Ended { stream }));
    assert_eq!(bob.machine.read(stream, 10), Ok(Read::End));

    // The other direction, chunk by chunk.
    for _ in 0..2 {
        assert_eq!(bob.machine.write(stream, &[8; 50_000]), Ok(50_000));
        bob.say();
    }
    bob.machine.finish(stream).unwrap();
    bob.say();
    world.settled();
    let mut read = Vec::new();
    for _ in 0..10 {
        let heard = world.hears(ann);
        match &heard[..] {
            [Message::Text(packet), Message::Binary(chunk)] => {
                let event = r#"["P2P_EMIT_STREAM-from-stream-t",{"_placeholder":true,"num":0}]"#;
                assert!(packet.ends_with(event), "{packet}");
                assert!(chunk.len() <= 65_536);
                read.extend_from_slice(chunk);
                let id = packet.strip_prefix("451-").unwrap().strip_suffix(event).unwrap();
                world.tell(ann, &*format!("43{id}[]"));
            }
            [Message::Text(end)] => {
                assert!(end.ends_with(r#"["P2P_EMIT_STREAM-from-stream-t",null]"#), "{end}");
                world.tell(ann, &*format!("43{}[]", id(end)));
                break;
            }
            other => panic!("{other:?}"),
        }
        bob.hear(&world);
        bob.say();
        world.settled();
    }
    assert_eq!(read, [8; 100_000]);
}

#[test]
fn a_peer_opens_a_stream_to_a_client_which_takes_it_or_not() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Three, "ann");
    let mut bob = Peer::new(&world, "bob");
    bob.open("ann", b"");
    world.settled();
    world.texts(ann);
    let [first, second] =
        [bob.machine.open("", b"[5]"), bob.machine.open("logs", b"x")].map(Result::unwrap);
    bob.say();
    world.settled();
    let offers = world.texts(ann);
    assert!(offers[0].contains(r#"["CREATE_STREAM",{"sourceStreamId":""#), "{offers:?}");
    assert!(
        offers[0].ends_with(r#""sourceClientId":"bob","targetClientId":"ann","argArray":[5]}]"#)
    );
    assert!(offers[1].contains(r#"["CREATE_STREAM-CHANNEL-logs",{"#), "{offers:?}");
    world.tell(ann, &*format!("43{}[]", id(&offers[0])));
    world.tell(ann, &*format!("43{}[\"no\"]", id(&offers[1])));
    let heard = bob.hear(&world);
    assert!(heard.contains(&Heard::Accepted { stream: first }), "{heard:?}");
    let is_refused = |event: &Heard| matches!(event, Heard::Reset { stream, text, .. } if *stream == second && &**text == "no");
    assert!(heard.iter().any(is_refused), "{heard:?}");

    // Who guesses an id speaks for nobody.
    let near = offers[0].split("\"targetStreamId\":\"").nth(1).unwrap().split('"').next().unwrap();
    world.tell(
        ann,
        &*format!(r#"421["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-{near}",["text"]]"#),
    );
    assert_eq!(world.texts(ann), ["431[]"]);
    bob.hear(&world);
    assert_eq!(bob.machine.read(first, 10), Ok(Read::Bytes("text".into())));
    world.tell(ann, &*format!(r#"42["P2P_EMIT","bob","PEER_STREAM_DESTROYED",["{near}"],null]"#));
    let heard = bob.hear(&world);
    assert!(matches!(&heard[..], [Heard::Reset { stream, .. }] if *stream == first), "{heard:?}");
    let [first_id, second_id] =
        [&offers[0], &offers[1]].map(|offer| offer.split('"').nth(5).unwrap());
    assert!(first_id.len() == 22 && first_id != second_id, "{offers:?}");
    // The notice that crosses it reaches nobody.
    world.tell(ann, &*format!(r#"42["P2P_EMIT","bob","PEER_STREAM_DESTROYED",["{near}"],null]"#));
    assert_eq!(world.texts(ann), [""; 0]);
    assert!(bob.speaker.heard().iter().all(|event| matches!(event, Event::Link(_))));
}

#[test]
fn a_stream_that_nobody_takes_in_time_is_given_up_whoever_has_opened_it() {
    let mut world = World::new(HubOptions::default());
    let second = Duration::from_secs(1);
    let ann = world.hasty("ann", [Some(second), None]);
    let mut bob = Peer::new(&world, "bob");
    let open = |number: u32| {
        let ids = format!(r#""sourceStreamId":"s{number}","targetStreamId":"t{number}""#);
        format!(r#"42{number}["CREATE_STREAM",{{{ids},"targetClientId":"bob"}}]"#)
    };
    world.tell(ann, &*open(1));
    world.tell(ann, &*open(2));
    let heard = bob.hear(&world);
    let [Heard::Opened { stream: late, .. }, Heard::Opened { stream: taken, .. }] = heard[..]
    else {
        panic!("{heard:?}")
    };
    bob.machine.accept(taken).unwrap();
    let offered = bob.machine.open("", b"").unwrap();
    bob.say();
    world.settled();
    let told = world.texts(ann);
    assert_eq!((told.len(), &*told[0]), (2, "432[]"), "{told:?}");
    let far = told[1].split('"').nth(5).unwrap().to_owned();
    world.pass(second);
    let given_up = [
        r#"431["Stream: Client bob does not answer"]"#.to_owned(),
        format!(r#"42["PEER_STREAM_DESTROYED","{far}"]"#),
    ];
    assert_eq!(world.texts(ann), given_up);
    let heard = bob.hear(&world);
    let is_reset = |event: &Heard, id| matches!(event, Heard::Reset { stream, text, .. } if *stream == id && &**text == "no answer in time");
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!([late, offered].iter().all(|id| heard.iter().any(|event| is_reset(event, *id))));
    // An answer that comes later is for nobody, and a stream that was taken stays.
    world.tell(ann, &*format!("43{}[]", id(&told[1])));
    world.pass(second);
    assert_eq!(bob.machine.write(taken, b"x"), Ok(1));
    bob.say();
    world.settled();
    let heard = world.hears(ann);
    assert!(
        matches!(&heard[..], [Message::Text(_), Message::Binary(chunk)] if chunk.ends_with(b"x"))
    );
    assert!(bob.hear(&world).is_empty());
}

#[test]
fn what_a_client_ends_a_stream_with_comes_behind_what_it_has_sent_before() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Four, "ann");
    let mut bob = Peer::new(&world, "bob");
    let info = r#"{"sourceStreamId":"s","targetStreamId":"t","targetClientId":"bob"}"#;
    // It does not even wait until the stream is there.
    world.tell(ann, &*format!(r#"42["CREATE_STREAM",{info}]"#));
    let data =
        r#"["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-s",[{"_placeholder":true,"num":0}]]"#;
    world.tell(ann, &*format!("451-1{data}"));
    world.tell(ann, &vec![7; 400_000][..]);
    world.tell(ann, r#"422["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-s",["the end"]]"#);
    world.tell(ann, r#"423["P2P_EMIT","bob","P2P_EMIT_STREAM-from-stream-s",[null]]"#);
    assert_eq!(world.texts(ann), [""; 0]);
    let heard = bob.hear(&world);
    let [Heard::Opened { stream, .. }] = &heard[..] else { panic!("{heard:?}") };
    let stream = *stream;
    bob.machine.accept(stream).unwrap();
    let mut read = Vec::new();
    for _ in 0..1000 {
        bob.say();
        world.settled();
        bob.hear(&world);
        match bob.machine.read(stream, 1 << 20).unwrap() {
            Read::Bytes(bytes) => read.extend_from_slice(&bytes),
            Read::Pending => {}
            Read::End => break,
        }
    }
    assert_eq!((read.len(), &read[400_000..]), (400_007, &b"the end"[..]));
    assert_eq!(world.texts(ann), ["431[]", "432[]", "433[]"]);
    assert!(world.buffered(ann) < 10_000, "{}", world.buffered(ann));
}

#[test]
fn what_waits_in_streams_to_a_client_that_does_not_read_is_counted() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Three, "ann");
    let mut bob = Peer::new(&world, "bob");
    bob.open("ann", b"");
    let streams: Vec<_> = (0..20).map(|_| bob.machine.open("", b"").unwrap()).collect();
    bob.say();
    world.settled();
    for offer in world.texts(ann).iter().filter(|offer| offer.contains("CREATE_STREAM")) {
        world.tell(ann, &*format!("43{}[]", id(offer)));
    }
    for _ in 0..10 {
        bob.hear(&world);
        for stream in &streams {
            let _full = bob.machine.write(*stream, &[7; 60_000]);
        }
        bob.say();
        world.settled();
    }
    let held = world.buffered(ann);
    assert!(held > 20 * 100_000, "{held}");
    bob.speaker.give(LinkCommand::Close { link: bob.link.unwrap(), reason: Reason::Left });
    world.settled();
    assert!(world.buffered(ann) < 10_000, "{}", world.buffered(ann));
}

#[test]
fn what_peers_ask_a_client_that_does_not_answer_is_bounded_and_shared() {
    let mut world = World::new(HubOptions::default());
    let ann = world.plugin(Three, "ann");
    let mut bob = Peer::new(&world, "bob");
    bob.open("ann", FOR_REQUESTS);
    let mut refused = 0;
    for _ in 0..40 {
        for _ in 0..1000 {
            if bob.machine.request(world.now, None, "ask", Format::JSON, b"1").is_err() {
                break;
            }
        }
        bob.say();
        world.settled();
        world.texts(ann);
        refused += bob.hear(&world).len();
    }
    assert!(world.buffered(ann) < 4 << 20, "{}", world.buffered(ann));
    let mut eve = Peer::new(&world, "eve");
    eve.open("ann", FOR_REQUESTS);
    eve.machine.request(world.now, None, "ask", Format::JSON, b"1").unwrap();
    eve.machine.request(world.now, None, "connect", Format::JSON, b"1").unwrap();
    eve.machine.notify("TARGET_DISCONNECT", Format::JSON, b"\"bob\"").unwrap();
    eve.say();
    world.settled();
    let heard = world.texts(ann);
    assert!(matches!(&heard[..], [one] if one.ends_with(r#"["ask",1]"#)), "{heard:?} {refused}");
    let heard = eve.hear(&world);
    assert!(
        matches!(&heard[..], [Heard::Result { outcome: Outcome::Failure(failure), .. }] if failure.code == 404),
        "{heard:?}"
    );
    world.lose(ann);
    bob.hear(&world);
    eve.hear(&world);
    assert_eq!(world.hub.metrics.links.get(), 0);
}
