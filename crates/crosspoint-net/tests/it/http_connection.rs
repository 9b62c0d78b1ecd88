//! A connection that speaks HTTP: many requests, bounds, upgrades, and how it ends.

use crate::common::http::{answer, ask, get, serve_http};
use crate::common::peer::{UPGRADE, head, message, server_frame};
use crate::common::{Dice, cram, serve, serve_as, serve_with, until, within};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::StatusCode;
use axum::routing::{any, get as on_get, post};
use crosspoint_hub::{HubOptions, PeerId};
use crosspoint_net::http::{Hang, HttpOptions, Refusal, UpgradeCheck, cookies};
use crosspoint_net::server::ServerOptions;
use hyper::body::Body as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Creates a channel in the joint protocol, and the reply.
const CREATE: &[u8] = b"\x00\x00\x01\x04room";
const CREATED: &[u8] = &[0, 3, 1, 0, 0];

fn routes(routes: Router) -> HttpOptions {
    HttpOptions { routes: Some(routes), ..HttpOptions::default() }
}

#[tokio::test]
async fn one_connection_answers_many_requests_pipelined_or_split_anywhere() {
    let served = serve();
    let requests = ["/health", "/nothing", "/", "/health?deep=1", "http://hub/health"];
    let all: String = requests.map(get).concat();
    let mut link = served.tcp().await;
    link.send(all.as_bytes()).await;
    for _ in 0..2 {
        for status in [200, 404, 200, 200, 200] {
            assert_eq!(answer(&mut link, false).await.status, status);
        }
        link.trickle(all.as_bytes()).await;
    }
    for _ in requests {
        answer(&mut link, false).await;
    }
    let head = ask(&mut link, &get("/health").replace("GET", "HEAD")).await;
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("3")));
    let post =
        ask(&mut link, "POST /health HTTP/1.1\r\nHost: hub\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!((post.status, post.header("Allow")), (405, Some("GET,HEAD")));
    assert_eq!(ask(&mut link, &get("/health")).await.body, "ok\n");
    assert_eq!(served.hub.metrics.connections.get(), 1);
    let last = get("/health").replace("Host", "Connection: close\r\nHost");
    assert_eq!(ask(&mut link, &last).await.header("Connection"), Some("close"));
    assert!(link.rest().await.is_empty());
    drop(link);
    served.empty().await;
}

#[tokio::test]
async fn a_kept_connection_counts_among_those_that_are_admitted() {
    let served = serve_with(|hub| hub.limits.connections_max = 1);
    let mut kept = served.tcp().await;
    assert_eq!(ask(&mut kept, &get("/health")).await.status, 200);
    let mut refused = served.tcp().await;
    let answer = ask(&mut refused, &get("/health")).await;
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("5")));
    assert!(refused.rest().await.is_empty());
    drop(kept);
    until("the first is gone", || served.hub.metrics.connections.get() == 0).await;
    assert_eq!(ask(&mut served.tcp().await, &get("/health")).await.status, 200);
}

#[tokio::test]
async fn a_bad_head_ends_a_kept_connection_with_its_status() {
    let served = serve();
    let many: String = (0..65).map(|index| format!("H{index}: x\r\n")).collect();
    for (wrong, status) in [
        ("no request\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nno header\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nA: \0\r\n\r\n".to_owned(), 400),
        ("GET /\0 HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
        (
            "POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            400,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: odd\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nLong: {}\r\n\r\n", "y".repeat(30_000)), 431),
        (UPGRADE.replace("Version: 13", "Version: 12"), 426),
        (UPGRADE.replace("Host: hub\r\n", ""), 400),
        (UPGRADE.replace("Host: hub", "Host: hub\r\nContent-Length: 5"), 400),
    ] {
        let mut link = served.tcp().await;
        assert_eq!(ask(&mut link, &get("/health")).await.status, 200);
        assert_eq!(ask(&mut link, &wrong).await.status, status, "{wrong:?}");
        assert!(link.rest().await.is_empty(), "{wrong:?}");
    }
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_bounded_in_size_and_time() {
    let served = serve();
    let mut link = served.memory();
    ask(&mut link, &get("/health")).await;
    link.send(b"GET / HTTP/1.1\r\nA: ").await;
    cram(&link, &[b'a'; 2_000_000]).await;
    assert_eq!(answer(&mut link, false).await.status, 431);

    let mut link = served.memory();
    ask(&mut link, &get("/health")).await;
    let begun = Instant::now();
    for byte in b"GET /long HTTP/" {
        link.send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(link.rest().await.is_empty());
    assert_eq!(begun.elapsed().as_secs(), 6, "the pauses of the test");
    assert_eq!(served.hits("handshake_ms_max"), 1);

    // Silence between requests is no wrong, but does not last either.
    let mut link = served.memory();
    for _ in 0..3 {
        ask(&mut link, &get("/health")).await;
        tokio::time::sleep(Duration::from_secs(74)).await;
    }
    let begun = Instant::now();
    assert!(link.rest().await.is_empty());
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(served.hits("handshake_ms_max"), 1);
    drop(link);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_follows_a_request_the_connection_ends() {
    let served = serve_http(routes(Router::new().route("/echo", post(async |body: String| body))));
    let pieces: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: hub\r\nContent-Length: 9\r\n\r\n",
        b"CONNECT hub:1 HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"5\r\nhello\r\n",
        b"ffffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        UPGRADE.as_bytes(),
    ];
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut bytes = get("/").into_bytes();
        for _ in 0..dice.below(8) {
            bytes.extend_from_slice(pieces[dice.below(pieces.len())]);
            if dice.below(6) == 0 {
                let count = dice.below(20);
                bytes.extend_from_slice(&dice.bytes(count));
            }
        }
        let mut link = served.memory();
        link.send(&bytes).await;
        link.finish();
        within("the end", link.rest()).await;
    }
    served.empty().await;
}

#[tokio::test]
async fn any_request_of_a_connection_may_upgrade_and_frames_may_follow_at_once() {
    let served = serve();
    let mut link = served.memory();
    ask(&mut link, &get("/health")).await;
    let upgrade = UPGRADE.replace("Host", "Sec-WebSocket-Protocol: binary\r\nHost");
    let bytes = [get("/health").as_bytes(), upgrade.as_bytes(), &message(CREATE)].concat();
    link.trickle(&bytes).await;
    assert_eq!(answer(&mut link, false).await.body, "ok\n");
    let later = head(&mut link).await;
    assert_eq!(server_frame(&mut link).await, (0x82, CREATED.into()));

    let mut first = served.tcp().await;
    first.send(upgrade.as_bytes()).await;
    assert_eq!(later, head(&mut first).await, "both are answered in the same words");
    drop((link, first));
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_behind_answers_that_are_not_read_yet_loses_none_of_them() {
    let served = serve();
    // A body that no handler reads lets hyper go on before it has written the answer.
    let post = "POST /health HTTP/1.1\r\nHost: hub\r\nContent-Length: 2\r\n\r\nhi";
    for (request, status) in [(get("/metrics"), 200), (post.to_owned(), 405)] {
        let mut link = served.cramped(100);
        let requests = request.repeat(50);
        link.send(&[requests.as_bytes(), UPGRADE.as_bytes(), &message(CREATE)].concat()).await;
        // Everybody has done what can be done.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..50 {
            assert_eq!(answer(&mut link, false).await.status, status);
        }
        assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
        assert_eq!(server_frame(&mut link).await, (0x82, CREATED.into()));
        drop(link);
        served.empty().await;
    }
}

#[tokio::test]
async fn requests_and_their_bytes_count_against_the_rates_and_more_are_read_later() {
    let post = "POST /health HTTP/1.1\r\nHost: hub\r\nContent-Length: 2\r\n\r\nhi";
    for (request, messages, bytes) in
        [(get("/health"), 150, 0), (post.to_owned(), 150, 0), (get("/health"), 0, 20_000)]
    {
        let served = serve_with(|hub| {
            hub.limits.loopback_exempt = false;
            hub.limits.messages_per_second_max = messages;
            hub.limits.bytes_per_second_max = bytes;
        });
        let (mut link, begun) = (served.tcp().await, Instant::now());
        link.send(request.repeat(300).as_bytes()).await;
        for _ in 0..300 {
            assert!(matches!(answer(&mut link, false).await.status, 200 | 405));
        }
        // One second's worth is free.
        assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
        let hits = ["messages_per_second_max", "bytes_per_second_max"].map(|hit| served.hits(hit));
        assert_eq!(hits.map(|hits| hits > 0), [messages > 0, bytes > 0]);
    }
}

#[tokio::test]
async fn an_embedder_may_refuse_upgrades_by_path_cookie_and_address() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let check = UpgradeCheck::new(move |head| {
        count.fetch_add(1, Ordering::Relaxed);
        let from = head.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>();
        assert!(from.is_some_and(|from| from.0.ip().is_loopback() && from.0.port() > 0));
        if head.uri.path() != "/socket" {
            return Err(Refusal::new(StatusCode::OK, "no socket here"));
        }
        match cookies(&head.headers).find(|(name, _)| *name == "key") {
            Some((_, "right")) => Ok(()),
            _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, "log in first")),
        }
    });
    let served = serve_http(HttpOptions {
        upgrade: Some(check),
        node_id: Some(PeerId::new([0xab; 16])),
        ..HttpOptions::default()
    });
    let with = |cookie: &str| UPGRADE.replace("Host", &format!("Cookie: {cookie}\r\nHost"));
    for later in [false, true] {
        for (request, status, text) in [
            (UPGRADE.to_owned(), 401, "log in first"),
            (with("a=1; key=wrong; =; x"), 401, "log in first"),
            (with("key=right").replace("/socket", "/else?/socket"), 403, "no socket here"),
        ] {
            let mut link = served.tcp().await;
            if later {
                ask(&mut link, &get("/health")).await;
            }
            let answer = ask(&mut link, &request).await;
            assert_eq!((answer.status, &answer.body[..]), (status, text.as_bytes()));
            assert_eq!(answer.header("ANYSOCKET-ID"), Some(&*"ab".repeat(16)));
            assert!(link.rest().await.is_empty());
        }
        let mut link = served.tcp().await;
        if later {
            ask(&mut link, &get("/health")).await;
        }
        link.send(with("a=1; key=right").as_bytes()).await;
        assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 8, "once for each upgrade");
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_limit_however_it_comes() {
    let echo = Router::new().route("/echo", any(async |body: bytes::Bytes| body));
    let served = serve_http(HttpOptions { body_bytes_max: 3_000_000, ..routes(echo) });
    let plain = |count: usize| {
        let body = "x".repeat(count);
        format!("POST /echo HTTP/1.1\r\nHost: hub\r\nContent-Length: {count}\r\n\r\n{body}")
    };
    let chunked = |count: usize| {
        let head = "PUT /echo HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{}\r\n3\r\nxyz\r\n0\r\n\r\n", count - 3, "x".repeat(count - 3))
    };
    let mut link = served.tcp().await;
    for request in [plain(0), plain(3_000_000), chunked(3_000_000), plain(1)] {
        assert_eq!(ask(&mut link, &request).await.status, 200);
    }
    for request in [plain(3_000_001), chunked(3_000_001)] {
        assert_eq!(ask(&mut served.tcp().await, &request).await.status, 413);
    }
    assert_eq!(served.hits("http.body_bytes_max"), 2);
    let default = serve_http(routes(Router::new().route("/echo", any(async |body: String| body))));
    let wish = "POST /echo HTTP/1.1\r\nHost: hub\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(ask(&mut default.tcp().await, wish).await.status, 413, "and not 100");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let echo = Router::new().route("/echo", post(async |body: String| body));
    let served = serve_http(routes(echo));
    let mut link = served.memory();
    let begun = Instant::now();
    link.send(b"POST /echo HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n").await;
    for _ in 0..29 {
        link.send(b"x").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(answer(&mut link, false).await.status, 400);
    assert!(link.rest().await.is_empty());
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(served.hits("http.body_ms_max"), 1);
    drop(link);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_its_time_with_a_body_that_does_not() {
    let slow = post(async |mut body: Body| {
        let mut count = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(frame) = frame else { return format!("broken after {count}") };
            if count == 0 {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            count += frame.data_ref().map_or(0, |data| data.len());
        }
        count.to_string()
    });
    let served = serve_http(routes(Router::new().route("/slow", slow)));
    let mut link = served.memory();
    for piece in [&b"POST /slow HTTP/1.1\r\nHost: hub\r\nContent-Length: 300001\r\n\r\n"[..], b"x"]
    {
        link.send(piece).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    link.send(&[7; 300_000]).await;
    assert_eq!(answer(&mut link, false).await.body, "300001");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_of_an_answer_is_cut_off() {
    let large = Router::new().route("/", on_get(async || vec![7u8; 1_000_000]));
    let served = serve_http(routes(large));
    let mut link = served.cramped(1000);
    let begun = Instant::now();
    link.send(get("/").as_bytes()).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        link.take(1000).await;
    }
    until("it is cut off", || served.hits("outbox_stall_ms_max") == 1).await;
    assert_eq!(begun.elapsed().as_secs(), 90);
    served.empty().await;
}

/// Tells when it is dropped.
struct Leaves(Arc<Notify>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_is_answered_over_tcp_and_memory() {
    let (come, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let served = serve_http(slow(&come, &go));
    for _ in 0..50 {
        for mut link in [served.tcp().await, served.memory()] {
            link.send([get("/health"), get("/metrics")].concat().as_bytes()).await;
            link.finish();
            assert_eq!(answer(&mut link, false).await.status, 200);
            assert_eq!(answer(&mut link, false).await.status, 200);
            assert!(link.rest().await.is_empty());
        }
    }
    // Also if the answer takes its time.
    let mut link = served.tcp().await;
    link.send(get("/slow").as_bytes()).await;
    link.finish();
    within("the handler runs", come.notified()).await;
    go.add_permits(1);
    assert_eq!(answer(&mut link, false).await.body, "done");
    drop(link);
    served.empty().await;
}

#[tokio::test]
async fn a_health_check_that_asks_for_options_is_answered() {
    let served = serve();
    for request in [
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n",
        "OPTIONS /health HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n",
    ] {
        let answer = ask(&mut served.tcp().await, request).await;
        assert_eq!((answer.status, answer.header("Allow")), (204, Some("GET, HEAD, OPTIONS")));
    }
    let elsewhere = get("/x").replace("GET", "OPTIONS");
    assert_eq!(ask(&mut served.tcp().await, &elsewhere).await.status, 404);
}

#[tokio::test]
async fn a_request_of_http_1_1_has_one_host() {
    let served = serve();
    for lines in ["", "Host: a\r\nHost: b\r\n"] {
        let wrong = format!("GET /health HTTP/1.1\r\n{lines}\r\n");
        let mut first = served.tcp().await;
        assert_eq!(ask(&mut first, &wrong).await.status, 400);
        assert!(first.rest().await.is_empty());
        let mut kept = served.tcp().await;
        ask(&mut kept, &get("/health")).await;
        assert_eq!(ask(&mut kept, &wrong).await.status, 400);
        assert!(kept.rest().await.is_empty());
    }
    let old = "GET /health HTTP/1.0\r\n\r\n";
    assert_eq!(ask(&mut served.tcp().await, old).await.status, 200);
}

#[tokio::test]
async fn ready_says_whether_there_is_room() {
    let served = serve_with(|hub| hub.limits.connections_max = 2);
    let mut link = served.tcp().await;
    assert_eq!(ask(&mut link, &get("/ready")).await.body, "ready\n");
    let other = served.memory();
    until("it is there", || served.hub.metrics.connections.get() == 2).await;
    let full = ask(&mut link, &get("/ready")).await;
    assert_eq!((full.status, &full.body[..]), (503, &b"full\n"[..]));
    assert_eq!(ask(&mut link, &get("/health")).await.status, 200);
    drop(other);
}

#[tokio::test]
async fn every_counter_is_there_from_the_start() {
    let served = serve();
    let plain = get("/metrics").replace("Host", "Accept: text/plain\r\nHost");
    let page = ask(&mut served.tcp().await, &plain).await;
    let page = String::from_utf8(page.body.to_vec()).expect("text");
    for line in [
        "crosspoint_limit_hits_total{limit=\"outbox_bytes_max\"} 0",
        "crosspoint_limit_hits_total{limit=\"rooms.members_max\"} 0",
        "crosspoint_sessions_closed_total{reason=\"slow_receiver\"} 0",
        "crosspoint_connections_refused_total{reason=\"unknown_protocol\"} 0",
        "crosspoint_sessions{protocol=\"peote\"} 0",
        "# TYPE crosspoint_build_info gauge",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(page.lines().any(|is| is == line), "{line}: {page}");
    }
    for name in ["process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"]
    {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.and_then(|value| value.parse::<f64>().ok());
        assert!(value > Some(0.0), "{name}: {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_client_has_gone_is_dropped() {
    let (came, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, leave) = (came.clone(), left.clone());
    let slow = on_get(async move || {
        let _guard = Leaves(leave);
        tell.notify_one();
        std::future::pending::<()>().await;
    });
    let served = serve_http(routes(Router::new().route("/slow", slow)));
    let link = served.memory();
    link.send(get("/slow").as_bytes()).await;
    within("the handler runs", came.notified()).await;
    let begun = Instant::now();
    drop(link);
    within("the handler is dropped", left.notified()).await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "it refuses an interim answer");
    served.empty().await;
}

/// A client that has ended its part may wait for the answer. One that has gone looks the same until it refuses something.
#[tokio::test]
async fn a_client_that_has_ended_its_part_is_answered_and_nobody_works_for_one_that_has_gone() {
    let (come, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let served = serve_http(slow(&come, &go));
    let mut link = served.tcp().await;
    link.send(get("/slow").as_bytes()).await;
    within("the request runs", come.notified()).await;
    link.finish();
    assert_eq!(answer(&mut link, false).await.status, 102);
    go.add_permits(1);
    assert_eq!(answer(&mut link, false).await.body, "done");
    drop(link);
    let gone = served.tcp().await;
    gone.send(get("/slow").as_bytes()).await;
    within("the request runs", come.notified()).await;
    drop(gone);
    served.empty().await;
    assert_eq!(go.available_permits(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_its_part_is_told_again_and_again_that_the_answer_is_to_come() {
    let (come, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let served = serve_http(slow(&come, &go));
    let (mut link, mut old) = (served.memory(), served.memory());
    // Clients of HTTP/1.0 know no interim answers.
    for (link, request) in [(&link, &*get("/slow")), (&old, "GET /slow HTTP/1.0\r\n\r\n")] {
        link.send(request.as_bytes()).await;
        within("the request runs", come.notified()).await;
    }
    let give = go.clone();
    link.finish();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(70)).await;
        give.add_permits(1);
    });
    for _ in 0..3 {
        assert_eq!(answer(&mut link, false).await.status, 102);
    }
    assert_eq!(answer(&mut link, false).await.body, "done");
    old.finish();
    go.add_permits(1);
    assert_eq!(answer(&mut old, false).await.status, 200);
    drop((link, old));
    served.empty().await;
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_for_and_the_connection_goes_on() {
    async fn panics() -> &'static str {
        panic!("as the test wants")
    }
    let id = Some(PeerId::new([1; 16]));
    let options = routes(Router::new().route("/panics", on_get(panics)));
    let served = serve_http(HttpOptions { node_id: id, ..options });
    let mut link = served.tcp().await;
    let answer = ask(&mut link, &get("/panics")).await;
    assert_eq!((answer.status, answer.header("ANYSOCKET-ID")), (500, Some(&*"01".repeat(16))));
    assert_eq!(ask(&mut link, &get("/health")).await.status, 200);
}

/// Routes of which `/slow` ends when a permit is given.
fn slow(come: &Arc<Notify>, go: &Arc<Semaphore>) -> HttpOptions {
    let (come, go) = (come.clone(), go.clone());
    let slow = on_get(async move |_: Request<Body>| {
        come.notify_one();
        go.acquire().await.expect("it stays open").forget();
        "done"
    });
    routes(Router::new().route("/slow", slow))
}

#[tokio::test]
async fn a_server_that_stops_answers_what_runs_and_closes_what_is_idle() {
    let (come, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let served = serve_http(slow(&come, &go));
    let mut idle = served.tcp().await;
    ask(&mut idle, &get("/health")).await;
    let mut busy = served.tcp().await;
    busy.send([get("/slow"), get("/health")].concat().as_bytes()).await;
    within("the request runs", come.notified()).await;
    let server = served.server.clone();
    let stop = tokio::spawn(async move { server.stop().await });
    assert!(idle.rest().await.is_empty());
    drop(idle);
    go.add_permits(1);
    let last = answer(&mut busy, false).await;
    assert_eq!((&last.body[..], last.header("Connection")), (&b"done"[..], Some("close")));
    assert!(busy.rest().await.is_empty(), "no request is begun any more");
    drop(busy);
    within("the stop", stop).await.expect("it does not panic");
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_does_not_hold_up_the_stop() {
    let (come, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let flush_max = Duration::from_secs(3);
    let server = ServerOptions { http: slow(&come, &go), flush_max, ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), server);
    let mut link = served.memory();
    link.send(get("/slow").as_bytes()).await;
    come.notified().await;
    let begun = Instant::now();
    served.server.stop().await;
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert!(link.rest().await.is_empty());
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_for_ever_does_not_hold_up_the_stop() {
    let come = Arc::new(Notify::new());
    let tell = come.clone();
    let hangs = on_get(async move |Extension(hang): Extension<Hang>| {
        hang.begin();
        tell.notify_one();
        std::future::pending::<()>().await;
    });
    let flush_max = Duration::from_secs(3);
    let http = routes(Router::new().route("/hangs", hangs));
    let options = ServerOptions { http, flush_max, ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    let link = served.memory();
    link.send(get("/hangs").as_bytes()).await;
    come.notified().await;
    let begun = Instant::now();
    served.server.stop().await;
    assert_eq!(begun.elapsed().as_secs(), 3);
    served.empty().await;
}
