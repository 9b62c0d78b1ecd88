//! The workloads over AnySocket, against a real server made with the package from npm.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crosspoint_bench::dialect::{IdleState, KEEPALIVE_EVERY};
use crosspoint_bench::{
    AnySocket, BenchError, Dialect, Joint, Progress, fanout, idle, relay, requests, stall,
};

use crate::node::NodeServer;

const SHORT: Duration = Duration::from_millis(100);

/// Long enough for a keepalive in between.
const LONG: Duration = KEEPALIVE_EVERY.saturating_add(SHORT);

/// A server that is ended with the test.
struct Server(NodeServer);

impl Server {
    fn start() -> Server {
        Server(NodeServer::start("anysocket_server.mjs", "anysocket"))
    }

    fn dialect(&self) -> AnySocket {
        AnySocket::new(self.0.address, Some("\"open sesame\"".into()))
    }
}

#[test]
fn requests_are_counted_and_timed() {
    let server = Server::start();
    for (in_flight, payload) in [(1, 200), (64, 1), (4, 20_000)] {
        let plan = requests::Plan { in_flight, payload, warm_up: SHORT, duration: SHORT };
        let mut told = Vec::new();
        let progress: &mut Progress<'_> = &mut |done, _| told.push(done);
        let report = requests::run(&server.dialect(), &plan, progress).unwrap();
        assert!(report.latency.samples > 0, "{report:?}");
        let counted = report.requests_per_second * report.seconds;
        assert_eq!(counted.round() as u64, report.latency.samples, "{report:?}");
        assert!(told.is_sorted() && told.first() == Some(&0.0) && told.last() == Some(&1.0));
    }
}

#[test]
fn every_broadcast_reaches_every_receiver() {
    let server = Server::start();
    for (payload, duration) in [(1, SHORT), (64, LONG), (5000, SHORT)] {
        let plan = fanout::Plan {
            receivers: 3,
            payload,
            window: 64 << 10,
            warm_up: SHORT,
            duration,
            ..fanout::Plan::default()
        };
        let report = fanout::run(&server.dialect(), &plan, &mut |_, _| {}).unwrap();
        assert_eq!(report.missing, 0, "{report:?}");
        assert!(report.deliveries > 0, "{report:?}");
        assert!(report.bytes_per_second > report.deliveries_per_second * payload as f64);
    }
}

#[test]
fn idle_connections_are_opened_and_measured() {
    let server = Server::start();
    let mut plan = idle::Plan::new(server.0.pid());
    (plan.connections, plan.settle, plan.state) = (300, LONG, IdleState::Connected);
    let report = idle::run(&server.dialect(), &plan, &mut |_, _| {}).unwrap();
    assert!(report.resident_after > report.resident_before, "{report:?}");
}

#[test]
fn a_server_without_rooms_is_not_taken_for_a_hub() {
    let server = Server::start();
    let found = AnySocket::detect(server.0.address, Some("\"open sesame\"".into())).unwrap();
    assert_eq!(found.idle_state(), IdleState::Connected);
    assert!(found.open_requests(10).unwrap().responder.is_none());
}

#[test]
fn a_keepalive_is_taken_as_one() {
    let server = Server::start();
    let dialect = server.dialect();
    let mut requests = dialect.open_requests(10).unwrap();
    let mut out = dialect.keepalive().unwrap();
    requests.asker.ask(1_000_000, &mut out).unwrap();
    requests.stream.write_all(&out).unwrap();
    let (mut buffer, mut answered, mut out) = ([0; 1024], Vec::new(), Vec::new());
    while answered.is_empty() {
        let count = requests.stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the server has closed");
        let on_answer = &mut |number| answered.push(number);
        requests.asker.take(&buffer[..count], &mut out, on_answer).unwrap();
    }
    assert_eq!(answered, [1_000_000]);
    assert!(out.is_empty(), "the server asks for nothing");
}

#[test]
fn a_server_that_refuses_is_named() {
    let server = Server::start();
    let refused = AnySocket::new(server.0.address, Some("\"wrong\"".into())).open_requests(1);
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("anysocket: authenticating was answered with a close frame"), "{error}");
}

#[test]
fn what_the_protocol_cannot_do_is_refused_before_anything_is_opened() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let anysocket = AnySocket::new(nobody, None);
    let progress: &mut Progress<'_> = &mut |_, _| {};
    let unsupported = [
        stall::run(&anysocket, &stall::Plan::default(), progress).err(),
        relay::run(&anysocket, &relay::Plan::default(), progress).err(),
        idle::run(&anysocket, &idle::Plan::new(std::process::id()), progress).err(),
        requests::run(&Joint::new(nobody), &requests::Plan::default(), progress).err(),
    ];
    for error in unsupported {
        assert!(matches!(error, Some(BenchError::Unsupported { .. })), "{error:?}");
    }
    for (in_flight, payload) in [(0, 1), (1, 0), (1, 600 << 10), (3000, 64)] {
        let plan = requests::Plan { in_flight, payload, ..requests::Plan::default() };
        let error = requests::run(&anysocket, &plan, progress).unwrap_err();
        assert!(matches!(error, BenchError::Plan(_)), "{error}");
    }
    let plan = fanout::Plan { payload: 600 << 10, ..fanout::Plan::default() };
    assert!(matches!(fanout::run(&anysocket, &plan, progress), Err(BenchError::Plan(_))));
}
