//! The workloads that need links, against the real hub, and what is measured beside it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crosspoint_bench::dialect::{STREAM_CHUNK, StreamShape};
use crosspoint_bench::{
    Bare, BenchError, Dialect, Encrypted, Joint, Native, Nats, Progress, Proxied, requests,
    stalled, stream,
};
use crosspoint_hub::{Hub, HubOptions};
use crosspoint_net::server::{Server, ServerOptions, bind};
use crosspoint_net::tls::server::Tls;
use tokio::runtime::Runtime;

pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// A hub inside this process, ended with the test.
pub(crate) struct TestHub {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    _runtime: Runtime,
}

impl TestHub {
    pub(crate) fn start() -> TestHub {
        TestHub::with_tls(None)
    }

    pub(crate) fn with_tls(tls: Option<Tls>) -> TestHub {
        let runtime = Runtime::new().unwrap();
        let (address, hub) = runtime.block_on(async {
            let options = ServerOptions { tls, ..ServerOptions::default() };
            let server = Server::new(Hub::new(HubOptions::default()), options);
            let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
            let address = listener.local_addr().unwrap();
            server.listen(listener);
            (address, server.hub().clone())
        });
        TestHub { address, hub, _runtime: runtime }
    }
}

/// Where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[test]
fn requests_are_answered_over_the_hub_plain_and_encrypted() {
    let hub = TestHub::start();
    for dialect in [&Native::new(hub.address) as &dyn Dialect, &Encrypted::new(hub.address)] {
        for (in_flight, payload) in [(1, 1), (64, 64), (4, 30_000)] {
            let plan = requests::Plan { in_flight, payload, warm_up: SHORT, duration: SHORT };
            let mut told = Vec::new();
            let progress: &mut Progress<'_> = &mut |done, _| told.push(done);
            let report = requests::run(dialect, &plan, progress).unwrap();
            assert_eq!(report.dialect, dialect.name());
            assert!(report.latency.samples > 0, "{report:?}");
            let counted = report.requests_per_second * report.seconds;
            assert_eq!(counted.round() as u64, report.latency.samples, "{report:?}");
            assert!(told.is_sorted() && told.first() == Some(&0.0) && told.last() == Some(&1.0));
        }
    }
}

#[test]
fn two_runs_on_one_hub_do_not_meet() {
    let hub = TestHub::start();
    let open = || Native::new(hub.address).open_requests(5).unwrap();
    let runs = [open(), open()];
    assert_eq!(hub.hub.sessions(), 4);
    for mut run in runs {
        let (mut out, mut buffer, mut answered) = (Vec::new(), [0; 1024], Vec::new());
        run.asker.ask(7, &mut out).unwrap();
        run.stream.write_all(&out).unwrap();
        let mut responder = run.responder.unwrap();
        let count = responder.stream.read(&mut buffer).unwrap();
        out.clear();
        responder.answerer.take(&buffer[..count], &mut out).unwrap();
        responder.stream.write_all(&out).unwrap();
        let count = run.stream.read(&mut buffer).unwrap();
        run.asker.take(&buffer[..count], &mut out, &mut |number| answered.push(number)).unwrap();
        assert_eq!(answered, [7]);
    }
}

#[test]
fn bytes_flow_through_a_hub_a_proxy_and_without_either() {
    let hub = TestHub::start();
    let behind = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = tiny_proxy(behind.local_addr().unwrap());
    // A knock that comes out of the proxy and is none of the streams.
    drop(TcpStream::connect(proxy).unwrap());
    let proxied = Proxied::new(proxy, behind);
    for dialect in [&Native::new(hub.address) as &dyn Dialect, &proxied, &Bare] {
        for window in [2 * STREAM_CHUNK as u32, 512 << 10] {
            let plan = stream::Plan { window, warm_up: SHORT, duration: SHORT };
            let report = stream::run(dialect, &plan, &mut |_, _| {}).unwrap();
            assert!(report.bytes_per_second > 0.0, "{report:?}");
        }
    }
}

#[test]
fn who_gives_credit_for_half_a_window_gets_as_much_more() {
    let hub = TestHub::start();
    let shape = StreamShape { window: 64 << 10, tiny: false };
    let mut ends = Native::new(hub.address).open_stream(&shape).unwrap();
    for _ in 0..2 {
        ends.sender.write_all(&ends.chunk).unwrap();
    }
    let (mut arrived, mut credit) = (vec![0; 2 * ends.chunk.len()], Vec::new());
    ends.receiver.read_exact(&mut arrived).unwrap();
    assert_eq!(ends.intake.take(&arrived, &mut credit), Ok(2 * ends.chunk_bytes));
    ends.receiver.write_all(&credit).unwrap();
    let (mut buffer, mut out) = ([0; 64], Vec::new());
    let count = ends.sender.read(&mut buffer).unwrap();
    let credited = ends.credits.unwrap().take(&buffer[..count], &mut out).unwrap();
    assert_eq!((credited, out.len()), (32 << 10, 0));
}

#[test]
fn memory_for_stalled_streams_is_measured() {
    let hub = TestHub::start();
    let mut plan = stalled::Plan::new(std::process::id());
    (plan.streams, plan.settle) = (20, SHORT);
    let report = stalled::run(&Native::new(hub.address), &plan, &mut |_, _| {}).unwrap();
    // The sender's prepared bytes are in this process as well, but only one window of them.
    assert!(report.resident_after > report.resident_before, "{report:?}");
    assert!(report.bytes_per_stream < 2e6, "{report:?}");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_opened() {
    let (native, joint) = (Native::new(nobody()), Joint::new(nobody()));
    let progress: &mut Progress<'_> = &mut |_, _| {};
    let stalled_plan = stalled::Plan::new(std::process::id());
    let unsupported = [
        stream::run(&Nats::new(nobody()), &stream::Plan::default(), progress).err(),
        stream::run(&Encrypted::new(nobody()), &stream::Plan::default(), progress).err(),
        stalled::run(&joint, &stalled_plan, progress).err(),
        stalled::run(&Bare, &stalled_plan, progress).err(),
        requests::run(&joint, &requests::Plan::default(), progress).err(),
    ];
    for error in unsupported {
        assert!(matches!(error, Some(BenchError::Unsupported { .. })), "{error:?}");
    }
    for window in [0, STREAM_CHUNK as u32, u32::MAX] {
        let plan = stream::Plan { window, ..stream::Plan::default() };
        assert!(matches!(stream::run(&native, &plan, progress), Err(BenchError::Plan(_))));
        let plan = stalled::Plan { window, ..stalled_plan.clone() };
        assert!(matches!(stalled::run(&native, &plan, progress), Err(BenchError::Plan(_))));
    }
    let plan = stalled::Plan { streams: 0, ..stalled_plan };
    assert!(matches!(stalled::run(&native, &plan, progress), Err(BenchError::Plan(_))));
    let plan = requests::Plan { in_flight: 1, payload: 40_000, ..requests::Plan::default() };
    assert!(matches!(requests::run(&native, &plan, progress), Err(BenchError::Plan(_))));
}

/// The smallest proxy: a connection to `behind` for each that comes, in one direction.
fn tiny_proxy(behind: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut far = TcpStream::connect(behind).unwrap();
                // Either side may end at any time.
                let _ = std::io::copy(&mut near, &mut far);
            });
        }
    });
    address
}
