//! What is about other sessions: links, services and who is there (section 12).

use super::maps::{FoundMap, LinkMap, PeerMap, map, put_map};
use super::{UNKNOWN_TYPE, UNKNOWN_WHAT, WRONG_NAME, kind, peer_id, put_counted, reason};
use crate::frame::{Body, Broken, put_varint};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::command::{
    Addressee, After, Command, DirectoryCommand, DirectoryEvent, Event, LinkCommand, LinkEvent,
    LinkOptions, Peer, Query, Watched,
};
use crosspoint_hub::{LinkNumber, PeerName};
use serde_bytes::ByteBuf;

/// What stands before an addressee or a query.
mod what {
    pub(super) const PEER: u8 = 0;
    pub(super) const NAME: u8 = 1;
    pub(super) const SERVICE: u8 = 2;
    pub(super) const NAMES: u8 = 3;
    pub(super) const EVERYBODY: u8 = 4;
}

/// What stands before the one behind whom a list goes on.
mod behind {
    pub(super) const NOBODY: u8 = 0;
    pub(super) const NAME: u8 = 1;
    pub(super) const PEER: u8 = 2;
}

/// Writes the body of a command about links, and gives its type.
pub(super) fn put_link_command(command: &LinkCommand, body: &mut BytesMut) -> u8 {
    match command {
        LinkCommand::Open { request, to, options } => {
            put_varint(*request, body);
            match to {
                Addressee::Peer(id) => {
                    body.put_u8(what::PEER);
                    body.put_slice(id.as_bytes());
                }
                Addressee::Name(name) => put_named(what::NAME, name.as_str(), body),
                Addressee::Service(name) => put_named(what::SERVICE, name.as_str(), body),
            }
            if *options != LinkOptions::default() {
                let purpose = bytes(&options.purpose);
                let except = options.except.iter().map(|id| ByteBuf::from(id.as_bytes().to_vec()));
                put_map(&LinkMap { purpose, except: except.collect() }, body);
            }
            kind::LINK
        }
        LinkCommand::Close { link, reason } => {
            put_varint(link.0, body);
            put_varint(u32::from(reason.number()), body);
            kind::UNLINK
        }
    }
}

/// Writes the body of a command about who is there, and gives its type.
pub(super) fn put_directory_command(command: &DirectoryCommand, body: &mut BytesMut) -> u8 {
    match command {
        DirectoryCommand::Provide { request, service, on } => {
            put_varint(*request, body);
            body.put_u8(u8::from(*on));
            put_counted(service.as_str().as_bytes(), body);
            kind::PROVIDE
        }
        DirectoryCommand::Look { request, query } => {
            put_varint(*request, body);
            match query {
                Query::Peer(id) => {
                    body.put_u8(what::PEER);
                    body.put_slice(id.as_bytes());
                }
                Query::Name(name) => put_named(what::NAME, name.as_str(), body),
                Query::Service(name) => put_named(what::SERVICE, name.as_str(), body),
                Query::Names { prefix, after } => {
                    put_named(what::NAMES, prefix, body);
                    let after = after.as_ref().map_or("", PeerName::as_str);
                    put_counted(after.as_bytes(), body);
                }
                Query::Everybody { after } => {
                    body.put_u8(what::EVERYBODY);
                    match after {
                        None => body.put_u8(behind::NOBODY),
                        Some(After::Name(name)) => put_named(behind::NAME, name.as_str(), body),
                        Some(After::Peer(id)) => {
                            body.put_u8(behind::PEER);
                            body.put_slice(id.as_bytes());
                        }
                    }
                }
            }
            kind::LOOK
        }
        DirectoryCommand::Watch { request, whom } => {
            put_varint(*request, body);
            body.put_u8(match whom {
                Watched::Nobody => 0,
                Watched::Named => 1,
                Watched::Everybody => 2,
            });
            kind::WATCH
        }
    }
}

/// Reads a command of this module.
pub(super) fn command(number: u8, mut body: Body) -> Result<Command, Broken> {
    if number == kind::UNLINK {
        let link = LinkNumber(body.varint()?);
        return Ok(Command::Link(LinkCommand::Close { link, reason: reason(&mut body)? }));
    }
    let request = body.varint()?;
    Ok(match number {
        kind::LINK => {
            let to = match body.byte()? {
                what::PEER => Addressee::Peer(peer_id(&body.bytes(16)?)?),
                what::NAME => Addressee::Name(name(&mut body)?),
                what::SERVICE => Addressee::Service(name(&mut body)?),
                _ => return Err(UNKNOWN_WHAT),
            };
            let LinkMap { purpose, except } = map(&body)?;
            let purpose = purpose.map(ByteBuf::into_vec).unwrap_or_default().into();
            let except = except.iter().map(|id| peer_id(id)).collect::<Result<_, _>>()?;
            Command::Link(LinkCommand::Open {
                request,
                to,
                options: LinkOptions { purpose, except, single: false },
            })
        }
        kind::PROVIDE => {
            let on = body.byte()? != 0;
            Command::Directory(DirectoryCommand::Provide { request, service: name(&mut body)?, on })
        }
        kind::LOOK => {
            let query = match body.byte()? {
                what::PEER => Query::Peer(peer_id(&body.bytes(16)?)?),
                what::NAME => Query::Name(name(&mut body)?),
                what::SERVICE => Query::Service(name(&mut body)?),
                what::NAMES => {
                    let prefix = text(&mut body)?;
                    let after = text(&mut body)?;
                    let after = (!after.is_empty()).then(|| PeerName::new(after)).transpose();
                    Query::Names { prefix, after: after.map_err(|_| WRONG_NAME)? }
                }
                what::EVERYBODY => Query::Everybody { after: after(&mut body)? },
                _ => return Err(UNKNOWN_WHAT),
            };
            Command::Directory(DirectoryCommand::Look { request, query })
        }
        kind::WATCH => {
            let whom = match body.byte()? {
                0 => Watched::Nobody,
                2 => Watched::Everybody,
                _ => Watched::Named,
            };
            Command::Directory(DirectoryCommand::Watch { request, whom })
        }
        _ => return Err(UNKNOWN_TYPE),
    })
}

/// Writes the body of an event about links, and gives its type.
pub(super) fn put_link_event(event: &LinkEvent, body: &mut BytesMut) -> u8 {
    match event {
        LinkEvent::Opened { request, link, peer, purpose } => {
            put_varint(link.0, body);
            body.put_u8(u8::from(request.is_some()));
            put_varint(request.unwrap_or_default(), body);
            put_map(&PeerMap { purpose: bytes(purpose), ..peer_map(peer) }, body);
            kind::LINKED
        }
        LinkEvent::Closed { link, reason } => {
            put_varint(link.0, body);
            put_varint(u32::from(reason.number()), body);
            kind::UNLINKED
        }
    }
}

/// Writes the body of an event about who is there, and gives its type. Not of [`DirectoryEvent::Peers`],
/// [`DirectoryEvent::NameShared`] and [`DirectoryEvent::ClaimAnswered`].
pub(super) fn put_directory_event(event: &DirectoryEvent, body: &mut BytesMut) -> u8 {
    match event {
        DirectoryEvent::Found { request, peers, more } => {
            put_varint(*request, body);
            body.put_u8(u8::from(*more));
            if !peers.is_empty() {
                put_map(&FoundMap { peers: peers.iter().map(peer_map).collect() }, body);
            }
            kind::FOUND
        }
        DirectoryEvent::PeerCame { peer } => {
            put_map(&peer_map(peer), body);
            kind::PEER_CAME
        }
        DirectoryEvent::PeerWent { peer } => {
            put_map(&peer_map(peer), body);
            kind::PEER_WENT
        }
        DirectoryEvent::Peers { .. } => unreachable!("many are written one by one"),
        DirectoryEvent::NameShared => unreachable!("it has no frame"),
        DirectoryEvent::ClaimAnswered { .. } => unreachable!("it is for the session itself"),
    }
}

/// Reads an event of this module.
pub(super) fn event(number: u8, mut body: Body) -> Result<Event, Broken> {
    Ok(match number {
        kind::LINKED => {
            let link = LinkNumber(body.varint()?);
            let asked = body.byte()? != 0;
            let request = Some(body.varint()?).filter(|_| asked);
            let mut map: PeerMap = map(&body)?;
            let purpose = map.purpose.take().map(ByteBuf::into_vec).unwrap_or_default().into();
            Event::Link(LinkEvent::Opened { request, link, peer: peer(map)?, purpose })
        }
        kind::UNLINKED => {
            let link = LinkNumber(body.varint()?);
            Event::Link(LinkEvent::Closed { link, reason: reason(&mut body)? })
        }
        kind::FOUND => {
            let (request, more) = (body.varint()?, body.byte()? != 0);
            let FoundMap { peers } = map(&body)?;
            let peers = peers.into_iter().map(peer).collect::<Result<_, _>>()?;
            Event::Directory(DirectoryEvent::Found { request, peers, more })
        }
        kind::DONE => Event::Done { request: body.varint()? },
        kind::PEER_CAME => Event::Directory(DirectoryEvent::PeerCame { peer: peer(map(&body)?)? }),
        kind::PEER_WENT => Event::Directory(DirectoryEvent::PeerWent { peer: peer(map(&body)?)? }),
        _ => return Err(UNKNOWN_TYPE),
    })
}

/// Behind whom a list of all goes on.
fn after(body: &mut Body) -> Result<Option<After>, Broken> {
    Ok(match body.byte()? {
        behind::NOBODY => None,
        behind::NAME => Some(After::Name(name(body)?)),
        behind::PEER => Some(After::Peer(peer_id(&body.bytes(16)?)?)),
        _ => return Err(UNKNOWN_WHAT),
    })
}

fn put_named(what: u8, name: &str, body: &mut BytesMut) {
    body.put_u8(what);
    put_counted(name.as_bytes(), body);
}

fn bytes(bytes: &[u8]) -> Option<ByteBuf> {
    (!bytes.is_empty()).then(|| ByteBuf::from(bytes.to_vec()))
}

/// Reads a text that is no longer than a name.
fn text(body: &mut Body) -> Result<String, Broken> {
    let bytes = body.counted()?;
    if bytes.len() > PeerName::BYTES_MAX {
        return Err(super::LONG_NAME);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| WRONG_NAME)
}

fn name(body: &mut Body) -> Result<PeerName, Broken> {
    PeerName::new(text(body)?).map_err(|_| WRONG_NAME)
}

/// Who somebody is, as a map.
pub(super) fn peer_map(peer: &Peer) -> PeerMap {
    PeerMap {
        id: ByteBuf::from(peer.id.as_bytes().to_vec()),
        name: peer.name.as_deref().map(str::to_owned),
        protocol: peer.protocol.to_owned(),
        chunk: None,
        replies: None,
        credentials: None,
        purpose: None,
    }
}

/// Reads who somebody is.
pub(super) fn peer(map: PeerMap) -> Result<Peer, Broken> {
    // The hub's own words, so that a peer can be copied without allocating.
    let protocol = match map.protocol.as_str() {
        "native" => "native",
        "peote" => "peote",
        "anysocket" => "anysocket",
        "socketio" => "socketio",
        _ => "other",
    };
    Ok(Peer { id: peer_id(&map.id)?, name: map.name.map(Into::into), protocol })
}
