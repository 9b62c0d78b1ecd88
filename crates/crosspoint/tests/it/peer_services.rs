//! Services, and who is there.

use crate::common::{Cable, silence};
use crosspoint::testing::{node, two_nodes};
use crosspoint::{
    Failure, Hub, HubOptions, Limits, Node, PeerError, PeerId, PresenceEvent, Reason, RequestError,
    Server, Shape,
};
use crosspoint_hub::permissions::{Permissions, Rule};
use std::collections::HashMap;
use std::future::{IntoFuture, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const SECOND: Duration = Duration::from_secs(1);

/// A node that provides `math`, whose method `who` tells its name.
async fn provider(hub: &Server, name: &'static str) -> Node {
    let node = node(hub, name, Shape::default()).await;
    node.serve("who", move |(): ()| async move { Ok(name) });
    node.provide("math").await.unwrap();
    node
}

#[tokio::test(start_paused = true)]
async fn providers_share_the_requests_of_a_service() {
    let (hub, ann, _) = two_nodes().await;
    let math = ann.service("math").unwrap();
    let alone = math.call::<String>("who", &()).await;
    assert_eq!(alone, Err(RequestError::NoProvider));
    // For a moment it is taken for granted that there is none.
    let cid = provider(&hub, "Cid").await;
    let alone = math.call::<String>("who", &()).await;
    assert_eq!(alone, Err(RequestError::NoProvider));
    tokio::time::advance(SECOND).await;
    assert_eq!(math.call("who", &()).await, Ok("Cid".to_owned()));

    let dan = provider(&hub, "Dan").await;
    let eve = provider(&hub, "Eve").await;
    tokio::time::advance(SECOND).await;
    let running = Arc::new(Notify::new());
    for node in [&cid, &dan, &eve] {
        let (name, running) = (node.peer_id(), running.clone());
        node.handle("wait", move |_| {
            let running = running.clone();
            async move {
                running.notified().await;
                Ok(name.to_string())
            }
        });
    }
    let wait = || tokio::spawn(math.request("").method("wait").into_future());
    let mut calls = Vec::new();
    for _ in 0..9 {
        calls.push(wait());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(math.providers().len(), 3);
    running.notify_waiters();
    let mut counts = HashMap::new();
    for call in calls {
        let name = call.await.unwrap().unwrap().data;
        *counts.entry(name).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count == 3), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn when_a_provider_goes_a_repeatable_request_is_asked_again_and_another_fails() {
    let (hub, ann, _) = two_nodes().await;
    let started = Arc::new(AtomicUsize::new(0));
    let stuck = |node: Node| {
        let started = started.clone();
        node.handle("work", move |_| {
            started.fetch_add(1, Ordering::Relaxed);
            pending::<Result<&str, Failure>>()
        });
        node
    };
    let (cable, address) = Cable::new(&hub);
    let cid = stuck(Node::builder().name("Cid").connect(address).await.unwrap());
    cid.provide("math").await.unwrap();
    let math = ann.service("math").unwrap();
    let work = || math.request("").method("work");
    let once = tokio::spawn(work().into_future());
    let again = tokio::spawn(work().repeatable().into_future());
    while started.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let dan = node(&hub, "Dan", Shape::default()).await;
    dan.handle("work", |_| async { Ok("done") });
    dan.provide("math").await.unwrap();
    cable.cut();
    let gone = Err(RequestError::PeerGone(Reason::ConnectionLost));
    assert_eq!(once.await.unwrap(), gone);
    assert_eq!(again.await.unwrap().unwrap().data, "done");

    // Without a further provider even that ends.
    let dan = stuck(dan);
    let again = tokio::spawn(work().repeatable().into_future());
    while started.load(Ordering::Relaxed) < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    dan.close().await;
    assert_eq!(again.await.unwrap(), Err(RequestError::NoProvider));

    // As does the time.
    let _eve = stuck(provider(&hub, "Eve").await);
    tokio::time::advance(SECOND).await;
    let late = work().repeatable().timeout(SECOND).await;
    assert_eq!(late, Err(RequestError::TimedOut));

    hub.stop().await;
    assert!(matches!(work().repeatable().await, Err(RequestError::PeerGone(_))));
}

#[tokio::test(start_paused = true)]
async fn a_service_can_be_withdrawn_and_is_bounded() {
    let limits = Limits { services_max: 1, ..Limits::default() };
    let hub = Server::new(HubOptions { limits, ..HubOptions::default() });
    let ann = node(&hub, "Ann", Shape::default()).await;
    let cid = provider(&hub, "Cid").await;
    let many = cid.provide("physics").await;
    assert_eq!(many, Err(PeerError::Refused(Reason::TooManyServices)));
    assert!(matches!(cid.provide("").await, Err(PeerError::Name(_))));
    cid.withdraw("math").await.unwrap();
    cid.provide("physics").await.unwrap();
    let math = ann.service("math").unwrap();
    assert_eq!(math.call::<String>("who", &()).await, Err(RequestError::NoProvider));
    let physics = ann.service("physics").unwrap();
    assert_eq!(physics.call("who", &()).await, Ok("Cid".to_owned()));
    // A node may use what it provides.
    let own = cid.service("physics").unwrap();
    assert_eq!(own.call("who", &()).await, Ok("Cid".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn peers_are_found_one_by_one_and_in_pages() {
    let (hub, ann, bob) = two_nodes().await;
    let found = ann.find("Bob").await.unwrap().unwrap();
    assert_eq!((found.id, found.name.as_deref()), (bob.peer_id(), Some("Bob")));
    assert_eq!(ann.find(bob.peer_id()).await, Ok(Some(found)));
    assert_eq!(ann.find("Eve").await, Ok(None));
    assert_eq!(ann.find(PeerId::new([1; 16])).await, Ok(None));

    let mut many = Vec::new();
    for number in 0..250 {
        let name = format!("player {number:03}");
        many.push(node(&hub, &name, Shape::default()).await);
    }
    let players = ann.peers("player ").await.unwrap();
    let expected = many.iter().map(Node::peer_id).collect::<Vec<_>>();
    assert_eq!(players.iter().map(|player| player.id).collect::<Vec<_>>(), expected);
    assert_eq!(ann.peers("").await.unwrap().len(), 252);
    assert_eq!(ann.peers("x".repeat(256)).await, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn comings_and_goings_are_told_to_all_who_watch() {
    let (hub, ann, _) = two_nodes().await;
    let mut one = ann.watch().await.unwrap();
    let mut other = ann.watch().await.unwrap();
    let cid = node(&hub, "Cid", Shape::default()).await;
    let anonymous = Node::connect(hub.inside(Shape::default())).await.unwrap();
    let info = ann.find("Cid").await.unwrap().unwrap();
    cid.close().await;
    anonymous.close().await;
    for presence in [&mut one, &mut other] {
        assert_eq!(presence.next().await, Some(PresenceEvent::Came(info.clone())));
        assert_eq!(presence.next().await, Some(PresenceEvent::Went(info.clone())));
    }
    // Nobody watches, and then somebody does again.
    drop((one, other));
    let _cid = node(&hub, "Cid", Shape::default()).await;
    let mut again = ann.watch().await.unwrap();
    silence(again.next()).await;
    for number in 0..1030 {
        let name = format!("{number}");
        node(&hub, &name, Shape::default()).await.close().await;
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(again.next().await, Some(PresenceEvent::Missed(2060 - 1024)));
    assert!(matches!(again.next().await, Some(PresenceEvent::Came(_))));

    hub.stop().await;
    while again.next().await.is_some() {}
    assert!(matches!(ann.watch().await, Err(PeerError::Closed(Reason::HubStopping))));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_may_not_do_is_refused() {
    let permissions = Permissions {
        reach: Rule::Nothing,
        provide: Rule::Nothing,
        presence: false,
        ..Permissions::ALL
    };
    let hub = Hub::new(HubOptions { permissions, ..HubOptions::default() });
    let hub = Server::with_hub(hub, Default::default());
    let ann = node(&hub, "Ann", Shape::default()).await;
    let refused = PeerError::Refused(Reason::NotAllowed);
    assert_eq!(ann.peer("Ann").await, Err(refused.clone()));
    assert_eq!(ann.provide("math").await, Err(refused.clone()));
    assert_eq!(ann.find("Ann").await, Err(refused.clone()));
    assert_eq!(ann.watch().await.unwrap_err(), refused.clone());
    let math = ann.service("math").unwrap();
    assert_eq!(math.request("").await, Err(RequestError::Unsent(refused)));
}
