//! The workloads inside TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crosspoint_bench::dialect::IdleState;
use crosspoint_bench::{
    AnySocket, BenchError, Dialect, Encrypted, Joint, Native, Transport, fanout, idle, relay,
    requests, stall, stalled, stream,
};
use crosspoint_net::tls::certificate::Certificate;
use crosspoint_net::tls::client::{ClientTls, HandshakeError, Trust};
use crosspoint_net::tls::server::Tls;

use crate::hub::{SHORT, TestHub};

/// A hub with TLS, and the way to it.
fn hub() -> (TestHub, Transport) {
    let certificate = Certificate::for_development().unwrap();
    let pin = certificate.fingerprint().unwrap();
    let hub = TestHub::with_tls(Some(Tls::new(vec![certificate]).unwrap().required(true)));
    let transport = pinned(hub.address, Trust::Pinned(pin));
    (hub, transport)
}

fn pinned(address: SocketAddr, trust: Trust) -> Transport {
    Transport::with_tls(address, "localhost", &ClientTls::from(trust)).unwrap()
}

#[test]
fn every_broadcast_reaches_every_receiver() {
    let (_hub, transport) = hub();
    let anysocket = AnySocket::detect(transport.clone(), None).unwrap();
    for dialect in
        [&Native::new(transport.clone()) as &dyn Dialect, &Joint::new(transport), &anysocket]
    {
        // Some go over several records of TLS, some share one.
        for (payload, copy) in [(1, false), (64, true), (20_000, false)] {
            let plan = fanout::Plan {
                receivers: 3,
                payload,
                copy,
                window: 256 << 10,
                warm_up: SHORT,
                // A busy machine may stand still for a moment.
                duration: 5 * SHORT,
                ..fanout::Plan::default()
            };
            let report = fanout::run(dialect, &plan, &mut |_, _| {}).unwrap();
            assert_eq!(report.missing, 0, "{report:?}");
            assert!(report.deliveries > 0, "{report:?}");
            // What is counted is the protocol's, as without TLS.
            let data = report.deliveries as f64 / report.seconds * payload as f64;
            assert!(report.bytes_per_second > data, "{report:?}");
            assert!(report.bytes_per_second < data * 100.0, "{report:?}");
        }
    }
}

#[test]
fn conversations_streams_and_stalled_members_are_measured() {
    let (_hub, transport) = hub();
    let (native, encrypted) = (Native::new(transport.clone()), Encrypted::new(transport.clone()));
    for dialect in [&native as &dyn Dialect, &encrypted] {
        let plan =
            requests::Plan { in_flight: 4, payload: 30_000, warm_up: SHORT, duration: SHORT };
        let report = requests::run(dialect, &plan, &mut |_, _| {}).unwrap();
        assert!(report.latency.samples > 0, "{report:?}");
    }
    for dialect in [&native as &dyn Dialect, &Joint::new(transport)] {
        let plan = relay::Plan { in_flight: 64, payload: 200, warm_up: SHORT, duration: SHORT };
        let report = relay::run(dialect, &plan, &mut |_, _| {}).unwrap();
        assert!(report.latency.samples > 0, "{report:?}");
        let plan =
            stall::Plan { members: 5, rate: 500, payload: 32, warm_up: SHORT, duration: SHORT };
        let report = stall::run(dialect, &plan, &mut |_, _| {}).unwrap();
        for part in [&report.all_read, &report.one_stalled] {
            assert!(part.latency.samples > 0, "{report:?}");
            assert_eq!((part.missing, part.stalled_dropped), (0, false), "{report:?}");
        }
    }
    let plan = stream::Plan { warm_up: SHORT, duration: SHORT, ..stream::Plan::default() };
    let report = stream::run(&native, &plan, &mut |_, _| {}).unwrap();
    assert!(report.bytes_per_second > 0.0, "{report:?}");
    let mut plan = stalled::Plan::new(std::process::id());
    (plan.streams, plan.settle) = (5, SHORT);
    let report = stalled::run(&native, &plan, &mut |_, _| {}).unwrap();
    assert!(report.resident_after > report.resident_before, "{report:?}");
}

#[test]
fn idle_connections_are_opened_and_measured() {
    let (hub, transport) = hub();
    let native = Native::new(transport);
    let streams = native.open_idle(IdleState::Member, 30, &mut |_| {}).unwrap();
    // And the owner of their channel.
    assert_eq!((streams.len(), hub.hub.sessions()), (31, 31));
    let mut plan = idle::Plan::new(std::process::id());
    (plan.connections, plan.settle) = (20, SHORT);
    let report = idle::run(&native, &plan, &mut |_, _| {}).unwrap();
    assert!(report.resident_after > 0, "{report:?}");
}

/// Many messages share a record of TLS, and a reader takes fewer bytes than were decrypted.
#[test]
fn what_arrives_together_is_read_apart() {
    const COUNT: usize = 100;
    let (_hub, transport) = hub();
    let mut requests = Native::new(transport).open_requests(5).unwrap();
    let mut responder = requests.responder.unwrap();
    let (mut out, mut answers, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    (1..=COUNT as u32).for_each(|number| requests.asker.ask(number, &mut out).unwrap());
    requests.stream.write_all(&out).unwrap();
    let mut byte = [0];
    let length = {
        // The first answer says how long all are.
        while answers.is_empty() {
            responder.stream.read_exact(&mut byte).unwrap();
            responder.answerer.take(&byte, &mut answers).unwrap();
        }
        answers.len()
    };
    while answers.len() < COUNT * length {
        responder.stream.read_exact(&mut byte).unwrap();
        responder.answerer.take(&byte, &mut answers).unwrap();
    }
    responder.stream.write_all(&answers).unwrap();
    let (mut few, mut nothing) = ([0; 7], Vec::new());
    while answered.len() < COUNT {
        let count = requests.stream.read(&mut few).unwrap();
        let on_answer = &mut |number| answered.push(number);
        requests.asker.take(&few[..count], &mut nothing, on_answer).unwrap();
    }
    assert!(answered.iter().copied().eq(1..=COUNT as u32) && nothing.is_empty());
}

#[test]
fn a_server_that_is_not_trusted_or_speaks_no_tls_is_named() {
    let (hub, _) = hub();
    let tls = |address, trust| {
        let error = Joint::new(pinned(address, trust)).open_relay(64).err().unwrap();
        let BenchError::Tls { address: named, source } = error else { panic!("{error}") };
        assert_eq!(named, address);
        HandshakeError::find(&source).expect("the fault of TLS").clone()
    };
    let strange = || Trust::Pinned("00".repeat(32).parse().unwrap());
    assert!(matches!(tls(hub.address, strange()), HandshakeError::OtherCertificate { .. }));
    assert_eq!(tls(TestHub::start().address, strange()), HandshakeError::Refused);
    for (answer, fault) in
        [(&b"-ERR what?\r\n"[..], HandshakeError::NoTls), (b"", HandshakeError::Closed)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(answer).unwrap();
        });
        assert_eq!(tls(address, strange()), fault);
    }
    let plain = Native::new(hub.address).open_relay(64).err().unwrap();
    assert!(matches!(plain, BenchError::Io { .. }), "{plain}");
}
