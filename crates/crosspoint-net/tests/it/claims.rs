//! A hub with a directory that answers late, as one that several hubs share: every protocol waits, goes on, and leaves.

use crate::common::late::{ELSEWHERE, Late, NOBODY_KNOWS};
use crate::common::peer::{Peer, create, enter, server_frame, upgrade};
use crate::common::{Link, Served, serve_as, until};
use bytes::BytesMut;
use crosspoint_auth::{Authenticator, from_fn};
use crosspoint_gateways::anysocket::{Kind, Packet};
use crosspoint_hub::command::{
    Addressee, ChannelEvent, Hello, LinkCommand, LinkEvent, LinkOptions,
};
use crosspoint_hub::{Event, Grant, HubOptions, PeerId, PeerName, Reason};
use crosspoint_net::server::ServerOptions;
use crosspoint_net::ws::{Opcode, frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LONGEST: Duration = Duration::from_millis(400);

fn serve(seed: u64, server: ServerOptions) -> (Served, Arc<Late>) {
    let late = Late::new(LONGEST, seed);
    let options = HubOptions { directory: Some(late.clone()), ..HubOptions::default() };
    let served = serve_as(options, server);
    late.serves(&served.hub);
    (served, late)
}

/// Nobody is there, and nothing is left of what was claimed.
async fn empty(served: &Served, late: &Late) {
    served.empty().await;
    assert_eq!((late.pending(), late.held()), (vec![], vec![]));
}

fn named(name: &str) -> Hello {
    Hello { name: Some(name.to_owned()), ..Hello::default() }
}

/// Clients of both protocols that have channels, over each transport.
async fn peers(served: &Served) -> Vec<Peer> {
    vec![
        Peer::joint(served.memory()),
        Peer::native(served.memory()).await,
        Peer::joint_ws(served.memory()).await,
        Peer::native_ws(served.memory()).await,
    ]
}

#[tokio::test(start_paused = true)]
async fn channels_come_late_and_in_any_order_and_their_owners_go_when_they_like() {
    for seed in 0..8 {
        let (served, late) = serve(seed, ServerOptions::default());
        let mut owners = peers(&served).await;
        // All at once. What other hubs have is refused.
        for (index, owner) in owners.iter_mut().enumerate() {
            for (request, name) in [(100, "a"), (101, ELSEWHERE), (102, "b")] {
                owner.tell(create(request, &format!("{name}{index}"))).await;
            }
        }
        for (index, owner) in owners.iter_mut().enumerate() {
            let answers = |event: &Event| match event {
                Event::Channel(ChannelEvent::Created { request, .. }) => Some((*request, None)),
                Event::Refused { request, create, reason } => {
                    Some((*request, Some((*create, *reason))))
                }
                _ => None,
            };
            let mut told =
                [owner.find(answers).await, owner.find(answers).await, owner.find(answers).await];
            told.sort_by_key(|(request, _)| *request);
            let taken = Some((true, Reason::NameTaken));
            assert_eq!(told, [(100, None), (101, taken), (102, None)], "owner {index}");
        }
        let mut member = Peer::native(served.memory()).await;
        for index in 0..owners.len() {
            member.enter(&format!("a{index}")).await;
        }
        // Some go while the next answer is on its way.
        for (index, owner) in owners.iter_mut().enumerate() {
            owner.tell(create(103, &format!("c{index}"))).await;
            owner.tell(create(104, &format!("{NOBODY_KNOWS}{index}"))).await;
        }
        sleep(LONGEST / 2).await;
        drop((owners, member));
        until("all is released", || late.pending().is_empty()).await;
        empty(&served, &late).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_about_which_nobody_decides_is_refused_in_time_and_may_be_asked_for_again() {
    let (served, late) = serve(1, ServerOptions::default());
    for mut owner in peers(&served).await {
        // A peote program says hello with its first word.
        owner.settle().await;
        for _ in 0..2 {
            let begun = Instant::now();
            let refused = owner.try_create(NOBODY_KNOWS).await.unwrap_err();
            assert_eq!(begun.elapsed(), served.hub.limits.claim_max);
            assert!(matches!(refused, Reason::Busy | Reason::TooManyChannels), "{refused}");
        }
        owner.create("a").await;
        drop(owner);
        until("the name is free", || late.held().iter().all(|claim| claim != "channel a")).await;
    }
    assert_eq!(served.hits("claim_ms_max"), 8);
    empty(&served, &late).await;
}

#[tokio::test(start_paused = true)]
async fn a_hello_waits_and_what_came_with_it_is_carried_out_behind_it() {
    let check = from_fn(|credentials: crosspoint_auth::Credentials| async move {
        sleep(Duration::from_millis(50)).await;
        Ok(Grant { name: credentials.name, ..Grant::default() })
    });
    for checks in [false, true] {
        let authenticator = checks.then(|| Arc::new(check) as Arc<dyn Authenticator>);
        let options = ServerOptions { authenticator, ..ServerOptions::default() };
        let (served, late) = serve(3, options);
        let mut peer = Peer::introduced(served.memory(), named("ann"));
        let mut both = peer.written();
        both.extend(peer.bytes_of(create(1, "a")));
        peer.link.send(&both).await;
        assert!(matches!(peer.event().await, Event::Welcome { .. }));
        peer.created(1).await.unwrap();

        let mut elsewhere = Peer::introduced(served.memory(), named(ELSEWHERE));
        assert_eq!(elsewhere.greet().await, Err(Reason::NameTaken));
        let mut unknown = Peer::introduced(served.memory(), named(NOBODY_KNOWS));
        let begun = Instant::now();
        assert_eq!(unknown.greet().await, Err(Reason::Busy));
        let checked = if checks { Duration::from_millis(50) } else { Duration::ZERO };
        assert_eq!(begun.elapsed(), served.hub.limits.claim_max + checked);
        // One that goes meanwhile is noticed at once.
        let mut gone = Peer::introduced(served.memory(), named(NOBODY_KNOWS));
        gone.say_hello().await;
        let waits = || late.pending().iter().any(|claim| claim.contains(NOBODY_KNOWS));
        until("it is asked about", waits).await;
        let begun = Instant::now();
        drop(gone);
        until("its claim is withdrawn", || !waits()).await;
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        drop((peer, elsewhere, unknown));
        empty(&served, &late).await;
    }
}

fn open(request: u32, to: Addressee) -> LinkCommand {
    LinkCommand::Open { request, to, options: LinkOptions::default() }
}

fn opened(event: &Event) -> Option<Option<u32>> {
    match event {
        Event::Link(LinkEvent::Opened { request, .. }) => Some(*request),
        _ => None,
    }
}

fn refused(event: &Event) -> Option<(u32, Reason)> {
    match event {
        Event::Refused { request, reason, .. } => Some((*request, *reason)),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn links_open_late_also_to_the_program_of_the_hub_and_to_those_who_come_meanwhile() {
    let (served, late) = serve(5, ServerOptions::default());
    let program = PeerId::new([9; 16]);
    let hello = Hello { peer: Some(program), ..Hello::default() };
    let mut application = Peer::introduced(served.memory(), hello);
    application.welcomed().await;
    served.hub.set_application_peer(program);
    let mut ann = Peer::introduced(served.memory(), named("ann"));
    ann.welcomed().await;
    let name = |name: &str| Addressee::Name(PeerName::new(name).unwrap());
    // It asks again for the same, and for more, before the first answer.
    ann.tell(open(1, Addressee::Peer(program))).await;
    ann.tell(open(2, Addressee::Peer(program))).await;
    ann.tell(open(3, name(ELSEWHERE))).await;
    ann.tell(open(4, name("bob"))).await;
    let mut requests = [ann.find(opened).await, ann.find(opened).await];
    requests.sort();
    assert_eq!(requests, [Some(1), Some(2)]);
    assert_eq!([application.find(opened).await, application.find(opened).await], [None, None]);
    let mut refusals = [ann.find(refused).await, ann.find(refused).await];
    refusals.sort_by_key(|(request, _)| *request);
    assert_eq!(refusals, [(3, Reason::NoSuchPeer), (4, Reason::NoSuchPeer)]);
    let begun = Instant::now();
    ann.tell(open(5, name(NOBODY_KNOWS))).await;
    assert_eq!(ann.find(refused).await, (5, Reason::Busy));
    assert_eq!(begun.elapsed(), served.hub.limits.claim_max);
    ann.tell(open(6, name(NOBODY_KNOWS))).await;
    until("it is asked about", || !late.pending().is_empty()).await;
    drop(ann);
    until("its claim is withdrawn", || late.pending().is_empty()).await;
    drop(application);
    empty(&served, &late).await;
}

fn packet(kind: Kind, seq: i32, body: &'static str) -> Vec<u8> {
    let mut out = BytesMut::new();
    Packet { last: true, kind, seq, body: body.into() }.encode(&mut out);
    out.to_vec()
}

async fn say(link: &Link, message: &[u8]) {
    let mut out = BytesMut::new();
    frame::client_frame(Opcode::Text, true, message, [1, 2, 3, 4], &mut out);
    link.send(&out).await;
}

#[tokio::test(start_paused = true)]
async fn an_anysocket_client_is_let_in_late_and_is_reached_late() {
    let (served, late) = serve(7, ServerOptions::default());
    let auth = packet(Kind::Auth, 1, r#"{"id":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#);
    let mut gone = served.memory();
    upgrade(&mut gone).await;
    say(&gone, &auth).await;
    until("it is asked about", || !late.pending().is_empty()).await;
    drop(gone);
    until("its claim is withdrawn", || late.pending().is_empty()).await;
    let mut link = served.memory();
    upgrade(&mut link).await;
    say(&link, &auth).await;
    let (first, text) = server_frame(&mut link).await;
    assert_eq!((first, &text[..6]), (0x81, &b"11\0\0\0\x01"[..]), "it is let in");
    let mut bert = Peer::native(served.memory()).await;
    bert.tell(open(7, Addressee::Peer(PeerId::new([0xa1; 16])))).await;
    assert_eq!(bert.find(opened).await, Some(7));
    let (_, announced) = server_frame(&mut link).await;
    assert!(!announced.is_empty(), "it hears of the peer");
    drop((link, bert));
    empty(&served, &late).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_cannot_be_entered_before_its_claim_is_granted() {
    let (served, late) = serve(11, ServerOptions::default());
    let mut owner = Peer::native(served.memory()).await;
    owner.tell(create(1, "a")).await;
    // It does not exist yet.
    owner.tell(enter(2, "a")).await;
    assert_eq!(owner.find(refused).await, (2, Reason::NoSuchName));
    owner.created(1).await.unwrap();
    drop(owner);
    empty(&served, &late).await;
}
