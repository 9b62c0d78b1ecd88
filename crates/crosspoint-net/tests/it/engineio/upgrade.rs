//! Sessions that come by requests at first, and become a WebSocket.

use super::*;
use crate::common::peer::Peer;
use crate::common::{until, within};
use crosspoint_hub::command::Target;
use crosspoint_hub::{Command, Event, Part, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// The query of a WebSocket for a session.
fn in_websocket(query: &str) -> String {
    query.replace("transport=polling", "transport=websocket")
}

/// Opens a WebSocket for a session, and says the first word.
async fn probe(served: &Served, query: &str) -> Ws {
    let mut ws = Ws::open(served.memory(), &in_websocket(query)).await;
    ws.say("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws
}

/// Makes a session a WebSocket.
async fn upgraded(served: &Served, query: &str) -> Ws {
    let mut ws = probe(served, query).await;
    ws.say("5").await;
    ws.say("4there").await;
    assert_eq!(ws.text().await, "4there");
    ws
}

#[tokio::test]
async fn a_session_becomes_a_websocket_and_loses_nothing_that_waits() {
    let served = serve();
    for revision in [4, 3] {
        let query = begin(&served, revision).await;
        let (body, header) = match revision {
            4 => ("4one\u{1e}4two\u{1e}bAQI=", &b""[..]),
            _ => ("4:4one4:4two6:b4AQI=", &[4][..]),
        };
        assert_eq!(said(&post(&served, &query, body).await), (200, "ok"));
        let mut ws = probe(&served, &query).await;
        // What follows the word is for the session already.
        ws.say("5").await;
        ws.say("4three").await;
        let bytes = [header, &[7; 100_000]].concat();
        ws.send(Opcode::Binary, &bytes).await;
        assert_eq!((ws.text().await, ws.text().await), ("4one".into(), "4two".into()));
        assert_eq!(ws.binary().await, [header, &[1, 2]].concat());
        assert_eq!(ws.text().await, "4three");
        assert_eq!(ws.binary().await, bytes);

        // The requests are over.
        assert_eq!(said(&get(&served, &query).await), BAD);
        assert_eq!(said(&post(&served, &query, "4x").await), BAD);
        let mut second = Ws::open(served.memory(), &in_websocket(&query)).await;
        assert_eq!(second.closed().await, 1008);
        ws.say("4still").await;
        assert_eq!(ws.text().await, "4still");
        ws.say("1").await;
        assert_eq!(ws.closed().await, 1000);
        drop((ws, second));
        served.empty().await;
        assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_released_for_the_upgrade() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    let begun = Instant::now();
    let mut ws = probe(&served, &query).await;
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "6"));
    assert!(begun.elapsed() < Duration::from_millis(60), "{:?}", begun.elapsed());
    // What is said until the upgrade comes by requests as before.
    assert_eq!(said(&post(&served, &query, "4a").await), (200, "ok"));
    assert_eq!(said(&get(&served, &query).await), (200, "4a"));
    ws.say("5").await;
    ws.say("4b").await;
    assert_eq!(ws.text().await, "4b");
    // Its heartbeat goes on.
    assert_eq!(ws.text().await, "2");
    ws.say("3").await;
    assert_eq!(ws.text().await, "2");
    assert_eq!(ws.closed().await, 1008);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_refused_when_the_upgrade_comes_first() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    let mut ws = upgraded(&served, &query).await;
    assert_eq!(said(&answer(&mut hanging, false).await), BAD);
    ws.say("4on").await;
    assert_eq!(ws.text().await, "4on");
}

#[tokio::test(start_paused = true)]
async fn what_is_being_brought_comes_before_the_upgrade() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut posting = served.memory();
    posting.send(request("POST", &query, "Content-Length: 6\r\n").as_bytes()).await;
    idle().await;
    let mut ws = probe(&served, &query).await;
    ws.say("5").await;
    ws.say("4second").await;
    idle().await;
    posting.send(b"4first").await;
    assert_eq!(said(&answer(&mut posting, false).await), (200, "ok"));
    assert_eq!((ws.text().await, ws.text().await), ("4first".into(), "4second".into()));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_says_something_else_is_closed_and_the_session_goes_on() {
    let served = serve();
    let query = begin(&served, 4).await;
    for words in [
        &["5"][..],
        &["4hello"],
        &["2probe?"],
        &["2probe", "2probe"],
        &["2probe", "4x"],
        &["2probe", ""],
    ] {
        let mut ws = Ws::open(served.memory(), &in_websocket(&query)).await;
        for word in words {
            ws.say(word).await;
        }
        if words[0] == "2probe" {
            assert_eq!(ws.text().await, "3probe");
        }
        assert_eq!(ws.closed().await, 1008, "{words:?}");
    }
    let mut binary = Ws::open(served.memory(), &in_websocket(&query)).await;
    binary.send(Opcode::Binary, b"2probe").await;
    assert_eq!(binary.closed().await, 1008);
    upgraded(&served, &query).await;
}

#[tokio::test(start_paused = true)]
async fn one_websocket_at_a_time_has_its_time_to_take_the_session() {
    let served = serve();
    let query = begin(&served, 4).await;
    // One that was probed is the only one.
    let first = probe(&served, &query).await;
    let mut second = Ws::open(served.memory(), &in_websocket(&query)).await;
    assert_eq!(second.closed().await, 1008);
    drop(first);
    idle().await;
    // Of two that have come only one is probed.
    let (mut one, two) = (
        Ws::open(served.memory(), &in_websocket(&query)).await,
        Ws::open(served.memory(), &in_websocket(&query)).await,
    );
    idle().await;
    two.say("2probe").await;
    idle().await;
    one.say("2probe").await;
    assert_eq!(one.closed().await, 1008);
    drop(two);
    idle().await;
    // One that says nothing has its time, and one that stops in the middle.
    let begun = Instant::now();
    let mut silent = Ws::open(served.memory(), &in_websocket(&query)).await;
    assert_eq!(silent.closed().await, 1008);
    assert_eq!(begun.elapsed().as_secs(), 10);
    let mut halfway = probe(&served, &query).await;
    assert_eq!(halfway.closed().await, 1008);
    assert_eq!(begun.elapsed().as_secs(), 20);

    assert_eq!(said(&post(&served, &query, "4on").await), (200, "ok"));
    assert_eq!(said(&get(&served, &query).await), (200, "4on"));
    upgraded(&served, &query).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_given_up_requests_is_lost_with_its_websocket() {
    let served = serve();
    let query = begin(&served, 4).await;
    let posting = served.memory();
    posting.send(request("POST", &query, "Content-Length: 6\r\n").as_bytes()).await;
    idle().await;
    let mut ws = probe(&served, &query).await;
    ws.say("5").await;
    // The request is not whole in time.
    assert_eq!(ws.closed().await, 1008);
    over(&served).await;
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);

    let query = begin(&served, 4).await;
    let ws = upgraded(&served, &query).await;
    drop(ws);
    over(&served).await;
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_session_comes_over_the_websocket_whenever_it_comes() {
    let served = serve();
    // In the middle of the upgrade: nothing answers the heartbeat.
    let query = begin(&served, 4).await;
    tokio::time::sleep(Duration::from_secs(44)).await;
    let mut ws = probe(&served, &query).await;
    until("the session ends", || served.closed(Reason::HeartbeatLost) == 1).await;
    ws.say("5").await;
    assert_eq!(ws.text().await, "2");
    assert!(ws.0.rest().await.is_empty());
    let query = begin(&served, 4).await;
    assert_eq!(said(&post(&served, &query, "4a\u{1e}2").await), (200, "ok"));
    let mut ws = probe(&served, &query).await;
    until("the session ends", || served.closed(Reason::Malformed) == 1).await;
    ws.say("5").await;
    assert_eq!(ws.text().await, "4a");
    assert_eq!(ws.closed().await, 1002);

    let query = begin(&served, 4).await;
    let mut ws = upgraded(&served, &query).await;
    let (code, ()) = tokio::join!(ws.closed(), served.server.stop());
    assert_eq!(code, 1001);
    served.empty().await;
}

#[tokio::test]
async fn an_upgraded_session_counts_once() {
    let served = serve();
    let connections = || served.hub.metrics.connections.get();
    let query = begin(&served, 4).await;
    until("the connection of the request is gone", || connections() == 1).await;
    let ws = upgraded(&served, &query).await;
    until("that of the requests is given back", || connections() == 1).await;
    drop(ws);
    served.empty().await;
}

/// So many messages each of the others says, and the client.
const MESSAGES: u32 = 2_000;
const OTHERS: u32 = 4;

/// Says numbered messages in the room from a thread of its own.
fn speak(link: Link, other: u32) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut peer = Peer::native(link).await;
            let room = peer.enter("full").await;
            for number in 0..MESSAGES {
                // Some are larger than what the way holds at once.
                let fill = if number % 500 == 499 { 30_000 } else { number as usize % 50 };
                let part = Part::whole(format!("{other} {number} {}", "x".repeat(fill)));
                peer.tell(Command::Send { to: Target::Up(room), part }).await;
                if number % 32 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            // It stays until all has been heard, and takes what others say.
            while !matches!(peer.event().await, Event::Closed { .. }) {}
        });
    })
}

/// Sees that the messages of each of the others come in order, each once.
#[derive(Debug, Default)]
struct Heard([u32; OTHERS as usize]);

impl Heard {
    fn hear(&mut self, packet: &str) {
        let Some(message) = packet.strip_prefix('4') else {
            return assert!(packet == "6" || packet == "2", "{packet}");
        };
        let mut words = message.split(' ');
        let [other, number] = [(); 2].map(|()| words.next().unwrap().parse::<u32>().unwrap());
        let next = &mut self.0[other as usize];
        assert_eq!(number, *next, "of {other}");
        *next += 1;
    }

    fn is_whole(&self) -> bool {
        self.0 == [MESSAGES; OTHERS as usize]
    }

    fn count(&self) -> u32 {
        self.0.iter().sum()
    }
}

/// The session is moved when so many messages were heard.
async fn moved_at(count: u32) {
    let served = serve();
    let mut listener = Peer::native(served.tcp().await).await;
    let begun = get(&served, "EIO=4&transport=polling&room=full").await;
    let query = format!("EIO=4&transport=polling&sid={}", value(said(&begun).1, "sid"));
    // The client is in the room when somebody hears it there.
    listener.try_enter_with("full", |options| options.make_room = true).await.unwrap();
    let mut said_by_client = 0..MESSAGES;
    let mut next = || said_by_client.next().map(|number| format!("4client {number}"));
    assert_eq!(said(&post(&served, &query, next().unwrap()).await), (200, "ok"));
    let others: Vec<_> = {
        let mut others = Vec::new();
        for other in 0..OTHERS {
            others.push(speak(served.tcp().await, other));
        }
        others
    };
    let listening = tokio::spawn(async move {
        let mut number = 0;
        while number < MESSAGES {
            let text = listener
                .find(|event| match event {
                    Event::Data { part, .. } => {
                        Some(String::from_utf8(part.data.to_vec()).unwrap())
                    }
                    _ => None,
                })
                .await;
            if let Some(said) = text.strip_prefix("client ") {
                assert_eq!(said, number.to_string());
                number += 1;
            }
        }
        listener
    });
    let mut heard = Heard::default();
    let mut polls = served.tcp().await;
    let mut posts = served.tcp().await;
    while heard.count() < count {
        let answer = ask(&mut polls, &request("GET", &query, "")).await;
        let (status, body) = said(&answer);
        assert_eq!(status, 200, "{body}");
        body.split('\u{1e}').for_each(|packet| heard.hear(packet));
        if let Some(message) = next() {
            let more = format!("Content-Length: {}\r\n", message.len());
            posts.send((request("POST", &query, &more) + &message).as_bytes()).await;
            assert_eq!(said(&crate::common::http::answer(&mut posts, false).await), (200, "ok"));
        }
    }
    let mut ws = Ws::open(served.tcp().await, &in_websocket(&query)).await;
    ws.say("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.say("5").await;
    let mut left = 0;
    while !heard.is_whole() {
        if let Some(message) = next() {
            ws.say(&message).await;
            left += 1;
        }
        heard.hear(&ws.text().await);
    }
    while let Some(message) = next() {
        ws.say(&message).await;
        left += 1;
    }
    assert!(left > 0);
    let listener = within("the client is heard", listening).await.unwrap();
    served.server.stop().await;
    drop(listener);
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_full_traffic_nothing_is_lost_doubled_or_overtaken_by_the_upgrade() {
    for count in [0, 1, 500, 3_000] {
        moved_at(count).await;
    }
}
