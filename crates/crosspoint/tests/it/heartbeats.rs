//! Nodes and hubs that watch each other, and the lag between them.

use crate::common::{Cable, silence};
use crosspoint::testing::node;
use crosspoint::{
    ConnectError, Connectivity, Heartbeat, HubOptions, Node, PingError, Reason, Server, Shape,
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn hub() -> Server {
    Server::new(HubOptions::default())
}

/// How many round trips the hub has measured.
fn measured(hub: &Server) -> u64 {
    let text = hub.hub().metrics.render().unwrap();
    let name = "crosspoint_round_trip_seconds_count{protocol=\"native\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_ping_takes_the_lag_there_and_back() {
    let hub = hub();
    let lag = Shape { lag: SECOND / 10, ..Shape::default() };
    let ann = node(&hub, "Ann", lag).await;
    assert_eq!(ann.round_trip(), None);
    assert_eq!(ann.ping().await, Ok(SECOND / 5));
    assert_eq!(ann.round_trip(), Some(SECOND / 5));
    // Many at once, and some that nobody waits for any more.
    let began = Instant::now();
    for _ in 0..200 {
        timeout(SECOND / 1000, ann.ping()).await.expect_err("it takes longer");
    }
    let pings = tokio::join!(ann.ping(), ann.ping(), ann.ping());
    assert_eq!(pings, (Ok(SECOND / 5), Ok(SECOND / 5), Ok(SECOND / 5)));
    assert!(began.elapsed() < SECOND);
    ann.close().await;
    assert_eq!(ann.ping().await, Err(PingError::Closed(Reason::Bye)));
}

#[tokio::test]
async fn every_transport_of_the_native_protocol_can_be_measured_and_peote_says_that_it_cannot() {
    let hub = hub();
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    for scheme in ["tcp", "ws"] {
        let node = Node::connect(format!("{scheme}://{address}")).await.unwrap();
        let round_trip = node.ping().await.unwrap();
        assert!(round_trip > Duration::ZERO);
        assert_eq!(node.round_trip(), Some(round_trip));
        node.close().await;
    }
    for scheme in ["peote", "peote+ws"] {
        let node = Node::connect(format!("{scheme}://{address}")).await.unwrap();
        assert_eq!((node.ping().await, node.round_trip()), (Err(PingError::Unsupported), None));
    }
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn questions_of_either_side_measure_the_lag_at_that_side() {
    let hub = hub();
    let lag = || Shape { lag: SECOND / 10, ..Shape::default() };
    // The side that asks first is heard by the other, who need not ask then.
    let often = Heartbeat::new().interval(2 * SECOND);
    let ann = Node::builder().heartbeat(often).connect(hub.inside(lag())).await.unwrap();
    sleep(9 * SECOND).await;
    assert_eq!((ann.round_trip(), measured(&hub)), (Some(SECOND / 5), 0));
    ann.close().await;
    let often = Heartbeat::new().off().hub_interval(2 * SECOND);
    let bob = Node::builder().heartbeat(often).connect(hub.inside(lag())).await.unwrap();
    sleep(9 * SECOND).await;
    assert_eq!((bob.round_trip(), measured(&hub)), (None, 4));
    bob.close().await;
    // Below one that comes back the connections are measured.
    let cid = Node::builder().resume().connect(hub.inside(lag())).await.unwrap();
    sleep(30 * SECOND).await;
    assert!(measured(&hub) > 5, "{}", measured(&hub));
    assert_eq!(cid.round_trip(), None);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_falls_silent_is_given_up_as_soon_as_the_node_wishes() {
    for (heartbeat, seconds) in [
        (Heartbeat::new(), 45),
        (Heartbeat::new().interval(2 * SECOND).missed_max(1), 4),
        (Heartbeat::every(5 * SECOND).missed_max(3), 20),
    ] {
        let (cable, address) = Cable::new(&hub());
        let node = Node::builder().heartbeat(heartbeat).connect(address).await.unwrap();
        cable.freeze();
        let began = Instant::now();
        let (reason, ping) = tokio::join!(node.closed(), node.ping());
        assert_eq!(reason, Reason::HeartbeatLost);
        assert_eq!(ping, Err(PingError::Closed(Reason::HeartbeatLost)));
        // Its farewell is given some time.
        let took = began.elapsed().as_secs();
        assert!((seconds..seconds + 10).contains(&took), "{took} s instead of {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_asks_for_nothing_notices_nothing() {
    let (cable, address) = Cable::new(&hub());
    let node = Node::builder().heartbeat(Heartbeat::none()).connect(address).await.unwrap();
    cable.freeze();
    timeout(24 * 3600 * SECOND, node.closed()).await.expect_err("it does not know");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_is_not_given_up_while_it_is_away() {
    let server = hub();
    let (cable, address) = Cable::new(&server);
    let builder = Node::builder().heartbeat(Heartbeat::new().interval(SECOND).missed_max(1));
    let builder = builder.resume_at(server.inside(Shape::default()));
    let node = builder.connect(address).await.unwrap();
    cable.freeze();
    let took = node.ping().await.unwrap();
    // Until the loss was noticed, and the first attempt given up, which goes to the same place.
    assert!((15 * SECOND..25 * SECOND).contains(&took), "{took:?}");
    assert_eq!(*node.connectivity().unwrap().borrow(), Connectivity::Connected);
    assert_eq!(server.hub().sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_waited_for_keeps_its_name_until_its_window_is_over() {
    let server = hub();
    let (cable, address) = Cable::new(&server);
    let _away = Node::builder().name("Ann").resume().connect(address).await.unwrap();
    cable.cut();
    let began = Instant::now();
    let inside = server.inside(Shape::default());
    let newcomer = loop {
        match Node::builder().name("Ann").connect(inside.clone()).await {
            Ok(node) => break node,
            Err(ConnectError::Refused { reason: Reason::NameTaken, .. }) => sleep(SECOND).await,
            Err(other) => panic!("{other}"),
        }
    };
    assert!((20..23).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    silence(newcomer.closed()).await;
}
