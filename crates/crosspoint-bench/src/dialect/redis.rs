//! Redis publish and subscribe (RESP 2). A subscribed connection cannot publish, so an end of a
//! conversation is two connections. Publishers switch the counts off that would be their replies.

use std::net::SocketAddr;

use super::{Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, fresh_name};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::Options;
use crate::unframe::Framing;

/// A Redis server.
#[derive(Debug, Clone, Copy)]
pub struct Redis {
    address: SocketAddr,
}

const NAME: &str = "redis";

impl Redis {
    /// Speaks to the server at `address`.
    pub fn new(address: SocketAddr) -> Redis {
        Redis { address }
    }

    fn connect(&self, options: Options) -> Result<Link, BenchError> {
        const DOING: &str = "connecting";
        let mut link = Link::connect(NAME, &self.address.into(), options)?;
        link.send(DOING, b"PING\r\n")?;
        link.expect(DOING, b"+PONG\r\n")?;
        Ok(link)
    }

    fn publisher(&self) -> Result<Connection, BenchError> {
        let mut link = self.connect(Options::default())?;
        link.send("switching replies off", b"CLIENT REPLY OFF\r\n")?;
        link.ready()
    }

    fn subscribe(&self, name: &str, options: Options) -> Result<Connection, BenchError> {
        const DOING: &str = "subscribing";
        let mut link = self.connect(options)?;
        link.send(DOING, format!("SUBSCRIBE {name}\r\n").as_bytes())?;
        let length = name.len();
        let answer = format!("*3\r\n$9\r\nsubscribe\r\n${length}\r\n{name}\r\n:1\r\n");
        link.expect(DOING, answer.as_bytes())?;
        link.ready()
    }
}

impl Dialect for Redis {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        let name = fresh_name();
        let mut receivers = Vec::with_capacity(shape.receivers);
        for index in 0..shape.receivers {
            receivers.push(self.subscribe(&name, shape.options(index))?);
        }
        let bytes = publish(&name, shape.payload);
        let (framing, delivery_bytes) = delivery(&name, shape.payload);
        Ok(Fanout {
            sources: vec![self.publisher()?],
            answered: false,
            receivers,
            message: Message {
                payloads: vec![bytes.len() - LINE_END.len() - shape.payload],
                bytes,
            },
            framing,
            delivery_bytes: Some(delivery_bytes),
        })
    }

    fn open_relay(&self, payload: usize) -> Result<Relay, BenchError> {
        let (requests, replies) = (fresh_name(), fresh_name());
        let end = |speak: &str, listen: &str| {
            Ok(End {
                read: Some(self.subscribe(listen, Options::default())?),
                write: self.publisher()?,
                message: publish(speak, payload),
                framing: delivery(listen, payload).0,
            })
        };
        Ok(Relay {
            requester: end(&requests, &replies)?,
            responder: end(&replies, &requests)?,
            keep: None,
        })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        let name = fresh_name();
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            let options = Options { index, tiny_buffer: false };
            streams.push(match state {
                IdleState::Connected => self.connect(options)?.ready()?,
                IdleState::Member => self.subscribe(&name, options)?,
            });
            opened(index + 1);
        }
        Ok(streams)
    }
}

const LINE_END: &[u8] = b"\r\n";

fn publish(name: &str, payload: usize) -> Vec<u8> {
    let length = name.len();
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n${length}\r\n{name}\r\n${payload}\r\n");
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + payload, FILL);
    bytes.extend_from_slice(LINE_END);
    bytes
}

/// The form and length of what a subscriber receives.
fn delivery(name: &str, payload: usize) -> (Framing, usize) {
    let length = name.len();
    let before = format!("*3\r\n$7\r\nmessage\r\n${length}\r\n{name}\r\n${payload}\r\n").len();
    let after = LINE_END.len();
    let framing = Framing::Fixed { first: b'*', before, data: payload, after, pings: false };
    (framing, before + payload + after)
}
