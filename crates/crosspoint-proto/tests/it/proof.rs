//! A client that shows a key has to prove that the key is its own, before anything else.

use crate::common;
use crate::common::{Pair, frame};
use bytes::Bytes;
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::protocol::{Output, Protocol};
use crosspoint_hub::{PeerId, Reason};
use crosspoint_proto::client;
use crosspoint_proto::identity::{ChannelBinding, Identity};
use crosspoint_proto::message::{HelloMap, kind};
use crosspoint_proto::server::Options;
use std::sync::Arc;

fn anna() -> Identity {
    Identity::from_bytes(&[1; 32])
}

/// Both roles, and what the client says first, with a key.
fn begin(random: Option<[u8; 32]>, identity: Identity) -> (Pair, Vec<u8>) {
    let hello = Hello {
        // Of no meaning to who has a key.
        peer: Some(PeerId::new([3; 16])),
        name: Some("anna".into()),
        token: Some(Bytes::from_static(b"secret")),
        ..Hello::default()
    };
    let identity = Some(Arc::new(identity));
    let options = Options { random, ..Options::default() };
    Pair::with(options, client::Options { hello, identity, ..client::Options::default() })
}

/// As [`begin`], up to the question.
fn asked(random: [u8; 32], identity: Identity) -> (Pair, Vec<u8>) {
    let (mut pair, hello) = begin(Some(random), identity);
    let (outputs, challenge) = pair.serve_and_answer([hello.into()]);
    assert_eq!(outputs, [], "the hello waits for the proof");
    (pair, challenge)
}

/// The client's answer to a question.
fn proof(random: [u8; 32], identity: Identity) -> Vec<u8> {
    let (mut pair, challenge) = asked(random, identity);
    let (events, proof) = pair.listen_and_answer([challenge.into()]);
    assert_eq!(events, []);
    proof
}

/// What the hub makes of an answer to its question to Anna.
fn answered(answer: Vec<u8>) -> Vec<Output> {
    asked([5; 32], anna()).0.serve([answer.into()])
}

fn close(reason: Reason) -> [Output; 1] {
    [Output::Close(reason)]
}

fn accepted() -> [Output; 1] {
    [Output::Command(Command::Hello(Hello {
        peer: Some(anna().peer_id()),
        proven: true,
        name: Some("anna".into()),
        token: Some(Bytes::from_static(b"secret")),
        pauses: false,
        deletes: false,
        waits: false,
    }))]
}

#[test]
fn who_proves_a_key_has_the_id_that_comes_from_it() {
    let (mut pair, hello) = begin(Some([5; 32]), anna());
    let single = |bytes: Vec<u8>| bytes.into_iter().map(|byte| Bytes::from(vec![byte]));
    let (outputs, challenge) = pair.serve_and_answer(single(hello));
    assert_eq!(outputs, []);
    let (events, proof) = pair.listen_and_answer(single(challenge));
    assert_eq!(events, []);
    assert_eq!(pair.serve(single(proof)), accepted());
    let peer = anna().peer_id();
    let welcome = pair.deliver(&Event::Welcome { peer });
    assert_eq!(pair.listen([welcome.into()]), [Event::Welcome { peer }]);
    // From now on as everybody else.
    let written = pair.command(Command::create(1, "a")).expect("it can be said");
    assert_eq!(pair.serve([written.into()]), [Output::Command(Command::create(1, "a"))]);
}

#[test]
fn a_proof_that_is_wrong_in_any_byte_or_for_another_question_or_key_is_refused() {
    let right = proof([5; 32], anna());
    assert_eq!(answered(right.clone()), accepted());
    for at in 2..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        assert_eq!(answered(wrong), close(Reason::BadProof));
    }
    let bert = Identity::from_bytes(&[2; 32]);
    assert_eq!(answered(proof([5; 32], bert)), close(Reason::BadProof));
    assert_eq!(answered(proof([6; 32], anna())), close(Reason::BadProof), "an old answer");
    assert_eq!(answered(frame(kind::PROOF, &right[2..33])), close(Reason::Malformed), "cut");
    let longer = [&right[2..], b"later"].concat();
    assert_eq!(answered(frame(kind::PROOF, &longer)), accepted());
}

#[test]
fn nothing_but_the_proof_is_taken_before_it() {
    let others = [kind::HELLO, kind::PING, kind::LEAVE, kind::LINK, kind::IGNORABLE | 0x1f];
    for other in others {
        let answer = [frame(other, &[0; 40]), proof([5; 32], anna())].concat();
        assert_eq!(answered(answer), close(Reason::Malformed), "{other:#x}");
    }
    assert_eq!(answered(frame(kind::CLOSE, &[0])), close(Reason::Bye));
    // So the client role says nothing.
    let (mut pair, _hello) = begin(Some([5; 32]), anna());
    assert_eq!(pair.command(Command::create(1, "a")), Err(Reason::NotAllowed));
}

/// A hello with these map entries behind the version.
fn said(entries: &[u8], count: u8) -> Vec<Output> {
    let (mut pair, _hello) = begin(Some([5; 32]), anna());
    let map = [&[0x81 + count, 0xa1, b'v', 1], entries].concat();
    pair.serve([common::hello(&map).into()])
}

#[test]
fn a_key_that_is_none_or_not_of_the_id_is_refused_at_once() {
    let key = |key: &[u8]| [&b"\xa3key\xc4"[..], &[key.len() as u8], key].concat();
    let id = |id: PeerId| [&b"\xa2id\xc4\x10"[..], id.as_bytes()].concat();
    let anna_key = key(anna().public_key().as_bytes());
    assert_eq!(said(&key(&[7; 31]), 1), close(Reason::Malformed));
    assert_eq!(said(&key(&[7; 33]), 1), close(Reason::Malformed));
    assert_eq!(said(&[anna_key.clone(), id(anna().peer_id())].concat(), 2), []);
    let other = id(PeerId::new([3; 16]));
    assert_eq!(said(&[anna_key, other].concat(), 2), close(Reason::BadProof));
    // One secret has one key and one id: no other form of the key, and none that all share.
    let mut other_form = *anna().public_key().as_bytes();
    other_form[31] |= 0x80;
    assert_eq!(said(&key(&other_form), 1), close(Reason::BadProof));
    assert_eq!(said(&key(&[0; 32]), 1), close(Reason::BadProof));
    // A hub without randomness cannot ask.
    let (mut pair, hello) = begin(None, anna());
    assert_eq!(pair.serve([hello.into()]), close(Reason::Internal));
}

#[test]
fn a_client_answers_one_proper_question_and_only_if_it_showed_a_key() {
    let malformed = [Event::Closed { reason: Reason::Malformed }];
    let (mut pair, challenge) = asked([5; 32], anna());
    let twice = [challenge.clone(), challenge.clone()].concat();
    assert_eq!(pair.listen([twice.into()]), malformed);
    let (mut pair, _) = asked([5; 32], anna());
    // With a point of low order the answer would be the same for everybody.
    assert_eq!(pair.listen([frame(kind::CHALLENGE, &[0; 32]).into()]), malformed);
    let (mut pair, _) = asked([5; 32], anna());
    let mut other_form = challenge[2..].to_vec();
    other_form[31] |= 0x80;
    assert_eq!(pair.listen([frame(kind::CHALLENGE, &other_form).into()]), malformed);
    let (mut pair, _) = asked([5; 32], anna());
    assert_eq!(pair.listen([frame(kind::CHALLENGE, &challenge[2..33]).into()]), malformed);
    let (mut pair, _hello) = Pair::new(Options::default(), Hello::default());
    assert_eq!(pair.listen([challenge.into()]), malformed);
}

#[test]
fn a_welcome_without_a_question_is_not_accepted_unless_that_was_allowed() {
    let welcome = |peer| {
        let (mut hub, _) = Pair::new(Options::default(), Hello::default());
        hub.deliver(&Event::Welcome { peer })
    };
    let closed = |reason| [Event::Closed { reason }];
    let own = anna().peer_id();
    for peer in [own, PeerId::new([3; 16])] {
        let (mut pair, _hello) = begin(Some([5; 32]), anna());
        assert_eq!(pair.listen([welcome(peer).into()]), closed(Reason::Unproven));

        let identity = Some(Arc::new(anna()));
        let options =
            client::Options { identity, accept_unproven: true, ..client::Options::default() };
        let (mut pair, _hello) = Pair::with(Options::default(), options);
        assert_eq!(pair.listen([welcome(peer).into()]), [Event::Welcome { peer }]);
        assert!(pair.command(Command::create(1, "a")).is_ok());
    }
    // Who was asked is the one whose key it is.
    let (mut pair, challenge) = asked([5; 32], anna());
    pair.listen_and_answer([challenge.into()]);
    let other = welcome(PeerId::new([3; 16]));
    assert_eq!(pair.listen([other.into()]), closed(Reason::Malformed));
}

/// What the hub makes of Anna's proof, each of the two at its end of a connection; or why the client leaves.
fn over(
    client: (ChannelBinding, bool),
    hub: ChannelBinding,
) -> Result<(Vec<Output>, Option<String>), Reason> {
    let (channel_binding, unbound_proof) = client;
    let identity = Some(Arc::new(anna()));
    let client =
        client::Options { identity, channel_binding, unbound_proof, ..client::Options::default() };
    let random = Some([5; 32]);
    let (mut pair, hello) =
        Pair::with(Options { random, channel_binding: hub, ..Options::default() }, client);
    if let [Event::Closed { reason }] = pair.listen([Bytes::new()])[..] {
        return Err(reason);
    }
    let (mut outputs, challenge) = pair.serve_and_answer([hello.into()]);
    if outputs.is_empty() {
        let (events, proof) = pair.listen_and_answer([challenge.into()]);
        assert_eq!(events, []);
        outputs = pair.serve([proof.into()]);
    }
    Ok((outputs, pair.server.complaint()))
}

#[test]
fn a_proof_over_tls_holds_for_that_connection_alone() {
    use ChannelBinding::{Exporter, None, Unavailable};
    let (near, far) = (Exporter([1; 32]), Exporter([2; 32]));
    let entered = |client, hub| {
        let (outputs, complaint) = over(client, hub).expect("the client speaks");
        match outputs[..] {
            [Output::Command(Command::Hello(ref hello))] => {
                assert!(hello.proven && hello.peer == Some(anna().peer_id()));
                Ok(())
            }
            [Output::Close(reason)] => {
                assert_eq!(complaint.is_some(), reason == Reason::Unbound);
                Err(reason)
            }
            _ => panic!("{outputs:?}"),
        }
    };
    for (client, hub, expected) in [
        ((None, false), None, Ok(())),
        ((near, false), near, Ok(())),
        // Somebody in the middle ends TLS, and relays.
        ((near, false), far, Err(Reason::BadProof)),
        ((near, false), None, Err(Reason::Unbound)),
        ((None, false), far, Err(Reason::Unbound)),
        // A proxy that the client has agreed to.
        ((near, true), None, Ok(())),
        ((Unavailable, true), None, Ok(())),
        ((near, true), near, Err(Reason::Unbound)),
        // TLS to which nothing can be bound.
        ((near, false), Unavailable, Err(Reason::Unbound)),
        ((None, false), Unavailable, Err(Reason::Unbound)),
    ] {
        assert_eq!(entered(client, hub), expected, "{client:?}, {hub:?}");
    }
    assert_eq!(over((Unavailable, false), None), Err(Reason::Unbound));
}

/// Whoever is in the middle can change what a client says of its proof, and not the proof.
#[test]
fn a_bound_proof_cannot_be_passed_off_as_an_unbound_one() {
    let channel_binding = ChannelBinding::Exporter([1; 32]);
    let identity = Some(Arc::new(anna()));
    let client = client::Options { identity, channel_binding, ..client::Options::default() };
    let options = Options { random: Some([5; 32]), ..Options::default() };
    let (mut pair, hello) = Pair::with(options, client);
    let at = hello.windows(7).position(|bytes| bytes == b"\xa5bound\xc3").expect("it says so");
    let mut changed = hello;
    changed[at + 6] = 0xc2;
    let (outputs, challenge) = pair.serve_and_answer([changed.into()]);
    assert_eq!(outputs, []);
    let (_, proof) = pair.listen_and_answer([challenge.into()]);
    assert_eq!(pair.serve([proof.into()]), close(Reason::BadProof));
}

#[test]
fn a_welcome_tells_which_peer_is_the_hub_s_own_program() {
    let home = Some(PeerId::new([8; 16]));
    let options = Options { home, ..Options::default() };
    let (mut pair, hello) = Pair::new(options, Hello::default());
    pair.serve([hello.into()]);
    let welcome = pair.deliver(&Event::Welcome { peer: PeerId::new([9; 16]) });
    assert_eq!(pair.client.home(), None);
    pair.listen([welcome.into()]);
    assert_eq!(pair.client.home(), home);
}

#[test]
fn the_token_of_a_hello_is_never_shown() {
    let token = Some(b"swordfish".to_vec().into());
    let shown = format!("{:?}", HelloMap { token, ..HelloMap::default() });
    assert!(shown.contains("***") && !shown.contains("115, 119"), "{shown}");
    assert!(!shown.contains("swordfish"), "{shown}");
}
