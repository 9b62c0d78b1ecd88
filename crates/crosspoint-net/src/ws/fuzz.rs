//! Invariants of the codec under arbitrary input, for fuzzers and property tests.

use bytes::BytesMut;

use super::deflate::{Deflate, InflatedMessage, deflate, deflated_bytes_max, inflate, store};
use super::frame::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX};
use super::handshake::{
    Accepted, Request, UpgradeError, client_request, parse_request, parse_response, response,
};
use super::{Config, Connection, Decoder, Event, Incoming, MessageKind, Role, WsError};

/// What was received, independent of the borders of pieces.
#[derive(Debug, PartialEq)]
enum Seen {
    Frame {
        kind: MessageKind,
        compressed: bool,
        bytes: Vec<u8>,
        frame_fin: bool,
        message_fin: bool,
    },
    Other(Incoming),
    Failed(WsError),
}

/// Reads arbitrary bytes as frames and as handshakes, and checks that nothing depends on how they
/// are cut up and that hardly anything is held back. The first three bytes choose the settings.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_ws(data: &[u8]) {
    let Some((&[flags, limit, step], input)) = data.split_first_chunk::<3>() else {
        return;
    };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let config =
        Config { frame_bytes_max: u64::from(limit) << (flags >> 4), lenient: flags & 2 != 0 };
    let step = usize::from(step).max(1);
    let settings = (config, flags & 4 != 0);
    let whole = decode_in_steps(role, settings, input, input.len().max(1));
    let cut = decode_in_steps(role, settings, input, step);
    assert_eq!(whole, cut, "frames depend on how the bytes arrive");
    handshake(input, step);
    fuzz_connection(data);
    if settings.1 {
        fuzz_deflate(data);
    }
}

/// Inflates arbitrary bytes, which never become more than they may; and deflates them, after which they inflate to what
/// they were, also behind bytes that are only stored. The first byte is the bound, in KiB.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_deflate(data: &[u8]) {
    let Some((&bound, input)) = data.split_first() else { return };
    let max = u64::from(bound) << 10;
    if let Ok(InflatedMessage { bytes: inflated, .. }) = inflate(input, max) {
        assert!(inflated.len() as u64 <= max);
    }
    let (header, body) = input.split_at(input.len().min(usize::from(bound)));
    if let Some(deflated) = deflate(body) {
        assert!(deflated.len() < body.len(), "it is sent compressed only if that is smaller");
        let mut message = BytesMut::new();
        store(header, &mut message);
        message.extend_from_slice(&deflated);
        let length = input.len() as u64;
        assert_eq!(inflate(&message, length).map(|it| it.bytes).as_deref(), Ok(input));
        let above = inflate(&message, length - 1);
        assert_eq!(above, Err(WsError::MessageTooLarge { max: length - 1 }));
    }
}

fn decode_in_steps(
    role: Role,
    (config, compressed): (Config, bool),
    input: &[u8],
    step: usize,
) -> Vec<Seen> {
    let mut decoder = Decoder::new(role, config);
    if compressed {
        decoder.accept_compressed();
    }
    let mut seen = Vec::new();
    let mut handed_up = 0;
    'input: for piece in input.chunks(step) {
        decoder.receive(BytesMut::from(piece));
        loop {
            match decoder.decode() {
                Ok(None) => break,
                Ok(Some(Incoming::Data { kind, bytes, compressed, frame_fin, message_fin })) => {
                    handed_up += bytes.len();
                    add(&mut seen, (kind, compressed), &bytes, frame_fin, message_fin);
                }
                Ok(Some(other)) => seen.push(Seen::Other(other)),
                Err(error) => {
                    assert_eq!(decoder.decode(), Err(error), "an error must stay");
                    // How much of a broken text went up before depends on the cuts.
                    let unfinished =
                        matches!(seen.last(), Some(Seen::Frame { frame_fin: false, .. }));
                    if error == WsError::TextNotUtf8 && unfinished {
                        seen.pop();
                    }
                    seen.push(Seen::Failed(error));
                    break 'input;
                }
            }
        }
        let held = decoder.buffered();
        assert!(held < CONTROL_BYTES_MAX.max(HEADER_BYTES_MAX), "{held} bytes held back");
    }
    assert!(handed_up <= input.len(), "bytes were invented");
    seen
}

fn add(
    seen: &mut Vec<Seen>,
    (kind, compressed): (MessageKind, bool),
    piece: &[u8],
    frame_fin: bool,
    message_fin: bool,
) {
    assert!(frame_fin || !message_fin, "a message ends inside a frame");
    if let Some(Seen::Frame {
        kind: open_kind,
        compressed: open_compressed,
        bytes,
        frame_fin: open @ false,
        message_fin: open_message_fin,
    }) = seen.last_mut()
    {
        let open_kind = (*open_kind, *open_compressed);
        assert_eq!((kind, compressed), open_kind, "a frame changes its kind");
        bytes.extend_from_slice(piece);
        *open = frame_fin;
        *open_message_fin = message_fin;
    } else {
        let bytes = piece.to_vec();
        seen.push(Seen::Frame { kind, compressed, bytes, frame_fin, message_fin });
    }
}

/// Reads arbitrary bytes as one side of a WebSocket that the other side closes at some time, and checks that
/// messages and the end do not depend on how the bytes are cut up. The first four bytes choose the settings.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_connection(data: &[u8]) {
    let Some((&[flags, limit, step, end], input)) = data.split_first_chunk::<4>() else {
        return;
    };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let config =
        Config { frame_bytes_max: u64::from(limit) << (flags >> 4), lenient: flags & 2 != 0 };
    let end = usize::from(end).min(input.len());
    let converse = |step: usize| {
        let deflate = Deflate { bytes_min: 0, inflated_bytes_max: 1 << 16 };
        let connection = Connection::new(role, config);
        let mut connection = connection.with_deflate(Some(deflate).filter(|_| flags & 4 != 0));
        let message_bytes_max = u64::from(limit) << 5;
        connection.set_message_bytes_max(message_bytes_max);
        let (mut data, mut closed) = (Vec::new(), None);
        for (closes, part) in [(false, &input[..end]), (true, &input[end..])] {
            for piece in part.chunks(step.max(1)) {
                connection.receive(BytesMut::from(piece));
                while let Ok(Some(event)) = connection.poll() {
                    assert!(closed.is_none(), "nothing follows a close frame");
                    match event {
                        Event::Data { bytes, .. } => {
                            assert!(!closes, "what comes behind the own close is discarded");
                            data.extend_from_slice(&bytes);
                        }
                        Event::Closed(close) => closed = Some(close),
                    }
                }
                let pong = connection.pong().expect("there is randomness");
                let ended = closes || closed.is_some();
                assert!(pong.is_none() || !ended, "nothing is answered behind a close frame");
                let held = connection.buffered() as u64;
                // As it grows, what waits of a compressed message takes up to twice its length.
                let compressed = 2 * deflated_bytes_max(message_bytes_max.min(1 << 16)) + 64;
                let waits = if connection.deflates() { compressed } else { 0 };
                let most = waits + CONTROL_BYTES_MAX.max(HEADER_BYTES_MAX) as u64;
                assert!(held < most, "{held} bytes held back");
            }
            let close = connection.close(None).expect("there is randomness");
            assert_eq!(close.is_some(), !closes, "a side closes once");
        }
        assert_eq!(connection.is_closed(), closed.is_some());
        // How much of a message went up before it broke a rule depends on the cuts.
        data.truncate(if connection.broken().is_some() { 0 } else { data.len() });
        (data, closed, connection.broken(), connection.answer())
    };
    assert_eq!(converse(input.len()), converse(usize::from(step)), "the cuts matter");
}

/// Reads arbitrary bytes as a head, and writes what was understood of it anew: the other end
/// understands the request, its acceptance and its refusal. The first byte is the step by which
/// the head is cut up.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_handshake(data: &[u8]) {
    let Some((step, input)) = data.split_first() else {
        return;
    };
    handshake(input, usize::from(*step).max(1));
    match parse_request(input) {
        Ok(None) => {}
        Ok(Some((request, _))) => understood(&request),
        Err(error) => {
            let status = error.status();
            let told = parse_response(&error.answer(), "key", true);
            assert_eq!(told, Err(UpgradeError::Refused { status }), "{error}");
        }
    }
    // What a program was given as the parts of an address, which nobody has checked before.
    let text = String::from_utf8_lossy(input);
    let mut parts = text.splitn(3, '\n');
    let (Some(host), Some(path), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    if let Ok(head) = client_request(host, path, key, false) {
        let request = whole_request(&head);
        assert_eq!((request.host.as_deref(), &*request.target), (Some(host), path));
        assert_eq!(request.upgrade.map(|upgrade| upgrade.key).as_deref(), Some(key));
    }
}

fn whole_request(head: &[u8]) -> Request {
    match parse_request(head) {
        Ok(Some((request, length))) if length == head.len() => request,
        other => panic!("{:?} is read as {other:?}", String::from_utf8_lossy(head)),
    }
}

fn understood(request: &Request) {
    let Some(upgrade) = &request.upgrade else {
        return;
    };
    for protocol in [None].into_iter().chain(upgrade.protocols.iter().map(Some)) {
        let accepted = response(&upgrade.key, protocol.map(String::as_str), upgrade.deflate);
        let deflate = upgrade.deflate.is_some();
        let expected = match protocol {
            None => Ok(Some(Accepted { head_len: accepted.len(), deflate })),
            // The client role offers none.
            Some(_) => Err(UpgradeError::NotOffered { name: "Sec-WebSocket-Protocol" }),
        };
        assert_eq!(parse_response(&accepted, &upgrade.key, true), expected);
    }
    if let Ok(head) = client_request("host", &request.target, &upgrade.key, true) {
        let again = whole_request(&head);
        assert_eq!(again.target, request.target);
        assert!(again.upgrade.as_ref().is_some_and(|again| again.deflate.is_some()));
        assert_eq!(again.upgrade.map(|again| again.key).as_ref(), Some(&upgrade.key));
    }
}

fn handshake(input: &[u8], step: usize) {
    let request = parse_request(input);
    let response = parse_response(input, "key", true);
    if let Ok(Some((_, head_len))) = &request {
        assert_eq!(parse_request(&input[..head_len - 1]), Ok(None));
    }
    if let Ok(Some(Accepted { head_len, .. })) = &response {
        assert_eq!(parse_response(&input[..head_len - 1], "key", true), Ok(None));
    }
    // Parsing starts over with every prefix, so only a few are tried.
    for end in (0..input.len()).step_by(step.max(input.len() / 16)) {
        let early = parse_request(&input[..end]);
        assert!(early == Ok(None) || early == request, "request changes");
        let early = parse_response(&input[..end], "key", true);
        assert!(early == Ok(None) || early == response, "response changes");
    }
}
