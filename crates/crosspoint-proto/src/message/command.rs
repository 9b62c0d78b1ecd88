//! Commands: written by the client, read by the server.

use super::data::{part, put_in_parts};
use super::maps::{CreateMap, EnterMap, KickMap, join_mode, map, put_map, split_mode};
use super::{LONG_NAME, UNKNOWN_TYPE, kind, peer_id, peers, put_counted, put_frame};
use crate::frame::{Body, Broken, Frame, put_varint};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::command::{Ban, ChannelCommand, ChannelOptions, Command, EnterOptions, Target};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{ChannelName, JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId};
use serde_bytes::ByteBuf;
use std::time::Duration;

/// Writes a command (client role). `frame_bytes_max` is what the hub takes.
pub fn put_command(command: &Command, frame_bytes_max: usize, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    let kind = match command {
        Command::Channel(command) => match put_channel(command, &mut body) {
            Some(kind) => kind,
            None => return,
        },
        Command::Link(command) => peers::put_link_command(command, &mut body),
        Command::Directory(command) => peers::put_directory_command(command, &mut body),
        Command::Send { to, part } => {
            match *to {
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
                Target::Link(link) => {
                    put_in_parts(kind::LINK_DATA, &[link.0], part, frame_bytes_max, out);
                }
            }
            return;
        }
        // HELLO is written by the client itself, and there is no frame for the others.
        Command::Hello(_) | Command::Application(_) | Command::Secured { .. } => return,
    };
    put_frame(kind, &body, out);
}

/// Writes the body of a command about channels and rooms, and gives its type; `None` if there is no frame for it.
fn put_channel(command: &ChannelCommand, body: &mut BytesMut) -> Option<u8> {
    Some(match command {
        ChannelCommand::Withdraw(_) | ChannelCommand::Dissolve(_) => return None,
        ChannelCommand::Create { request, name, options } => {
            put_varint(*request, body);
            put_counted(name.as_bytes(), body);
            let (raw, max) = split_mode(options.mode);
            let password = options.password.as_deref().map(|bytes| ByteBuf::from(bytes.to_vec()));
            let approve = options.approve.then_some(true);
            put_map(&CreateMap { raw, max, members: options.members_max, password, approve }, body);
            kind::CREATE
        }
        ChannelCommand::Enter { request, name, options } => {
            put_varint(*request, body);
            put_counted(name.as_bytes(), body);
            let (raw, max) = split_mode(options.mode);
            let password = options.password.as_deref().map(|bytes| ByteBuf::from(bytes.to_vec()));
            let credentials = Some(&options.credentials)
                .filter(|c| !c.is_empty())
                .map(|c| ByteBuf::from(c.to_vec()));
            let room = options.make_room.then_some(true);
            let presence = options.presence.then_some(true);
            let silent = options.silent.then_some(true);
            put_map(&EnterMap { raw, max, password, credentials, room, presence, silent }, body);
            kind::ENTER
        }
        ChannelCommand::Leave(number) => {
            put_varint(number.0, body);
            kind::LEAVE
        }
        ChannelCommand::Delete(number) => {
            put_varint(number.0, body);
            kind::DELETE
        }
        ChannelCommand::Succeed { request, channel, member } => {
            put_varint(*request, body);
            put_varint(channel.0, body);
            put_varint(member.map_or(0, |member| member.0.saturating_add(1)), body);
            kind::SUCCESSOR
        }
        ChannelCommand::Resign(number) => {
            put_varint(number.0, body);
            kind::RESIGN
        }
        ChannelCommand::Kick { channel, member, ban } => {
            put_varint(channel.0, body);
            put_varint(member.0, body);
            if let Some(ban) = ban {
                // Upwards, or a ban of half a second would be none.
                let seconds = ban.time.map(|time| {
                    let begun = u64::from(time.subsec_nanos() > 0);
                    u32::try_from(time.as_secs().saturating_add(begun)).unwrap_or(u32::MAX)
                });
                put_map(&KickMap { ban: Some(true), seconds, address: Some(ban.address) }, body);
            }
            kind::KICK
        }
        ChannelCommand::Unban { channel, peer } => {
            put_varint(channel.0, body);
            body.put_slice(peer.as_bytes());
            kind::UNBAN
        }
        ChannelCommand::Admit { channel, ticket, admit } => {
            put_varint(channel.0, body);
            put_varint(*ticket, body);
            body.put_u8(u8::from(*admit));
            kind::ADMIT
        }
    })
}

/// Reads a command (server role). `None`: a type that may be skipped.
///
/// # Errors
/// The rule that is broken.
pub fn command(frame: Frame) -> Result<Option<Command>, Broken> {
    let Frame { kind: number, mut body } = frame;
    Ok(Some(match number {
        kind::CREATE => {
            let (request, name) = (body.varint()?, name(&mut body)?);
            let CreateMap { raw, max, members, password, approve } = map(&body)?;
            let options = ChannelOptions {
                mode: join_mode(raw, max)?,
                members_max: members,
                password: password.map(|bytes| bytes.into_vec().into()),
                approve: approve.unwrap_or_default(),
            };
            Command::Channel(ChannelCommand::Create { request, name, options })
        }
        kind::ENTER => {
            let (request, name) = (body.varint()?, name(&mut body)?);
            let EnterMap { raw, max, password, credentials, room, presence, silent } = map(&body)?;
            let options = EnterOptions {
                mode: join_mode(raw, max)?,
                password: password.map(|bytes| bytes.into_vec().into()),
                credentials: credentials.map(ByteBuf::into_vec).unwrap_or_default().into(),
                make_room: room.unwrap_or_default(),
                presence: presence.unwrap_or_default(),
                silent: silent.unwrap_or_default(),
            };
            Command::Channel(ChannelCommand::Enter { request, name, options })
        }
        kind::LEAVE => Command::Channel(ChannelCommand::Leave(JoinedChannelId(body.varint()?))),
        kind::DELETE => Command::Channel(ChannelCommand::Delete(OwnedChannelId(body.varint()?))),
        kind::SUCCESSOR => {
            let (request, channel) = (body.varint()?, OwnedChannelId(body.varint()?));
            let member = body.varint()?.checked_sub(1).map(MemberNumber);
            Command::Channel(ChannelCommand::Succeed { request, channel, member })
        }
        kind::RESIGN => Command::Channel(ChannelCommand::Resign(OwnedChannelId(body.varint()?))),
        kind::KICK => {
            let (channel, member) = (OwnedChannelId(body.varint()?), MemberNumber(body.varint()?));
            let KickMap { ban, seconds, address } = map(&body)?;
            let time = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            let ban = ban
                .unwrap_or_default()
                .then_some(Ban { time, address: address.unwrap_or_default() });
            Command::Channel(ChannelCommand::Kick { channel, member, ban })
        }
        kind::UNBAN => Command::Channel(ChannelCommand::Unban {
            channel: OwnedChannelId(body.varint()?),
            peer: peer_id(&body.bytes(16)?)?,
        }),
        kind::ADMIT => {
            let (channel, ticket) = (OwnedChannelId(body.varint()?), body.varint()?);
            Command::Channel(ChannelCommand::Admit { channel, ticket, admit: body.byte()? != 0 })
        }
        kind::LINK..=kind::WATCH => peers::command(number, body)?,
        _ => match number & !kind::EXTENDED {
            kind::SEND => {
                let to = Target::Up(JoinedChannelId(body.varint()?));
                Command::Send { to, part: part(number, body)? }
            }
            kind::SEND_TO => {
                let to =
                    Target::Member(OwnedChannelId(body.varint()?), MemberNumber(body.varint()?));
                Command::Send { to, part: part(number, body)? }
            }
            kind::BROADCAST => {
                let own = OwnedChannelId(body.varint()?);
                let except = body.varint()?.checked_sub(1).map(MemberNumber);
                Command::Send { to: Target::Everyone(own, except), part: part(number, body)? }
            }
            kind::LINK_DATA => {
                let to = Target::Link(LinkNumber(body.varint()?));
                Command::Send { to, part: part(number, body)? }
            }
            _ if number & kind::IGNORABLE != 0 => return Ok(None),
            _ => return Err(UNKNOWN_TYPE),
        },
    }))
}

fn name(body: &mut Body) -> Result<ChannelName, Broken> {
    let bytes: Bytes = body.counted()?;
    // A copy, or a name would keep the whole read alive for as long as the channel lives.
    ChannelName::new(bytes.to_vec()).map_err(|_too_long| LONG_NAME)
}
