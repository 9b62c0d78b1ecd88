//! permessage-deflate as pure functions, and compressed messages at both ends of a WebSocket.

use bytes::{Bytes, BytesMut};
use crosspoint_net::ws::deflate::{Deflate, deflate, inflate, store};
use crosspoint_net::ws::{Config, Connection, Event, MessageKind, Role, WsError};
use proptest::prelude::*;

const BOUND: u64 = 64 * 1024;
const CONFIG: Config = Config { frame_bytes_max: BOUND, lenient: false };
const AGREED: Deflate = Deflate { bytes_min: 0, inflated_bytes_max: u32::MAX };

fn end(role: Role) -> Connection {
    Connection::new(role, CONFIG).with_deflate(Some(AGREED))
}

/// What a client hears of frames.
fn heard(frames: &[u8]) -> Result<Vec<(Bytes, bool)>, WsError> {
    let mut client = end(Role::Client);
    client.receive(BytesMut::from(frames));
    let mut all = Vec::new();
    while let Some(event) = client.poll()? {
        match event {
            Event::Data { bytes, message_fin, .. } => all.push((bytes, message_fin)),
            Event::Closed(_) => panic!("nobody has closed"),
        }
    }
    Ok(all)
}

fn frame(byte0: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![byte0, 126];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend(payload);
    if payload.len() < 126 {
        frame.splice(1..4, [payload.len() as u8]);
    }
    frame
}

fn whole(text: &[u8]) -> Result<Vec<(Bytes, bool)>, WsError> {
    Ok(vec![(Bytes::copy_from_slice(text), true)])
}

/// RFC 7692, section 7.2.3.
#[test]
fn the_examples_of_the_standard_are_read() {
    let hello: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(heard(&frame(0xc1, &hello)), whole(b"Hello"));
    let fragments = [frame(0x41, &hello[..3]), frame(0x80, &hello[3..])].concat();
    assert_eq!(heard(&fragments), whole(b"Hello"), "in two fragments");
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(heard(&frame(0xc1, &stored)), whole(b"Hello"), "without compression");
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(heard(&frame(0xc1, &last)), whole(b"Hello"), "a block that says it is the last");
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(heard(&frame(0xc1, &two)), whole(b"Hello"), "in two blocks");
    assert_eq!(heard(&frame(0xc1, &[0])), whole(b""), "an empty message");
    assert_eq!(
        heard(&frame(0x81, b"Hello")),
        whole(b"Hello"),
        "not compressed, as that is allowed"
    );
}

#[test]
fn a_control_frame_between_the_fragments_of_a_compressed_message_is_answered_at_once() {
    let hello: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut client = end(Role::Client);
    client.receive(BytesMut::from(&[frame(0x41, &hello[..3]), frame(0x89, b"?")].concat()[..]));
    assert_eq!(client.poll(), Ok(None));
    assert!(client.pong().unwrap().is_some());
    client.receive(BytesMut::from(&frame(0x80, &hello[3..])[..]));
    let Ok(Some(Event::Data { bytes, .. })) = client.poll() else { panic!("it is whole") };
    assert_eq!(bytes, "Hello");
}

#[test]
fn every_broken_rule_of_compression_ends_the_connection() {
    let hello: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let wrong = Err(WsError::Deflate);
    let bits = |bits| Err(WsError::ReservedBits { bits });
    assert_eq!(heard(&frame(0xc9, b"")), bits(0x40), "on a control frame");
    let continued = [frame(0x41, &hello[..3]), frame(0xc0, &hello[3..])].concat();
    assert_eq!(heard(&continued), bits(0x40), "on a continuation");
    assert_eq!(heard(&frame(0xe1, &hello)), bits(0x60), "with another bit");
    assert_eq!(heard(&frame(0xc1, b"Hello")), wrong, "no deflate data");
    assert_eq!(heard(&frame(0xc1, &hello[..4])), wrong, "cut off");
    assert_eq!(heard(&frame(0xc1, &[&hello[..], b"rest"].concat())), wrong, "something behind it");
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(
        heard(&frame(0xc1, &[&last[..], b"rest"].concat())),
        wrong,
        "and behind a last block"
    );
    let no_text = deflate(&[0xff; 100]).unwrap();
    assert_eq!(heard(&frame(0xc1, &no_text)), Err(WsError::TextNotUtf8), "text that is none");
    assert!(heard(&frame(0xc2, &no_text)).is_ok());
    let mut plain = Connection::new(Role::Client, CONFIG);
    plain.receive(BytesMut::from(&frame(0xc1, &hello)[..]));
    let negotiated = WsError::ReservedBits { bits: 0x40 };
    assert_eq!(plain.poll(), Err(negotiated), "without negotiation");
}

#[test]
fn a_bomb_is_cut_off_at_the_bound_and_not_above_it() {
    let bomb = deflate(&vec![0; 1 << 20]).unwrap();
    assert!(bomb.len() < 10_000, "{} bytes", bomb.len());
    assert_eq!(heard(&frame(0xc2, &bomb)), Err(WsError::MessageTooLarge { max: BOUND }));
    let fits = deflate(&vec![0; BOUND as usize]).unwrap();
    assert_eq!(heard(&frame(0xc2, &fits)).unwrap()[0].0.len(), BOUND as usize);
    // In as many fragments as one likes: what waits is bounded too.
    let mut client = end(Role::Client);
    let mut result = Ok(None);
    for first in [0x42].into_iter().chain(std::iter::repeat_n(0x00, 100)) {
        client.receive(BytesMut::from(&frame(first, &[7; 1000])[..]));
        result = client.poll();
        assert!(client.buffered() < 4 * BOUND as usize);
    }
    assert_eq!(result, Err(WsError::MessageTooLarge { max: BOUND }));
}

/// Writes bits, the first one lowest.
fn bits(codes: impl IntoIterator<Item = (u64, u32)>) -> Vec<u8> {
    let (mut out, mut held, mut count) = (Vec::new(), 0u64, 0);
    for (code, length) in codes {
        held |= code << count;
        count += length;
        while count >= 8 {
            out.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    // What is missing to a byte, and a stored block, of which the last four bytes are left out.
    out.push(held as u8);
    if count > 5 {
        out.push(0);
    }
    out
}

/// A block with the codes that are known beforehand and nothing in it has ten bits. Its tables are made all the same.
#[test]
fn a_message_has_no_more_blocks_than_its_length_is_worth() {
    let empty = |count: usize| bits(std::iter::repeat_n((0b010, 10), count));
    let message = |count: usize| heard(&frame(0xc2, &empty(count)));
    assert_eq!(message(255), whole(b""));
    assert_eq!(message(256), Err(WsError::Deflate));
    assert_eq!(message(40_000), Err(WsError::Deflate));
    // It makes no difference that each says that it is the last one.
    let last = |count: usize| heard(&frame(0xc2, &[&[3, 0].repeat(count)[..], &[0]].concat()));
    assert_eq!((last(255), last(256)), (whole(b""), Err(WsError::Deflate)));
    // Nor more in many messages that say nothing.
    let many = |count: usize| heard(&frame(0xc2, &empty(255)).repeat(count));
    assert!(many(16).is_ok());
    assert_eq!(many(17), Err(WsError::Deflate));
    let stored = |count: usize| heard(&frame(0xc2, &[0]).repeat(count));
    assert!(stored(4096).is_ok());
    assert_eq!(stored(4097), Err(WsError::Deflate));
}

#[test]
fn an_empty_message_or_fragment_holds_up_nothing_behind_it() {
    let hello: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let empty = [frame(0xc1, &[0]), frame(0xc1, b""), frame(0x41, b""), frame(0x80, &[0])];
    let mut all = heard(&[empty.concat(), frame(0xc1, &hello)].concat()).unwrap();
    assert_eq!(all.pop(), Some((Bytes::from_static(b"Hello"), true)));
    assert_eq!(all, vec![(Bytes::new(), true); 3]);
}

#[test]
fn what_does_not_become_smaller_is_sent_as_it_is() {
    let mut random = 1u64;
    let noise = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(5000).collect();
    assert_eq!(deflate(&noise), None);
    let framed = end(Role::Client).message(MessageKind::Binary, &noise).unwrap();
    assert_eq!(framed[0], 0x82, "RSV1 is clear");
    assert_eq!(deflate(b""), None);
}

proptest! {
    #[test]
    fn what_one_end_compresses_the_other_reads(
        messages in prop::collection::vec((prop::collection::vec(0u8..4, 0..3000), any::<bool>()), 1..6),
        step in 1usize..2000,
    ) {
        let (client, mut server) = (end(Role::Client), end(Role::Server));
        let mut wire = Vec::new();
        for (message, text) in &messages {
            let kind = if *text { MessageKind::Text } else { MessageKind::Binary };
            wire.extend(client.message(kind, message).unwrap());
        }
        let mut got = vec![Vec::new()];
        for piece in wire.chunks(step) {
            server.receive(BytesMut::from(piece));
            while let Some(event) = server.poll().unwrap() {
                let Event::Data { bytes, message_fin, .. } = event else { panic!("nobody has closed") };
                got.last_mut().unwrap().extend_from_slice(&bytes);
                if message_fin {
                    got.push(Vec::new());
                }
            }
        }
        got.pop();
        prop_assert_eq!(got, messages.into_iter().map(|(message, _)| message).collect::<Vec<_>>());
    }

    #[test]
    fn stored_and_compressed_parts_together_are_one_message(
        header in prop::collection::vec(any::<u8>(), 0..70_000),
        body in prop::collection::vec(0u8..2, 200..3000),
    ) {
        let mut message = BytesMut::new();
        store(&header, &mut message);
        message.extend_from_slice(&deflate(&body).unwrap());
        let inflated = inflate(&message, u64::MAX).unwrap().bytes;
        prop_assert_eq!(inflated, [header, body].concat());
    }
}
