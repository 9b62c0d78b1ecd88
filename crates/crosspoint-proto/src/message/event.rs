//! Events: written by the server, read by the client.

use super::data::part;
use super::maps::{EnteredMap, PeerMap, join_mode, map, put_map, split_mode};
use super::peers::{peer, peer_map};
use super::{UNKNOWN_TYPE, kind, peers, put_frame, reason};
use crate::frame::{Body, Broken, Frame, put_varint};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::command::{ChannelEvent, DirectoryEvent, Entered, Event, OwnerNews, Target};
use crosspoint_hub::wire::{FrameWriter, Place};
use crosspoint_hub::{JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId};
use serde_bytes::ByteBuf;

/// What OWNER tells (section 5.7).
mod news {
    pub(super) const BACK: u8 = 0;
    pub(super) const AWAY: u8 = 1;
    pub(super) const CHANGED: u8 = 2;
    pub(super) const YOU: u8 = 3;
}

/// Writes an event (server role). WELCOME is written by the server itself.
pub fn put_event(event: &Event, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    let kind = match event {
        Event::Channel(event) => return put_channel(event, out),
        Event::Link(event) => peers::put_link_event(event, &mut body),
        Event::Directory(DirectoryEvent::Peers { news, from }) => {
            return news.write(0, *from, None, out, |news, out| {
                put_event(&news.event().into(), out);
            });
        }
        // For the session itself, and what has no frame: its client need not know of the other one.
        Event::Directory(DirectoryEvent::ClaimAnswered { .. } | DirectoryEvent::NameShared) => {
            return;
        }
        Event::Directory(event) => peers::put_directory_event(event, &mut body),
        Event::Done { request } => {
            put_varint(*request, &mut body);
            kind::DONE
        }
        Event::Refused { request, create, reason } => {
            put_varint(*request, &mut body);
            body.put_u8(u8::from(*create));
            put_varint(u32::from(reason.number()), &mut body);
            body.put_slice(reason.to_string().as_bytes());
            kind::REFUSED
        }
        Event::Paused { to } => {
            put_target(*to, &mut body);
            kind::PAUSE
        }
        Event::Resumed { to, .. } => {
            put_target(*to, &mut body);
            kind::RESUME
        }
        // The server itself writes WELCOME and CLOSE, and the native wire data.
        Event::Welcome { .. }
        | Event::Data { .. }
        | Event::Messages { .. }
        | Event::Closed { .. } => return,
        // To native endpoints the hub application is a peer like others.
        Event::Application(_) => return,
        // What has to be encrypted goes through a link to the other end (docs/peers.md).
        Event::Secure => return,
    };
    put_frame(kind, &body, out);
}

fn put_channel(event: &ChannelEvent, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    let kind = match event {
        ChannelEvent::Created { request, channel } => {
            put_varint(*request, &mut body);
            put_varint(channel.0, &mut body);
            kind::CREATED
        }
        ChannelEvent::Entered(entered) => {
            put_varint(entered.request, &mut body);
            put_varint(entered.channel.0, &mut body);
            put_varint(entered.member.0, &mut body);
            let (raw, max) = split_mode(entered.mode);
            let Entered { chunk, replies, room, .. } = *entered;
            put_map(&EnteredMap { raw, max, chunk, replies, room }, &mut body);
            kind::ENTERED
        }
        ChannelEvent::MemberEntered { channel, member, peer, chunk, replies } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_map(
                &PeerMap { chunk: *chunk, replies: Some(*replies), ..peer_map(peer) },
                &mut body,
            );
            kind::MEMBER_ENTERED
        }
        ChannelEvent::MemberLeft { channel, member, reason } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::MEMBER_LEFT
        }
        ChannelEvent::Knock { channel, ticket, peer, credentials } => {
            put_varint(channel.0, &mut body);
            put_varint(*ticket, &mut body);
            let credentials = Some(ByteBuf::from(credentials.to_vec()));
            put_map(&PeerMap { credentials, ..peer_map(peer) }, &mut body);
            kind::KNOCK
        }
        ChannelEvent::Ended { channel, reason } => {
            put_varint(channel.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::ENDED
        }
        ChannelEvent::Deleted { channel, reason } => {
            put_varint(channel.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::DELETE
        }
        ChannelEvent::Owner { channel, news } => {
            put_varint(channel.0, &mut body);
            match news {
                OwnerNews::Back => body.put_u8(news::BACK),
                OwnerNews::Away => body.put_u8(news::AWAY),
                OwnerNews::Changed(peer) => {
                    body.put_u8(news::CHANGED);
                    put_map(&peer_map(peer), &mut body);
                }
                OwnerNews::You(number) => {
                    body.put_u8(news::YOU);
                    put_varint(number.0, &mut body);
                }
            }
            kind::OWNER
        }
        ChannelEvent::OtherEntered { channel, member, peer } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_map(&peer_map(peer), &mut body);
            kind::OTHER_ENTERED
        }
        ChannelEvent::OtherLeft { channel, member, reason } => {
            put_varint(channel.0, &mut body);
            put_varint(member.0, &mut body);
            put_varint(u32::from(reason.number()), &mut body);
            kind::OTHER_LEFT
        }
        ChannelEvent::Others { channel, news, but } => {
            news.write(channel.0, 0, *but, out, |news, out| {
                put_channel(&news.event(*channel), out)
            });
            return;
        }
        // For the session itself.
        ChannelEvent::Nominated { .. } => return,
    };
    put_frame(kind, &body, out);
}

/// What PAUSE and RESUME are about (section 8.1).
mod target {
    pub(super) const IN: u8 = 0;
    pub(super) const MEMBER: u8 = 1;
    pub(super) const LINK: u8 = 2;
}

fn put_target(to: Target, body: &mut BytesMut) {
    let (kind, numbers): (_, &[u32]) = match to {
        Target::Up(number) => (target::IN, &[number.0]),
        Target::Member(own, member) => (target::MEMBER, &[own.0, member.0]),
        Target::Link(link) => (target::LINK, &[link.0]),
        Target::Everyone(..) => unreachable!("what goes to many waits for nobody"),
    };
    body.put_u8(kind);
    numbers.iter().for_each(|number| put_varint(*number, body));
}

/// `None`: a kind of target that is not known yet.
fn target(body: &mut Body) -> Result<Option<Target>, Broken> {
    Ok(Some(match body.byte()? {
        target::IN => Target::Up(JoinedChannelId(body.varint()?)),
        target::MEMBER => {
            Target::Member(OwnedChannelId(body.varint()?), MemberNumber(body.varint()?))
        }
        target::LINK => Target::Link(LinkNumber(body.varint()?)),
        _ => return Ok(None),
    }))
}

/// Reads an event (client role). `None`: a type that may be skipped.
///
/// # Errors
/// The rule that is broken.
pub fn event(frame: Frame) -> Result<Option<Event>, Broken> {
    let Frame { kind: number, mut body } = frame;
    Ok(Some(match number {
        kind::CREATED => Event::Channel(ChannelEvent::Created {
            request: body.varint()?,
            channel: OwnedChannelId(body.varint()?),
        }),
        kind::ENTERED => {
            let request = body.varint()?;
            let (channel, member) = (JoinedChannelId(body.varint()?), MemberNumber(body.varint()?));
            let EnteredMap { raw, max, chunk, replies, room } = map(&body)?;
            let mode = join_mode(raw, max)?;
            Event::Channel(ChannelEvent::Entered(Entered {
                request,
                channel,
                member,
                mode,
                chunk,
                replies,
                room,
            }))
        }
        kind::REFUSED => {
            let (request, create) = (body.varint()?, body.byte()? != 0);
            Event::Refused { request, create, reason: reason(&mut body)? }
        }
        kind::MEMBER_ENTERED => {
            let (channel, member) = (OwnedChannelId(body.varint()?), MemberNumber(body.varint()?));
            let map: PeerMap = map(&body)?;
            let (chunk, replies) = (map.chunk, map.replies.unwrap_or_default());
            Event::Channel(ChannelEvent::MemberEntered {
                channel,
                member,
                peer: peer(map)?,
                chunk,
                replies,
            })
        }
        kind::MEMBER_LEFT => {
            let (channel, member) = (OwnedChannelId(body.varint()?), MemberNumber(body.varint()?));
            Event::Channel(ChannelEvent::MemberLeft { channel, member, reason: reason(&mut body)? })
        }
        kind::ENDED => Event::Channel(ChannelEvent::Ended {
            channel: JoinedChannelId(body.varint()?),
            reason: reason(&mut body)?,
        }),
        kind::DELETE => Event::Channel(ChannelEvent::Deleted {
            channel: OwnedChannelId(body.varint()?),
            reason: reason(&mut body)?,
        }),
        kind::KNOCK => {
            let (channel, ticket) = (OwnedChannelId(body.varint()?), body.varint()?);
            let mut map: PeerMap = map(&body)?;
            let credentials =
                map.credentials.take().map(ByteBuf::into_vec).unwrap_or_default().into();
            Event::Channel(ChannelEvent::Knock { channel, ticket, peer: peer(map)?, credentials })
        }
        kind::OWNER => {
            let channel = JoinedChannelId(body.varint()?);
            let news = match body.byte()? {
                news::BACK => OwnerNews::Back,
                news::AWAY => OwnerNews::Away,
                news::CHANGED => OwnerNews::Changed(peer(map(&body)?)?),
                news::YOU => OwnerNews::You(OwnedChannelId(body.varint()?)),
                _ => return Ok(None),
            };
            Event::Channel(ChannelEvent::Owner { channel, news })
        }
        kind::OTHER_ENTERED => {
            let (channel, member) = (JoinedChannelId(body.varint()?), MemberNumber(body.varint()?));
            Event::Channel(ChannelEvent::OtherEntered { channel, member, peer: peer(map(&body)?)? })
        }
        kind::OTHER_LEFT => {
            let (channel, member) = (JoinedChannelId(body.varint()?), MemberNumber(body.varint()?));
            Event::Channel(ChannelEvent::OtherLeft { channel, member, reason: reason(&mut body)? })
        }
        kind::LINKED..=kind::PEER_WENT => peers::event(number, body)?,
        kind::PAUSE | kind::RESUME => match (target(&mut body)?, number) {
            (None, _) => return Ok(None),
            (Some(to), kind::PAUSE) => Event::Paused { to },
            (Some(to), _) => Event::Resumed { to, of: 0 },
        },
        _ => {
            let place = match number & !kind::EXTENDED {
                kind::FROM_OWNER => Place::In(JoinedChannelId(body.varint()?)),
                kind::FROM_MEMBER => {
                    Place::Own(OwnedChannelId(body.varint()?), MemberNumber(body.varint()?))
                }
                kind::FROM_ROOM => {
                    Place::Room(JoinedChannelId(body.varint()?), MemberNumber(body.varint()?))
                }
                kind::LINK_DATA => Place::Link(LinkNumber(body.varint()?)),
                _ if number & kind::IGNORABLE != 0 => return Ok(None),
                _ => return Err(UNKNOWN_TYPE),
            };
            Event::Data { place, part: part(number, body)? }
        }
    }))
}
