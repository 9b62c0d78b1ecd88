//! Encryption that the hub begins: because its program wants it, or by itself. The client is a link of
//! this crate that says nothing the original does not say.

use crate::anysocket_server_peers as peers;
use crate::common::World;
use crate::common::speaker::{FOR_REQUESTS, Speaker};
use bytes::BytesMut;
use crosspoint_gateways::anysocket::auth::Auth;
use crosspoint_gateways::anysocket::cipher::SystemRandom;
use crosspoint_gateways::anysocket::packet::{Message, parse};
use crosspoint_gateways::anysocket::server::{AnySocket, Options};
use crosspoint_gateways::anysocket::{Config, Id, Json, Kind, Link, Packet, Received};
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::{Command, Peer, Target};
use crosspoint_hub::payload::{Ask, Payload};
use crosspoint_hub::protocol::{Activity, Protocol};
use crosspoint_hub::secrecy::Fingerprint;
use crosspoint_hub::session::Step;
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{HubOptions, Limits, PeerId, Reason};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const HUB: PeerId = PeerId::new([0x5e; 16]);
const ANN: PeerId = PeerId::new([0xa1; 16]);
/// How long the hub waits before it begins by itself.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers messages with themselves.
struct Echo;

impl Application for Echo {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        reply.send(Ok(ask.payload));
    }
}

fn options(world: &World, encrypt: bool) -> Options {
    let limits = world.hub.limits.clone();
    Options { id: HUB, auth: None, limits, clock: || 1, guard_races: true, encrypt }
}

fn secure(world: &mut World, peer: PeerId) -> Receiver<Result<Fingerprint, Reason>> {
    let (sender, settled) = channel();
    let done = Box::new(move |outcome| {
        // A test that has failed does not wait any more.
        let _ = sender.send(outcome);
    });
    assert_eq!(world.hub.secure(peer, done), Ok(()));
    world.idle();
    settled
}

/// A hub and one client.
struct Pair {
    world: World,
    end: usize,
    client: Link<u32>,
    /// What the client has heard.
    heard: Vec<String>,
    /// What the hub has written, and the client may not have taken.
    written: Vec<Packet>,
    fingerprint: Option<Fingerprint>,
}

impl Pair {
    fn new(encrypt: bool) -> Self {
        Self::with(Limits::default(), encrypt)
    }

    fn with(limits: Limits, encrypt: bool) -> Self {
        let mut world = World::new(HubOptions { limits, ..HubOptions::default() });
        assert!(world.hub.set_application(Box::new(Echo)).is_ok());
        let end = world.anysocket(options(&world, encrypt), Box::new(SystemRandom));
        let config = Config { mark_switch: false, ..Config::default() };
        let client = Link::new(Arc::new(config), ANN);
        let (heard, written) = (Vec::new(), Vec::new());
        let mut pair = Self { world, end, client, heard, written, fingerprint: None };
        let auth = Auth { id: Id::Peer(ANN), auth: None };
        pair.client.authenticate(auth.to_json()).unwrap();
        pair.speak();
        pair.listen();
        assert!(pair.client.peer().is_some());
        pair
    }

    /// What the client has to say arrives.
    fn speak(&mut self) {
        while let Some(packet) = self.client.transmit(&mut SystemRandom).unwrap() {
            let mut message = BytesMut::new();
            packet.encode(&mut message);
            self.world.say(self.end, &message);
        }
    }

    /// What the hub has written is under way.
    fn collect(&mut self) {
        for message in self.world.said(self.end) {
            let Ok(Message::Packet(packet)) = parse(message.into()) else { panic!("a packet") };
            self.written.push(packet);
        }
    }

    /// The client takes what is under way.
    fn listen(&mut self) {
        self.collect();
        for packet in std::mem::take(&mut self.written) {
            match self.client.receive(self.world.now, &mut SystemRandom, packet).unwrap() {
                Some(Received::Auth(_)) => self.client.set_peer(Id::Peer(HUB)),
                Some(Received::Message { body, .. }) => self.heard.push(body.text().to_owned()),
                Some(Received::Reply { token, body }) => {
                    self.heard.push(format!("{token}: {body}"))
                }
                Some(Received::Internal { body, ticket }) => match body.text() {
                    // The question for the clock.
                    text if text.starts_with(r#"{"type":5,"#) => {
                        self.client.reply(ticket.unwrap(), Json::EMPTY).unwrap();
                    }
                    text => self.heard.push(text.to_owned()),
                },
                Some(Received::Encrypted { fingerprint }) => self.fingerprint = Some(fingerprint),
                None => {}
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..5 {
            self.speak();
            self.listen();
        }
    }

    fn ask(&mut self, token: u32) {
        let body = Json::new(&format!("question {token}")).unwrap();
        let deadline = self.world.now + Duration::from_secs(30);
        self.client.request(body, deadline, token).unwrap();
    }

    fn tell(&mut self, text: &str) {
        assert!(self.world.hub.tell(ANN, Payload::text(text)));
        self.world.idle();
    }

    fn secure(&mut self) -> Receiver<Result<Fingerprint, Reason>> {
        secure(&mut self.world, ANN)
    }
}

#[test]
fn the_program_encrypts_a_client_and_nothing_is_lost_or_said_in_clear_behind_its_wish() {
    let mut pair = Pair::new(false);
    pair.tell("before");
    pair.ask(1);
    let settled = pair.secure();
    pair.tell("behind");
    pair.collect();
    let clear: Vec<_> = pair.written.iter().map(|packet| packet.kind).collect();
    assert_eq!(clear, [Kind::Link, Kind::Internal, Kind::Switch]);
    // The client asks in clear, as it has not heard of it yet.
    pair.speak();
    pair.ask(2);
    pair.settle();
    assert_eq!(pair.heard, ["\"before\"", "\"behind\"", "1: \"question 1\"", "2: \"question 2\""]);
    let fingerprint = settled.try_recv().unwrap();
    assert_eq!(fingerprint.ok(), pair.fingerprint);
    assert_eq!(pair.world.hub.secured(ANN), pair.fingerprint);
    // Wishing again changes nothing.
    assert_eq!(pair.secure().try_recv().unwrap().ok(), pair.fingerprint);
    assert_eq!(pair.world.said(pair.end).len(), 0);
}

#[test]
fn large_messages_wait_for_encryption_and_leave_one_after_the_other() {
    let mut pair = Pair::new(false);
    let settled = pair.secure();
    let large = "x".repeat(1_000_000);
    for _ in 0..3 {
        pair.tell(&large);
    }
    for token in 0..4 {
        let body = Json::new(&large).unwrap();
        pair.client.request(body, pair.world.now + Duration::from_secs(9), token).unwrap();
    }
    pair.speak();
    assert_eq!(pair.world.closed(pair.end), None);
    pair.settle();
    assert_eq!(pair.heard.len(), 7);
    assert!(settled.try_recv().unwrap().is_ok());
}

#[test]
fn what_the_hub_gives_to_the_check_of_its_clients_is_not_printed() {
    let world = World::new(HubOptions::default());
    let auth = Some(Json::new("swordfish").unwrap());
    let printed = format!("{:?}", Options { auth, ..options(&world, true) });
    assert!(
        printed.contains(r#"auth: Some("***")"#) && !printed.contains("swordfish"),
        "{printed}"
    );
}

#[test]
fn what_waits_for_encryption_is_bounded() {
    let limits =
        Limits { outbox_bytes_max: 256 * 1024, message_bytes_max: 100_000, ..Limits::default() };
    let bound = limits.outbox_bytes_max + 2 * limits.message_bytes_max as usize;
    let mut pair = Pair::with(limits, false);
    let settled = pair.secure();
    // Its JSON form has two bytes more.
    let text = "x".repeat(39_998);
    for _ in 0..bound / 40_000 {
        pair.tell(&text);
    }
    assert_eq!(pair.world.closed(pair.end), None);
    pair.tell(&text);
    assert_eq!(pair.world.closed(pair.end), Some(Reason::SlowReceiver));
    assert_eq!(settled.try_recv(), Ok(Err(Reason::SlowReceiver)));
}

/// What they say would fill the memory that is there for it within a moment.
#[test]
fn strangers_that_flood_a_client_while_it_begins_to_encrypt_wait_for_it() {
    const NOTIFY: u8 = 0x15;
    for encrypt in [false, true] {
        let mut pair = Pair::new(encrypt);
        let now = pair.world.now;
        let mut bert = Speaker::new(&pair.world.hub, now, PeerId::new([0xb2; 16]), None);
        let link = bert.link(ANN, FOR_REQUESTS);
        let settled = pair.secure();
        pair.world.pass(PAUSE);
        let flood = |bert: &mut Speaker, sent: &mut u64| {
            loop {
                let part = Part { kind: NOTIFY, ..Part::whole(format!("\u{1}p\u{2}[{sent}]")) };
                let said = Command::Send { to: Target::Link(link), part };
                let steps = (bert.session.execute(now, said), bert.session.flush(now));
                *sent += 1;
                if steps != (Step::Go, Step::Go) || *sent == 20_000 {
                    return;
                }
            }
        };
        let mut sent = 0;
        flood(&mut bert, &mut sent);
        assert!(sent < 20_000, "it has to wait");
        pair.world.idle();
        pair.collect();
        assert_eq!(pair.written.len(), 2, "the question for the clock, and SWITCH");
        // The client is read all the same.
        let call = r#"{"type":3,"method":["hub","peers"],"params":[],"bin":[]}"#;
        pair.client.send_internal(Json::parse(call.into()).unwrap()).unwrap();
        pair.speak();
        assert!(!pair.world.waits(pair.end));
        pair.settle();
        assert_eq!(pair.world.hub.secured(ANN), pair.fingerprint);
        assert!(settled.try_recv().unwrap().is_ok());
        while sent < 20_000 {
            assert_eq!(bert.session.flush(now), Step::Go);
            flood(&mut bert, &mut sent);
            pair.world.idle();
            pair.settle();
        }
        assert_eq!(pair.world.closed(pair.end), None);
        assert_eq!(pair.heard.len(), 20_000);
        let mut heard = pair.heard.iter().zip(0..20_000);
        assert!(heard.all(|(heard, sent)| heard.contains(&format!("[{sent}]"))));
    }
}

/// A session that waits for others is not read, and so its answer would not be.
#[test]
fn a_client_is_read_until_it_has_answered_however_little_room_others_have() {
    let mut pair = Pair::new(false);
    let now = pair.world.now;
    let id = |byte| PeerId::new([byte; 16]);
    let mut owner = Speaker::new(&pair.world.hub, now, id(0xb2), None);
    for (request, name) in [(1, "one"), (2, "two")] {
        owner.give(Command::create(request, name));
    }
    let mut filler = Speaker::new(&pair.world.hub, now, id(0xc3), None);
    let link = filler.link(id(0xb2), b"");
    let fill = || Command::Send { to: Target::Link(link), part: Part::whole(vec![7; 30_000]) };
    while (filler.session.execute(now, fill()), filler.session.flush(now)) == (Step::Go, Step::Go) {
    }
    let settled = pair.secure();
    for name in ["one", "two"] {
        let call = format!(
            r#"{{"type":3,"method":["hub","rooms","enter"],"params":["{name}"],"bin":[]}}"#
        );
        pair.client.send_internal(Json::parse(call.into()).unwrap()).unwrap();
    }
    pair.ask(1);
    pair.speak();
    pair.settle();
    assert!(settled.try_recv().unwrap().is_ok(), "the answer was read");
    assert!(pair.world.waits(pair.end), "the second entry waits for the owner");
    owner.heard();
    pair.settle();
    pair.world.idle();
    pair.settle();
    assert_eq!(pair.heard, ["1: \"question 1\""]);
}

#[test]
fn what_a_client_says_before_its_answer_is_bounded_and_carried_out_in_order() {
    const QUESTIONS: u32 = 600;
    let limits =
        Limits { outbox_bytes_max: 64 * 1024, message_bytes_max: 4_000, ..Limits::default() };
    let mut pair = Pair::with(limits, false);
    let settled = pair.secure();
    pair.collect();
    let before = pair.world.buffered(pair.end);
    let mut most = 0;
    for token in 0..QUESTIONS {
        pair.ask(token);
        pair.speak();
        most = most.max(pair.world.buffered(pair.end) - before);
        if token == 100 {
            pair.collect();
            assert_eq!(pair.written.len(), 2, "nothing is answered yet");
        }
    }
    assert!((72_000..400_000).contains(&most), "{most} bytes");
    pair.settle();
    assert!(settled.try_recv().unwrap().is_ok());
    assert_eq!((pair.world.closed(pair.end), pair.heard.len()), (None, QUESTIONS as usize));
    let mut heard = pair.heard.iter().zip(0..QUESTIONS);
    assert!(heard.all(|(heard, token)| *heard == format!("{token}: \"question {token}\"")));
}

/// Their answers would be more than may wait for it.
#[test]
fn however_much_a_client_says_before_its_answer_it_is_answered_step_by_step() {
    const QUESTIONS: u32 = 15_000;
    let mut pair = Pair::new(false);
    let settled = pair.secure();
    pair.collect();
    for token in 0..QUESTIONS {
        pair.ask(token % 4000);
        // The client of the test waits for so many at most.
        if token % 4000 == 3999 {
            pair.speak();
            let now = pair.world.now + Duration::from_secs(60);
            while pair.client.expired(now).is_some() {}
        }
    }
    pair.settle();
    assert!(settled.try_recv().unwrap().is_ok());
    pair.settle();
    assert_eq!(pair.world.closed(pair.end), None);
    let answered = pair.client.dropped().replies + pair.heard.len() as u64;
    assert_eq!(answered, u64::from(QUESTIONS));
}

/// They say nothing of the hub's own, and may be what the client waits for.
#[test]
fn packets_of_other_clients_go_on_to_a_client_that_has_yet_to_answer() {
    let mut world = peers::world();
    let [ann, bert] = [peers::ANN, peers::BERT].map(|id| peers::client(&mut world, id));
    let body = format!(r#"{{"type":2,"action":"proxy","id":"{}"}}"#, peers::BERT);
    peers::say(&mut world, ann, Kind::Internal, 2, &body);
    let mut carl = Speaker::new(&world.hub, world.now, PeerId::new([0xc3; 16]), None);
    let link = carl.link(peers::BERT, FOR_REQUESTS);
    world.idle();
    peers::heard(&mut world, bert);
    let settled = secure(&mut world, peers::BERT);
    assert_eq!(peers::heard(&mut world, bert).len(), 1, "SWITCH");
    for seq in 1..=3 {
        carl.say(link, 0x15, b"\x01p\x02[]");
        let hi = r#""hi""#;
        peers::say_to(&mut world, ann, (peers::ANN, peers::BERT), Kind::Link, seq, hi);
    }
    assert_eq!(
        peers::heard(&mut world, bert),
        [1, 2, 3].map(|seq| format!(r#"a1: Link {seq} "hi""#))
    );
    assert!(settled.try_recv().is_err());
    world.pass(Duration::from_secs(6));
    assert_eq!(world.closed(bert), Some(Reason::HandshakeTimeout));
}

/// It may be its own doing that it is not listened to.
#[test]
fn a_client_that_is_never_listened_to_is_not_waited_for_without_end() {
    let mut link: Link<u32> = Link::new(Arc::default(), HUB);
    link.set_peer(Id::Peer(ANN));
    let begun = Instant::now();
    link.encrypt(begun, &mut SystemRandom).unwrap();
    let late = (1..100).find(|second| {
        let now = begun + Duration::from_secs(*second);
        link.wait_longer(now);
        link.tick(now).is_err()
    });
    assert_eq!(late, Some(30));
}

/// The hub waits for a slow receiver, say, and the answer may lie there unread.
#[test]
fn the_time_for_an_answer_runs_only_while_the_client_is_listened_to() {
    let start = Instant::now();
    let limits = Arc::new(Limits { heartbeat: Duration::from_secs(999), ..Limits::default() });
    let options =
        Options { id: HUB, auth: None, limits, clock: || 1, guard_races: true, encrypt: true };
    let mut server = AnySocket::new(start, options);
    let mut out = FrameWriter::default();
    server.receive(start, format!("11\0\0\0\x01{{\"id\":\"{ANN}\"}}").into());
    server.message_ended(start);
    assert!(server.poll(start, &mut out).is_some() && server.poll(start, &mut out).is_none());
    let mut tick = |after: u64, heard: bool| {
        let now = start + Duration::from_secs(after);
        let read = if heard { start } else { now };
        server.tick(now, Activity { read, written: None }, &mut out)
    };
    assert_eq!([tick(1, true), tick(6, false), tick(10, true)], [None; 3]);
    assert_eq!(tick(11, true), Some(Reason::HandshakeTimeout));
}

#[test]
fn a_client_that_has_called_at_the_same_time_is_understood() {
    let mut pair = Pair::new(false);
    let now = pair.world.now;
    pair.client.encrypt(now, &mut SystemRandom).unwrap();
    let settled = pair.secure();
    pair.tell("secret");
    // Both calls are on their way.
    pair.collect();
    pair.speak();
    let fingerprint = settled.try_recv().unwrap().unwrap();
    pair.collect();
    assert_eq!(pair.written.len(), 2, "until it is known whose keys hold nothing more is said");
    pair.ask(1);
    pair.settle();
    assert_eq!(pair.heard, ["\"secret\"", "1: \"question 1\""]);
    assert_eq!(pair.fingerprint, Some(fingerprint));
}

#[test]
fn who_does_not_answer_is_closed_and_the_program_told() {
    let mut pair = Pair::new(false);
    let settled = pair.secure();
    pair.world.pass(Duration::from_millis(4900));
    assert_eq!(pair.world.closed(pair.end), None);
    assert!(settled.try_recv().is_err());
    pair.world.pass(Duration::from_millis(200));
    assert_eq!(pair.world.closed(pair.end), Some(Reason::HandshakeTimeout));
    assert_eq!(settled.try_recv(), Ok(Err(Reason::HandshakeTimeout)));
}

#[test]
fn who_goes_meanwhile_is_told_of_at_once() {
    let mut pair = Pair::new(false);
    let settled = pair.secure();
    pair.world.lose(pair.end);
    assert_eq!(settled.try_recv(), Ok(Err(Reason::ConnectionLost)));
    let nobody = Box::new(|_| panic!("it was refused"));
    assert_eq!(pair.world.hub.secure(ANN, nobody), Err(Reason::NoSuchPeer));
}

#[test]
fn a_client_whose_id_makes_no_key_is_not_encrypted_or_not_let_in() {
    let mut world = World::new(HubOptions::default());
    let ends = [false, true].map(|encrypt| {
        let end = world.anysocket(options(&world, encrypt), Box::new(SystemRandom));
        world.say(end, b"11\0\0\0\x01{\"id\":[1]}");
        end
    });
    assert_eq!(ends.map(|end| world.closed(end)), [None, Some(Reason::Unsupported)]);
    let me = r#"{"type":3,"method":["hub","me"],"params":[],"bin":[]}"#;
    world.say(ends[0], format!("12\0\0\0\x02{me}").as_bytes());
    let answer = String::from_utf8(world.said(ends[0]).remove(1)).unwrap();
    let (_, id) = answer.split_once(r#""id":""#).unwrap();
    let id = crosspoint_gateways::anysocket::id::parse(&id.as_bytes()[..32]).unwrap();
    let settled = secure(&mut world, id);
    assert_eq!(settled.try_recv(), Ok(Err(Reason::Unsupported)));
    assert_eq!((world.said(ends[0]).len(), world.closed(ends[0])), (0, None));
}

#[test]
fn a_hub_that_encrypts_by_itself_says_nothing_in_clear_behind_auth() {
    let mut pair = Pair::new(true);
    assert_eq!(pair.world.hub.secured(ANN), None);
    pair.tell("secret");
    pair.ask(1);
    pair.settle();
    assert_eq!(pair.heard, [""; 0], "nothing for a moment");
    pair.world.pass(PAUSE);
    pair.collect();
    let kinds: Vec<_> = pair.written.iter().map(|packet| packet.kind).collect();
    assert_eq!(kinds, [Kind::Internal, Kind::Switch]);
    pair.settle();
    assert_eq!(pair.heard, ["\"secret\"", "1: \"question 1\""]);
    assert_eq!(pair.world.hub.secured(ANN), pair.fingerprint);
    assert!(pair.fingerprint.is_some());
}

#[test]
fn a_hub_that_encrypts_by_itself_answers_a_client_that_begins_and_closes_one_that_does_not_answer()
{
    let mut pair = Pair::new(true);
    let now = pair.world.now;
    pair.client.encrypt(now, &mut SystemRandom).unwrap();
    pair.ask(1);
    pair.settle();
    assert_eq!(pair.heard, ["1: \"question 1\""]);
    assert_eq!(pair.world.hub.secured(ANN), pair.fingerprint);
    pair.world.pass(Duration::from_secs(10));
    assert_eq!(pair.world.closed(pair.end), None);

    let mut silent = Pair::new(true);
    let settled = silent.secure();
    silent.world.pass(PAUSE + Duration::from_millis(4900));
    assert_eq!(silent.world.closed(silent.end), None);
    silent.world.pass(Duration::from_millis(200));
    assert_eq!(silent.world.closed(silent.end), Some(Reason::HandshakeTimeout));
    assert_eq!(settled.try_recv(), Ok(Err(Reason::HandshakeTimeout)));
}
