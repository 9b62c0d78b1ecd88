//! What frames carry: the numbers of section 3 and the bodies of sections 4 to 6.
//!
//! Fixed parts are varints; what may grow is a MessagePack map at the end, of which a reader
//! takes what it knows.

use crate::frame::{Body, DATA_HEADER_BYTES_MAX, Frame, PART_BYTES_MAX, put_varint};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::command::{
    Ban, ChannelOptions, Command, EnterOptions, Entered, Event, Mode, Peer, Target,
};
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{ChannelName, InNumber, MemberNumber, OwnNumber, PeerId, Reason};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::time::Duration;

/// Frame types (section 3). With [`kind::IGNORABLE`] set, a receiver that does not know a type
/// skips the frame.
#[allow(
    missing_docs,
    reason = "the names are those of the specification, section 3"
)]
pub mod kind {
    pub const HELLO: u8 = 0x01;
    pub const WELCOME: u8 = 0x02;
    pub const CLOSE: u8 = 0x03;
    pub const PING: u8 = 0x04;
    pub const PONG: u8 = 0x05;

    pub const CREATE: u8 = 0x10;
    pub const ENTER: u8 = 0x11;
    pub const LEAVE: u8 = 0x12;
    pub const DELETE: u8 = 0x13;
    pub const KICK: u8 = 0x14;
    pub const UNBAN: u8 = 0x15;
    pub const ADMIT: u8 = 0x16;

    pub const CREATED: u8 = 0x18;
    pub const ENTERED: u8 = 0x19;
    pub const REFUSED: u8 = 0x1a;
    pub const MEMBER_ENTERED: u8 = 0x1b;
    pub const MEMBER_LEFT: u8 = 0x1c;
    pub const ENDED: u8 = 0x1d;
    pub const KNOCK: u8 = 0x1e;
    pub const OTHER_ENTERED: u8 = 0x20;
    pub const OTHER_LEFT: u8 = 0x21;

    pub const SEND: u8 = 0x30;
    pub const SEND_TO: u8 = 0x31;
    pub const BROADCAST: u8 = 0x32;
    pub const FROM_OWNER: u8 = 0x33;
    pub const FROM_MEMBER: u8 = 0x34;
    pub const FROM_ROOM: u8 = 0x35;

    /// Added to the data types: kind, total and offset come before the payload.
    pub const EXTENDED: u8 = 0x40;
    /// In types that a receiver may skip.
    pub const IGNORABLE: u8 = 0x80;
}

/// The only version so far.
pub const VERSION: u32 = 1;

/// The map of a HELLO frame (section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct HelloMap {
    /// The highest version that the client speaks.
    pub v: u32,
    /// The lowest version that the client speaks, if not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_min: Option<u32>,
    /// The client's program, for logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The client's peer id, 16 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ByteBuf>,
    /// A name to show to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hub's access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ByteBuf>,
}

/// The map of a WELCOME frame (section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct WelcomeMap {
    /// The version that is spoken from now on.
    pub v: u32,
    /// The client's peer id, 16 bytes.
    pub id: ByteBuf,
    /// The hub's name.
    #[serde(default)]
    pub hub: String,
    /// The largest frame that the hub takes, in bytes.
    pub frame_max: u32,
    /// The largest message, in bytes.
    pub message_max: u32,
    /// How often the hub asks a silent client for a sign of life, in milliseconds.
    pub heartbeat_ms: u32,
    /// What the hub offers beyond version 1.
    #[serde(default)]
    pub features: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
struct CreateMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    members: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approve: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
struct EnterMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    presence: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
struct KickMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ban: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
struct EnteredMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunk: Option<u32>,
    #[serde(default)]
    replies: bool,
    #[serde(default)]
    room: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PeerMap {
    id: ByteBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunk: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replies: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<ByteBuf>,
}

/// Reads the map at the end of a body; an absent one is empty.
///
/// # Errors
/// [`Reason::Malformed`].
pub fn map<T: DeserializeOwned>(body: &Body) -> Result<T, Reason> {
    const EMPTY_MAP: &[u8] = &[0x80];
    let bytes = if body.0.is_empty() {
        EMPTY_MAP
    } else {
        &body.0[..]
    };
    rmp_serde::from_slice(bytes).map_err(|_| Reason::Malformed)
}

/// Appends a map.
pub fn put_map<T: Serialize>(map: &T, out: &mut BytesMut) {
    let bytes = rmp_serde::to_vec_named(map).expect("a map of plain fields always encodes");
    out.put_slice(&bytes);
}

/// Writes a frame whose body is small.
pub fn put_frame(kind: u8, body: &[u8], out: &mut FrameWriter) {
    let mut header = BytesMut::with_capacity(8);
    let length = u32::try_from(body.len() + 1).expect("control frames are small");
    put_varint(length, &mut header);
    header.put_u8(kind);
    header.put_slice(body);
    out.small(&header);
}

/// Writes a CLOSE frame (section 4.3).
pub fn put_close(reason: Reason, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    put_varint(u32::from(reason.number()), &mut body);
    body.put_slice(reason.to_string().as_bytes());
    put_frame(kind::CLOSE, &body, out);
}

/// Reads a reason; numbers of later versions become [`Reason::Internal`].
///
/// # Errors
/// [`Reason::Malformed`] if there is none.
pub fn reason(body: &mut Body) -> Result<Reason, Reason> {
    let number = body.varint()?;
    Ok(u16::try_from(number)
        .ok()
        .and_then(Reason::from_number)
        .unwrap_or(Reason::Internal))
}

/// Writes a data frame: `address` are the varints before the payload.
pub fn put_data(kind: u8, address: &[u32], part: &Part, out: &mut FrameWriter) {
    let mut header = [0u8; 40];
    let mut rest = &mut header[5..];
    let whole = part.kind == Part::DATA && part.is_first() && part.is_last();
    rest.put_u8(if whole { kind } else { kind | kind::EXTENDED });
    for number in address {
        put_varint(*number, &mut rest);
    }
    if !whole {
        rest.put_u8(part.kind);
        put_varint(part.total, &mut rest);
        put_varint(part.offset, &mut rest);
    }
    let end = 40 - rest.len();
    let length = (end - 5 + part.data.len()) as u32;
    // The length goes right before the type, whatever its own length is.
    let mut varint = [0u8; 5];
    let mut free = &mut varint[..];
    put_varint(length, &mut free);
    let size = 5 - free.len();
    header[5 - size..5].copy_from_slice(&varint[..size]);
    out.frame(&header[5 - size..end], &part.data);
}

/// Cuts a part that is too large for a frame into frames. `frame_bytes_max` is what the receiver
/// takes.
pub fn put_in_parts(
    kind: u8,
    address: &[u32],
    part: &Part,
    frame_bytes_max: usize,
    out: &mut FrameWriter,
) {
    // A frame from another member of a chain may be a little above the size of a part; only what
    // is far above is cut, or each frame would be followed by a tiny one.
    let most = frame_bytes_max
        .saturating_sub(DATA_HEADER_BYTES_MAX)
        .clamp(1, 2 * PART_BYTES_MAX);
    if part.data.len() <= most {
        return put_data(kind, address, part, out);
    }
    let mut data = part.data.clone();
    let mut offset = part.offset;
    while !data.is_empty() {
        let piece = data.split_to(data.len().min(most).min(PART_BYTES_MAX));
        let length = piece.len() as u32;
        put_data(
            kind,
            address,
            &Part {
                offset,
                data: piece,
                ..part.clone()
            },
            out,
        );
        offset += length;
    }
}

/// Writes a command (client role). `frame_bytes_max` is what the hub takes.
pub fn put_command(command: &Command, frame_bytes_max: usize, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    let kind = match command {
        Command::Hello(_) => return,
        Command::Create {
            request,
            name,
            options,
        } => {
            put_varint(*request, &mut body);
            put_counted(name.as_bytes(), &mut body);
            let (raw, max) = split_mode(options.mode);
            let password = options
                .password
                .as_deref()
                .map(|bytes| ByteBuf::from(bytes.to_vec()));
            let approve = options.approve.then_some(true);
            put_map(
                &CreateMap {
                    raw,
                    max,
                    members: options.members_max,
                    password,
                    approve,
                },
                &mut body,
            );
            kind::CREATE
        }
        Command::Enter {
            request,
            name,
            options,
        } => {
            put_varint(*request, &mut body);
            put_counted(name.as_bytes(), &mut body);
            let (raw, max) = split_mode(options.mode);
            let password = options
                .password
                .as_deref()
                .map(|bytes| ByteBuf::from(bytes.to_vec()));
            let credentials = Some(&options.credentials)
                .filter(|c| !c.is_empty())
                .map(|c| ByteBuf::from(c.to_vec()));
            let room = options.make_room.then_some(true);
            let presence = options.presence.then_some(true);
            put_map(
                &EnterMap {
                    raw,
                    max,
                    password,
                    credentials,
                    room,
                    presence,
                },
                &mut body,
            );
            kind::ENTER
        }
        Command::Leave(number) => {
            put_varint(number.0, &mut body);
            kind::LEAVE
        }
        Command::Delete(number) => {
            put_varint(number.0, &mut body);
            kind::DELETE
        }
        Command::Send { to, part } => {
            return match *to {
                Target::Up(number) => {
                    put_in_parts(kind::SEND, &[number.0], part, frame_bytes_max, out);
                }
                Target::Member(own, member) => {
                    let address = [own.0, member.0];
                    put_in_parts(kind::SEND_TO, &address, part, frame_bytes_max, out);
                }
                Target::Everyone(own, except) => {
                    let except = except.map_or(0, |member| member.0.saturating_add(1));
                    let address = [own.0, except];
                    put_in_parts(kind::BROADCAST, &address, part, frame_bytes_max, out);
                }
            };
        }
        Command::Kick {
            channel,
            member,
            ban,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            if let Some(ban) = ban {
                // Upwards, or a ban of half a second would be none.
                let seconds = ban.time.map(|time| {
                    let begun = u64::from(time.subsec_nanos() > 0);
                    u32::try_from(time.as_secs().saturating_add(begun)).unwrap_or(u32::MAX)
                });
                put_map(
                    &KickMap {
                        ban: Some(true),
                        seconds,
                        address: Some(ban.address),
                    },
                    &mut body,
                );
            }
            kind::KICK
        }
        Command::Unban { channel, peer } => {
            put_varint(channel.0, &mut body);
            body.put_slice(peer.as_bytes());
            kind::UNBAN
        }
        Command::Admit {
            channel,
            ticket,
            admit,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(*ticket, &mut body);
            body.put_u8(u8::from(*admit));
            kind::ADMIT
        }
    };
    put_frame(kind, &body, out);
}

/// Reads a command (server role). `None`: a type that may be skipped.
///
/// # Errors
/// [`Reason::Malformed`].
pub fn command(frame: Frame) -> Result<Option<Command>, Reason> {
    let Frame {
        kind: number,
        mut body,
    } = frame;
    Ok(Some(match number {
        kind::CREATE => {
            let (request, name) = (body.varint()?, name(&mut body)?);
            let CreateMap {
                raw,
                max,
                members,
                password,
                approve,
            } = map(&body)?;
            let options = ChannelOptions {
                mode: join_mode(raw, max)?,
                members_max: members,
                password: password.map(|bytes| bytes.into_vec().into()),
                approve: approve.unwrap_or_default(),
            };
            Command::Create {
                request,
                name,
                options,
            }
        }
        kind::ENTER => {
            let (request, name) = (body.varint()?, name(&mut body)?);
            let EnterMap {
                raw,
                max,
                password,
                credentials,
                room,
                presence,
            } = map(&body)?;
            let options = EnterOptions {
                mode: join_mode(raw, max)?,
                password: password.map(|bytes| bytes.into_vec().into()),
                credentials: credentials
                    .map(ByteBuf::into_vec)
                    .unwrap_or_default()
                    .into(),
                make_room: room.unwrap_or_default(),
                presence: presence.unwrap_or_default(),
            };
            Command::Enter {
                request,
                name,
                options,
            }
        }
        kind::LEAVE => Command::Leave(InNumber(body.varint()?)),
        kind::DELETE => Command::Delete(OwnNumber(body.varint()?)),
        kind::KICK => {
            let (channel, member) = (OwnNumber(body.varint()?), MemberNumber(body.varint()?));
            let KickMap {
                ban,
                seconds,
                address,
            } = map(&body)?;
            let time = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            let ban = ban.unwrap_or_default().then_some(Ban {
                time,
                address: address.unwrap_or_default(),
            });
            Command::Kick {
                channel,
                member,
                ban,
            }
        }
        kind::UNBAN => Command::Unban {
            channel: OwnNumber(body.varint()?),
            peer: peer_id(&body.bytes(16)?)?,
        },
        kind::ADMIT => {
            let (channel, ticket) = (OwnNumber(body.varint()?), body.varint()?);
            Command::Admit {
                channel,
                ticket,
                admit: body.byte()? != 0,
            }
        }
        _ => match number & !kind::EXTENDED {
            kind::SEND => {
                let to = Target::Up(InNumber(body.varint()?));
                Command::Send {
                    to,
                    part: part(number, body)?,
                }
            }
            kind::SEND_TO => {
                let to = Target::Member(OwnNumber(body.varint()?), MemberNumber(body.varint()?));
                Command::Send {
                    to,
                    part: part(number, body)?,
                }
            }
            kind::BROADCAST => {
                let own = OwnNumber(body.varint()?);
                let except = body.varint()?.checked_sub(1).map(MemberNumber);
                Command::Send {
                    to: Target::Everyone(own, except),
                    part: part(number, body)?,
                }
            }
            _ if number & kind::IGNORABLE != 0 => return Ok(None),
            _ => return Err(Reason::Malformed),
        },
    }))
}

/// Writes an event (server role). WELCOME is written by the server itself.
pub fn put_event(event: &Event, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    let kind = match event {
        Event::Welcome { .. } | Event::Data { .. } | Event::Closed { .. } => return,
        Event::Created { request, channel } => {
            put_varint(*request, &mut body);
            put_varint(channel.0, &mut body);
            kind::CREATED
        }
        Event::Entered(entered) => {
            put_varint(entered.request, &mut body);
            put_varint(entered.channel.0, &mut body);
            put_varint(entered.member.0, &mut body);
            let (raw, max) = split_mode(entered.mode);
            let Entered {
                chunk,
                replies,
                room,
                ..
            } = *entered;
            put_map(
                &EnteredMap {
                    raw,
                    max,
                    chunk,
                    replies,
                    room,
                },
                &mut body,
            );
            kind::ENTERED
        }
        Event::Refused {
            request,
            create,
            reason,
        } => {
            put_varint(*request, &mut body);
            body.put_u8(u8::from(*create));
            put_varint(u32::from(reason.number()), &mut body);
            body.put_slice(reason.to_string().as_bytes());
            kind::REFUSED
        }
        Event::MemberEntered {
            channel,
            member,
            peer,
            chunk,
            replies,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_map(
                &PeerMap {
                    chunk: *chunk,
                    replies: Some(*replies),
                    ..peer_map(peer)
                },
                &mut body,
            );
            kind::MEMBER_ENTERED
        }
        Event::MemberLeft {
            channel,
            member,
            reason,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::MEMBER_LEFT
        }
        Event::Knock {
            channel,
            ticket,
            peer,
            credentials,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(*ticket, &mut body);
            let credentials = Some(ByteBuf::from(credentials.to_vec()));
            put_map(
                &PeerMap {
                    credentials,
                    ..peer_map(peer)
                },
                &mut body,
            );
            kind::KNOCK
        }
        Event::Ended { channel, reason } => {
            put_varint(channel.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::ENDED
        }
        Event::OtherEntered {
            channel,
            member,
            peer,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_map(&peer_map(peer), &mut body);
            kind::OTHER_ENTERED
        }
        Event::OtherLeft {
            channel,
            member,
            reason,
        } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::OTHER_LEFT
        }
    };
    put_frame(kind, &body, out);
}

/// Reads an event (client role). `None`: a type that may be skipped.
///
/// # Errors
/// [`Reason::Malformed`].
pub fn event(frame: Frame) -> Result<Option<Event>, Reason> {
    let Frame {
        kind: number,
        mut body,
    } = frame;
    Ok(Some(match number {
        kind::CREATED => Event::Created {
            request: body.varint()?,
            channel: OwnNumber(body.varint()?),
        },
        kind::ENTERED => {
            let request = body.varint()?;
            let (channel, member) = (InNumber(body.varint()?), MemberNumber(body.varint()?));
            let EnteredMap {
                raw,
                max,
                chunk,
                replies,
                room,
            } = map(&body)?;
            let mode = join_mode(raw, max)?;
            Event::Entered(Entered {
                request,
                channel,
                member,
                mode,
                chunk,
                replies,
                room,
            })
        }
        kind::REFUSED => {
            let (request, create) = (body.varint()?, body.byte()? != 0);
            Event::Refused {
                request,
                create,
                reason: reason(&mut body)?,
            }
        }
        kind::MEMBER_ENTERED => {
            let (channel, member) = (OwnNumber(body.varint()?), MemberNumber(body.varint()?));
            let map: PeerMap = map(&body)?;
            let (chunk, replies) = (map.chunk, map.replies.unwrap_or_default());
            Event::MemberEntered {
                channel,
                member,
                peer: peer(map)?,
                chunk,
                replies,
            }
        }
        kind::MEMBER_LEFT => {
            let (channel, member) = (OwnNumber(body.varint()?), MemberNumber(body.varint()?));
            Event::MemberLeft {
                channel,
                member,
                reason: reason(&mut body)?,
            }
        }
        kind::ENDED => Event::Ended {
            channel: InNumber(body.varint()?),
            reason: reason(&mut body)?,
        },
        kind::KNOCK => {
            let (channel, ticket) = (OwnNumber(body.varint()?), body.varint()?);
            let mut map: PeerMap = map(&body)?;
            let credentials = map
                .credentials
                .take()
                .map(ByteBuf::into_vec)
                .unwrap_or_default()
                .into();
            Event::Knock {
                channel,
                ticket,
                peer: peer(map)?,
                credentials,
            }
        }
        kind::OTHER_ENTERED => {
            let (channel, member) = (InNumber(body.varint()?), MemberNumber(body.varint()?));
            Event::OtherEntered {
                channel,
                member,
                peer: peer(map(&body)?)?,
            }
        }
        kind::OTHER_LEFT => {
            let (channel, member) = (InNumber(body.varint()?), MemberNumber(body.varint()?));
            Event::OtherLeft {
                channel,
                member,
                reason: reason(&mut body)?,
            }
        }
        _ => {
            let place = match number & !kind::EXTENDED {
                kind::FROM_OWNER => Place::In(InNumber(body.varint()?)),
                kind::FROM_MEMBER => {
                    Place::Own(OwnNumber(body.varint()?), MemberNumber(body.varint()?))
                }
                kind::FROM_ROOM => {
                    Place::Room(InNumber(body.varint()?), MemberNumber(body.varint()?))
                }
                _ if number & kind::IGNORABLE != 0 => return Ok(None),
                _ => return Err(Reason::Malformed),
            };
            Event::Data {
                place,
                part: part(number, body)?,
            }
        }
    }))
}

fn part(number: u8, mut body: Body) -> Result<Part, Reason> {
    if number & kind::EXTENDED == 0 {
        return Ok(Part::whole(body.0));
    }
    let kind = body.byte()?;
    let (total, offset) = (body.varint()?, body.varint()?);
    let end = u64::from(offset) + body.0.len() as u64;
    if end > u64::from(total) {
        return Err(Reason::Malformed);
    }
    Ok(Part {
        kind,
        total,
        offset,
        data: body.0,
    })
}

fn put_counted(bytes: &[u8], out: &mut BytesMut) {
    put_varint(
        u32::try_from(bytes.len()).expect("names have at most 255 bytes"),
        out,
    );
    out.put_slice(bytes);
}

fn name(body: &mut Body) -> Result<ChannelName, Reason> {
    let bytes: Bytes = body.counted()?;
    // A copy, or a name would keep the whole read alive for as long as the channel lives.
    ChannelName::new(bytes.to_vec()).map_err(|_too_long| Reason::TooLarge)
}

fn split_mode(mode: Mode) -> (Option<bool>, Option<u32>) {
    match mode {
        Mode::Raw => (Some(true), None),
        Mode::Chunk { bytes_max } => (None, Some(bytes_max)),
    }
}

fn join_mode(raw: Option<bool>, max: Option<u32>) -> Result<Mode, Reason> {
    let bytes_max = max.unwrap_or(Mode::CHUNK_BYTES_DEFAULT);
    let mode = match raw.unwrap_or_default() {
        true => Mode::Raw,
        false => Mode::Chunk { bytes_max },
    };
    is_possible(mode).then_some(mode).ok_or(Reason::Malformed)
}

/// Whether a mode's largest message is within the bounds.
pub(crate) fn is_possible(mode: Mode) -> bool {
    match mode {
        Mode::Raw => true,
        Mode::Chunk { bytes_max } => (1..=Mode::CHUNK_BYTES_LIMIT).contains(&bytes_max),
    }
}

/// Reads a peer id.
///
/// # Errors
/// [`Reason::Malformed`] if it has not 16 bytes.
pub fn peer_id(bytes: &[u8]) -> Result<PeerId, Reason> {
    bytes
        .try_into()
        .map(PeerId::new)
        .map_err(|_| Reason::Malformed)
}

fn peer_map(peer: &Peer) -> PeerMap {
    PeerMap {
        id: ByteBuf::from(peer.id.as_bytes().to_vec()),
        name: peer.name.as_deref().map(str::to_owned),
        protocol: peer.protocol.to_owned(),
        chunk: None,
        replies: None,
        credentials: None,
    }
}

fn peer(map: PeerMap) -> Result<Peer, Reason> {
    // The hub's own words, so that a peer can be copied without allocating.
    let protocol = match map.protocol.as_str() {
        "native" => "native",
        "peote" => "peote",
        _ => "other",
    };
    Ok(Peer {
        id: peer_id(&map.id)?,
        name: map.name.map(Into::into),
        protocol,
    })
}
