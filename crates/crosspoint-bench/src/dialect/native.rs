//! The native protocol. The data frames are written here by hand, since they are what is
//! measured; the conversation before them comes from the protocol's own client, through [`Setup`].

use std::net::{SocketAddr, TcpStream};

use super::{
    Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, duplicate, fresh_name,
};
use crate::BenchError;
use crate::net::{Link, Options};
use crate::unframe::{Framing, put_varint};

/// The conversation on a new blocking connection (which has read and write time limits) before
/// data flows. Each call consumes the hub's answers exactly, so that the next byte on the stream
/// begins the next frame.
pub trait Setup: Send + Sync {
    /// Sends the protocol's first bytes and its greeting, and waits for the hub's.
    ///
    /// # Errors
    ///
    /// [`BenchError::Io`] or [`BenchError::Refused`].
    fn greet(&self, stream: &mut TcpStream) -> Result<(), BenchError>;

    /// Creates a channel and returns its own number.
    ///
    /// # Errors
    ///
    /// [`BenchError::Io`] or [`BenchError::Refused`].
    fn create(&self, stream: &mut TcpStream, channel: &str) -> Result<u64, BenchError>;

    /// Enters a channel and returns its in number.
    ///
    /// # Errors
    ///
    /// [`BenchError::Io`] or [`BenchError::Refused`].
    fn enter(&self, stream: &mut TcpStream, channel: &str) -> Result<u64, BenchError>;

    /// Waits on an owner's connection until it hears of one more member; returns its number.
    ///
    /// # Errors
    ///
    /// [`BenchError::Io`] or [`BenchError::Refused`].
    fn member_came(&self, stream: &mut TcpStream) -> Result<u64, BenchError>;
}

/// A hub that speaks the native protocol.
pub struct Native<S> {
    address: SocketAddr,
    setup: S,
}

const NAME: &str = "native";

/// Members put into one channel of the idle workload.
const IDLE_MEMBERS: usize = 250;

const SEND: u8 = 0x30;
const SEND_TO: u8 = 0x31;
const BROADCAST: u8 = 0x32;

impl<S: Setup> Native<S> {
    /// Speaks to the hub at `address`.
    pub fn new(address: SocketAddr, setup: S) -> Native<S> {
        Native { address, setup }
    }

    fn connect(&self, options: Options) -> Result<Link, BenchError> {
        let mut link = Link::connect(NAME, self.address, options)?;
        self.setup.greet(link.stream())?;
        Ok(link)
    }

    fn create(&self, channel: &str) -> Result<(Link, u64), BenchError> {
        let mut owner = self.connect(Options::default())?;
        let own = self.setup.create(owner.stream(), channel)?;
        Ok((owner, own))
    }

    /// A new member, the number the owner knows it by, and its own in number.
    fn enter(
        &self,
        owner: &mut Link,
        channel: &str,
        options: Options,
    ) -> Result<(Link, u64, u64), BenchError> {
        let mut member = self.connect(options)?;
        let inside = self.setup.enter(member.stream(), channel)?;
        let number = self.setup.member_came(owner.stream())?;
        Ok((member, number, inside))
    }
}

impl<S: Setup> Dialect for Native<S> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        let channel = fresh_name();
        let (mut owner, own) = self.create(&channel)?;
        let mut receivers = Vec::with_capacity(shape.receivers);
        let mut delivery_bytes = 0;
        for index in 0..shape.receivers {
            let (member, _, inside) = self.enter(&mut owner, &channel, shape.options(index))?;
            let from_owner = crate::unframe::native_type::FROM_OWNER;
            delivery_bytes = frame(from_owner, &[inside], shape.payload).len();
            receivers.push(member.ready()?);
        }
        let nobody = 0;
        let bytes = frame(BROADCAST, &[own, nobody], shape.payload);
        Ok(Fanout {
            sources: vec![owner.ready()?],
            receivers,
            message: Message {
                payloads: vec![bytes.len() - shape.payload],
                bytes,
            },
            framing: Framing::Native,
            delivery_bytes,
        })
    }

    fn open_relay(&self, payload: usize) -> Result<Relay, BenchError> {
        let channel = fresh_name();
        let (mut owner, own) = self.create(&channel)?;
        let (member, number, inside) = self.enter(&mut owner, &channel, Options::default())?;
        let end = |link: Link, message| {
            let write = link.ready()?;
            Ok(End {
                read: duplicate(&write)?,
                write,
                message,
                framing: Framing::Native,
            })
        };
        Ok(Relay {
            requester: end(member, frame(SEND, &[inside], payload))?,
            responder: end(owner, frame(SEND_TO, &[own, number], payload))?,
            keep: None,
        })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<TcpStream>, BenchError> {
        let mut streams = Vec::with_capacity(count);
        let mut index = 0;
        while index < count {
            let channel = fresh_name();
            let group = IDLE_MEMBERS.min(count - index);
            let mut owner = match state {
                IdleState::Connected => None,
                IdleState::Member => Some(self.create(&channel)?.0),
            };
            for _ in 0..group {
                let options = Options {
                    index,
                    tiny_buffer: false,
                };
                let link = match &mut owner {
                    None => self.connect(options)?,
                    Some(owner) => self.enter(owner, &channel, options)?.0,
                };
                streams.push(link.ready()?);
                index += 1;
                opened(index);
            }
            if let Some(owner) = owner {
                streams.push(owner.ready()?);
            }
        }
        Ok(streams)
    }
}

fn frame(kind: u8, numbers: &[u64], payload: usize) -> Vec<u8> {
    let mut body = vec![kind];
    for &number in numbers {
        put_varint(&mut body, number);
    }
    let mut bytes = Vec::new();
    put_varint(&mut bytes, (body.len() + payload) as u64);
    bytes.append(&mut body);
    bytes.resize(bytes.len() + payload, FILL);
    bytes
}
