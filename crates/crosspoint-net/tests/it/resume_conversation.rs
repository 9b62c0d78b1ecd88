//! Conversations over connections that break anywhere: nothing is lost, doubled or reordered.

use crate::common::{Dice, within};
use crate::resume_world::{Client, Fate, World, message, options, outcome, resumable};
use bytes::Bytes;
use crosspoint_hub::{HubOptions, JoinedChannelId, Limits};
use crosspoint_net::client::Connection;
use crosspoint_net::gateways::{self, standard};
use crosspoint_net::resume::{Config, Connectivity};
use crosspoint_net::server::ServerOptions;
use std::time::Duration;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// Where a connection breaks: often in the first records, sometimes much later.
fn place(dice: &mut Dice) -> usize {
    match dice.below(4) {
        0 => dice.below(70),
        1 => dice.below(300),
        2 => dice.below(3_000),
        _ => dice.below(40_000),
    }
}

fn fate(dice: &mut Dice) -> Fate {
    let (there, back) = (place(dice), place(dice));
    match dice.below(8) {
        0 => Fate::Refused,
        1 => Fate::Frozen(there, back),
        2..5 => Fate::Closed(there, back),
        _ => Fate::Cut(there, back),
    }
}

/// Messages of one side.
fn messages(dice: &mut Dice) -> Vec<Bytes> {
    let count = dice.below(25);
    let lengths = (0..count).map(|_| match dice.below(8) {
        0 => dice.below(20_000),
        _ => dice.below(60),
    });
    lengths.enumerate().map(|(number, length)| message(number as u32, length)).collect()
}

/// Sends messages, now and then after a pause.
async fn speak(
    connection: Connection,
    room: JoinedChannelId,
    messages: Vec<Bytes>,
    mut dice: Dice,
) -> Connection {
    let client = Client { connection };
    for message in messages {
        if dice.below(3) == 0 {
            sleep(Duration::from_millis(dice.below(400) as u64)).await;
        }
        client.send(room, message).await;
    }
    client.connection
}

/// Two clients in a room, of which one comes back again and again.
async fn conversation(seed: u64) {
    let mut dice = Dice(seed);
    let limits = Limits { handshake_max: 200 * SECOND, ..Limits::default() };
    let retained_bytes_max = if dice.below(2) == 0 { 4096 } else { 1 << 20 };
    let window = 60 * SECOND;
    let resume = Config { window, retained_bytes_max, ..Config::default() };
    let gateways = standard().with(gateways::resumable(Some(resume)));
    let world = World::new(
        HubOptions { limits, ..options() },
        ServerOptions { gateways, ..ServerOptions::default() },
    );
    let count = dice.below(8);
    world.road.fates((0..count).map(|_| fate(&mut dice)));
    let mut stays = world.plain().await;
    let room = stays.enter().await;
    let (mut comes_back, mut state) = loop {
        // The first connection is not sought again by itself.
        if let Ok(made) = resumable(vec![world.road.endpoint()], dice.roll()).await {
            break made;
        }
    };
    let same = comes_back.enter().await;
    let (said, answered) = (messages(&mut dice), messages(&mut dice));
    let (out, back) = (said.clone(), answered.clone());
    let (one, other) = (Dice(dice.roll()), Dice(dice.roll()));
    let talk = async {
        let (from, to) = split(comes_back);
        let (their_from, their_to) = split(stays);
        tokio::join!(
            speak(to, same, out, one),
            speak(their_to, room, back, other),
            hear(from, answered),
            hear(their_from, said),
        )
    };
    let (connection, _stays, mut listening, _) = within("the conversation", talk).await;
    // The client says goodbye, and the hub hears that in any case.
    drop(connection);
    assert!(listening.recv().await.is_some(), "its end is told");
    assert_eq!(outcome(&mut state).await, Connectivity::Ended);
    while world.hub.sessions() > 1 {
        sleep(SECOND).await;
    }
    let metrics = &world.hub.metrics;
    assert_eq!(metrics.sessions_away.get(), 0);
    within("the server stops", world.server.stop()).await;
}

type Events = tokio::sync::mpsc::Receiver<crosspoint_hub::Event>;

fn split(client: Client) -> (Events, Connection) {
    let Connection { commands, events, pings } = client.connection;
    let (_, none) = tokio::sync::mpsc::channel(1);
    (events, Connection { commands, events: none, pings })
}

/// Sees that exactly these messages come.
async fn hear(events: Events, messages: Vec<Bytes>) -> Events {
    let (commands, _) = tokio::sync::mpsc::channel(1);
    let (pings, _) = tokio::sync::mpsc::channel(1);
    let mut client = Client { connection: Connection { commands, events, pings } };
    for message in messages {
        assert_eq!(client.message().await, Ok(message));
    }
    client.connection.events
}

/// Runs conversations with these seeds. Each has its own hub and its own road.
fn converse(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(conversation(seed));
        }));
        if result.is_err() {
            panic!("seed {seed}");
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_wherever_connections_break() {
    converse(0..1000);
}

#[test]
fn nothing_is_lost_doubled_or_reordered_in_a_thousand_other_conversations() {
    converse(1000..2000);
}
