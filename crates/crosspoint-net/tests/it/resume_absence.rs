//! What the members of a channel hear of its owner's lost connections, on virtual time.

use crate::common::until;
use crate::resume_world::{Client, Fate, World, message, options, outcome, resumable};
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, Command, EnterOptions, Event, OwnerNews, Target,
};
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{
    ChannelName, HubOptions, JoinedChannelId, MemberNumber, OwnedChannelId, Reason,
};
use crosspoint_net::resume::Connectivity;
use crosspoint_net::server::ServerOptions;
use std::time::Duration;
use tokio::sync::watch;

const OWN: OwnedChannelId = OwnedChannelId(0);
const IN: JoinedChannelId = JoinedChannelId(0);

fn named() -> ChannelName {
    ChannelName::new("game").expect("a short name")
}

async fn welcomed(client: &mut Client) {
    let event = client.event().await;
    assert!(matches!(event, Event::Welcome { .. }), "{event:?}");
}

/// A client that comes back by itself, and owns the channel.
async fn owner(world: &World) -> (Client, watch::Receiver<Connectivity>) {
    let dialed = resumable(vec![world.road.endpoint()], 7).await;
    let (mut owner, state) = dialed.expect("the hub listens");
    welcomed(&mut owner).await;
    owner
        .tell(ChannelCommand::Create { request: 1, name: named(), options: Default::default() })
        .await;
    assert_eq!(
        owner.event().await,
        Event::Channel(ChannelEvent::Created { request: 1, channel: OWN })
    );
    (owner, state)
}

async fn enter(world: &World) -> Client {
    let mut client = world.plain().await;
    welcomed(&mut client).await;
    let options = EnterOptions::default();
    client.tell(ChannelCommand::Enter { request: 2, name: named(), options }).await;
    let entered = client.event().await;
    assert!(
        matches!(entered, Event::Channel(ChannelEvent::Entered(entered)) if entered.channel == IN),
        "{entered:?}"
    );
    client
}

async fn newcomer(owner: &mut Client) -> MemberNumber {
    match owner.event().await {
        Event::Channel(ChannelEvent::MemberEntered { member, .. }) => member,
        other => panic!("{other:?}"),
    }
}

/// The owner's connection is lost, and the hub knows.
async fn lose(world: &World, next: impl IntoIterator<Item = Fate>) {
    world.road.fates(next);
    world.road.cut();
    until("the hub knows", || world.hub.metrics.sessions_away.get() == 1).await;
}

async fn news(member: &mut Client) -> OwnerNews {
    match member.event().await {
        Event::Channel(ChannelEvent::Owner { channel: IN, news }) => news,
        other => panic!("{other:?}"),
    }
}

fn data(event: Event) -> (Place, Part) {
    match event {
        Event::Data { place, part } => (place, part),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn members_hear_that_the_owner_is_away_and_back_and_what_they_sent_meanwhile_arrives() {
    let world = World::new(options(), ServerOptions::default());
    let (mut ann, _state) = owner(&world).await;
    let mut bob = enter(&world).await;
    assert_eq!(newcomer(&mut ann).await, MemberNumber(0));

    lose(&world, [Fate::Refused, Fate::Refused]).await;
    assert_eq!(news(&mut bob).await, OwnerNews::Away);
    // Who comes meanwhile hears it too.
    let mut cid = enter(&world).await;
    assert_eq!(news(&mut cid).await, OwnerNews::Away);
    for number in 0..20 {
        let part = Part::whole(message(number, 100));
        bob.tell(Command::Send { to: Target::Up(IN), part }).await;
    }
    assert_eq!(news(&mut bob).await, OwnerNews::Back);
    assert_eq!(news(&mut cid).await, OwnerNews::Back);
    assert_eq!(newcomer(&mut ann).await, MemberNumber(1));
    for number in 0..20 {
        let from = Place::Own(OWN, MemberNumber(0));
        assert_eq!(data(ann.event().await), (from, Part::whole(message(number, 100))));
    }
    let part = Part::whole(message(99, 100));
    ann.tell(Command::Send { to: Target::Everyone(OWN, None), part: part.clone() }).await;
    assert_eq!(data(bob.event().await), (Place::In(IN), part.clone()));
    assert_eq!(data(cid.event().await), (Place::In(IN), part));
}

#[tokio::test(start_paused = true)]
async fn a_channel_passes_to_its_successor_only_when_the_window_is_over() {
    let world = World::new(options(), ServerOptions::default());
    let (mut ann, mut state) = owner(&world).await;
    let mut bob = enter(&world).await;
    let mut cid = enter(&world).await;
    newcomer(&mut ann).await;
    let member = Some(newcomer(&mut ann).await);
    ann.tell(ChannelCommand::Succeed { request: 3, channel: OWN, member }).await;
    assert_eq!(ann.event().await, Event::Done { request: 3 });

    world.road.usual(Fate::Refused);
    let began = tokio::time::Instant::now();
    lose(&world, []).await;
    for member in [&mut bob, &mut cid] {
        assert_eq!(news(member).await, OwnerNews::Away);
    }
    // Not that it is back: it is another.
    assert!(matches!(news(&mut bob).await, OwnerNews::Changed(_)));
    assert!(began.elapsed() >= Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(news(&mut cid).await, OwnerNews::You(OWN));
    assert_eq!(newcomer(&mut cid).await, MemberNumber(0));

    // The former owner hears how it ended, and a channel of that name is there already.
    world.road.usual(Fate::Lasts);
    assert!(matches!(outcome(&mut state).await, Connectivity::Gone { .. }));
    let mut again = world.plain().await;
    welcomed(&mut again).await;
    again
        .tell(ChannelCommand::Create { request: 5, name: named(), options: Default::default() })
        .await;
    let taken = Event::Refused { request: 5, create: true, reason: Reason::NameTaken };
    assert_eq!(again.event().await, taken);
}

#[tokio::test(start_paused = true)]
async fn without_a_successor_the_channel_closes_when_the_window_is_over() {
    let world = World::new(options(), ServerOptions::default());
    let (mut ann, _state) = owner(&world).await;
    let mut bob = enter(&world).await;
    newcomer(&mut ann).await;
    world.road.usual(Fate::Refused);
    lose(&world, []).await;
    assert_eq!(news(&mut bob).await, OwnerNews::Away);
    assert_eq!(
        bob.event().await,
        Event::Channel(ChannelEvent::Ended { channel: IN, reason: Reason::OwnerLost })
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_away_does_not_count_as_one_that_does_not_read() {
    // Less than the window, and more than it takes to notice that a connection has frozen.
    let mut options: HubOptions = options();
    options.limits.outbox_stall_max = Duration::from_secs(16);
    let world = World::new(options, ServerOptions::default());
    let (mut ann, _state) = owner(&world).await;
    let bob = enter(&world).await;
    newcomer(&mut ann).await;
    // It comes back late.
    world.road.usual(Fate::Refused);
    lose(&world, []).await;
    for number in 0..100 {
        let part = Part::whole(message(number, 16_000));
        bob.tell(Command::Send { to: Target::Up(IN), part }).await;
    }
    tokio::time::sleep(Duration::from_secs(18)).await;
    world.road.usual(Fate::Lasts);
    for number in 0..100 {
        let from = Place::Own(OWN, MemberNumber(0));
        let (place, mut part) = data(ann.event().await);
        let mut whole = part.data.to_vec();
        while !part.is_last() {
            part = data(ann.event().await).1;
            whole.extend_from_slice(&part.data);
        }
        assert_eq!((place, &whole[..]), (from, &message(number, 16_000)[..]));
    }
}
