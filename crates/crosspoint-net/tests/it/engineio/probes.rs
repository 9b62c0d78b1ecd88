//! Sessions that have to show that they live, because another one wants their name. Clients of revision 3 answer no
//! heartbeat of the server.

use super::*;
use crate::common::until;
use crosspoint_hub::Reason;
use std::time::Duration;
use tokio::time::Instant;

/// Another session comes with the name.
async fn newcomer(served: &Served) {
    let (mut ws, _) = Ws::session(served.memory(), "EIO=4&transport=websocket&name=n").await;
    assert_eq!(ws.closed().await, 1008);
}

#[tokio::test(start_paused = true)]
async fn a_client_in_a_websocket_that_has_no_probe_is_pinged() {
    let served = serve();
    let (mut ws, _) = Ws::session(served.memory(), "EIO=3&transport=websocket&name=n").await;
    newcomer(&served).await;
    assert_eq!(server_frame(&mut ws.0).await, (0x89, Bytes::new()));
    ws.send(Opcode::Pong, b"").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(served.closed(Reason::HeartbeatLost), 0);
    newcomer(&served).await;
    assert_eq!(server_frame(&mut ws.0).await.0, 0x89);
    let begun = Instant::now();
    assert_eq!(ws.closed().await, 1008);
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(served.closed(Reason::HeartbeatLost), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_by_requests_shows_with_the_next_one_that_it_lives() {
    let served = serve();
    let begun = get(&served, "EIO=3&transport=polling&name=n").await;
    let (_, body) = said(&begun);
    let query = format!("EIO=3&transport=polling&sid={}", value(body, "sid"));
    for hangs in [true, false] {
        let mut poll = served.memory();
        let head = request("GET", &query, "");
        if hangs {
            poll.send(head.as_bytes()).await;
        }
        idle().await;
        newcomer(&served).await;
        if !hangs {
            poll.send(head.as_bytes()).await;
        }
        // It is released, which alone shows nothing.
        assert_eq!(said(&answer(&mut poll, false).await), (200, "1:6"));
        poll.send(head.as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(served.closed(Reason::HeartbeatLost), 0);
        assert_eq!(said(&post(&served, &query, "2:4a").await), (200, "ok"));
        assert_eq!(said(&answer(&mut poll, false).await), (200, "2:4a"));
    }
    // One that is released and does not come again is gone.
    let mut poll = served.memory();
    poll.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    newcomer(&served).await;
    assert_eq!(said(&answer(&mut poll, false).await), (200, "1:6"));
    until("it is given up", || served.closed(Reason::HeartbeatLost) == 1).await;
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
}

#[tokio::test(start_paused = true)]
async fn an_answer_right_behind_the_upgrade_shows_that_a_client_lives() {
    let served = serve();
    let begun = get(&served, "EIO=4&transport=polling&name=n").await;
    let query = format!("EIO=4&transport=polling&sid={}", value(said(&begun).1, "sid"));
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    let websocket = query.replace("transport=polling", "transport=websocket");
    let mut ws = Ws::open(served.memory(), &websocket).await;
    ws.say("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    newcomer(&served).await;
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "2"));
    let mut together = BytesMut::new();
    for word in ["5", "3"] {
        frame::client_frame(Opcode::Text, true, word.as_bytes(), [1, 2, 3, 4], &mut together);
    }
    ws.0.send(&together).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(served.closed(Reason::HeartbeatLost), 0);
    ws.say("4a").await;
    assert_eq!(ws.text().await, "4a");
}
