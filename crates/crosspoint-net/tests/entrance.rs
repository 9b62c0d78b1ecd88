//! Sessions at the door: their credentials are being checked, and that takes its time.

mod common;

use common::peer::{Peer, create, upgrade};
use common::{Link, Served, serve_as, until};
use crosspoint_auth::{Denied, from_fn};
use crosspoint_hub::{Event, Grant, HubOptions, Limits, Permissions, Reason};
use crosspoint_net::server::ServerOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A server whose check waits until the test lets it go on.
struct Door {
    served: Served,
    /// One for each that may be let in. Closed, everybody is denied.
    places: Arc<Semaphore>,
    /// How many stand at it.
    waiting: Arc<AtomicUsize>,
}

/// Counts as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Door {
    fn new(limits: Limits) -> Self {
        let (places, waiting) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
        let (gate, count) = (places.clone(), waiting.clone());
        let check = from_fn(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let (gate, counted) = (gate.clone(), Counted(count.clone()));
            async move {
                let _counted = counted;
                gate.acquire().await.map_err(|_| Denied::new("closed"))?.forget();
                Ok(Grant { name: None, permissions: Permissions::ALL })
            }
        });
        let options = HubOptions { limits, ..HubOptions::default() };
        let authenticator = Some(Arc::new(check) as _);
        let served = serve_as(options, ServerOptions { authenticator, ..ServerOptions::default() });
        Self { served, places, waiting }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// A client that has said hello, and right behind it that it creates a channel.
    async fn hurried(&self, link: Link, websocket: bool) -> Peer {
        let before = self.waiting();
        let mut peer = Peer::unwelcome(link, websocket);
        let bytes = peer.bytes_of(create(7, "room"));
        peer.link.send(&bytes).await;
        until("it stands at the door", || self.waiting() > before).await;
        peer
    }

    fn closed(&self, reason: Reason) -> u64 {
        self.served.closed(reason)
    }
}

async fn closed(peer: &mut Peer) -> Reason {
    match peer.event().await {
        Event::Closed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_follows_a_hello_waits_at_the_door_and_is_carried_out_behind_it() {
    let door = Door::new(Limits::default());
    let mut link = door.served.tcp().await;
    upgrade(&mut link).await;
    let in_websocket = door.hurried(link, true).await;
    let bare = door.hurried(door.served.tcp().await, false).await;
    assert_eq!((door.served.hub.channels(), door.waiting()), (0, 2));
    door.places.add_permits(2);
    let mut created = 0;
    for mut peer in [in_websocket, bare] {
        let welcome = peer.event().await;
        assert!(matches!(welcome, Event::Welcome { .. }), "{welcome:?}");
        created += usize::from(matches!(peer.event().await, Event::Created { request: 7, .. }));
    }
    assert_eq!(created, 1, "the name is there once");
    door.served.empty().await;
}

#[tokio::test]
async fn whoever_is_denied_hears_so_and_nothing_it_said_has_happened() {
    let door = Door::new(Limits::default());
    let mut peer = door.hurried(door.served.tcp().await, false).await;
    door.places.close();
    assert_eq!(closed(&mut peer).await, Reason::NotAllowed);
    assert_eq!(door.closed(Reason::NotAllowed), 1);
    door.served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_longer_than_a_handshake_may_is_given_up() {
    let limits = Limits { handshake_max: Duration::from_secs(9), ..Limits::default() };
    let door = Door::new(limits);
    let begun = Instant::now();
    let mut peer = door.hurried(door.served.memory(), false).await;
    assert_eq!(closed(&mut peer).await, Reason::HandshakeTimeout);
    assert_eq!(begun.elapsed().as_secs(), 9);
    assert_eq!(door.served.hits("handshake_ms_max"), 1);
    until("nobody works on it", || door.waiting() == 0).await;
    drop(peer);
    door.served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn the_silence_at_the_door_is_not_held_against_the_client() {
    let second = Duration::from_secs(1);
    let limits = Limits {
        handshake_max: 60 * second,
        idle_max: Some(5 * second),
        heartbeat: second,
        heartbeat_missed_max: 2,
        ..Limits::default()
    };
    let door = Door::new(limits);
    let mut peer = door.hurried(door.served.memory(), false).await;
    tokio::time::sleep(50 * second).await;
    door.places.add_permits(1);
    let welcome = peer.event().await;
    assert!(matches!(welcome, Event::Welcome { .. }), "no PING and no end before: {welcome:?}");
}

#[tokio::test]
async fn a_hub_that_stops_does_not_wait_for_checks() {
    let door = Door::new(Limits::default());
    let mut peer = door.hurried(door.served.tcp().await, false).await;
    let stop = {
        let server = door.served.server.clone();
        tokio::spawn(async move { server.stop().await })
    };
    assert_eq!(closed(&mut peer).await, Reason::HubStopping);
    drop(peer);
    stop.await.expect("it stops");
    assert_eq!((door.waiting(), door.served.hub.sessions()), (0, 0));
}

#[tokio::test]
async fn a_client_that_goes_while_it_is_checked_leaves_nothing_behind() {
    let door = Door::new(Limits::default());
    let peer = door.hurried(door.served.tcp().await, false).await;
    peer.link.abort();
    door.places.add_permits(1);
    door.served.empty().await;
    assert_eq!(door.waiting(), 0);
}
