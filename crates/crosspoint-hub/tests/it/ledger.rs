//! What is held in memory, for whom, and what happens when it is too much.

use crate::common::{Woken, hello, hits, hub, provide};
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, ChannelOptions, Command, DirectoryCommand,
    DirectoryEvent, EnterOptions, Event, LinkCommand, LinkEvent, LinkOptions, Query, Target,
    Watched,
};
use crosspoint_hub::ledger::Purpose;
use crosspoint_hub::metrics::ByPurpose;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Events, LINES, events, open_as, take};
use crosspoint_hub::wire::{Profile, Wire};
use crosspoint_hub::{
    ChannelName, Grant, Hub, JoinedChannelId, Limits, LinkNumber, OwnedChannelId, Part, PeerId,
    PeerName, Reason, Session,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Its messages have no parts.
static WHOLE: Events = Events(Profile { name: "whole", id: 92, whole: true, ..Events::PROFILE });

fn session(hub: &Arc<Hub>, id: u8, wire: &'static dyn Wire, address: &str) -> Session {
    let address = Some(address).filter(|it| !it.is_empty()).map(|it| it.parse::<IpAddr>().unwrap());
    open_as(hub, Instant::now(), wire, address, hello(id, "", false))
}

fn give(session: &mut Session, command: impl Into<Command>) {
    let command = command.into();
    assert_eq!(session.execute(Instant::now(), command), Step::Go);
    assert_eq!(session.flush(Instant::now()), Step::Go);
}

fn name(name: &str) -> ChannelName {
    ChannelName::new(name.as_bytes().to_vec()).unwrap()
}

fn own(session: &mut Session, channel: &str) -> OwnedChannelId {
    let (name, options) = (name(channel), ChannelOptions::default());
    give(session, ChannelCommand::Create { request: 1, name, options });
    match events(session)[..] {
        [Event::Channel(ChannelEvent::Created { channel, .. })] => channel,
        ref other => panic!("{other:?}"),
    }
}

/// A channel whose owner decides about each entry.
fn own_asking(session: &mut Session, channel: &str) -> OwnedChannelId {
    let options = ChannelOptions { approve: true, ..ChannelOptions::default() };
    give(session, ChannelCommand::Create { request: 1, name: name(channel), options });
    match events(session)[..] {
        [Event::Channel(ChannelEvent::Created { channel, .. })] => channel,
        ref other => panic!("{other:?}"),
    }
}

fn enter(session: &mut Session, channel: &str) {
    let (name, options) = (name(channel), EnterOptions::default());
    give(session, ChannelCommand::Enter { request: 1, name, options });
    assert!(matches!(events(session)[..], [Event::Channel(ChannelEvent::Entered(_))]));
}

fn link(session: &mut Session, to: u8) -> LinkNumber {
    let (to, options) = (Addressee::Peer(PeerId::new([to; 16])), LinkOptions::default());
    give(session, LinkCommand::Open { request: 1, to, options });
    match events(session)[..] {
        [Event::Link(LinkEvent::Opened { link, .. })] => link,
        ref other => panic!("{other:?}"),
    }
}

fn part(total: u32, offset: u32, bytes: usize) -> Part {
    Part { kind: Part::DATA, total, offset, data: vec![7; bytes].into() }
}

fn say(session: &mut Session, link: LinkNumber, part: Part) {
    give(session, Command::Send { to: Target::Link(link), part });
}

fn broadcast(session: &mut Session, own: OwnedChannelId, bytes: usize) {
    let (to, part) = (Target::Everyone(own, None), Part::whole(vec![7; bytes]));
    give(session, Command::Send { to, part });
}

fn charged(hub: &Hub, purpose: Purpose, protocol: &'static str) -> i64 {
    hub.metrics.memory.get_or_create(&ByPurpose { purpose: purpose.word(), protocol }).get()
}

fn lengths(session: &mut Session) -> Vec<usize> {
    let length = |event: &Event| match event {
        Event::Data { part, .. } => Some(part.data.len()),
        _ => None,
    };
    events(session).iter().filter_map(length).collect()
}

#[test]
fn what_a_stranger_leaves_unfinished_takes_nothing_from_others_and_is_its_own_affair() {
    let hub = hub(Limits { unfinished_bytes_max: 105_000, ..Limits::default() });
    let mut receiver = session(&hub, 1, &WHOLE, "");
    let (mut stranger, mut friend) = (session(&hub, 2, &LINES, ""), session(&hub, 3, &LINES, ""));
    let mut owner = session(&hub, 4, &LINES, "");
    let channel = own(&mut owner, "channel");
    enter(&mut receiver, "channel");
    let links = [link(&mut stranger, 1), link(&mut stranger, 1)];
    let friends = link(&mut friend, 1);
    events(&mut receiver);
    let held = receiver.endpoint().account().used();

    for link in links {
        say(&mut stranger, link, part(60_000, 0, 40_000));
    }
    assert!((80_000..82_000).contains(&charged(&hub, Purpose::Unfinished, "lines")));
    assert_eq!(receiver.endpoint().account().used(), held, "its receiver holds no more");
    // Others are whole for the receiver, in parts or not.
    say(&mut friend, friends, part(60_000, 0, 40_000));
    broadcast(&mut owner, channel, 30_000);
    say(&mut friend, friends, part(60_000, 40_000, 20_000));
    assert_eq!(lengths(&mut receiver), [30_000, 60_000]);
    // Who leaves too much unfinished loses the link that it did so over, and both ends know.
    let dropped = hub.metrics.dropped.get();
    let third = link(&mut stranger, 1);
    events(&mut receiver);
    say(&mut stranger, third, part(60_000, 0, 40_000));
    let ended = |session: &mut Session| {
        let events = events(session);
        assert!(
            matches!(events[..], [Event::Link(LinkEvent::Closed { reason: Reason::TooLarge, .. })]),
            "{events:?}"
        );
    };
    ended(&mut stranger);
    ended(&mut receiver);
    assert_eq!(hub.metrics.dropped.get() - dropped, 1);
    assert_eq!(hits(&hub, "unfinished_bytes_max"), 1);
    say(&mut stranger, links[0], part(60_000, 40_000, 20_000));
    assert_eq!(lengths(&mut receiver), [60_000]);
    drop(stranger);
    assert_eq!(charged(&hub, Purpose::Unfinished, "lines"), 0);
}

/// Whatever a session can have more than one of is paid by the session that makes it, until it ends.
#[test]
fn links_services_and_places_are_charged_to_who_makes_them_and_given_back_with_them() {
    let hub = hub(Limits::default());
    let mut maker = session(&hub, 1, &LINES, "");
    let mut other = session(&hub, 2, &LINES, "");
    let mut owner = session(&hub, 3, &LINES, "");
    let channel = own_asking(&mut owner, "channel");
    let used = |session: &Session| session.endpoint().account().used();
    let (before, others) = (used(&maker), used(&other) + used(&owner));

    let made = link(&mut maker, 2);
    let linked = used(&maker);
    assert!((before + 256..before + 1024).contains(&linked), "{linked}");
    give(&mut maker, provide(&"s".repeat(255), true));
    let provides = used(&maker);
    assert!((linked + 255 + 128..linked + 1024).contains(&provides), "{provides}");
    // The same once more is nothing more.
    give(&mut maker, provide(&"s".repeat(255), true));
    assert_eq!(used(&maker), provides);
    let options = EnterOptions { credentials: vec![7; 4096].into(), ..EnterOptions::default() };
    give(&mut maker, ChannelCommand::Enter { request: 1, name: name("channel"), options });
    let asks = used(&maker);
    assert!((provides + 4096 + 256..provides + 4096 + 1024).contains(&asks), "{asks}");
    let knock = events(&mut owner);
    let [Event::Channel(ChannelEvent::Knock { ticket, .. })] = knock[..] else {
        panic!("{knock:?}")
    };
    give(&mut owner, ChannelCommand::Admit { channel, ticket, admit: true });
    events(&mut maker);
    assert_eq!(used(&maker), asks - 4096, "what the owner was shown is gone");
    assert_eq!(used(&other) + used(&owner), others, "who is linked to and entered pays nothing");

    give(&mut maker, LinkCommand::Close { link: made, reason: Reason::Left });
    assert_eq!(used(&maker), asks - 4096, "the other end knows it still");
    events(&mut other);
    assert_eq!(used(&maker), asks - 4096 - (linked - before));
    give(&mut maker, provide(&"s".repeat(255), false));
    let watch = |whom| Command::Directory(DirectoryCommand::Watch { request: 1, whom });
    let watches = used(&maker);
    give(&mut maker, watch(Watched::Named));
    assert!((watches + 64..watches + 256).contains(&used(&maker)));
    let named = used(&maker);
    give(&mut maker, watch(Watched::Everybody));
    assert_eq!(used(&maker), named, "one watch is in place of the other");
    give(&mut maker, watch(Watched::Nobody));
    assert_eq!(used(&maker), watches);
    give(&mut maker, ChannelCommand::Leave(JoinedChannelId(0)));
    assert_eq!(used(&maker), before);
    events(&mut maker);
    link(&mut maker, 2);
    give(&mut maker, provide("service", true));
    give(&mut maker, watch(Watched::Everybody));
    drop(maker);
    drop((other, owner));
    assert_eq!(hub.ledger.used(), 0);
}

#[test]
fn at_a_budget_links_services_and_places_are_refused_and_nothing_has_changed() {
    const BUDGET: usize = 50_000;
    let hub = hub(Limits { memory_bytes_max: BUDGET, ..Limits::default() });
    let mut maker = session(&hub, 1, &LINES, "");
    let mut owner = session(&hub, 2, &LINES, "");
    own(&mut owner, "channel");
    let (mut links, mut refused) = (0, None);
    while refused.is_none() {
        let (to, options) = (Addressee::Peer(PeerId::new([2; 16])), LinkOptions::default());
        give(&mut maker, LinkCommand::Open { request: 1, to, options });
        match events(&mut maker)[..] {
            [Event::Link(LinkEvent::Opened { .. })] => links += 1,
            [Event::Refused { reason, .. }] => refused = Some(reason),
            ref other => panic!("{other:?}"),
        }
        // Who is linked to reads, or it would hold more each time.
        assert_eq!(events(&mut owner).len(), usize::from(refused.is_none()));
    }
    assert_eq!(refused, Some(Reason::Exhausted));
    let used = hub.ledger.used();
    assert!(used <= BUDGET, "{used}");
    // What is left is less than a link costs.
    let options = EnterOptions { credentials: vec![7; 200].into(), ..EnterOptions::default() };
    give(&mut maker, ChannelCommand::Enter { request: 1, name: name("channel"), options });
    give(&mut maker, provide(&"s".repeat(255), true));
    let heard = events(&mut maker);
    let [Event::Refused { reason: one, .. }, Event::Refused { reason: other, .. }] = heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!([one, other], [Reason::Exhausted; 2]);
    assert_eq!((hub.ledger.used(), hits(&hub, "memory_bytes_max")), (used, 3));
    assert!(links > 10 && events(&mut owner).is_empty(), "nobody hears of what was refused");
    let services = Query::Service(PeerName::new("s".repeat(255)).unwrap());
    give(&mut maker, DirectoryCommand::Look { request: 1, query: services });
    assert!(
        matches!(&events(&mut maker)[..], [Event::Directory(DirectoryEvent::Found { peers, .. })] if peers.is_empty())
    );
}

/// Who waits at many doors may not leave rooms behind that it has made and not entered.
#[test]
fn a_room_that_was_made_for_an_entry_that_is_refused_does_not_stay() {
    let hub = hub(Limits { commands_pending_max: 1, ..Limits::default() });
    let mut owner = session(&hub, 1, &LINES, "");
    own_asking(&mut owner, "channel");
    let mut guest = session(&hub, 2, &LINES, "");
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    for channel in ["channel", "room"] {
        let (name, options) = (name(channel), options.clone());
        give(&mut guest, ChannelCommand::Enter { request: 1, name, options });
    }
    let heard = events(&mut guest);
    assert!(matches!(heard[..], [Event::Refused { reason: Reason::TooManyPending, .. }]));
    assert_eq!(hub.channels(), 1);
}

#[test]
fn large_bytes_for_many_are_charged_once_and_given_back_by_the_last() {
    let hub = hub(Limits::default());
    let mut owner = session(&hub, 1, &LINES, "");
    let channel = own(&mut owner, "channel");
    let wires: [&'static dyn Wire; 3] = [&LINES, &WHOLE, &WHOLE];
    let mut members: Vec<_> =
        (2..).zip(wires).map(|(id, wire)| session(&hub, id, wire, "")).collect();
    members.iter_mut().for_each(|member| enter(member, "channel"));
    events(&mut owner);
    let shared = || charged(&hub, Purpose::Shared, "hub");
    broadcast(&mut owner, channel, 30_000);
    // Once as text, and once as it is.
    assert!((60_000..61_000).contains(&shared()), "{}", shared());
    for member in &members {
        assert!(member.endpoint().cost() < 1000);
    }
    take(&mut members[1]);
    assert!(shared() > 60_000, "the other one has it still");
    take(&mut members[0]);
    // With the list that it is in.
    assert!((30_000..30_400).contains(&shared()), "{}", shared());
    members.pop();
    assert_eq!(shared(), 0);
}

const NOW_AND_THEN: Duration = Duration::from_secs(2);

#[test]
fn at_a_budget_the_largest_that_takes_nothing_ends_first() {
    const BUDGET: usize = 1_000_000;
    let hub = hub(Limits { memory_bytes_max: BUDGET, ..Limits::default() });
    let mut sender = session(&hub, 1, &LINES, "");
    let mut receivers: Vec<_> = (2..6).map(|id| session(&hub, id, &LINES, "")).collect();
    let links: Vec<_> = (2..6).map(|id| link(&mut sender, id)).collect();
    // The last one takes something, now.
    receivers.iter_mut().for_each(|receiver| _ = take(receiver));
    let later = Instant::now() + NOW_AND_THEN;
    let mut pieces = Vec::new();
    let reader = receivers[3].endpoint().clone();
    for (link, bytes) in links.iter().zip([100_000, 200_000, 50_000, 500_000]) {
        say(&mut sender, *link, Part::whole(vec![7; bytes]));
    }
    assert_eq!(reader.next(true, &mut pieces), crosspoint_hub::outbox::WriteStep::Write);
    reader.wrote(later, &mut pieces, 10, true);
    assert!(receivers.iter().all(|one| one.endpoint().cost() > 0), "there was room");
    let part = Part::whole(vec![7; 200_000]);
    assert_eq!(sender.execute(later, Command::Send { to: Target::Link(links[0]), part }), Step::Go);
    assert_eq!(sender.flush(later), Step::Go);
    let left: Vec<_> = receivers.iter().map(|one| one.endpoint().cost() > 0).collect();
    assert_eq!(left, [false, true, true, true], "300,000 were most");
    assert!(hub.ledger.used() < BUDGET - BUDGET / 16);
}

#[test]
fn who_watches_budgets_is_told_once_that_one_is_exceeded_until_somebody_has_looked() {
    let hub = hub(Limits { memory_bytes_max: 1_000_000, ..Limits::default() });
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    assert!(hub.watch_budgets(Box::new(move || _ = count.fetch_add(1, Ordering::Relaxed))));
    assert!(!hub.watch_budgets(Box::new(|| {})), "there is one");
    let session = session(&hub, 1, &LINES, "");
    let account = session.endpoint().account();
    let told = || told.load(Ordering::Relaxed);
    let most = account.charge(Purpose::Input, 900_000);
    assert_eq!(told(), 0);
    let more = [account.charge(Purpose::Input, 200_000), account.charge(Purpose::Input, 1)];
    assert_eq!(told(), 1);
    let now = Instant::now();
    hub.keep_to_budgets(now);
    let again = account.charge(Purpose::Input, 1);
    assert_eq!(told(), 2, "it is so still");
    // A moment after the last look nothing is done, and it is not forgotten.
    hub.keep_to_budgets(now);
    assert_eq!(told(), 3);
    drop((most, more, again));
}

#[test]
fn at_the_budget_of_an_address_only_its_own_sessions_end() {
    let limits = Limits { memory_per_address_bytes_max: 315_000, ..Limits::default() };
    let hub = hub(limits);
    let mut sender = session(&hub, 1, &LINES, "192.0.2.1");
    let other = session(&hub, 2, &LINES, "192.0.2.2");
    let mut theirs = [session(&hub, 3, &LINES, "192.0.2.3"), session(&hub, 4, &LINES, "192.0.2.3")];
    for (to, bytes) in [(2, 250_000), (3, 100_000), (4, 150_000)] {
        let link = link(&mut sender, to);
        say(&mut sender, link, Part::whole(vec![7; bytes]));
    }
    let refused = hub.admit(Some("192.0.2.3".parse().unwrap()));
    assert!(refused.is_ok(), "there is room for one more");
    let again = link(&mut sender, 3);
    say(&mut sender, again, Part::whole(vec![7; 90_000]));
    let alive = |session: &Session| session.endpoint().cost() > 0;
    assert_eq!([alive(&theirs[0]), alive(&theirs[1]), alive(&other)], [false, true, true]);
    assert_eq!(hits(&hub, "memory_per_address_bytes_max"), 0, "what has ended is counted later");
    // What can be refused is refused, and a new connection closed.
    let last = link(&mut sender, 4);
    say(&mut sender, last, Part::whole(vec![7; 140_000]));
    assert!(alive(&theirs[1]), "it fits");
    assert!(hub.admit(Some("192.0.2.3".parse().unwrap())).is_err());
    let refused = (0..5).any(|number| {
        take(&mut theirs[0]);
        let room = Command::Channel(ChannelCommand::Enter {
            request: 9,
            name: name(&format!("room {number}")),
            options: EnterOptions { make_room: true, ..EnterOptions::default() },
        });
        give(&mut theirs[1], room);
        hits(&hub, "memory_per_address_bytes_max") == 2
    });
    assert!(refused, "a room is memory as well");
    assert!(hub.admit(Some("192.0.2.9".parse().unwrap())).is_ok());
}

#[test]
fn a_connection_is_charged_as_long_as_it_is_there_to_where_it_comes_from() {
    let limits = Limits {
        memory_bytes_max: 160 * 1024,
        memory_per_address_bytes_max: 14 * 1024,
        ..Limits::default()
    };
    let hub = hub(limits);
    let [proxy, client] = ["192.0.2.3", "192.0.2.9"].map(|address| address.parse().ok());
    let charged = || charged(&hub, Purpose::Connection, "hub");
    let mut first = hub.admit(proxy).unwrap();
    let second = hub.admit(proxy).unwrap();
    assert_eq!(charged(), 2 * 4096);
    assert!(hub.admit(proxy).is_err(), "a session would find no room");
    first.come_from(client).unwrap();
    assert_eq!(charged(), 2 * 4096);
    let mut third = hub.admit(proxy).expect("the first one has gone elsewhere");
    let fourth = hub.admit(client).unwrap();
    assert_eq!(third.come_from(client), Err(Reason::TooManyConnections));
    assert!(hub.admit(proxy).is_err(), "it stays where it was");
    assert!(third.hold(Purpose::Outbox, 8 * 1024).is_err());
    drop((first, second, third, fourth));
    assert_eq!(charged(), 0);
}

#[test]
fn what_is_kept_is_charged_to_who_made_it_and_passwords_are_short() {
    let hub = hub(Limits::default());
    let mut owner = session(&hub, 1, &LINES, "");
    let stored = || charged(&hub, Purpose::Stored, "lines");
    for (bytes, is_kept) in [(1025, false), (1024, true)] {
        let password = Some(vec![7; bytes].into());
        let options = ChannelOptions { password, ..ChannelOptions::default() };
        give(&mut owner, ChannelCommand::Create { request: 1, name: name("kept"), options });
        let refused = events(&mut owner);
        assert_eq!(
            matches!(refused[..], [Event::Channel(ChannelEvent::Created { .. })]),
            is_kept,
            "{refused:?}"
        );
    }
    assert!((2048..2100).contains(&stored()));
    drop(owner);
    assert_eq!(stored(), 0);
    assert_eq!(hub.ledger.used(), 0);
}

/// Sessions of one client, known by its address or by its credentials, and one of another.
fn known_by(hub: &Arc<Hub>, what: Known) -> ([Session; 2], Session) {
    let addresses = match what {
        Known::Address => ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"],
        Known::Credentials => ["192.0.2.1", "198.51.100.1", "203.0.113.1"],
    };
    let open = |number: usize| {
        let hello = hello(1 + number as u8, "", false);
        let identity = (what == Known::Credentials).then(|| format!("client {}", number / 2));
        let address = addresses[number].parse().ok();
        let mut session = hub.open(Instant::now(), address, &LINES, Box::new(Woken::default()));
        let grant = Grant { identity, ..Grant::default() };
        assert_eq!(session.welcome(Instant::now(), hello, grant), Step::Go);
        take(&mut session);
        session
    };
    ([open(0), open(1)], open(2))
}

#[derive(Clone, Copy, PartialEq)]
enum Known {
    Address,
    Credentials,
}

#[test]
fn an_identity_and_a_name_that_was_granted_share_nothing_however_they_are_spelled() {
    let hub = hub(Limits { channels_per_address_max: 1, ..Limits::default() });
    let same = || Some("0 alice".to_owned());
    let grants = [
        Grant { identity: same(), ..Grant::default() },
        Grant { name: same(), ..Grant::default() },
    ];
    let mut sessions = Vec::new();
    for (number, grant) in grants.into_iter().enumerate() {
        let (number, now) = (number as u8 + 1, Instant::now());
        let address = Some(std::net::IpAddr::from([192, 0, 2, number]));
        let mut session = hub.open(now, address, &LINES, Box::new(Woken::default()));
        assert_eq!(session.welcome(Instant::now(), hello(number, "", false), grant), Step::Go);
        take(&mut session);
        let mut create = |name: String| {
            give(&mut session, Command::create(1, &name));
            events(&mut session)
        };
        let first = create(format!("{number}"));
        assert!(matches!(first[..], [Event::Channel(ChannelEvent::Created { .. })]), "{first:?}");
        let second = create(format!("{number} more"));
        assert!(matches!(second[..], [Event::Refused { .. }]), "{second:?}");
        sessions.push(session);
    }
}

#[test]
fn an_address_has_a_share_of_all_channels_and_rooms_and_gets_it_back() {
    shares_channels_and_rooms(Known::Address);
}

#[test]
fn who_has_the_same_credentials_shares_channels_and_rooms_wherever_it_comes_from() {
    shares_channels_and_rooms(Known::Credentials);
}

fn shares_channels_and_rooms(what: Known) {
    let limits = Limits {
        channels_total_max: 100,
        channels_per_address_max: 3,
        rooms_max: 16,
        ..Limits::default()
    };
    let hub = hub(limits);
    let (mut one, mut other) = known_by(&hub, what);
    let make = |session: &mut Session, what: String, room: bool| {
        let name = name(&what);
        give(
            session,
            match room {
                true => Command::Channel(ChannelCommand::Enter {
                    request: 1,
                    name,
                    options: EnterOptions { make_room: true, ..EnterOptions::default() },
                }),
                false => Command::Channel(ChannelCommand::Create {
                    request: 1,
                    name,
                    options: ChannelOptions::default(),
                }),
            },
        );
        let told = events(session);
        match told[..] {
            [Event::Refused { reason, .. }] => {
                assert_eq!(reason, Reason::TooManyChannels);
                false
            }
            _ => true,
        }
    };
    for room in [false, true] {
        let most = if room { 16 / Limits::ADDRESS_SHARE } else { 3 };
        for number in 0..most {
            assert!(make(&mut one[number % 2], format!("{room} {number}"), room));
        }
        assert!(one.each_mut().into_iter().all(|one| !make(one, format!("{room} more"), room)));
        assert!(make(&mut other, format!("{room} another"), room));
    }
    assert_eq!(hits(&hub, "channels_per_address_max"), 2);
    assert_eq!(hits(&hub, "rooms.per_address_max"), 2);
    assert_eq!(hits(&hub, "channels_owned_max") + hits(&hub, "channels_entered_max"), 0);
    let [first, mut second] = one;
    drop(first);
    assert!(make(&mut second, "false more".to_owned(), false), "its owner has gone");
}

#[test]
fn who_has_the_same_credentials_shares_memory_and_comes_in_no_more_when_it_is_used_up() {
    const SHARE: usize = 40_000;
    let hub = hub(Limits { memory_per_address_bytes_max: SHARE, ..Limits::default() });
    let (mut one, mut other) = known_by(&hub, Known::Credentials);
    let refused = |session: &mut Session, to: u8| {
        let (to, options) = (Addressee::Peer(PeerId::new([to; 16])), LinkOptions::default());
        give(session, LinkCommand::Open { request: 1, to, options });
        matches!(events(session)[..], [Event::Refused { reason: Reason::Exhausted, .. }])
    };
    let mut links = 0;
    while !refused(&mut one[links % 2], 3) {
        events(&mut other);
        links += 1;
    }
    assert!(links > 10 && one.each_mut().into_iter().all(|one| refused(one, 3)));
    assert!(!refused(&mut other, 1), "what is another's is untouched");
    let again = |identity: &str| {
        let address = "192.0.2.77".parse().ok();
        let mut session = hub.open(Instant::now(), address, &LINES, Box::new(Woken::default()));
        let grant = Grant { identity: Some(identity.to_owned()), ..Grant::default() };
        session.welcome(Instant::now(), hello(9, "", false), grant)
    };
    assert_eq!(again("client 0"), Step::Close(Reason::Exhausted));
    assert_eq!(again("client 2"), Step::Go);
    drop((one, other));
    assert_eq!(again("client 0"), Step::Go, "all was given back");
    assert_eq!(hub.ledger.used(), 0);
}

#[test]
fn nobody_takes_all_the_places_for_links_of_a_session() {
    for what in [Known::Address, Known::Credentials] {
        let hub = hub(Limits { links_accepted_max: 16, ..Limits::default() });
        let mut victim = session(&hub, 9, &LINES, "");
        let (mut one, mut other) = known_by(&hub, what);
        let mut opened: Vec<_> = one.iter_mut().map(|one| link(one, 9)).collect();
        for one in &mut one {
            let (to, options) = (Addressee::Peer(PeerId::new([9; 16])), LinkOptions::default());
            give(one, LinkCommand::Open { request: 1, to, options });
            let told = events(one);
            assert!(matches!(told[..], [Event::Refused { reason: Reason::TooManyLinks, .. }]));
        }
        assert_eq!(hits(&hub, "links_accepted_per_address_max"), 2);
        assert_eq!(hits(&hub, "links_max") + hits(&hub, "links_accepted_max"), 0);
        link(&mut other, 9);
        // The program itself has no share.
        let mut home = session(&hub, 8, &LINES, "");
        (0..3).for_each(|_| _ = link(&mut home, 9));
        // A place is free again when the link has ended at the one who has accepted it.
        give(&mut one[0], LinkCommand::Close { link: opened.remove(0), reason: Reason::Left });
        take(&mut victim);
        link(&mut one[1], 9);
    }
}
