//! Core NATS text protocol: a channel is a subject.

use std::net::SocketAddr;

use super::nats_request::{Echo, Reply};
use super::{
    Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, Requests, Responder,
    fresh_name,
};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::Options;
use crate::unframe::Framing;

/// A NATS server.
#[derive(Debug, Clone, Copy)]
pub struct Nats {
    address: SocketAddr,
}

const NAME: &str = "nats";

impl Nats {
    /// Speaks to the server at `address`.
    pub fn new(address: SocketAddr) -> Nats {
        Nats { address }
    }

    fn connect(&self, options: Options) -> Result<Link, BenchError> {
        const DOING: &str = "connecting";
        let mut link = Link::connect(NAME, &self.address.into(), options)?;
        let info = link.line("waiting for the server's greeting")?;
        if !info.starts_with(b"INFO ") {
            return Err(link.refused(DOING, &info));
        }
        link.send(DOING, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n")?;
        link.expect(DOING, b"PONG\r\n")?;
        Ok(link)
    }

    fn subscribe(&self, subject: &str, options: Options) -> Result<Connection, BenchError> {
        const DOING: &str = "subscribing";
        let mut link = self.connect(options)?;
        link.send(DOING, format!("SUB {subject} 1\r\nPING\r\n").as_bytes())?;
        link.expect(DOING, b"PONG\r\n")?;
        link.ready()
    }
}

impl Dialect for Nats {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        let subject = fresh_name();
        let mut receivers = Vec::with_capacity(shape.receivers);
        for index in 0..shape.receivers {
            receivers.push(self.subscribe(&subject, shape.options(index))?);
        }
        let bytes = publish(&subject, "", shape.payload);
        let (framing, delivery_bytes) = delivery(&subject, "", shape.payload);
        Ok(Fanout {
            sources: vec![self.connect(Options::default())?.ready()?],
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
        let end = |listen: &str, message, framing| {
            let write = self.subscribe(listen, Options::default())?;
            Ok(End { write, read: None, message, framing })
        };
        let request = publish(&requests, &replies, payload);
        let reply = publish(&replies, "", payload);
        Ok(Relay {
            requester: end(&replies, request, delivery(&replies, "", payload).0)?,
            responder: end(&requests, reply, delivery(&requests, &replies, payload).0)?,
            keep: None,
        })
    }

    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        let (subject, inbox) = (fresh_name(), fresh_name());
        Ok(Requests {
            stream: self.subscribe(&format!("{inbox}.*"), Options::default())?,
            asker: Box::new(Echo::new(&subject, &inbox, payload)),
            responder: Some(Responder {
                stream: self.subscribe(&subject, Options::default())?,
                answerer: Box::new(Reply::default()),
            }),
        })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        let subject = fresh_name();
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            let options = Options { index, tiny_buffer: false };
            streams.push(match state {
                IdleState::Connected => self.connect(options)?.ready()?,
                IdleState::Member => self.subscribe(&subject, options)?,
            });
            opened(index + 1);
        }
        Ok(streams)
    }
}

const LINE_END: &[u8] = b"\r\n";

fn publish(subject: &str, reply: &str, payload: usize) -> Vec<u8> {
    let separator = if reply.is_empty() { "" } else { " " };
    let mut bytes = format!("PUB {subject} {reply}{separator}{payload}\r\n").into_bytes();
    bytes.resize(bytes.len() + payload, FILL);
    bytes.extend_from_slice(LINE_END);
    bytes
}

/// The form and length of what a subscriber with id 1 receives.
fn delivery(subject: &str, reply: &str, payload: usize) -> (Framing, usize) {
    let separator = if reply.is_empty() { "" } else { " " };
    let before = format!("MSG {subject} 1 {reply}{separator}{payload}\r\n").len();
    let after = LINE_END.len();
    let framing = Framing::Fixed { first: b'M', before, data: payload, after, pings: true };
    (framing, before + payload + after)
}
