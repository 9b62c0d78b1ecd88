//! A hub's program that follows interop/anysocket_convention.mjs, as far as a hub can: it answers as
//! [`Application`], and asks its clients over links for requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::{
    Addressee, Command, Event, Hello, LinkCommand, LinkEvent, LinkOptions, Peer, Target,
};
use crosspoint_hub::endpoint::{Endpoint, Outlet};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::payload::{Ask, Failure, Format, Payload};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::EVENTS;
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{Hub, LinkNumber, PeerId, Reason, Session};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, mpsc};

struct Wake(Arc<Notify>);

impl Outlet for Wake {
    fn flush(&self, _outbox: &Endpoint) {
        self.0.notify_one();
    }

    fn wake(&self) {
        self.0.notify_one();
    }
}

/// Answers at once, or hands on what needs the client.
struct Convention {
    orders: mpsc::UnboundedSender<(PeerId, Value, Reply)>,
    /// Who has said something.
    known: Arc<Mutex<HashSet<PeerId>>>,
}

impl Application for Convention {
    fn ask(&self, from: &Peer, ask: Ask, reply: Reply) {
        if !ask.method.is_empty() {
            return reply.send(call(from, &ask));
        }
        self.known.lock().unwrap().insert(from.id);
        let message: Value = serde_json::from_slice(&ask.payload.data).unwrap();
        if message["do"].is_string() {
            self.orders.send((from.id, message, reply)).unwrap();
        } else {
            reply.send(Ok(ask.payload));
        }
    }
}

/// A parameter, as its bytes if it is binary.
enum Param {
    Json(Value),
    Binary(Vec<u8>),
}

/// Of MessagePack as much as calls with binary parameters need.
fn params(payload: &Payload) -> Vec<Param> {
    if payload.format == Format::JSON {
        let values: Vec<Value> = serde_json::from_slice(&payload.data).unwrap();
        return values.into_iter().map(Param::Json).collect();
    }
    assert_eq!(payload.format, Format::MESSAGE_PACK);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
    let (mut rest, mut params) = (&payload.data[5..], Vec::new());
    for _ in 0..number(&payload.data) {
        assert_eq!(rest[0], 0xc6, "the tests mix no kinds");
        let (bytes, behind) = rest[5..].split_at(number(rest));
        params.push(Param::Binary(bytes.to_vec()));
        rest = behind;
    }
    params
}

fn call(from: &Peer, ask: &Ask) -> Result<Payload, Failure> {
    let value = |value: Value| Ok(Payload::new(Format::JSON, value.to_string()));
    let params = params(&ask.payload);
    match (ask.method.as_str(), &params[..]) {
        ("hello", [Param::Json(name)]) => value(json!(format!("Hello {}", name.as_str().unwrap()))),
        ("same", [Param::Json(json)]) => value(json.clone()),
        ("same", [Param::Binary(bytes)]) => Ok(Payload::bytes(bytes.clone())),
        ("nothing", _) => Ok(Payload::new(Format::JSON, "")),
        ("ns.deep.who", _) => value(json!(from.id.to_string())),
        ("ns.sum", numbers) => {
            let number = |param: &Param| match param {
                Param::Json(json) => json.as_i64().unwrap(),
                Param::Binary(_) => panic!("a number"),
            };
            value(json!(numbers.iter().map(number).sum::<i64>()))
        }
        ("bytes.join", [Param::Binary(one), Param::Binary(two)]) => {
            Ok(Payload::bytes([&one[..], two].concat()))
        }
        ("bytes.sum", [Param::Binary(bytes)]) => {
            value(json!(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()))
        }
        ("fail.thrown", _) => Err(Failure::new(500, "thrown on purpose")),
        ("fail.rejected", _) => Err(Failure::new(500, "rejected on purpose")),
        _ => Err(Failure::no_method(&ask.method)),
    }
}

/// What is sent to a client, and who waits for an answer.
struct Say {
    kind: u8,
    body: Vec<u8>,
    waits: Option<(u32, Waits)>,
}

enum Waits {
    Message(Reply),
    Call(Reply, Vec<String>),
    Time(Reply, SystemTime),
}

struct Program {
    session: Session,
    links: HashMap<PeerId, LinkNumber>,
    opening: HashMap<u32, (PeerId, Vec<Say>)>,
    waiting: HashMap<(LinkNumber, u32), Waits>,
    held: HashMap<PeerId, Vec<(Value, Reply)>>,
    known: Arc<Mutex<HashSet<PeerId>>>,
    next: u32,
}

/// Starts the program in a task of its own.
pub(crate) fn start(hub: &Arc<Hub>) -> PeerId {
    let wake = Arc::new(Notify::new());
    let mut session = hub.open(Instant::now(), None, &EVENTS, Box::new(Wake(wake.clone())));
    let id = PeerId::new([0x5e; 16]);
    let hello = Hello { peer: Some(id), ..Hello::default() };
    assert_eq!(session.execute(Instant::now(), Command::Hello(hello)), Step::Go);
    hub.set_application_peer(id);
    let (orders, mut receiver) = mpsc::unbounded_channel();
    let known = Arc::<Mutex<HashSet<PeerId>>>::default();
    let application = Convention { orders, known: known.clone() };
    assert!(hub.set_application(Box::new(application)).is_ok());
    let mut program = Program {
        session,
        links: HashMap::new(),
        opening: HashMap::new(),
        waiting: HashMap::new(),
        held: HashMap::new(),
        known,
        next: 0,
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                order = receiver.recv() => match order {
                    Some((from, order, reply)) => program.order(from, &order, reply, &wake).await,
                    None => return,
                },
                () = wake.notified() => program.listen(&wake).await,
            }
        }
    });
    id
}

fn said(format: Format, payload: &[u8]) -> Vec<u8> {
    [&[format.0], payload].concat()
}

impl Program {
    async fn order(&mut self, from: PeerId, order: &Value, reply: Reply, wake: &Notify) {
        let value = order["value"].to_string();
        let body = |bytes: &[u8]| said(Format::JSON, bytes);
        let ok = || Ok(Payload::new(Format::JSON, r#"{"ok":true}"#));
        match order["do"].as_str().unwrap() {
            "send" => {
                let body = body(value.as_bytes());
                self.say(from, Say { kind: 0x10, body, waits: None }, wake).await;
                // The message comes first.
                while !self.opening.is_empty() {
                    wake.notified().await;
                    self.listen(wake).await;
                }
                reply.send(ok());
            }
            "ask" => self.ask(from, "", &body(value.as_bytes()), Waits::Message(reply), wake).await,
            "call" => {
                let names = order["method"].as_array().unwrap().iter();
                let path: Vec<String> = names.map(|name| name.as_str().unwrap().into()).collect();
                let params = order["params"].as_array().unwrap();
                let binary = order["bin"].as_array().is_some_and(|bin| !bin.is_empty());
                let payload = match binary {
                    false => body(order["params"].to_string().as_bytes()),
                    true => {
                        let mut packed = vec![0x90 | params.len() as u8];
                        for param in params {
                            let bytes = STANDARD.decode(param.as_str().unwrap()).unwrap();
                            packed.extend([0xc4, bytes.len() as u8]);
                            packed.extend(bytes);
                        }
                        said(Format::MESSAGE_PACK, &packed)
                    }
                };
                let method = path.join(".");
                self.ask(from, &method, &payload, Waits::Call(reply, path), wake).await;
            }
            "time" => {
                self.next += 1;
                let body = u64::from(self.next).to_be_bytes().to_vec();
                let waits = Some((self.next, Waits::Time(reply, SystemTime::now())));
                self.say(from, Say { kind: 0x1e, body, waits }, wake).await;
            }
            "switch" => {
                reply.send(ok());
                let done =
                    Box::new(|outcome: Result<_, _>| assert!(outcome.is_ok(), "{outcome:?}"));
                self.session.hub().secure(from, done).unwrap();
            }
            "hold" => {
                self.held.entry(from).or_default().push((order["value"].clone(), reply));
            }
            "release" => {
                let held = self.held.remove(&from).unwrap_or_default();
                let count = held.len();
                for (value, reply) in held.into_iter().rev() {
                    reply.send(Ok(Payload::new(Format::JSON, value.to_string())));
                }
                let released = json!({ "released": count }).to_string();
                reply.send(Ok(Payload::new(Format::JSON, released)));
            }
            "broadcast" => {
                let others = self.known.lock().unwrap().clone();
                for other in others {
                    let body = body(value.as_bytes());
                    if other != from {
                        self.say(other, Say { kind: 0x10, body, waits: None }, wake).await;
                    }
                }
            }
            "disconnect" => assert!(self.session.hub().disconnect(from, Reason::Kicked)),
            _ => {}
        }
    }

    async fn ask(&mut self, to: PeerId, method: &str, payload: &[u8], waits: Waits, wake: &Notify) {
        self.next += 1;
        let mut body = Vec::new();
        let mut number = self.next;
        while number >= 0x80 {
            body.push(number as u8 | 0x80);
            number >>= 7;
        }
        body.extend([number as u8, 0, method.len() as u8]);
        body.extend_from_slice(method.as_bytes());
        body.extend_from_slice(payload);
        let waits = Some((self.next, waits));
        self.say(to, Say { kind: 0x11, body, waits }, wake).await;
    }

    async fn say(&mut self, to: PeerId, say: Say, wake: &Notify) {
        if let Some(link) = self.links.get(&to) {
            return self.send(*link, say, wake).await;
        }
        if let Some((_, waiting)) = self.opening.values_mut().find(|(peer, _)| *peer == to) {
            return waiting.push(say);
        }
        self.next += 1;
        self.opening.insert(self.next, (to, vec![say]));
        let options =
            LinkOptions { purpose: b"\x81\xa8requests\xc3"[..].into(), ..LinkOptions::default() };
        let command = Command::Link(LinkCommand::Open {
            request: self.next,
            to: Addressee::Peer(to),
            options,
        });
        self.execute(command, wake).await;
    }

    async fn send(&mut self, link: LinkNumber, say: Say, wake: &Notify) {
        if let Some((id, waits)) = say.waits {
            self.waiting.insert((link, id), waits);
        }
        let part = Part { kind: say.kind, ..Part::whole(say.body) };
        self.execute(Command::Send { to: Target::Link(link), part }, wake).await;
    }

    async fn execute(&mut self, command: Command, wake: &Notify) {
        let mut step = self.session.execute(Instant::now(), command);
        loop {
            step = match (step, self.session.flush(Instant::now())) {
                (Step::Close(reason), _) | (_, Step::Close(reason)) => panic!("{reason}"),
                (Step::Go, Step::Go) => break,
                (_, next) => next,
            };
            if step == Step::Wait {
                wake.notified().await;
            }
        }
        // It may have been for events.
        wake.notify_one();
    }

    async fn listen(&mut self, wake: &Notify) {
        let endpoint = self.session.endpoint().clone();
        let mut pieces = Vec::new();
        while let WriteStep::Event(tag, event) = endpoint.next(true, &mut pieces) {
            endpoint.converted(&Default::default());
            if self.session.observe(tag, &event) {
                self.hear(*event, wake).await;
            }
        }
    }

    async fn hear(&mut self, event: Event, wake: &Notify) {
        match event {
            Event::Link(LinkEvent::Opened { request: Some(request), link, peer, .. }) => {
                self.links.insert(peer.id, link);
                let (_, waiting) = self.opening.remove(&request).unwrap();
                for say in waiting {
                    self.send(link, say, wake).await;
                }
            }
            Event::Refused { request, reason, .. } => {
                let opening = self.opening.remove(&request);
                // Much waits for the client. The hub's answer is to try again later.
                if let Some((to, waiting)) = opening.filter(|_| reason == Reason::Busy) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    for say in waiting {
                        Box::pin(self.say(to, say, wake)).await;
                    }
                }
            }
            Event::Link(LinkEvent::Closed { link, .. }) => {
                self.links.retain(|_, known| *known != link);
                self.waiting.retain(|(of, _), _| *of != link);
            }
            Event::Data { place: Place::Link(link), part } => {
                assert!(part.is_first() && part.is_last(), "such a session sends whole messages");
                self.answer(link, part.kind, &part.data);
            }
            _ => {}
        }
    }

    fn answer(&mut self, link: LinkNumber, kind: u8, body: &Bytes) {
        if kind == 0x1f {
            let number = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
            if let Some(Waits::Time(reply, asked)) = self.waiting.remove(&(link, number(0) as u32))
            {
                let rtt = asked.elapsed().unwrap().as_secs_f64() * 1000.0;
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let now = now.as_secs_f64() * 1000.0;
                let offset = number(8) as f64 / 1000.0 - (now - rtt / 2.0);
                let time = json!({ "time": now + offset, "rtt": rtt, "offset": offset });
                reply.send(Ok(Payload::new(Format::JSON, time.to_string())));
            }
            return;
        }
        let mut at = 0;
        let id = varint(body, &mut at);
        let Some(waits) = self.waiting.remove(&(link, id)) else { return };
        let answer = match (kind, waits) {
            (0x12, Waits::Message(reply)) => {
                let value: Value = serde_json::from_slice(&body[at + 1..]).unwrap();
                (reply, json!({ "answer": value }))
            }
            (0x12, Waits::Call(reply, _)) if body[at] == Format::BYTES.0 => {
                (reply, json!({ "result": STANDARD.encode(&body[at + 1..]), "bin": true }))
            }
            (0x12, Waits::Call(reply, _)) => {
                let value: Value = serde_json::from_slice(&body[at + 1..]).unwrap();
                match value {
                    Value::Null => (reply, json!({ "bin": false })),
                    value => (reply, json!({ "result": value, "bin": false })),
                }
            }
            (0x13, Waits::Call(reply, path)) => {
                let code = varint(body, &mut at);
                let length = varint(body, &mut at) as usize;
                let message = std::str::from_utf8(&body[at..at + length]).unwrap();
                let details = format!("method: '{}'", path.join(","));
                let error = json!({ "error": message, "details": details, "code": code });
                (reply, json!({ "error": error }))
            }
            _ => panic!("kind {kind:#x} was not asked for"),
        };
        answer.0.send(Ok(Payload::new(Format::JSON, answer.1.to_string())));
    }
}

fn varint(body: &[u8], at: &mut usize) -> u32 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = body[*at];
        *at += 1;
        value |= u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}
