//! Each rule by itself, and all of them against a model under random requests.

use super::super::payload::{OCTETS, TEXT};
use super::*;
use Revision::{Four, Three};
use proptest::collection::vec;
use proptest::prelude::*;

fn session() -> Exchange {
    let mut exchange = Exchange::new(Four, true);
    exchange.polled(false);
    exchange
}

fn text(text: &str) -> Message {
    Message { is_text: true, bytes: text.to_owned().into() }
}

fn posted(exchange: &mut Exchange, body: &str) -> Result<Vec<Message>, Refusal> {
    exchange.post()?;
    let messages = exchange.posted(false, &body.to_owned().into());
    exchange.post_done();
    messages
}

#[test]
fn one_request_takes_and_one_brings() {
    let now = Instant::now();
    let mut exchange = Exchange::new(Four, true);
    assert_eq!(exchange.hang(now), Hang::Wait(None), "the first one waits for the open packet");
    exchange.polled(false);
    assert_eq!(posted(&mut exchange, "4a\u{1e}4b"), Ok(vec![text("4a"), text("4b")]));
    assert_eq!(exchange.poll(), Ok(()));
    assert_eq!(exchange.hang(now), Hang::Wait(None));
    assert_eq!(posted(&mut exchange, "4c"), Ok(vec![text("4c")]));
    let (body, kind) = exchange.payload(&[text("4a"), text("4b")]);
    assert_eq!((&body[..], kind), (&b"4a\x1e4b"[..], TEXT));
    exchange.polled(false);
    assert!(!exchange.is_over());
}

#[test]
fn a_second_request_of_either_kind_ends_the_session() {
    let now = Instant::now();
    let mut exchange = session();
    assert_eq!(exchange.poll(), Ok(()));
    assert_eq!(exchange.poll(), Err(Refusal::BadRequest));
    assert_eq!(exchange.hang(now), Hang::Told(Kind::Close));
    assert_eq!(exchange.packet(Kind::Close).0, b"1");
    exchange.polled(false);
    assert_eq!(exchange.poll(), Err(Refusal::UnknownSid));
    assert_eq!(exchange.post(), Err(Refusal::UnknownSid));

    let mut exchange = session();
    assert_eq!(exchange.poll(), Ok(()));
    assert_eq!(exchange.post(), Ok(()));
    assert_eq!(exchange.post(), Err(Refusal::BadRequest));
    assert_eq!(exchange.hang(now), Hang::Told(Kind::Close));
    // The body of the first one comes too late.
    assert_eq!(exchange.posted(false, &"4a".into()), Err(Refusal::UnknownSid));
}

#[test]
fn a_body_that_is_wrong_ends_the_session_and_nothing_of_it_counts() {
    for (is_octets, body) in
        [(false, "abc"), (false, ""), (false, "4a\u{1e}x"), (false, "4a\u{1e}b?"), (true, "4a")]
    {
        let mut exchange = session();
        assert_eq!(exchange.post(), Ok(()));
        let posted = exchange.posted(is_octets, &body.into());
        assert_eq!(posted, Err(Refusal::BadRequest), "{body}");
        assert!(exchange.is_over());
    }
    let mut exchange = session();
    let body = "2\u{1e}".repeat(PACKETS_MAX);
    assert_eq!(posted(&mut exchange, &body[..body.len() - 1]).map(|it| it.len()), Ok(PACKETS_MAX));
    assert_eq!(posted(&mut exchange, &format!("{body}2")), Err(Refusal::BadRequest));
}

#[test]
fn a_client_that_closes_is_answered_and_says_nothing_more() {
    let now = Instant::now();
    let mut exchange = session();
    assert_eq!(exchange.poll(), Ok(()));
    let messages = posted(&mut exchange, "4a\u{1e}1\u{1e}4b");
    assert_eq!(messages, Ok(vec![text("4a"), text("1")]));
    assert_eq!(exchange.hang(now), Hang::Told(Kind::Noop));
    exchange.polled(false);
    assert_eq!(exchange.poll(), Err(Refusal::UnknownSid));
}

#[test]
fn nobody_asks_anything_after_the_end_of_the_session() {
    let mut exchange = session();
    assert_eq!(exchange.poll(), Ok(()));
    exchange.polled(false);
    assert_eq!(exchange.poll(), Ok(()));
    assert_eq!(exchange.packet(Kind::Close).0, b"1");
    exchange.polled(true);
    assert_eq!(exchange.post(), Err(Refusal::UnknownSid));
}

#[test]
fn revision_3_gets_octets_only_where_it_takes_them() {
    let binary = [Message { is_text: false, bytes: Bytes::from_static(&[4, 1]) }];
    let exchange = Exchange::new(Three, true);
    assert_eq!(exchange.payload(&binary), (vec![1, 2, 0xff, 4, 1], OCTETS));
    let exchange = Exchange::new(Three, false);
    assert_eq!(exchange.payload(&binary), (b"6:b4AQ==".to_vec(), TEXT));
}

#[test]
fn a_websocket_takes_the_session_over_when_no_request_is_under_way() {
    let now = Instant::now();
    let mut exchange = session();
    assert_eq!((exchange.poll(), exchange.post()), (Ok(()), Ok(())));
    assert!(!exchange.upgrade(), "it was not probed");
    assert!(exchange.may_probe() && exchange.probe(now));
    assert!(!exchange.may_probe() && !exchange.probe(now), "there is one already");
    // Who waits may still hear something, but not for long.
    assert_eq!(exchange.hang(now), Hang::Wait(Some(now + NOOP_AFTER)));
    assert_eq!(exchange.hang(now + NOOP_AFTER), Hang::Noop);
    exchange.polled(false);
    assert!(exchange.upgrade());
    assert!(!exchange.upgrade(), "once");
    assert!(!exchange.may_hand_over(), "something is being brought");
    assert_eq!(exchange.posted(false, &"4a".into()), Ok(vec![text("4a")]));
    exchange.post_done();
    assert!(exchange.may_hand_over());
    assert_eq!(
        (exchange.poll(), exchange.post()),
        (Err(Refusal::BadRequest), Err(Refusal::BadRequest))
    );
    exchange.handed_over();
    assert_eq!(
        (exchange.poll(), exchange.post()),
        (Err(Refusal::BadRequest), Err(Refusal::BadRequest))
    );
    assert!(!exchange.may_probe() && !exchange.may_hand_over() && !exchange.upgrade());
    exchange.probe_lost();
    assert!(!exchange.is_over(), "the end of the WebSocket is that of the session, elsewhere");
}

#[test]
fn who_waits_is_refused_when_the_upgrade_comes_first() {
    let now = Instant::now();
    let mut exchange = session();
    assert!(exchange.probe(now));
    assert_eq!(exchange.poll(), Ok(()), "a client may ask until it upgrades");
    assert!(exchange.upgrade());
    assert_eq!(exchange.hang(now), Hang::Refused(Refusal::BadRequest));
    assert!(!exchange.may_hand_over());
    exchange.polled(false);
    assert!(exchange.may_hand_over());
}

#[test]
fn a_websocket_that_is_lost_costs_the_session_only_what_it_had_taken() {
    let now = Instant::now();
    let mut exchange = session();
    assert_eq!(exchange.poll(), Ok(()));
    assert!(exchange.probe(now));
    exchange.probe_lost();
    assert_eq!(exchange.hang(now + NOOP_AFTER), Hang::Wait(None));
    assert!(exchange.probe(now));
    assert!(exchange.upgrade());
    exchange.probe_lost();
    assert!(exchange.is_over());
}

#[derive(Debug, Clone, Copy)]
enum Ask {
    Poll,
    Say(u8),
    Answer,
    Post,
    Body(u8),
    PostDone,
    Probe,
    Upgrade,
    ProbeLost,
    HandOver,
    Pass,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let ask = prop_oneof![
        4 => Just(Ask::Poll),
        4 => (0..3u8).prop_map(Ask::Say),
        6 => Just(Ask::Answer),
        4 => Just(Ask::Post),
        4 => (0..40u8).prop_map(Ask::Body),
        4 => Just(Ask::PostDone),
        1 => Just(Ask::Probe),
        1 => Just(Ask::Upgrade),
        1 => Just(Ask::ProbeLost),
        2 => Just(Ask::HandOver),
        2 => Just(Ask::Pass),
    ];
    vec(ask, 1..120)
}

/// What is true of a session whatever is asked, said by what has happened.
#[derive(Debug, Default)]
struct Model {
    /// Requests that wait, and that are being brought, of which there is one at the most.
    polls: bool,
    posts: bool,
    /// The session has the body of the request that brings something.
    read: bool,
    probed: bool,
    asked: bool,
    moved: bool,
    over: bool,
    /// What the session says, and how much of it was given by answers.
    said: Vec<Message>,
    given: Vec<Message>,
    /// What the client has said, and what the session has got.
    brought: Vec<Message>,
    got: Vec<Message>,
}

impl Model {
    fn refuses(&self) -> Option<Refusal> {
        match () {
            () if self.over => Some(Refusal::UnknownSid),
            () if self.asked => Some(Refusal::BadRequest),
            () => None,
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_each_message_is_given_once_and_in_order_or_the_session_ends(asks in asks()) {
        let mut now = Instant::now();
        let mut exchange = session();
        let mut model = Model::default();
        let mut numbers = 0..;
        let mut number = || text(&format!("4{}", numbers.next().unwrap()));
        for ask in asks {
            match ask {
                Ask::Poll => match model.refuses() {
                    None if model.polls => {
                        prop_assert_eq!(exchange.poll(), Err(Refusal::BadRequest));
                        model.over = true;
                    }
                    None => {
                        prop_assert_eq!(exchange.poll(), Ok(()));
                        model.polls = true;
                    }
                    Some(refusal) => prop_assert_eq!(exchange.poll(), Err(refusal)),
                },
                Ask::Say(count) => (0..count).for_each(|_| model.said.push(number())),
                // The request that waits looks whether there is something for it.
                Ask::Answer if model.polls => {
                    let waiting = model.said[model.given.len()..].to_vec();
                    let (answered, given) = match exchange.hang(now) {
                        Hang::Wait(until) => {
                            prop_assert!(until.is_none_or(|until| until > now && model.probed));
                            (!waiting.is_empty(), waiting)
                        }
                        Hang::Noop => {
                            prop_assert!(model.probed);
                            (true, waiting)
                        }
                        Hang::Told(kind) => {
                            prop_assert!(model.over && matches!(kind, Kind::Close | Kind::Noop));
                            (true, Vec::new())
                        }
                        Hang::Refused(refusal) => {
                            prop_assert_eq!(refusal, Refusal::BadRequest);
                            prop_assert!(model.asked && !model.over);
                            (true, Vec::new())
                        }
                    };
                    if answered {
                        exchange.polled(false);
                        model.polls = false;
                        model.given.extend(given);
                    }
                }
                Ask::Post => match model.refuses() {
                    None if model.posts => {
                        prop_assert_eq!(exchange.post(), Err(Refusal::BadRequest));
                        model.over = true;
                    }
                    None => {
                        prop_assert_eq!(exchange.post(), Ok(()));
                        (model.posts, model.read) = (true, false);
                    }
                    Some(refusal) => prop_assert_eq!(exchange.post(), Err(refusal)),
                },
                Ask::Body(what) if model.posts && !model.read => {
                    model.read = true;
                    let said: Vec<_> = (0..=what % 3).map(|_| number()).collect();
                    let mut body = exchange.payload(&said).0;
                    if what == 39 {
                        body.extend_from_slice(b"\x1e1");
                    }
                    if what == 38 {
                        body.push(b'\x1e');
                    }
                    let posted = exchange.posted(false, &body.into());
                    match what {
                        _ if model.over => prop_assert_eq!(posted, Err(Refusal::UnknownSid)),
                        38 => {
                            prop_assert_eq!(posted, Err(Refusal::BadRequest));
                            model.over = true;
                        }
                        _ => {
                            model.over = what == 39;
                            model.brought.extend(said);
                            let mut got = posted.unwrap();
                            if what == 39 {
                                prop_assert_eq!(got.pop(), Some(text("1")));
                            }
                            model.got.extend(got);
                        }
                    }
                }
                Ask::PostDone if model.posts => {
                    exchange.post_done();
                    model.posts = false;
                }
                Ask::Probe => {
                    let may = !model.over && !model.probed && !model.asked;
                    prop_assert_eq!(exchange.may_probe(), may);
                    prop_assert_eq!(exchange.probe(now), may);
                    model.probed |= may;
                }
                Ask::Upgrade => {
                    let may = !model.over && model.probed && !model.asked;
                    prop_assert_eq!(exchange.upgrade(), may);
                    model.asked |= may;
                }
                Ask::ProbeLost if !model.moved => {
                    exchange.probe_lost();
                    model.over |= model.asked;
                    model.probed &= model.asked;
                }
                Ask::HandOver => {
                    let may = model.asked && !model.over && !model.polls && !model.posts;
                    prop_assert_eq!(exchange.may_hand_over(), may && !model.moved);
                    if may && !model.moved {
                        exchange.handed_over();
                        model.moved = true;
                    }
                }
                Ask::Pass => now += NOOP_AFTER / 2,
                Ask::Answer | Ask::Body(_) | Ask::PostDone | Ask::ProbeLost => {}
            }
            prop_assert_eq!(exchange.is_over(), model.over);
            prop_assert_eq!(&model.given[..], &model.said[..model.given.len()]);
            prop_assert_eq!(&model.got, &model.brought);
        }
    }
}
