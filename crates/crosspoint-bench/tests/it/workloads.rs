//! The workloads against bare sockets and against the smallest server that relays joint frames.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crosspoint_bench::dialect::{FanoutShape, IdleState};
use crosspoint_bench::{Bare, BenchError, Dialect, Joint, fanout, idle, relay, stall};

const SHORT: Duration = Duration::from_millis(100);

fn fanout_of(dialect: &dyn Dialect, receivers: usize) -> fanout::Report {
    let plan = fanout::Plan {
        receivers,
        window: 16 << 10,
        warm_up: SHORT,
        duration: SHORT,
        ..fanout::Plan::default()
    };
    let mut told = Vec::new();
    let report = fanout::run(dialect, &plan, &mut |done, _| told.push(done)).unwrap();
    assert!(told.is_sorted() && told.first() == Some(&0.0) && told.last() == Some(&1.0));
    report
}

#[test]
fn every_broadcast_reaches_every_receiver() {
    for dialect in [&Bare as &dyn Dialect, &Joint::new(tiny_relay())] {
        let report = fanout_of(dialect, 3);
        assert_eq!(report.missing, 0, "{report:?}");
        assert!(report.deliveries > 0, "{report:?}");
    }
}

#[test]
fn an_audience_larger_than_a_channel_is_spread_over_several() {
    let joint = Joint::new(tiny_relay());
    let shape = FanoutShape { receivers: 300, tiny: 0, payload: 10 };
    let fanout = joint.open_fanout(&shape).unwrap();
    assert_eq!(fanout.receivers.len(), 300);
    assert_eq!(fanout.message.bytes, b"\x01\x01\x0b\x80..........\x01\x01\x0b\x81..........");
    assert_eq!(fanout.message.payloads, [4, 18]);
    assert_eq!(fanout_of(&joint, 300).missing, 0);
}

#[test]
fn round_trips_are_counted_and_timed() {
    for dialect in [&Bare as &dyn Dialect, &Joint::new(tiny_relay())] {
        for in_flight in [1, 64] {
            let plan = relay::Plan { in_flight, payload: 200, warm_up: SHORT, duration: SHORT };
            let report = relay::run(dialect, &plan, &mut |_, _| {}).unwrap();
            assert!(report.latency.samples > 0, "{report:?}");
            assert!(report.latency.p50 <= report.latency.p999, "{report:?}");
            let counted = report.round_trips_per_second * report.seconds;
            assert_eq!(counted.round() as u64, report.latency.samples, "{report:?}");
        }
    }
}

#[test]
fn a_member_that_never_reads_is_measured_next_to_those_that_do() {
    let plan = stall::Plan { members: 5, rate: 500, payload: 32, warm_up: SHORT, duration: SHORT };
    let report = stall::run(&Joint::new(tiny_relay()), &plan, &mut |_, _| {}).unwrap();
    for part in [&report.all_read, &report.one_stalled] {
        assert!(part.latency.samples > 0, "{report:?}");
        assert_eq!((part.missing, part.stalled_dropped), (0, false), "{report:?}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["one_stalled"]["latency"]["p999"].is_number(), "{json}");
}

#[test]
fn idle_connections_are_opened_in_the_state_asked_for() {
    let dialect = Joint::new(tiny_relay());
    for (state, owners) in [(IdleState::Connected, 0), (IdleState::Member, 1)] {
        let streams = dialect.open_idle(state, 300, &mut |_| {}).unwrap();
        assert_eq!(streams.len(), 300 + owners);
    }
    let mut plan = idle::Plan::new(std::process::id());
    (plan.connections, plan.settle) = (50, Duration::ZERO);
    let report = idle::run(&dialect, &plan, &mut |_, _| {}).unwrap();
    assert!(report.resident_before > 0 && report.resident_after > 0, "{report:?}");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_opened() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let progress: &mut crosspoint_bench::Progress<'_> = &mut |_, _| {};
    let plan = fanout::Plan { payload: 40_000, ..fanout::Plan::default() };
    assert!(matches!(fanout::run(&Joint::new(nobody), &plan, progress), Err(BenchError::Plan(_))));
    let plan = idle::Plan { connections: usize::MAX / 2, ..idle::Plan::new(std::process::id()) };
    assert!(matches!(idle::run(&Joint::new(nobody), &plan, progress), Err(BenchError::Plan(_))));
    let error = stall::run(&Bare, &stall::Plan::default(), progress).unwrap_err();
    assert!(matches!(error, BenchError::Unsupported { workload: "stall", .. }));
    let error = relay::run(&Joint::new(nobody), &relay::Plan::default(), progress).unwrap_err();
    assert!(matches!(error, BenchError::Connect { .. }), "{error}");
}

#[test]
fn a_server_that_answers_something_else_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    });
    let error = Joint::new(address).open_relay(64).err().unwrap().to_string();
    assert!(error.contains("creating a channel") && error.contains('H'), "{error}");
}

/// One channel by its name: the owner, its own number, and the members in order.
struct Channel {
    owner: TcpStream,
    own: u8,
    members: Vec<TcpStream>,
}

type Channels = Arc<Mutex<HashMap<Vec<u8>, Channel>>>;

/// Serves create, enter, data frames and broadcasts to all on a free port. Nothing ever leaves,
/// and a member is in one channel only.
fn tiny_relay() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let channels = Channels::default();
        while let Ok((stream, _)) = listener.accept() {
            let channels = channels.clone();
            // Ends with an error when the client closes.
            thread::spawn(move || drop(serve(stream, &channels)));
        }
    });
    address
}

fn serve(mut stream: TcpStream, channels: &Channels) -> std::io::Result<()> {
    let mut reader = std::io::BufReader::new(stream.try_clone()?);
    let mut byte = move |bytes: &mut [u8]| reader.read_exact(bytes);
    let mut own_names: Vec<Vec<u8>> = Vec::new();
    let mut entered: Option<(Vec<u8>, u8)> = None;
    loop {
        let mut first = [0];
        byte(&mut first)?;
        if first == [0] {
            let mut head = [0; 3];
            byte(&mut head)?;
            let mut name = vec![0; head[2] as usize];
            byte(&mut name)?;
            let mut channels = channels.lock().unwrap();
            if head[0] == 0 {
                let own = own_names.len() as u8;
                own_names.push(name.clone());
                let owner = stream.try_clone()?;
                channels.insert(name, Channel { owner, own, members: Vec::new() });
                stream.write_all(&[0, 3, head[1], 0, own])?;
            } else if let Some(channel) = channels.get_mut(&name) {
                let user = channel.members.len() as u8;
                channel.members.push(stream.try_clone()?);
                stream.write_all(&[0, 3, head[1], 0, 0])?;
                channel.owner.write_all(&[0, 4, 0, 0, channel.own, user])?;
                entered = Some((name, user));
            } else {
                stream.write_all(&[0, 3, head[1], 1, 1])?;
            }
            continue;
        }
        let broadcast = first == [1];
        if broadcast {
            byte(&mut [0])?;
            byte(&mut first)?;
        }
        let mut size = first[0] as usize;
        if size >= 0x80 {
            let mut low = [0];
            byte(&mut low)?;
            size = (size - 0x80) << 8 | low[0] as usize;
        }
        let mut body = vec![0; size];
        byte(&mut body)?;
        let mut channels = channels.lock().unwrap();
        if body[0] < 0x80 {
            let Some((name, user)) = &entered else {
                continue;
            };
            let channel = channels.get_mut(name).unwrap();
            let out = frame(&[0x80 | channel.own, *user], &body[1..]);
            channel.owner.write_all(&out)?;
        } else {
            let channel = channels.get_mut(&own_names[(body[0] & 0x7f) as usize]).unwrap();
            if broadcast {
                let out = frame(&[0], &body[1..]);
                channel.members.iter_mut().try_for_each(|member| member.write_all(&out))?;
            } else {
                let out = frame(&[0], &body[2..]);
                channel.members[body[1] as usize].write_all(&out)?;
            }
        }
    }
}

fn frame(names: &[u8], data: &[u8]) -> Vec<u8> {
    let size = names.len() + data.len();
    let mut out =
        if size < 0x80 { vec![size as u8] } else { vec![0x80 | (size >> 8) as u8, size as u8] };
    out.extend_from_slice(names);
    out.extend_from_slice(data);
    out
}
