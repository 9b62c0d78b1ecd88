//! One listener serves every kind of client, however its bytes arrive.

use crate::common;
use crate::common::peer::{Peer, UPGRADE, closed_with, head, message, server_frame, upgrade};
use crate::common::{Link, serve, serve_as, serve_with, until};
use bytes::BytesMut;
use crosspoint_hub::command::Hello;
use crosspoint_hub::{Event, HubOptions, PeerId, Place, Reason};
use crosspoint_net::gateways::{Peote, resumable, standard};
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::ServerOptions;
use crosspoint_net::ws::{Opcode, frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Creates channel `room` (request 1), the reply, and what an owner is told of its first member.
const CREATE: &[u8] = b"\x00\x00\x01\x04room";
const CREATED: &[u8] = &[0, 3, 1, 0, 0];
const ENTER: &[u8] = b"\x00\x01\x02\x04room";
const ENTERED: &[u8] = &[0, 3, 2, 0, 0];
const MEMBER_CAME: &[u8] = &[0, 4, 0, 0, 0, 0];

/// A peote client of HTML 5: every byte of a header is a message of its own.
async fn html5(link: &Link, bytes: &[u8]) {
    for byte in bytes {
        link.send(&message(&[*byte])).await;
    }
}

#[tokio::test]
async fn clients_of_all_kinds_meet_in_one_channel_behind_one_port() {
    let served = serve();
    let mut owner = Peer::joint(served.tcp().await);
    let own = owner.create("room").await;
    let mut members = vec![
        Peer::joint(served.tcp().await),
        Peer::joint_ws(served.tcp().await).await,
        Peer::native(served.tcp().await).await,
        Peer::native_ws(served.tcp().await).await,
        Peer::native(served.memory()).await,
        Peer::joint(served.memory()),
    ];
    for (index, member) in members.iter_mut().enumerate() {
        let number = member.enter("room").await;
        let told = owner.joined().await;
        assert_eq!(told.0 as usize, index);
        member.send_up(number, b"hello").await;
        assert_eq!(owner.data().await, (Place::Own(own, told), "hello".into()));
        owner.send_to(own, told, b"welcome").await;
        assert_eq!(member.data().await, (Place::In(number), "welcome".into()));
    }
    owner.broadcast(own, b"all").await;
    for member in &mut members {
        assert_eq!(member.data().await.1, "all");
    }
    assert_eq!(served.hub.metrics.members.get(), 6);
    drop((owner, members));
    served.empty().await;
}

#[tokio::test]
async fn a_client_of_html5_sends_single_bytes_fragments_and_empty_messages() {
    let served = serve();
    let mut owner = served.tcp().await;
    owner.send(CREATE).await;
    owner.expect(CREATED).await;

    let mut link = served.tcp().await;
    upgrade(&mut link).await;
    link.send(&message(b"")).await;
    html5(&link, &ENTER[..4]).await;
    link.send(&message(&ENTER[4..])).await;
    assert_eq!(server_frame(&mut link).await, (0x82, ENTERED.into()));
    owner.expect(MEMBER_CAME).await;

    // A frame of data in a fragmented text message, with a ping between its fragments.
    let mut frames = BytesMut::new();
    frame::client_frame(Opcode::Text, false, &[6, 0, b'h'], [9; 4], &mut frames);
    frames.extend_from_slice(&frame::ping_frame(b"?", Some([1; 4])));
    frame::client_frame(Opcode::Continuation, false, b"", [7; 4], &mut frames);
    frame::client_frame(Opcode::Continuation, true, b"ello", [8; 4], &mut frames);
    // And one that is not masked, in the length's long form.
    frames.extend_from_slice(&[0x82, 126, 0, 3, 2, 0, b'!']);
    link.send(&frames).await;
    assert_eq!(server_frame(&mut link).await, (0x8a, "?".into()));
    owner.expect(&[7, 0x80, 0, b'h', b'e', b'l', b'l', b'o', 3, 0x80, 0, b'!']).await;
    owner.send(&[3, 0x80, 0, b'*', 3, 0x80, 0, b'+']).await;
    for sign in [b'*', b'+'] {
        assert_eq!(server_frame(&mut link).await, (0x82, vec![2, 0, sign].into()), "one in each");
    }
}

#[tokio::test]
async fn one_byte_at_a_time_everything_is_understood_as_well() {
    let served = serve();
    let mut owner = served.memory();
    owner.trickle(CREATE).await;
    owner.expect(CREATED).await;
    let mut member = served.memory();
    member.trickle(UPGRADE.as_bytes()).await;
    assert!(head(&mut member).await.starts_with("HTTP/1.1 101 "));
    member.trickle(&message(ENTER)).await;
    assert_eq!(server_frame(&mut member).await, (0x82, ENTERED.into()));
    owner.expect(MEMBER_CAME).await;
    member.trickle(&message(&[3, 0, b'h', b'i'])).await;
    owner.expect(&[4, 0x80, 0, b'h', b'i']).await;

    let mut peer = Peer::unwelcome(served.memory(), false);
    let hello = peer.written();
    peer.link.trickle(&hello).await;
    let welcome = peer.event().await;
    assert!(matches!(welcome, Event::Welcome { .. }), "{welcome:?}");
    let enter = peer.bytes_of(common::peer::enter(5, "room"));
    peer.link.trickle(&enter).await;
    assert!(peer.answered(5).await.is_ok());

    let mut http = served.memory();
    http.trickle(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(http.rest().await.ends_with(b"\r\n\r\nok\n"));
}

/// Sends a request and gives the whole answer.
async fn http(served: &common::Served, request: &str) -> String {
    let mut link = served.tcp().await;
    link.send(request.as_bytes()).await;
    let answer = link.rest().await;
    String::from_utf8(answer.to_vec()).expect("an answer is text")
}

#[tokio::test]
async fn plain_http_is_answered_and_closed_if_the_client_wants_it() {
    let served = serve();
    let lines = "Host: hub\r\nConnection: close\r\n";
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{lines}\r\n");
    let health = http(&served, &get("/health?deep=1")).await;
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nok\n"));
    let plain = get("/metrics").replace("Host", "Accept: */*\r\nHost");
    let metrics = http(&served, &plain).await;
    assert!(metrics.contains("\ncrosspoint_connections 1\n"), "{metrics}");
    assert!(metrics.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let accept = "Host: hub\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n";
    let open = http(&served, &format!("GET /metrics HTTP/1.1\r\n{accept}")).await;
    assert!(open.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0;"));
    assert!(open.ends_with("# EOF\n"));
    assert!(http(&served, &get("/")).await.starts_with("HTTP/1.1 200 "));
    assert!(http(&served, &get("/nothing")).await.starts_with("HTTP/1.1 404 "));

    let head = http(&served, &get("/health").replace("GET", "HEAD")).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: 3\r\n"));
    assert!(head.ends_with("\r\n\r\n"), "a head alone");

    // The body that nobody reads must not take the answer away.
    let body = "x".repeat(200_000);
    let post =
        format!("POST /health HTTP/1.1\r\nHost: hub\r\nContent-Length: 200000\r\n\r\n{body}");
    assert!(http(&served, &post).await.starts_with("HTTP/1.1 405 "));
    for (wrong, status) in [
        ("GET / HTTP/1.1\r\nno header\r\n\r\n".to_owned(), "400"),
        ("GET  HTTP\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nLong: {}\r\n\r\n", "y".repeat(30_000)), "431"),
        (UPGRADE.replace("Version: 13", "Version: 12"), "426"),
        (UPGRADE.replace("Host: hub\r\n", ""), "400"),
        (UPGRADE.replace("Connection: Upgrade", "Connection: close"), "400"),
    ] {
        let answer = http(&served, &wrong).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{wrong:?}: {answer}");
    }
    served.empty().await;
}

#[tokio::test]
async fn pages_that_are_switched_off_are_not_there() {
    let options = ServerOptions {
        http: HttpOptions { metrics: false, ..HttpOptions::default() },
        ..ServerOptions::default()
    };
    let served = serve_as(HubOptions::default(), options);
    let answer =
        http(&served, "GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_browser_gets_the_first_subprotocol_that_it_offers() {
    let served = serve();
    for (offer, echo) in [("binary, other", Some("binary")), ("", None), ("b@d", None)] {
        let mut link = served.tcp().await;
        let line = format!("Sec-WebSocket-Protocol: {offer}\r\n\r\n");
        let request = UPGRADE.trim_end().to_owned() + "\r\n" + &line;
        link.send(request.as_bytes()).await;
        let head = head(&mut link).await;
        let echoed = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(echoed, echo, "{offer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_here_speaks_is_closed_at_once() {
    let served = serve();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 500]].concat();
    let request = [&[0x2c, 0, 1, 0, 32, 0][..], &[0x93; 32], &[0; 6]].concat();
    let strange: [(&[u8], &[u8]); 14] = [
        (&hello, b"\x15\x03\x01\0\x02\x02\x28"),
        (&request, b""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
        (b"EHLO there\r\n", b""),
        (b"*1\r\n$4\r\nPING\r\n", b""),
        (b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", b""),
        (b"\x05\x01\0", b""),
        (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", b""),
        (b"hello\r\n", b""),
        (b"{\"hello\":1}", b""),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\n\r\n", b""),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b""),
        // Data, but no joint is open; and a command that there is not.
        (b"\x06\0hello", b""),
        (b"\0\x09\x01\0\0\0", b""),
    ];
    for (bytes, word) in strange {
        let begun = Instant::now();
        let mut link = served.memory();
        link.send(bytes).await;
        assert_eq!(link.rest().await, word, "{bytes:02x?}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for more");
    }
    assert_eq!((served.refused(Reason::UnknownProtocol), served.refused_tls()), (13, 1));
    // Inside a WebSocket there is a word for it.
    for text in [&b"{\"hello\":1}"[..], b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n"] {
        let mut link = served.memory();
        upgrade(&mut link).await;
        link.send(&message(text)).await;
        closed_with(&mut link, 1008).await;
    }
    assert_eq!(served.refused(Reason::UnknownProtocol), 16);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_to_go_hears_why_however_little_a_stop_may_take() {
    for flush_max in [Duration::ZERO, Duration::from_millis(100)] {
        let options = ServerOptions { flush_max, ..ServerOptions::default() };
        let served = serve_as(HubOptions::default(), options);
        // Each takes one byte at a time, so nothing is said in one step.
        let mut tls = served.cramped(1);
        tls.send(&[&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 500]].concat()).await;
        assert_eq!(tls.rest().await, &b"\x15\x03\x01\0\x02\x02\x28"[..]);
        let mut http = served.cramped(1);
        http.send(b"GET / HTTP/1.1\r\nHost: hub\r\nthis is no header\r\n\r\n").await;
        assert!(http.rest().await.starts_with(b"HTTP/1.1 400 "));
        let mut websocket = served.cramped(1);
        upgrade(&mut websocket).await;
        websocket.send(&message(b"{\"hello\":1}")).await;
        closed_with(&mut websocket, 1008).await;
        let mut native = Peer::native(served.cramped(1)).await;
        native.link.send(b"\x00").await;
        let words = native.link.rest().await;
        let words = String::from_utf8_lossy(&words);
        assert!(words.ends_with("its length is 0, but its type counts"), "{words}");
        drop((tls, http, websocket, native));

        // But a stop waits for none of them for longer than it may.
        let stays = served.memory();
        stays.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
        until("it is refused", || served.refused_tls() == 2).await;
        let begun = Instant::now();
        served.server.stop().await;
        assert!(begun.elapsed() <= flush_max + Duration::from_millis(1), "{:?}", begun.elapsed());
        drop(stays);
    }
}

#[tokio::test(start_paused = true)]
async fn what_looks_like_http_is_answered_like_http() {
    let served = serve();
    let ends = "Host: hub\r\nConnection: close\r\n\r\n";
    for (line, status) in [
        ("PROPFIND / HTTP/1.1", 405),
        ("get / HTTP/1.1", 405),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/3.0", 505),
        ("BREW /pot HTTP/9", 505),
        ("\r\n\r\nGET /health HTTP/1.1", 200),
        ("\nGET /health HTTP/1.1", 200),
    ] {
        let mut link = served.memory();
        link.send(format!("{line}\r\n{ends}").as_bytes()).await;
        let answer = head(&mut link).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line:?}: {answer}");
    }
    // The same byte by byte, and on a connection that is kept.
    let mut link = served.memory();
    link.trickle(format!("\r\nPROPFIND / HTTP/1.1\r\n{ends}").as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 405 "));
    let mut link = served.memory();
    link.send(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n\r\n").await;
    link.send(format!("GET /health HTTP/1.1\r\n{ends}").as_bytes()).await;
    let both = link.rest().await;
    assert_eq!(both.windows(15).filter(|bytes| bytes.starts_with(b"HTTP/1.1 200 OK")).count(), 2);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_which_there_is_no_room_is_told_so_in_its_own_words() {
    let served = serve_with(|hub| hub.limits.connections_max = 1);
    let _full = served.memory();
    until("it is there", || served.hub.metrics.connections.get() == 1).await;

    let mut native = Peer::unwelcome(served.memory(), false);
    let hello = native.written();
    native.link.send(&hello).await;
    assert_eq!(native.closed().await, Reason::TooManyConnections);
    let mut page = served.memory();
    page.send(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    let answer = head(&mut page).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"));
    let mut websocket = served.memory();
    upgrade(&mut websocket).await;
    closed_with(&mut websocket, 1013).await;

    // That is for few and for a short time, so that it holds nothing.
    let begun = Instant::now();
    let mut silent: Vec<_> = (0..64).map(|_| served.memory()).collect();
    until("they are seen", || served.hits("connections_max") == 67).await;
    let mut more = served.memory();
    assert!(more.rest().await.is_empty());
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    for link in &mut silent {
        assert!(link.rest().await.is_empty());
    }
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(served.refused(Reason::TooManyConnections), 68);
}

#[tokio::test(start_paused = true)]
async fn peote_programs_can_be_turned_away() {
    let gateways = standard().with(Peote { enabled: Some(false) });
    let options = ServerOptions { gateways, ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    let mut link = served.memory();
    link.send(CREATE).await;
    assert!(link.rest().await.is_empty());
    let mut link = served.memory();
    upgrade(&mut link).await;
    link.send(&message(CREATE)).await;
    closed_with(&mut link, 1008).await;
    let mut native = Peer::native(served.memory()).await;
    native.create("room").await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_say_what_it_is_in_time_is_closed() {
    let served = serve();
    let beginnings: [&[u8]; 7] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: ",
        b"XPT",
        &[0x16, 3, 1, 0],
        b"hello",
        // Half a joint command lets nobody in.
        b"\0\0\x01\x04roo",
    ];
    for beginning in beginnings {
        let begun = Instant::now();
        let mut link = served.memory();
        link.send(beginning).await;
        assert!(link.rest().await.is_empty(), "{beginning:?}");
        assert_eq!(begun.elapsed().as_secs(), 5, "{beginning:?}");
    }
    assert_eq!(served.hits("handshake_ms_max"), 7);

    // Bytes that trickle in do not make it longer.
    let begun = Instant::now();
    let mut link = served.memory();
    for byte in b"GET /long HTTP/1.1" {
        link.send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(link.rest().await.is_empty());
    assert_eq!(begun.elapsed().as_secs(), 7, "the pauses of the test");
    assert_eq!(served.hits("handshake_ms_max"), 8);

    // The magic bytes alone are no hello. Here there are words for the reason.
    let begun = Instant::now();
    let mut peer = Peer::unwelcome(served.memory(), false);
    let hello = peer.written();
    peer.link.send(&hello[..hello.len() - 1]).await;
    assert_eq!(peer.closed().await, Reason::HandshakeTimeout);
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(served.hits("handshake_ms_max"), 9);
    drop((link, peer));
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn inside_a_websocket_a_peote_client_may_take_its_time() {
    let served = serve();
    let mut link = served.memory();
    upgrade(&mut link).await;
    tokio::time::sleep(Duration::from_secs(14)).await;
    link.send(&frame::ping_frame(b"there?", Some([1; 4]))).await;
    assert_eq!(server_frame(&mut link).await, (0x8a, "there?".into()));
    link.send(&message(CREATE)).await;
    assert_eq!(server_frame(&mut link).await, (0x82, CREATED.into()));
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_silence_holds_inside_a_silent_websocket_too() {
    let served = serve_with(|hub| hub.limits.idle_max = Some(Duration::from_secs(10)));
    let begun = Instant::now();
    let mut link = served.memory();
    upgrade(&mut link).await;
    closed_with(&mut link, 1008).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(served.hits("idle_s_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_in_which_nobody_speaks_does_not_stay() {
    let off = Peote { enabled: Some(false) };
    let bare = standard().without("anysocket").with(resumable(None));
    let cases = [(standard(), 15), (standard().with(off), 5), (bare.with(off), 5)];
    for (gateways, seconds) in cases {
        let options = ServerOptions { gateways, ..ServerOptions::default() };
        let limit = if seconds > 5 { "first_words_ms_max" } else { "handshake_ms_max" };
        let served = serve_as(HubOptions::default(), options);
        let begun = Instant::now();
        let mut silent = served.memory();
        upgrade(&mut silent).await;
        let mut pinging = served.memory();
        upgrade(&mut pinging).await;
        let pings = async {
            let ping = frame::ping_frame(b"", Some([1; 4]));
            while pinging.try_send(&ping) > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let closed = async {
            closed_with(&mut silent, 1008).await;
            assert_eq!(begun.elapsed().as_secs(), seconds);
        };
        tokio::join!(closed, pings);
        assert_eq!(served.hits(limit), 2);
        // Nor does one whose first word is never ended.
        let begun = Instant::now();
        let mut half = served.memory();
        upgrade(&mut half).await;
        half.send(&message(b"XP")).await;
        closed_with(&mut half, 1008).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        assert_eq!(served.refused(Reason::HandshakeTimeout), 3);
        served.empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn text_that_is_not_utf8_closes_with_1007_whatever_is_spoken() {
    let served = serve();
    let text = |bytes: &[u8]| {
        let mut frames = BytesMut::new();
        frame::client_frame(Opcode::Text, true, bytes, [3; 4], &mut frames);
        frames
    };
    let mut early = served.memory();
    upgrade(&mut early).await;
    early.send(&text(b"\0\0\x01\x01\xff")).await;
    closed_with(&mut early, 1007).await;
    for joint in [true, false] {
        let mut peer = match joint {
            true => Peer::joint_ws(served.memory()).await,
            false => Peer::native_ws(served.memory()).await,
        };
        peer.create(if joint { "joint" } else { "native" }).await;
        peer.link.send(&text(b"\x80")).await;
        let (code, reason) = peer.close_frame().await;
        assert_eq!(
            (code, &*reason),
            (
                1007,
                "malformed input: text message that is not UTF-8; send other bytes as a binary message"
            )
        );
    }
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_closes_or_breaks_before_its_first_words_hears_it() {
    let served = serve();
    let close = frame::close_frame(None, Some([1; 4]));
    for (bytes, code) in [(&close[..], 1000), (&[0xf2, 0][..], 1002), (&[0x80, 0][..], 1002)] {
        let mut link = served.memory();
        upgrade(&mut link).await;
        link.send(bytes).await;
        closed_with(&mut link, code).await;
    }
    let mut link = served.memory();
    upgrade(&mut link).await;
    link.send(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1]).await;
    closed_with(&mut link, 1009).await;
    drop(link);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn the_close_of_a_websocket_ends_the_session_at_once_for_everybody() {
    let served = serve();
    let mut owner = Peer::joint_ws(served.memory()).await;
    owner.create("room").await;
    let mut member = Peer::joint_ws(served.memory()).await;
    member.enter("room").await;
    let mut other = Peer::joint(served.memory());
    other.create("other").await;
    assert_eq!(owner.enter("other").await.0, 0);

    let begun = Instant::now();
    // The connection stays open: only the WebSocket says that it is over.
    owner.link.send(&frame::close_frame(None, Some([5; 4]))).await;
    assert_eq!(member.ended().await.1, Reason::OwnerLost);
    assert_eq!(other.left().await.1, Reason::ConnectionLost);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(owner.ended().await.0.0, 0, "told as well, in the words of its protocol");
    assert_eq!(owner.closed().await, Reason::ConnectionLost);
    assert_eq!(owner.code, Some(1000));
    until("its end is counted", || served.closed(Reason::ConnectionLost) == 1).await;
}

#[tokio::test]
async fn where_credentials_are_demanded_what_can_present_none_is_off_unless_it_is_switched_on() {
    let token = || HubOptions { access_token: Some("secret".into()), ..HubOptions::default() };
    let checked = || Some(Arc::new(crosspoint_auth::Anyone::default()) as _);
    for (demanded, peote, open) in [
        (false, None, true),
        (false, Some(false), false),
        (true, None, false),
        (true, Some(true), true),
        (true, Some(false), false),
    ] {
        for by_token in [false, true] {
            let hub = if demanded && by_token { token() } else { HubOptions::default() };
            let authenticator = checked().filter(|_| demanded && !by_token);
            let gateways = standard().with(Peote { enabled: peote });
            let options = ServerOptions { gateways, authenticator, ..ServerOptions::default() };
            let served = serve_as(hub, options);
            let mut in_websocket = served.memory();
            upgrade(&mut in_websocket).await;
            in_websocket.send(&message(CREATE)).await;
            let mut plain = served.memory();
            plain.send(b"\x00\x00\x01\x04hall").await;
            let what = format!("demanded {demanded}, peote {peote:?}, token {by_token}");
            if open {
                plain.expect(CREATED).await;
                assert_eq!(server_frame(&mut in_websocket).await, (0x82, CREATED.into()), "{what}");
            } else {
                assert_eq!(plain.rest().await, "", "{what}");
                closed_with(&mut in_websocket, 1008).await;
                assert_eq!(served.hub.sessions(), 0, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn no_client_claims_the_id_of_the_hub() {
    let id = PeerId::new([0x5e; 16]);
    let http = HttpOptions { node_id: Some(id), ..HttpOptions::default() };
    let served =
        serve_as(HubOptions::default(), ServerOptions { http, ..ServerOptions::default() });
    let hello = Hello { peer: Some(id), ..Hello::default() };
    let mut peer = Peer::introduced(served.tcp().await, hello);
    peer.say_hello().await;
    assert_eq!(peer.event().await, Event::Closed { reason: Reason::IdTaken });
}
