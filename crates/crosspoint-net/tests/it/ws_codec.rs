//! The WebSocket codec against itself, against arbitrary bytes, and against tungstenite.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use crosspoint_net::ws::frame::{client_frame, close_frame, ping_frame, pong_frame, server_header};
use crosspoint_net::ws::fuzz::fuzz_ws;
use crosspoint_net::ws::{
    CloseCode, CloseFrame, Config, Decoder, Incoming, MessageKind, Opcode, Role,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::Message;
use tungstenite::protocol::{Role as TheirRole, WebSocket};

const SETTINGS: Config = Config { frame_bytes_max: 1 << 20, lenient: false };

/// A message with the sizes of its first fragments, and a ping after each fragment or not.
#[derive(Debug, Clone)]
struct Sent {
    kind: MessageKind,
    payload: Vec<u8>,
    cuts: Vec<usize>,
    pings: bool,
    mask: [u8; 4],
}

/// A received message or control frame.
#[derive(Debug, PartialEq)]
enum Got {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseFrame>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let length = prop_oneof![
        8 => 0_usize..300,
        1 => 65530_usize..65545,
    ];
    let payload = length.prop_flat_map(|len| vec(any::<u8>(), len));
    (
        any::<bool>(),
        payload,
        vec(prop_oneof![0_usize..4, 100_usize..200], 0..5),
        any::<bool>(),
        any::<[u8; 4]>(),
    )
        .prop_map(|(text, payload, cuts, pings, mask)| match text {
            true => {
                let payload = String::from_utf8_lossy(&payload).into_owned().into_bytes();
                Sent { kind: MessageKind::Text, payload, cuts, pings, mask }
            }
            false => Sent { kind: MessageKind::Binary, payload, cuts, pings, mask },
        })
}

/// Writes with the codec under test what `sender` sends.
fn encode(sender: Role, messages: &[Sent]) -> BytesMut {
    let mut out = BytesMut::new();
    for message in messages {
        let mask = (sender == Role::Client).then_some(message.mask);
        let mut rest = &message.payload[..];
        let mut opcode = Opcode::from(message.kind);
        for cut in message.cuts.iter().map(Some).chain([None]) {
            let count = cut.map_or(rest.len(), |cut| (*cut).min(rest.len()));
            let (fragment, after) = rest.split_at(count);
            let fin = cut.is_none();
            match mask {
                Some(mask) => client_frame(opcode, fin, fragment, mask, &mut out),
                None => {
                    let header = server_header(opcode, fin, fragment.len());
                    out.extend_from_slice(header.as_slice());
                    out.extend_from_slice(fragment);
                }
            }
            if message.pings {
                out.extend_from_slice(&ping_frame(b"in between", mask));
            }
            opcode = Opcode::Continuation;
            rest = after;
        }
    }
    out
}

/// What [`encode`] should arrive as.
fn expected(messages: &[Sent]) -> Vec<Got> {
    let mut all = Vec::new();
    for message in messages {
        let whole = Got::Message(message.kind, message.payload.clone());
        let pings = if message.pings { message.cuts.len() + 1 } else { 0 };
        let mut pings = std::iter::repeat_with(|| Got::Ping(b"in between".to_vec())).take(pings);
        // The ping after the last fragment comes after the message.
        all.extend(pings.by_ref().take(message.cuts.len()));
        all.push(whole);
        all.extend(pings);
    }
    all
}

/// Reads with the codec under test; `sizes` are those of the pieces, repeated as needed.
fn decode(receiver: Role, bytes: &[u8], sizes: &[usize]) -> Vec<Got> {
    let mut decoder = Decoder::new(receiver, SETTINGS);
    let mut all = Vec::new();
    let mut message = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        decoder.receive(BytesMut::from(piece));
        while let Some(incoming) = decoder.decode().expect("the frames are valid") {
            match incoming {
                Incoming::Data { kind, bytes, message_fin, .. } => {
                    message.extend_from_slice(&bytes);
                    if message_fin {
                        all.push(Got::Message(kind, std::mem::take(&mut message)));
                    }
                }
                Incoming::Ping(payload) => all.push(Got::Ping(payload.to_vec())),
                Incoming::Pong(payload) => all.push(Got::Pong(payload.to_vec())),
                Incoming::Close(close) => all.push(Got::Close(close)),
            }
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(decoder.buffered(), 0);
    assert!(message.is_empty());
    all
}

/// One end of a connection in memory.
#[derive(Debug, Default)]
struct Memory {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite(role: TheirRole, incoming: &[u8]) -> WebSocket<Memory> {
    let memory = Memory { incoming: incoming.iter().copied().collect(), outgoing: Vec::new() };
    WebSocket::from_raw_socket(memory, role, None)
}

/// Reads with tungstenite.
fn read_theirs(role: TheirRole, bytes: &[u8]) -> Vec<Got> {
    let mut socket = tungstenite(role, bytes);
    let mut all = Vec::new();
    loop {
        let got = match socket.read() {
            Ok(Message::Text(text)) => Got::Message(MessageKind::Text, text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Got::Message(MessageKind::Binary, bytes.to_vec()),
            Ok(Message::Ping(payload)) => Got::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Got::Pong(payload.to_vec()),
            Ok(Message::Close(close)) => Got::Close(close.map(|close| CloseFrame {
                code: CloseCode::new(close.code.into()).expect("a code from the wire"),
                reason: close.reason.as_str().to_owned(),
            })),
            Ok(Message::Frame(_)) => panic!("raw frames are never read"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return all;
            }
            Err(error) => panic!("tungstenite refuses: {error}"),
        };
        all.push(got);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn messages_survive_any_fragments_and_any_pieces(
        messages in vec(sent(), 0..6),
        sizes in vec(1_usize..2000, 1..20),
    ) {
        for (sender, receiver) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let bytes = encode(sender, &messages);
            prop_assert_eq!(decode(receiver, &bytes, &sizes), expected(&messages));
        }
    }

    #[test]
    fn tungstenite_reads_what_we_write(mut messages in vec(sent(), 0..6)) {
        for message in &mut messages {
            // It checks text, this codec does not.
            message.payload.iter_mut().for_each(|byte| *byte &= 0x7f);
        }
        for (sender, reader) in [
            (Role::Client, TheirRole::Server),
            (Role::Server, TheirRole::Client),
        ] {
            let bytes = encode(sender, &messages);
            prop_assert_eq!(read_theirs(reader, &bytes), expected(&messages));
        }
    }

    #[test]
    fn we_read_what_tungstenite_writes(
        messages in vec(sent(), 0..6),
        sizes in vec(1_usize..2000, 1..20),
    ) {
        for (writer, receiver) in [
            (TheirRole::Client, Role::Server),
            (TheirRole::Server, Role::Client),
        ] {
            let mut socket = tungstenite(writer, &[]);
            let mut expected = Vec::new();
            for message in &messages {
                let payload = message.payload.clone();
                let theirs = match message.kind {
                    MessageKind::Text => {
                        let text = String::from_utf8_lossy(&payload).into_owned();
                        expected.push(Got::Message(message.kind, text.clone().into_bytes()));
                        Message::text(text)
                    }
                    MessageKind::Binary => {
                        expected.push(Got::Message(message.kind, payload.clone()));
                        Message::binary(payload)
                    }
                };
                socket.send(theirs).expect("memory takes everything");
                if message.pings {
                    expected.push(Got::Ping(b"in between".to_vec()));
                    let ping = Message::Ping(Bytes::from_static(b"in between"));
                    socket.send(ping).expect("memory takes everything");
                }
            }
            let written = &socket.get_ref().outgoing;
            prop_assert_eq!(decode(receiver, written, &sizes), expected);
        }
    }

    #[test]
    fn arbitrary_bytes_mean_the_same_however_they_arrive(data in vec(any::<u8>(), 0..600)) {
        fuzz_ws(&data);
    }

    #[test]
    fn damaged_frames_mean_the_same_however_they_arrive(
        client in any::<bool>(),
        step in any::<u8>(),
        messages in vec(sent(), 1..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let sender = if client { Role::Client } else { Role::Server };
        // Flags: receiver's role, strict, a limit of 255 * 2^12 bytes.
        let mut data = vec![0xc0 | u8::from(!client), 255, step];
        data.extend_from_slice(&encode(sender, &messages));
        for (at, byte) in damage {
            let at = 3 + at.index(data.len() - 3);
            data[at] = byte;
        }
        fuzz_ws(&data);
    }
}

#[test]
fn pongs_and_closes_agree_with_tungstenite() {
    let close = CloseFrame { code: CloseCode::GOING_AWAY, reason: "see you".to_owned() };
    for (mask, theirs, ours) in [
        (Some([9, 8, 7, 6]), TheirRole::Server, Role::Server),
        (None, TheirRole::Client, Role::Client),
    ] {
        let mut bytes = pong_frame(b"here", mask).to_vec();
        bytes.extend_from_slice(&close_frame(Some(&close), mask));
        let expected = [Got::Pong(b"here".to_vec()), Got::Close(Some(close.clone()))];
        assert_eq!(decode(ours, &bytes, &[3]), expected);

        let mut socket = tungstenite(theirs, &bytes);
        let pong = socket.read().expect("the pong is valid");
        assert_eq!(pong, Message::Pong(Bytes::from_static(b"here")));
        let Message::Close(Some(read)) = socket.read().expect("the close is valid") else {
            panic!("the close frame is not read");
        };
        assert_eq!(u16::from(read.code), 1001);
        assert_eq!(read.reason.as_str(), "see you");
    }
}
