//! A client that breaks the rules of resumption harms nobody but itself.

use crate::common::http::get;
use crate::common::log::{log, log_that_panics_at};
use crate::common::peer::{Peer, enter, message, server_frame, upgrade};
use crate::common::{Dice, Link, Served, serve, serve_as, serve_with, until, within};
use crate::deflate::{agreed, compressed, deflated};
use crate::resume_world::{outcome, resumable};
use bytes::{Bytes, BytesMut};
use crosspoint_auth::{Denied, from_fn};
use crosspoint_hub::command::Hello;
use crosspoint_hub::hub::HubOptions;
use crosspoint_hub::input::Input;
use crosspoint_hub::protocol::Client;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Grant, Limits, OwnedChannelId, PeerId, Reason};
use crosspoint_net::client::Endpoint;
use crosspoint_net::gateways::{self, standard};
use crosspoint_net::memory::{self, Shape};
use crosspoint_net::resume::{
    Accepted, Config, Connectivity, Gone, MAGIC, Open, RECORD_BYTES_MAX, Record, Token, Totals,
    VERSION, Why,
};
use crosspoint_net::server::ServerOptions;
use crosspoint_net::ws::deflate::store;
use crosspoint_proto as native;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A client record by record.
pub(crate) struct Raw {
    link: Link,
    input: Input,
}

fn encode(records: &[Record]) -> Vec<u8> {
    let mut out = FrameWriter::default();
    records.iter().for_each(|record| record.put(&mut out));
    out.take().pieces().flatten().copied().collect()
}

pub(crate) fn open(token: Token, received: u64, sent: u64) -> Record {
    wishing(token, received, sent, 0)
}

fn wishing(token: Token, received: u64, sent: u64, heartbeat_ms: u32) -> Record {
    let totals = |bytes| Totals { bytes, frames: Some(0) };
    let (received, sent) = (totals(received), totals(sent));
    Record::Open(Open { version: VERSION, token, received, sent, heartbeat_ms, proof: None })
}

/// What a native client says first.
pub(crate) fn hello() -> Bytes {
    hello_as(None)
}

fn hello_as(name: Option<String>) -> Bytes {
    let mut out = FrameWriter::default();
    let hello = Hello { name, ..Hello::default() };
    let options = native::client::Options { hello, ..native::client::Options::default() };
    native::client::Native::new(std::time::Instant::now(), options, &mut out);
    out.take().first
}

impl Raw {
    pub(crate) async fn open(link: Link, first: Record) -> Self {
        link.send(&[&MAGIC[..], &encode(&[first])].concat()).await;
        Self { link, input: Input::default() }
    }

    /// A new session.
    async fn begin(link: Link) -> (Self, Accepted) {
        let mut raw = Self::open(link, open(Token::NEW, 0, 0)).await;
        match raw.record().await {
            Some(Record::Accepted(accepted)) => (raw, accepted),
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// A new session that has been welcomed. Gives how many bytes that took, too.
    pub(crate) async fn welcomed(link: Link) -> (Self, Accepted, u64, u64) {
        let (mut raw, accepted) = Self::begin(link).await;
        let hello = hello();
        let sent = hello.len() as u64;
        raw.say(Record::Data { offset: 0, bytes: hello }).await;
        loop {
            if let Some(Record::Data { bytes, .. }) = raw.record().await {
                return (raw, accepted, sent, bytes.len() as u64);
            }
        }
    }

    async fn say(&self, record: Record) {
        self.link.send(&encode(&[record])).await;
    }

    /// The next record; `None` at the end.
    pub(crate) async fn record(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = Record::next(&mut self.input).expect("the hub writes records") {
                return Some(record);
            }
            if !within("a record", self.link.fill()).await {
                return None;
            }
            self.input.push(self.link.input.split().freeze());
        }
    }

    /// The first record that is no acknowledgement.
    async fn answer(&mut self) -> Option<Record> {
        loop {
            match self.record().await {
                Some(Record::Ack(_)) => {}
                other => return other,
            }
        }
    }
}

fn served(hub: HubOptions, resume: Config) -> Served {
    let gateways = standard().with(gateways::resumable(Some(resume)));
    serve_as(hub, ServerOptions { gateways, ..ServerOptions::default() })
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_task_that_keeps_a_session_leaves_nothing_to_come_back_to() {
    // At home, while it is away, and when it has just come back.
    let messages = ["session away", "session goes on over another connection", "session resumed"];
    for message in messages {
        let served = serve();
        let (raw, accepted, sent, received) = Raw::welcomed(served.memory()).await;
        let log = log_that_panics_at(message);
        let again = || open(accepted.token, received, sent);
        if message == "session goes on over another connection" {
            let mut second = Raw::open(served.memory(), again()).await;
            while second.record().await.is_some() {}
        }
        drop(raw);
        if message == "session resumed" {
            until("it is away", || served.hub.metrics.sessions_away.get() == 1).await;
            let mut second = Raw::open(served.memory(), again()).await;
            while second.record().await.is_some() {}
        }
        until("the session ends", || served.hub.sessions() == 0).await;
        drop(log);
        assert_eq!(served.hub.metrics.panics.get(), 1, "{message}");
        assert_eq!(served.hub.metrics.sessions_away.get(), 0, "{message}");
        let mut raw = Raw::open(served.memory(), again()).await;
        let gone = Gone { why: Why::Unknown, totals: None, more: false };
        assert_eq!(raw.answer().await, Some(Record::Gone(gone)), "{message}");
        drop(raw);
        served.empty().await;
        served.server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_again_and_again_writes_a_bounded_number_of_lines() {
    let served = serve();
    let (raw, accepted, sent, received) = Raw::welcomed(served.memory()).await;
    let log = log();
    drop(raw);
    for _ in 0..150 {
        until("it is away", || served.hub.metrics.sessions_away.get() == 1).await;
        let mut raw = Raw::open(served.memory(), open(accepted.token, received, sent)).await;
        assert!(matches!(raw.record().await, Some(Record::Accepted(_))));
        // What does not fit is as bounded.
        let mut wrong = Raw::open(served.memory(), open(accepted.token, u64::MAX, sent)).await;
        assert_eq!(wrong.record().await, Some(Record::Refused(Reason::Malformed)));
    }
    let lines = log.lines();
    for message in ["session resumed", "not resumed"] {
        let count = lines.iter().filter(|line| line.message == message).count();
        assert!((1..=200).contains(&count), "{message}: {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_probes_is_granted_within_the_bounds_and_for_the_whole_session() {
    let served = serve();
    for (wish, granted) in [(0, 5000), (7000, 7000), (1, 1000), (u32::MAX, 300_000)] {
        let mut raw = Raw::open(served.memory(), wishing(Token::NEW, 0, 0, wish)).await;
        let Some(Record::Accepted(accepted)) = raw.record().await else { panic!("not accepted") };
        assert_eq!(accepted.heartbeat_ms, granted);
        let begun = tokio::time::Instant::now();
        // Before it has to have said hello.
        if granted < 5000 {
            assert_eq!(raw.record().await, Some(Record::Ping(1)));
            assert_eq!(begun.elapsed(), Duration::from_millis(granted.into()));
        }
        // What it wishes for when it comes back is not heard.
        let again = wishing(accepted.token, 0, 0, 20_000);
        let mut raw = Raw::open(served.memory(), again).await;
        let Some(Record::Accepted(accepted)) = raw.record().await else { panic!("not accepted") };
        assert_eq!(accepted.heartbeat_ms, granted);
    }
    assert_eq!((served.hits("heartbeat_ms_min"), served.hits("heartbeat_ms_max")), (1, 1));
}

#[tokio::test]
async fn garbage_in_the_place_of_records_ends_the_connection_and_nothing_else() {
    let served = serve();
    let (mut stays, ..) = Raw::welcomed(served.memory()).await;
    let mut dice = Dice(5);
    for round in 0..300 {
        let length = 1 + dice.below(200);
        let garbage = dice.bytes(length);
        let mut link = if round % 10 == 0 { served.tcp().await } else { served.memory() };
        if round % 3 == 0 {
            let (raw, _) = Raw::begin(link).await;
            link = raw.link;
        } else {
            link.send(&MAGIC).await;
        }
        link.send(&garbage).await;
        link.finish();
        link.rest().await;
    }
    stays.say(Record::Ping(9)).await;
    assert_eq!(stays.answer().await, Some(Record::Pong(9)));
}

#[tokio::test(start_paused = true)]
async fn a_first_record_that_does_not_come_is_not_waited_for() {
    let served = serve();
    for part in [0, 1, 30] {
        let mut link = served.memory();
        let bytes = encode(&[open(Token::NEW, 0, 0)]);
        link.send(&MAGIC).await;
        link.send(&bytes[..part]).await;
        assert!(link.rest().await.is_empty());
    }
    assert_eq!(served.hits("handshake_ms_max"), 3);
    let mut link = served.memory();
    upgrade(&mut link).await;
    link.send(&message(&MAGIC)).await;
    link.rest().await;
    assert_eq!(served.hits("handshake_ms_max"), 4);
    served.empty().await;
}

#[tokio::test]
async fn first_records_that_make_no_sense_are_refused() {
    let served = serve();
    let version = |version| {
        let Record::Open(first) = open(Token::NEW, 0, 0) else { unreachable!() };
        Record::Open(Open { version, ..first })
    };
    for (first, reason) in [
        (version(0), Reason::VersionUnsupported),
        (version(2), Reason::VersionUnsupported),
        (Record::Ping(1), Reason::Malformed),
        (open(Token::NEW, 1, 0), Reason::Malformed),
    ] {
        let mut raw = Raw::open(served.memory(), first).await;
        assert_eq!(raw.record().await, Some(Record::Refused(reason)));
        assert_eq!(raw.record().await, None);
    }
    let mut huge = BytesMut::from(&MAGIC[..]);
    native::frame::put_varint(RECORD_BYTES_MAX as u32 + 1, &mut huge);
    let mut link = served.memory();
    link.send(&huge).await;
    assert_eq!(link.rest().await[..], encode(&[Record::Refused(Reason::Malformed)]));
    served.empty().await;
}

#[tokio::test]
async fn tokens_that_nobody_has_lead_nowhere() {
    let served = serve();
    let mut dice = Dice(1);
    for _ in 0..500 {
        let token = Token::new(dice.bytes(16).try_into().expect("16 bytes"));
        let mut raw = Raw::open(served.memory(), open(token, 3, 4)).await;
        let gone = Gone { why: Why::Unknown, totals: None, more: false };
        assert_eq!(raw.record().await, Some(Record::Gone(gone)));
        assert_eq!(raw.record().await, None);
    }
    served.empty().await;
}

#[tokio::test]
async fn a_connection_with_wrong_numbers_is_refused_and_the_right_one_stays() {
    let served = serve();
    let (mut raw, Accepted { token, .. }, sent, received) = Raw::welcomed(served.memory()).await;
    let wrong = [(received + 1, sent), (u64::MAX, u64::MAX), (0, 0), (received, sent - 1)];
    for (received, sent) in wrong {
        let mut other = Raw::open(served.memory(), open(token, received, sent)).await;
        assert_eq!(other.record().await, Some(Record::Refused(Reason::Malformed)));
    }
    raw.say(Record::Ping(1)).await;
    assert_eq!(raw.answer().await, Some(Record::Pong(1)));
    assert_eq!(served.hub.metrics.resumed.get(), 0);
}

#[tokio::test]
async fn of_two_connections_with_one_token_the_newest_is_served() {
    let served = serve();
    let (mut old, Accepted { token, .. }, sent, received) = Raw::welcomed(served.memory()).await;
    for round in 1..=20 {
        let link = if round % 4 == 0 { served.tcp().await } else { served.memory() };
        let mut new = Raw::open(link, open(token, received, sent)).await;
        match new.record().await {
            Some(Record::Accepted(accepted)) => {
                assert_eq!((accepted.received, accepted.sent), (sent, received));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(old.answer().await, Some(Record::Refused(Reason::Replaced)));
        old = new;
        assert_eq!((served.hub.sessions(), served.hub.metrics.resumed.get()), (1, round));
    }
    old.say(Record::Ping(1)).await;
    assert_eq!(old.answer().await, Some(Record::Pong(1)));
}

#[tokio::test(start_paused = true)]
async fn numbers_that_cannot_be_end_the_session_and_its_receipt_says_so() {
    let served = serve();
    let data = |offset, length: usize| Record::Data { offset, bytes: vec![0; length].into() };
    for broken in [
        Record::Ack(10_000),
        data(100_000, 1),
        Record::Closed(9),
        Record::Refused(Reason::Bye),
        open(Token::NEW, 0, 0),
    ] {
        let (mut raw, Accepted { token, .. }, sent, received) =
            Raw::welcomed(served.memory()).await;
        raw.say(broken.clone()).await;
        let totals = |bytes, frames| Totals { bytes, frames: Some(frames) };
        // The hub's goodbye to a session that is lost is none.
        let totals = Some((totals(sent, 1), totals(received, 1)));
        let gone = Gone { why: Why::Ended(Reason::Malformed), totals, more: false };
        assert_eq!(raw.answer().await, Some(Record::Gone(gone)), "{broken:?}");
        assert_eq!(raw.record().await, None);
        let mut again = Raw::open(served.memory(), open(token, received, sent)).await;
        assert_eq!(again.record().await, Some(Record::Gone(gone)));
    }
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_acknowledged_holds_no_more_than_it_may() {
    let served =
        served(HubOptions::default(), Config { retained_bytes_max: 4096, ..Config::default() });
    let (mut raw, accepted, sent, mut received) = Raw::welcomed(served.memory()).await;
    assert_eq!(accepted.retained_bytes_max, 4096);
    // Each question to the session is answered, and no answer is acknowledged.
    let mut offset = sent as u32;
    let mut last = None;
    for round in 0..2_000u32 {
        let mut ping = vec![9, 0x04];
        ping.extend_from_slice(&u64::from(round).to_be_bytes());
        raw.say(Record::Data { offset, bytes: ping.into() }).await;
        offset += 10;
    }
    raw.say(Record::Ping(77)).await;
    loop {
        match raw.record().await {
            Some(Record::Data { bytes, .. }) => received += bytes.len() as u64,
            Some(Record::Pong(77)) => break,
            Some(Record::Ack(offset)) => last = Some(offset),
            other => panic!("{other:?}"),
        }
    }
    assert!(received <= 4096 && last.is_some(), "{received} bytes came without acknowledgement");
}

#[tokio::test(start_paused = true)]
async fn who_lives_and_acknowledges_next_to_nothing_ends_by_the_stall_limit_however_little_is_kept()
{
    for acknowledges in [false, true] {
        let served = served(HubOptions::default(), Config::default());
        let (mut raw, _, _, mut received) = Raw::welcomed(served.memory()).await;
        let begun = tokio::time::Instant::now();
        let mut acknowledged = 0;
        loop {
            match raw.answer().await {
                Some(Record::Data { bytes, .. }) => received += bytes.len() as u64,
                Some(Record::Ping(token)) => {
                    raw.say(Record::Pong(token)).await;
                    if acknowledges && acknowledged < received {
                        acknowledged += 1;
                        raw.say(Record::Ack(acknowledged)).await;
                    }
                }
                Some(Record::Gone(gone)) => {
                    assert_eq!(gone.why, Why::Ended(Reason::SlowReceiver));
                    break;
                }
                other => panic!("{other:?}"),
            }
            assert!(begun.elapsed() < 60 * SECOND, "{:?}", begun.elapsed());
        }
        // Twice the time in which a frozen connection is noticed, which is the least.
        assert!(begun.elapsed() >= 30 * SECOND, "{:?}", begun.elapsed());
        assert!(served.hits("outbox_stall_ms_max") > 0);
        until("all is given back", || served.metric(RETAINED) == Some(0.0)).await;
    }
}

/// The member of a room that takes nothing, for whom more waits than is kept of a session.
struct Stuffed {
    served: Served,
    owner: Peer,
    own: OwnedChannelId,
    raw: Raw,
    token: Token,
    sent: u64,
}

const STUFFED: PeerId = PeerId::new([7; 16]);

const RETAINED: &str = r#"crosspoint_memory_bytes{purpose="retained",protocol="native"}"#;

/// What a native client says that enters the room.
fn hello_and_enter() -> Bytes {
    let mut out = FrameWriter::default();
    let hello = Hello { peer: Some(STUFFED), ..Hello::default() };
    let options = native::client::Options { hello, ..native::client::Options::default() };
    let now = std::time::Instant::now();
    let mut client = native::client::Native::new(now, options, &mut out);
    client.command(now, enter(1, "room"), &mut out).expect("it can be said");
    let pieces = out.take();
    pieces.pieces().flatten().copied().collect()
}

impl Stuffed {
    async fn new(lasts: Option<Duration>) -> Self {
        let check = from_fn(move |credentials: crosspoint_auth::Credentials| {
            let lasts = lasts.filter(|_| credentials.peer == Some(STUFFED));
            std::future::ready(Ok(Grant { lasts, ..Grant::default() }))
        });
        let resume = Config { retained_bytes_max: 64 * 1024, ..Config::default() };
        let options = ServerOptions {
            authenticator: Some(Arc::new(check)),
            gateways: standard().with(gateways::resumable(Some(resume))),
            ..ServerOptions::default()
        };
        let limits = Limits { channel_bytes_max: 1_000_000, ..Limits::default() };
        let served = serve_as(HubOptions { limits, ..HubOptions::default() }, options);
        let mut owner = Peer::native(served.memory()).await;
        let own = owner.create("room").await;
        // No question whether it lives comes in between.
        let mut raw = Raw::open(served.memory(), wishing(Token::NEW, 0, 0, 300_000)).await;
        let Some(Record::Accepted(Accepted { token, .. })) = raw.record().await else {
            panic!("not accepted")
        };
        let bytes = hello_and_enter();
        let sent = bytes.len() as u64;
        raw.say(Record::Data { offset: 0, bytes }).await;
        owner.joined().await;
        let mut stuffed = Self { served, owner, own, raw, token, sent };
        for _ in 0..10 {
            stuffed.broadcast().await;
        }
        let served = &stuffed.served;
        until("much is kept", || served.metric(RETAINED) >= Some(65_536.0)).await;
        stuffed
    }

    async fn broadcast(&mut self) {
        self.owner.broadcast(self.own, &[0; 30_000]).await;
        self.owner.settle().await;
    }

    async fn end_for(&mut self, reason: Reason) {
        match reason {
            Reason::SlowReceiver => {
                while self.served.closed(Reason::SlowReceiver) == 0 {
                    self.broadcast().await;
                }
            }
            Reason::Expired => tokio::time::sleep(9 * SECOND).await,
            reason => assert!(self.served.hub.disconnect(STUFFED, reason)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_hub_has_ended_cannot_be_resumed_and_holds_nothing() {
    for away in [false, true] {
        for reason in [Reason::SlowReceiver, Reason::Expired, Reason::Kicked] {
            let what = format!("{reason}, {away}");
            let lasts = (reason == Reason::Expired).then_some(10 * SECOND);
            let mut stuffed = Stuffed::new(lasts).await;
            if away {
                stuffed.raw.link = stuffed.served.memory();
                let metrics = &stuffed.served.hub.metrics;
                until("it is away", || metrics.sessions_away.get() == 1).await;
            }
            stuffed.end_for(reason).await;
            let Stuffed { served, token, sent, .. } = &stuffed;
            until("it has ended", || served.closed(reason) == 1).await;
            let begun = tokio::time::Instant::now();
            let mut again = Raw::open(served.memory(), open(*token, 0, *sent)).await;
            let Some(Record::Gone(gone)) = again.record().await else { panic!("{what}") };
            assert_eq!(gone.why, Why::Ended(reason), "{what}");
            assert!(begun.elapsed() <= 2 * SECOND, "{what}: {:?}", begun.elapsed());
            until("all is given back", || served.metric(RETAINED) == Some(0.0)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_again_and_again_and_takes_nothing_ends_by_the_stall_limit() {
    // How long it is there each time, and away, in seconds.
    for (there, away) in [(14, 0), (5, 10), (0, 15)] {
        let Stuffed { served, raw, token, sent, .. } = Stuffed::new(None).await;
        let begun = tokio::time::Instant::now();
        let (mut raw, mut sent) = (Some(raw), sent);
        let gone = loop {
            assert!(begun.elapsed() < 90 * SECOND, "{there} {away}: {:?}", begun.elapsed());
            tokio::time::sleep(there * SECOND).await;
            drop(raw);
            let gone = || served.closed(Reason::SlowReceiver) == 1;
            until("it is away", || served.hub.metrics.sessions_away.get() == 1 || gone()).await;
            tokio::time::sleep(away * SECOND).await;
            let mut again = Raw::open(served.memory(), open(token, 0, sent)).await;
            let received = match again.record().await {
                Some(Record::Accepted(accepted)) => accepted.received,
                Some(Record::Gone(gone)) => break gone,
                other => panic!("{other:?}"),
            };
            // It lives, and says so.
            let bytes = Bytes::from_static(b"\x09\x0412345678");
            sent = received + bytes.len() as u64;
            again.say(Record::Data { offset: received as u32, bytes }).await;
            raw = Some(again);
        };
        assert_eq!(gone.why, Why::Ended(Reason::SlowReceiver), "{there} {away}");
        assert!(begun.elapsed() >= 30 * SECOND, "{there} {away}: {:?}", begun.elapsed());
        assert!(served.hits("outbox_stall_ms_max") > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_never_whole_ends_the_connection_and_the_session_may_come_back() {
    let limits = Limits { message_time_max: 24 * SECOND, ..Limits::default() };
    let served = serve_as(HubOptions { limits, ..HubOptions::default() }, ServerOptions::default());
    let (mut raw, Accepted { token, .. }, sent, received) = Raw::welcomed(served.memory()).await;
    let begun = tokio::time::Instant::now();
    let record = encode(&[Record::Data { offset: sent as u32, bytes: vec![7; 1000].into() }]);
    for byte in &record[..8] {
        raw.link.send(&[*byte]).await;
        tokio::time::sleep(3 * SECOND).await;
    }
    while raw.record().await.is_some() {}
    assert_eq!(begun.elapsed(), 24 * SECOND);
    assert_eq!(served.hits("message_s_max"), 1);
    let mut again = Raw::open(served.memory(), open(token, received, sent)).await;
    assert!(matches!(again.answer().await, Some(Record::Accepted(_))));
}

// In real time, as only real addresses are limited; nothing but a lower bound is asserted.
#[tokio::test]
async fn records_count_against_the_rate_whatever_they_are_and_a_new_connection_pays_nothing_off() {
    let limits =
        Limits { messages_per_second_max: 1000, loopback_exempt: false, ..Limits::default() };
    let served = serve_as(HubOptions { limits, ..HubOptions::default() }, ServerOptions::default());
    let (mut raw, Accepted { token, .. }, sent, received) = Raw::welcomed(served.tcp().await).await;
    let begun = std::time::Instant::now();
    let pings: Vec<_> = (1..=3000).map(Record::Ping).collect();
    raw.link.send(&encode(&pings)).await;
    assert!(matches!(raw.answer().await, Some(Record::Pong(_))));
    let mut again = Raw::open(served.tcp().await, open(token, received, sent)).await;
    assert!(matches!(again.answer().await, Some(Record::Accepted(_))));
    again.say(Record::Ping(7)).await;
    assert_eq!(again.answer().await, Some(Record::Pong(7)));
    // A thousand are free.
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert!(served.hits("messages_per_second_max") > 0);
}

/// A hub that reads those who come over TCP at these rates, and compresses.
fn limited(messages_per_second_max: u64, bytes_per_second_max: u64, resume: Config) -> Served {
    let limits = Limits {
        messages_per_second_max,
        bytes_per_second_max,
        loopback_exempt: false,
        compressed_bytes_min: Some(1024),
        ..Limits::default()
    };
    served(HubOptions { limits, ..HubOptions::default() }, resume)
}

/// A new session over a WebSocket, which compresses, that has said hello and so many bytes that are skipped. Gives how
/// many bytes the hub has then.
async fn over_websocket(served: &Served, skipped: usize) -> (Link, usize) {
    let mut link = served.tcp().await;
    agreed(&mut link).await;
    let first = [&MAGIC[..], &encode(&[open(Token::NEW, 0, 0)])].concat();
    link.send(&message(&first)).await;
    server_frame(&mut link).await;
    let data = [&hello()[..], &skippable(skipped)].concat();
    let sent = data.len();
    link.send(&message(&encode(&[Record::Data { offset: 0, bytes: data.into() }]))).await;
    (link, sent)
}

/// A frame of a type that is skipped.
fn skippable(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    native::frame::put_varint(1 + bytes as u32, &mut frame);
    frame.push(0x9f);
    frame.resize(frame.len() + bytes, 0);
    frame
}

/// Asks the hub for a sign of life in a WebSocket, and waits for it.
async fn asked(link: &mut Link) {
    link.send(&message(&encode(&[Record::Ping(7)]))).await;
    let answer = encode(&[Record::Pong(7)]);
    let is_answer = |payload: &[u8]| payload.windows(answer.len()).any(|part| part == answer);
    while !is_answer(&within("an answer", server_frame(link)).await.1) {}
}

// In real time, as the test before; nothing but lower bounds is asserted.
#[tokio::test]
async fn frames_and_blocks_of_a_websocket_count_as_in_a_session_that_is_not_resumed() {
    // One byte in each block.
    let mut blocks = BytesMut::new();
    for byte in encode(&[Record::Ping(1)]).repeat(25) {
        store(&[byte], &mut blocks);
    }
    // The begin of the block that ends a message, of which the rest is left out.
    blocks.extend_from_slice(&[0]);
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    let empty = [0x82, 0x80, 0, 0, 0, 0];
    for (flood, count) in [(&ping[..], 3000), (&empty, 3000), (&deflated(&blocks)[..], 12)] {
        let served = limited(1000, 0, Config::default());
        let (mut link, _) = over_websocket(&served, 0).await;
        asked(&mut link).await;
        let begun = std::time::Instant::now();
        link.send(&flood.repeat(count)).await;
        slowed(&served).await;
        asked(&mut link).await;
        // A thousand are free.
        assert!(begun.elapsed() > Duration::from_millis(1700), "{:?}", begun.elapsed());
    }
    // Before there is a session they count as well.
    for said in [&b""[..], &MAGIC] {
        let served = limited(1000, 0, Config::default());
        let mut link = served.tcp().await;
        agreed(&mut link).await;
        link.send(&message(said)).await;
        let begun = std::time::Instant::now();
        link.send(&ping.repeat(3000)).await;
        slowed(&served).await;
        let rest = [&MAGIC[said.len()..], &encode(&[open(Token::NEW, 0, 0)])].concat();
        link.send(&message(&rest)).await;
        while within("an answer", server_frame(&mut link)).await.0 != 0x82 {}
        assert!(begun.elapsed() > Duration::from_millis(1700), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_is_inflated_for_a_session_that_can_be_resumed_counts_even_if_it_has_come_before() {
    let served = limited(0, 1_000_000, Config::default());
    let (mut link, sent) = over_websocket(&served, 60_000).await;
    asked(&mut link).await;
    let again = encode(&[Record::Data { offset: 0, bytes: vec![0; sent].into() }]);
    let flood = compressed(&again);
    assert!(flood.len() < 400, "{} bytes", flood.len());
    let begun = std::time::Instant::now();
    link.send(&flood.repeat(50)).await;
    asked(&mut link).await;
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert!(served.hits("bytes_per_second_max") > 0);
    let metrics = &served.hub.metrics;
    assert_eq!(metrics.decompressed_bytes_after.get(), 50 * again.len() as u64);
    assert!(metrics.decompressed_bytes_before.get() < 50 * flood.len() as u64);
}

#[tokio::test]
async fn bytes_that_come_again_count_and_those_of_an_honest_client_slow_nothing() {
    let served = limited(0, 4_000_000, Config::default());
    let (mut raw, Accepted { token, .. }, sent, received) = Raw::welcomed(served.tcp().await).await;
    let data = |offset: u64| {
        let bytes = vec![skippable(60_000); 10].concat();
        let parts = bytes.chunks(60_000).zip(0..);
        let record = |(part, index): (&[u8], u64)| Record::Data {
            offset: (offset + 60_000 * index) as u32,
            bytes: Bytes::copy_from_slice(part),
        };
        (encode(&parts.map(record).collect::<Vec<_>>()), bytes.len() as u64)
    };
    // All that may be under way comes again, and again.
    let (flight, length) = data(sent);
    for _ in 0..3 {
        raw.link.send(&flight).await;
        raw.say(Record::Ping(7)).await;
        while raw.answer().await != Some(Record::Pong(7)) {}
        raw = Raw::open(served.tcp().await, open(token, received, sent + length)).await;
        assert!(matches!(raw.answer().await, Some(Record::Accepted(_))));
    }
    assert_eq!(served.hits("bytes_per_second_max"), 0);
    let read = served.hub.metrics.bytes_in.get();
    assert!((3 * length..3 * length + 10_000).contains(&read), "{read} bytes for {length}");
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        raw.link.send(&flight).await;
    }
    raw.say(Record::Ping(8)).await;
    while raw.answer().await != Some(Record::Pong(8)) {}
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert!(served.hits("bytes_per_second_max") > 0);
}

#[tokio::test]
async fn a_connection_that_is_read_late_is_not_taken_for_lost() {
    let heartbeat = Duration::from_millis(50);
    let served = limited(1000, 0, Config { heartbeat, ..Config::default() });
    let (mut raw, ..) = Raw::welcomed(served.tcp().await).await;
    let pings: Vec<_> = (1..=2000).map(Record::Ping).collect();
    raw.link.send(&encode(&pings)).await;
    let begun = std::time::Instant::now();
    let mut asked = 0;
    slowed(&served).await;
    raw.say(Record::Ping(7)).await;
    loop {
        match raw.answer().await {
            // The hub says meanwhile that it lives.
            Some(Record::Ping(_)) => asked += 1,
            Some(Record::Pong(7)) => break,
            Some(_) => {}
            None => panic!("lost after {:?}", begun.elapsed()),
        }
    }
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(asked > 5, "{asked} probes");
}

/// Says hello in a WebSocket, in a session that can be resumed or in one that cannot, and hears the answer.
async fn greet(link: &mut Link, resumed: bool) {
    if resumed {
        let first = [&MAGIC[..], &encode(&[open(Token::NEW, 0, 0)])].concat();
        link.send(&message(&first)).await;
        server_frame(link).await;
        link.send(&message(&encode(&[Record::Data { offset: 0, bytes: hello() }]))).await;
    } else {
        link.send(&message(&hello())).await;
    }
    server_frame(link).await;
}

/// Waits until the hub has had to read more slowly because of too many messages.
async fn slowed(served: &Served) {
    until("it is read more slowly", || served.hits("messages_per_second_max") > 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_a_websocket_that_is_never_whole_and_brings_nothing_ends_its_connection() {
    const MOST: Duration = Duration::from_secs(4);
    let frame = |first: u8| vec![first, 0x80, 0, 0, 0, 0];
    let piece = |first: u8, byte: u8| vec![first, 0x81, 0, 0, 0, 0, byte];
    // What begins, and what comes now and then.
    let cases = [
        ("half a header", vec![0x82], vec![]),
        ("half a ping", vec![0x89], vec![]),
        ("a ping without its payload", vec![0x89, 0x84, 0, 0, 0, 0], vec![1]),
        ("fragments without content", frame(0x02), frame(0x00)),
        ("compressed fragments without content", frame(0x42), frame(0x00)),
        ("compressed fragments", piece(0x42, 0), piece(0x00, 0)),
        ("a fragment, and pings", frame(0x02), frame(0x89)),
    ];
    for resumed in [false, true] {
        for (what, first, then) in &cases {
            let served = serve_with(|options| {
                options.limits.message_time_max = MOST;
                options.limits.compressed_bytes_min = Some(1024);
            });
            let mut link = served.memory();
            agreed(&mut link).await;
            greet(&mut link, resumed).await;
            let begun = tokio::time::Instant::now();
            link.send(first).await;
            for _ in 0..3 {
                tokio::time::sleep(MOST / 4).await;
                link.send(then).await;
            }
            within(what, link.rest()).await;
            assert_eq!(begun.elapsed(), MOST, "{what}, resumed: {resumed}");
            assert_eq!(served.hits("message_s_max"), 1, "{what}, resumed: {resumed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_always_has_begun_a_frame_of_a_websocket_and_ends_each_in_time_goes_on() {
    let most = 4 * SECOND;
    for resumed in [false, true] {
        let served = serve_with(|options| options.limits.message_time_max = most);
        let mut link = served.memory();
        upgrade(&mut link).await;
        greet(&mut link, resumed).await;
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        link.send(&ping[..3]).await;
        for _ in 0..8 {
            tokio::time::sleep(most / 2).await;
            link.send(&ping[3..]).await;
            link.send(&ping[..3]).await;
            while server_frame(&mut link).await.0 != 0x8a {}
        }
        assert_eq!(served.hits("message_s_max"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_longer_than_it_may_whoever_takes_nothing() {
    let stuffed = Stuffed::new(None).await;
    let Stuffed { served, mut owner, own, token, sent, .. } = stuffed;
    // The same without resume, with a stranger in front of the door, and with those who have read all and
    // stay.
    let mut plain = Peer::native(served.cramped(1)).await;
    plain.enter("room").await;
    owner.broadcast(own, &[0; 30_000]).await;
    owner.settle().await;
    let stranger = served.memory();
    let mut websocket = served.memory();
    upgrade(&mut websocket).await;
    let mut http = served.cramped(1);
    http.send(get("/metrics").as_bytes()).await;
    assert!(http.fill().await);
    let (late, ..) = Raw::welcomed(served.memory()).await;
    let begun = tokio::time::Instant::now();
    let mut again = Raw::open(served.memory(), open(token, 0, sent)).await;
    assert!(matches!(again.record().await, Some(Record::Accepted(_))));
    served.server.stop().await;
    let took = begun.elapsed();
    assert!(took <= ServerOptions::default().flush_max, "{took:?}");
    drop((plain, stranger, websocket, http, late, again));
}

#[tokio::test]
async fn above_the_bound_of_those_away_a_session_ends_with_its_connection() {
    let served = served(HubOptions::default(), Config { detached_max: 2, ..Config::default() });
    let mut tokens = Vec::new();
    for away in 1..=2 {
        let (raw, accepted, ..) = Raw::welcomed(served.memory()).await;
        tokens.push(accepted.token);
        drop(raw);
        until("it is away", || served.hub.metrics.sessions_away.get() == away).await;
    }
    let (raw, Accepted { token, .. }, sent, received) = Raw::welcomed(served.memory()).await;
    drop(raw);
    until("it has ended", || served.hub.sessions() == 2).await;
    assert_eq!(served.hits("resume.detached_max"), 1);
    let mut late = Raw::open(served.memory(), open(token, received, sent)).await;
    match late.record().await {
        Some(Record::Gone(gone)) => assert_eq!(gone.why, Why::TooManyAway),
        other => panic!("{other:?}"),
    }
    // Those who come back make room.
    let _back = Raw::open(served.memory(), open(tokens[0], received, sent)).await;
    until("one is back", || served.hub.metrics.sessions_away.get() == 1).await;
    let (raw, ..) = Raw::welcomed(served.memory()).await;
    drop(raw);
    until("two are away", || served.hub.metrics.sessions_away.get() == 2).await;
    assert_eq!(served.hub.sessions(), 3);
}

#[tokio::test]
async fn limits_per_address_hold_for_sessions_that_are_away_and_their_address_is_kept() {
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let seen = addresses.clone();
    let authenticator = from_fn(move |credentials: crosspoint_auth::Credentials| {
        seen.lock().expect("nobody panics with it").push(credentials.address);
        async { Err::<Grant, _>(Denied::new("seen")) }
    });
    let limits = Limits {
        connections_per_address_max: 2,
        loopback_exempt: false,
        handshake_max: 60 * SECOND,
        ..Limits::default()
    };
    let options = HubOptions { limits, ..HubOptions::default() };
    let server =
        ServerOptions { authenticator: Some(Arc::new(authenticator)), ..ServerOptions::default() };
    let served = serve_as(options, server);
    // They never say who they are, so they are away without having been there.
    for away in 1..=2 {
        let (raw, _) = Raw::begin(served.tcp().await).await;
        drop(raw);
        until("it is away", || served.hub.metrics.sessions_away.get() == away).await;
    }
    until("connections end", || served.hub.metrics.connections.get() == 0).await;
    let (raw, _) = Raw::begin(served.tcp().await).await;
    drop(raw);
    until("it has ended", || served.hub.sessions() == 2).await;
    assert_eq!(served.hits("resume.detached_max"), 1);

    let (mut raw, _) = Raw::begin(served.tcp().await).await;
    raw.say(Record::Data { offset: 0, bytes: hello() }).await;
    while raw.record().await.is_some() {}
    let local = Some(std::net::IpAddr::from([127, 0, 0, 1]));
    assert_eq!(*addresses.lock().expect("nobody panics with it"), [local]);
}

#[tokio::test(start_paused = true)]
async fn of_sessions_that_were_never_let_in_nothing_is_remembered() {
    let check = from_fn(|credentials: crosspoint_auth::Credentials| {
        let known = credentials.name.is_none();
        std::future::ready(if known { Ok(Grant::default()) } else { Err(Denied::new("no")) })
    });
    let authenticator: Arc<dyn crosspoint_auth::Authenticator> = Arc::new(check);
    let resume = Config { tombstones_max: 1, ..Config::default() };
    let options = ServerOptions {
        authenticator: Some(authenticator),
        gateways: standard().with(gateways::resumable(Some(resume))),
        ..ServerOptions::default()
    };
    let served = serve_as(HubOptions::default(), options);
    let why = async |token| {
        loop {
            let mut late = Raw::open(served.memory(), open(token, 0, 0)).await;
            match late.record().await {
                Some(Record::Gone(gone)) => return gone.why,
                // It is about to end.
                Some(Record::Refused(_)) => tokio::time::sleep(SECOND).await,
                other => panic!("{other:?}"),
            }
        }
    };
    let (mut friend, known, sent, _) = Raw::welcomed(served.memory()).await;
    friend.say(Record::Data { offset: sent as u32, bytes: Bytes::from_static(&[1, 0x10]) }).await;
    while friend.record().await.is_some() {}
    for length in [1, 256] {
        let (mut stranger, accepted) = Raw::begin(served.memory()).await;
        let name = Some("n".repeat(length));
        stranger.say(Record::Data { offset: 0, bytes: hello_as(name) }).await;
        while stranger.record().await.is_some() {}
        assert_eq!(why(accepted.token).await, Why::Unknown, "{length}");
    }
    assert_eq!(why(known.token).await, Why::Ended(Reason::Malformed));
}

#[tokio::test]
async fn records_pass_through_websocket_messages_however_they_are_cut() {
    let served = serve();
    let mut link = served.tcp().await;
    upgrade(&mut link).await;
    for byte in [&MAGIC[..], &encode(&[open(Token::NEW, 0, 0)])].concat() {
        link.send(&message(&[byte])).await;
    }
    let (first, payload) = server_frame(&mut link).await;
    assert_eq!(first, 0x82, "one binary message");
    let mut input = Input::default();
    input.push(payload);
    let Ok(Some(Record::Accepted(_))) = Record::next(&mut input) else { panic!("accepted") };
    link.send(&message(&encode(&[Record::Ping(1), Record::Ping(2)]))).await;
    let (_, payload) = server_frame(&mut link).await;
    assert_eq!(payload[..], encode(&[Record::Pong(2)]), "the latest is enough");
}

#[tokio::test]
async fn where_sessions_are_not_resumed_their_magic_bytes_are_unknown() {
    let gateways = standard().with(gateways::resumable(None));
    let served =
        serve_as(HubOptions::default(), ServerOptions { gateways, ..ServerOptions::default() });
    let mut link = served.memory();
    link.send(&[&MAGIC[..], &encode(&[open(Token::NEW, 0, 0)])].concat()).await;
    let word = Record::Refused(Reason::UnknownProtocol);
    assert_eq!(link.rest().await, encode(&[word]));
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_resumes_another_session_than_asked_for_is_left() {
    let (connector, mut acceptor) = memory::listener();
    tokio::spawn(async move {
        // As long as nothing else is taken from the client.
        let mut kept = Vec::new();
        for token in [[1; 16], [2; 16]] {
            let mut link = Link::new(acceptor.accept().await.unwrap().into());
            link.expect(&MAGIC).await;
            let mut raw = Raw { input: Input::default(), link };
            raw.input.push(raw.link.input.split().freeze());
            let Some(Record::Open(asked)) = raw.record().await else { panic!("not opened") };
            raw.say(Record::Accepted(Accepted {
                token: Token::new(token),
                received: asked.sent.bytes,
                sent: 0,
                window_ms: 20_000,
                retained_bytes_max: 1 << 20,
                heartbeat_ms: 5_000,
                bound: false,
            }))
            .await;
            raw.link.finish();
            kept.push(raw);
        }
        std::future::pending::<()>().await;
    });
    let endpoint = Endpoint::Memory { connector, shape: Shape::default() };
    let (_client, mut state) = resumable(vec![endpoint], 1).await.unwrap();
    let outcome = outcome(&mut state).await;
    assert!(
        matches!(outcome, Connectivity::Gone { receipt } if receipt.why == Why::Broken),
        "{outcome:?}"
    );
}
