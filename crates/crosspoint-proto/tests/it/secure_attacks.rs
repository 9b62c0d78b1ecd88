//! What a hub, or anybody on the way, can try against an encrypted link (docs/peers.md, section 6).
//! All of it is refused with an error that says what it was.

use bytes::Bytes;
use crosspoint_hub::PeerId;
use crosspoint_proto::identity::Identity;
use crosspoint_proto::peer::secure::{
    HANDSHAKE, Options, Pin, Progress, Role, SEALED, Secure, SecureError, sealed_bytes,
};
use proptest::prelude::*;

const KIND: u8 = 0x10;

fn anna() -> Identity {
    Identity::from_bytes(&[1; 32])
}

fn bert() -> Identity {
    Identity::from_bytes(&[2; 32])
}

fn mallory() -> Identity {
    Identity::from_bytes(&[3; 32])
}

fn fresh() -> [u8; 32] {
    let mut random = [0; 32];
    getrandom::fill(&mut random).unwrap();
    random
}

fn opener(identity: &Identity, peer: PeerId) -> Secure {
    Secure::new(Role::Initiator, identity, peer, Options::default(), fresh()).unwrap()
}

fn accepter(identity: &Identity, peer: PeerId) -> Secure {
    Secure::new(Role::Responder, identity, peer, Options::default(), fresh()).unwrap()
}

fn ends() -> (Secure, Secure) {
    (opener(&anna(), bert().peer_id()), accepter(&bert(), anna().peer_id()))
}

/// Carries handshake messages to and fro until none is left. `on_the_way` gets the index of each,
/// and gives what arrives instead.
fn handshake(
    opener: &mut Secure,
    accepter: &mut Secure,
    mut on_the_way: impl FnMut(usize, Bytes) -> Vec<Bytes>,
) -> Result<(), SecureError> {
    let mut index = 0;
    loop {
        let (body, to) = match (opener.transmit(), accepter.transmit()) {
            (Some(body), None) => (body, &mut *accepter),
            (None, Some(body)) => (body, &mut *opener),
            (None, None) => return Ok(()),
            (Some(_), Some(_)) => panic!("both sides speak at once"),
        };
        for body in on_the_way(index, body) {
            let _: Progress = to.receive(&body)?;
        }
        index += 1;
    }
}

fn honest(_: usize, body: Bytes) -> Vec<Bytes> {
    vec![body]
}

fn ready() -> (Secure, Secure) {
    let (mut opener, mut accepter) = ends();
    handshake(&mut opener, &mut accepter, honest).unwrap();
    assert!(opener.is_ready() && accepter.is_ready());
    assert_eq!(accepter.remote(), Some(&anna().public_key()));
    assert_eq!(opener.remote(), Some(&bert().public_key()));
    (opener, accepter)
}

/// The three handshake messages of a link between Anna and Bert.
fn recorded() -> Vec<Bytes> {
    let (mut opener, mut accepter) = ends();
    let mut messages = Vec::new();
    let record = |_: usize, body: Bytes| {
        messages.push(body.clone());
        vec![body]
    };
    handshake(&mut opener, &mut accepter, record).unwrap();
    messages
}

fn assert_broken(secure: &mut Secure) {
    assert!(!secure.is_ready());
    assert_eq!(secure.remote(), None);
    assert_eq!(secure.transmit(), None);
    assert_eq!(secure.receive(&[0; 32]), Err(SecureError::Broken));
    assert_eq!(secure.open(&[0; 32]), Err(SecureError::Broken));
    assert_eq!(secure.seal(KIND, b"secret"), Err(SecureError::Broken));
    assert_eq!(secure.plain(KIND), Err(SecureError::Broken));
}

#[test]
fn a_handshake_message_changed_at_any_byte_ends_the_handshake() {
    for (message, length) in recorded().iter().map(Bytes::len).enumerate() {
        for at in 0..length {
            let (mut opener, mut accepter) = ends();
            let change = |index: usize, body: Bytes| {
                let mut body = body.to_vec();
                if index == message {
                    body[at] ^= 1 << (at % 8);
                }
                vec![body.into()]
            };
            let refused = handshake(&mut opener, &mut accepter, change);
            // The highest bit of a key that is sent in clear.
            let expected = match (message, at) {
                (0 | 1, 31) => SecureError::WeakKey,
                _ => SecureError::HandshakeFailed,
            };
            assert_eq!(refused, Err(expected), "message {message}, byte {at}");
            // The side that has finished believes to talk to the other, but nothing it says is understood.
            assert!(!(opener.is_ready() && accepter.is_ready()));
        }
    }
}

#[test]
fn a_key_with_its_highest_bit_set_is_refused_though_the_key_agreement_ignores_it() {
    for message in [0, 1] {
        let (mut opener, mut accepter) = ends();
        let change = |index: usize, body: Bytes| {
            let mut body = body.to_vec();
            body[31] ^= if index == message { 0x80 } else { 0 };
            vec![body.into()]
        };
        let refused = handshake(&mut opener, &mut accepter, change);
        assert_eq!(refused, Err(SecureError::WeakKey));
    }
}

#[test]
fn a_handshake_message_of_any_other_length_is_refused() {
    let lengths: Vec<usize> = recorded().iter().map(Bytes::len).collect();
    assert_eq!(lengths, [32, 96, 64]);
    for (message, expected) in lengths.into_iter().enumerate() {
        for found in (1..expected).chain([expected + 1, expected + 16, 65_535, 70_000]) {
            let (mut opener, mut accepter) = ends();
            let change = |index: usize, body: Bytes| {
                let mut body = body.to_vec();
                if index == message {
                    body.resize(found, 0);
                }
                vec![body.into()]
            };
            let refused = handshake(&mut opener, &mut accepter, change);
            assert_eq!(refused, Err(SecureError::HandshakeLength { expected, found }));
        }
    }
}

#[test]
fn handshake_messages_twice_or_out_of_turn_are_refused() {
    let too_short = |expected, found| SecureError::HandshakeLength { expected, found };
    let expected = [too_short(64, 32), SecureError::HandshakeNotDue, SecureError::HandshakeNotDue];
    for (message, expected) in expected.into_iter().enumerate() {
        let (mut opener, mut accepter) = ends();
        let twice = |index: usize, body: Bytes| vec![body; if index == message { 2 } else { 1 }];
        assert_eq!(handshake(&mut opener, &mut accepter, twice), Err(expected));
    }

    let messages = recorded();
    let (mut opener, mut accepter) = ends();
    assert_eq!(accepter.receive(&messages[2]), Err(too_short(32, 64)));
    assert_eq!(opener.receive(&messages[2]), Err(too_short(96, 64)));
    assert_broken(&mut opener);
    assert_broken(&mut accepter);
}

#[test]
fn handshake_messages_of_another_link_between_the_same_peers_are_refused() {
    for message in [1, 2] {
        let old = recorded();
        let (mut opener, mut accepter) = ends();
        let replay = |index: usize, body: Bytes| {
            vec![if index == message { old[index].clone() } else { body }]
        };
        let refused = handshake(&mut opener, &mut accepter, replay);
        assert_eq!(refused, Err(SecureError::HandshakeFailed));
    }
    // The first message alone can be replayed: it says nothing of who sent it. Nothing follows.
    let old = recorded();
    let mut accepter = accepter(&bert(), anna().peer_id());
    assert_eq!(accepter.receive(&old[0]), Ok(Progress::Waiting));
    assert_eq!(accepter.receive(&old[2]), Err(SecureError::HandshakeFailed));
}

#[test]
fn a_hub_in_the_middle_with_keys_of_its_own_is_found_out_by_either_side() {
    let found = mallory().peer_id();
    let (mut opener, _) = ends();
    let mut middle = accepter(&mallory(), anna().peer_id());
    // The middle can take Bert's id into its prologue, but that is another handshake then.
    let refused = handshake(&mut opener, &mut middle, honest);
    assert_eq!(refused, Err(SecureError::HandshakeFailed));

    // So it must know how to lie in the prologue: by hand, with the library below.
    for role in [Role::Initiator, Role::Responder] {
        let (mut opener, mut accepter) = ends();
        let victim = match role {
            Role::Initiator => &mut accepter,
            Role::Responder => &mut opener,
        };
        let expected = match role {
            Role::Initiator => anna().peer_id(),
            Role::Responder => bert().peer_id(),
        };
        let refused = lying_middle(role, victim);
        assert_eq!(refused, Err(SecureError::WrongIdentity { expected, found }));
        assert_broken(victim);
    }
}

/// Mallory's handshake with the prologue of Anna and Bert.
fn lying_middle(role: Role, victim: &mut Secure) -> Result<Progress, SecureError> {
    let (anna, bert) = (anna().peer_id(), bert().peer_id());
    let prologue = [&b"crosspoint peer 1"[..], anna.as_bytes(), bert.as_bytes()].concat();
    let secret = mallory().to_bytes();
    let builder = snow::Builder::new("Noise_XX_25519_ChaChaPoly_BLAKE2s".parse().unwrap())
        .local_private_key(secret.as_bytes())
        .unwrap()
        .prologue(&prologue)
        .unwrap();
    let (mut out, mut none) = ([0; 200], [0; 0]);
    match role {
        Role::Initiator => {
            let mut middle = builder.build_initiator().unwrap();
            let length = middle.write_message(&[], &mut out).unwrap();
            let _: Progress = victim.receive(&out[..length])?;
            middle.read_message(&victim.transmit().unwrap(), &mut none).unwrap();
            let length = middle.write_message(&[], &mut out).unwrap();
            victim.receive(&out[..length])
        }
        Role::Responder => {
            let mut middle = builder.build_responder().unwrap();
            middle.read_message(&victim.transmit().unwrap(), &mut none).unwrap();
            let length = middle.write_message(&[], &mut out).unwrap();
            victim.receive(&out[..length])
        }
    }
}

#[test]
fn a_hub_that_connects_other_peers_than_it_says_is_found_out() {
    let refusals = [
        // Anna wants Bert; the link leads to Mallory, who is told the truth about Anna.
        (opener(&anna(), bert().peer_id()), accepter(&mallory(), anna().peer_id())),
        // Mallory opens a link to Bert, who is told that it is Anna.
        (opener(&mallory(), bert().peer_id()), accepter(&bert(), anna().peer_id())),
        // Anna is told that she opened the link, and Bert that he did.
        (opener(&anna(), bert().peer_id()), accepter(&anna(), bert().peer_id())),
    ];
    for (mut opener, mut accepter) in refusals {
        let refused = handshake(&mut opener, &mut accepter, honest);
        assert_eq!(refused, Err(SecureError::HandshakeFailed));
    }
}

#[test]
fn an_endpoint_refuses_to_talk_to_its_own_identity() {
    for role in [Role::Initiator, Role::Responder] {
        let own = anna().peer_id();
        let refused = Secure::new(role, &anna(), own, Options::default(), fresh());
        assert_eq!(refused.err(), Some(SecureError::SameIdentity(own)));
    }
}

#[test]
fn messages_reflected_to_their_sender_are_refused() {
    let (mut opener, _) = ends();
    let first = opener.transmit().unwrap();
    let refused = opener.receive(&first);
    assert_eq!(refused, Err(SecureError::HandshakeLength { expected: 96, found: 32 }));

    let (mut opener, mut accepter) = ready();
    for side in [&mut opener, &mut accepter] {
        let sealed = side.seal(KIND, b"hello").unwrap();
        assert_eq!(side.open(&sealed), Err(SecureError::Altered));
        assert_broken(side);
    }
}

#[test]
fn a_peer_whose_key_is_not_the_pinned_one_is_refused() {
    let (right, wrong) = (bert().public_key(), mallory().public_key());
    let outcome = |pin: Pin| {
        let options = Options { pin: Some(pin), ..Options::default() };
        let peer = bert().peer_id();
        let mut opener = Secure::new(Role::Initiator, &anna(), peer, options, fresh()).unwrap();
        handshake(&mut opener, &mut accepter(&bert(), anna().peer_id()), honest)
    };
    let refused = Err(SecureError::WrongPin(right.fingerprint()));
    assert_eq!(outcome(Pin::Key(right)), Ok(()));
    assert_eq!(outcome(Pin::Fingerprint(right.fingerprint())), Ok(()));
    assert_eq!(outcome(Pin::Key(wrong)), refused);
    assert_eq!(outcome(Pin::Fingerprint(wrong.fingerprint())), refused);
}

/// All points of small order of the curve and its twist, in every form that 32 bytes have.
fn low_order() -> Vec<[u8; 32]> {
    let near_p = |low: u8| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (low, 0x7f);
        point
    };
    let mut one = [0; 32];
    one[0] = 1;
    let order_8 = |text: &str| {
        let digits = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(digits)
    };
    let mut points = vec![
        [0; 32],
        one,
        order_8("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        order_8("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        near_p(0xec),
        near_p(0xed),
        near_p(0xee),
    ];
    let with_high_bit: Vec<_> = points
        .iter()
        .map(|point| {
            let mut point = *point;
            point[31] |= 0x80;
            point
        })
        .collect();
    points.extend(with_high_bit);
    points
}

#[test]
fn keys_of_low_order_are_refused() {
    for point in low_order() {
        let (mut opener, mut accepter) = ends();
        assert_eq!(accepter.receive(&point), Err(SecureError::WeakKey), "{point:x?}");
        let mut second = recorded()[1].to_vec();
        second[..32].copy_from_slice(&point);
        assert_eq!(opener.receive(&second), Err(SecureError::WeakKey));
    }
}

#[test]
fn a_sealed_message_changed_at_any_byte_or_cut_anywhere_is_refused() {
    let length = sealed_bytes(40);
    for at in 0..length {
        let (mut opener, mut accepter) = ready();
        let sealed = opener.seal(KIND, &[7; 40]).unwrap();
        let mut changed = sealed.to_vec();
        changed[at] ^= 0x10;
        assert_eq!(accepter.open(&changed), Err(SecureError::Altered));
        assert_broken(&mut accepter);

        let (mut opener, mut accepter) = ready();
        let sealed = opener.seal(KIND, &[7; 40]).unwrap();
        let expected = if at < 18 { SecureError::SealedLength(at) } else { SecureError::Altered };
        assert_eq!(accepter.open(&sealed[..at]), Err(expected));
    }
    for behind in [1, 16, 17, 18, 100] {
        let (mut opener, mut accepter) = ready();
        let mut longer = opener.seal(KIND, &[7; 40]).unwrap().to_vec();
        longer.resize(length + behind, 0);
        assert_eq!(accepter.open(&longer), Err(SecureError::Altered));
    }
}

#[test]
fn sealed_messages_replayed_reordered_dropped_or_joined_are_refused() {
    let arrivals: [&dyn Fn([Bytes; 3]) -> Vec<Bytes>; 4] = [
        &|[a, _, _]| vec![a.clone(), a],
        &|[a, b, _]| vec![b, a],
        &|[a, _, c]| vec![a, c],
        &|[a, b, _]| vec![[a, b].concat().into()],
    ];
    for arrive in arrivals {
        let (mut opener, mut accepter) = ready();
        let sealed = [b"one", b"two", b"six"].map(|body| opener.seal(KIND, body).unwrap());
        let refused = arrive(sealed).iter().find_map(|sealed| accepter.open(sealed).err());
        assert_eq!(refused, Some(SecureError::Altered));
        assert_broken(&mut accepter);
    }
}

#[test]
fn the_records_of_a_large_message_cannot_be_cut_reordered_or_mixed_with_another() {
    let body: Vec<u8> = (0..200_000).map(|index| index as u8).collect();
    type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let changes: [(Change<'_>, SecureError); 4] = [
        (&|sealed| sealed[..65_535].to_vec(), SecureError::Cut),
        (&|sealed| sealed[65_535..].to_vec(), SecureError::Altered),
        (&|sealed| [&sealed[65_535..131_070], &sealed[..65_535]].concat(), SecureError::Altered),
        (&|sealed| [sealed, sealed].concat(), SecureError::Altered),
    ];
    for (change, expected) in changes {
        let (mut opener, mut accepter) = ready();
        let sealed = opener.seal(KIND, &body).unwrap();
        assert_eq!(accepter.open(&change(&sealed)), Err(expected));
    }
}

#[test]
fn a_message_above_the_bound_is_refused_before_it_is_decrypted() {
    let options = Options { message_bytes_max: 100, ..Options::default() };
    let peer = anna().peer_id();
    let mut accepter = Secure::new(Role::Responder, &bert(), peer, options, fresh()).unwrap();
    let mut opener = opener(&anna(), bert().peer_id());
    handshake(&mut opener, &mut accepter, honest).unwrap();
    assert_eq!(
        accepter.open(&vec![0; sealed_bytes(10 << 20)]),
        Err(SecureError::TooLarge { bytes: 10 << 20, most: 100 })
    );
    assert_broken(&mut accepter);
}

#[test]
fn nothing_plain_is_taken_unless_allowed_and_never_after_the_handshake_began() {
    let (mut opener, mut accepter) = ready();
    assert_eq!(opener.plain(KIND), Err(SecureError::Plain(KIND)));
    assert_broken(&mut opener);
    assert_eq!(accepter.plain(KIND), Err(SecureError::Plain(KIND)));

    let (mut opener, _) = ends();
    assert_eq!(opener.plain(KIND), Err(SecureError::Plain(KIND)));

    let options = Options { plain_before: true, ..Options::default() };
    let peer = bert().peer_id();
    let mut opener = Secure::new(Role::Initiator, &anna(), peer, options, fresh()).unwrap();
    assert_eq!(opener.plain(KIND), Ok(()));
    assert_eq!(opener.receive(b""), Ok(Progress::Waiting));
    assert_eq!(opener.plain(KIND), Err(SecureError::Plain(KIND)));
}

#[test]
fn nothing_is_sealed_or_opened_before_the_handshake_is_done_and_transmitted() {
    let (mut opener, mut accepter) = ends();
    assert_eq!(opener.seal(KIND, b"x"), Err(SecureError::NotReady));
    let _: Progress = accepter.receive(&opener.transmit().unwrap()).unwrap();
    assert_eq!(opener.receive(&accepter.transmit().unwrap()), Ok(Progress::Ready));
    assert_eq!(opener.seal(KIND, b"x"), Err(SecureError::NotReady));
    let last = opener.transmit().unwrap();
    let sealed = opener.seal(KIND, b"x").unwrap();
    assert_eq!(accepter.open(&sealed), Err(SecureError::NotReady));
    assert_broken(&mut accepter);
    assert_eq!(accepter.receive(&last), Err(SecureError::Broken));
}

#[test]
fn sealed_messages_and_handshakes_are_not_sealed_again() {
    let (mut opener, _) = ready();
    for kind in [HANDSHAKE, SEALED] {
        assert_eq!(opener.seal(kind, b"x"), Err(SecureError::Nested(kind)));
    }
    assert!(opener.is_ready());
}

#[test]
fn an_accepter_may_ask_the_opener_to_begin_once() {
    let (mut opener, mut accepter) = ends();
    accepter.ask();
    let ask = accepter.transmit().unwrap();
    assert!(ask.is_empty());
    accepter.ask();
    assert_eq!(accepter.transmit(), None);
    // The opener has begun at the same time; the two messages cross.
    assert_eq!(opener.receive(&ask), Ok(Progress::Waiting));
    handshake(&mut opener, &mut accepter, honest).unwrap();
    assert!(opener.is_ready() && accepter.is_ready());
    assert_eq!(opener.receive(&ask), Err(SecureError::HandshakeNotDue));

    let (mut opener, mut accepter) = ends();
    assert_eq!(opener.receive(&ask), Ok(Progress::Waiting));
    assert_eq!(opener.receive(&ask), Err(SecureError::HandshakeNotDue));
    assert_eq!(accepter.receive(&ask), Err(SecureError::HandshakeNotDue));
}

#[test]
fn a_recorded_conversation_stays_closed_to_who_learns_both_identities_later() {
    let messages = recorded();
    let (mut opener, mut accepter) = ready();
    let sealed = opener.seal(KIND, b"a secret of yesterday").unwrap();

    // With the identities and what was recorded, one can only begin anew, with other keys.
    let (mut again, mut answering) = ready();
    assert_ne!(again.seal(KIND, b"a secret of yesterday").unwrap(), sealed);
    assert_eq!(answering.open(&sealed), Err(SecureError::Altered));

    // Neither do the recorded messages lead to the old keys, from either end.
    let (mut opening, mut accepting) = ends();
    let _: Progress = accepting.receive(&messages[0]).unwrap();
    assert_eq!(accepting.receive(&messages[2]), Err(SecureError::HandshakeFailed));
    assert_eq!(opening.receive(&messages[1]), Err(SecureError::HandshakeFailed));
    assert_eq!(accepter.open(&sealed).unwrap().1, "a secret of yesterday");
}

#[derive(Debug, Clone)]
enum Step {
    Receive(Vec<u8>),
    Open(Vec<u8>),
    Plain(u8),
    Ask,
    Transmit,
    Seal(u8, Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![Just(32usize), Just(64), Just(96), 0..200usize];
    let bytes = length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length));
    let step = prop_oneof![
        bytes.clone().prop_map(Step::Receive),
        bytes.clone().prop_map(Step::Open),
        any::<u8>().prop_map(Step::Plain),
        Just(Step::Ask),
        Just(Step::Transmit),
        (any::<u8>(), bytes).prop_map(|(kind, bytes)| Step::Seal(kind, bytes)),
    ];
    proptest::collection::vec(step, 0..12)
}

proptest! {
    #[test]
    fn whatever_arrives_nobody_becomes_ready_with_a_stranger(initiator: bool, steps in steps()) {
        let (opener, accepter) = ends();
        let mut secure = if initiator { opener } else { accepter };
        for step in steps {
            match step {
                Step::Receive(bytes) => drop(secure.receive(&bytes)),
                Step::Open(bytes) => prop_assert!(secure.open(&bytes).is_err()),
                Step::Plain(kind) => prop_assert!(secure.plain(kind).is_err()),
                Step::Ask => secure.ask(),
                Step::Transmit => drop(secure.transmit()),
                Step::Seal(kind, bytes) => prop_assert!(secure.seal(kind, &bytes).is_err()),
            }
            prop_assert!(!secure.is_ready() && secure.remote().is_none());
        }
    }

    #[test]
    fn conversations_arrive_and_a_change_anywhere_ends_them(
        messages in proptest::collection::vec(
            (any::<bool>(), 0x10u8..0x20, 0..70_000usize), 1..8),
        target: prop::sample::Index,
        at: prop::sample::Index,
        change in 1..=255u8,
    ) {
        let (mut opener, mut accepter) = ready();
        let target = target.index(messages.len());
        for (index, (from_opener, kind, size)) in messages.into_iter().enumerate() {
            let (from, to) = if from_opener {
                (&mut opener, &mut accepter)
            } else {
                (&mut accepter, &mut opener)
            };
            let body = vec![index as u8; size];
            let sealed = from.seal(kind, &body).unwrap();
            if index == target {
                let mut changed = sealed.to_vec();
                changed[at.index(sealed.len())] ^= change;
                prop_assert_eq!(to.open(&changed), Err(SecureError::Altered));
                assert_broken(to);
                break;
            }
            prop_assert_eq!(to.open(&sealed), Ok((kind, Bytes::from(body))));
        }
    }
}
