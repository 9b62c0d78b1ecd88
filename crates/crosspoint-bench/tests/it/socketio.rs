//! The workloads over Socket.IO, against the real hub and against the plugin's server made with node.

use std::io::{Read, Write};
use std::time::Duration;

use crosspoint_bench::dialect::{FanoutShape, IdleState, KEEPALIVE_EVERY, StreamShape};
use crosspoint_bench::{
    BenchError, Dialect, Progress, SocketIo, fanout, idle, relay, requests, stall, stalled, stream,
};

use crate::hub::{SHORT, TestHub, nobody};
use crate::node::NodeServer;

/// Long enough for a keepalive in between.
const LONG: Duration = KEEPALIVE_EVERY.saturating_add(SHORT);

fn plugin() -> NodeServer {
    NodeServer::start("socketio_server.mjs", "socket.io")
}

/// The servers are ended when this returns.
fn against_each(test: impl Fn(&SocketIo, u32)) {
    let hub = TestHub::start();
    for dialect in [SocketIo::new(hub.address), SocketIo::older(hub.address)] {
        test(&dialect, std::process::id());
    }
    let plugin = plugin();
    test(&SocketIo::older(plugin.address), plugin.pid());
}

#[test]
fn requests_are_answered_by_another_client() {
    against_each(|dialect, _| {
        for (pairs, in_flight, payload) in [(1, 1, 1), (1, 64, 64), (3, 8, 2000)] {
            let plan = requests::Plan { in_flight, payload, warm_up: SHORT, duration: SHORT };
            let report = requests::run_many(dialect, &plan, pairs, &mut |_, _| {}).unwrap();
            assert_eq!((report.dialect, report.pairs), (dialect.name(), pairs));
            assert!(report.latency.samples > 0, "{report:?}");
        }
    });
}

#[test]
fn every_broadcast_reaches_every_receiver() {
    against_each(|dialect, _| {
        for (payload, duration) in [(1, SHORT), (64, LONG), (20_000, SHORT)] {
            let plan = fanout::Plan {
                receivers: 3,
                payload,
                window: 256 << 10,
                warm_up: SHORT,
                duration,
                ..fanout::Plan::default()
            };
            let report = fanout::run(dialect, &plan, &mut |_, _| {}).unwrap();
            assert_eq!(report.missing, 0, "{report:?}");
            assert!(report.deliveries > 0, "{report:?}");
        }
    });
}

#[test]
fn chunks_of_a_stream_flow_one_by_one() {
    against_each(|dialect, _| {
        for streams in [1, 2] {
            let plan = stream::Plan { warm_up: SHORT, duration: SHORT, ..stream::Plan::default() };
            let report = stream::run_many(dialect, &plan, streams, &mut |_, _| {}).unwrap();
            assert_eq!((report.streams, report.window), (streams, 64 << 10));
            assert!(report.bytes_per_second > 0.0, "{report:?}");
        }
    });
}

#[test]
fn a_chunk_is_acknowledged_when_all_of_it_is_there() {
    let hub = TestHub::start();
    let shape = StreamShape { window: 1 << 20, tiny: false };
    let mut ends = SocketIo::new(hub.address).open_stream(&shape).unwrap();
    ends.sender.write_all(&ends.chunk).unwrap();
    let (mut byte, mut out, mut data) = ([0], Vec::new(), 0);
    while data == 0 {
        assert!(out.is_empty());
        ends.receiver.read_exact(&mut byte).unwrap();
        data += ends.intake.take(&byte, &mut out).unwrap();
    }
    assert_eq!(data, ends.chunk_bytes);
    ends.receiver.write_all(&out).unwrap();
    let (mut buffer, mut out) = ([0; 64], Vec::new());
    let count = ends.sender.read(&mut buffer).unwrap();
    let credited = ends.credits.unwrap().take(&buffer[..count], &mut out).unwrap();
    assert_eq!((credited, out.len()), (ends.window, 0));
}

#[test]
fn idle_connections_and_stalled_streams_are_measured() {
    against_each(|dialect, pid| {
        for state in [IdleState::Connected, IdleState::Member] {
            let mut plan = idle::Plan::new(pid);
            (plan.connections, plan.settle, plan.state) = (100, LONG, state);
            let report = idle::run(dialect, &plan, &mut |_, _| {}).unwrap();
            assert!(report.resident_after > 0, "{report:?}");
        }
        let mut plan = stalled::Plan::new(pid);
        (plan.streams, plan.settle) = (5, SHORT);
        let report = stalled::run(dialect, &plan, &mut |_, _| {}).unwrap();
        assert!(report.bytes_per_stream < 2e6, "{report:?}");
    });
}

#[test]
fn requests_to_a_client_that_has_gone_end_the_run() {
    let hub = TestHub::start();
    let mut asking = SocketIo::new(hub.address).open_requests(5).unwrap();
    drop(asking.responder.take());
    let (mut out, mut buffer) = (Vec::new(), [0; 1024]);
    asking.asker.ask(1, &mut out).unwrap();
    let heard = loop {
        asking.stream.write_all(&out).unwrap();
        let count = asking.stream.read(&mut buffer).unwrap();
        match asking.asker.take(&buffer[..count], &mut Vec::new(), &mut |_| {}) {
            Ok(()) => {}
            heard => break heard,
        }
    };
    assert_eq!(heard, Err("an error of the server"));
}

#[test]
fn a_room_that_takes_no_such_messages_is_named() {
    let hub = TestHub::start();
    let shape = FanoutShape { receivers: 1, tiny: 0, payload: 70_000 };
    let error = SocketIo::new(hub.address).open_fanout(&shape).err().unwrap().to_string();
    assert!(error.contains("sending to a room was answered with"), "{error}");
    assert!(error.contains("SERVER_ERROR"), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_opened() {
    let dialect = SocketIo::new(nobody());
    let progress: &mut Progress<'_> = &mut |_, _| {};
    for error in [
        stall::run(&dialect, &stall::Plan::default(), progress).err(),
        relay::run(&dialect, &relay::Plan::default(), progress).err(),
    ] {
        assert!(matches!(error, Some(BenchError::Unsupported { .. })), "{error:?}");
    }
    let plan = requests::Plan::default();
    let large = requests::Plan { in_flight: 1, payload: 600 << 10, ..plan.clone() };
    for error in [
        requests::run_many(&dialect, &plan, 0, progress).err(),
        requests::run(&dialect, &large, progress).err(),
        stream::run_many(&dialect, &stream::Plan::default(), 0, progress).err(),
    ] {
        assert!(matches!(error, Some(BenchError::Plan(_))), "{error:?}");
    }
    let plan = fanout::Plan { payload: 600 << 10, ..fanout::Plan::default() };
    assert!(matches!(fanout::run(&dialect, &plan, progress), Err(BenchError::Plan(_))));
}
