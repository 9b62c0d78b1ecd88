//! Joint frames as the specification has them, read independently of the crate's own reader, and
//! as much of WebSocket as the transcripts need.

use super::transcript::{Line, Side};
use std::collections::{HashMap, HashSet};

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// A reply or push, from its third byte on.
    Control(Vec<u8>),
    /// Joint byte, user byte (0 where there is none) and data.
    Data(u8, u8, Vec<u8>),
}

impl Unit {
    fn is_push(&self) -> bool {
        matches!(self, Self::Control(bytes) if bytes.first() == Some(&0) && bytes.len() > 3)
    }
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Command, number and payload.
    Command(u8, u8, Vec<u8>),
    /// The mode of a broadcast, joint byte, user byte (0 where there is none) and data.
    Data(Option<u8>, u8, u8, Vec<u8>),
}

/// Cuts what a server has sent, which has to end with a frame.
pub(crate) fn units(mut bytes: &[u8]) -> Vec<Unit> {
    let mut units = Vec::new();
    while let [first, ..] = *bytes {
        if first == 0 {
            let end = 2 + usize::from(bytes[1]);
            units.push(Unit::Control(bytes[2..end].to_vec()));
            bytes = &bytes[end..];
            continue;
        }
        let (body, rest) = data_body(bytes).expect("it ends with a frame");
        bytes = rest;
        match *body {
            [] => {}
            [joint, user, ref data @ ..] if joint >= 0x80 => {
                units.push(Unit::Data(joint, user, data.to_vec()));
            }
            [joint, ref data @ ..] => units.push(Unit::Data(joint, 0, data.to_vec())),
        }
    }
    units
}

/// Cuts what a client has sent, and gives how many bytes were whole.
pub(crate) fn acts(bytes: &[u8]) -> (Vec<Act>, usize) {
    let mut acts = Vec::new();
    let mut rest = bytes;
    while let Some((act, after)) = act(rest) {
        acts.extend(act);
        rest = after;
    }
    (acts, bytes.len() - rest.len())
}

/// The first act, if it is whole (`None` inside for an empty frame), and what follows it.
fn act(bytes: &[u8]) -> Option<(Option<Act>, &[u8])> {
    let (mode, bytes) = match *bytes {
        [0, command, nr, count, ref rest @ ..] => {
            let (payload, rest) = rest.split_at_checked(count.into())?;
            return Some((Some(Act::Command(command, nr, payload.to_vec())), rest));
        }
        [0, ..] => return None,
        [1, mode, ref rest @ ..] => (Some(mode), rest),
        _ => (None, bytes),
    };
    let (body, rest) = data_body(bytes)?;
    let act = match *body {
        [] => None,
        [joint, user, ref data @ ..] if joint >= 0x80 && mode != Some(1) => {
            Some(Act::Data(mode, joint, user, data.to_vec()))
        }
        [joint, ref data @ ..] => Some(Act::Data(mode, joint, 0, data.to_vec())),
    };
    Some((act, rest))
}

/// The body of the data frame at the front, and what follows it.
fn data_body(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, header) = match *bytes {
        [long, low, ..] if long >= 0x80 => (usize::from(long - 0x80) * 256 + usize::from(low), 2),
        [short, ..] if short < 0x80 => (usize::from(short), 1),
        _ => return None,
    };
    bytes[header..].split_at_checked(size)
}

/// What must be equal between two servers: keepalives and empty frames count for nothing, data may
/// be cut otherwise, and pushes next to each other may come in any order.
pub(crate) fn normal(units: Vec<Unit>) -> Vec<Unit> {
    let mut normal: Vec<Unit> = Vec::new();
    for unit in units {
        match (&unit, normal.last_mut()) {
            (Unit::Control(bytes), _) if bytes[..2] == [0, 0xff] => {}
            (Unit::Data(_, _, data), _) if data.is_empty() => {}
            (Unit::Data(joint, user, more), Some(Unit::Data(j, u, data)))
                if (joint, user) == (&*j, &*u) =>
            {
                data.extend(more);
            }
            _ => normal.push(unit),
        }
    }
    normal.chunk_by_mut(|one, other| one.is_push() && other.is_push()).for_each(<[Unit]>::sort);
    normal
}

/// Takes the WebSocket off a transcript: upgrades vanish, messages become their payload, and a
/// client's close frame is the end of its connection, which some clients delay for long after it.
pub(crate) fn unwrap_web_socket(lines: Vec<Line>) -> Vec<Line> {
    #[derive(Default)]
    struct Stream {
        raw: bool,
        upgraded: bool,
        closed: bool,
        bytes: Vec<u8>,
    }
    let mut streams: HashMap<(usize, bool), Stream> = HashMap::new();
    let mut gone = HashSet::new();
    let mut unwrapped = Vec::new();
    for Line { conn, side, bytes } in lines {
        let key = (conn, side == Side::Client);
        // Which one it is the client's first byte tells.
        let first = bytes.as_ref().and_then(|bytes| bytes.first());
        let raw = !streams.contains_key(&(conn, true)) && first != Some(&b'G');
        let raw = raw || streams.get(&(conn, true)).is_some_and(|stream| stream.raw);
        let stream = streams.entry(key).or_default();
        stream.raw = raw;
        let Some(bytes) = bytes else {
            if !stream.closed {
                unwrapped.push(Line { conn, side, bytes });
            }
            stream.closed = true;
            continue;
        };
        if raw {
            let bytes = Some(bytes);
            unwrapped.push(Line { conn, side, bytes });
            continue;
        }
        // The real server goes on writing to who has closed in the words of WebSocket.
        if side == Side::Server && gone.contains(&conn) {
            continue;
        }
        stream.bytes.extend(bytes);
        if !stream.upgraded {
            let end = stream.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { continue };
            stream.bytes.drain(..end + 4);
            stream.upgraded = true;
        }
        let mut payload = Vec::new();
        let mut close = false;
        while let Some((opcode, content, length)) = web_socket_frame(&stream.bytes) {
            stream.bytes.drain(..length);
            match opcode {
                8 => close = true,
                _ => payload.extend(content),
            }
        }
        if !payload.is_empty() && !stream.closed {
            let bytes = Some(payload);
            unwrapped.push(Line { conn, side, bytes });
        }
        if close && !stream.closed {
            stream.closed = true;
            gone.insert(conn);
            let bytes = None;
            unwrapped.push(Line { conn, side, bytes });
        }
    }
    unwrapped
}

/// Opcode and content of the frame at the front, and its length, if it is whole.
fn web_socket_frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (opcode, second) = (bytes.first()? & 0x0f, *bytes.get(1)?);
    let (length, mut at) = match second & 0x7f {
        126 => {
            let long: [u8; 2] = bytes.get(2..4)?.try_into().ok()?;
            (usize::from(u16::from_be_bytes(long)), 4)
        }
        127 => {
            let long: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            (u64::from_be_bytes(long) as usize, 10)
        }
        short => (usize::from(short), 2),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        mask = bytes.get(at..at + 4)?.try_into().ok()?;
        at += 4;
    }
    let content = bytes.get(at..at + length)?;
    let content = content.iter().zip(mask.iter().cycle()).map(|(c, m)| c ^ m);
    Some((opcode, content.collect(), at + length))
}
