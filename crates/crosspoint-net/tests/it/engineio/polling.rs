//! Sessions that come by requests.

use super::*;
use crate::common::until;
use crosspoint_hub::{HubOptions, Limits, Reason};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn a_session_begins_with_a_request_and_says_everything_again() {
    let served = serve();
    let answer = get(&served, "EIO=4&transport=polling&t=abc").await;
    let (status, body) = said(&answer);
    assert_eq!(status, 200);
    assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert!(body.starts_with("0{") && body.ends_with('}'), "{body}");
    let upgrades = value(body, "upgrades");
    let interval = value(body, "pingInterval");
    assert_eq!(
        (upgrades, interval, value(body, "maxPayload")),
        ("[\"websocket", "25000", "1000000")
    );
    let query = format!("EIO=4&transport=polling&sid={}", value(body, "sid"));
    let said_by = "4one\u{1e}4two €\u{1e}bAQIDBA==\u{1e}4";
    let ok = post(&served, &query, said_by).await;
    assert_eq!((said(&ok), ok.header("Content-Type")), ((200, "ok"), Some("text/html")));
    assert_eq!(said(&get(&served, &query).await), (200, said_by));

    // In revision 3 bytes come as bytes, unless the client says that it takes text alone.
    for (b64, kind, bytes) in [
        ("", "application/octet-stream", &b"\x01\x05\xff\x04\x01\x02\x03\x04"[..]),
        ("&b64=1", "text/plain; charset=UTF-8", b"10:b4AQIDBA=="),
    ] {
        let answer = get(&served, &format!("EIO=3&transport=polling{b64}")).await;
        let (_, body) = said(&answer);
        let (length, open) = body.split_once(':').unwrap();
        assert_eq!(open.len(), length.parse::<usize>().unwrap());
        let query = format!("EIO=3&transport=polling{b64}&sid={}", value(open, "sid"));
        assert_eq!(said(&post(&served, &query, "3:4€1").await), (200, "ok"));
        assert_eq!(said(&get(&served, &query).await), (200, "3:4€1"));
        let octets = b"\x01\x05\xff\x04\x01\x02\x03\x04";
        let ok = post_as(&served, &query, "application/octet-stream", octets).await;
        assert_eq!(said(&ok), (200, "ok"));
        let answer = get(&served, &query).await;
        assert_eq!((&answer.body[..], answer.header("Content-Type")), (bytes, Some(kind)));
    }
}

#[tokio::test]
async fn a_request_that_fits_nothing_is_refused_with_the_code_of_the_original() {
    let served = serve();
    let query = begin(&served, 4).await;
    let other = query.replace("EIO=4", "EIO=3");
    let socket = query.replace("polling", "websocket");
    let version = (400, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    let transport = (400, r#"{"code":0,"message":"Transport unknown"}"#);
    let method = (400, r#"{"code":2,"message":"Bad handshake method"}"#);
    for (verb, query, expected) in [
        ("GET", "transport=polling", version),
        ("GET", "EIO=abc&transport=polling", version),
        ("GET", "EIO=4", transport),
        ("GET", "EIO=4&transport=abc", transport),
        ("POST", "EIO=4&transport=polling", method),
        ("PUT", "EIO=4&transport=polling", method),
        ("DELETE", "EIO=4&transport=polling", method),
        ("GET", "EIO=4&transport=polling&sid=", UNKNOWN),
        ("GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAA", UNKNOWN),
        ("POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAA", UNKNOWN),
        ("GET", &other, UNKNOWN),
        ("POST", &other, UNKNOWN),
        ("GET", &socket, BAD),
        ("DELETE", &query, BAD),
        // Scripts as answers.
        ("GET", "EIO=4&transport=polling&j=0", BAD),
    ] {
        let more = if verb == "GET" { "" } else { "Content-Length: 0\r\n" };
        let answer = ask(&mut served.memory(), &request(verb, query, more)).await;
        assert_eq!(said(&answer), expected, "{verb} {query}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    // None of them has done anything to the session.
    assert_eq!(said(&post(&served, &query, "4a").await), (200, "ok"));
    assert_eq!(said(&get(&served, &query).await), (200, "4a"));
    let elsewhere =
        ask(&mut served.memory(), "GET /engine.io/x HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn what_is_said_while_a_request_hangs_answers_it() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    assert_eq!(said(&post(&served, &query, "4later").await), (200, "ok"));
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "4later"));
}

#[tokio::test(start_paused = true)]
async fn a_second_request_that_hangs_ends_the_session() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut first = served.memory();
    first.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    assert_eq!(said(&get(&served, &query).await), BAD);
    assert_eq!(said(&answer(&mut first, false).await), (200, "1"));
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    over(&served).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_request_that_brings_something_ends_the_session() {
    let served = serve();
    let query = begin(&served, 4).await;
    let (mut first, mut hanging) = (served.memory(), served.memory());
    let head = request("POST", &query, "Content-Length: 100\r\n");
    first.send(head.as_bytes()).await;
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    assert_eq!(said(&post(&served, &query, "4a").await), BAD);
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "1"));
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    first.send(&[b'4'; 100]).await;
    assert_eq!(said(&answer(&mut first, false).await), UNKNOWN);
    over(&served).await;
}

#[tokio::test]
async fn a_body_that_is_wrong_ends_the_session() {
    let served = serve();
    let too_many = "2\u{1e}".repeat(16_384) + "2";
    for body in ["abc", "", "4a\u{1e}7", "4a\u{1e}b?", &too_many] {
        let query = begin(&served, 4).await;
        assert_eq!(said(&post(&served, &query, body).await), BAD);
        assert_eq!(said(&get(&served, &query).await), UNKNOWN);
        assert_eq!(said(&post(&served, &query, "4a").await), UNKNOWN);
        over(&served).await;
    }
    let query = begin(&served, 4).await;
    let octets = post_as(&served, &query, "application/octet-stream", "4a").await;
    assert_eq!(said(&octets), BAD, "revision 4 has none");
    until("all ended for it", || served.closed(Reason::Malformed) == 6).await;
    // A packet that is one, and that no client sends, ends the session from inside.
    let query = begin(&served, 4).await;
    assert_eq!(said(&post(&served, &query, "2").await), (200, "ok"));
    over(&served).await;
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
}

#[tokio::test]
async fn a_body_above_the_bound_ends_the_session_and_one_at_it_does_not() {
    let mut config = Config::default();
    config.beat.payload_bytes_max = 1000;
    // The bound of other requests does not matter.
    let http = HttpOptions { body_bytes_max: 10, ..HttpOptions::default() };
    let served = serve_with(config, http, Arc::new(Echoes));
    let query = begin(&served, 4).await;
    let body = "4".repeat(1000);
    assert_eq!(said(&post(&served, &query, &body).await), (200, "ok"));
    assert_eq!(said(&get(&served, &query).await), (200, &*body));
    let large = (413, r#"{"code":3,"message":"Payload too large"}"#);
    let more = format!("{body}4");
    assert_eq!(said(&post(&served, &query, &more).await), large);
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    // The same where nothing says how long it is.
    let query = begin(&served, 4).await;
    let mut link = served.memory();
    link.send(request("POST", &query, "Transfer-Encoding: chunked\r\n").as_bytes()).await;
    link.send(format!("{:x}\r\n{more}\r\n0\r\n\r\n", more.len()).as_bytes()).await;
    assert_eq!(said(&answer(&mut link, false).await), large);
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    over(&served).await;
    until("both ended for it", || served.closed(Reason::TooLarge) == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_the_session_by_a_request() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    assert_eq!(said(&post(&served, &query, "4a").await), (200, "ok"));
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "4a"));
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    assert_eq!(said(&post(&served, &query, "1\u{1e}4b").await), (200, "ok"));
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "6"));
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    over(&served).await;
    until("it has said goodbye", || served.closed(Reason::Bye) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn who_drops_a_request_loses_the_session() {
    let served = serve();
    // One that hangs.
    let query = begin(&served, 4).await;
    let hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    drop(hanging);
    over(&served).await;
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    // One that brings something.
    let query = begin(&served, 4).await;
    let posting = served.memory();
    posting.send(request("POST", &query, "Content-Length: 10\r\n").as_bytes()).await;
    posting.send(b"4a").await;
    idle().await;
    posting.abort();
    over(&served).await;
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    assert_eq!(served.closed(Reason::ConnectionLost), 2);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_both_revisions_come_by_requests() {
    let served = serve();
    let begun = Instant::now();
    let four = begin(&served, 4).await;
    assert_eq!(said(&get(&served, &four).await), (200, "2"));
    assert_eq!(begun.elapsed().as_secs(), 25);
    assert_eq!(said(&post(&served, &four, "3").await), (200, "ok"));
    assert_eq!(said(&get(&served, &four).await), (200, "2"));
    assert_eq!(begun.elapsed().as_secs(), 50);
    // A request hangs, and nothing answers the heartbeat.
    assert_eq!(said(&get(&served, &four).await), (200, "1"));
    assert_eq!(begun.elapsed().as_secs(), 70);
    assert_eq!(said(&get(&served, &four).await), UNKNOWN);

    let begun = Instant::now();
    let three = begin(&served, 3).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(said(&post(&served, &three, "6:2probe").await), (200, "ok"));
    assert_eq!(said(&get(&served, &three).await), (200, "6:3probe"));
    assert_eq!(said(&get(&served, &three).await), (200, "1:1"));
    assert_eq!(begun.elapsed().as_secs(), 85);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_comes_back_is_given_up() {
    let served = serve();
    let query = begin(&served, 4).await;
    let begun = Instant::now();
    until("it is given up", || served.closed(Reason::HeartbeatLost) == 1).await;
    assert_eq!(begun.elapsed().as_secs(), 45);
    // Nothing is left for who has not come for so long.
    assert_eq!(said(&get(&served, &query).await), UNKNOWN);
    served.empty().await;
}

#[tokio::test]
async fn a_client_that_does_not_ask_is_slowed_and_costs_what_the_way_holds() {
    let served = serve();
    let query = begin(&served, 4).await;
    let body = "4".repeat(200_000);
    let mut posting = served.memory();
    let more = format!("Content-Length: {}\r\n", body.len());
    posting.send((request("POST", &query, &more) + &body).as_bytes()).await;
    assert_eq!(said(&answer(&mut posting, false).await), (200, "ok"));
    const RETAINED: &str = r#"crosspoint_memory_bytes{purpose="retained",protocol="echo"}"#;
    until("the way is charged", || served.metric(RETAINED) >= Some(65_536.0)).await;
    // It comes back whole, though it does not fit into the way.
    let answer = get(&served, &query).await;
    assert_eq!(answer.body.len(), body.len());
    until("all is given back", || served.metric(RETAINED) == Some(0.0)).await;
}

#[tokio::test]
async fn each_session_counts_as_a_connection_and_leaves_nothing() {
    let limits = Limits { connections_max: 3, ..Limits::default() };
    let options = HubOptions { limits, ..HubOptions::default() };
    let engineio =
        EngineIo::new("/engine.io".parse().unwrap(), Config::default(), Arc::new(Echoes));
    let gateways = standard().with(engineio);
    let served = serve_as(options, ServerOptions { gateways, ..ServerOptions::default() });
    let mut link = served.memory();
    let handshake = request("GET", "EIO=4&transport=polling", "");
    for _ in 0..2 {
        assert_eq!(ask(&mut link, &handshake).await.status, 200);
    }
    let full = ask(&mut link, &handshake).await;
    assert_eq!((full.status, full.header("Retry-After")), (503, Some("5")));
    assert_eq!(served.hits("connections_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_answers_a_request_that_hangs() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    let (answer, ()) = tokio::join!(answer(&mut hanging, false), served.server.stop());
    assert_eq!(said(&answer), (200, "1"));
    served.empty().await;
}

// Clients of revision 4 take the end of the transport for the reason if it comes together with the last words.
#[tokio::test(start_paused = true)]
async fn the_last_words_and_the_end_are_told_one_after_the_other() {
    let served = serve();
    let query = begin(&served, 4).await;
    // A heartbeat is the server's in this revision.
    assert_eq!(said(&post(&served, &query, "4last\u{1e}2").await), (200, "ok"));
    until("the session ends", || served.closed(Reason::Malformed) == 1).await;
    assert_eq!(said(&get(&served, &query).await), (200, "4last"));
    assert_eq!(said(&get(&served, &query).await), (200, "1"));
    served.empty().await;
}

// Hyper has given the connection back while the request hangs.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_request_hangs_goes_on_as_any_other() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut link = served.memory();
    for text in ["4one", "4two"] {
        link.send(request("GET", &query, "").as_bytes()).await;
        idle().await;
        assert_eq!(said(&post(&served, &query, text).await), (200, "ok"));
        assert_eq!(said(&answer(&mut link, false).await), (200, text));
    }
    // What comes behind a request that hangs is answered behind it.
    link.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    link.send(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\nGET /hea").await;
    idle().await;
    assert_eq!(said(&post(&served, &query, "4three").await), (200, "ok"));
    assert_eq!(said(&answer(&mut link, false).await), (200, "4three"));
    assert_eq!(said(&answer(&mut link, false).await), (200, "ok\n"));
    link.send(b"lth HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert_eq!(said(&answer(&mut link, false).await), (200, "ok\n"));
    // Who goes while its request hangs loses the session.
    link.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    drop(link);
    over(&served).await;
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_its_part_of_a_connection_is_answered_and_keeps_the_session() {
    let served = serve();
    let query = begin(&served, 4).await;
    let mut hanging = served.memory();
    hanging.send(request("GET", &query, "").as_bytes()).await;
    idle().await;
    hanging.finish();
    idle().await;
    assert_eq!(said(&post(&served, &query, "4later").await), (200, "ok"));
    assert_eq!(answer(&mut hanging, false).await.status, 102);
    assert_eq!(said(&answer(&mut hanging, false).await), (200, "4later"));
    assert!(hanging.rest().await.is_empty());
    assert_eq!(said(&post(&served, &query, "4on").await), (200, "ok"));
    assert_eq!(said(&get(&served, &query).await), (200, "4on"));
}
