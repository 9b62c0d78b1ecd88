//! Links at their bounds, what sessions may do, who takes whose place, and receivers that do not
//! read.

use crate::common::*;
use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, ChannelEvent, Command, DirectoryCommand, DirectoryEvent, Event, Hello, LinkCommand,
    LinkEvent, LinkOptions, Query, Target, Watched,
};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::peers::Duplicates;
use crosspoint_hub::permissions::{Pattern, Rule};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Arrived, EVENTS, LINES, PIECES, data, events, take};
use crosspoint_hub::wire::Place;
use crosspoint_hub::{
    Grant, Hub, HubOptions, Limits, LinkNumber, OwnedChannelId, Part, Permissions, Reason, Session,
};
use std::sync::Arc;
use std::time::Instant;

#[test]
fn links_are_bounded_at_each_side_apart_until_their_end_was_read() {
    let hub = hub(Limits { links_max: 1, links_accepted_max: 2, ..Limits::default() });
    let (mut one, mut other, mut third) = (open(&hub, 1, ""), open(&hub, 2, ""), open(&hub, 3, ""));
    let full = Some(Reason::TooManyLinks);
    assert_eq!(join(&mut one, &mut other, 2), (0, 0));
    assert_eq!(refused(&mut one, link(to(3))), full, "it has opened one");
    assert_eq!(join(&mut third, &mut other, 2), (0, 1));
    let mut fourth = open(&hub, 4, "");
    assert_eq!(refused(&mut fourth, link(to(2))), full, "the other one has been given two");
    assert_eq!(join(&mut other, &mut one, 1), (2, 1), "which takes nothing from what it may open");
    assert_eq!(["links_max", "links_accepted_max"].map(|limit| hits(&hub, limit)), [1, 1]);
    assert_eq!(hub.metrics.links.get(), 6);
    ask(&mut third, unlink(0));
    assert_eq!(refused(&mut fourth, link(to(2))), full, "it has not read of the end yet");
    let (ended, reason) = (LinkNumber(1), Reason::Left);
    assert_eq!(events(&mut other), [Event::Link(LinkEvent::Closed { link: ended, reason })]);
    // Numbers that were refused are left out, none comes again.
    assert_eq!(join(&mut fourth, &mut other, 2), (2, 3));
    assert_eq!(hub.metrics.links.get(), 6);
}

#[test]
fn a_link_to_oneself_has_both_sides_and_needs_room_for_both() {
    let hub = hub(Limits { links_accepted_max: 1, ..Limits::default() });
    let mut one = open(&hub, 1, "ann");
    ask(&mut one, link(Addressee::Name(name("ann"))));
    let numbers: Vec<_> = events(&mut one)
        .into_iter()
        .map(|event| match event {
            Event::Link(LinkEvent::Opened { request, link, .. }) => (request, link.0),
            other => panic!("no link: {other:?}"),
        })
        .collect();
    assert_eq!(numbers, [(Some(1), 0), (None, 1)]);
    assert_eq!(send(&mut one, 0, "there"), Step::Go);
    assert_eq!(send(&mut one, 1, "back"), Step::Go);
    assert_eq!(data(&mut one), "link 1: there\nlink 0: back\n");
    assert_eq!(refused(&mut one, link(to(1))), Some(Reason::TooManyLinks));
    assert_eq!(hub.metrics.links.get(), 2);
}

#[test]
fn purposes_and_exceptions_are_bounded() {
    let hub = hub(Limits::default());
    let (mut one, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    let mut try_link = |purpose: usize, except: usize| {
        let purpose = vec![b'p'; purpose].into();
        let options = LinkOptions { purpose, except: vec![peer_id(9); except], single: false };
        refused(&mut one, LinkCommand::Open { request: 1, to: to(2), options })
    };
    assert_eq!(try_link(4096, 64), None);
    assert_eq!(try_link(4097, 0), Some(Reason::TooLarge));
    assert_eq!(try_link(0, 65), Some(Reason::TooLarge));
    let heard = events(&mut other);
    assert!(
        matches!(&heard[..], [Event::Link(LinkEvent::Opened { purpose, .. })] if purpose.len() == 4096)
    );
}

#[test]
fn services_are_bounded_and_what_is_taken_back_makes_room() {
    let hub = hub(Limits { services_max: 1, ..Limits::default() });
    let mut one = open(&hub, 1, "");
    assert_eq!(refused(&mut one, provide("a", true)), None);
    assert_eq!(refused(&mut one, provide("a", true)), None, "twice is once");
    assert_eq!(refused(&mut one, provide("b", true)), Some(Reason::TooManyServices));
    assert_eq!(hits(&hub, "services_max"), 1);
    assert_eq!(refused(&mut one, provide("b", false)), None, "it was not offered");
    assert_eq!(refused(&mut one, provide("a", false)), None);
    assert_eq!(refused(&mut one, provide("b", true)), None);
}

#[test]
fn an_answer_about_who_is_there_has_its_bound_and_goes_on_behind_it() {
    let hub = hub(Limits::default());
    let mut one = open(&hub, 1, "");
    let named = |index: usize| {
        let hello = Hello { name: Some(format!("n{index:03}")), ..Hello::default() };
        let mut session = try_open(&hub, &LINES, hello).0;
        ask(&mut session, provide("s", true));
        session
    };
    let _there: Vec<Session> = (0..Query::FOUND_MAX + 1).map(named).collect();
    let mut look = |query| {
        ask(&mut one, DirectoryCommand::Look { request: 1, query });
        match events(&mut one).remove(0) {
            Event::Directory(DirectoryEvent::Found { peers, more, .. }) => (peers, more),
            other => panic!("no answer: {other:?}"),
        }
    };
    let names = |after| Query::Names { prefix: "n".into(), after };
    let (found, more) = look(names(None));
    assert_eq!((found.len(), more), (Query::FOUND_MAX, true));
    let last = found.last().and_then(|peer| peer.name.clone()).expect("they have names");
    let (found, more) = look(names(Some(name(&last))));
    assert_eq!((found.len(), found[0].name.as_deref(), more), (1, Some("n100"), false));
    let (found, more) = look(Query::Service(name("s")));
    assert_eq!((found.len(), more), (Query::FOUND_MAX, true));
}

fn open_with(hub: &Arc<Hub>, id: u8, said: &str, grant: Grant) -> Session {
    let mut session = hub.open(Instant::now(), None, &LINES, Box::new(Woken::default()));
    assert_eq!(session.welcome(Instant::now(), hello(id, said, false), grant), Step::Go);
    ask(&mut session, unlink(0));
    events(&mut session);
    session
}

#[test]
fn a_session_does_what_it_may_and_learns_nothing_from_a_refusal() {
    let hub = hub(Limits::default());
    hub.set_application_peer(peer_id(9));
    let _home = open(&hub, 9, "home");
    let mut provider = open(&hub, 2, "game-1");
    ask(&mut provider, provide("game-math", true));
    let _unnamed = open(&hub, 3, "");
    let _other = open(&hub, 4, "other");
    let by_name = |text: &str| link(Addressee::Name(name(text)));
    let service = |text: &str| link(Addressee::Service(name(text)));
    let (no, nobody) = (Some(Reason::NotAllowed), Some(Reason::NoSuchPeer));
    let watch = || Command::Directory(DirectoryCommand::Watch { request: 1, whom: Watched::Named });
    let look = || {
        Command::Directory(DirectoryCommand::Look { request: 1, query: Query::Name(name("other")) })
    };
    let create = |text: &str| Command::create(1, text);
    let enter = |text: &str| Command::enter(1, text);

    let games = || Rule::Names(vec![Pattern::new("game-*"), Pattern::new("lobby")]);
    let some = Permissions {
        create: games(),
        enter: games(),
        reach: games(),
        provide: games(),
        presence: false,
    };
    let mut guest = open_with(&hub, 1, "", Grant { permissions: some, ..Grant::default() });
    let expected = [
        (by_name("game-1"), None),
        (by_name("game-2"), nobody),
        (by_name("other"), no),
        (by_name("nobody"), no),
        (link(to(2)), None),
        (link(to(3)), no),
        (link(to(4)), no),
        (link(to(77)), no),
        (link(to(9)), None),
        (service("game-math"), None),
        (service("math"), no),
        (provide("game-x", true), None),
        (provide("x", true), no),
        (provide("x", false), None),
        (watch(), no),
        (look(), no),
        (enter("lobby"), Some(Reason::NoSuchName)),
        (enter("hall"), no),
    ];
    for (command, reason) in expected {
        assert_eq!(refused(&mut guest, command.clone()), reason, "{command:?}");
    }
    ask(&mut guest, create("lobby"));
    ask(&mut guest, create("hall"));
    let answers = events(&mut guest);
    let denied = Event::Refused { request: 1, create: true, reason: Reason::NotAllowed };
    assert!(
        matches!(&answers[..], [Event::Channel(ChannelEvent::Created { .. }), second] if *second == denied)
    );

    let grant = Grant { permissions: Permissions::NOTHING, ..Grant::default() };
    let mut nothing = open_with(&hub, 5, "", grant);
    let all = [link(to(2)), by_name("other"), provide("x", true), watch(), look(), enter("lobby")];
    for command in all {
        assert_eq!(refused(&mut nothing, command.clone()), no, "{command:?}");
    }
    assert_eq!(refused(&mut nothing, link(to(9))), None, "the hub application");
}

#[test]
fn credentials_may_decide_the_name_whatever_the_hello_says() {
    let hub = hub(Limits::default());
    let grant = Grant { name: Some("true".into()), ..Grant::default() };
    let one = open_with(&hub, 1, "false", grant);
    let name = one.endpoint().peer().and_then(|peer| peer.name.clone());
    assert_eq!(name.as_deref(), Some("true"));
    let (_session, _, step) = try_open(&hub, &LINES, hello(2, "true", false));
    assert_eq!(step, Step::Close(Reason::NameTaken));
    let (_session, _, step) = try_open(&hub, &LINES, hello(3, "", false));
    assert_eq!(step, Step::Go, "an empty name is none");
}

#[test]
fn a_name_that_credentials_grant_takes_the_place_of_a_claim_and_never_the_reverse() {
    let granted = || Grant { name: Some("keeper".into()), ..Grant::default() };
    for hub in [hub(Limits::default()), replacing()] {
        let mut claims = open(&hub, 1, "keeper");
        let owner = open_with(&hub, 2, "", granted());
        let replaced = Event::Closed { reason: Reason::Replaced };
        assert_eq!(events(&mut claims), [replaced], "who only claims it has to go");
        let (_session, _, step) = try_open(&hub, &LINES, hello(3, "keeper", false));
        assert_eq!(step, Step::Close(Reason::NameTaken), "however the hub is set");
        let found = hub.sessions();
        assert!(owner.endpoint().peer().is_some_and(|peer| peer.name.as_deref() == Some("keeper")));
        assert_eq!(found, 3);
    }
}

#[test]
fn claims_of_names_that_have_become_reserved_end_and_what_was_granted_stays() {
    let hub = hub(Limits::default());
    let mut claims = open(&hub, 1, "later");
    let mut other = open(&hub, 2, "other");
    let granted = Grant { name: Some("later-2".into()), ..Grant::default() };
    let mut granted = open_with(&hub, 3, "", granted);
    let mut program = open(&hub, 9, "later-9");
    hub.set_application_peer(peer_id(9));
    assert_eq!(hub.end_claims(|name| name.starts_with("later")), 1);
    assert_eq!(events(&mut claims), [Event::Closed { reason: Reason::NotAllowed }]);
    for stays in [&mut other, &mut granted, &mut program] {
        assert!(events(stays).is_empty());
    }
    // From that moment on, before its driver has ended it.
    let (_next, _, step) = try_open(&hub, &LINES, hello(4, "later", false));
    assert_eq!(step, Step::Go);
    assert_eq!(hub.end_claims(|_| false), 0);
}

#[test]
fn who_may_not_see_who_is_there_does_not_find_out_by_trying_names_and_ids() {
    let hub = hub(Limits::default());
    let _owner = open(&hub, 1, "ann");
    let _granted = open_with(&hub, 2, "", Grant { name: Some("true".into()), ..Grant::default() });
    let permissions = Permissions { presence: false, ..Permissions::ALL };
    let answer = |hello: Hello, name: Option<&str>| {
        let mut session = hub.open(Instant::now(), None, &LINES, Box::new(Woken::default()));
        let (name, permissions) = (name.map(String::from), permissions.clone());
        session.welcome(Instant::now(), hello, Grant { name, permissions, ..Grant::default() })
    };
    let no = Step::Close(Reason::NotAllowed);
    assert_eq!(answer(hello(3, "ann", false), None), no);
    assert_eq!(answer(hello(3, "true", false), None), no);
    assert_eq!(answer(hello(1, "", false), None), no);
    assert_eq!(answer(hello(3, "bob", false), None), Step::Go);
    // What is its own it may ask about: it has to know that it is there already.
    assert_eq!(answer(hello(3, "", false), Some("true")), Step::Close(Reason::NameTaken));
    let _proven = try_open(&hub, &LINES, hello(4, "", true));
    assert_eq!(answer(hello(4, "", true), None), Step::Close(Reason::IdTaken));
}

#[test]
fn nobody_claims_an_id_of_the_hub_itself() {
    let hub = hub(Limits::default());
    hub.set_application_peer(peer_id(9));
    hub.reserve_id(peer_id(8));
    let outside = |id, proven| {
        let address = Some([192, 0, 2, 1].into());
        let mut session = hub.open(Instant::now(), address, &LINES, Box::new(Woken::default()));
        let step = session.execute(Instant::now(), Command::Hello(hello(id, "", proven)));
        (session, step)
    };
    let taken = Step::Close(Reason::IdTaken);
    assert_eq!(outside(9, false).1, taken, "though the hub application is not there yet");
    assert_eq!(outside(8, false).1, taken);
    let (_session, _, step) = try_open(&hub, &LINES, hello(8, "", false));
    assert_eq!(step, taken);
    let _home = open(&hub, 9, "home");
    assert_eq!(outside(7, false).1, Step::Go);
}

fn replacing() -> Arc<Hub> {
    Hub::new(HubOptions { duplicates: Duplicates::Replace, ..HubOptions::default() })
}

#[test]
fn a_proven_id_beats_a_claimed_one_and_never_the_reverse() {
    let taken = Step::Close(Reason::IdTaken);
    for (replace, same) in [(false, taken), (true, Step::Go)] {
        // Who is there, who comes, and what becomes of it.
        let cases = [
            (false, true, Step::Go),
            (true, false, taken),
            (false, false, same),
            (true, true, same),
        ];
        for (old, new, expected) in cases {
            let hub = if replace { replacing() } else { hub(Limits::default()) };
            let (mut first, woken, _) = try_open(&hub, &LINES, hello(1, "ann", old));
            events(&mut first);
            let before = woken.times();
            let (second, _, step) = try_open(&hub, &LINES, hello(1, "ann", new));
            assert_eq!(step, expected, "{replace} {old} {new}");
            let reason = Reason::Replaced;
            let told = if step == Step::Go { vec![Event::Closed { reason }] } else { vec![] };
            assert_eq!(events(&mut first), told);
            // Its task is told to go, or to see whether it still lives.
            assert!(woken.times() > before);
            assert_eq!(first.endpoint().take_probe_request(), step != Step::Go);
            assert!(!first.endpoint().take_probe_request(), "once");
            assert_eq!(second.endpoint().peer().is_some(), step == Step::Go);
        }
    }
}

#[test]
fn who_is_replaced_is_told_and_its_links_and_offers_end() {
    let hub = replacing();
    let (mut old, mut friend) = (open(&hub, 1, "ann"), open(&hub, 2, ""));
    ask(&mut old, provide("s", true));
    ask(&mut friend, DirectoryCommand::Watch { request: 1, whom: Watched::Named });
    events(&mut old);
    events(&mut friend);
    join(&mut friend, &mut old, 1);
    // The name alone is taken over, by somebody else.
    let mut new = open(&hub, 3, "ann");
    let heard = events(&mut friend);
    let ids: Vec<_> = heard
        .iter()
        .map(|event| match event {
            Event::Directory(DirectoryEvent::PeerWent { peer }) => (false, peer.id),
            Event::Directory(DirectoryEvent::PeerCame { peer }) => (true, peer.id),
            other => panic!("something else: {other:?}"),
        })
        .collect();
    assert_eq!(ids, [(false, peer_id(1)), (true, peer_id(3))]);
    // It is not found any more, not even before its task has noticed.
    let nobody = Some(Reason::NoSuchPeer);
    assert_eq!(refused(&mut friend, link(Addressee::Service(name("s")))), nobody);
    assert_eq!(refused(&mut friend, link(to(1))), nobody);
    assert_eq!(events(&mut old), [Event::Closed { reason: Reason::Replaced }]);
    old.close(Reason::Replaced);
    let (ended, reason) = (LinkNumber(0), Reason::ConnectionLost);
    assert_eq!(events(&mut friend), [Event::Link(LinkEvent::Closed { link: ended, reason })]);
    // The end of the old one is not the end of the new one.
    drop(old);
    assert_eq!(refused(&mut friend, link(Addressee::Name(name("ann")))), None);
    assert!(matches!(events(&mut new)[..], [Event::Link(LinkEvent::Opened { .. })]));
}

fn newest() -> Arc<Hub> {
    Hub::new(HubOptions { duplicates: Duplicates::Newest, ..HubOptions::default() })
}

#[test]
fn where_names_are_shared_the_newest_is_found_and_after_it_the_one_before() {
    let hub = newest();
    let mut friend = open(&hub, 9, "");
    let mut sessions: Vec<_> = [1, 2, 3].map(|id| open_shared(&hub, id)).into();
    let shared = Event::Directory(DirectoryEvent::NameShared);
    // The newest and the one before it, each time.
    assert_eq!(events(&mut sessions[0]), std::slice::from_ref(&shared));
    assert_eq!(events(&mut sessions[1]), [shared.clone(), shared.clone()]);
    assert_eq!(events(&mut sessions[2]), [shared]);
    let mut reach = |hub: &Arc<Hub>| {
        let all = Query::Names { prefix: String::new(), after: None };
        ask(&mut friend, DirectoryCommand::Look { request: 1, query: all });
        ask(&mut friend, link(Addressee::Name(name("ann"))));
        let listed: Vec<_> = events(&mut friend)
            .into_iter()
            .flat_map(|event| match event {
                Event::Directory(DirectoryEvent::Found { peers, .. }) => peers,
                Event::Link(LinkEvent::Opened { peer, .. }) => vec![peer],
                _ => vec![],
            })
            .map(|peer| peer.id)
            .collect();
        assert!(hub.sessions() > 0);
        listed
    };
    assert_eq!(reach(&hub), [peer_id(3); 2], "listed once, and found");
    // One that is not the newest goes unnoticed.
    drop(sessions.remove(1));
    assert_eq!(reach(&hub), [peer_id(3); 2]);
    drop(sessions.pop());
    assert_eq!(reach(&hub), [peer_id(1); 2]);
    drop(sessions);
    assert_eq!(reach(&hub), []);
    // An id is not shared.
    let _one = open(&hub, 4, "");
    assert_eq!(try_open(&hub, &LINES, hello(4, "", false)).2, Step::Close(Reason::IdTaken));
}

/// A session of the name that others have too, which has read its welcome and nothing else.
fn open_shared(hub: &Arc<Hub>, id: u8) -> Session {
    let (session, _, step) = try_open(hub, &LINES, hello(id, "ann", false));
    assert_eq!(step, Step::Go);
    let welcome = session.endpoint().next(true, &mut Vec::new());
    assert!(
        matches!(welcome, WriteStep::Event(_, event) if matches!(*event, Event::Welcome { .. }))
    );
    session.endpoint().converted(&Default::default());
    session
}

#[test]
fn a_name_that_credentials_grant_is_shared_with_no_claim_of_it() {
    let hub = newest();
    let mut claims = [1, 2, 3].map(|id| open_shared(&hub, id));
    let grant = || Grant { name: Some("ann".into()), ..Grant::default() };
    // The second one comes again with credentials, and has proven its id.
    let mut owner = hub.open(Instant::now(), None, &LINES, Box::new(Woken::default()));
    assert_eq!(owner.welcome(Instant::now(), hello(2, "", true), grant()), Step::Go);
    for claim in &mut claims {
        assert_eq!(events(claim)[0], Event::Closed { reason: Reason::Replaced });
    }
    assert_eq!(events(&mut owner), [Event::Welcome { peer: peer_id(2) }]);
    assert_eq!(try_open(&hub, &LINES, hello(4, "ann", false)).2, Step::Close(Reason::NameTaken));
    assert!(owner.endpoint().take_probe_request());
    let _other = open_with(&hub, 5, "", grant());
    assert_eq!(events(&mut owner), [Event::Directory(DirectoryEvent::NameShared)]);
    drop(claims);
}

#[test]
fn all_who_claim_a_name_that_becomes_reserved_end_and_nobody_shares_that_of_the_hub_s_program() {
    let hub = newest();
    let mut claims = [1, 2, 3].map(|id| open_shared(&hub, id));
    assert_eq!(hub.end_claims(|name| name == "ann"), 3);
    for claim in &mut claims {
        assert_eq!(events(claim)[0], Event::Closed { reason: Reason::NotAllowed });
    }
    assert_eq!(try_open(&hub, &LINES, hello(4, "ann", false)).2, Step::Go);
    hub.set_application_peer(peer_id(9));
    let _home = open(&hub, 9, "home");
    assert_eq!(try_open(&hub, &LINES, hello(5, "home", false)).2, Step::Close(Reason::NameTaken));
}

#[test]
fn who_is_replaced_cannot_put_it_off_by_not_reading() {
    let hub = replacing();
    let (mut old, woken) = open_woken(&hub, 1, "ann");
    let mut friend = open(&hub, 2, "");
    join(&mut friend, &mut old, 1);
    assert_eq!(send(&mut friend, 0, "unread"), Step::Go);
    // Another thread is just writing, and the connection takes no more.
    let mut pieces = Vec::new();
    assert_eq!(old.endpoint().next(false, &mut pieces), WriteStep::Write);
    let _new = open(&hub, 1, "ann");
    assert_eq!(old.endpoint().next(true, &mut Vec::new()), WriteStep::Nothing);
    let before = woken.times();
    old.endpoint().wrote(Instant::now(), &mut pieces, 0, true);
    assert_eq!(woken.times(), before + 1, "its task is woken when it can go on");
    let closed = Event::Closed { reason: Reason::Replaced };
    let step = old.endpoint().next(true, &mut Vec::new());
    assert!(matches!(step, WriteStep::Event(_, event) if *event == closed));
}

#[test]
fn nobody_takes_the_place_of_the_hub_s_own_program() {
    let hub = replacing();
    hub.set_application_peer(peer_id(9));
    let mut home = open(&hub, 9, "home");
    for proven in [false, true] {
        let (_session, _, step) = try_open(&hub, &LINES, hello(9, "", proven));
        assert_eq!(step, Step::Close(Reason::IdTaken));
        let (_session, _, step) = try_open(&hub, &LINES, hello(1, "home", proven));
        assert_eq!(step, Step::Close(Reason::NameTaken));
    }
    assert_eq!(events(&mut home), []);
    assert!(!home.endpoint().take_probe_request(), "it is not probed either");
}

#[test]
fn sessions_whose_protocol_has_no_links_are_found_by_the_hub_s_own_program_alone() {
    let hub = hub(Limits::default());
    let mut one = open(&hub, 2, "");
    let watch = DirectoryCommand::Watch { request: 1, whom: Watched::Everybody };
    ask(&mut one, watch);
    events(&mut one);
    let (mut pieces, _, step) = try_open(&hub, &PIECES, hello(1, "ann", false));
    assert_eq!(step, Step::Go);
    assert!(matches!(events(&mut pieces)[..], [Event::Welcome { .. }]));
    let (mut nameless, _, step) = try_open(&hub, &PIECES, hello(3, "", false));
    assert_eq!(step, Step::Go);
    events(&mut nameless);

    let nobody = Some(Reason::NoSuchPeer);
    assert_eq!(refused(&mut one, link(to(1))), nobody);
    assert_eq!(refused(&mut one, link(Addressee::Name(name("ann")))), nobody);
    let everybody = Query::Everybody { after: None };
    for query in [Query::Peer(peer_id(1)), Query::Name(name("ann")), everybody] {
        let own = matches!(query, Query::Everybody { .. });
        ask(&mut one, DirectoryCommand::Look { request: 1, query });
        let [Event::Directory(DirectoryEvent::Found { peers, .. })] = &events(&mut one)[..] else {
            panic!("no answer")
        };
        assert!(peers.iter().all(|peer| own && peer.id == peer_id(2)), "{peers:?}");
    }
    let taken = try_open(&hub, &LINES, hello(1, "", false)).2;
    assert_eq!(taken, Step::Close(Reason::IdTaken), "an id is of one session");
    let taken = try_open(&hub, &LINES, hello(4, "ann", false)).2;
    assert_eq!(taken, Step::Close(Reason::NameTaken), "and so is a name");

    let seen: Vec<_> = hub.session_list().into_iter().map(|one| one.peer.id).collect();
    assert_eq!(seen, [2, 1, 3].map(peer_id));
    assert!(
        hub.disconnect(peer_id(1), Reason::Kicked) && hub.disconnect(peer_id(3), Reason::Kicked)
    );
    for session in [&mut pieces, &mut nameless] {
        assert_eq!(events(session), [Event::Closed { reason: Reason::Kicked }]);
        session.close(Reason::Kicked);
    }
    assert!(!hub.disconnect(peer_id(1), Reason::Kicked), "it has gone");
    assert_eq!(events(&mut one), [], "nobody hears of those that cannot be found");
    open(&hub, 1, "ann");
}

#[test]
fn what_waits_for_a_session_that_ends_is_whole_the_link_before_its_data() {
    let hub = hub(Limits::default());
    let (mut one, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    ask(&mut one, link(to(2)));
    assert_eq!(send(&mut one, 0, "hello"), Step::Go);
    other.close(Reason::Bye);
    let heard = take(&mut other);
    let text = Bytes::from_static(b"link 0: hello\n");
    assert!(
        matches!(&heard[..], [Arrived::Event(Event::Link(LinkEvent::Opened { .. })), Arrived::Data(data)] if *data == text),
        "{heard:?}"
    );
    let (ended, reason) = (LinkNumber(0), Reason::Left);
    assert_eq!(events(&mut one)[1..], [Event::Link(LinkEvent::Closed { link: ended, reason })]);
    assert_eq!(refused(&mut one, link(to(2))), Some(Reason::NoSuchPeer));
    assert_eq!(hub.metrics.links.get(), 0);
}

#[test]
fn a_number_that_is_guessed_before_it_is_given_opens_nothing() {
    let hub = hub(Limits::default());
    let (mut one, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    for number in [0, 1, u32::MAX] {
        assert_eq!(send(&mut other, number, "x"), Step::Go);
        ask(&mut other, unlink(number));
    }
    assert_eq!(hub.metrics.dropped.get(), 3);
    assert_eq!(join(&mut one, &mut other, 2), (0, 0));
    // Ended before it was told: nothing more of it is heard.
    ask(&mut one, link(to(2)));
    ask(&mut other, unlink(1));
    assert_eq!(events(&mut other), []);
    let heard = events(&mut one);
    assert!(matches!(
        heard[..],
        [Event::Link(LinkEvent::Opened { .. }), Event::Link(LinkEvent::Closed { .. })]
    ));
}

#[test]
fn a_message_in_parts_ends_with_its_link_and_no_other_link_gets_the_rest() {
    let hub = hub(Limits::default());
    let (mut one, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    join(&mut one, &mut other, 2);
    join(&mut one, &mut other, 2);
    let part = |link, offset, text: &'static str| {
        let data = Bytes::from_static(text.as_bytes());
        let (to, total) = (Target::Link(LinkNumber(link)), 4);
        Command::Send { to, part: Part { kind: 0x10, total, offset, data } }
    };
    // Parts of two links may come in turns.
    for command in [part(0, 0, "ab"), part(1, 0, "ef"), part(0, 2, "cd")] {
        ask(&mut one, command);
    }
    assert_eq!(data(&mut other), "link 0: ab\nlink 1: ef\nlink 0: cd\n");
    // The other side ends it: what still comes is dropped, also when the end was read.
    ask(&mut other, unlink(1));
    ask(&mut one, part(1, 2, "g"));
    assert!(matches!(events(&mut one)[..], [Event::Link(LinkEvent::Closed { .. })]));
    ask(&mut one, part(1, 0, "ij"));
    ask(&mut one, part(1, 3, "h"));
    assert_eq!(data(&mut other), "");
    // It gives a message up by ending the link itself.
    join(&mut one, &mut other, 2);
    ask(&mut one, part(2, 0, "ab"));
    ask(&mut one, unlink(2));
    ask(&mut one, part(2, 0, "cd"));
    assert_eq!(data(&mut other), "link 2: ab\n");
    // In one link, one message at a time.
    ask(&mut one, part(0, 0, "ab"));
    assert_eq!(execute(&mut one, part(0, 3, "d")), Step::Close(Reason::Malformed));
}

/// Sends numbered lines until it has to wait; gives how many were accepted, the held one included.
fn fill(session: &mut Session, link: u32) -> usize {
    for sent in 0..100 {
        match send(session, link, &line(sent)) {
            Step::Go => {}
            Step::Wait => return sent + 1,
            Step::Close(reason) => panic!("{reason}"),
        }
    }
    panic!("nobody has room for this")
}

#[test]
fn who_sends_over_a_link_waits_for_who_does_not_read_and_loses_nothing() {
    let hub = narrow();
    let ((mut one, woken), mut other) = (open_woken(&hub, 1, ""), open(&hub, 2, ""));
    join(&mut one, &mut other, 2);
    let sent = fill(&mut one, 0);
    assert!((10_000..13_000).contains(&other.endpoint().cost()));
    assert_eq!(one.flush(Instant::now()), Step::Wait);
    let before = woken.times();
    let first = data(&mut other);
    assert_eq!(woken.times(), before + 1, "now there is room");
    assert_eq!(one.flush(Instant::now()), Step::Go);
    let all = first + &data(&mut other);
    let wanted: String = (0..sent).map(|number| format!("link 0: {}\n", line(number))).collect();
    assert!(all == wanted);
    // It waits for itself in the same way.
    join(&mut other, &mut one, 1);
    ask(&mut one, link(to(1)));
    let own = events(&mut one);
    assert!(matches!(
        own[..],
        [Event::Link(LinkEvent::Opened { .. }), Event::Link(LinkEvent::Opened { .. })]
    ));
    fill(&mut one, 2);
    let before = woken.times();
    data(&mut one);
    assert!(woken.times() > before);
    assert_eq!(one.flush(Instant::now()), Step::Go);
}

#[test]
fn who_waits_at_a_link_goes_on_when_the_other_side_ends() {
    let hub = narrow();
    let ((mut one, woken), mut other) = (open_woken(&hub, 1, ""), open(&hub, 2, ""));
    join(&mut one, &mut other, 2);
    fill(&mut one, 0);
    let before = woken.times();
    drop(other);
    assert!(woken.times() > before);
    assert_eq!(one.flush(Instant::now()), Step::Go);
    assert!(matches!(events(&mut one)[..], [Event::Link(LinkEvent::Closed { .. })]));
}

#[test]
fn who_links_and_unlinks_without_end_waits_and_does_not_end_who_does_not_read() {
    let hub = narrow();
    let (mut restless, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    let mut links = 0;
    while execute(&mut restless, link(to(2))) == Step::Go {
        ask(&mut restless, unlink(links));
        take(&mut restless);
        links += 1;
        assert!(links < 200, "until the other one reads");
    }
    assert_eq!(hits(&hub, "outbox_bytes_max"), 1);
    // As each link had ended before it was told, there is nothing to tell.
    assert_eq!(events(&mut other).len(), 2 * links as usize);
    assert_eq!(restless.flush(Instant::now()), Step::Go);
    assert!(matches!(events(&mut other)[..], [Event::Link(LinkEvent::Opened { .. })]));
}

#[test]
fn a_provider_that_does_not_read_is_passed_over_as_long_as_another_does() {
    let hub = narrow();
    let (mut one, mut slow, mut quick) = (open(&hub, 1, ""), open(&hub, 2, ""), open(&hub, 3, ""));
    for provider in [&mut slow, &mut quick] {
        ask(provider, provide("s", true));
        events(provider);
    }
    let (_, at_slow) = join(&mut one, &mut slow, 2);
    assert_eq!(at_slow, 0);
    let mut filler = open(&hub, 4, "");
    join(&mut filler, &mut slow, 2);
    fill(&mut filler, 0);
    let service = || link(Addressee::Service(name("s")));
    for _ in 0..3 {
        assert_eq!(execute(&mut one, service()), Step::Go);
        assert!(matches!(events(&mut quick)[..], [Event::Link(LinkEvent::Opened { .. })]));
    }
    drop(quick);
    assert_eq!(execute(&mut one, service()), Step::Go, "there is nobody else");
    assert_eq!(execute(&mut one, service()), Step::Wait, "the second time");
    data(&mut slow);
    assert_eq!(one.flush(Instant::now()), Step::Go);
}

#[test]
fn a_session_whose_task_encodes_gets_the_parts_and_their_memory_is_counted() {
    let hub = narrow();
    let mut one = open(&hub, 1, "");
    let (mut other, _, _) = try_open(&hub, &EVENTS, hello(2, "", false));
    events(&mut other);
    join(&mut one, &mut other, 2);
    let empty = other.endpoint().cost();
    // A small message out of a large read: it alone is kept.
    let read = Arc::new(());
    let large = Bytes::from_owner(Owner(vec![b'x'; 100_000], read.clone()));
    let part = |data| Part { kind: 0x10, ..Part::whole(data) };
    let to = Target::Link(LinkNumber(0));
    ask(&mut one, Command::Send { to, part: part(large.slice(..1000)) });
    drop(large);
    let place = Place::Link(LinkNumber(0));
    let expected = [Event::Data { place, part: part(vec![b'x'; 1000].into()) }];
    assert_eq!(Arc::strong_count(&read), 1, "the read is free again");
    assert!((1000..1500).contains(&(other.endpoint().cost() - empty)));
    assert_eq!(events(&mut other), expected);
    assert_eq!(other.endpoint().cost(), empty);
    // Data for it alone waits at half, data for many ends it.
    fill(&mut one, 0);
    assert!((10_000..12_000).contains(&other.endpoint().cost()));
    events(&mut other);
    assert_eq!(one.flush(Instant::now()), Step::Go);
    ask(&mut one, Command::create(1, "a"));
    ask(&mut other, Command::enter(1, "a"));
    let before = events(&mut other);
    assert!(
        matches!(before[..], [Event::Data { .. }, Event::Channel(ChannelEvent::Entered(_))]),
        "{before:?}"
    );
    for number in 0..30 {
        let part = Part::whole(line(number));
        let to = Target::Everyone(OwnedChannelId(0), None);
        ask(&mut one, Command::Send { to, part });
    }
    let step = other.endpoint().next(true, &mut Vec::new());
    assert_eq!(step, WriteStep::Dead(Reason::SlowReceiver));
}

/// Bytes that say whether somebody still has them.
struct Owner(Vec<u8>, #[expect(dead_code, reason = "it is counted")] Arc<()>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn single(to: Addressee) -> Command {
    let options = LinkOptions { single: true, ..LinkOptions::default() };
    Command::Link(LinkCommand::Open { request: 1, to, options })
}

#[test]
fn of_links_that_are_single_two_sessions_have_one_whoever_opens_it() {
    let hub = hub(Limits::default());
    let (mut one, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    // Others do not count.
    join(&mut one, &mut other, 2);
    assert_eq!(refused(&mut one, single(to(2))), None);
    events(&mut other);
    assert_eq!(refused(&mut one, single(to(2))), Some(Reason::AlreadyEntered));
    assert_eq!(refused(&mut other, single(to(1))), Some(Reason::AlreadyEntered));
    join(&mut other, &mut one, 1);
    assert_eq!(hub.metrics.links.get(), 6);
    ask(&mut other, unlink(1));
    // The end of one that was opened before does not make room for a third.
    assert_eq!(refused(&mut other, single(to(1))), None);
    events(&mut one);
    assert_eq!(refused(&mut one, single(to(2))), Some(Reason::AlreadyEntered));
    drop(other);
    events(&mut one);
    let mut other = open(&hub, 2, "");
    assert_eq!(refused(&mut one, single(to(2))), None);
    assert!(matches!(events(&mut other)[..], [Event::Link(LinkEvent::Opened { .. })]));
}

#[test]
fn of_two_who_open_a_single_link_at_the_same_time_one_is_told_of_it_before_it_is_refused() {
    let hub = hub(Limits::default());
    let mut sessions = [1, 2].map(|id| open(&hub, id, ""));
    for round in 0..500 {
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for (session, id) in sessions.iter_mut().zip([2, 1]) {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    ask(session, single(to(id)));
                });
            }
        });
        let heard = sessions.each_mut().map(events);
        let mut links = Vec::new();
        for events in heard {
            match events[..] {
                [Event::Link(LinkEvent::Opened { link, .. })] => links.push((link, 0)),
                [Event::Link(LinkEvent::Opened { link, .. }), Event::Refused { reason, .. }] => {
                    assert_eq!(reason, Reason::AlreadyEntered);
                    links.push((link, 1));
                }
                ref other => panic!("{round}: {other:?}"),
            }
        }
        assert_eq!(links.iter().map(|(_, refused)| refused).sum::<u32>(), 1, "{round}");
        let [one, other] = &mut sessions;
        ask(one, unlink(links[0].0.0));
        assert!(matches!(events(other)[..], [Event::Link(LinkEvent::Closed { .. })]));
    }
    assert_eq!(hub.metrics.links.get(), 0);
}
