//! What hostile input costs the program in memory, as the system counts it.

use crate::common::{PATIENCE, Running, connect, hub, program, try_get};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::anysocket::auth::Auth;
use crosspoint_gateways::anysocket::id::Id;
use crosspoint_gateways::anysocket::packet::{Kind, Packet};
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, ChannelOptions, Command, DirectoryCommand,
    EnterOptions, Event, LinkCommand, LinkEvent, LinkOptions, Mode, Target,
};
use crosspoint_hub::protocol::Client;
use crosspoint_hub::wire::{Encoded, FrameWriter};
use crosspoint_hub::{ChannelName, JoinedChannelId, Part, PeerId, PeerName, Reason};
use crosspoint_net::ws::frame::{Opcode, client_frame};
use crosspoint_proto::client::{Native, Options};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// The program, and what it takes.
struct Hub {
    running: Running,
    port: String,
    /// What it took before.
    idle: u64,
}

impl Hub {
    fn start(more: &[&str]) -> Self {
        let (running, port) = hub(more);
        let mut hub = Self { running, port, idle: 0 };
        hub.idle = hub.status("VmRSS:");
        hub
    }

    /// A line of the system's account of the program, in bytes.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// What it took at most, above what it took at the start.
    fn peak(&self) -> u64 {
        self.status("VmHWM:") - self.idle
    }

    /// The page of metrics. At a budget some connections are closed without a word.
    fn metrics(&self) -> String {
        let begun = Instant::now();
        loop {
            match try_get(&self.port, "/metrics") {
                Ok(page) => return page,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "no metrics: {error}"),
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The value of a line of the metrics; 0 if there is none.
    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
    }

    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "did not happen: {what}");
            sleep(Duration::from_millis(20));
        }
    }

    /// When all have gone nothing is charged for them, and most memory is given back.
    fn until_given_back(&self, most: u64) {
        self.until("all have gone", |hub| hub.metric("crosspoint_connections") == 1);
        // The connection that asks is there.
        let asks = [
            r#"{purpose="connection",protocol="hub"} 4096"#,
            r#"{purpose="connection",protocol="http"} 22528"#,
        ];
        self.until("nothing is charged", |hub| {
            let text = hub.metrics();
            let mut charged =
                text.lines().filter(|line| line.starts_with("crosspoint_memory_bytes{"));
            charged.all(|line| {
                line.ends_with(" 0") || asks.into_iter().any(|asks| line.ends_with(asks))
            })
        });
        let taken = || self.status("VmRSS:").saturating_sub(self.idle);
        let begun = Instant::now();
        while taken() > most {
            assert!(begun.elapsed() < PATIENCE, "{} MiB are kept", taken() / MIB);
            sleep(Duration::from_millis(20));
        }
    }

    fn connect(&self) -> TcpStream {
        Self::set_up(connect(&self.port))
    }

    /// With small buffers of the system, so that what is not read waits in the hub.
    fn connect_narrowly(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port.parse().unwrap()));
        socket.connect(&address.into()).unwrap();
        Self::set_up(socket.into())
    }

    fn set_up(stream: TcpStream) -> TcpStream {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// Members that do not answer heartbeats stay, however slow the machine is.
const PATIENT: [&str; 2] = ["--heartbeat-missed-max", "100"];

/// A native client that reads only when it is told to.
struct Member {
    stream: TcpStream,
    client: Native,
    /// As the hub knows it.
    id: PeerId,
}

fn write(stream: &mut TcpStream, encoded: &Encoded) {
    let bytes: Vec<u8> = encoded.pieces().flatten().copied().collect();
    stream.write_all(&bytes).unwrap();
}

fn name(name: &str) -> ChannelName {
    ChannelName::new(name.as_bytes().to_vec()).unwrap()
}

impl Member {
    fn connect(hub: &Hub) -> Self {
        let mut out = FrameWriter::default();
        let client = Native::new(Instant::now(), Options::default(), &mut out);
        let mut member = Self { stream: hub.connect(), client, id: PeerId::new([0; 16]) };
        write(&mut member.stream, &out.take());
        member.id = member.hear(|event| match event {
            Event::Welcome { peer } => Some(*peer),
            _ => None,
        });
        member
    }

    fn say(&mut self, command: impl Into<Command>) {
        let command = command.into();
        let mut out = FrameWriter::default();
        self.client.command(Instant::now(), command, &mut out).unwrap();
        write(&mut self.stream, &out.take());
    }

    /// Reads until something was heard.
    fn hear<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        self.try_hear(wanted).expect("the hub keeps the connection open")
    }

    /// The same, unless the hub closes the connection before that.
    fn try_hear<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let mut bytes = vec![0; 4096];
        loop {
            let mut out = FrameWriter::default();
            while let Some(event) = self.client.poll(Instant::now(), &mut out) {
                if let Some(heard) = wanted(&event) {
                    return Some(heard);
                }
            }
            let count = self.stream.read(&mut bytes).unwrap_or_default();
            if count == 0 {
                return None;
            }
            self.client.receive(Instant::now(), Bytes::copy_from_slice(&bytes[..count]));
        }
    }

    fn enter(&mut self, room: &str, options: EnterOptions) -> JoinedChannelId {
        self.say(ChannelCommand::Enter { request: 1, name: name(room), options });
        self.hear(|event| match event {
            Event::Channel(ChannelEvent::Entered(entered)) => Some(entered.channel),
            Event::Refused { reason, .. } => panic!("refused: {reason}"),
            _ => None,
        })
    }
}

/// A peote owner of channel 0, which has been told so.
fn owner(hub: &Hub, channel: &str) -> TcpStream {
    let mut stream = hub.connect();
    create(&mut stream, channel);
    stream
}

/// Creates a channel, and reads all before the answer.
fn create(stream: &mut TcpStream, channel: &str) {
    stream.write_all(&[0, 0, 7, channel.len() as u8]).unwrap();
    stream.write_all(channel.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.windows(4).any(|window| window == [0, 3, 7, 0]) {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

/// One frame to all members of channel 0, with so many chunks of one byte.
fn chunks(count: usize) -> Vec<u8> {
    let mut frame = vec![1, 1];
    frame.extend(size_of_frame((1 + 2 * count) as u16));
    frame.push(0x80);
    frame.extend([0, b'x'].repeat(count));
    frame
}

/// The size of a frame (docs/peote.md, section 1).
fn size_of_frame(size: u16) -> [u8; 2] {
    [0x80 | (size >> 8) as u8, size as u8]
}

/// Members whose chunks have two digits at most, so that there are as many as possible.
fn chunked() -> EnterOptions {
    EnterOptions { mode: Mode::Chunk { bytes_max: 32 }, ..EnterOptions::default() }
}

#[test]
fn one_frame_of_many_chunks_to_many_members_takes_what_it_carries() {
    const CHUNKS: usize = 4000;
    let hub = Hub::start(&PATIENT);
    let mut owner = owner(&hub, "room");
    let members: Vec<_> = (0..255)
        .map(|_| {
            let mut member = Member::connect(&hub);
            member.enter("room", chunked());
            member
        })
        .collect();
    let before = hub.metric("crosspoint_messages_sent_total");
    owner.write_all(&chunks(CHUNKS)).unwrap();
    // The answer comes when all before it was carried out.
    create(&mut owner, "another");
    let sent = hub.metric("crosspoint_messages_sent_total") - before;
    assert_eq!(sent, 255 * CHUNKS as u64, "every member gets every chunk");
    assert!(hub.peak() < 160 * MIB, "{} MiB", hub.peak() / MIB);
    drop((members, owner));
    hub.until_given_back(64 * MIB);
}

#[test]
fn many_owners_of_the_same_members_take_no_more_than_what_they_carry() {
    let hub = Hub::start(&PATIENT);
    let mut owners: Vec<_> = (0..31).map(|number| owner(&hub, &format!("room {number}"))).collect();
    let members: Vec<_> = (0..32)
        .map(|_| {
            let mut member = Member::connect(&hub);
            for number in 0..31 {
                member.enter(&format!("room {number}"), chunked());
            }
            member
        })
        .collect();
    for owner in &mut owners {
        owner.write_all(&chunks(1000)).unwrap();
    }
    for (number, owner) in owners.iter_mut().enumerate() {
        create(owner, &format!("another {number}"));
    }
    assert!(hub.peak() < 160 * MIB, "{} MiB", hub.peak() / MIB);
    drop((members, owners));
    hub.until_given_back(32 * MIB);
}

const UPGRADE: &str = "GET /?anysocket HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A program with AnySocket that the hub knows, unless the hub has no room for it.
fn anysocket(hub: &Hub, id: u8) -> Option<TcpStream> {
    let mut stream = hub.connect();
    stream.write_all(UPGRADE.as_bytes()).ok()?;
    let auth = Auth { id: Id::Peer(PeerId::new([id; 16])), auth: None }.to_json();
    let packet = Packet { last: true, kind: Kind::Auth, seq: 1, body: auth.into_bytes() };
    stream.write_all(&message(&packet)).ok()?;
    let mut answer = Vec::new();
    while !answer.windows(2).any(|window| window == b"{\"") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        answer.push(byte[0]);
    }
    Some(stream)
}

fn message(packet: &Packet) -> Vec<u8> {
    let mut payload = packet.header().as_ref().to_vec();
    payload.extend_from_slice(&packet.body);
    let mut frame = BytesMut::new();
    client_frame(Opcode::Text, true, &payload, [0; 4], &mut frame);
    frame.to_vec()
}

/// A piece of a packet that is not its last.
fn piece(seq: i32, bytes: usize) -> Vec<u8> {
    let body = vec![b'x'; bytes].into();
    message(&Packet { last: false, kind: Kind::Link, seq, body })
}

#[test]
fn unfinished_pieces_take_no_more_than_the_budget_whoever_sends_them() {
    let hub = Hub::start(&["--memory-bytes-max", "48MiB", "--log", "off"]);
    let piece = piece(2, 1 << 20);
    let mut streams = Vec::new();
    let mut refused = 0;
    for id in 1..=40 {
        // Those that have come later are closed, or refused.
        let Some(mut stream) = anysocket(&hub, id) else { break };
        for _ in 0..12 {
            if stream.write_all(&piece).is_err() {
                refused += 1;
                break;
            }
        }
        streams.push(stream);
        let full = r#"crosspoint_limit_hits_total{limit="memory_bytes_max"}"#;
        if hub.metric(full) > 0 {
            break;
        }
    }
    let ended = r#"crosspoint_sessions_closed_total{reason="slow_receiver"}"#;
    hub.until("the one that holds most has ended", |hub| hub.metric(ended) > 0);
    assert!(hub.peak() < 256 * MIB, "{} MiB, {refused} refused", hub.peak() / MIB);
    let charged = r#"crosspoint_memory_bytes{purpose="input",protocol="anysocket"}"#;
    assert!(hub.metric(charged) < 64 * MIB);
    drop(streams);
    // The allocator may keep for a while what was freed by another thread than took it.
    hub.until_given_back(112 * MIB);
}

#[test]
fn unfinished_messages_in_many_rooms_are_bounded_together_and_given_back() {
    let hub = Hub::start(&["--room-chunk-bytes-max", "1MiB"]);
    let mut member = Member::connect(&hub);
    let rooms: Vec<_> = (0..128)
        .map(|number| {
            let options = EnterOptions { make_room: true, ..EnterOptions::default() };
            member.enter(&format!("room {number}"), options)
        })
        .collect();
    'rounds: for round in 0..16 {
        for room in &rooms {
            let part = Part {
                kind: Part::DATA,
                total: 1 << 20,
                offset: round * 60_000,
                data: vec![0; 60_000].into(),
            };
            let mut out = FrameWriter::default();
            let send = Command::Send { to: Target::Up(*room), part };
            member.client.command(Instant::now(), send, &mut out).unwrap();
            let bytes: Vec<u8> = out.take().pieces().flatten().copied().collect();
            if let Err(error) = member.stream.write_all(&bytes) {
                assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
                break 'rounds;
            }
        }
    }
    // What comes behind may be read and thrown away, so that the member can hear why.
    let hits = r#"crosspoint_limit_hits_total{limit="unfinished_bytes_max"}"#;
    hub.until("no more than 32 MiB are taken", |hub| hub.metric(hits) == 1);
    assert!(hub.peak() < 96 * MIB, "{} MiB", hub.peak() / MIB);
    hub.until_given_back(32 * MIB);
}

#[test]
fn passwords_are_short_and_cost_what_they_are() {
    let hub = Hub::start(&[]);
    let mut owner = Member::connect(&hub);
    for (bytes, reason) in [(60_000, Some(Reason::TooLarge)), (1024, None)] {
        for number in 0..128 {
            let password = Some(vec![b'p'; bytes].into());
            let options = ChannelOptions { password, ..ChannelOptions::default() };
            let channel = name(&format!("room {number}"));
            owner.say(ChannelCommand::Create { request: number, name: channel, options });
            let refused = owner.hear(|event| match event {
                Event::Channel(ChannelEvent::Created { .. }) => Some(None),
                Event::Refused { reason, .. } => Some(Some(*reason)),
                _ => None,
            });
            assert_eq!(refused, reason);
        }
    }
    let stored = hub.metric(r#"crosspoint_memory_bytes{purpose="stored",protocol="native"}"#);
    assert!((128 * 2048..128 * 2100).contains(&stored), "{stored}");
    assert!(hub.peak() < 32 * MIB, "{} MiB", hub.peak() / MIB);
    drop(owner);
    hub.until_given_back(32 * MIB);
}

/// What the metrics say that all who speak a protocol have stored.
fn stored(hub: &Hub, protocol: &str) -> u64 {
    hub.metric(&format!(r#"crosspoint_memory_bytes{{purpose="stored",protocol="{protocol}"}}"#))
}

/// Commands of a client, in one write.
fn all(client: &mut Native, commands: impl IntoIterator<Item = Command>) -> Encoded {
    let mut out = FrameWriter::default();
    for command in commands {
        client.command(Instant::now(), command, &mut out).unwrap();
    }
    out.take()
}

#[test]
fn links_take_no_more_than_the_budget_whoever_opens_them() {
    const SESSIONS: u32 = 400;
    const LINKS: u32 = 1024;
    let more = ["--memory-bytes-max", "32MiB", "--log", "off"];
    let hub = Hub::start(&[&PATIENT[..], &more].concat());
    let mut members: Vec<_> = (0..SESSIONS).map(|_| Member::connect(&hub)).collect();
    let mut ended = 0;
    for member in &mut members {
        let to = Addressee::Peer(member.id);
        let link = |request| {
            let (to, options) = (to.clone(), LinkOptions::default());
            Command::Link(LinkCommand::Open { request, to, options })
        };
        let links = all(&mut member.client, (0..LINKS).map(link));
        let links: Vec<u8> = links.pieces().flatten().copied().collect();
        // At the budget the hub may end those that hold most.
        let sent = member.stream.write_all(&links);
        let answer = member.try_hear(|event| match event {
            Event::Link(LinkEvent::Opened { request: Some(number), .. })
            | Event::Refused { request: number, .. } => (*number == LINKS - 1).then_some(()),
            _ => None,
        });
        ended += u32::from(sent.is_err() || answer.is_none());
    }
    let refused = hub.metric(r#"crosspoint_commands_refused_total{reason="exhausted"}"#);
    assert!(refused > 0 && ended < SESSIONS / 2, "{refused} refused, {ended} ended");
    assert!(stored(&hub, "native") < 32 * MIB);
    assert!(hub.peak() < 80 * MIB, "{} MiB", hub.peak() / MIB);
    drop(members);
    hub.until_given_back(48 * MIB);
}

#[test]
fn a_peer_that_is_wanted_again_and_again_is_one_link() {
    const TIMES: i32 = 20_000;
    let hub = Hub::start(&PATIENT);
    let mut peers: Vec<_> = (0..8).map(|_| Member::connect(&hub)).collect();
    let mut streams = Vec::new();
    for (id, peer) in (1..).zip(&peers) {
        let mut stream = anysocket(&hub, id).unwrap();
        let body = Bytes::from(format!(r#"{{"type":2,"action":"proxy","id":"{}"}}"#, peer.id));
        let wish = |seq| Packet { last: true, kind: Kind::Internal, seq, body: body.clone() };
        let wishes: Vec<u8> = (2..TIMES).flat_map(|seq| message(&wish(seq))).collect();
        stream.write_all(&wishes).unwrap();
        streams.push(stream);
    }
    peers.iter_mut().for_each(|peer| {
        peer.hear(|event| matches!(event, Event::Link(LinkEvent::Opened { .. })).then_some(()));
    });
    for stream in &mut streams {
        // All are answered, the last one at the end.
        let last = r#"{"ok":true}"#;
        let mut answers = 0;
        let mut bytes = vec![0; 1 << 16];
        let mut seen = Vec::new();
        while answers < TIMES - 2 {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the hub has closed the connection");
            seen.extend_from_slice(&bytes[..count]);
            let text = String::from_utf8_lossy(&seen);
            answers += text.matches(last).count() as i32;
            let rest = seen.len().saturating_sub(last.len() - 1);
            seen.drain(..rest);
        }
    }
    assert_eq!(hub.metric("crosspoint_links"), 2 * 8);
    assert!(hub.peak() < 48 * MIB, "{} MiB", hub.peak() / MIB);
    drop((streams, peers));
    hub.until_given_back(32 * MIB);
}

#[test]
fn the_names_of_services_are_charged_as_what_they_are() {
    let hub = Hub::start(&PATIENT);
    let mut members: Vec<_> = (0..200).map(|_| Member::connect(&hub)).collect();
    for (number, member) in members.iter_mut().enumerate() {
        let provide = |request| {
            Command::Directory(DirectoryCommand::Provide {
                request,
                service: PeerName::new(format!("{number:0>200}{request:0>55}")).unwrap(),
                on: true,
            })
        };
        let provided = all(&mut member.client, (0..64).map(provide));
        write(&mut member.stream, &provided);
        member.hear(|event| matches!(event, Event::Done { request: 63 }).then_some(()));
    }
    let stored = stored(&hub, "native");
    assert!((200 * 64 * 400..200 * 64 * 1000).contains(&stored), "{stored}");
    assert!(hub.peak() < 32 * MIB, "{} MiB", hub.peak() / MIB);
    drop(members);
    hub.until_given_back(32 * MIB);
}

/// So many connections are more than the system allows by itself.
fn allow_many_files() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
}

#[test]
fn an_idle_connection_takes_little() {
    // With this budget there are no huge pages, which count what is not in use.
    let more = ["--memory-bytes-max", "512MiB", "--log", "off"];
    for (protocol, most) in IDLE_BYTES_MAX {
        let hub = Hub::start(&[&PATIENT[..], &more].concat());
        let (address, pid) = (format!("127.0.0.1:{}", hub.port), hub.running.id().to_string());
        let to = ["--hub", &address, "--pid", &pid, "--protocol", protocol];
        let bench = [&["bench", "idle", "--json", "--connections", "5000"], &to[..]].concat();
        let output = program(&bench).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let bytes = report["bytes_per_connection"].as_f64().expect("memory for each connection");
        assert!(bytes < most, "{protocol}: {bytes} bytes");
    }
}

/// What an idle connection may take by each protocol, with its part of what the first ones make the hub take.
const IDLE_BYTES_MAX: [(&str, f64); 3] =
    [("native", 5000.0), ("joint", 5000.0), ("anysocket", 6400.0)];

#[test]
fn connections_over_which_nothing_is_said_are_paid_for_and_given_back() {
    const COUNT: u64 = 3000;
    allow_many_files();
    let hub = Hub::start(&["--memory-bytes-max", "512MiB"]);
    let http = "GET /health HTTP/1.1\r\nHost: hub\r\n\r\n";
    for (said, each) in [("", 4096), (UPGRADE, 4096), (http, 4096 + 22528)] {
        let mut streams: Vec<_> = (0..COUNT).map(|_| hub.connect()).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(said.as_bytes()).unwrap());
        let charged = || {
            let of = |protocol| {
                let labels = format!(r#"{{purpose="connection",protocol="{protocol}"}}"#);
                hub.metric(&format!("crosspoint_memory_bytes{labels}"))
            };
            of("hub") + of("http")
        };
        hub.until("all are charged", |_| charged() > COUNT * each);
        let (peak, charged) = (hub.peak(), charged());
        assert!(peak < charged * 5 / 4 + 6 * MIB, "{} of {}: {said}", peak / MIB, charged / MIB);
        drop(streams);
        hub.until_given_back(12 * MIB);
    }
}

#[test]
fn half_a_head_is_paid_for_and_given_back_whether_it_is_the_first_or_not() {
    allow_many_files();
    let half = format!("GET / HTTP/1.1\r\nHost: hub\r\nX: {}", "x".repeat(18_000));
    let whole = "GET /health HTTP/1.1\r\nHost: hub\r\n\r\n";
    let hub = Hub::start(&["--memory-bytes-max", "24MiB", "--log", "off"]);
    let mut streams = Vec::new();
    for begins_anew in [false, true] {
        for _ in 0..700 {
            let mut stream = hub.connect();
            // Those that find no room are refused, and may be closed before they have said all.
            if begins_anew && stream.write_all(whole.as_bytes()).is_ok() {
                let _ = stream.read(&mut [0; 1024]);
            }
            let _ = stream.write_all(half.as_bytes());
            streams.push(stream);
        }
        assert!(hub.peak() < 60 * MIB, "{} MiB", hub.peak() / MIB);
        streams.clear();
        hub.until_given_back(24 * MIB);
    }
    let full = r#"crosspoint_limit_hits_total{limit="memory_bytes_max"}"#;
    assert!(hub.metric(full) > 0);
}

#[test]
fn what_hyper_holds_of_requests_and_answers_is_paid_for_whatever_is_sent() {
    allow_many_files();
    let whole = "GET /health HTTP/1.1\r\nHost: hub\r\n\r\n";
    let half_a_body = "POST /x HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000000\r\n\r\n";
    let hub = Hub::start(&["--memory-bytes-max", "24MiB", "--log", "off"]);
    for sent in [
        format!("{whole}GET / HTTP/1.1\r\nHost: hub\r\nX: {}", "x".repeat(19_000)),
        format!("{half_a_body}{}", "x".repeat(60_000)),
        "HEAD /metrics HTTP/1.1\r\nHost: hub\r\n\r\n".repeat(2000),
    ] {
        let mut streams = Vec::new();
        for _ in 0..1400 {
            let mut stream = hub.connect_narrowly();
            stream.set_nonblocking(true).unwrap();
            // Those that find no room are refused, and may be closed before they have said all.
            let _ = stream.write(sent.as_bytes());
            streams.push(stream);
        }
        assert!(hub.peak() < 60 * MIB, "{} MiB: {:.40}", hub.peak() / MIB, sent);
        drop(streams);
        hub.until_given_back(24 * MIB);
    }
}

/// A record of a connection that can be resumed (docs/resume.md, section 3).
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 127, "one byte tells the length");
    let mut record = vec![body.len() as u8 + 1, kind];
    record.extend_from_slice(body);
    record
}

/// A member of a room, over a connection that can be resumed and acknowledges nothing.
fn resumable_member(hub: &Hub, room: &str) -> TcpStream {
    let mut stream = hub.connect_narrowly();
    let mut out = FrameWriter::default();
    let mut client = Native::new(Instant::now(), Options::default(), &mut out);
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    let enter = Command::Channel(ChannelCommand::Enter { request: 1, name: name(room), options });
    client.command(Instant::now(), enter, &mut out).unwrap();
    let mut data = vec![0; 4];
    data.extend(out.take().pieces().flatten());
    let mut open = b"XPR1".to_vec();
    open.extend(record(1, &[&[1][..], &[0; 52]].concat()));
    stream.write_all(&open).unwrap();
    // Nothing may be said before the answer.
    stream.read_exact(&mut [0; 46]).unwrap();
    stream.write_all(&record(0x10, &data)).unwrap();
    stream
}

#[test]
fn sessions_that_can_be_resumed_and_do_nothing_are_paid_for() {
    allow_many_files();
    let hub =
        Hub::start(&[&PATIENT[..], &["--memory-bytes-max", "24MiB", "--log", "off"]].concat());
    let mut streams = Vec::new();
    let mut accepted = 0;
    // Those that are refused stay for a while, so that they hear why.
    for _ in 0..5000 {
        let mut stream = hub.connect();
        let open = [&b"XPR1"[..], &record(1, &[&[1][..], &[0; 52]].concat())].concat();
        let mut answer = [0; 2];
        // Those that find no room are refused, or closed without a word.
        let answered = stream.write_all(&open).and_then(|()| stream.read_exact(&mut answer));
        accepted += u32::from(answered.is_ok() && answer[1] == 2);
        streams.push(stream);
    }
    assert!((900..1300).contains(&accepted), "{accepted}");
    assert!(hub.peak() < 36 * MIB, "{} MiB", hub.peak() / MIB);
    drop(streams);
    hub.until_given_back(24 * MIB);
}

#[test]
fn what_is_kept_for_connections_that_acknowledge_nothing_is_paid_for() {
    let hub = Hub::start(&[&PATIENT[..], &["--resume-window-ms", "1000"]].concat());
    let members: Vec<_> = (0..80).map(|_| resumable_member(&hub, "room")).collect();
    hub.until("all are members", |hub| hub.metric("crosspoint_members") == 80);
    let mut sender = Member::connect(&hub);
    let room = sender.enter("room", EnterOptions::default());
    // However small the pieces are in which it comes.
    for _ in 0..12_000 {
        let part = Part::whole(vec![7; 100]);
        sender.say(Command::Send { to: Target::Up(room), part });
    }
    let name = r#"crosspoint_memory_bytes{purpose="retained",protocol="native"}"#;
    let mut charged = 0;
    hub.until("nothing more is kept", |hub| {
        sleep(Duration::from_millis(100));
        let before = std::mem::replace(&mut charged, hub.metric(name));
        charged > 80 * MIB && charged == before
    });
    assert!(hub.peak() < charged * 9 / 8 + 16 * MIB, "{} of {}", hub.peak() / MIB, charged / MIB);
    drop((members, sender));
    hub.until_given_back(32 * MIB);
}

#[test]
fn connections_that_acknowledge_nothing_take_no_more_than_the_budget_also_when_nobody_speaks_any_more()
 {
    allow_many_files();
    // Few that keep much of small messages, and many for which large ones are on their way.
    for (members, bytes, messages) in [(120, 900, 1200), (900, 20_000, 150)] {
        let hub =
            Hub::start(&[&PATIENT[..], &["--memory-bytes-max", "48MiB", "--log", "off"]].concat());
        let streams: Vec<_> = (0..members).map(|_| resumable_member(&hub, "room")).collect();
        hub.until("all are members", |hub| hub.metric("crosspoint_members") == members);
        let mut sender = Member::connect(&hub);
        let room = sender.enter("room", EnterOptions::default());
        // Sent at once. Most of it is taken over for the members after the last command was carried out.
        let part = Part::whole(vec![7; bytes]);
        let messages =
            (0..messages).map(|_| Command::Send { to: Target::Up(room), part: part.clone() });
        let messages = all(&mut sender.client, messages);
        // The sender may be among those that end.
        let _ = sender.stream.write_all(&messages.pieces().flatten().copied().collect::<Vec<_>>());
        let ended = r#"crosspoint_sessions_closed_total{reason="slow_receiver"}"#;
        // Those that hold more than the budget together end.
        hub.until("some have ended", |hub| hub.metric(ended) > 30);
        hub.until("the budget holds", |hub| hub.metric("process_resident_memory_bytes") < 80 * MIB);
        assert!(hub.peak() < 84 * MIB, "{} MiB: {members}", hub.peak() / MIB);
        drop((streams, sender));
        hub.until_given_back(24 * MIB);
    }
}

#[test]
fn a_broadcast_that_waits_keeps_no_read_alive_in_which_it_came() {
    let hub = Hub::start(&[&PATIENT[..], &["--memory-bytes-max", "128MiB"]].concat());
    let mut member = Member::connect(&hub);
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    member.enter("room", options);
    let mut sender = Member::connect(&hub);
    let room = sender.enter("room", EnterOptions::default());
    // What is skipped fills the rest of each read.
    let mut skipped = vec![0xd1, 0x86, 0x03, 0xff];
    skipped.resize(skipped.len() + 50_000, 0);
    for _ in 0..5000 {
        let part = Part::whole(vec![7; 8200]);
        sender.say(Command::Send { to: Target::Up(room), part });
        sender.stream.write_all(&skipped).unwrap();
    }
    let shared = r#"crosspoint_memory_bytes{purpose="shared",protocol="hub"}"#;
    hub.until("most of it waits", |hub| hub.metric(shared) > 30 * MIB);
    assert!(hub.peak() < 128 * MIB, "{} MiB", hub.peak() / MIB);
    drop((member, sender));
    hub.until_given_back(32 * MIB);
}

#[test]
fn small_messages_between_larger_ones_take_what_they_are_charged_with() {
    let hub = Hub::start(&PATIENT);
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    let mut members: Vec<_> = (0..23).map(|_| Member::connect(&hub)).collect();
    let rooms: Vec<_> =
        members.iter_mut().map(|member| member.enter("room", options.clone())).collect();
    let mut say = |who: usize, bytes: usize| {
        let part = Part::whole(vec![7; bytes]);
        members[who].say(Command::Send { to: Target::Up(rooms[who]), part });
        // Each arrives by itself.
        members[who].say(ChannelCommand::Enter {
            request: 2,
            name: name("room"),
            options: EnterOptions::default(),
        });
        members[who].hear(|event| matches!(event, Event::Refused { .. }).then_some(()));
    };
    for _ in 0..200 {
        say(0, 30_000);
    }
    let shared = r#"crosspoint_memory_bytes{purpose="shared",protocol="hub"}"#;
    hub.until("it waits in the hub", |hub| hub.metric(shared) > MIB);
    let before = hub.status("VmRSS:");
    for _ in 0..4000 {
        say(0, 1);
        say(1, 1);
        say(2, 1030);
    }
    let received = "crosspoint_messages_received_total";
    hub.until("all of it has come", |hub| hub.metric(received) >= 200 + 3 * 4000);
    let taken = hub.status("VmRSS:").saturating_sub(before);
    assert!(taken < 80 * MIB, "{} MiB", taken / MIB);
    drop(members);
    hub.until_given_back(32 * MIB);
}
