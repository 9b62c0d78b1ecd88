//! `docs/peers.md` says what encryption and identity do, and another implementation of Noise agrees:
//! the examples of the page come out of both, and each talks to the other.
//!
//! An example is a fenced block whose info string is `example` and an id. Each line holds bytes in
//! hexadecimal and, behind a `|`, their explanation.

use crosspoint_proto::identity::{Challenge, Identity};
use crosspoint_proto::peer::secure::{Options, REKEY_RECORDS, Role, Secure};
use snow::{HandshakeState, TransportState};

/// The bytes of an example of the page.
fn example(id: &str) -> Vec<u8> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/peers.md");
    let page = std::fs::read_to_string(page).expect("the page is part of the repository");
    let begin = format!("```example {id}\n");
    let (_, text) = page.split_once(&begin).unwrap_or_else(|| panic!("the page has {id}"));
    let (text, _) = text.split_once("```").expect("the example ends");
    text.lines()
        .flat_map(|line| line.split('|').next().unwrap_or_default().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("an example has bytes"))
        .collect()
}

#[track_caller]
fn assert_example(id: &str, bytes: &[u8]) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    assert_eq!(example(id), bytes, "{id} is {hex}");
}

fn anna() -> Identity {
    Identity::from_bytes(&[1; 32])
}

fn bert() -> Identity {
    Identity::from_bytes(&[2; 32])
}

fn opener() -> Secure {
    let peer = bert().peer_id();
    Secure::new(Role::Initiator, &anna(), peer, Options::default(), [3; 32]).unwrap()
}

fn accepter() -> Secure {
    let peer = anna().peer_id();
    Secure::new(Role::Responder, &bert(), peer, Options::default(), [4; 32]).unwrap()
}

/// One side by the library alone, with its own cryptography.
fn stock(role: Role) -> HandshakeState {
    let prologue =
        [&b"crosspoint peer 1"[..], anna().peer_id().as_bytes(), bert().peer_id().as_bytes()]
            .concat();
    let (secret, random) = match role {
        Role::Initiator => ([1; 32], [3; 32]),
        Role::Responder => ([2; 32], [4; 32]),
    };
    let builder = snow::Builder::new("Noise_XX_25519_ChaChaPoly_BLAKE2s".parse().unwrap())
        .local_private_key(&secret)
        .unwrap()
        .prologue(&prologue)
        .unwrap()
        .fixed_ephemeral_key_for_testing_only(&random);
    match role {
        Role::Initiator => builder.build_initiator().unwrap(),
        Role::Responder => builder.build_responder().unwrap(),
    }
}

fn write(state: &mut HandshakeState) -> Vec<u8> {
    let mut out = [0; 200];
    let length = state.write_message(&[], &mut out).unwrap();
    out[..length].to_vec()
}

fn encrypt(state: &mut TransportState, text: &[u8]) -> Vec<u8> {
    let mut out = vec![0; text.len() + 16];
    let length = state.write_message(text, &mut out).unwrap();
    assert_eq!(length, out.len());
    out
}

fn decrypt(state: &mut TransportState, sealed: &[u8]) -> Vec<u8> {
    let mut out = vec![0; sealed.len() - 16];
    let length = state.read_message(sealed, &mut out).unwrap();
    assert_eq!(length, out.len());
    out
}

#[test]
fn keys_peer_ids_fingerprints_and_proofs_are_those_of_the_page() {
    let anna = anna();
    assert_example("public-key", anna.public_key().as_bytes());
    assert_example("peer-id", anna.peer_id().as_bytes());
    assert_example("fingerprint", &{
        let digits = anna.public_key().fingerprint().to_string().replace(' ', "");
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..32).step_by(2).map(byte).collect::<Vec<_>>()
    });
    let challenge = Challenge::new([5; 32]);
    assert_example("challenge", &challenge.bytes());
    let proof = anna.prove(&challenge.bytes(), b"hub.example").unwrap();
    assert_example("proof", &proof);
    assert!(challenge.verify(&anna.public_key(), b"hub.example", &proof));
}

#[test]
fn the_conversation_is_that_of_the_page_on_either_side_and_by_either_implementation() {
    let (mut opener, mut accepter) = (opener(), accepter());
    let (mut stock_opener, mut stock_accepter) = (stock(Role::Initiator), stock(Role::Responder));
    let mut none = [0; 0];

    let first = opener.transmit().unwrap();
    assert_example("handshake-1", &first);
    assert_eq!(write(&mut stock_opener), first);
    let _ = accepter.receive(&first).unwrap();
    stock_accepter.read_message(&first, &mut none).unwrap();

    let second = accepter.transmit().unwrap();
    assert_example("handshake-2", &second);
    assert_eq!(write(&mut stock_accepter), second);
    let _ = opener.receive(&second).unwrap();
    stock_opener.read_message(&second, &mut none).unwrap();

    let third = opener.transmit().unwrap();
    assert_example("handshake-3", &third);
    assert_eq!(write(&mut stock_opener), third);
    let _ = accepter.receive(&third).unwrap();
    stock_accepter.read_message(&third, &mut none).unwrap();

    let mut stock_opener = stock_opener.into_transport_mode().unwrap();
    let mut stock_accepter = stock_accepter.into_transport_mode().unwrap();
    let hello = opener.seal(0x10, b"\x01hello").unwrap();
    assert_example("sealed-1", &hello);
    assert_eq!(encrypt(&mut stock_opener, b"\x01\x10\x01hello"), hello);
    assert_eq!(decrypt(&mut stock_accepter, &hello), b"\x01\x10\x01hello");
    let answer = accepter.seal(0x10, b"\x01hi").unwrap();
    assert_example("sealed-2", &answer);
    assert_eq!(encrypt(&mut stock_accepter, b"\x01\x10\x01hi"), answer);
    assert_eq!(opener.open(&answer).unwrap(), (0x10, "\x01hi".into()));
}

#[test]
fn another_implementation_follows_through_large_messages_and_changes_of_keys() {
    let mut opener = opener();
    let mut stock = stock(Role::Responder);
    let mut none = [0; 0];
    stock.read_message(&opener.transmit().unwrap(), &mut none).unwrap();
    let _ = opener.receive(&write(&mut stock)).unwrap();
    stock.read_message(&opener.transmit().unwrap(), &mut none).unwrap();
    let mut stock = stock.into_transport_mode().unwrap();

    let large: Vec<u8> = (0..200_000).map(|index| (index / 3) as u8).collect();
    let mut received = 0;
    while received <= REKEY_RECORDS {
        // The key changes in the middle of the large message.
        let body = if received == REKEY_RECORDS - 2 { &large } else { &b"x"[..] };
        let sealed = opener.seal(0x10, body).unwrap();
        let mut message = Vec::new();
        let last = sealed.len().div_ceil(65_535) - 1;
        for (index, record) in sealed.chunks(65_535).enumerate() {
            if received != 0 && received % REKEY_RECORDS == 0 {
                stock.rekey_incoming();
            }
            received += 1;
            let text = decrypt(&mut stock, record);
            assert_eq!(text[0], u8::from(index == last));
            message.extend_from_slice(&text[1..]);
        }
        assert!(message[0] == 0x10 && &message[1..] == body);
    }
    assert_eq!(received, REKEY_RECORDS + 2, "the large message had four records");
}
