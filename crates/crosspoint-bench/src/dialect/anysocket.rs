//! AnySocket over WebSocket, as a client. The protocol has no channels, so the server's application
//! has to help. It answers every value with the same value, except an order to broadcast,
//! `{"do":"broadcast","value":V}`: it sends V to every client but the one who asked, and answers
//! nothing.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use super::anysocket_frame::{ALIVE, Frame, PROBE, kind, missing, put_packet, read_frame};
use super::rejoin::Rejoin;
use super::{
    Asker, Dialect, FILL, Fanout, FanoutShape, IdleState, KEEPALIVE_EVERY, Message, Relay, Requests,
};
use crate::BenchError;
use crate::net::{Link, Options};
use crate::unframe::Framing;

/// A server that speaks AnySocket.
#[derive(Debug, Clone)]
pub struct AnySocket {
    address: SocketAddr,
    auth: Option<String>,
}

const NAME: &str = "anysocket";

/// Larger texts may be split, which the prepared packets are not.
const LARGEST: usize = 512 << 10;

/// Numbers of the packets before data flows; those of the workloads may be any.
const AUTH_SEQ: i32 = 1;
const FIRST_SEQ: i32 = 2;

impl AnySocket {
    /// Speaks to the server at `address`. `auth` is the JSON text of the value that the server
    /// wants to see, if it wants one.
    pub fn new(address: SocketAddr, auth: Option<String>) -> AnySocket {
        AnySocket { address, auth }
    }

    /// A connection that the server has let in.
    fn connect(&self, options: Options) -> Result<Link, BenchError> {
        const DOING: &str = "opening a WebSocket";
        let mut link = Link::connect(NAME, self.address, options)?;
        let upgrade = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: Y3Jvc3Nwb2ludC1iZW5jaA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        );
        link.send(DOING, upgrade.as_bytes())?;
        let status = link.line(DOING)?;
        if !status.starts_with(b"HTTP/1.1 101 ") {
            return Err(link.refused(DOING, &status));
        }
        while link.line(DOING)? != b"\r\n" {}

        let id = fresh_id();
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
        let mut link = self.connect(options)?;
        echo(&mut link, b"\"hello\"")?;
        Ok(link)
    }
}

impl Dialect for AnySocket {
    fn name(&self) -> &'static str {
        NAME
    }

    fn carries_any_bytes(&self) -> bool {
        false
    }

    fn keepalive(&self) -> Option<Vec<u8>> {
        // An answer that nobody asked for: the server need not ask then.
        let mut bytes = Vec::new();
        put_packet(kind::HEARTBEAT, FIRST_SEQ, ALIVE, &mut bytes);
        Some(bytes)
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        check_payload(shape.payload)?;
        let sender = self.known(Options::default())?;
        let mut receivers = Awake::new(self, shape.receivers);
        for index in 0..shape.receivers {
            receivers.push(self.known(shape.options(index))?)?;
        }
        let order = [br#"{"do":"broadcast","value":"#, &text(shape.payload)[..], b"}"].concat();
        let mut bytes = Vec::new();
        put_packet(kind::LINK, FIRST_SEQ, &order, &mut bytes);
        Ok(Fanout {
            sources: vec![sender.ready()?],
            receivers: receivers.streams,
            message: Message { bytes, payloads: Vec::new() },
            framing: Framing::AnySocket,
            delivery_bytes: None,
        })
    }

    fn open_relay(&self, _payload: usize) -> Result<Relay, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "relay" })
    }

    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        check_payload(payload)?;
        let mut link = self.connect(Options::default())?;
        let body = text(payload);
        echo(&mut link, &body)?;
        let asker = Box::new(Echo { body, rejoin: Rejoin::default() });
        Ok(Requests { stream: link.ready()?, asker, responder: None })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<TcpStream>, BenchError> {
        if state == IdleState::Member {
            return Err(BenchError::Unsupported { dialect: NAME, workload: "idle members" });
        }
        let mut streams = Awake::new(self, count);
        for index in 0..count {
            streams.push(self.connect(Options { index, tiny_buffer: false })?)?;
            opened(index + 1);
        }
        Ok(streams.streams)
    }
}

/// Connections that give signs of life while more are opened.
struct Awake {
    streams: Vec<TcpStream>,
    keepalive: Option<Vec<u8>>,
    last: Instant,
}

impl Awake {
    fn new(dialect: &AnySocket, count: usize) -> Awake {
        Awake {
            streams: Vec::with_capacity(count),
            keepalive: dialect.keepalive(),
            last: Instant::now(),
        }
    }

    fn push(&mut self, link: Link) -> Result<(), BenchError> {
        self.streams.push(link.ready()?);
        if let Some(keepalive) = &self.keepalive
            && self.last.elapsed() >= KEEPALIVE_EVERY
        {
            self.last = Instant::now();
            for mut stream in &self.streams {
                stream.write_all(keepalive).map_err(|source| BenchError::Io {
                    dialect: NAME,
                    doing: "giving a sign of life",
                    source,
                })?;
            }
        }
        Ok(())
    }
}

/// Asks for the same text again and again, and gets it back.
struct Echo {
    body: Vec<u8>,
    rejoin: Rejoin,
}

impl Asker for Echo {
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
        put_packet(kind::LINK, number as i32, &self.body, out);
        Ok(())
    }

    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(u32),
    ) -> Result<(), &'static str> {
        let Echo { body: expected, rejoin } = self;
        rejoin.feed(bytes, |bytes| {
            let Some((frame, length)) = read_frame(bytes)? else {
                return Ok(None);
            };
            match frame {
                Frame::Packet { kind: kind::LINK, seq: ..=-1, body } if body != *expected => {
                    return Err("an answer that is not what was said");
                }
                Frame::Packet { kind: kind::LINK, seq: seq @ ..=-1, .. } => {
                    answered(seq.unsigned_abs());
                }
                Frame::Packet { kind: kind::HEARTBEAT, body: PROBE, .. } => {
                    put_packet(kind::HEARTBEAT, FIRST_SEQ, ALIVE, out);
                }
                // What the server's application says of its own accord.
                Frame::Packet { .. } | Frame::Ping => {}
                Frame::Close => return Err("a close frame"),
            }
            Ok(Some(length))
        })
    }
}

/// The JSON text of a string of so many characters.
fn text(payload: usize) -> Vec<u8> {
    let mut text = vec![FILL; payload + 2];
    (text[0], text[payload + 1]) = (b'"', b'"');
    text
}

fn check_payload(payload: usize) -> Result<(), BenchError> {
    if (1..=LARGEST).contains(&payload) {
        return Ok(());
    }
    Err(BenchError::Plan(format!(
        "AnySocket texts of 1 to {LARGEST} bytes are whole, not {payload}"
    )))
}

/// An id that no other client has: 32 hexadecimal digits.
fn fresh_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // A clock before 1970 only makes ids less different.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:08x}{number:08x}{:016x}", std::process::id(), since.as_nanos() as u64)
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
        let mut frame = Vec::new();
        loop {
            let filled = frame.len();
            match missing(&frame) {
                Ok(0) => break,
                Ok(more) => frame.resize(filled + more, 0),
                Err(_) => return Err(link.refused(doing, &frame)),
            }
            link.receive_into(doing, &mut frame[filled..])?;
        }
        match read_frame(&frame) {
            Ok(Some((Frame::Packet { kind, seq, body }, _))) if (kind, seq) == (wanted, number) => {
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

    use super::super::anysocket_frame::from_server;
    use super::*;

    /// The answered numbers, and what the server is to hear.
    fn take(pieces: &[&[u8]]) -> Result<(Vec<u32>, Vec<u8>), &'static str> {
        let mut echo = Echo { body: text(5), rejoin: Rejoin::default() };
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

    proptest! {
        #[test]
        fn answers_are_found_and_probes_answered_wherever_the_stream_is_cut(
            numbers in proptest::collection::vec(1..i32::MAX, 1..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = Vec::new();
            for &number in &numbers {
                stream.extend(from_server(kind::LINK, -number, &text(5)));
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
