//! Claims that a directory answers late: what waits, for how long, and what becomes of them.

use crate::common::{Woken, ask, hello, hits, link, peer_id, to, try_open};
use bytes::Bytes;
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Event, LinkCommand,
    LinkEvent, LinkOptions,
};
use crosspoint_hub::directory::{Answer, ClaimId, Directory};
use crosspoint_hub::permissions::Rule;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{LINES, LateDirectory, events};
use crosspoint_hub::{
    ChannelName, Grant, Hub, HubOptions, JoinedChannelId, Limits, MemberNumber, OwnedChannelId,
    Permissions, Reason, Session,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn hub(limits: Limits) -> (Arc<Hub>, Arc<LateDirectory>) {
    let directory = Arc::<LateDirectory>::default();
    let decides: Arc<dyn Directory> = directory.clone();
    (Hub::new(HubOptions { limits, directory: Some(decides), ..HubOptions::default() }), directory)
}

/// A session that the directory has let in at once. All that it claims from then on is pending.
fn open(hub: &Arc<Hub>, directory: &LateDirectory, id: u8) -> Session {
    directory.says(Answer::Granted);
    let (mut session, _, step) = try_open(hub, &LINES, hello(id, "", false));
    assert_eq!(step, Step::Go);
    assert!(matches!(events(&mut session)[..], [Event::Welcome { .. }]));
    directory.says(Answer::Pending);
    session
}

fn only(directory: &LateDirectory, claim: &str) -> ClaimId {
    let pending = directory.pending();
    match pending.iter().collect::<Vec<_>>()[..] {
        [(id, text)] if text == claim => *id,
        _ => panic!("not {claim} alone: {pending:?}"),
    }
}

fn held(directory: &LateDirectory) -> Vec<String> {
    directory.held().into_values().collect()
}

fn created(request: u32, channel: u32) -> Event {
    Event::Channel(ChannelEvent::Created { request, channel: OwnedChannelId(channel) })
}

fn refused(request: u32, create: bool, reason: Reason) -> Event {
    Event::Refused { request, create, reason }
}

#[test]
fn a_hello_waits_for_its_claim_and_nothing_behind_it_is_carried_out_before() {
    let (hub, directory) = hub(Limits::default());
    let (now, woken) = (Instant::now(), Woken::default());
    let mut session = hub.open(now, None, &LINES, Box::new(woken.clone()));
    let greeting = Command::Hello(hello(1, "ann", false));
    assert_eq!(session.execute(now, greeting), Step::Wait);
    assert_eq!(session.flush(now), Step::Wait);
    assert_eq!((session.is_greeting(), session.endpoint().peer()), (true, None));
    let id = only(&directory, &format!("session {} ann", peer_id(1)));
    assert!(directory.answer(&hub, id, Ok(())));
    assert_eq!(session.flush(now), Step::Wait, "its task has not noticed yet");
    let before = woken.times();
    assert_eq!(events(&mut session), [Event::Welcome { peer: peer_id(1) }]);
    assert!(woken.times() > before, "it has to go on");
    assert_eq!((session.flush(now), session.is_greeting()), (Step::Go, false));
    assert_eq!(session.endpoint().peer().and_then(|peer| peer.name.as_deref()), Some("ann"));
    session.close(Reason::Bye);
    assert_eq!(held(&directory), [""; 0]);
}

#[test]
fn a_hello_that_is_refused_or_not_answered_ends_the_session() {
    let (hub, directory) = hub(Limits::default());
    let now = Instant::now();
    let wait = |id| {
        let mut session = hub.open(now, None, &LINES, Box::new(Woken::default()));
        assert_eq!(session.execute(now, Command::Hello(hello(id, "", false))), Step::Wait);
        session
    };
    let mut refused = wait(1);
    let id = only(&directory, &format!("session {}", peer_id(1)));
    assert!(directory.answer(&hub, id, Err(Reason::IdTaken)));
    assert_eq!(events(&mut refused), []);
    assert_eq!(refused.flush(now), Step::Close(Reason::IdTaken));
    let mut unanswered = wait(2);
    let until = now + hub.limits.claim_max;
    assert_eq!(unanswered.claims_until(), Some(until));
    let early = until - Duration::from_nanos(1);
    assert_eq!((unanswered.drop_claims(early), hits(&hub, "claim_ms_max")), (Step::Go, 0));
    let id = only(&directory, &format!("session {}", peer_id(2)));
    assert_eq!(unanswered.drop_claims(until), Step::Close(Reason::Busy));
    assert_eq!((unanswered.claims_until(), hits(&hub, "claim_ms_max")), (None, 1));
    assert!(!directory.answer(&hub, id, Ok(())), "it was released");
    // A directory that had just granted it says so all the same.
    hub.claim_answered(id, Ok(()));
    assert_eq!(events(&mut unanswered), []);
    assert_eq!(unanswered.endpoint().peer(), None);
    // Who goes meanwhile is waited for no longer.
    drop(wait(3));
    assert_eq!((directory.pending().len(), held(&directory)), (0, vec![]));
    hub.claim_answered(id, Ok(()));
}

#[test]
fn who_may_not_see_who_is_there_does_not_learn_it_from_a_late_answer() {
    let (hub, directory) = hub(Limits::default());
    let now = Instant::now();
    let reach = Rule::Nothing;
    let permissions = || Permissions { presence: false, reach: reach.clone(), ..Permissions::ALL };
    let welcome = |id| {
        let mut session = hub.open(now, None, &LINES, Box::new(Woken::default()));
        let grant = Grant { permissions: permissions(), ..Grant::default() };
        let step = session.welcome(Instant::now(), hello(id, "", false), grant);
        (session, step)
    };
    let (mut session, step) = welcome(1);
    assert_eq!(step, Step::Wait);
    let id = only(&directory, &format!("session {}", peer_id(1)));
    assert!(directory.answer(&hub, id, Err(Reason::IdTaken)));
    assert_eq!(events(&mut session), []);
    assert_eq!(session.flush(now), Step::Close(Reason::NotAllowed));

    directory.says(Answer::Granted);
    let (mut session, step) = welcome(2);
    assert_eq!((step, events(&mut session).len()), (Step::Go, 1));
    directory.says(Answer::Refused(Reason::NoSuchPeer));
    ask(&mut session, link(to(9)));
    assert_eq!(events(&mut session), [refused(1, false, Reason::NotAllowed)]);
    directory.says(Answer::Pending);
    ask(&mut session, link(to(9)));
    let id = only(&directory, &format!("peer {}", peer_id(9)));
    assert!(directory.answer(&hub, id, Err(Reason::NoSuchPeer)));
    assert_eq!(events(&mut session), [refused(1, false, Reason::NotAllowed)]);
}

#[test]
fn other_commands_go_on_while_a_channel_waits_for_its_claim() {
    let (hub, directory) = hub(Limits::default());
    let mut session = open(&hub, &directory, 1);
    ask(&mut session, Command::create(1, "a"));
    let id = only(&directory, "channel a");
    // It is not there yet.
    ask(&mut session, Command::enter(2, "a"));
    directory.says(Answer::Granted);
    ask(&mut session, Command::create(3, "b"));
    assert_eq!(events(&mut session), [refused(2, false, Reason::NoSuchName), created(3, 0)]);
    assert!(directory.answer(&hub, id, Ok(())));
    assert_eq!(events(&mut session), [created(1, 1)]);
    assert_eq!((hub.channels(), held(&directory).len()), (2, 3));
    // A name that the hub itself knows to be taken is not asked for.
    directory.says(Answer::Pending);
    ask(&mut session, Command::create(4, "a"));
    assert_eq!(events(&mut session), [refused(4, true, Reason::NameTaken)]);
    // A room of the name, made by entering it meanwhile, keeps it.
    ask(&mut session, Command::create(5, "room"));
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    let name = ChannelName::new("room").unwrap();
    ask(&mut session, ChannelCommand::Enter { request: 6, name, options });
    assert!(directory.answer(&hub, only(&directory, "channel room"), Ok(())));
    let told = events(&mut session);
    assert!(matches!(told[0], Event::Channel(ChannelEvent::Entered(_))), "{told:?}");
    assert_eq!(told[1], refused(5, true, Reason::NameTaken));
    assert_eq!(held(&directory).len(), 3);
}

#[test]
fn of_two_waiting_channels_of_one_name_the_first_that_is_granted_is_made() {
    let (hub, directory) = hub(Limits::default());
    let mut session = open(&hub, &directory, 1);
    ask(&mut session, Command::create(1, "a"));
    ask(&mut session, Command::create(2, "a"));
    let ids: Vec<ClaimId> = directory.pending().into_keys().collect();
    for id in ids.into_iter().rev() {
        assert!(directory.answer(&hub, id, Ok(())));
    }
    assert_eq!(events(&mut session), [created(2, 0), refused(1, true, Reason::NameTaken)]);
    assert_eq!(held(&directory).iter().filter(|claim| *claim == "channel a").count(), 1);
    ask(&mut session, ChannelCommand::Delete(OwnedChannelId(0)));
    assert_eq!(held(&directory), [format!("session {}", peer_id(1))]);
}

#[test]
fn a_channel_that_passes_to_a_successor_keeps_its_claim_to_its_end() {
    let (hub, directory) = hub(Limits::default());
    let [mut owner, mut member] = [1, 2].map(|id| open(&hub, &directory, id));
    ask(&mut owner, Command::create(1, "a"));
    assert!(directory.answer(&hub, only(&directory, "channel a"), Ok(())));
    assert_eq!(events(&mut owner), [created(1, 0)]);
    ask(&mut member, Command::enter(1, "a"));
    let (channel, successor) = (OwnedChannelId(0), Some(MemberNumber(0)));
    let succeed = ChannelCommand::Succeed { request: 2, channel, member: successor };
    events(&mut owner);
    ask(&mut owner, succeed);
    events(&mut member);
    owner.close(Reason::ConnectionLost);
    drop(owner);
    assert!(held(&directory).contains(&"channel a".to_owned()));
    events(&mut member);
    ask(&mut member, ChannelCommand::Leave(JoinedChannelId(0)));
    ask(&mut member, ChannelCommand::Delete(OwnedChannelId(0)));
    assert_eq!(held(&directory), [format!("session {}", peer_id(2))]);
}

#[test]
fn a_link_opens_when_its_claim_is_granted_if_the_peer_is_there_then() {
    let (hub, directory) = hub(Limits::default());
    let mut session = open(&hub, &directory, 1);
    let open_link = |request, id| {
        let options = LinkOptions { purpose: Bytes::from_static(b"why"), ..LinkOptions::default() };
        LinkCommand::Open { request, to: to(id), options }
    };
    ask(&mut session, open_link(1, 2));
    let first = only(&directory, &format!("peer {}", peer_id(2)));
    // It comes meanwhile.
    let mut other = open(&hub, &directory, 2);
    assert!(directory.answer(&hub, first, Ok(())));
    let told = events(&mut session);
    let [Event::Link(LinkEvent::Opened { request: Some(1), purpose, .. })] = &told[..] else {
        panic!("no link: {told:?}");
    };
    assert_eq!(purpose, "why");
    assert_eq!(events(&mut other).len(), 1);
    // And this one goes.
    ask(&mut session, open_link(2, 2));
    drop(other);
    let second = only(&directory, &format!("peer {}", peer_id(2)));
    assert!(directory.answer(&hub, second, Ok(())));
    let reason = refused(2, false, Reason::NoSuchPeer);
    assert_eq!(events(&mut session).last(), Some(&reason));
    // Nothing is held for a link once it is there, or not.
    assert_eq!(held(&directory), [format!("session {}", peer_id(1))]);
}

#[test]
fn claims_that_wait_are_bounded_with_entries_that_wait_and_are_paid_for() {
    let (hub, directory) = hub(Limits { commands_pending_max: 2, ..Limits::default() });
    let [mut owner, mut session] = [1, 2].map(|id| open(&hub, &directory, id));
    directory.says(Answer::Granted);
    let options = ChannelOptions { approve: true, ..ChannelOptions::default() };
    let name = ChannelName::new("asks").unwrap();
    ask(&mut owner, ChannelCommand::Create { request: 1, name, options });
    directory.says(Answer::Pending);
    let before = session.endpoint().account().used();
    ask(&mut session, Command::create(1, "a"));
    let one = session.endpoint().account().used() - before;
    assert!((200..2000).contains(&one), "{one}");
    ask(&mut session, Command::enter(2, "asks"));
    assert_eq!(events(&mut session), []);
    ask(&mut session, Command::create(3, "b"));
    ask(&mut session, link(to(1)));
    let reason = Reason::TooManyPending;
    assert_eq!(events(&mut session), [refused(3, true, reason), refused(1, false, reason)]);
    assert_eq!(hits(&hub, "commands_pending_max"), 2);
    let a = only(&directory, "channel a");
    assert!(directory.answer(&hub, a, Err(Reason::NameTaken)));
    assert_eq!(events(&mut session), [refused(1, true, Reason::NameTaken)]);
    ask(&mut session, Command::create(4, "b"));
    assert!(directory.pending().into_values().eq(["channel b"]));
    session.close(Reason::Bye);
    assert_eq!(directory.pending().len(), 0);
}

#[test]
fn commands_whose_claims_are_not_answered_are_refused_each_in_its_time() {
    let (hub, directory) = hub(Limits::default());
    let mut session = open(&hub, &directory, 1);
    let (begun, second) = (Instant::now(), Duration::from_secs(1));
    let at = |session: &mut Session, now, command| {
        assert_eq!(session.execute(now, command), Step::Go);
        assert_eq!(session.flush(now), Step::Go);
    };
    at(&mut session, begun, Command::create(1, "a"));
    at(&mut session, begun + second, link(to(2)));
    let first = begun + hub.limits.claim_max;
    assert_eq!(session.claims_until(), Some(first));
    assert_eq!(session.drop_claims(first), Step::Go);
    assert_eq!(events(&mut session), [refused(1, true, Reason::Busy)]);
    assert_eq!(session.claims_until(), Some(first + second));
    assert_eq!(session.drop_claims(first + second), Step::Go);
    assert_eq!(events(&mut session), [refused(1, false, Reason::Busy)]);
    assert_eq!((session.claims_until(), hits(&hub, "claim_ms_max")), (None, 2));
    assert_eq!(directory.pending().len(), 0);
}
