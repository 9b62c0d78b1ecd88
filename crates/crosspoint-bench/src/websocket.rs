//! WebSocket, as a client that is no browser speaks it: each message is one frame, which is masked. What comes from a
//! server is read as it lies in a buffer.

use crate::BenchError;
use crate::net::Link;
use crate::transport::Transport;

/// First byte of a frame: a whole message of text or of bytes, or a control frame.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Clients must mask. A fixed key is as much work for the server as a random one.
pub(crate) const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x9e];

/// Servers send nothing larger to a load generator.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Makes a connection a WebSocket. `target` is the path of the request, with its query.
pub(crate) fn upgrade(
    link: &mut Link,
    transport: &Transport,
    target: &str,
) -> Result<(), BenchError> {
    const DOING: &str = "opening a WebSocket";
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: Y3Jvc3Nwb2ludC1iZW5jaA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        transport.address()
    );
    link.send(DOING, request.as_bytes())?;
    let status = link.line(DOING)?;
    if !status.starts_with(b"HTTP/1.1 101 ") {
        return Err(link.refused(DOING, &status));
    }
    while link.line(DOING)? != b"\r\n" {}
    Ok(())
}

/// Reads one frame. Nothing after it is consumed.
pub(crate) fn receive(link: &mut Link, doing: &'static str) -> Result<Vec<u8>, BenchError> {
    let mut frame = Vec::new();
    loop {
        let filled = frame.len();
        match missing(&frame) {
            Ok(0) => return Ok(frame),
            Ok(more) => frame.resize(filled + more, 0),
            Err(_) => return Err(link.refused(doing, &frame)),
        }
        link.receive_into(doing, &mut frame[filled..])?;
    }
}

/// Appends a frame that begins with this byte. The parts are its message.
pub(crate) fn put<'a>(
    first: u8,
    parts: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
    out: &mut Vec<u8>,
) {
    let parts = parts.into_iter();
    out.push(first);
    match parts.clone().map(<[u8]>::len).sum() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    parts.for_each(|part| out.extend_from_slice(part));
    let (words, rest) = out[start..].as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(MASK)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(MASK) {
        *byte ^= mask;
    }
}

/// Of a frame: its first byte, and the bytes of its head and of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u8,
    pub(crate) head: usize,
    pub(crate) message: usize,
}

impl Extent {
    /// Bytes of the whole frame.
    pub(crate) fn whole(self) -> usize {
        self.head + self.message
    }

    /// The message in these bytes, which begin with the frame; nothing if it is not all there.
    pub(crate) fn message(self, bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(self.head..self.whole())
    }
}

/// The extent of the frame with which these bytes begin, or nothing if its head is not all there.
pub(crate) fn extent(bytes: &[u8]) -> Result<Option<Extent>, &'static str> {
    let [first, length, rest @ ..] = bytes else {
        return Ok(None);
    };
    if !matches!(*first, TEXT | BINARY | CLOSE | PING | PONG) {
        return Err("neither a whole message nor a control frame");
    }
    let (message, field) = match *length {
        length @ 0..126 => (usize::from(length), 0),
        126 => match rest.first_chunk() {
            Some(field) => (usize::from(u16::from_be_bytes(*field)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(field) => (usize::try_from(u64::from_be_bytes(*field)).unwrap_or(usize::MAX), 8),
            None => return Ok(None),
        },
        _ => return Err("masked frame"),
    };
    if message > MESSAGE_BYTES_MAX {
        return Err("message too large");
    }
    Ok(Some(Extent { first: *first, head: 2 + field, message }))
}

/// How many bytes must follow these at least until a frame is all there; 0 if it is.
pub(crate) fn missing(bytes: &[u8]) -> Result<usize, &'static str> {
    let whole = match (extent(bytes)?, bytes) {
        (Some(extent), _) => extent.whole(),
        (None, [_, 126, ..]) => 2 + 2,
        (None, [_, 127, ..]) => 2 + 8,
        (None, _) => 2,
    };
    Ok(whole.saturating_sub(bytes.len()))
}

/// A client's frame as if a server had sent it.
#[cfg(test)]
pub(crate) fn unmasked(masked: &[u8]) -> Vec<u8> {
    let field = match masked[1] {
        0xfe => 2,
        0xff => 8,
        _ => 0,
    };
    let (head, rest) = masked.split_at(2 + field);
    let (mask, message) = rest.split_at(4);
    let mut frame = head.to_vec();
    frame[1] &= 0x7f;
    frame.extend(message.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
