//! peote joint protocol over TCP. One message of a fan-out is one broadcast to all members; a
//! channel holds 256 of them, so larger audiences are spread evenly over several channels of the
//! same owner.

use super::{Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, fresh_name};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::{Options, Transport};
use crate::unframe::Framing;

/// A server that speaks the joint protocol.
#[derive(Debug, Clone)]
pub struct Joint {
    transport: Transport,
}

const NAME: &str = "joint";

/// Members a channel has room for.
const MEMBERS: usize = 256;

/// Channels one connection may own.
const OWNED: usize = 128;

/// The largest size field.
const LARGEST: usize = 0x7fff;

const CREATE: u8 = 0;
const ENTER: u8 = 1;

impl Joint {
    /// Speaks to the server at this address.
    pub fn new(server: impl Into<Transport>) -> Joint {
        Joint { transport: server.into() }
    }

    /// Opens `count` channels, 128 on each owner connection. They last as long as the returned
    /// connections.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and creating.
    pub fn open_channels(&self, count: usize) -> Result<Vec<Connection>, BenchError> {
        let mut owners = Vec::new();
        for first in (0..count).step_by(OWNED) {
            let mut owner = self.connect(Options::default())?;
            for own in 0..OWNED.min(count - first) {
                create(&mut owner, &fresh_name(), own)?;
            }
            owners.push(owner.ready()?);
        }
        Ok(owners)
    }

    fn connect(&self, options: Options) -> Result<Link, BenchError> {
        Link::connect(NAME, &self.transport, options)
    }
}

impl Dialect for Joint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        let channels = shape.receivers.div_ceil(MEMBERS);
        check_payload(shape.payload)?;
        if channels > OWNED {
            return Err(BenchError::Plan(format!(
                "one owner reaches at most {} members over the joint protocol",
                OWNED * MEMBERS
            )));
        }
        let mut owner = self.connect(Options::default())?;
        let names: Vec<_> = (0..channels).map(|_| fresh_name()).collect();
        for (own, name) in names.iter().enumerate() {
            create(&mut owner, name, own)?;
        }
        let mut receivers = Vec::with_capacity(shape.receivers);
        for index in 0..shape.receivers {
            let mut member = self.connect(shape.options(index))?;
            enter(&mut member, &names[index % channels])?;
            receivers.push(member.ready()?);
            member_came(&mut owner)?;
        }
        let mut message = Message { bytes: Vec::new(), payloads: Vec::new() };
        for own in 0..channels {
            message.bytes.extend([1, 1]);
            put_frame(&mut message.bytes, &[0x80 | own as u8], shape.payload);
            message.payloads.push(message.bytes.len() - shape.payload);
        }
        Ok(Fanout {
            sources: vec![owner.ready()?],
            answered: false,
            receivers,
            message,
            framing: Framing::Joint,
            delivery_bytes: Some(to_member(shape.payload).len()),
        })
    }

    fn open_relay(&self, payload: usize) -> Result<Relay, BenchError> {
        check_payload(payload)?;
        let name = fresh_name();
        let mut owner = self.connect(Options::default())?;
        create(&mut owner, &name, 0)?;
        let mut member = self.connect(Options::default())?;
        enter(&mut member, &name)?;
        member_came(&mut owner)?;
        let end = |link: Link, message| {
            let write = link.ready()?;
            Ok(End { write, read: None, message, framing: Framing::Joint })
        };
        let mut reply = Vec::new();
        put_frame(&mut reply, &[0x80, 0], payload);
        Ok(Relay {
            requester: end(member, to_member(payload))?,
            responder: end(owner, reply)?,
            keep: None,
        })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        let mut streams = Vec::with_capacity(count);
        let mut owner: Option<(Link, String)> = None;
        for index in 0..count {
            let mut link = self.connect(Options { index, tiny_buffer: false })?;
            match state {
                IdleState::Connected => refused_enter(&mut link)?,
                IdleState::Member => {
                    if index % (MEMBERS * OWNED) == 0 {
                        let next = (self.connect(Options::default())?, String::new());
                        if let Some((full, _)) = owner.replace(next) {
                            streams.push(full.ready()?);
                        }
                    }
                    if let Some((owner, name)) = &mut owner {
                        if index % MEMBERS == 0 {
                            *name = fresh_name();
                            create(owner, name, index / MEMBERS % OWNED)?;
                        }
                        enter(&mut link, name)?;
                        member_came(owner)?;
                    }
                }
            }
            streams.push(link.ready()?);
            opened(index + 1);
        }
        if let Some((owner, _)) = owner {
            streams.push(owner.ready()?);
        }
        Ok(streams)
    }
}

/// A message as it arrives at (or leaves from) a member whose in number is 0. Bare sockets carry
/// the same bytes.
pub(crate) fn to_member(payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_frame(&mut bytes, &[0], payload);
    bytes
}

/// Largest payload whose frame has a size in every direction.
pub(crate) fn check_payload(payload: usize) -> Result<(), BenchError> {
    let largest = LARGEST - 2;
    if (1..=largest).contains(&payload) {
        return Ok(());
    }
    Err(BenchError::Plan(format!("a joint frame carries 1 to {largest} bytes, not {payload}")))
}

fn put_frame(bytes: &mut Vec<u8>, names: &[u8], payload: usize) {
    let size = names.len() + payload;
    if size < 0x80 {
        bytes.push(size as u8);
    } else {
        bytes.extend([0x80 | (size >> 8) as u8, size as u8]);
    }
    bytes.extend_from_slice(names);
    bytes.resize(bytes.len() + payload, FILL);
}

fn command(command: u8, name: &str) -> Vec<u8> {
    let mut bytes = vec![0, command, 1, name.len() as u8];
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

fn create(owner: &mut Link, name: &str, own: usize) -> Result<(), BenchError> {
    const DOING: &str = "creating a channel";
    owner.send(DOING, &command(CREATE, name))?;
    owner.expect(DOING, &[0, 3, 1, 0, own as u8])
}

fn enter(member: &mut Link, name: &str) -> Result<(), BenchError> {
    const DOING: &str = "entering a channel";
    member.send(DOING, &command(ENTER, name))?;
    member.expect(DOING, &[0, 3, 1, 0, 0])
}

/// Asks for a channel that is not there: an answered exchange that leaves nothing behind.
fn refused_enter(link: &mut Link) -> Result<(), BenchError> {
    const DOING: &str = "asking for a channel that is not there";
    link.send(DOING, &command(ENTER, "-"))?;
    link.expect(DOING, &[0, 3, 1, 1, 1])
}

/// Waits until the owner is told of a member; skips keepalives.
fn member_came(owner: &mut Link) -> Result<(), BenchError> {
    const DOING: &str = "waiting for the owner to hear of a member";
    loop {
        match owner.receive::<6>(DOING)? {
            [0, 4, 0, 0, _, _] => return Ok(()),
            [0, 4, 0, 0xff, _, _] => {}
            other => return Err(owner.refused(DOING, &other)),
        }
    }
}
