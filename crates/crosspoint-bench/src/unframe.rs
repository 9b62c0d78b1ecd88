//! Finds the application's data in a stream of frames, wherever the stream is cut.
//!
//! Nothing is gathered: data bytes are handed on as they lie in the buffer that was read. Hubs may
//! split a frame on its way, so messages are counted by their data bytes, not by their frames.

use crosspoint_proto::frame::{FRAME_BYTES_MAX, peek_varint};
use crosspoint_proto::message::kind;
use crosspoint_proto::peer;

use crate::anysocket_frame;
pub use crate::head::{Around, Head};
use crate::socketio_frame;

/// How the frames of a protocol are recognised at a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// peote joint protocol, hub to client (`01 nn` pieces included); also bare sockets.
    Joint,
    /// Native protocol, hub to client.
    Native,
    /// Native protocol, hub to the receiver of a stream over a link, and nothing else over it.
    NativeStream,
    /// All bytes are data.
    Raw,
    /// AnySocket over WebSocket, server to client: the data are in messages, with so much JSON
    /// around them.
    AnySocket(Around),
    /// Socket.IO over WebSocket, server to client: the data are in events, with so much of the packet around them.
    SocketIo(Around),
    /// Deliveries of one fixed size beginning with `first`; lines of six bytes (`PING` and `PONG`)
    /// may stand between them if `pings` is set.
    Fixed {
        /// First byte of a delivery.
        first: u8,
        /// Bytes before the data.
        before: usize,
        /// Data bytes.
        data: usize,
        /// Bytes after the data.
        after: usize,
        /// Whether `PING` and `PONG` lines may occur.
        pings: bool,
    },
}

impl Framing {
    /// Reads the beginning of a frame.
    pub fn head(&self, bytes: &[u8]) -> Head {
        match *self {
            Framing::Joint => joint_head(bytes),
            Framing::Native => native_head(bytes),
            Framing::NativeStream => native_stream_head(bytes),
            Framing::Raw => Head::Frame { before: 0, data: usize::MAX / 2, after: 0 },
            Framing::AnySocket(json) => anysocket_frame::head(bytes, json),
            Framing::SocketIo(packet) => socketio_frame::head(bytes, packet),
            Framing::Fixed { first, before, data, after, pings } => match bytes.first() {
                None => Head::Short,
                Some(&byte) if byte == first => Head::Frame { before, data, after },
                Some(b'P') if pings => Head::Frame { before: "PING\r\n".len(), data: 0, after: 0 },
                Some(_) => Head::Wrong("unexpected first byte"),
            },
        }
    }
}

fn joint_head(bytes: &[u8]) -> Head {
    let (size, field) = match *bytes {
        [0, count, ..] => {
            return Head::Frame { before: 2 + count as usize, data: 0, after: 0 };
        }
        [size @ 1..0x80, ..] => (size as usize, 1),
        [high @ 0x80..=0xff, low, ..] => ((high as usize - 0x80) << 8 | low as usize, 2),
        _ => return Head::Short,
    };
    if size == 0 {
        return Head::Frame { before: field, data: 0, after: 0 };
    }
    let Some(&joint) = bytes.get(field) else {
        return Head::Short;
    };
    // The owner's frames name the user after the joint.
    let names = if joint & 0x80 == 0 { 1 } else { 2 };
    match size.checked_sub(names) {
        Some(data) => Head::Frame { before: field + names, data, after: 0 },
        None => Head::Wrong("a frame for the owner without a user"),
    }
}

/// Type and end of a native frame, and where its type stands.
fn native_frame(bytes: &[u8]) -> Result<(u8, usize, usize), Head> {
    let (length, field) = match peek_varint(bytes) {
        Ok(Some((0, _))) => return Err(Head::Wrong("frame without a type")),
        Ok(Some((length, field))) if length as usize <= FRAME_BYTES_MAX => (length as usize, field),
        Ok(None) => return Err(Head::Short),
        _ => return Err(Head::Wrong("frame length")),
    };
    let kind = bytes.get(field).ok_or(Head::Short)?;
    Ok((*kind, field + length, field))
}

/// Reads a varint at this place, and gives the place behind it.
fn varint_at(bytes: &[u8], at: usize) -> Result<(usize, usize), Head> {
    match peek_varint(&bytes[at..]) {
        Ok(Some((value, width))) => Ok((value as usize, at + width)),
        Ok(None) => Err(Head::Short),
        Err(_) => Err(Head::Wrong("number")),
    }
}

fn native_head(bytes: &[u8]) -> Head {
    let find = || {
        let (kind, end, field) = native_frame(bytes)?;
        let numbers = match kind {
            kind::FROM_OWNER => 1,
            kind::FROM_MEMBER => 2,
            _ => return Ok(Head::Frame { before: end, data: 0, after: 0 }),
        };
        let mut before = field + 1;
        for _ in 0..numbers {
            (_, before) = varint_at(bytes, before)?;
        }
        Ok(match end.checked_sub(before) {
            Some(data) => Head::Frame { before, data, after: 0 },
            None => Head::Wrong("frame shorter than its numbers"),
        })
    };
    find().unwrap_or_else(|other| other)
}

fn native_stream_head(bytes: &[u8]) -> Head {
    const DATA: u8 = kind::LINK_DATA | kind::EXTENDED;
    let find = || {
        let (kind, end, field) = native_frame(bytes)?;
        match kind {
            DATA => {}
            kind::CLOSE => return Err(Head::Wrong("the end of the session")),
            kind::UNLINKED => return Err(Head::Wrong("the end of the link")),
            _ => return Ok(Head::Frame { before: end, data: 0, after: 0 }),
        }
        let (_link, before) = varint_at(bytes, field + 1)?;
        match bytes.get(before) {
            Some(&peer::kind::BYTES) => {}
            Some(_) => return Err(Head::Wrong("a message that is no bytes of a stream")),
            None => return Err(Head::Short),
        }
        let (total, before) = varint_at(bytes, before + 1)?;
        let (offset, body) = varint_at(bytes, before)?;
        let (_stream, before) = varint_at(bytes, body)?;
        if offset != 0 || body + total != end {
            return Err(Head::Wrong("a message in parts"));
        }
        Ok(match end.checked_sub(before) {
            Some(data) => Head::Frame { before, data, after: 0 },
            None => Head::Wrong("frame shorter than its numbers"),
        })
    };
    find().unwrap_or_else(|other| other)
}

/// No protocol needs more bytes to know a frame's extent: five varints and two types, or the heads of
/// a WebSocket frame and an AnySocket packet, with room.
const LONGEST_HEAD: usize = 32;

/// Walks over one received stream. Feed it everything in order.
#[derive(Debug, Clone)]
pub struct Unframer {
    framing: Framing,
    head: [u8; LONGEST_HEAD],
    head_filled: usize,
    skip: usize,
    data: usize,
    after: usize,
}

impl Unframer {
    /// A walker at the beginning of a frame.
    pub fn new(framing: Framing) -> Unframer {
        Unframer { framing, head: [0; LONGEST_HEAD], head_filled: 0, skip: 0, data: 0, after: 0 }
    }

    /// Whether everything taken so far was whole frames.
    pub(crate) fn between_frames(&self) -> bool {
        self.head_filled + self.skip + self.data + self.after == 0
    }

    /// Takes the next bytes of the stream and calls `on_data` with each run of data in them.
    ///
    /// # Errors
    ///
    /// A reason if the stream is not made of this protocol's frames; feed nothing more then.
    #[inline]
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_data: impl FnMut(&[u8]),
    ) -> Result<(), &'static str> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            let (data, rest) = bytes.split_at(self.data.min(bytes.len()));
            if !data.is_empty() {
                on_data(data);
            }
            self.data -= data.len();
            bytes = rest;
            if self.data == 0 && self.after > 0 {
                self.skip = std::mem::take(&mut self.after);
                continue;
            }
            if !bytes.is_empty() {
                bytes = self.begin(bytes)?;
            }
        }
    }

    /// Reads the head of the next frame; returns the bytes after the head's bytes that were
    /// gathered earlier.
    #[inline]
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
        if self.head_filled == 0 {
            return match self.framing.head(bytes) {
                Head::Frame { before, data, after } => {
                    (self.skip, self.data, self.after) = (before, data, after);
                    Ok(bytes)
                }
                Head::Wrong(reason) => Err(reason),
                Head::Short => {
                    self.head[..bytes.len()].copy_from_slice(bytes);
                    self.head_filled = bytes.len();
                    Ok(&[])
                }
            };
        }
        // The head was cut: byte by byte until its extent is known.
        for (index, &byte) in bytes.iter().enumerate() {
            self.head[self.head_filled] = byte;
            self.head_filled += 1;
            match self.framing.head(&self.head[..self.head_filled]) {
                Head::Frame { before, data, after } => {
                    self.skip = before - self.head_filled.min(before);
                    (self.data, self.after) = (data, after);
                    self.head_filled = 0;
                    return Ok(&bytes[index + 1..]);
                }
                Head::Wrong(reason) => return Err(reason),
                Head::Short => {}
            }
        }
        Ok(&[])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data_of(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<u8>, &'static str> {
        let mut unframer = Unframer::new(framing);
        let mut data = Vec::new();
        for piece in pieces {
            unframer.feed(piece, |run| data.extend_from_slice(run))?;
        }
        Ok(data)
    }

    const FIXED: Framing =
        Framing::Fixed { first: b'M', before: 4, data: 3, after: 2, pings: true };

    const ANYSOCKET: Framing = Framing::AnySocket(Around::QUOTES);

    const JOINT_STREAM: &[u8] =
        b"\x00\x04\x00\xff\x00\x00\x03\x00ab\x01\x07\x80\x04\x05cde\x80\x00\x05\x81\x09fgh\x02\x00i";
    const NATIVE_STREAM: &[u8] =
        b"\x04\x33\x00ab\x83\x00\x99zz\x02\x33\x07\x87\x00\x34\x81\x01\x05cde";
    const ANYSOCKET_STREAM: &[u8] =
        b"\x81\x0b13\x00\x00\x00\x02\"abc\"\x89\x00\x81\x0715\x00\x00\x00\x031\
        \x81\x0d13\x00\x00\x00\xc3\xbf\"defg\"\x81\x7e\x00\x0913\x00\x00\x00\x04\"h\"";
    const LINK_STREAM: &[u8] =
        b"\x08\x76\x03\x1a\x03\x00\x00ab\x09\x047654321\x00\x08\x76\x03\x1a\x03\x00\x00cd";
    const SOCKETIO: Framing = Framing::SocketIo(Around { before: 9, after: 2 });
    const SOCKETIO_STREAM: &[u8] =
        b"\x81\x0e42[\"ev\",\"abc\"]\x81\x012\x89\x00\x81\x0643[\"x\"\x82\x02hi\x81\x7e\x00\x0d42[\"ev\",\"de\"]";
    const FIXED_STREAM: &[u8] = b"MSG abc\r\nPING\r\nMSG def\r\n";

    #[test]
    fn data_is_found_between_control_frames_keepalives_and_empty_frames() {
        assert_eq!(data_of(Framing::Joint, &[JOINT_STREAM]).unwrap(), b"abcdefghi");
        assert_eq!(data_of(Framing::Native, &[NATIVE_STREAM]).unwrap(), b"abcde");
        assert_eq!(data_of(ANYSOCKET, &[ANYSOCKET_STREAM]).unwrap(), b"abcdefgh");
        assert_eq!(data_of(SOCKETIO, &[SOCKETIO_STREAM]).unwrap(), b"abcde");
        assert_eq!(data_of(Framing::NativeStream, &[LINK_STREAM]).unwrap(), b"abcd");
        assert_eq!(data_of(Framing::Raw, &[FIXED_STREAM]).unwrap(), FIXED_STREAM);
        assert_eq!(data_of(FIXED, &[FIXED_STREAM]).unwrap(), b"abcdef");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(data_of(Framing::Joint, &[b"\x01\x80"]).is_err());
        assert!(data_of(Framing::Native, &[b"\x00"]).is_err());
        assert!(data_of(Framing::Native, &[b"\x01\x33\x05"]).is_err());
        assert!(data_of(Framing::Native, &[&[0xff; 40]]).is_err());
        for link in [
            &b"\x03\x29\x00\x00"[..],
            b"\x02\x03\x00",
            b"\x06\x76\x03\x1c\x01\x00\x00",
            b"\x08\x76\x03\x1a\x04\x00\x00ab",
            b"\x08\x76\x03\x1a\x03\x01\x00ab",
            b"\x05\x76\x03\x1a\x00\x00\x00",
        ] {
            assert!(data_of(Framing::NativeStream, &[link]).is_err(), "{link:?}");
        }
        assert!(data_of(FIXED, &[b"-ERR 'Slow Consumer'\r\n"]).is_err());
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            cuts in proptest::collection::vec(0usize..40, 0..12)
        ) {
            for (framing, stream) in [
                (Framing::Joint, JOINT_STREAM),
                (Framing::Native, NATIVE_STREAM),
                (Framing::NativeStream, LINK_STREAM),
                (ANYSOCKET, ANYSOCKET_STREAM),
                (SOCKETIO, SOCKETIO_STREAM),
                (FIXED, FIXED_STREAM),
            ] {
                let mut cuts: Vec<_> = cuts.iter().map(|&cut| cut.min(stream.len())).collect();
                cuts.extend([0, stream.len()]);
                cuts.sort_unstable();
                let pieces: Vec<_> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
                prop_assert_eq!(data_of(framing.clone(), &pieces), data_of(framing, &[stream]));
            }
        }

        #[test]
        fn no_bytes_make_the_walker_panic(bytes: Vec<u8>, cut: usize) {
            let (front, back) = bytes.split_at(cut % (bytes.len() + 1));
            for framing in [
                Framing::Joint,
                Framing::Native,
                Framing::NativeStream,
                ANYSOCKET,
                SOCKETIO,
                FIXED,
            ] {
                let seen = data_of(framing, &[front, back]).map_or(0, |data| data.len());
                prop_assert!(seen <= bytes.len());
            }
        }
    }
}
