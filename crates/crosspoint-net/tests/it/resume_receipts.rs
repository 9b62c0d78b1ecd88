//! Beyond the window: both sides say exactly what was lost. Within it: any transport will do.

use crate::common::{Dice, until, within};
use crate::resume_world::{Client, Fate, World, message, options, outcome, resumable};
use crosspoint_hub::Reason;
use crosspoint_net::client::Endpoint;
use crosspoint_net::gateways::{self, standard};
use crosspoint_net::memory;
use crosspoint_net::resume::{Config, Connectivity, Receipt, Why};
use crosspoint_net::server::{Server, ServerOptions, bind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    World::new(options(), ServerOptions::default())
}

async fn gone(state: &mut tokio::sync::watch::Receiver<Connectivity>) -> Receipt {
    match outcome(state).await {
        Connectivity::Gone { receipt } => receipt,
        other => panic!("a receipt was expected, not {other:?}"),
    }
}

/// Messages until the end.
async fn rest(client: &mut Client) -> u64 {
    let mut count = 0;
    while client.message().await.is_ok() {
        count += 1;
    }
    count
}

/// Speaks both ways over a connection that breaks somewhere, and comes back too late.
async fn too_late(seed: u64) {
    let mut dice = Dice(seed);
    let world = world();
    let (there, back) = (200 + dice.below(6_000), 200 + dice.below(6_000));
    world.road.fates([if dice.below(2) == 0 {
        Fate::Cut(there, back)
    } else {
        Fate::Frozen(there, back)
    }]);
    let mut stays = world.plain().await;
    let room = stays.enter().await;
    let (mut leaves, mut state) =
        resumable(vec![world.road.endpoint()], dice.roll()).await.expect("long enough");
    let same = leaves.enter().await;
    world.road.usual(Fate::Refused);
    // Which of them pass before the connection breaks is up to the numbers above.
    let (out, answers) = (1 + dice.below(60), 1 + dice.below(60));
    for number in 0..out.max(answers) {
        if number < out {
            leaves.send(same, message(number as u32, dice.below(300))).await;
        }
        if number < answers {
            stays.send(room, message(number as u32, dice.below(300))).await;
        }
        sleep(Duration::from_millis(dice.below(20) as u64)).await;
    }
    // Now it is noticed, if it was not so far: no other connection is let through.
    world.road.cut();
    let mut heard = 0;
    let metrics = &world.hub.metrics;
    while metrics.resume_expired.get() == 0 {
        tokio::select! {
            result = stays.message() => {
                result.expect("it stays");
                heard += 1;
            }
            () = sleep(SECOND / 10) => {}
        }
    }
    world.road.usual(Fate::Lasts);
    let received = rest(&mut leaves).await;
    // What the hub carried out before the end may be waiting still.
    while let Ok(result) = tokio::time::timeout(SECOND, stays.message()).await {
        result.expect("it stays");
        heard += 1;
    }
    let receipt = gone(&mut state).await;
    assert_eq!(receipt.why, Why::Expired, "{receipt}");
    let (lost_out, lost_in) =
        (receipt.lost_out().expect("the hub knows"), receipt.lost_in().expect("the hub knows"));
    // Each message is a frame, and before them came HELLO and ENTER, WELCOME and ENTERED.
    assert_eq!(receipt.we_sent.frames, Some(2 + out as u64));
    assert_eq!(receipt.we_received.frames, Some(2 + received));
    assert_eq!(lost_out.frames, Some(out as u64 - heard), "{receipt}");
    assert_eq!(lost_in.frames, Some(answers as u64 - received), "{receipt}");
    assert!(receipt.acknowledged <= receipt.they_received.expect("the hub knows").bytes);
    assert!(!receipt.more);
    assert_eq!(lost_out.is_nothing(), lost_out.frames == Some(0));
    assert_eq!((metrics.resumed.get(), metrics.sessions_away.get()), (0, 0));
    within("the server stops", world.server.stop()).await;
}

#[test]
fn who_comes_back_too_late_hears_exactly_what_was_lost_in_both_directions() {
    for seed in 0..300 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(too_late(seed)));
        if std::panic::catch_unwind(run).is_err() {
            panic!("seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_holds_to_its_end_and_not_longer() {
    let world = world();
    let (mut client, mut state) =
        resumable(vec![world.road.endpoint()], 1).await.expect("the hub listens");
    let room = client.enter().await;
    world.road.usual(Fate::Refused);
    world.road.cut();
    let lost = Instant::now();
    client.send(room, message(1, 5)).await;
    tokio::time::sleep_until(lost + 19 * SECOND).await;
    let away = matches!(*state.borrow(), Connectivity::Away { since, attempts }
        if since == lost.into_std() && attempts > 5);
    assert!(away, "{:?}", *state.borrow());
    let sessions_away = || world.hub.metrics.sessions_away.get();
    assert_eq!((world.hub.sessions(), sessions_away()), (1, 1));
    tokio::time::sleep_until(lost + 20 * SECOND + SECOND / 10).await;
    assert_eq!((world.hub.sessions(), sessions_away()), (0, 0));
    world.road.usual(Fate::Lasts);
    assert_eq!(gone(&mut state).await.lost_out().expect("the hub knows").frames, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_was_restarted_knows_nothing_and_the_receipt_admits_it() {
    let world = world();
    let (mut client, mut state) =
        resumable(vec![world.road.endpoint()], 7).await.expect("the hub listens");
    let room = client.enter().await;
    let other = World::new(options(), ServerOptions::default());
    world.road.lead_to(other.direct.clone());
    world.road.cut();
    client.send(room, message(1, 10)).await;
    assert_eq!(rest(&mut client).await, 0);
    let receipt = gone(&mut state).await;
    assert_eq!((receipt.why, receipt.lost_out(), receipt.lost_in()), (Why::Unknown, None, None));
    assert!(receipt.to_string().contains("it is not known whether they arrived"), "{receipt}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_finds_no_hub_gives_up_when_the_hub_would_have() {
    let world = world();
    let (mut client, mut state) =
        resumable(vec![world.road.endpoint()], 7).await.expect("the hub listens");
    client.enter().await;
    let (nobody, _) = memory::listener();
    world.road.lead_to(nobody);
    let lost = Instant::now();
    world.road.cut();
    let receipt = gone(&mut state).await;
    assert_eq!(receipt.why, Why::NoAnswer);
    // The window, and the time until a silent connection is given up.
    let waited = lost.elapsed();
    assert!((35 * SECOND..36 * SECOND).contains(&waited), "{waited:?}");
    assert_eq!(client.message().await, Err(Reason::ConnectionLost));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_while_its_client_was_away_says_why() {
    let resume = Config { window: 50 * SECOND, ..Config::default() };
    let gateways = standard().with(gateways::resumable(Some(resume)));
    let mut hub = options();
    hub.limits.channel_bytes_max = 256 * 1024;
    let world = World::new(hub, ServerOptions { gateways, ..ServerOptions::default() });
    let (mut client, mut state) =
        resumable(vec![world.road.endpoint()], 7).await.expect("the hub listens");
    client.enter().await;
    let mut other = world.plain().await;
    let room = other.enter().await;
    world.road.usual(Fate::Refused);
    world.road.cut();
    until("the hub knows", || world.hub.metrics.sessions_away.get() == 1).await;
    // More than may be kept: it waits in the room, and then that may keep no more.
    for number in 0..200 {
        other.send(room, message(number, 16_000)).await;
    }
    until("the session ends", || world.hub.sessions() == 1).await;
    world.road.usual(Fate::Lasts);
    let receipt = gone(&mut state).await;
    assert_eq!(receipt.why, Why::Ended(Reason::SlowReceiver));
    assert!(receipt.more, "{receipt}");
    assert!(receipt.lost_in().expect("the hub knows").bytes > 64 * 1024, "{receipt}");
    assert!(receipt.lost_out().expect("the hub knows").is_nothing());
}

#[tokio::test(start_paused = true)]
async fn goodbyes_arrive_even_if_they_are_said_while_there_is_no_connection() {
    let world = world();
    let (mut client, mut state) =
        resumable(vec![world.road.endpoint()], 7).await.expect("the hub listens");
    let room = client.enter().await;
    let mut other = world.plain().await;
    other.enter().await;
    world.road.fates([Fate::Refused, Fate::Refused]);
    world.road.cut();
    until("the hub knows", || world.hub.metrics.sessions_away.get() == 1).await;
    client.send(room, message(5, 5)).await;
    drop(client);
    assert_eq!(other.message().await, Ok(message(5, 5)));
    assert_eq!(outcome(&mut state).await, Connectivity::Ended);
    until("it has left", || world.hub.sessions() == 1).await;
    let bye = crosspoint_hub::metrics::ByReason { reason: Reason::Bye.word() };
    assert_eq!(world.hub.metrics.closed.get_or_create(&bye).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_for_nobody_who_is_away_and_tells_those_who_are_there() {
    let world = world();
    let (mut here, mut heres) =
        resumable(vec![world.road.endpoint()], 7).await.expect("the hub listens");
    here.enter().await;
    world.road.fates([Fate::Frozen(400, 4000)]);
    let (mut away, _) = resumable(vec![world.road.endpoint()], 8).await.expect("the hub listens");
    away.enter().await;
    let began = Instant::now();
    world.server.stop().await;
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
    assert_eq!(here.message().await, Err(Reason::HubStopping));
    assert_eq!(outcome(&mut heres).await, Connectivity::Ended);
}

/// A way to a port that can be taken away.
struct Gate {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Gate {
    async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            let mut ways = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                ways.spawn(async move {
                    let mut far = TcpStream::connect(hub).await.expect("the hub listens");
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, task }
    }
}

#[tokio::test]
async fn one_session_goes_from_tcp_to_websocket_to_memory() {
    let hub = crosspoint_hub::Hub::new(options());
    let server = Server::new(hub.clone(), ServerOptions::default());
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let port = listener.local_addr().expect("it is bound");
    server.listen(listener);
    let (connector, acceptor) = memory::listener();
    server.listen_memory(acceptor);
    let (tcp, websocket) = (Gate::to(port).await, Gate::to(port).await);
    let endpoints = vec![
        Endpoint::Tcp { authority: tcp.address.to_string(), tls: None },
        Endpoint::WebSocket {
            authority: websocket.address.to_string(),
            path: "/".into(),
            tls: None,
            deflate_bytes_min: None,
        },
        Endpoint::Memory { connector: connector.clone(), shape: memory::Shape::default() },
    ];
    let (mut client, state) = resumable(endpoints, 3).await.expect("the hub listens");
    let room = client.enter().await;
    let (shape, direct) = (memory::Shape::default(), connector);
    let dialed = crosspoint_net::client::dial(&Endpoint::Memory { connector: direct, shape }).await;
    let mut other = Client::new(dialed.expect("the hub listens"));
    let back = other.enter().await;
    let mut number = 0;
    for (changes, gate) in [(0, None), (1, Some(&tcp)), (2, Some(&websocket))] {
        if let Some(gate) = gate {
            gate.task.abort();
        }
        for _ in 0..50 {
            number += 1;
            client.send(room, message(number, 5_000)).await;
            other.send(back, message(number, 3_000)).await;
        }
        for past in number - 49..=number {
            assert_eq!(other.message().await, Ok(message(past, 5_000)));
            assert_eq!(client.message().await, Ok(message(past, 3_000)));
        }
        assert_eq!(hub.metrics.resumed.get(), changes);
    }
    assert_eq!(*state.borrow(), Connectivity::Connected);
    within("the server stops", server.stop()).await;
}
