//! What travels on a connection of a resumable session (docs/resume.md, section 3).
//!
//! ```text
//! record = length varint | type u8 | body
//!          length counts type and body: 1..=RECORD_BYTES_MAX
//! ```
//!
//! Numbers in bodies are big-endian. Bytes behind the last known field are left for later versions,
//! except in DATA.

use super::receipt::{Totals, Why};
use super::token::{Proof, Token};
use bytes::{Buf, BufMut, Bytes};
use crosspoint_hub::Reason;
use crosspoint_hub::input::Input;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_proto::frame::{Frame, next_frame, put_varint};
use std::time::Duration;

/// What a client sends before its first record. No other protocol begins with it.
pub const MAGIC: [u8; 4] = *b"XPR1";

/// The version of these records.
pub const VERSION: u8 = 1;

/// The most bytes of type and body of a record that a reader takes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of the session in one record that this implementation writes, so that a probe
/// never waits for long behind data.
pub const DATA_BYTES_MAX: usize = 16 * 1024;

/// The client's first record: a new session, or one to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The version of the records.
    pub version: u8,
    /// Which session: its token, or the name of one that is bound.
    pub token: Token,
    /// What the client has received.
    pub received: Totals,
    /// What the client has sent, whether it arrived or not.
    pub sent: Totals,
    /// After how much silence a probe is to be sent, in milliseconds; 0 if the client does not
    /// care. Only the first record of a session is heeded for this.
    pub heartbeat_ms: u32,
    /// Over TLS 1.3, that this end of the connection knows the token. For a new session, that it wants to be bound.
    pub proof: Option<Proof>,
}

/// The hub's answer when the session goes on, or begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Names the session from now on.
    pub token: Token,
    /// Bytes that the hub has received; the client goes on behind them.
    pub received: u64,
    /// Bytes that the hub has sent so far.
    pub sent: u64,
    /// How long the hub waits for a client that is away, in milliseconds.
    pub window_ms: u32,
    /// Bytes that may be under way without an acknowledgement, in either direction.
    pub retained_bytes_max: u32,
    /// After how much silence a probe is sent, in milliseconds.
    pub heartbeat_ms: u32,
    /// Whether the session goes on only over TLS connections whose client proves that it knows the token.
    pub bound: bool,
}

/// The session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Why.
    pub why: Why,
    /// What the hub has received and sent, if it still knows.
    pub totals: Option<(Totals, Totals)>,
    /// Whether more was lost than the totals say, because it had no number yet.
    pub more: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// See [`Open`].
    Open(Open),
    /// See [`Accepted`].
    Accepted(Accepted),
    /// See [`Gone`].
    Gone(Gone),
    /// The hub does not want this connection. Whether the session goes on is another matter.
    Refused(Reason),
    /// Bytes of the session.
    Data {
        /// The low 32 bits of the number of the first byte.
        offset: u32,
        /// At least one.
        bytes: Bytes,
    },
    /// All bytes before this number have been handed on.
    Ack(u64),
    /// A probe.
    Ping(u64),
    /// Answers a probe with its number.
    Pong(u64),
    /// The sender's side of the session has ended; so many bytes were all.
    Closed(u64),
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Its length is 0 or above [`RECORD_BYTES_MAX`].
    #[error("a record has a length of 0 or above {RECORD_BYTES_MAX} bytes")]
    Length,
    /// Its type is unknown.
    #[error("there is no record of type {0:#04x}")]
    Kind(u8),
    /// Its body is too short or holds a number that means nothing.
    #[error("the body of a record of type {0:#04x} is malformed")]
    Body(u8),
}

const OPEN: u8 = 0x01;
const ACCEPTED: u8 = 0x02;
const GONE: u8 = 0x03;
const REFUSED: u8 = 0x04;
const DATA: u8 = 0x10;
const ACK: u8 = 0x11;
const PING: u8 = 0x12;
const PONG: u8 = 0x13;
const CLOSED: u8 = 0x14;

/// Flags of [`Gone`].
const TOTALS_KNOWN: u8 = 1;
const MORE: u8 = 2;

/// A number of frames that nobody could count.
const UNCOUNTED: u64 = u64::MAX;

impl Record {
    /// Writes the record.
    pub fn put(&self, out: &mut FrameWriter) {
        let mut body = Vec::with_capacity(64);
        let kind = match self {
            Self::Open(open) => {
                body.put_u8(open.version);
                body.put_slice(open.token.bytes());
                put_totals(open.received, &mut body);
                put_totals(open.sent, &mut body);
                body.put_u32(open.heartbeat_ms);
                body.put_slice(&Proof::to_bytes(open.proof));
                OPEN
            }
            Self::Accepted(accepted) => {
                body.put_slice(accepted.token.bytes());
                body.put_u64(accepted.received);
                body.put_u64(accepted.sent);
                body.put_u32(accepted.window_ms);
                body.put_u32(accepted.retained_bytes_max);
                body.put_u32(accepted.heartbeat_ms);
                body.put_u8(accepted.bound.into());
                ACCEPTED
            }
            Self::Gone(gone) => {
                let (number, reason) = gone.why.numbers();
                body.put_u8(number);
                body.put_u16(reason);
                let known = if gone.totals.is_some() { TOTALS_KNOWN } else { 0 };
                body.put_u8(known | if gone.more { MORE } else { 0 });
                let (received, sent) = gone.totals.unwrap_or_default();
                put_totals(received, &mut body);
                put_totals(sent, &mut body);
                GONE
            }
            Self::Refused(reason) => {
                body.put_u16(reason.number());
                REFUSED
            }
            Self::Data { offset, bytes } => return put_data(*offset, bytes, out),
            Self::Ack(offset) => {
                body.put_u64(*offset);
                ACK
            }
            Self::Ping(token) => {
                body.put_u64(*token);
                PING
            }
            Self::Pong(token) => {
                body.put_u64(*token);
                PONG
            }
            Self::Closed(offset) => {
                body.put_u64(*offset);
                CLOSED
            }
        };
        let length = u32::try_from(body.len() + 1).expect("bodies of fixed fields are short");
        let mut header = Vec::with_capacity(8 + body.len());
        put_varint(length, &mut header);
        header.push(kind);
        header.extend_from_slice(&body);
        out.small(&header);
    }

    /// Takes the next record, if it is there whole.
    ///
    /// # Errors
    /// What is wrong with it; nothing behind it can be found.
    pub fn next(input: &mut Input) -> Result<Option<Self>, RecordError> {
        match next_frame(input, RECORD_BYTES_MAX) {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => Self::parse(frame).map(Some),
            Err(_) => Err(RecordError::Length),
        }
    }

    fn parse(Frame { kind, body }: Frame) -> Result<Self, RecordError> {
        let mut body = body.0;
        let wrong = RecordError::Body(kind);
        let length = match kind {
            OPEN => 1 + 16 + 32,
            ACCEPTED => 16 + 16 + 12 + 1,
            GONE => 4 + 32,
            REFUSED => 2,
            DATA => 4 + 1,
            ACK | PING | PONG | CLOSED => 8,
            unknown => return Err(RecordError::Kind(unknown)),
        };
        if body.len() < length {
            return Err(wrong);
        }
        // No read below can fail: the length was checked.
        Ok(match kind {
            OPEN => Self::Open(Open {
                version: body.get_u8(),
                token: Token::new(sixteen(&mut body)),
                received: totals(&mut body),
                sent: totals(&mut body),
                // Both may be left out.
                heartbeat_ms: body.try_get_u32().unwrap_or_default(),
                proof: match body.len() {
                    16.. => Proof::from_bytes(sixteen(&mut body)),
                    _ => None,
                },
            }),
            ACCEPTED => Self::Accepted(Accepted {
                token: Token::new(sixteen(&mut body)),
                received: body.get_u64(),
                sent: body.get_u64(),
                window_ms: body.get_u32(),
                retained_bytes_max: body.get_u32(),
                heartbeat_ms: body.get_u32(),
                bound: body.get_u8() != 0,
            }),
            GONE => {
                let (number, reason) = (body.get_u8(), body.get_u16());
                let why = Why::from_numbers(number, reason).ok_or(wrong)?;
                let flags = body.get_u8();
                let totals = (totals(&mut body), totals(&mut body));
                let totals = (flags & TOTALS_KNOWN != 0).then_some(totals);
                Self::Gone(Gone { why, totals, more: flags & MORE != 0 })
            }
            REFUSED => Self::Refused(Reason::from_number(body.get_u16()).ok_or(wrong)?),
            DATA => Self::Data { offset: body.get_u32(), bytes: body },
            ACK => Self::Ack(body.get_u64()),
            PING => Self::Ping(body.get_u64()),
            PONG => Self::Pong(body.get_u64()),
            _closed => Self::Closed(body.get_u64()),
        })
    }
}

/// Writes a DATA record without copying large data.
pub(crate) fn put_data(offset: u32, bytes: &Bytes, out: &mut FrameWriter) {
    let length = u32::try_from(bytes.len() + 5).expect("data is written in small pieces");
    let mut header = [0; 5 + 5];
    let mut rest = &mut header[..];
    put_varint(length, &mut rest);
    rest.put_u8(DATA);
    rest.put_u32(offset);
    let left = rest.len();
    let used = header.len() - left;
    out.frame(&header[..used], bytes);
}

/// Milliseconds in a record; what is longer than can be said is the longest.
pub(crate) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn put_totals(totals: Totals, out: &mut Vec<u8>) {
    out.put_u64(totals.bytes);
    out.put_u64(totals.frames.unwrap_or(UNCOUNTED));
}

fn totals(body: &mut Bytes) -> Totals {
    let bytes = body.get_u64();
    let frames = Some(body.get_u64()).filter(|frames| *frames != UNCOUNTED);
    Totals { bytes, frames }
}

fn sixteen(body: &mut Bytes) -> [u8; 16] {
    let mut sixteen = [0; 16];
    body.copy_to_slice(&mut sixteen);
    sixteen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn totals() -> impl Strategy<Value = Totals> {
        (any::<u64>(), proptest::option::of(0..u64::MAX))
            .prop_map(|(bytes, frames)| Totals { bytes, frames })
    }

    fn reason() -> impl Strategy<Value = Reason> {
        (0..Reason::ALL.len()).prop_map(|index| Reason::ALL[index])
    }

    fn record() -> impl Strategy<Value = Record> {
        let why = prop_oneof![
            Just(Why::Expired),
            Just(Why::Unknown),
            Just(Why::TooManyAway),
            reason().prop_map(Why::Ended),
        ];
        prop_oneof![
            (any::<u8>(), any::<[[u8; 16]; 2]>(), totals(), totals(), any::<u32>()).prop_map(
                |(version, [token, proof], received, sent, heartbeat_ms)| {
                    let (token, proof) = (Token::new(token), Proof::from_bytes(proof));
                    Record::Open(Open { version, token, received, sent, heartbeat_ms, proof })
                }
            ),
            (any::<[u8; 16]>(), any::<[u64; 2]>(), any::<[u32; 3]>(), any::<bool>()).prop_map(
                |(
                    token,
                    [received, sent],
                    [window_ms, retained_bytes_max, heartbeat_ms],
                    bound,
                )| {
                    let token = Token::new(token);
                    Record::Accepted(Accepted {
                        token,
                        received,
                        sent,
                        window_ms,
                        retained_bytes_max,
                        heartbeat_ms,
                        bound,
                    })
                }
            ),
            (why, proptest::option::of((totals(), totals())), any::<bool>())
                .prop_map(|(why, totals, more)| Record::Gone(Gone { why, totals, more })),
            reason().prop_map(Record::Refused),
            (any::<u32>(), 1..20_000usize).prop_map(|(offset, length)| {
                Record::Data { offset, bytes: vec![7; length].into() }
            }),
            any::<u64>().prop_map(Record::Ack),
            any::<u64>().prop_map(Record::Ping),
            any::<u64>().prop_map(Record::Pong),
            any::<u64>().prop_map(Record::Closed),
        ]
    }

    proptest! {
        #[test]
        fn every_record_comes_back_and_only_whole(records in proptest::collection::vec(record(), 1..8)) {
            let mut out = FrameWriter::default();
            for record in &records {
                record.put(&mut out);
            }
            let encoded: Vec<u8> = out.take().pieces().flatten().copied().collect();
            let mut input = Input::default();
            let mut found = Vec::new();
            for piece in encoded.chunks(977) {
                input.push(Bytes::copy_from_slice(piece));
                while let Some(record) = Record::next(&mut input).unwrap() {
                    found.push(record);
                }
            }
            prop_assert_eq!(found, records);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes: Vec<u8>) {
            let mut input = Input::default();
            input.push(bytes.into());
            while let Ok(Some(_)) = Record::next(&mut input) {}
        }
    }

    #[test]
    fn a_record_above_the_maximum_is_refused_by_its_length_alone() {
        let mut bytes = Vec::new();
        put_varint(RECORD_BYTES_MAX as u32 + 1, &mut bytes);
        let mut input = Input::default();
        input.push(bytes.into());
        assert_eq!(Record::next(&mut input), Err(RecordError::Length));
    }

    #[test]
    fn a_client_may_leave_out_its_wish_and_its_proof() {
        let mut bytes = vec![1 + 49, OPEN, VERSION];
        bytes.resize(1 + 1 + 49, 0);
        let mut input = Input::default();
        input.push(bytes.into());
        let none = Totals { bytes: 0, frames: Some(0) };
        let (version, token, received, sent) = (VERSION, Token::NEW, none, none);
        let open = Open { version, token, received, sent, heartbeat_ms: 0, proof: None };
        assert_eq!(Record::next(&mut input), Ok(Some(Record::Open(open))));
    }

    #[test]
    fn short_bodies_and_unknown_types_are_malformed() {
        for (bytes, error) in [
            (&[0][..], RecordError::Length),
            (&[1, 0x77], RecordError::Kind(0x77)),
            (&[5, DATA, 0, 0, 0, 0], RecordError::Body(DATA)),
            (&[3, REFUSED, 0xff, 0xff], RecordError::Body(REFUSED)),
            (&[2, ACK, 0], RecordError::Body(ACK)),
        ] {
            let mut input = Input::default();
            input.push(Bytes::copy_from_slice(bytes));
            assert_eq!(Record::next(&mut input), Err(error), "{bytes:02x?}");
        }
    }
}
