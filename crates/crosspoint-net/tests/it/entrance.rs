//! Sessions at the door: their credentials are being checked, and that takes its time.

use crate::common::peer::{Peer, create, upgrade};
use crate::common::{Link, Served, cram, serve_as, until};
use crosspoint_auth::{Authenticator, CheckLimits, Credentials, Denied, Secret, Secrets, from_fn};
use crosspoint_hub::command::{ChannelEvent, Hello};
use crosspoint_hub::{Event, Grant, HubOptions, Limits, Reason};
use crosspoint_net::gateways::{Peote, standard};
use crosspoint_net::memory::Shape;
use crosspoint_net::server::ServerOptions;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
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

/// Addresses in the order of what happened to them.
type Addresses = Arc<Mutex<Vec<Option<IpAddr>>>>;

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
                Ok(Grant::default())
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
        created += usize::from(matches!(
            peer.event().await,
            Event::Channel(ChannelEvent::Created { request: 7, .. })
        ));
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
async fn a_client_that_goes_while_it_is_checked_is_checked_no_longer() {
    let door = Door::new(Limits::default());
    let lag = || Shape { lag: Duration::from_millis(20), ..Shape::default() };
    for link in [door.served.tcp().await, door.served.memory(), door.served.shaped(lag())] {
        let peer = door.hurried(link, false).await;
        peer.link.abort();
        until("nobody works on it", || door.waiting() == 0).await;
    }
    // It has more to say than anybody listens to, and then says that this was all.
    for link in [door.served.tcp().await, door.served.memory(), door.served.shaped(lag())] {
        let peer = door.hurried(link, false).await;
        let crammed = cram(&peer.link, &[0; 1 << 16]).await;
        assert!(crammed > 0 && door.waiting() == 1);
        peer.link.finish();
        until("nobody works on it", || door.waiting() == 0).await;
    }
    door.served.empty().await;
    assert_eq!(door.served.hub.metrics.messages_in.get(), 0);
}

#[tokio::test]
async fn a_name_that_nobody_may_have_is_refused_before_anybody_is_asked() {
    let door = Door::new(Limits::default());
    for (length, refused) in [(255, false), (256, true), (60_000, true)] {
        let hello = Hello { name: Some("n".repeat(length)), ..Hello::default() };
        let mut peer = Peer::introduced(door.served.memory(), hello);
        if refused {
            peer.say_hello().await;
            assert_eq!(closed(&mut peer).await, Reason::TooLarge, "{length}");
            assert_eq!(door.waiting(), 0);
        } else {
            door.places.add_permits(1);
            peer.welcomed().await;
        }
    }
}

/// A server that lets everybody in for a time.
fn for_a_time(lasts: Option<Duration>) -> Served {
    // No probe is sent meanwhile.
    let limits = Limits { heartbeat: Duration::from_secs(1 << 20), ..Limits::default() };
    let check =
        from_fn(move |_| std::future::ready(Ok::<_, Denied>(Grant { lasts, ..Grant::default() })));
    let options = HubOptions { limits, ..HubOptions::default() };
    let authenticator = Some(Arc::new(check) as _);
    let gateways = standard().with(Peote { enabled: Some(true) });
    serve_as(options, ServerOptions { authenticator, gateways, ..ServerOptions::default() })
}

/// Somebody's credentials grant the name `keeper`.
struct Keepers;

impl Authenticator for Keepers {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> crosspoint_auth::BoxFuture<'_, Result<Grant, Denied>> {
        let name = credentials.token.map(|_| "keeper".to_owned());
        Box::pin(std::future::ready(Ok(Grant { name, ..Grant::default() })))
    }

    fn reserves(&self, name: &str) -> bool {
        name == "keeper"
    }
}

#[tokio::test]
async fn a_name_that_credentials_grant_is_refused_to_all_others_whoever_is_there() {
    let authenticator = Some(Arc::new(Keepers) as _);
    let options = ServerOptions { authenticator, ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    let come = async |name: &str, token: Option<&'static str>| {
        let (name, token) = (Some(name.to_owned()), token.map(Into::into));
        let hello = Hello { name, token, ..Hello::default() };
        let mut peer = Peer::introduced(served.memory(), hello);
        peer.say_hello().await;
        let answer = peer.event().await;
        (peer, answer)
    };
    let refused = Event::Closed { reason: Reason::NotAllowed };
    assert_eq!(come("keeper", None).await.1, refused, "though nobody has it");
    let (_keeper, welcome) = come("", Some("secret")).await;
    assert!(matches!(welcome, Event::Welcome { .. }), "{welcome:?}");
    assert_eq!(come("keeper", None).await.1, refused);
    assert!(matches!(come("other", None).await.1, Event::Welcome { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_credentials_expire_whatever_it_does() {
    let served = for_a_time(Some(Duration::from_secs(60)));
    let begun = Instant::now();
    let mut silent = Peer::native(served.memory()).await;
    let mut busy = Peer::native_ws(served.memory()).await;
    let mut peote = Peer::joint(served.memory());
    busy.create("room").await;
    let entered = peote.enter("room").await;
    for _ in 0..59 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        peote.send_up(entered, b"still there").await;
        busy.data().await;
    }
    assert_eq!((served.closed(Reason::Expired), served.hub.sessions()), (0, 3));
    assert_eq!(silent.closed().await, Reason::Expired);
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(busy.closed().await, Reason::Expired);
    assert_eq!((busy.closed().await, busy.code), (Reason::ConnectionLost, Some(1008)));
    // It has no word for this, and says of each channel that it is lost.
    assert_eq!(peote.ended().await, (entered, Reason::OwnerLost));
    assert_eq!(begun.elapsed().as_secs(), 60);
    served.empty().await;
    assert_eq!(served.closed(Reason::Expired), 3);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_never_expire_or_farther_than_any_clock_end_nothing() {
    for lasts in [None, Some(Duration::MAX)] {
        let served = for_a_time(lasts);
        let mut peer = Peer::native(served.memory()).await;
        tokio::time::sleep(Duration::from_secs(40_000)).await;
        peer.create("room").await;
    }
}

#[tokio::test]
async fn who_comes_with_credentials_that_have_just_expired_hears_so() {
    let served = for_a_time(Some(Duration::ZERO));
    let mut peer = Peer::native(served.tcp().await).await;
    assert_eq!(peer.closed().await, Reason::Expired);
    served.empty().await;
}

/// Of `swordfish`, at the least cost.
const SWORDFISH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhIHRlc3Q$eRkBk4O87NvYacBX3aAMiQhT2m45dpGSVfY508mb7+w";

#[test]
fn a_flood_of_wrong_secrets_from_one_address_does_not_keep_another_out() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // No check is done before the only thread for blocking work is free.
    builder.max_blocking_threads(1).enable_all().build().expect("a runtime").block_on(async {
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || released.recv());
        let hash = SWORDFISH.parse().expect("a hash");
        let secret = Secret { name: "anna".into(), hash, grant: Grant::default() };
        let limits =
            CheckLimits { running_max: 1, loopback_exempt: false, ..CheckLimits::default() };
        let secrets = Arc::new(Secrets::new([secret]).expect("one").with_limits(limits));
        // Who has come, and whose checks were done, in the order of both.
        let (came, done) = <(Addresses, Addresses)>::default();
        let (coming, doing) = (came.clone(), done.clone());
        let check = from_fn(move |credentials: Credentials| {
            let (secrets, doing) = (secrets.clone(), doing.clone());
            let address = credentials.address;
            coming.lock().expect("no panic").push(address);
            async move {
                let verdict = secrets.authenticate(credentials).await;
                if verdict.as_ref().err().is_none_or(|denied| denied.told != Reason::Busy) {
                    doing.lock().expect("no panic").push(address);
                }
                verdict
            }
        });
        let authenticator = Some(Arc::new(check) as _);
        let options = ServerOptions { authenticator, ..ServerOptions::default() };
        let served = serve_as(HubOptions::default(), options);
        let count = |addresses: &Addresses| addresses.lock().expect("no panic").len();
        let come = async |last: u8, secret: &str| {
            let token = Some(format!("anna:{secret}").into());
            let link = served.tcp_from([127, 0, 0, last].into()).await;
            let mut peer = Peer::introduced(link, Hello { token, ..Hello::default() });
            let before = count(&came);
            peer.say_hello().await;
            until("it is asked about", || count(&came) > before).await;
            peer
        };

        let mut flood = Vec::new();
        for guess in 0..40 {
            flood.push(come(2, &guess.to_string()).await);
        }
        let mut honest = come(3, "swordfish").await;
        for peer in flood.split_off(17) {
            let reason = { peer }.closed().await;
            assert_eq!(reason, Reason::Busy, "one is checked and sixteen wait");
        }
        assert_eq!(served.hits("auth.checks_waiting_per_address_max"), 23);
        // One of those who wait gives up.
        flood.remove(5).link.abort();
        flood.push(come(2, "late").await);

        drop(release);
        assert!(held.await.expect("it ends").is_err());
        let welcome = honest.event().await;
        assert!(matches!(welcome, Event::Welcome { .. }), "{welcome:?}");
        let last = |address: &Option<IpAddr>| address.expect("TCP").to_string();
        let order: Vec<_> = done.lock().expect("no panic").iter().map(last).collect();
        // It was the third. The verdict of the fourth may be told in the same moment.
        assert!(order.iter().take(4).any(|address| address == "127.0.0.3"), "{order:?}");
        assert_eq!(flood[0].closed().await, Reason::NotAllowed);
    });
}
