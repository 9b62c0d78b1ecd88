//! The client role against servers that say what none should, or nothing.

use bytes::Bytes;
use crosspoint_gateways::engineio::Revision;
use crosspoint_gateways::engineio::payload::Message;
use crosspoint_gateways::socketio::client::{
    Args, AskId, Client, Config, Ended, Event, Fault, Generation, Offer, Read, SendError,
    StreamEnd, StreamId, StreamRequest, Written,
};
use crosspoint_hub::payload::{Format, Payload};
use std::time::{Duration, Instant};

const OPEN: &str =
    r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":200000}"#;

struct Test {
    client: Client<u32>,
    now: Instant,
}

fn named() -> Config {
    Config { client_id: Some("A".into()), ..Config::default() }
}

fn json(text: &str) -> Args {
    Args::of(&Payload::new(Format::JSON, text.to_owned()), 1 << 20).unwrap()
}

impl Test {
    fn opened(config: Config) -> Self {
        let mut test = Self { client: Client::new(config), now: Instant::now() };
        test.hear(OPEN);
        test
    }

    /// What a client says that is back, and whether it goes on with its session as the server says this.
    fn back(&mut self, welcome: &str) -> (String, bool) {
        let config = self.client.config().clone();
        self.client = Client::returning(config, self.client.before().cloned());
        self.hear(OPEN);
        let said = self.said().concat();
        self.hear(welcome);
        let events = self.events();
        let [Event::Connected { recovered, .. }] = &events[..] else { panic!("{events:?}") };
        (said, *recovered)
    }

    /// A client that is in its namespace.
    fn new(config: Config) -> Self {
        let mut test = Self::opened(config);
        test.hear(r#"40{"sid":"x"}"#);
        assert_eq!(test.said(), ["40"]);
        assert!(
            matches!(&test.events()[..], [Event::Connected { sid, recovered: false }] if &**sid == "x")
        );
        test
    }

    fn hear(&mut self, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.client.receive(self.now, Message { is_text: true, bytes });
    }

    fn hear_bytes(&mut self, bytes: &'static [u8]) {
        let bytes = Bytes::from_static(bytes);
        self.client.receive(self.now, Message { is_text: false, bytes });
    }

    fn said(&mut self) -> Vec<String> {
        let said = std::iter::from_fn(|| self.client.transmit());
        said.map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).collect()
    }

    fn events(&mut self) -> Vec<Event<u32>> {
        std::iter::from_fn(|| self.client.poll()).collect()
    }

    /// How it has ended.
    fn ended(&mut self) -> Option<Ended> {
        self.events().into_iter().find_map(|event| match event {
            Event::Gone(ended) => Some(ended),
            _ => None,
        })
    }

    fn fault(&mut self) -> Fault {
        match self.ended() {
            Some(Ended::Fault(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    /// The only event.
    fn offer(&mut self) -> Offer {
        let mut events = self.events();
        match (events.pop(), &events[..]) {
            (Some(Event::StreamOffered(offer)), []) => offer,
            other => panic!("{other:?}"),
        }
    }

    /// A stream that another client has opened.
    fn offered(&mut self, own: &str, theirs: &str) -> StreamId {
        let info = format!(
            r#"{{"sourceStreamId":"{theirs}","targetStreamId":"{own}","targetClientId":"A","sourceClientId":"B"}}"#
        );
        self.hear(&format!(r#"427["CREATE_STREAM",{info}]"#));
        let offer = self.offer();
        assert_eq!((&*offer.from, &offer.channel), ("B", &None));
        let stream = self.client.accept(offer).unwrap();
        assert_eq!(self.said(), ["437[]"]);
        stream
    }

    /// A chunk of the stream that the other side writes as `theirs`.
    fn chunk(&mut self, theirs: &str, id: u64, bytes: &'static [u8]) {
        let place = r#"{"_placeholder":true,"num":0}"#;
        self.hear(&format!(r#"451-{id}["P2P_EMIT_STREAM-from-stream-{theirs}",{place}]"#));
        self.hear_bytes(bytes);
    }

    fn read(&mut self, stream: StreamId) -> (Read, Vec<u8>) {
        let mut read = Vec::new();
        (self.client.read(stream, &mut read, 1 << 20), read)
    }
}

#[test]
fn what_no_server_says_ends_the_connection() {
    let large = format!(r#"42["a","{}"]"#, "x".repeat(1000));
    let bounded = || Config { packet_bytes_max: 1000, ..named() };
    for (text, says) in [
        ("45-[]", "a binary packet without a number of attachments"),
        ("4511-[]", "a packet with more than 10 attachments"),
        ("49", "a packet of an unknown kind"),
        ("42{}", "a packet with data that its kind does not have"),
        ("42[\"a\"", "byte"),
        ("430[", "byte"),
        ("3", "which a server does not send here"),
        ("x", "unknown kind"),
        (&large, "a packet with more than 1000 bytes"),
    ] {
        let mut test = Test::new(bounded());
        test.hear(text);
        let fault = test.fault().to_string();
        assert!(fault.contains(says), "{text}: {fault}");
        test.hear("42[\"a\"]");
        assert!(test.events().is_empty() && test.said().is_empty(), "nothing follows");
    }
    let mut test = Test::new(bounded());
    test.hear_bytes(b"x");
    assert_eq!(test.fault(), Fault::Attachment);
    let mut test = Test::new(bounded());
    test.hear(r#"452-["a",{"_placeholder":true,"num":0}]"#);
    test.hear("2");
    test.hear_bytes(b"x");
    test.hear("42[\"b\"]");
    assert_eq!(test.fault(), Fault::MissingAttachment);
    let mut test = Test::new(bounded());
    test.hear(r#"452-["a",{"_placeholder":true,"num":0}]"#);
    test.hear_bytes(&[0; 900]);
    test.hear_bytes(&[0; 100]);
    assert_eq!(test.fault(), Fault::TooLarge(1000));
    // Each attachment has one place.
    let mut test = Test::new(bounded());
    test.hear(r#"452-["a",{"_placeholder":true,"num":0}]"#);
    test.hear_bytes(b"x");
    test.hear_bytes(b"y");
    assert!(matches!(test.fault(), Fault::Arguments(_)));
}

#[test]
fn what_nobody_can_listen_for_is_ignored() {
    let mut test = Test::new(named());
    for text in [
        "42[]",
        "42[null]",
        "42[\"disconnect\"]",
        "42[\"\\ud800\"]",
        "430[]",
        "4399[1,2]",
        "42/other,[\"a\"]",
        "41/other,",
        "40",
        "6",
        // Of the plugin, without what has to be there.
        "420[\"CREATE_STREAM\"]",
        "420[\"CREATE_STREAM\",{\"sourceStreamId\":\"\",\"targetStreamId\":\"\",\"sourceClientId\":\"B\"}]",
        "420[\"P2P_EMIT_STREAM-from-stream-x\",\"a\"]",
        "42[\"PEER_STREAM_DESTROYED\",\"x\"]",
        "42[\"PEER_STREAM_DESTROYED\"]",
        "42[\"SERVER_PING\"]",
    ] {
        test.hear(text);
        assert!(test.events().is_empty() && test.said().is_empty(), "{text}");
    }
    test.hear("421[7,1]");
    let events = test.events();
    let [Event::Said { name, args, ticket: Some(ticket) }] = &events[..] else { panic!() };
    assert_eq!((&**name, args.array()), ("7", "[1]"));
    test.client.answer(ticket, &Args::default()).unwrap();
    test.hear("425[\"SERVER_PING\"]");
    test.hear("42[\"SERVER_ERROR\",{\"a\":1}]");
    let events = test.events();
    assert!(matches!(&events[..], [Event::ServerError(text)] if text == "[{\"a\":1}]"));
    assert_eq!(test.said(), ["431[]", "435[\"pong from client A\"]"]);
}

#[test]
fn a_client_without_a_name_hears_the_words_of_the_plugin_as_any_others() {
    let mut test = Test::new(Config::default());
    test.hear("425[\"SERVER_PING\"]");
    test.hear("42[\"P2P_REGISTER\",\"B\"]");
    let events = test.events();
    let [Event::Said { ticket: Some(_), .. }, Event::Said { ticket: None, .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
}

#[test]
fn an_acknowledgement_counts_once_and_those_that_do_not_come_end_with_the_connection() {
    let mut test = Test::new(Config { acks_max: 3, ..named() });
    let mut ask = |token| test.client.emit("q", &Args::default(), Some(token));
    let ids: Vec<AskId> = (0..3).map(|token| ask(token).unwrap().unwrap()).collect();
    assert_eq!(ask(3), Err(SendError::TooManyAcks(3)));
    test.client.emit("said", &Args::default(), None).unwrap();
    assert_eq!(test.said().len(), 4);
    test.hear("431[1]");
    test.hear("431[2]");
    let events = test.events();
    let [Event::Answered { token: 1, args }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(args.array(), "[1]");
    test.client.forget(ids[2]);
    test.hear("432[]");
    assert!(test.events().is_empty());
    test.client.emit("q", &Args::default(), Some(4)).unwrap();
    test.hear("41");
    let events = test.events();
    let [
        Event::Abandoned { token: 0 },
        Event::Abandoned { token: 4 },
        Event::Gone(Ended::Disconnected),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(test.client.emit("q", &Args::default(), None), Err(SendError::NotConnected));
}

#[test]
fn what_waits_to_be_written_is_bounded_and_what_the_server_does_not_take_is_not_sent() {
    let mut test = Test::new(Config { queue_bytes_max: 3000, ..named() });
    let kilobyte = Args::text(&"x".repeat(1000));
    test.client.emit("a", &kilobyte, None).unwrap();
    test.client.emit("a", &kilobyte, None).unwrap();
    assert_eq!(test.client.emit("a", &kilobyte, None), Err(SendError::Full));
    assert!(test.client.transmit().is_some());
    test.client.emit("a", &kilobyte, None).unwrap();
    test.said();
    // One alone may be larger than that, and as large as the server says.
    let fits = Args::text(&"x".repeat(199_900));
    test.client.emit("a", &fits, None).unwrap();
    let over = Args::bytes(vec![0; 200_001].into());
    let error = test.client.emit("a", &over, None);
    assert_eq!(error, Err(SendError::TooLarge { bytes: 200_001, most: 200_000 }));
    assert_eq!(test.client.emit("connect", &kilobyte, None), Err(SendError::Reserved));
    let list: Vec<_> = (0..11).map(|_| Payload::bytes(vec![1])).collect();
    let eleven = [&b"\x9b"[..], &b"\xc4\x01x".repeat(list.len())].concat();
    assert!(Args::of(&Payload::new(Format::MESSAGE_PACK, eleven), 1000).is_err());
}

#[test]
fn a_server_that_takes_no_answers_is_not_read() {
    let mut test = Test::new(Config { queue_bytes_max: 1000, ..named() });
    let mut asked = 0;
    while test.client.takes_input() {
        test.hear("420[\"SERVER_PING\"]");
        asked += 1;
        assert!(asked < 10_000, "it is bounded");
    }
    assert!(asked > 1000);
    assert_eq!(test.said().len(), asked);
    assert!(test.client.takes_input());
    // Pings have one answer.
    (0..100).for_each(|_| test.hear("2x"));
    assert_eq!(test.said(), ["3x"]);
}

#[test]
fn a_server_that_is_silent_is_given_up() {
    let mut test = Test::new(named());
    let ask = test.client.emit("q", &Args::default(), Some(1)).unwrap();
    assert!(ask.is_some());
    test.said();
    let due = test.client.deadline().unwrap();
    assert_eq!(due - test.now, Duration::from_secs(45));
    test.now = due;
    test.client.tick(due);
    let events = test.events();
    let [Event::Abandoned { token: 1 }, Event::Gone(Ended::Silent)] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(Ended::Silent.is_passing() && !Ended::Disconnected.is_passing());
    assert_eq!(test.client.deadline(), None);
}

#[test]
fn closing_says_everything_first() {
    let mut test = Test::new(named());
    test.client.emit("last", &Args::default(), None).unwrap();
    test.client.close();
    assert_eq!(test.client.emit("later", &Args::default(), None), Err(SendError::NotConnected));
    assert_eq!(test.said(), ["42[\"last\"]", "41"]);
    assert!(matches!(test.ended(), Some(Ended::Here)));
}

#[test]
fn a_namespace_is_entered_in_both_revisions_or_refused() {
    let admin = |revision| Config {
        revision,
        namespace: "/admin".into(),
        auth: Some(r#"{"token":"x"}"#.into()),
        ..Config::default()
    };
    let mut test = Test::opened(admin(Revision::Four));
    assert_eq!(test.said(), [r#"40/admin,{"token":"x"}"#]);
    assert_eq!(test.client.emit("early", &Args::default(), None), Err(SendError::NotConnected));
    test.hear(r#"44/admin,{"message":"not allowed","data":1}"#);
    assert!(matches!(test.ended(), Some(Ended::Refused(why)) if why == "not allowed"));

    let mut test = Test::opened(admin(Revision::Three));
    assert_eq!(test.said(), ["40/admin,"]);
    test.hear("40");
    assert!(test.events().is_empty() && !test.client.is_connected());
    test.hear("40/admin,");
    assert!(
        matches!(&test.events()[..], [Event::Connected { sid, recovered: false }] if &**sid == "s")
    );
    test.client.emit("a", &json("[1]"), Some(1)).unwrap();
    assert_eq!(test.said(), [r#"42/admin,0["a",1]"#]);
    test.hear(r#"44/admin,"odd""#);
    assert!(matches!(&test.events()[..], [Event::ServerError(text)] if text == "odd"));
    test.hear("43/admin,0[2]");
    assert!(matches!(&test.events()[..], [Event::Answered { token: 1, .. }]));
    let mut test = Test::opened(Config { revision: Revision::Three, ..admin(Revision::Three) });
    test.hear("44/admin,\"Invalid namespace\"");
    assert!(matches!(test.ended(), Some(Ended::Refused(why)) if why == "Invalid namespace"));
}

#[test]
fn a_stream_that_nobody_reads_withholds_its_acknowledgements() {
    let mut test = Test::new(Config { stream_window: 4, ..named() });
    let stream = test.offered("own", "theirs");
    test.chunk("theirs", 1, b"abc");
    assert_eq!(test.said(), ["431[]"]);
    test.chunk("theirs", 2, b"defg");
    assert!(test.said().is_empty());
    let mut some = Vec::new();
    assert_eq!(test.client.read(stream, &mut some, 2), Read::Some);
    assert!(test.said().is_empty(), "five bytes wait");
    assert_eq!(test.read(stream), (Read::Some, b"cdefg".to_vec()));
    assert_eq!(test.said(), ["432[]"]);
    assert_eq!(test.read(stream).0, Read::Pending);
    // Texts, arrays, and what is neither.
    for (id, chunk) in [(3, "\"x\u{20ac}\""), (4, "[1,2]"), (5, "{}"), (6, "[300]")] {
        test.hear(&format!(r#"42{id}["P2P_EMIT_STREAM-from-stream-theirs",{chunk}]"#));
    }
    assert_eq!(test.said(), Vec::<String>::new(), "4 bytes wait");
    assert_eq!(test.read(stream), (Read::Some, "x\u{20ac}\u{1}\u{2}".into()));
    assert_eq!(test.said(), ["433[]", "434[]"]);
    test.hear(r#"427["P2P_EMIT_STREAM-from-stream-theirs",null]"#);
    assert_eq!((test.read(stream).0, test.said()), (Read::End, vec!["437[]".to_owned()]));
    test.chunk("theirs", 8, b"late");
    assert_eq!((test.read(stream).0, test.said()), (Read::End, vec![]));
}

#[test]
fn a_writer_that_does_not_wait_loses_its_stream() {
    let mut test = Test::new(Config { stream_window: 4, ..named() });
    let stream = test.offered("own", "theirs");
    let mut chunks = 0;
    while test.said().is_empty() {
        test.chunk("theirs", 10 + chunks, b"abcd");
        chunks += 1;
        assert!(chunks < 100);
    }
    assert_eq!(chunks, 17);
    test.chunk("theirs", 100, b"abcd");
    assert_eq!(test.read(stream).1.len(), 68);
    assert_eq!(test.read(stream).0, Read::Over(StreamEnd::Overrun));
    assert_eq!(test.client.write(stream, b"x"), Written::Over(StreamEnd::Overrun));
    assert!(test.said().is_empty());
    // All streams together are bounded as well.
    let bounds = Config { stream_window: 4, stream_bytes_max: 100, ..named() };
    let mut test = Test::new(bounds);
    let [one, two] = ["1", "2"].map(|id| test.offered(id, id));
    test.chunk("1", 1, &[0; 60]);
    test.chunk("2", 2, &[0; 60]);
    assert_eq!(test.said(), [r#"42["P2P_EMIT","B","PEER_STREAM_DESTROYED",["2"],null]"#]);
    assert_eq!(test.client.read(two, &mut Vec::new(), 60), Read::Some);
    assert_eq!(test.read(two).0, Read::Over(StreamEnd::Overrun));
    assert_eq!(test.read(one).1.len(), 60);
}

#[test]
fn a_stream_has_one_chunk_on_the_way_and_says_its_end() {
    let mut test = Test::new(named());
    let request = StreamRequest {
        to: "B".into(),
        own: "own".into(),
        theirs: "theirs".into(),
        channel: None,
        args: None,
    };
    test.client.open_stream(request, 1).unwrap();
    test.said();
    test.hear("430[]");
    let events = test.events();
    let [Event::StreamOpened { token: 1, stream }] = events[..] else { panic!("{events:?}") };
    assert_eq!(test.client.write(stream, b"one"), Written::Some(3));
    assert_eq!(test.client.write(stream, b"two"), Written::Some(3));
    let large = vec![7; 100_000];
    assert_eq!(test.client.write(stream, &large), Written::Some(64 * 1024 - 3));
    assert_eq!(test.client.write(stream, &large), Written::Pending);
    assert_eq!(test.client.flushed(stream), Written::Pending);
    assert_eq!(test.said().len(), 2);
    test.hear("431[]");
    assert!(matches!(test.events()[..], [Event::StreamMoved(moved)] if moved == stream));
    assert_eq!(test.said()[1].len(), 64 * 1024);
    assert_eq!(test.client.shut_down(stream), Written::Pending);
    assert_eq!(test.client.write(stream, b"x"), Written::Ended);
    test.hear("432[]");
    let end = r#"423["P2P_EMIT","B","P2P_EMIT_STREAM-from-stream-own",[null]]"#;
    assert_eq!(test.said(), [end]);
    test.hear("433[]");
    assert_eq!(test.client.shut_down(stream), Written::Done);
    // What the other side writes is thrown away when nobody holds the stream, until it ends as well.
    test.client.leave_stream(stream);
    assert_eq!((test.said(), test.client.streams()), (vec![], 1));
    test.chunk("theirs", 5, b"x");
    test.hear(r#"426["P2P_EMIT_STREAM-from-stream-theirs",null]"#);
    assert_eq!((test.said().len(), test.client.streams()), (2, 0));
}

#[test]
fn a_stream_ends_with_what_it_belongs_to() {
    let mut test = Test::new(named());
    let [one, two, three] = ["1", "2", "3"].map(|id| test.offered(id, id));
    test.chunk("1", 1, b"unread");
    test.said();
    test.hear(r#"42["PEER_STREAM_DESTROYED","1"]"#);
    let notice = |id| format!(r#"42["P2P_EMIT","B","PEER_STREAM_DESTROYED",["{id}"],null]"#);
    assert_eq!(test.said(), [notice(1)]);
    assert_eq!(test.read(one), (Read::Some, b"unread".to_vec()));
    assert_eq!(test.read(one).0, Read::Over(StreamEnd::Destroyed));
    test.client.leave_stream(one);
    test.client.leave_stream(two);
    assert_eq!(test.said(), [notice(2)]);
    assert_eq!(test.client.streams(), 1);
    test.hear(r#"42["PEER_STREAM_DESTROYED","2"]"#);
    test.hear(r#"42["TARGET_DISCONNECT","B"]"#);
    assert!(test.said().is_empty());
    assert_eq!(test.read(three).0, Read::Over(StreamEnd::PeerGone));
    test.events();
    let four = test.offered("4", "4");
    test.chunk("4", 1, b"unread");
    test.client.end(Ended::There);
    assert_eq!(test.read(four), (Read::Some, b"unread".to_vec()));
    assert_eq!(test.read(four).0, Read::Over(StreamEnd::Disconnected));
    assert_eq!(test.client.flushed(four), Written::Done);
    assert_eq!(test.client.shut_down(four), Written::Over(StreamEnd::Disconnected));
    test.client.leave_stream(four);
    test.client.leave_stream(three);
    assert_eq!(test.client.streams(), 0);
}

#[test]
fn streams_are_bounded_and_one_that_comes_too_late_is_destroyed() {
    let mut test = Test::new(Config { streams_max: 1, ..named() });
    let request = || StreamRequest {
        to: "B".into(),
        own: "a".into(),
        theirs: "b".into(),
        channel: None,
        args: None,
    };
    let asked = test.client.open_stream(request(), 1).unwrap().unwrap();
    test.client.forget(asked);
    test.said();
    test.hear("430[]");
    assert_eq!(test.said(), [r#"42["P2P_EMIT","B","PEER_STREAM_DESTROYED",["a"],null]"#]);
    test.offered("own", "theirs");
    assert_eq!(test.client.open_stream(request(), 1), Err(SendError::TooManyStreams(1)));
    let info = r#"{"sourceStreamId":"x","targetStreamId":"y","sourceClientId":"B"}"#;
    test.hear(&format!(r#"429["CREATE_STREAM-CHANNEL-logs",{info}]"#));
    let offer = test.offer();
    assert_eq!(offer.channel.as_deref(), Some("logs"));
    assert_eq!(test.client.accept(offer), None);
    assert_eq!(test.said(), [r#"439["Stream: the client takes no further stream"]"#]);
}

#[test]
fn pairs_are_between_two_and_their_stream_goes_with_them() {
    let first = Config { generation: Generation::First, revision: Revision::Three, ..named() };
    let mut test = Test::opened(first);
    test.hear("40");
    test.events();
    assert_eq!(test.client.unpair(1), Err(SendError::Paired(false)));
    test.hear(r#"421["P2P_REGISTER","B"]"#);
    test.hear(r#"422["P2P_REGISTER","C"]"#);
    assert_eq!(test.said(), ["431[true]", "432[false]"]);
    assert!(matches!(&test.events()[..], [Event::Paired { id }] if id == "B"));
    assert_eq!(test.client.pair("C", 1), Err(SendError::Paired(true)));
    let mut offers = Vec::new();
    for id in 3..5 {
        test.hear(&format!(r#"42{id}["P2P_REGISTER_STREAM"]"#));
        let offer = test.offer();
        offers.push(test.client.accept(offer));
    }
    let (Some(stream), None) = (offers[0], offers[1]) else { panic!("{offers:?}") };
    assert_eq!(test.said(), ["433[true]", "434[false]"]);
    assert_eq!(test.client.write(stream, b"x"), Written::Some(1));
    let said = r#"451-0["P2P_EMIT_ACKNOWLEDGE",{"targetClientId":"B","event":"P2P_EMIT_STREAM","args":[{"_placeholder":true,"num":0}]}]"#;
    assert_eq!(test.said(), [said, "\u{4}x"]);
    test.hear("430[]");
    assert_eq!(test.client.shut_down(stream), Written::Done);
    test.hear("42[\"P2P_DISCONNECT\"]");
    assert_eq!(test.read(stream).0, Read::Over(StreamEnd::PeerGone));
    test.client.leave_stream(stream);
    assert!(test.said().is_empty() && test.client.paired_with().is_none());
}

#[test]
fn a_client_that_comes_back_names_its_session_and_the_last_text_that_it_got() {
    let auth = Some(r#" { "token" : "t" } "#.to_owned());
    let mut test = Test::opened(Config { auth, ..Config::default() });
    assert_eq!(test.said(), [r#"40 { "token" : "t" } "#]);
    test.hear(r#"40{"sid":"x","pid":"p\"1"}"#);
    for event in [r#"42["a",1,"o1"]"#, r#"42["b","not the last",2]"#, r#"427["c","asked"]"#] {
        test.hear(event);
    }
    test.events();
    let said = r#"40{"pid":"p\"1","offset":"o1","token" : "t"}"#;
    assert_eq!(test.back(r#"40{"sid":"x","pid":"p\"1"}"#), (said.to_owned(), true));
    // What was missed comes, and the next offset is that of it.
    test.hear(r#"42["d","o2"]"#);
    test.events();
    let said = r#"40{"pid":"p\"1","offset":"o2","token" : "t"}"#;
    assert_eq!(test.back(r#"40{"sid":"y","pid":"p2"}"#), (said.to_owned(), false));
    let said = r#"40{"pid":"p2","token" : "t"}"#;
    assert_eq!(test.back(r#"40{"sid":"z"}"#), (said.to_owned(), false), "of another session");
    assert_eq!(test.back(r#"40{"sid":"z"}"#).0, r#"40 { "token" : "t" } "#);
}

#[test]
fn what_was_missed_may_come_before_the_client_is_let_in() {
    let mut test = Test::opened(Config { queue_bytes_max: 1000, ..Config::default() });
    test.hear(r#"42["early"]"#);
    test.hear(r#"40{"sid":"x","pid":"p"}"#);
    assert!(matches!(&test.events()[..], [Event::Connected { .. }]), "there was no session");
    let again = |test: &mut Test| {
        let config = test.client.config().clone();
        test.client = Client::returning(config, test.client.before().cloned());
        test.hear(OPEN);
    };
    again(&mut test);
    test.hear(r#"42["one","o1"]"#);
    test.hear(r#"451-["two",{"_placeholder":true,"num":0},"o2"]"#);
    test.hear_bytes(b"\x01");
    assert!(test.events().is_empty());
    test.hear(r#"40{"sid":"x","pid":"p"}"#);
    let events = test.events();
    let [
        Event::Connected { recovered: true, .. },
        Event::Said { name: one, .. },
        Event::Said { name: two, args, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((&**one, &**two, args.attachments()), ("one", "two", &[Bytes::from("\x01")][..]));
    assert_eq!(test.back(r#"40{"sid":"y"}"#).0, r#"40{"pid":"p","offset":"o2"}"#);

    let mut test = Test::opened(Config { queue_bytes_max: 1000, ..Config::default() });
    test.hear(r#"40{"sid":"x","pid":"p"}"#);
    again(&mut test);
    (0..20).for_each(|_| test.hear(r#"42["flood"]"#));
    assert_eq!(test.fault(), Fault::TooLarge(1000));
}

#[test]
fn a_connection_that_never_was_does_not_lose_the_session() {
    let mut test = Test::opened(Config::default());
    test.hear(r#"40{"sid":"x","pid":"p"}"#);
    test.events();
    let before = test.client.before().cloned();
    test.client = Client::returning(Config::default(), before);
    test.client.end(Ended::There);
    assert_eq!(test.back(r#"40{"sid":"x","pid":"p"}"#), (r#"40{"pid":"p"}"#.to_owned(), true));
    // No bounds of the server's are trusted.
    let mut test = Test::opened(Config::default());
    test.hear(&format!(r#"40{{"sid":"x","pid":"{}"}}"#, "p".repeat(300)));
    assert!(test.client.before().is_none());
}
