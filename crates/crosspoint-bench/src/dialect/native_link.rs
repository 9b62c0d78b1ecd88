//! Messages over a link of the native protocol, written and read here (docs/protocol.md, section
//! 12.4): requests, answers and the credit of streams (docs/peers.md, sections 2 to 4). Only whole
//! messages, which is all that a load generator needs.

use crosspoint_proto::frame::{FRAME_BYTES_MAX, PART_BYTES_MAX, peek_varint, put_varint};
use crosspoint_proto::message::kind as frame_kind;
use crosspoint_proto::peer::kind;
use crosspoint_proto::peer::secure::{SEALED, Secure};

use super::rejoin::Rejoin;
use super::{Answerer, Asker, Credits, FILL};

/// Larger messages go in parts.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 * PART_BYTES_MAX;

/// Bytes of a request besides its payload, with room; sealed, some more.
pub(super) const REQUEST_HEAD_BYTES_MAX: usize = 128;

/// What requests ask for.
const METHOD: &[u8] = b"bench.echo";

/// How long a requester says it will wait.
const TIME_MS: u32 = 30_000;

/// Format of payloads: bytes.
const BYTES: u8 = 0;

/// Appends a message in one frame: the pieces behind each other are its body.
pub(super) fn put_message(link: u32, kind: u8, pieces: &[&[u8]], out: &mut Vec<u8>) {
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    debug_assert!(total <= MESSAGE_BYTES_MAX, "payloads are checked before");
    let (whole, first) = (total as u32, 0);
    let mut head = [0; 24];
    let mut rest = &mut head[..];
    bytes::BufMut::put_u8(&mut rest, frame_kind::LINK_DATA | frame_kind::EXTENDED);
    put_varint(link, &mut rest);
    bytes::BufMut::put_u8(&mut rest, kind);
    put_varint(whole, &mut rest);
    put_varint(first, &mut rest);
    let filled = 24 - rest.len();
    put_varint((filled + total) as u32, out);
    out.extend_from_slice(&head[..filled]);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// What a frame from the hub holds.
#[derive(Debug, PartialEq, Eq)]
enum Frame<'a> {
    /// A message over the link.
    Message(u8, &'a [u8]),
    /// To be answered with the same token.
    Ping(&'a [u8]),
    /// Nothing to this end.
    Other,
}

/// The first frame in these bytes and its length, or nothing if it is not all there.
fn read_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, &'static str> {
    const MESSAGE: u8 = frame_kind::LINK_DATA | frame_kind::EXTENDED;
    let (length, field) = match peek_varint(bytes) {
        Ok(Some((length, field))) => (length as usize, field),
        Ok(None) => return Ok(None),
        Err(_) => return Err("frame length"),
    };
    if !(1..=FRAME_BYTES_MAX).contains(&length) {
        return Err("frame length");
    }
    let Some(frame) = bytes.get(field..field + length) else {
        return Ok(None);
    };
    let (number, mut body) = (frame[0], Fields(&frame[1..]));
    let found = match number {
        MESSAGE => {
            let _link = body.varint()?;
            let (kind, total, offset) = (body.byte()?, body.varint()?, body.varint()?);
            if offset != 0 || total as usize != body.0.len() {
                return Err("a message in parts");
            }
            Frame::Message(kind, body.0)
        }
        frame_kind::PING => Frame::Ping(body.0),
        frame_kind::CLOSE => return Err("the end of the session"),
        frame_kind::UNLINKED => return Err("the end of the link"),
        _ => Frame::Other,
    };
    Ok(Some((found, field + length)))
}

/// A body, read from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u32, &'static str> {
        let Ok(Some((value, length))) = peek_varint(self.0) else {
            return Err("a body that ends too early");
        };
        self.0 = &self.0[length..];
        Ok(value)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        Ok(self.bytes(1)?[0])
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (front, rest) = self.0.split_at_checked(count).ok_or("a body that ends too early")?;
        self.0 = rest;
        Ok(front)
    }
}

/// One end of a link.
pub(super) struct Speaker {
    voice: Voice,
    rejoin: Rejoin,
}

/// What turns messages into frames.
struct Voice {
    link: u32,
    secure: Option<Secure>,
    plain: Vec<u8>,
}

impl Speaker {
    /// `secure` is ready, if the link is encrypted.
    pub(super) fn new(link: u32, secure: Option<Secure>) -> Speaker {
        Speaker { voice: Voice { link, secure, plain: Vec::new() }, rejoin: Rejoin::default() }
    }

    /// Takes the next bytes that arrived, answers the hub's pings, and calls `heard` with each
    /// message.
    fn hear(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut heard: impl FnMut(&mut Voice, u8, Fields<'_>, &mut Vec<u8>) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let Speaker { voice, rejoin } = self;
        rejoin.feed(bytes, |bytes| {
            let Some((frame, length)) = read_frame(bytes)? else {
                return Ok(None);
            };
            match (frame, &mut voice.secure) {
                (Frame::Message(SEALED, body), Some(secure)) => {
                    let (kind, body) =
                        secure.open(body).map_err(|_| "a message that cannot be decrypted")?;
                    heard(voice, kind, Fields(&body), out)?;
                }
                (Frame::Message(..), Some(_)) => return Err("a message that is not encrypted"),
                (Frame::Message(kind, body), None) => heard(voice, kind, Fields(body), out)?,
                (Frame::Ping(token), _) => {
                    put_varint(token.len() as u32 + 1, out);
                    out.push(frame_kind::PONG);
                    out.extend_from_slice(token);
                }
                (Frame::Other, _) => {}
            }
            Ok(Some(length))
        })
    }
}

impl Voice {
    fn say(&mut self, kind: u8, pieces: &[&[u8]], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Some(secure) = &mut self.secure else {
            put_message(self.link, kind, pieces, out);
            return Ok(());
        };
        self.plain.clear();
        for piece in pieces {
            self.plain.extend_from_slice(piece);
        }
        let sealed = secure.seal(kind, &self.plain).map_err(|_| "a message cannot be encrypted")?;
        put_message(self.link, SEALED, &[&sealed], out);
        Ok(())
    }
}

/// Sends the same bytes again and again in requests, and gets them back.
pub(super) struct Echo {
    speaker: Speaker,
    payload: Vec<u8>,
    head: Vec<u8>,
}

impl Echo {
    pub(super) fn new(speaker: Speaker, payload: usize) -> Echo {
        Echo { speaker, payload: vec![FILL; payload], head: Vec::new() }
    }
}

impl Asker for Echo {
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Echo { speaker, payload, head } = self;
        head.clear();
        put_varint(number, head);
        put_varint(TIME_MS, head);
        put_varint(METHOD.len() as u32, head);
        head.extend_from_slice(METHOD);
        head.push(BYTES);
        speaker.voice.say(kind::REQUEST, &[head, payload], out)
    }

    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(u32),
    ) -> Result<(), &'static str> {
        let Echo { speaker, payload, .. } = self;
        speaker.hear(bytes, out, |_, kind, mut body, _| {
            if kind != kind::RESULT {
                return Err("a message that is no answer");
            }
            let number = body.varint()?;
            if body.byte()? != BYTES || body.0 != payload.as_slice() {
                return Err("an answer that is not what was said");
            }
            answered(number);
            Ok(())
        })
    }
}

/// Answers each request with its own payload.
pub(super) struct Reply(pub(super) Speaker);

impl Answerer for Reply {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.0.hear(bytes, out, |voice, kind, mut body, out| {
            if kind != kind::REQUEST {
                return Err("a message that is no request");
            }
            let (number, _time) = (body.varint()?, body.varint()?);
            let count = body.varint()? as usize;
            if body.bytes(count)? != METHOD {
                return Err("a request for something else");
            }
            let mut head = [0; 6];
            let mut rest = &mut head[..];
            put_varint(number, &mut rest);
            bytes::BufMut::put_u8(&mut rest, body.byte()?);
            let filled = 6 - rest.len();
            voice.say(kind::RESULT, &[&head[..filled], body.0], out)
        })
    }
}

/// The sender's end of a stream.
pub(super) struct Sender(pub(super) Speaker);

impl Credits for Sender {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut more = 0;
        self.0.hear(bytes, out, |_, kind, mut body, _| {
            if kind != kind::CREDIT {
                return Err("a message that is no credit");
            }
            let _stream = body.varint()?;
            more += body.varint()? as usize;
            Ok(())
        })?;
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn speaker() -> Speaker {
        Speaker::new(3, None)
    }

    /// The frames behind each other, without what they would be sent for.
    fn ping() -> Vec<u8> {
        [&[9, frame_kind::PING][..], &[7; 8]].concat()
    }

    #[test]
    fn a_request_is_written_as_the_specification_says() {
        let mut out = Vec::new();
        Echo::new(speaker(), 2).ask(200, &mut out).unwrap();
        let request = b"\x18\x76\x03\x11\x13\x00\xc8\x01\xb0\xea\x01\x0abench.echo\x00..";
        assert_eq!(out, request);
    }

    #[test]
    fn other_messages_wrong_answers_and_ends_are_noticed() {
        let take = |kind, body: &[u8]| {
            let mut frame = Vec::new();
            put_message(3, kind, &[body], &mut frame);
            Echo::new(speaker(), 2).take(&frame, &mut Vec::new(), &mut |_| {})
        };
        assert_eq!(take(kind::RESULT, b"\x01\x00.."), Ok(()));
        for wrong in [&b"\x01\x00.,"[..], b"\x01\x01..", b"\x01\x00...", b"\x01", b""] {
            assert!(take(kind::RESULT, wrong).is_err(), "{wrong:?}");
        }
        assert!(take(kind::FAILURE, b"\x01\x00..").is_err());
        for end in [&[2, frame_kind::CLOSE, 0][..], &[3, frame_kind::UNLINKED, 0, 0], &[0]] {
            assert!(Reply(speaker()).take(end, &mut Vec::new()).is_err(), "{end:?}");
        }
    }

    #[test]
    fn credit_is_summed_up() {
        let mut frames = Vec::new();
        for more in [&b"\x00\x05"[..], b"\x00\x80\x01"] {
            put_message(3, kind::CREDIT, &[more], &mut frames);
        }
        assert_eq!(Sender(speaker()).take(&frames, &mut Vec::new()), Ok(133));
    }

    proptest! {
        #[test]
        fn every_request_gets_its_answer_wherever_the_streams_are_cut(
            numbers in proptest::collection::vec(1..i32::MAX as u32, 1..20),
            size in 1usize..300,
        ) {
            let (mut echo, mut reply) = (Echo::new(speaker(), 40), Reply(speaker()));
            let (mut asked, mut answers, mut pongs) = (ping(), Vec::new(), Vec::new());
            for &number in &numbers {
                echo.ask(number, &mut asked).unwrap();
            }
            for piece in asked.chunks(size) {
                reply.take(piece, &mut answers).unwrap();
            }
            let pong = [&[9, frame_kind::PONG][..], &[7; 8]].concat();
            prop_assert!(answers.starts_with(&pong));
            answers.splice(..pong.len(), ping());
            let mut heard = Vec::new();
            for piece in answers.chunks(size) {
                echo.take(piece, &mut pongs, &mut |number| heard.push(number)).unwrap();
            }
            prop_assert_eq!(heard, numbers);
            prop_assert_eq!(pongs, pong);
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            let _ = Reply(speaker()).take(&bytes, &mut Vec::new());
            let mut message = Vec::new();
            put_message(3, kind::REQUEST, &[&bytes], &mut message);
            let _ = Reply(speaker()).take(&message, &mut Vec::new());
        }
    }
}
