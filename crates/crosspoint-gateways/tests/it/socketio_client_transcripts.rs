//! The client role against what the recorded servers said: it says what the recorded clients said, message for message.

use crate::socketio_common::Message;
use crate::socketio_recorded::{Act, lines, names};
use bytes::Bytes;
use crosspoint_gateways::engineio::payload::Message as Packet;
use crosspoint_gateways::engineio::{Query, Revision};
use crosspoint_gateways::socketio::client::{
    Args, Client, Config, Ended, Event, Generation, Offer, Read, StreamId, StreamRequest, Ticket,
    Written,
};
use crosspoint_gateways::socketio::packet::{ATTACHMENTS_MAX, Header, Kind};
use crosspoint_gateways::socketio::{Elements, translate};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

/// One client of a conversation.
struct Player {
    client: Client<()>,
    now: Instant,
    /// What was said of itself, or by what was done last.
    said: VecDeque<Message>,
    tickets: VecDeque<Ticket>,
    offers: VecDeque<Offer>,
    streams: Vec<StreamId>,
    answers: usize,
    ended: Option<Ended>,
}

fn packet(message: &Message) -> Packet {
    match message {
        Message::Text(text) => {
            Packet { is_text: true, bytes: Bytes::copy_from_slice(text.as_bytes()) }
        }
        Message::Binary(bytes) => Packet { is_text: false, bytes: Bytes::copy_from_slice(bytes) },
    }
}

impl Player {
    fn new(generation: &str, name: &str, request: &str) -> Self {
        let query = Query::new(request.split_once('?').unwrap().1);
        let mut config = Config {
            revision: Revision::from_query(&query.get("EIO").unwrap()).unwrap(),
            generation: match generation {
                "gen1" => Generation::First,
                _ => Generation::Second,
            },
            client_id: query.get("clientId").map(Into::into),
            ..Config::default()
        };
        if name == "stream-backpressure" {
            config.stream_window = 4;
        }
        Self {
            client: Client::new(config),
            now: Instant::now(),
            said: VecDeque::new(),
            tickets: VecDeque::new(),
            offers: VecDeque::new(),
            streams: Vec::new(),
            answers: 0,
            ended: None,
        }
    }

    fn hear(&mut self, message: &Message) {
        self.client.receive(self.now, packet(message));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(Packet { is_text, bytes }) = self.client.transmit() {
            self.said.push_back(match is_text {
                true => Message::Text(String::from_utf8(bytes.to_vec()).unwrap()),
                false => Message::Binary(bytes.to_vec()),
            });
        }
        while let Some(event) = self.client.poll() {
            match event {
                Event::Said { ticket, .. } | Event::TargetAdded { ticket, .. } => {
                    self.tickets.extend(ticket);
                }
                Event::StreamOffered(offer) => self.offers.push_back(offer),
                Event::StreamOpened { stream, .. } => self.streams.push(stream),
                Event::Answered { .. } => self.answers += 1,
                Event::Gone(ended) => self.ended = Some(ended),
                Event::Connected { .. }
                | Event::Abandoned { .. }
                | Event::TargetGone { .. }
                | Event::Paired { .. }
                | Event::Unpaired { .. }
                | Event::StreamRefused { .. }
                | Event::StreamMoved(_)
                | Event::ServerError(_) => {}
            }
        }
    }

    /// Does what made the recorded program say this, with these attachments.
    fn act(&mut self, text: &str, attachments: &[Bytes]) {
        match text {
            "2" => {
                self.now = self.client.deadline().unwrap();
                self.client.tick(self.now);
            }
            "41" => self.client.close(),
            _ => {
                let (header, data) = Header::parse(&text[1..], ATTACHMENTS_MAX).unwrap();
                match header.kind {
                    Kind::Ack | Kind::BinaryAck => self.acknowledge(data, attachments),
                    _ => self.say(data, attachments, header.id.map(|_| ())),
                }
            }
        }
        self.settle();
    }

    fn acknowledge(&mut self, data: &str, attachments: &[Bytes]) {
        if let Some(offer) = self.offers.pop_front() {
            match data {
                "[]" | "[true]" => self.streams.extend(self.client.accept(offer)),
                "[false]" => self.client.refuse(offer),
                other => panic!("no stream is refused so: {other}"),
            }
            return;
        }
        if let Some(ticket) = self.tickets.pop_front() {
            let args = args(Elements::parse(data).unwrap().rest(0), attachments);
            return self.client.answer(&ticket, &args).unwrap();
        }
        // What was withheld until it is read.
        let mut read = Vec::new();
        assert_eq!(self.client.read(self.streams[0], &mut read, 1000), Read::Some, "{data}");
    }

    fn say(&mut self, data: &str, attachments: &[Bytes], token: Option<()>) {
        let elements = Elements::parse(data).unwrap();
        let name = elements.text(0).unwrap();
        let first = elements.text(1);
        match (&*name, first) {
            ("P2P_EMIT" | "P2P_EMIT_ACKNOWLEDGE", Some(target)) => {
                let event = elements.text(2).unwrap();
                let inside = elements.inside(3).unwrap();
                self.say_to(&target, &event, inside, attachments, token);
            }
            ("P2P_EMIT" | "P2P_EMIT_ACKNOWLEDGE", None) if elements.len() == 2 => {
                let fields: serde_json::Value =
                    serde_json::from_str(elements.get(1).unwrap()).unwrap();
                let Some(target) = fields["targetClientId"].as_str() else {
                    return self.say_plainly(&name, elements.rest(1), attachments, token);
                };
                let inside = fields["args"].to_string();
                let inside = &inside[1..inside.len() - 1];
                let event = fields["event"].as_str().unwrap();
                self.say_to(target, event, inside, attachments, token);
            }
            ("CREATE_STREAM", None) => {
                let info: serde_json::Value =
                    serde_json::from_str(elements.get(1).unwrap()).unwrap();
                let text = |key: &str| info[key].as_str().unwrap().to_owned();
                let array = info.get("argArray").map(ToString::to_string);
                let request = StreamRequest {
                    to: text("targetClientId"),
                    own: text("sourceStreamId").into(),
                    theirs: text("targetStreamId").into(),
                    channel: info["channel"].as_str().map(Into::into),
                    args: array.map(|array| args(&array[1..array.len() - 1], &[])),
                };
                assert!(self.client.open_stream(request, ()).unwrap().is_some());
            }
            ("P2P_REGISTER_STREAM", Some(to)) => {
                let (own, theirs) = (Box::default(), Box::default());
                let to = to.into_owned();
                let request = StreamRequest { to, own, theirs, channel: None, args: None };
                assert!(self.client.open_stream(request, ()).unwrap().is_some());
            }
            ("P2P_REGISTER", Some(target)) if self.client.paired_with().is_none() => {
                assert!(self.client.pair(&target, ()).unwrap().is_some());
            }
            ("P2P_UNREGISTER", _) => assert!(self.client.unpair(()).unwrap().is_some()),
            _ => self.say_plainly(&name, elements.rest(1), attachments, token),
        }
    }

    fn say_plainly(&mut self, name: &str, inside: &str, attachments: &[Bytes], token: Option<()>) {
        self.client.emit(name, &args(inside, attachments), token).unwrap();
    }

    fn say_to(
        &mut self,
        target: &str,
        event: &str,
        inside: &str,
        attachments: &[Bytes],
        token: Option<()>,
    ) {
        if event == "PEER_STREAM_DESTROYED" {
            return self.client.leave_stream(self.streams[0]);
        }
        if event.starts_with("P2P_EMIT_STREAM") {
            match (attachments, inside) {
                ([chunk], _) => {
                    let written = self.client.write(self.streams[0], chunk);
                    return assert_eq!(written, Written::Some(chunk.len()));
                }
                (_, "null") => {
                    let written = self.client.shut_down(self.streams[0]);
                    return assert_eq!(written, Written::Pending);
                }
                // The original says so what is given to `end`.
                _ => {}
            }
        }
        self.client.emit_to(target, event, &args(inside, attachments), token).unwrap();
    }
}

fn args(inside: &str, attachments: &[Bytes]) -> Args {
    let payload = translate::from_arguments(inside, attachments).unwrap();
    let args = Args::of(&payload, 1 << 20).unwrap();
    assert_eq!(args.attachments(), attachments);
    args
}

const LEFT: &str = "stream-peer-disconnects";

fn is_destroyed(message: &Message) -> bool {
    matches!(message, Message::Text(text) if text.contains("PEER_STREAM_DESTROYED"))
}

/// Speaks the part of each client of a conversation. Gives how many messages were said, and answered.
fn speak(generation: &str, name: &str) -> (usize, usize) {
    let lines = lines(generation, name);
    let conns: BTreeSet<u64> = lines.iter().map(|line| line.conn).collect();
    let (mut said, mut answers) = (0, 0);
    for conn in conns {
        let title = format!("{generation}/{name}: {conn}");
        let acts: Vec<_> = lines.iter().filter(|it| it.conn == conn).map(|it| &it.act).collect();
        let Act::Open(request) = acts[0] else { panic!("{title}") };
        let mut player = Player::new(generation, name, request);
        for (index, act) in acts.iter().enumerate().skip(1) {
            match act {
                Act::Open(_) => panic!("{title}"),
                Act::Hear(message) => player.hear(message),
                // A client that has gone need not hear that a stream with it is over.
                Act::Say(message) if name == LEFT && is_destroyed(message) => {}
                Act::Say(message) => {
                    if player.said.is_empty()
                        && let Message::Text(text) = message
                    {
                        let behind = acts[index + 1..].iter().map_while(|act| match act {
                            Act::Say(Message::Binary(bytes)) => Some(unwrapped(generation, bytes)),
                            _ => None,
                        });
                        player.act(text, &behind.collect::<Vec<_>>());
                    }
                    assert_eq!(player.said.pop_front().as_ref(), Some(message), "{title}");
                    said += 1;
                }
                Act::Close => {}
            }
        }
        assert_eq!(player.said, [], "{title}: nothing else is said");
        if let Some(ended) = player.ended {
            assert!(matches!(ended, Ended::Here | Ended::Disconnected), "{title}: {ended}");
        }
        answers += player.answers;
    }
    (said, answers)
}

/// An attachment without what revision 3 puts in front of it.
fn unwrapped(generation: &str, bytes: &[u8]) -> Bytes {
    let bytes = if generation == "gen2" { bytes } else { &bytes[1..] };
    Bytes::copy_from_slice(bytes)
}

fn all(generation: &str) -> HashMap<String, (usize, usize)> {
    let names = names(generation).into_iter();
    names.map(|name| (name.clone(), speak(generation, &name))).collect()
}

/// Messages that were said, and questions that were answered.
fn total(generation: &str) -> (usize, usize) {
    let all = all(generation);
    all.values().fold((0, 0), |(said, answers), more| (said + more.0, answers + more.1))
}

#[test]
fn the_first_generation_is_spoken_as_recorded() {
    assert_eq!(total("gen1"), (107, 32));
}

#[test]
fn the_second_generation_is_spoken_as_recorded() {
    assert_eq!(total("gen2"), (231, 41));
}

#[test]
fn the_second_generation_over_the_older_transport_is_spoken_as_recorded() {
    assert_eq!(total("gen2-eio3"), (164, 43));
}
