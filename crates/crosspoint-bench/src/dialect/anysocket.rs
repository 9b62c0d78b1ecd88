//! AnySocket over WebSocket, as a client. The protocol itself has no channels and no broadcasts, so
//! the server has to help, in one of two ways.
//!
//! * A Crosspoint hub has rooms, and hands packets on from client to client: messages are broadcast
//!   in a room, requests are answered by another client.
//! * Of any other server the application has to take part. It answers every value with the same
//!   value, except an order to broadcast, `{"do":"broadcast","value":V}`: it sends V to every client
//!   but the one who asked, and answers nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::awake::Awake;
use super::rejoin::Rejoin;
use super::{
    Answerer, Asker, Dialect, Fanout, FanoutShape, IdleState, Message, Relay, Requests, Responder,
    fresh_name, json_text,
};
use crate::BenchError;
use crate::anysocket_frame::{
    ALIVE, Envelope, Frame, PROBE, kind, put_forwarded, put_packet, read_frame,
};
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::{Options, Transport};
use crate::unframe::{Around, Framing};
use crate::websocket;

/// A server that speaks AnySocket.
#[derive(Debug, Clone)]
pub struct AnySocket {
    transport: Transport,
    auth: Option<String>,
    helper: Helper,
}

/// Who helps with what the protocol itself lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Helper {
    /// The server's application.
    Application,
    /// A Crosspoint hub.
    Hub,
}

const NAME: &str = "anysocket";

/// Larger texts may be split, which the prepared packets are not.
const LARGEST: usize = 512 << 10;

/// Numbers of the packets before data flows; those of the workloads may be any.
const AUTH_SEQ: i32 = 1;
const FIRST_SEQ: i32 = 2;

impl AnySocket {
    /// Speaks to the server at this address, whose application takes part. `auth` is the JSON text of
    /// the value that the server wants to see, if it wants one.
    pub fn new(server: impl Into<Transport>, auth: Option<String>) -> AnySocket {
        AnySocket { transport: server.into(), auth, helper: Helper::Application }
    }

    /// As [`AnySocket::new`], unless the server says that it is a Crosspoint hub: then its rooms and
    /// its proxying are used, and no application needs to take part.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and shaking hands.
    pub fn detect(
        server: impl Into<Transport>,
        auth: Option<String>,
    ) -> Result<AnySocket, BenchError> {
        let server = AnySocket::new(server, auth);
        let mut link = server.connect(&Id::fresh(), Options::default())?;
        let answer = call(&mut link, "asking for a hub", "me", "")?;
        let helper = match is_result(&answer) {
            true => Helper::Hub,
            false => Helper::Application,
        };
        Ok(AnySocket { helper, ..server })
    }

    /// A connection that the server has let in.
    fn connect(&self, id: &Id, options: Options) -> Result<Link, BenchError> {
        let mut link = Link::connect(NAME, &self.transport, options)?;
        websocket::upgrade(&mut link, &self.transport, "/")?;
        let id = id.text();
        let body = match &self.auth {
            None => format!("{{\"id\":\"{id}\"}}"),
            Some(auth) => format!("{{\"id\":\"{id}\",\"auth\":{auth}}}"),
        };
        let mut out = Vec::new();
        put_packet(kind::AUTH, AUTH_SEQ, body.as_bytes(), &mut out);
        link.send("authenticating", &out)?;
        wait(&mut link, "authenticating", kind::AUTH, AUTH_SEQ)?;
        Ok(link)
    }

    /// A connection that the server's application has answered once.
    fn known(&self, options: Options) -> Result<Link, BenchError> {
        let mut link = self.connect(&Id::fresh(), options)?;
        echo(&mut link, b"\"hello\"")?;
        Ok(link)
    }

    /// A connection that is in a room.
    fn inside(&self, room: &str, options: Options) -> Result<Link, BenchError> {
        const DOING: &str = "entering a room";
        let mut link = self.connect(&Id::fresh(), options)?;
        let answer = call(&mut link, DOING, "rooms\",\"enter", &format!("\"{room}\""))?;
        match is_result(&answer) {
            true => Ok(link),
            false => Err(link.refused(DOING, &answer)),
        }
    }

    /// The sender of orders to the server's application.
    fn open_orders(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        let sender = self.known(Options::default())?;
        let mut receivers = Awake::new(self, shape.receivers);
        for index in 0..shape.receivers {
            receivers.push(self.known(shape.options(index))?)?;
        }
        let order =
            [br#"{"do":"broadcast","value":"#, &json_text(shape.payload)[..], b"}"].concat();
        let mut bytes = Vec::new();
        put_packet(kind::LINK, FIRST_SEQ, &order, &mut bytes);
        Ok(Fanout {
            sources: vec![sender.ready()?],
            answered: false,
            receivers: receivers.streams,
            message: Message { bytes, payloads: Vec::new() },
            framing: Framing::AnySocket(Around::QUOTES),
            delivery_bytes: None,
        })
    }

    /// The first member of a room of the hub, who sends, and the others.
    fn open_room(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        const DOING: &str = "sending to a room";
        let room = fresh_name();
        let mut sender = self.inside(&room, Options::default())?;
        let text = json_text(shape.payload);
        let params = [format!("\"{room}\",").as_bytes(), &text].concat();
        let bytes = call_packet("rooms\",\"send", &params);
        // Nobody hears the first message; but the sender hears whether it may send.
        sender.send(DOING, &bytes)?;
        let answer = wait(&mut sender, DOING, kind::INTERNAL, -FIRST_SEQ)?;
        if !is_result(&answer) {
            return Err(sender.refused(DOING, &answer));
        }
        let mut receivers = Awake::new(self, shape.receivers);
        for index in 0..shape.receivers {
            receivers.push(self.inside(&room, shape.options(index))?)?;
        }
        // The first in a room has the number 0.
        let before =
            format!(r#"{{"hub":"room","room":"{room}","from":{{"member":0}},"text":""#).len();
        Ok(Fanout {
            sources: vec![sender.ready()?],
            answered: true,
            receivers: receivers.streams,
            message: Message { bytes, payloads: Vec::new() },
            framing: Framing::AnySocket(Around { before, after: r#""}"#.len() }),
            delivery_bytes: None,
        })
    }

    /// A client that another one answers, over the hub.
    fn open_proxied(&self, payload: usize) -> Result<Requests, BenchError> {
        const DOING: &str = "asking for another client";
        let (ours, theirs) = (Id::fresh(), Id::fresh());
        let answering = self.connect(&theirs, Options::default())?;
        let mut asking = self.connect(&ours, Options::default())?;
        let wish = format!(r#"{{"type":2,"action":"proxy","id":"{}"}}"#, theirs.text());
        let mut out = Vec::new();
        put_packet(kind::INTERNAL, FIRST_SEQ, wish.as_bytes(), &mut out);
        asking.send(DOING, &out)?;
        let answer = wait(&mut asking, DOING, kind::INTERNAL, -FIRST_SEQ)?;
        if answer != br#"{"ok":true}"# {
            return Err(asking.refused(DOING, &answer));
        }
        let to_theirs = Some(Envelope::new(theirs.0, ours.0));
        let to_ours = Envelope::new(ours.0, theirs.0);
        Ok(Requests {
            stream: asking.ready()?,
            asker: Box::new(Echo::new(json_text(payload), to_theirs)),
            responder: Some(Responder {
                stream: answering.ready()?,
                answerer: Box::new(Reply { envelope: to_ours, rejoin: Rejoin::default() }),
            }),
        })
    }
}

impl Dialect for AnySocket {
    fn name(&self) -> &'static str {
        NAME
    }

    fn carries_any_bytes(&self) -> bool {
        false
    }

    fn idle_state(&self) -> IdleState {
        match self.helper {
            Helper::Application => IdleState::Connected,
            Helper::Hub => IdleState::Member,
        }
    }

    fn keepalive(&self) -> Option<Vec<u8>> {
        // An answer that nobody asked for: the server need not ask then.
        let mut bytes = Vec::new();
        put_packet(kind::HEARTBEAT, FIRST_SEQ, ALIVE, &mut bytes);
        Some(bytes)
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        check_payload(shape.payload)?;
        match self.helper {
            Helper::Application => self.open_orders(shape),
            Helper::Hub => self.open_room(shape),
        }
    }

    fn open_relay(&self, _payload: usize) -> Result<Relay, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "relay" })
    }

    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        check_payload(payload)?;
        if self.helper == Helper::Hub {
            return self.open_proxied(payload);
        }
        let mut link = self.connect(&Id::fresh(), Options::default())?;
        let body = json_text(payload);
        echo(&mut link, &body)?;
        let asker = Box::new(Echo::new(body, None));
        Ok(Requests { stream: link.ready()?, asker, responder: None })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        if state == IdleState::Member && self.helper == Helper::Application {
            return Err(BenchError::Unsupported { dialect: NAME, workload: "idle members" });
        }
        let room = fresh_name();
        let mut streams = Awake::new(self, count);
        for index in 0..count {
            let options = Options { index, tiny_buffer: false };
            streams.push(match state {
                IdleState::Connected => self.connect(&Id::fresh(), options)?,
                IdleState::Member => self.inside(&room, options)?,
            })?;
            opened(index + 1);
        }
        Ok(streams.streams)
    }
}

/// Asks for the same text again and again, and gets it back: from another client, if there is an
/// envelope for it.
struct Echo {
    body: Vec<u8>,
    envelope: Option<Envelope>,
    rejoin: Rejoin,
}

impl Echo {
    fn new(body: Vec<u8>, envelope: Option<Envelope>) -> Echo {
        Echo { body, envelope, rejoin: Rejoin::default() }
    }
}

impl Asker for Echo {
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match &self.envelope {
            None => put_packet(kind::LINK, number as i32, &self.body, out),
            Some(envelope) => put_forwarded(envelope, kind::LINK, number as i32, &self.body, out),
        }
        Ok(())
    }

    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(u32),
    ) -> Result<(), &'static str> {
        let Echo { body: expected, envelope, rejoin } = self;
        hear(rejoin, bytes, out, |forwarded, seq, body, _| {
            // Else it is what the server's application says of its own accord.
            if forwarded == envelope.is_some() && seq < 0 {
                if body != *expected {
                    return Err("an answer that is not what was said");
                }
                answered(seq.unsigned_abs());
            }
            Ok(())
        })
    }
}

/// Answers each text of another client with the same.
struct Reply {
    envelope: Envelope,
    rejoin: Rejoin,
}

impl Answerer for Reply {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Reply { envelope, rejoin } = self;
        hear(rejoin, bytes, out, |forwarded, seq, body, out| {
            if forwarded && seq > 0 {
                put_forwarded(envelope, kind::LINK, -seq, body, out);
            }
            Ok(())
        })
    }
}

/// Takes the next bytes that arrived, answers the server's probes, and calls `heard` for each value
/// of an application: with whether it was forwarded, its number and its text.
fn hear(
    rejoin: &mut Rejoin,
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut heard: impl FnMut(bool, i32, &[u8], &mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    rejoin.feed(bytes, |bytes| {
        let Some((frame, length)) = read_frame(bytes)? else {
            return Ok(None);
        };
        match frame {
            Frame::Packet { forwarded, kind: kind::LINK, seq, body } => {
                heard(forwarded, seq, body, out)?;
            }
            Frame::Packet { forwarded: false, kind: kind::HEARTBEAT, body: PROBE, .. } => {
                put_packet(kind::HEARTBEAT, FIRST_SEQ, ALIVE, out);
            }
            Frame::Packet { .. } | Frame::Ping => {}
            Frame::Close => return Err("a close frame"),
        }
        Ok(Some(length))
    })
}

fn check_payload(payload: usize) -> Result<(), BenchError> {
    if (1..=LARGEST).contains(&payload) {
        return Ok(());
    }
    Err(BenchError::Plan(format!(
        "AnySocket texts of 1 to {LARGEST} bytes are whole, not {payload}"
    )))
}

/// The id of a client.
struct Id([u8; 16]);

impl Id {
    /// One that no other client has.
    fn fresh() -> Id {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A clock before 1970 only makes ids less different.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [a, b, c, d] = std::process::id().to_be_bytes();
        let [e, f, g, h] = number.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = (since.as_nanos() as u64).to_be_bytes();
        Id([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// 32 hexadecimal digits.
    fn text(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The packet of a call of `hub.METHOD`; dots of the path are written as `","`.
fn call_packet(method: &str, params: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"type":3,"method":["hub","{method}"],"params":["#);
    let body = [head.as_bytes(), params, br#"],"bin":[]}"#].concat();
    let mut out = Vec::new();
    put_packet(kind::INTERNAL, FIRST_SEQ, &body, &mut out);
    out
}

/// Calls a method of the hub; the body of the answer.
fn call(
    link: &mut Link,
    doing: &'static str,
    method: &str,
    params: &str,
) -> Result<Vec<u8>, BenchError> {
    link.send(doing, &call_packet(method, params.as_bytes()))?;
    wait(link, doing, kind::INTERNAL, -FIRST_SEQ)
}

/// Whether a call has not failed.
fn is_result(answer: &[u8]) -> bool {
    answer.starts_with(br#"{"result":"#)
}

/// Says a value and reads the server's answer, which must be the same.
fn echo(link: &mut Link, value: &[u8]) -> Result<(), BenchError> {
    const DOING: &str = "asking for an answer";
    let mut out = Vec::new();
    put_packet(kind::LINK, FIRST_SEQ, value, &mut out);
    link.send(DOING, &out)?;
    let answer = wait(link, DOING, kind::LINK, -FIRST_SEQ)?;
    if answer != value {
        return Err(link.refused(DOING, &answer));
    }
    Ok(())
}

/// Reads packets until the one waited for; its body. Never reads beyond a frame's end.
fn wait(
    link: &mut Link,
    doing: &'static str,
    wanted: u8,
    number: i32,
) -> Result<Vec<u8>, BenchError> {
    loop {
        let frame = websocket::receive(link, doing)?;
        match read_frame(&frame) {
            Ok(Some((Frame::Packet { forwarded: false, kind, seq, body }, _)))
                if (kind, seq) == (wanted, number) =>
            {
                return Ok(body.to_vec());
            }
            Ok(Some((Frame::Close, _))) => return Err(link.refused(doing, b"a close frame")),
            // What the server's application says of its own accord.
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(link.refused(doing, &frame)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::anysocket_frame::from_server;
    use crate::websocket::unmasked;

    /// The answered numbers, and what the server is to hear.
    fn take(pieces: &[&[u8]]) -> Result<(Vec<u32>, Vec<u8>), &'static str> {
        let mut echo = Echo::new(json_text(5), None);
        let (mut numbers, mut out) = (Vec::new(), Vec::new());
        for piece in pieces {
            echo.take(piece, &mut out, &mut |number| numbers.push(number))?;
        }
        Ok((numbers, out))
    }

    #[test]
    fn wrong_answers_and_the_end_are_noticed() {
        for wrong in ["\"....\"", "\"....,\"", "{}", ""] {
            assert!(take(&[&from_server(kind::LINK, -1, wrong.as_bytes())]).is_err(), "{wrong}");
        }
        assert!(take(&[b"\x88\x00"]).is_err());
    }

    #[test]
    fn texts_go_to_another_client_and_back() {
        let (ours, theirs) = (Id::fresh(), Id::fresh());
        let mut echo = Echo::new(json_text(5), Some(Envelope::new(theirs.0, ours.0)));
        let envelope = Envelope::new(ours.0, theirs.0);
        let mut reply = Reply { envelope, rejoin: Rejoin::default() };
        let (mut asked, mut answer, mut out) = (Vec::new(), Vec::new(), Vec::new());
        echo.ask(7, &mut asked).unwrap();
        reply.take(&unmasked(&asked), &mut answer).unwrap();
        let mut numbers = Vec::new();
        let answers =
            [&from_server(kind::LINK, -9, &json_text(5))[..], &unmasked(&answer)].concat();
        echo.take(&answers, &mut out, &mut |number| numbers.push(number)).unwrap();
        assert_eq!((numbers, out), (vec![7], Vec::new()), "an answer of the server is no answer");
    }

    proptest! {
        #[test]
        fn answers_are_found_and_probes_answered_wherever_the_stream_is_cut(
            numbers in proptest::collection::vec(1..i32::MAX, 1..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = Vec::new();
            for &number in &numbers {
                stream.extend(from_server(kind::LINK, -number, &json_text(5)));
                stream.extend(from_server(kind::LINK, number, b"{\"news\":true}"));
                stream.extend(from_server(kind::HEARTBEAT, number, ALIVE));
            }
            stream.extend(from_server(kind::HEARTBEAT, 7, PROBE));
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let (answered, out) = take(&pieces).unwrap();
            prop_assert!(answered.iter().map(|&number| number as i32).eq(numbers));
            let mut alive = Vec::new();
            put_packet(kind::HEARTBEAT, FIRST_SEQ, ALIVE, &mut alive);
            prop_assert_eq!(out, alive);
        }
    }
}
