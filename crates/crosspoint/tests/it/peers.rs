//! Links between peers: messages, requests, handlers, and how all of it ends.

use crate::common;
use crate::common::{Cable, Pair, end, event, link, pair, raw, said, silence};
use crosspoint::testing::{node, two_nodes};
use crosspoint::{
    Bytes, ChannelOptions, ConnectError, EnterOptions, Failure, Format, HubOptions, Limits, Node,
    Payload, Peer, PeerError, PeerEvent, PeerId, Reason, Request, RequestError, Responder, Server,
    Shape,
};
use crosspoint_hub::LinkNumber;
use crosspoint_hub::command::{
    Addressee, Command, Event, LinkCommand, LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::wire::Part;
use serde::{Deserialize, Serialize};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// The next request that a peer reads.
async fn asked(peer: &Peer) -> (Request, Responder) {
    match event(peer).await {
        PeerEvent::Request(request, responder) => (request, responder),
        other => panic!("{other:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, RequestError>) -> u32 {
    match result {
        Err(RequestError::Failed(failure)) => failure.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_send_messages_of_any_format_and_size_in_order() {
    let Pair { to_bob, to_ann, ann, bob, .. } = pair().await;
    assert_eq!((to_bob.id(), to_bob.info().name.as_deref()), (bob.peer_id(), Some("Bob")));
    assert_eq!((to_ann.id(), to_ann.info().name.as_deref()), (ann.peer_id(), Some("Ann")));

    let large = Payload::bytes(vec![7; 3 << 20]);
    let json = Payload::new(Format::JSON, &b"[1]"[..]);
    let sending = async {
        to_bob.send("hello").await.unwrap();
        to_bob.send(large.clone()).await.unwrap();
        to_bob.send("").await.unwrap();
        to_bob.send(json.clone()).await.unwrap();
        to_ann.send(vec![1, 2]).await.unwrap();
    };
    let reading = async {
        for expected in [Payload::text("hello"), large.clone(), Payload::text(""), json.clone()] {
            assert_eq!(said(&to_ann).await, expected);
        }
        assert_eq!(said(&to_bob).await, Payload::bytes(vec![1, 2]));
    };
    tokio::join!(sending, reading);

    let most = 16 << 20;
    let error = to_bob.send(vec![0; most]).await.unwrap_err();
    assert!(matches!(error, PeerError::TooLarge { .. }), "{error}");
    to_bob.send("still here").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_found_by_id_and_by_its_unique_name() {
    let (hub, ann, bob) = two_nodes().await;
    let mut incoming = bob.incoming();
    for who in [ann.peer("Bob").await, ann.peer(bob.peer_id()).await] {
        let there = who.unwrap();
        let back = incoming.next().await.unwrap();
        assert_eq!((there.id(), back.id()), (bob.peer_id(), ann.peer_id()));
    }
    let nobody = Err(PeerError::Refused(Reason::NoSuchPeer));
    assert_eq!(ann.peer("Cid").await, nobody);
    assert_eq!(ann.peer(PeerId::new([9; 16])).await, nobody);
    assert!(matches!(ann.peer("").await, Err(PeerError::Name(_))));
    assert_eq!(ann.neighbour().await, Err(PeerError::NoNeighbour));

    let taken = Node::builder().name("Bob").connect(hub.inside(Shape::default())).await;
    let Err(ConnectError::Refused { reason: Reason::NameTaken, .. }) = taken else {
        panic!("{taken:?}");
    };
    bob.close().await;
    node(&hub, "Bob", Shape::default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_peote_connection_has_no_peers() {
    let hub = Server::new(HubOptions::default());
    let node = Node::connect(hub.inside(Shape::default()).peote()).await.unwrap();
    assert_eq!(node.peer("Bob").await, Err(PeerError::Unsupported));
    assert_eq!(node.provide("math").await, Err(PeerError::Unsupported));
    assert_eq!(node.find("Bob").await, Err(PeerError::Unsupported));
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_by_whoever_reads_them() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let answering = async {
        let (request, responder) = asked(&to_ann).await;
        assert_eq!((request.method(), &*request.payload().data), ("", &b"2 and 2"[..]));
        assert!(responder.until().unwrap() - Instant::now() <= 30 * SECOND);
        responder.send(Ok("4")).await.unwrap();
        let (request, responder) = asked(&to_ann).await;
        assert_eq!(request.method(), "user.rename");
        let failure = Failure { details: "no".into(), ..Failure::new(1001, "never") };
        responder.send(Err::<&str, _>(failure)).await.unwrap();
        drop(asked(&to_ann).await);
    };
    let asking = async {
        assert_eq!(to_bob.request("2 and 2").await, Ok(Payload::text("4")));
        let failed = to_bob.request("x").method("user.rename").await;
        let failure = Failure { details: "no".into(), ..Failure::new(1001, "never") };
        assert_eq!(failed, Err(RequestError::Failed(failure)));
        assert_eq!(code(to_bob.request("dropped").await), Failure::NO_METHOD);
    };
    tokio::join!(answering, asking);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    #[serde(with = "serde_bytes")]
    picture: Vec<u8>,
}

#[tokio::test(start_paused = true)]
async fn handlers_answer_in_both_directions_with_and_without_types() {
    let (_hub, ann, bob) = two_nodes().await;
    for node in [&ann, &bob] {
        node.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
        node.serve("user.rename", |mut user: User| async move {
            user.name = user.name.to_uppercase();
            Ok(user)
        });
        node.handle("whoami", |request: Request| async move {
            Ok(request.from().name.as_deref().unwrap_or("nobody").to_owned())
        });
    }
    let (to_bob, to_ann) = link(&ann, &bob).await;
    for (peer, name) in [(&to_bob, "Ann"), (&to_ann, "Bob")] {
        assert_eq!(peer.call::<i32>("add", &(20, 22)).await, Ok(42));
        let user = User { name: "eve".into(), picture: vec![0xff; 500] };
        let renamed = peer.call::<User>("user.rename", &user).await.unwrap();
        assert_eq!(renamed, User { name: "EVE".into(), picture: vec![0xff; 500] });
        assert_eq!(peer.request("").method("whoami").await, Ok(Payload::text(name)));
        // A program that knows JSON alone is understood as well.
        let json = Payload::new(Format::JSON, &b"[1, 2]"[..]);
        let sum = peer.request(json).method("add").await.unwrap();
        assert_eq!(sum, Payload::new(Format::MESSAGE_PACK, &[3][..]));
        assert_eq!(code(peer.call::<i32>("add", &"text").await), Failure::UNREADABLE);
        let unreadable = peer.call::<String>("add", &(1, 2)).await;
        assert!(matches!(unreadable, Err(RequestError::Unreadable(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn without_anybody_who_takes_links_handlers_answer_and_the_rest_is_refused() {
    let (_hub, ann, bob) = two_nodes().await;
    bob.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    let to_bob = ann.peer("Bob").await.unwrap();
    to_bob.send("for nobody").await.unwrap();
    assert_eq!(to_bob.call::<i32>("add", &(1, 2)).await, Ok(3));
    assert_eq!(code(to_bob.call::<i32>("sub", &(1, 2)).await), Failure::NO_METHOD);
    let refused = to_bob.open("file", "").await.unwrap_err();
    assert!(matches!(refused, PeerError::StreamRefused { code: 404, .. }), "{refused}");
    assert_eq!(bob.messages_dropped(), 1);

    // Who takes links later gets this one, too.
    let to_ann = bob.incoming().next().await.unwrap();
    to_bob.send("for somebody").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "for somebody");
    drop(to_ann);
    assert_eq!(to_bob.closed().await, Reason::Left);
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_talk_back_to_the_peer_that_asks() {
    let (_hub, ann, bob) = two_nodes().await;
    ann.serve("name", |(): ()| async { Ok("Ann") });
    bob.handle("greet", |request: Request| async move {
        let name = request.peer().call::<String>("name", &()).await;
        Ok(format!("hello, {}", name.map_err(|error| Failure::new(1000, error.to_string()))?))
    });
    let to_bob = ann.peer("Bob").await.unwrap();
    for _ in 0..2 {
        let greeting = to_bob.request("").method("greet").await.unwrap();
        assert_eq!(greeting.data, "hello, Ann");
    }
}

#[tokio::test(start_paused = true)]
async fn notifications_go_to_handlers_and_readers() {
    let (_hub, ann, bob) = two_nodes().await;
    let (heard, mut hears) = mpsc::unbounded_channel();
    bob.handle("log.line", move |request: Request| {
        let sent = heard.send(request.decode::<String>());
        async move { sent.map_err(|_| Failure::new(1000, "nobody hears")).map(|()| "") }
    });
    let (to_bob, to_ann) = link(&ann, &bob).await;
    to_bob.notify("log.line", "handled").await.unwrap();
    to_bob.notify("other", &7).await.unwrap();
    assert_eq!(hears.recv().await.unwrap(), Ok("handled".to_owned()));
    match event(&to_ann).await {
        PeerEvent::Notification { method, payload } => {
            assert_eq!((&*method, payload.data), ("other", vec![7].into()));
        }
        other => panic!("{other:?}"),
    }
}

/// Says when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_in_time_and_the_other_side_stops_to_work_on_it() {
    let (_hub, ann, bob) = two_nodes().await;
    let (started, mut starts) = mpsc::unbounded_channel();
    bob.handle("never", move |_| {
        let (dropped, drops) = oneshot::channel();
        started.send(drops).unwrap();
        async move {
            let _dropped = Dropped(Some(dropped));
            pending::<Result<&str, Failure>>().await
        }
    });
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let never = || to_bob.request("").method("never");

    let start = Instant::now();
    let after = never().timeout(3 * SECOND).await;
    assert_eq!((after, start.elapsed()), (Err(RequestError::TimedOut), 3 * SECOND));
    starts.recv().await.unwrap().await.unwrap();
    let start = Instant::now();
    assert_eq!((never().await, start.elapsed()), (Err(RequestError::TimedOut), 30 * SECOND));
    starts.recv().await.unwrap().await.unwrap();

    // Given up, it is cancelled at the other side, too.
    let given_up = timeout(SECOND, never().timeout(None)).await;
    assert!(given_up.is_err());
    starts.recv().await.unwrap().await.unwrap();

    // One that was only read is forgotten as well, and its answer comes to nothing.
    let given_up = timeout(SECOND, to_bob.request("read")).await;
    assert!(given_up.is_err());
    let given_up = timeout(SECOND, async {
        let request = tokio::spawn(to_bob.request("read").into_future());
        let (_, responder) = asked(&to_ann).await;
        request.abort();
        responder
    });
    let responder = given_up.await.unwrap();
    to_bob.send("after").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "after");
    responder.send(Ok("late")).await.unwrap();
    assert_eq!(to_ann.counters().unwanted_answers, 1);
    assert_eq!(
        to_bob.request("").method("none").timeout(SECOND).await,
        Err(RequestError::TimedOut)
    );
    silence(to_bob.next()).await;
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_allowed_wait_and_all_are_answered() {
    let (_hub, ann, bob) = two_nodes().await;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (run, peak) = (running.clone(), most.clone());
    bob.serve("square", move |n: u64| {
        let (running, most) = (run.clone(), peak.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            Ok(n * n)
        }
    });
    let (to_bob, _to_ann) = link(&ann, &bob).await;
    let calls = (0..5000_u64).map(|n| {
        let call = to_bob.call::<u64>("square", &n).into_future();
        tokio::spawn(async move { (n, call.await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (n, square) = call.await.unwrap();
        assert_eq!(square, Ok(n * n));
    }
    assert_eq!(most.load(Ordering::Relaxed), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_fails_its_request_alone() {
    let (_hub, ann, bob) = two_nodes().await;
    bob.serve("div", |(a, b): (i32, i32)| async move { Ok(a / b) });
    let to_bob = ann.peer("Bob").await.unwrap();
    assert_eq!(code(to_bob.call::<i32>("div", &(1, 0)).await), Failure::FAILED);
    assert_eq!(to_bob.call::<i32>("div", &(4, 2)).await, Ok(2));
}

/// A log that fails when a peer breaks the protocol.
struct Fails;

impl tracing::Subscriber for Fails {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("crosspoint::peer")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        panic!("on purpose: {event:?}");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_node_s_task_ends_its_connection_and_lets_nobody_wait() {
    let (hub, ann, bob) = two_nodes().await;
    let to_bob = ann.peer("Bob").await.unwrap();
    bob.serve("wait", |(): ()| async move { std::future::pending::<Result<(), Failure>>().await });
    let waits = tokio::spawn(async move { to_bob.call::<()>("wait", &()).await });
    let owner = ann.create("theirs", ChannelOptions::new()).await.unwrap();
    let log = tracing::subscriber::set_default(Fails);
    let hostile = raw(&hub, PeerId::new([9; 16])).await;
    let to = Addressee::Peer(ann.peer_id());
    let link = Command::Link(LinkCommand::Open { request: 0, to, options: LinkOptions::default() });
    hostile.commands.send(link.into()).await.unwrap();
    let part = Part { kind: 0x10, ..Part::whole("") };
    let part = Command::Send { to: Target::Link(LinkNumber(0)), part };
    hostile.commands.send(part.into()).await.unwrap();
    assert_eq!(timeout(SECOND, ann.closed()).await, Ok(Reason::Internal));
    drop(log);
    assert!(waits.await.unwrap().is_err());
    drop(owner);
    // The others do not even notice.
    let node = Node::builder().name("Ann").connect(hub.inside(Shape::default())).await.unwrap();
    bob.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    assert_eq!(node.peer("Bob").await.unwrap().call::<i32>("add", &(1, 2)).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_at_once_and_harms_nothing() {
    let (_hub, ann, bob) = two_nodes().await;
    bob.handle("large", |_| async { Ok(vec![0; 17 << 20]) });
    let to_bob = ann.peer("Bob").await.unwrap();
    let long = "x".repeat(256);
    let unsent = to_bob.request("").method(&long).await.unwrap_err();
    assert!(matches!(unsent, RequestError::Unsent(PeerError::TooLong { bytes: 256, .. })));
    let unsent = to_bob.request(vec![0; 17 << 20]).await.unwrap_err();
    assert!(matches!(unsent, RequestError::Unsent(PeerError::TooLarge { .. })));
    assert_eq!(code(to_bob.request("").method("large").await), Failure::FAILED);
    let meta = to_bob.open("x", vec![0; 16 * 1024 + 1]).await.unwrap_err();
    assert!(matches!(meta, PeerError::TooLong { bytes: 16385, .. }));
    assert!(to_bob.is_open());
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_reads_end_their_link_and_slow_nothing_else() {
    let (hub, ann, _) = two_nodes().await;
    let bob = Node::builder().name("Bert").inbox_bytes(10_000);
    let bob = bob.connect(hub.inside(Shape::default())).await.unwrap();
    let (unread, behind) = link(&ann, &bob).await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    while unread.send(vec![0; 1000]).await.is_ok() {}
    assert_eq!(unread.closed().await, Reason::SlowReceiver);
    to_bob.send("read").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "read");
    // What fitted is there.
    for _ in 0..10 {
        said(&behind).await;
    }
    assert_eq!(end(&behind).await, Reason::SlowReceiver);
}

#[tokio::test(start_paused = true)]
async fn unread_requests_are_bounded_without_ending_the_link() {
    let (hub, ann, _) = two_nodes().await;
    let bob = Node::builder().name("Bert").inbox_bytes(10_000);
    let bob = bob.connect(hub.inside(Shape::default())).await.unwrap();
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let asks =
        (0..20).map(|_| tokio::spawn(to_bob.request(vec![0; 1000]).timeout(SECOND).into_future()));
    let mut refused = 0;
    for ask in asks.collect::<Vec<_>>() {
        match ask.await.unwrap() {
            Err(RequestError::TimedOut) => {}
            other => refused += usize::from(code(other) == Failure::TOO_MANY),
        }
    }
    assert_eq!(refused, 10);
    // Those that were not read are forgotten with their requesters.
    to_bob.send("next").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "next");
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_while_the_hub_takes_nothing() {
    let hub = Server::new(HubOptions::default());
    let slow = Shape { bytes_per_second: std::num::NonZero::new(100_000), ..Shape::default() };
    let ann = node(&hub, "Ann", slow).await;
    let bob = Node::builder().name("Bob").inbox_bytes(usize::MAX);
    let bob = bob.connect(hub.inside(Shape::default())).await.unwrap();
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let start = Instant::now();
    for _ in 0..100 {
        to_bob.send(vec![7; 100_000]).await.unwrap();
    }
    // 10 MB take 100 s; what the machine and the queues hold needs not be waited for.
    assert!(start.elapsed() > 35 * SECOND, "{:?}", start.elapsed());
    for _ in 0..100 {
        assert_eq!(said(&to_ann).await.data.len(), 100_000);
    }
}

#[tokio::test(start_paused = true)]
async fn each_end_has_its_reason_at_both_sides() {
    let (hub, ann, bob) = two_nodes().await;

    let (to_bob, to_ann) = link(&ann, &bob).await;
    let waiting = tokio::spawn(to_bob.request("never answered").into_future());
    asked(&to_ann).await.1.until();
    let (_, responder) = {
        let again = tokio::spawn(to_bob.request("kept").into_future());
        let kept = asked(&to_ann).await;
        again.abort();
        kept
    };
    to_ann.close().await;
    assert_eq!(end(&to_ann).await, Reason::Bye);
    assert_eq!(end(&to_bob).await, Reason::Left);
    assert_eq!(code(waiting.await.unwrap()), Failure::NO_METHOD);
    assert_eq!(to_bob.send("late").await, Err(PeerError::Closed(Reason::Left)));
    let late = to_bob.request("late").await;
    assert_eq!(late, Err(RequestError::PeerGone(Reason::Left)));
    assert!(matches!(to_bob.open("late", "").await, Err(PeerError::Closed(Reason::Left))));
    let late = responder.send(Ok("late")).await;
    assert_eq!(late, Err(RequestError::PeerGone(Reason::Bye)));

    // The last handle closes it, after what was sent.
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let clone = to_bob.clone();
    drop(to_bob);
    clone.send(vec![1; 1 << 20]).await.unwrap();
    drop(clone);
    assert_eq!(said(&to_ann).await.data.len(), 1 << 20);
    assert_eq!(end(&to_ann).await, Reason::Left);

    // A node that leaves.
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let waiting = tokio::spawn(to_bob.request("").into_future());
    let request = asked(&to_ann).await;
    bob.close().await;
    assert_eq!(waiting.await.unwrap(), Err(RequestError::PeerGone(Reason::Left)));
    assert_eq!(end(&to_bob).await, Reason::Left);
    assert_eq!(end(&to_ann).await, Reason::Bye);
    drop(request);

    // A connection that is lost.
    let (cable, address) = Cable::new(&hub);
    let cid = Node::builder().name("Cid").connect(address).await.unwrap();
    let (to_cid, from_cid) = link(&ann, &cid).await;
    cable.cut();
    assert_eq!(end(&to_cid).await, Reason::ConnectionLost);
    assert_eq!(end(&from_cid).await, Reason::ConnectionLost);

    // The hub stops.
    let dan = node(&hub, "Dan", Shape::default()).await;
    let (to_dan, _from_dan) = link(&ann, &dan).await;
    hub.stop().await;
    let reason = end(&to_dan).await;
    assert!(matches!(reason, Reason::HubStopping), "{reason}");
    assert_eq!(ann.peer("Dan").await, Err(PeerError::Closed(Reason::HubStopping)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_lasts_as_long_as_its_peers_and_what_was_sent_arrives() {
    let Pair { hub, ann, bob, to_bob, to_ann } = pair().await;
    drop(ann);
    to_bob.send("without a node").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "without a node");
    for _ in 0..50 {
        to_bob.send(vec![0; 10_000]).await.unwrap();
    }
    drop(to_bob);
    for _ in 0..50 {
        said(&to_ann).await;
    }
    assert_eq!(end(&to_ann).await, Reason::Left);
    drop((bob, to_ann));
    while hub.hub().sessions() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn links_that_are_not_taken_are_bounded() {
    let (_hub, ann, bob) = two_nodes().await;
    let mut incoming = bob.incoming();
    let mut links = Vec::new();
    for _ in 0..257 {
        links.push(ann.peer("Bob").await.unwrap());
    }
    assert_eq!(links.pop().unwrap().closed().await, Reason::TooManyPending);
    for there in &links {
        let back = incoming.next().await.unwrap();
        there.send("hello").await.unwrap();
        assert_eq!(said(&back).await.data, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_bounds_links_and_says_so() {
    let limits = Limits { links_max: 1, ..Limits::default() };
    let hub = Server::new(HubOptions { limits, ..HubOptions::default() });
    let ann = node(&hub, "Ann", Shape::default()).await;
    let bob = node(&hub, "Bob", Shape::default()).await;
    let (one, other) = link(&ann, &bob).await;
    assert_eq!(ann.peer("Bob").await, Err(PeerError::Refused(Reason::TooManyLinks)));
    one.close().await;
    assert_eq!(end(&other).await, Reason::Left);
    ann.peer("Bob").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn links_and_channels_share_a_connection() {
    let Pair { ann, bob, to_bob, to_ann, .. } = pair().await;
    let here = ann.enter("room", EnterOptions::new().room()).await.unwrap();
    let mut there = bob.enter("room", EnterOptions::new().room()).await.unwrap();
    here.send("in the room").await.unwrap();
    to_bob.send("to the peer").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "to the peer");
    common::told(&mut there).await;
}

#[tokio::test(start_paused = true)]
async fn clocks_are_compared() {
    let hub = Server::new(HubOptions::default());
    let lag = Shape { lag: Duration::from_millis(50), ..Shape::default() };
    let ann = node(&hub, "Ann", lag).await;
    let bob = node(&hub, "Bob", Shape::default()).await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let (one, other) = tokio::join!(to_bob.clock(), to_bob.clock());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.round_trip, other.round_trip);
    assert!((100..105).contains(&one.round_trip.as_millis()), "{one:?}");
    // Both have the same clock, which does not pause with the test.
    assert!(one.offset_us.abs() <= 1_000_000, "{one:?}");
    let here = std::time::SystemTime::now();
    assert_eq!(crosspoint::Clock { offset_us: 0, ..one }.there(here), Some(here));
    to_ann.close().await;
    assert_eq!(to_bob.clock().await, Err(PeerError::Closed(Reason::Left)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_rules_loses_that_link_and_nothing_else() {
    let Pair { hub, ann, bob, to_bob, to_ann } = pair().await;
    let mut hostile = raw(&hub, PeerId::new([6; 16])).await;
    let mut incoming = bob.incoming();
    let messages: [(u8, &'static [u8], Reason); 8] = [
        (0x16, b"", Reason::Malformed),
        (0x10, b"", Reason::Malformed),
        (0x12, b"\xff\xff\xff\xff\xff\x01", Reason::Malformed),
        (0x1a, b"\x00never opened", Reason::Malformed),
        (0x18, b"\x00\xff\xff\xff\xff\x0f\x01x", Reason::Malformed),
        // Bob has no identity.
        (0x20, b"", Reason::Unsupported),
        (0x21, b"not sealed", Reason::Malformed),
        // May be skipped.
        (0x80, b"", Reason::Left),
    ];
    let mut parts = Vec::new();
    for (kind, body, reason) in messages {
        parts.push((Bytes::new(), Part { kind, ..Part::whole(body) }, reason));
    }
    parts.push((Bytes::from_static(b"no route"), Part::whole(""), Reason::Malformed));
    // The rest of a message whose beginning never came goes nowhere.
    let tail = Part { kind: 0x10, total: 9, offset: 5, data: Bytes::from_static(b"tail") };
    parts.push((Bytes::new(), tail, Reason::Left));
    for (number, (purpose, part, reason)) in (0..).zip(parts) {
        let to = Addressee::Peer(bob.peer_id());
        let options = LinkOptions { purpose: purpose.clone(), ..LinkOptions::default() };
        let link = LinkNumber(number);
        for command in [
            Command::Link(LinkCommand::Open { request: number, to, options }),
            Command::Send { to: Target::Link(link), part },
            // A clock is answered as long as the link is there.
            Command::Send {
                to: Target::Link(link),
                part: Part { kind: 0x1e, ..Part::whole(&b"12345678"[..]) },
            },
        ] {
            hostile.commands.send(command.into()).await.unwrap();
        }
        let taken = if purpose.is_empty() { incoming.next().await } else { None };
        let ended = loop {
            match hostile.events.recv().await.unwrap() {
                Event::Link(LinkEvent::Closed { reason, .. }) => break reason,
                Event::Data { .. } => taken.as_ref().unwrap().close().await,
                _ => {}
            }
        };
        assert_eq!(ended, reason, "message {number}");
        if let Some(peer) = taken {
            let here = if reason == Reason::Left { Reason::Bye } else { reason };
            assert_eq!(end(&peer).await, here);
        }
    }
    to_bob.send("untouched").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "untouched");
    drop(ann);
}
