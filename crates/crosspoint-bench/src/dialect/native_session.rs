//! Sessions of the native protocol, until data flows: held by the protocol's own client.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::protocol::Client;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_proto::client;
use crosspoint_proto::frame::{FRAME_BYTES_MAX, peek_varint};
use crosspoint_proto::identity::Identity;

use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::{Options, Transport};

/// A hub that speaks the native protocol.
#[derive(Debug, Clone)]
pub struct Native {
    transport: Transport,
    token: Option<Bytes>,
}

pub(super) const NAME: &str = "native";

impl Native {
    /// Speaks to the hub at this address.
    pub fn new(hub: impl Into<Transport>) -> Native {
        Native { transport: hub.into(), token: None }
    }

    /// The same with what the hub asks for before it lets anybody in.
    #[must_use]
    pub fn with_token(self, token: Option<Bytes>) -> Native {
        Native { token, ..self }
    }

    /// A session.
    pub(super) fn connect(&self, options: Options) -> Result<Session, BenchError> {
        self.connect_as(None, None, options)
    }

    /// A session with this name and this key, if it is to have one.
    pub(super) fn connect_as(
        &self,
        name: Option<String>,
        identity: Option<Arc<Identity>>,
        options: Options,
    ) -> Result<Session, BenchError> {
        const DOING: &str = "waiting for the hub's welcome";
        let mut out = FrameWriter::default();
        let link = Link::connect(NAME, &self.transport, options)?;
        let hello = Hello { name, token: self.token.clone(), ..Hello::default() };
        let channel_binding = link.channel_binding();
        let own =
            client::Options { hello, identity, channel_binding, ..client::Options::default() };
        let client = client::Native::new(Instant::now(), own, &mut out);
        let mut session = Session { link, client, out };
        session.wait(DOING, |event| match event {
            Event::Welcome { .. } => Some(()),
            _ => None,
        })?;
        Ok(session)
    }
}

/// A connection and its client until data flows.
pub(super) struct Session {
    link: Link,
    client: client::Native,
    out: FrameWriter,
}

impl Session {
    pub(super) fn command(
        &mut self,
        doing: &'static str,
        command: Command,
    ) -> Result<(), BenchError> {
        self.client
            .command(Instant::now(), command, &mut self.out)
            .map_err(|reason| self.link.refused(doing, reason.to_string().as_bytes()))
    }

    /// Reads frames until one brings what is waited for. Never reads beyond a frame's end.
    pub(super) fn wait<T>(
        &mut self,
        doing: &'static str,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Result<T, BenchError> {
        loop {
            self.flush(doing)?;
            match self.client.poll(Instant::now(), &mut self.out) {
                Some(Event::Refused { reason, .. } | Event::Closed { reason }) => {
                    return Err(self.link.refused(doing, reason.to_string().as_bytes()));
                }
                Some(event) => {
                    if let Some(found) = wanted(&event) {
                        return Ok(found);
                    }
                }
                None if self.out.is_empty() => {
                    let frame = self.read_frame(doing)?;
                    self.client.receive(Instant::now(), frame);
                }
                None => {}
            }
        }
    }

    /// Writes what commands have left to write.
    pub(super) fn flush(&mut self, doing: &'static str) -> Result<(), BenchError> {
        for piece in self.out.take().pieces() {
            self.link.send(doing, piece)?;
        }
        Ok(())
    }

    /// The connection, for data that is written and read elsewhere.
    pub(super) fn ready(self) -> Result<Connection, BenchError> {
        self.link.ready()
    }

    pub(super) fn refused(&self, doing: &'static str, why: &str) -> BenchError {
        self.link.refused(doing, why.as_bytes())
    }

    fn read_frame(&mut self, doing: &'static str) -> Result<Bytes, BenchError> {
        let mut frame = Vec::new();
        let length = loop {
            let [byte] = self.link.receive(doing)?;
            frame.push(byte);
            match peek_varint(&frame) {
                Ok(Some((length, _))) if length as usize <= FRAME_BYTES_MAX => {
                    break length as usize;
                }
                Ok(None) => {}
                _ => return Err(self.link.refused(doing, &frame)),
            }
        };
        let head = frame.len();
        frame.resize(head + length, 0);
        self.link.receive_into(doing, &mut frame[head..])?;
        Ok(frame.into())
    }
}
