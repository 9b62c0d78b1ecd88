//! Frames and commands (sections 2 and 3).
//!
//! ```text
//! data frame     size (1 or 2 bytes) | joint byte | user byte, in some | data
//!                joint byte: 80 + own number, or in number
//! client command 00 | command | nr | n | n bytes
//! server control 00 | n | n bytes
//! broadcast      01 | mode | data frame                      client to server only
//! ```

use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::input::Input;
use crosspoint_hub::wire::{FrameWriter, Part};

/// The largest size that a frame can announce.
pub const SIZE_MAX: usize = 32_767;
/// Data bytes in one frame that fit whatever is added on the way (section 5).
pub const DATA_BYTES_MAX: usize = SIZE_MAX - 2;
/// Numbers of channels are 0..=127.
pub const CHANNELS_MAX: u32 = 128;
/// Numbers of members are 0..=255.
pub const MEMBERS_MAX: u32 = 256;

/// Frames up to this size are read whole; of larger ones the data is handed on as it comes, so
/// that a slow sender holds this much memory and no more.
const WHOLE_BYTES_MAX: usize = 4096;

/// Commands of a client (section 3.1).
#[allow(missing_docs, reason = "the names are those of the specification")]
pub mod command {
    pub const CREATE: u8 = 0;
    pub const ENTER: u8 = 1;
    pub const LEAVE: u8 = 2;
    pub const DELETE: u8 = 3;
    /// Of this hub alone.
    pub const KICK: u8 = 4;
}

/// Whether a client's stream may begin like this: with a command (section 3.1), since there is nothing yet
/// that data could be for. `None` as long as more bytes are needed to tell, 2 at most.
pub fn begins(bytes: &[u8]) -> Option<bool> {
    match *bytes {
        [] | [0] => None,
        [0, command, ..] => Some(command <= command::DELETE),
        _ => Some(false),
    }
}

/// Pushes of a server (section 3.3).
#[allow(missing_docs, reason = "the names are those of the specification")]
pub mod push {
    pub const MEMBER_ENTERED: u8 = 0;
    pub const MEMBER_LEFT: u8 = 1;
    pub const ENDED: u8 = 2;
    pub const KEEPALIVE: u8 = 255;
}

/// Reasons on the wire (section 3.3). Peote's documents name 0 and 1 the other way round.
#[allow(missing_docs, reason = "the names say what happened")]
pub mod reason {
    pub const ON_PURPOSE: u8 = 0;
    pub const LOST: u8 = 1;
    pub const KICKED: u8 = 2;
}

/// Whom the data of a frame is for, or from whom it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// A channel that the connection is a member of.
    In(u8),
    /// One member of a channel that the connection owns.
    Member(u8, u8),
    /// All members but one.
    AllBut(u8, u8),
    /// All members.
    All(u8),
}

/// What the reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A client's command.
    Command {
        /// See [`command`].
        command: u8,
        /// Chosen by the client, returned in the reply.
        nr: u8,
        /// Its bytes.
        payload: Bytes,
    },
    /// A server's reply or push, with its 0 to 255 bytes.
    Control(Bytes),
    /// Data of a frame, or some of it.
    Data(Address, Part),
}

/// Which side's frames are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Commands, broadcasts and data.
    Client,
    /// Controls and data.
    Server,
}

/// Cuts a byte stream into items.
#[derive(Debug)]
pub struct Reader {
    from: From,
    input: Input,
    /// The mode of a broadcast prefix whose frame has not come yet.
    broadcast: Option<u8>,
    /// A large frame of which some data has not come yet.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    address: Address,
    total: u32,
    offset: u32,
}

impl Reader {
    /// A reader at the beginning of a stream.
    pub fn new(from: From) -> Self {
        Self { from, input: Input::default(), broadcast: None, open: None }
    }

    /// Adds bytes that have come.
    pub fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    /// Bytes that have come and were not given.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Whether some data of a frame was given and some has not come yet.
    pub fn is_midway(&self) -> bool {
        self.open.is_some()
    }

    /// Gives the next item, or `None` when more bytes are needed. `owns` says whether the client
    /// owns a channel: `01` means something else otherwise (section 9).
    ///
    /// # Errors
    /// [`Reason::Malformed`] for an unknown command. Nothing else is an error in this protocol.
    pub fn next(&mut self, owns: bool) -> Result<Option<Item>, Reason> {
        loop {
            if let Some(open) = &mut self.open {
                if self.input.is_empty() {
                    return Ok(None);
                }
                let data = self.input.take((open.total - open.offset) as usize);
                let part = Part { kind: Part::DATA, total: open.total, offset: open.offset, data };
                let address = open.address;
                open.offset += part.data.len() as u32;
                if part.is_last() {
                    self.open = None;
                }
                return Ok(Some(Item::Data(address, part)));
            }
            let item = match self.input.as_slice() {
                [] => return Ok(None),
                [0, ..] => self.control()?,
                [1, ..] if self.from == From::Client && self.broadcast.is_none() => {
                    match self.prefix(owns) {
                        true => continue,
                        false => None,
                    }
                }
                _ => match self.data() {
                    Data::Item(item) => Some(item),
                    Data::Nothing => continue,
                    Data::More => None,
                },
            };
            if item.is_none() {
                self.input.compact();
            }
            return Ok(item);
        }
    }

    fn control(&mut self) -> Result<Option<Item>, Reason> {
        // A prefix ends with its frame, and this is no frame that it could be for.
        self.broadcast = None;
        let bytes = self.input.as_slice();
        let header = match self.from {
            From::Client => 4,
            From::Server => 2,
        };
        if self.from == From::Client && bytes.get(1).is_some_and(|command| *command > command::KICK)
        {
            return Err(Reason::Malformed);
        }
        let Some(count) = bytes.get(header - 1) else {
            return Ok(None);
        };
        let count = usize::from(*count);
        if bytes.len() < header + count {
            return Ok(None);
        }
        let header = self.input.take(header);
        let payload = self.input.take(count);
        Ok(Some(match self.from {
            From::Client => Item::Command { command: header[1], nr: header[2], payload },
            From::Server => Item::Control(payload),
        }))
    }

    /// Gives whether something was consumed.
    fn prefix(&mut self, owns: bool) -> bool {
        let Some(mode) = self.input.as_slice().get(1).copied() else {
            return false;
        };
        self.input.skip(2);
        // Otherwise it was a member's frame without data.
        if owns && mode <= 1 {
            self.broadcast = Some(mode);
        }
        true
    }

    fn data(&mut self) -> Data {
        let bytes = self.input.as_slice();
        let (size, mut header) = match *bytes {
            [long, low, ..] if long >= 0x80 => {
                (usize::from(long & 0x7f) << 8 | usize::from(low), 2)
            }
            [long] if long >= 0x80 => return Data::More,
            [short, ..] => (usize::from(short), 1),
            [] => return Data::More,
        };
        if size == 0 {
            self.input.skip(header);
            return Data::Nothing;
        }
        let frame_end = header + size;
        let Some(joint) = bytes.get(header).copied() else {
            return Data::More;
        };
        header += 1;
        let number = joint & 0x7f;
        let broadcast = self.broadcast;
        let address = match (joint >= 0x80, broadcast) {
            (false, _) => Address::In(joint),
            (true, Some(1)) => Address::All(number),
            (true, mode) if frame_end > header => {
                let Some(user) = bytes.get(header).copied() else {
                    return Data::More;
                };
                header += 1;
                match mode {
                    Some(_) => Address::AllBut(number, user),
                    None => Address::Member(number, user),
                }
            }
            // Nothing says whom it is for, and it has no data.
            (true, _) => {
                self.broadcast = None;
                self.input.skip(frame_end);
                return Data::Nothing;
            }
        };
        let length = frame_end - header;
        if bytes.len() < frame_end && length <= WHOLE_BYTES_MAX {
            return Data::More;
        }
        self.broadcast = None;
        self.input.skip(header);
        if length == 0 {
            return Data::Nothing;
        }
        let total = length as u32;
        if self.input.len() >= length {
            let data = self.input.take(length);
            return Data::Item(Item::Data(
                address,
                Part { kind: Part::DATA, total, offset: 0, data },
            ));
        }
        self.open = Some(Open { address, total, offset: 0 });
        Data::Nothing
    }
}

enum Data {
    Item(Item),
    /// Something without meaning was consumed.
    Nothing,
    More,
}

/// Writes data as frames; each frame gets `before` (a broadcast prefix, or nothing), its size, the
/// joint byte and, if there is one, the user byte.
pub fn put_data(before: &[u8], joint: u8, user: Option<u8>, data: &Bytes, out: &mut FrameWriter) {
    let mut rest = data.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(DATA_BYTES_MAX));
        let size = 1 + usize::from(user.is_some()) + piece.len();
        let mut header = [0u8; 6];
        let mut length = before.len();
        header[..length].copy_from_slice(before);
        if size < 0x80 {
            header[length] = size as u8;
            length += 1;
        } else {
            header[length] = 0x80 | (size >> 8) as u8;
            header[length + 1] = size as u8;
            length += 2;
        }
        header[length] = joint;
        length += 1;
        if let Some(user) = user {
            header[length] = user;
            length += 1;
        }
        out.frame(&header[..length], &piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(from: From, owns: bool, bytes: &[u8]) -> Vec<Item> {
        let mut reader = Reader::new(from);
        reader.push(Bytes::copy_from_slice(bytes));
        let mut items = Vec::new();
        while let Ok(Some(item)) = reader.next(owns) {
            items.push(item);
        }
        items
    }

    fn data(address: Address, bytes: &'static [u8]) -> Item {
        Item::Data(address, Part::whole(bytes))
    }

    #[test]
    fn the_specification_s_examples() {
        let hello = [0x06, 0, b'h', b'e', b'l', b'l', b'o'];
        assert_eq!(items(From::Client, false, &hello), [data(Address::In(0), b"hello")]);
        let hi = [0x04, 0x80, 1, b'h', b'i'];
        assert_eq!(items(From::Client, true, &hi), [data(Address::Member(0, 1), b"hi")]);
        let all = [1, 1, 5, 0x80, b'a', b'b', b'c', b'd'];
        assert_eq!(items(From::Client, true, &all), [data(Address::All(0), b"abcd")]);
        let but = [1, 0, 6, 0x80, 7, b'a', b'b', b'c', b'd'];
        assert_eq!(items(From::Client, true, &but), [data(Address::AllBut(0, 7), b"abcd")]);
    }

    #[test]
    fn long_sizes_of_small_frames_and_empty_frames_are_understood() {
        assert_eq!(
            items(From::Client, false, &[0x80, 4, 0, 1, 2, 3]),
            [data(Address::In(0), &[1, 2, 3])]
        );
        assert_eq!(
            items(From::Client, false, &[0x80, 0, 0x80, 1, 5, 2, 0, 9]),
            [data(Address::In(0), &[9])]
        );
        assert_eq!(items(From::Server, false, &[1, 0, 2, 0, 9]), [data(Address::In(0), &[9])]);
    }

    #[test]
    fn a_member_s_empty_frame_is_no_prefix_and_a_prefix_ends_with_its_frame() {
        // Owns nothing: `01 00` and `01 01` are empty frames.
        assert_eq!(
            items(From::Client, false, &[1, 0, 1, 1, 2, 0, 9]),
            [data(Address::In(0), &[9])]
        );
        // Owns something: `01 05` is an empty frame all the same.
        assert_eq!(items(From::Client, true, &[1, 5, 2, 0, 9]), [data(Address::In(0), &[9])]);
        // An empty broadcast to all, then a frame to one.
        let frames = [1, 1, 1, 0x80, 3, 0x80, 4, 9];
        assert_eq!(items(From::Client, true, &frames), [data(Address::Member(0, 4), &[9])]);
        // A prefix, a command, a frame to one.
        let frames = [1, 1, 0, 2, 0, 1, 0, 3, 0x80, 4, 9];
        let leave = Item::Command { command: 2, nr: 0, payload: Bytes::from_static(&[0]) };
        assert_eq!(items(From::Client, true, &frames), [leave, data(Address::Member(0, 4), &[9])]);
    }

    #[test]
    fn an_unknown_command_is_refused_at_its_second_byte() {
        let mut reader = Reader::new(From::Client);
        reader.push(Bytes::from_static(&[0, 5]));
        assert_eq!(reader.next(false), Err(Reason::Malformed));
    }

    #[test]
    fn a_large_frame_is_handed_on_as_it_comes() {
        let mut reader = Reader::new(From::Client);
        reader.push(Bytes::from_static(&[0xff, 0xff, 3, b'a']));
        let Ok(Some(Item::Data(Address::In(3), part))) = reader.next(false) else {
            panic!("no data")
        };
        assert_eq!((part.total, part.offset, &part.data[..]), (32_766, 0, &b"a"[..]));
        assert_eq!(reader.next(false), Ok(None));
        reader.push(Bytes::from(vec![b'b'; 32_765 + 1]));
        let Ok(Some(Item::Data(Address::In(3), part))) = reader.next(false) else {
            panic!("no data")
        };
        assert!(part.is_last() && part.offset == 1);
    }
}
