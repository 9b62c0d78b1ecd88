//! Brings each event of a connection to where it is read. One task for each connection.

use super::Connection;
use super::ask::{AskError, Linked, Question};
use super::budget::{Charge, Source};
use super::channel::{Calling, ChannelLink, Core, Inheritance, Membership, Owned};
use super::events::{Item, MemberEvent, OwnerEvent};
use super::gathering::{Gathered, Gathering};
use super::links::Links;
use super::watching::PresenceEvent;
use crate::lock::lock;
use crate::options::Applicant;
use crate::queue::{Pusher, queue};
use crate::remote::{CALL, Calls, Malicious, REPLY};
use bytes::Bytes;
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, DirectoryEvent, Entered, Event, LinkEvent, Mode, OwnerNews,
    Peer as PeerInfo, Target,
};
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId, PeerId, Reason};
use crosspoint_net::panics::caught;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(super) struct Router {
    /// Gone when nobody holds it any more.
    connection: Weak<Connection>,
    closing: CancellationToken,
    queue_bytes: u32,
    owned: HashMap<OwnedChannelId, Own>,
    entered: HashMap<JoinedChannelId, In>,
    links: Arc<Links>,
    gathering: Gathering,
}

struct Own {
    core: Arc<Core>,
    calling: Calling,
    events: Pusher<Item<OwnerEvent>>,
    /// Who has entered and not left.
    members: HashMap<MemberNumber, PeerId>,
}

struct In {
    core: Arc<Core>,
    calls: Calls,
    events: Pusher<Item<MemberEvent>>,
    inheritance: Inheritance,
}

/// Who has sent something, and how it is framed.
struct Sender {
    mode: Mode,
    calls: bool,
    bytes_max: u32,
    source: Source,
}

impl Own {
    async fn tell(&self, event: OwnerEvent, closing: &CancellationToken) {
        self.events.push(Item::Event(event), 0, closing).await;
    }
}

impl Router {
    pub(super) fn new(connection: &Arc<Connection>, queue_bytes: u32) -> Self {
        Self {
            connection: Arc::downgrade(connection),
            closing: connection.closing.clone(),
            queue_bytes,
            links: connection.links.clone(),
            owned: HashMap::new(),
            entered: HashMap::new(),
            gathering: Gathering::new(&connection.pool.held),
        }
    }

    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        closed: watch::Sender<Option<Reason>>,
    ) {
        let reason = loop {
            match events.recv().await {
                Some(Event::Closed { reason }) => break reason,
                Some(event) => match caught(self.route(event)).await {
                    Some(Ok(())) => {}
                    Some(Err(reason)) => break reason,
                    // Everybody who waits for something of this connection is told.
                    None => break Reason::Internal,
                },
                // The connection's task did not come to its end, as its runtime has stopped.
                None => break Reason::ConnectionLost,
            }
        };
        for (_, own) in self.owned {
            own.core.end(reason);
            own.calling.close();
            own.events.finish(Item::Event(OwnerEvent::Closed { reason }));
        }
        for (_, entered) in self.entered {
            entered.core.end(reason);
            entered.calls.close();
            entered.events.finish(Item::Event(MemberEvent::Ended { reason }));
        }
        self.links.end_all(reason);
        if let Some(connection) = self.connection.upgrade() {
            connection.facts.pauses.end_all();
        }
        // In this order, so that a caller that is refused because of the end finds its reason.
        closed.send_replace(Some(reason));
        if let Some(connection) = self.connection.upgrade() {
            connection.end(reason);
        }
    }

    /// # Errors
    /// The reason to end the connection: the hub has broken the protocol.
    async fn route(&mut self, event: Event) -> Result<(), Reason> {
        match event {
            Event::Channel(ChannelEvent::Created { request, channel }) => {
                self.created(request, channel)?
            }
            Event::Channel(ChannelEvent::Entered(entered)) => self.entered(entered)?,
            Event::Refused { request, reason, .. } => match self.question(request)? {
                Some((connection, Question::Watch { on })) => {
                    connection.watch_answered(on, Err(reason));
                }
                Some((_, question)) => question.fail(AskError::Refused(reason)),
                None => {}
            },
            Event::Channel(ChannelEvent::MemberEntered {
                channel, member, peer, replies, ..
            }) => {
                self.gathering.forget(|place| *place == Place::Own(channel, member));
                if let Some(own) = self.owned.get_mut(&channel) {
                    own.members.insert(member, peer.id);
                    if own.core.calls {
                        let link = ChannelLink {
                            core: own.core.clone(),
                            to: Target::Member(channel, member),
                            replies,
                        };
                        own.calling.enter(member, Calls::new(link));
                    }
                    own.tell(OwnerEvent::Entered { member, peer }, &self.closing).await;
                }
            }
            Event::Channel(ChannelEvent::MemberLeft { channel, member, reason }) => {
                self.gathering.forget(|place| *place == Place::Own(channel, member));
                if let Some(own) = self.owned.get_mut(&channel) {
                    own.members.remove(&member);
                    own.calling.leave(member);
                    own.tell(OwnerEvent::Left { member, reason }, &self.closing).await;
                }
            }
            Event::Channel(ChannelEvent::Deleted { channel, reason }) => {
                self.gathering
                    .forget(|place| matches!(place, Place::Own(own, _) if *own == channel));
                if let Some(own) = self.owned.remove(&channel) {
                    own.core.end(reason);
                    own.calling.close();
                    own.events.finish(Item::Event(OwnerEvent::Closed { reason }));
                }
            }
            Event::Channel(ChannelEvent::Knock { channel, ticket, peer, credentials }) => {
                if let Some(own) = self.owned.get(&channel) {
                    let bytes = credentials.len();
                    let applicant = Applicant { peer, credentials: credentials.into(), ticket };
                    let event = Item::Event(OwnerEvent::Knock(applicant));
                    own.events.push(event, bytes, &self.closing).await;
                }
            }
            Event::Channel(ChannelEvent::Ended { channel, reason }) => {
                self.gathering.forget(|place| is_in(place, channel));
                if let Some(entered) = self.entered.remove(&channel) {
                    entered.core.end(reason);
                    entered.calls.close();
                    entered.events.finish(Item::Event(MemberEvent::Ended { reason }));
                }
            }
            Event::Channel(ChannelEvent::Owner { channel, news }) => {
                self.owner(channel, news).await?
            }
            Event::Channel(ChannelEvent::OtherEntered { channel, member, peer }) => {
                if let Some(entered) = self.entered.get(&channel) {
                    self.tell_member(entered, MemberEvent::OtherEntered { member, peer }).await;
                }
            }
            Event::Channel(ChannelEvent::OtherLeft { channel, member, reason }) => {
                self.gathering.forget(|place| *place == Place::Room(channel, member));
                if let Some(entered) = self.entered.get(&channel) {
                    self.tell_member(entered, MemberEvent::OtherLeft { member, reason }).await;
                }
            }
            Event::Data { place: Place::Link(link), part } => self.links.receive(link, part).await,
            Event::Data { place, part } => self.data(place, part).await?,
            Event::Link(LinkEvent::Opened { request: Some(request), link, peer, .. }) => {
                self.linked(request, link, peer)?;
            }
            Event::Link(LinkEvent::Opened { request: None, link, peer, purpose }) => {
                self.unused(link)?;
                self.arrived(link, peer, &purpose)?;
            }
            Event::Link(LinkEvent::Closed { link, reason }) => self.links.ended(link, reason),
            Event::Directory(DirectoryEvent::Found { request, peers, more }) => {
                match self.question(request)? {
                    Some((_, Question::Look(answer))) => drop(answer.send(Ok((peers, more)))),
                    Some(_) => return Err(Reason::Malformed),
                    None => {}
                }
            }
            Event::Done { request } => match self.question(request)? {
                Some((_, Question::Done(answer))) => drop(answer.send(Ok(()))),
                Some((connection, Question::Watch { on })) => {
                    connection.watch_answered(on, Ok(()));
                }
                Some(_) => return Err(Reason::Malformed),
                None => {}
            },
            // The connection's task knows already. A link goes on to send by itself.
            Event::Paused { .. } => {}
            Event::Resumed { to: Target::Link(link), .. } => self.links.resumed(link),
            Event::Resumed { .. } => {}
            Event::Directory(DirectoryEvent::PeerCame { peer }) => {
                self.presence(PresenceEvent::Came(peer))
            }
            Event::Directory(DirectoryEvent::PeerWent { peer }) => {
                self.presence(PresenceEvent::Went(peer))
            }
            Event::Welcome { .. }
            | Event::Closed { .. }
            | Event::Channel(ChannelEvent::Nominated { .. } | ChannelEvent::Others { .. })
            | Event::Application(_)
            | Event::Messages { .. }
            | Event::Directory(
                DirectoryEvent::Peers { .. }
                | DirectoryEvent::NameShared
                | DirectoryEvent::ClaimAnswered { .. },
            )
            | Event::Secure => {
                return Err(Reason::Malformed);
            }
        }
        Ok(())
    }

    fn question(&self, request: u32) -> Result<Option<(Arc<Connection>, Question)>, Reason> {
        let Some(connection) = self.connection.upgrade() else {
            return Ok(None);
        };
        let question = connection.asked.take(request).ok_or(Reason::Malformed)?;
        Ok(Some((connection, question)))
    }

    fn presence(&self, event: PresenceEvent) {
        if let Some(connection) = self.connection.upgrade() {
            connection.watching.tell(event);
        }
    }

    /// # Errors
    /// [`Reason::Malformed`] if the link is there already: each number is used once.
    fn unused(&self, link: LinkNumber) -> Result<(), Reason> {
        if self.links.contains(link) { Err(Reason::Malformed) } else { Ok(()) }
    }

    /// Somebody has opened a link.
    ///
    /// # Errors
    /// [`Reason::SlowReceiver`] if the hub does not even read what is refused.
    fn arrived(&self, link: LinkNumber, info: PeerInfo, purpose: &[u8]) -> Result<(), Reason> {
        let Some(connection) = self.connection.upgrade() else {
            return Ok(());
        };
        if connection.commands.is_choked() {
            return Err(Reason::SlowReceiver);
        }
        let mut place = Charge::new(&connection.pool.incoming, Source::Peer(info.id));
        if !place.set(1) {
            connection.refuse(link, Reason::TooManyLinks);
            return Ok(());
        }
        connection.upper.arrived(&connection, link, info, purpose);
        // If the link was refused, its place is free again.
        self.links.occupy(link, place);
        Ok(())
    }

    /// A link that was asked for is there.
    fn linked(&self, request: u32, link: LinkNumber, info: PeerInfo) -> Result<(), Reason> {
        self.unused(link)?;
        match self.question(request)? {
            Some((connection, Question::Link(asker))) => {
                asker(Ok(Linked { connection, link, info }));
            }
            Some(_) => return Err(Reason::Malformed),
            None => {}
        }
        Ok(())
    }

    fn created(&mut self, request: u32, channel: OwnedChannelId) -> Result<(), Reason> {
        let Some((connection, question)) = self.question(request)? else {
            return Ok(());
        };
        let Question::Create { mode, calls, answer } = question else {
            return Err(Reason::Malformed);
        };
        self.free_own(channel)?;
        self.gathering.forget(|place| matches!(place, Place::Own(own, _) if *own == channel));
        let owned = self.own(connection, channel, mode, calls);
        // If nobody waits any more, it is dropped, which deletes the channel.
        drop(answer.send(Ok(owned)));
        Ok(())
    }

    /// # Errors
    /// [`Reason::Malformed`] if the number is that of a channel that was not given up: what is meant
    /// for the members of one would go to those of the other.
    fn free_own(&self, channel: OwnedChannelId) -> Result<(), Reason> {
        let known = self.owned.get(&channel);
        if known.is_some_and(|own| own.core.is_open()) { Err(Reason::Malformed) } else { Ok(()) }
    }

    /// There is an own channel now.
    fn own(
        &mut self,
        connection: Arc<Connection>,
        number: OwnedChannelId,
        mode: Mode,
        calls: bool,
    ) -> Owned {
        let core = Core::new(&connection, mode, calls);
        let (pusher, events) = queue(self.queue_bytes);
        let calling = Calling::default();
        let members = HashMap::new();
        let own = Own { core: core.clone(), calling: calling.clone(), events: pusher, members };
        self.owned.insert(number, own);
        Owned { core, number, calling, events, connection }
    }

    /// Something has become of the owner of an entered channel.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    async fn owner(&mut self, channel: JoinedChannelId, news: OwnerNews) -> Result<(), Reason> {
        let event = match news {
            OwnerNews::Away => MemberEvent::OwnerAway,
            OwnerNews::Back => MemberEvent::OwnerBack,
            OwnerNews::Changed(peer) => {
                self.gathering.forget(|place| is_in(place, channel));
                if let Some(entered) = self.entered.get(&channel) {
                    entered.calls.cut();
                }
                MemberEvent::OwnerChanged { peer }
            }
            OwnerNews::You(number) => return self.inherit(channel, number),
        };
        if let Some(entered) = self.entered.get(&channel) {
            self.tell_member(entered, event).await;
        }
        Ok(())
    }

    /// A member is the owner now.
    fn inherit(&mut self, channel: JoinedChannelId, number: OwnedChannelId) -> Result<(), Reason> {
        self.free_own(number)?;
        self.gathering.forget(|place| is_in(place, channel));
        let Some(connection) = self.connection.upgrade() else {
            return Ok(());
        };
        let entered = self.entered.remove(&channel);
        let Some(entered) = entered.filter(|entered| entered.core.end(Reason::Left)) else {
            // It has left, but the hub had made it the owner before it heard of that.
            connection.commands.post(ChannelCommand::Resign(number));
            return Ok(());
        };
        let In { core, calls, events, inheritance } = entered;
        let owned = self.own(connection, number, core.mode, core.calls);
        *lock(&inheritance) = Some(owned);
        calls.close();
        events.finish(Item::Event(MemberEvent::Inherited));
        Ok(())
    }

    fn entered(&mut self, entered: Entered) -> Result<(), Reason> {
        let Entered { request, channel, member, mode, replies, room, .. } = entered;
        let Some((connection, question)) = self.question(request)? else {
            return Ok(());
        };
        let Question::Enter { calls, answer } = question else {
            return Err(Reason::Malformed);
        };
        if self.entered.get(&channel).is_some_and(|entered| entered.core.is_open()) {
            return Err(Reason::Malformed);
        }
        self.gathering.forget(|place| is_in(place, channel));
        let core = Core::new(&connection, mode, calls);
        let link = ChannelLink { core: core.clone(), to: Target::Up(channel), replies };
        let account = Calls::new(link);
        let (pusher, events) = queue(self.queue_bytes);
        let inheritance = Inheritance::default();
        let membership = Membership {
            core: core.clone(),
            channel,
            number: connection.is_native().then_some(member),
            room,
            calls: account.clone(),
            events,
            inheritance: inheritance.clone(),
            _connection: connection,
        };
        // If nobody waits any more, it is dropped, which leaves the channel.
        let answered = answer.send(Ok(membership));
        let entered = In { core, calls: account, events: pusher, inheritance };
        self.entered.insert(channel, entered);
        drop(answered);
        Ok(())
    }

    /// The channel at a place, and at whose expense parts are gathered there. `None` if it was left or deleted
    /// meanwhile, or if nobody has entered with this number.
    fn sender(&self, place: Place) -> Option<Sender> {
        let (core, source) = match place {
            Place::Own(channel, member) => {
                let own = self.owned.get(&channel)?;
                (&own.core, Source::Peer(*own.members.get(&member)?))
            }
            Place::In(channel) => (&self.entered.get(&channel)?.core, Source::Owner(channel)),
            Place::Room(channel, member) => {
                (&self.entered.get(&channel)?.core, Source::Other(channel, member))
            }
            Place::Link(_) => return None,
        };
        let Core { mode, calls, bytes_max, .. } = **core;
        Some(Sender { mode, calls, bytes_max, source })
    }

    /// Somebody has begun more than it may. The one who sends it pays: a member goes, an owner loses one. In a
    /// room, from which a member cannot throw another one out, the message is lost and counted.
    ///
    /// # Errors
    /// [`Reason::SlowReceiver`] if the hub does not even read what is refused.
    fn too_much(&mut self, place: Place) -> Result<(), Reason> {
        let Some(connection) = self.connection.upgrade() else {
            return Ok(());
        };
        if connection.commands.is_choked() {
            return Err(Reason::SlowReceiver);
        }
        match place {
            Place::Own(channel, member) if connection.is_native() => {
                connection.commands.post(ChannelCommand::Kick { channel, member, ban: None });
            }
            Place::In(channel) => {
                if let Some(entered) = self.entered.remove(&channel) {
                    let reason = Reason::Exhausted;
                    if entered.core.end(reason) {
                        connection.commands.post(ChannelCommand::Leave(channel));
                    }
                    entered.calls.close();
                    entered.events.finish(Item::Event(MemberEvent::Ended { reason }));
                }
            }
            Place::Own(..) | Place::Room(..) | Place::Link(_) => connection.pool.count_dropped(),
        }
        Ok(())
    }

    async fn data(&mut self, place: Place, part: Part) -> Result<(), Reason> {
        let Some(Sender { mode, calls, bytes_max, source }) = self.sender(place) else {
            return Ok(());
        };
        let from = match place {
            Place::Own(_, member) | Place::Room(_, member) => Some(member),
            Place::In(_) | Place::Link(_) => None,
        };
        let (kind, data) = match mode {
            Mode::Raw => (part.kind, part.data),
            Mode::Chunk { .. } => match self.gathering.receive(place, source, part, bytes_max)? {
                Gathered::Whole(kind, data) => (kind, data),
                Gathered::Begun => return Ok(()),
                Gathered::TooMuch => return self.too_much(place),
            },
        };
        let is_room = matches!(place, Place::Room(..));
        let sorted = match kind {
            Part::DATA if calls => Sorted::Call,
            Part::DATA => Sorted::Message,
            CALL if calls && !is_room => Sorted::Call,
            REPLY if calls && !is_room => Sorted::Reply,
            kind => Sorted::Malicious(Malicious::Kind { kind }),
        };
        let bytes = data.len();
        match place {
            Place::Own(channel, member) => {
                let Some(own) = self.owned.get(&channel) else {
                    return Ok(());
                };
                let item = match sorted {
                    Sorted::Message => Item::Event(OwnerEvent::Message { member, data }),
                    Sorted::Call => call(from, kind, data),
                    Sorted::Reply if own.calling.reply(member, data) => return Ok(()),
                    Sorted::Reply => malicious(member, Malicious::Head),
                    Sorted::Malicious(error) => malicious(member, error),
                };
                own.events.push(item, bytes, &self.closing).await;
            }
            Place::In(channel) | Place::Room(channel, _) => {
                let Some(entered) = self.entered.get(&channel) else {
                    return Ok(());
                };
                let item = match sorted {
                    Sorted::Message => Item::Event(MemberEvent::Message { from, data }),
                    Sorted::Call => call(from, kind, data),
                    Sorted::Reply if entered.calls.reply(data).is_some() => return Ok(()),
                    Sorted::Reply => {
                        Item::Event(MemberEvent::Malicious { from, error: Malicious::Head })
                    }
                    Sorted::Malicious(error) => Item::Event(MemberEvent::Malicious { from, error }),
                };
                entered.events.push(item, bytes, &self.closing).await;
            }
            Place::Link(_) => {}
        }
        Ok(())
    }

    async fn tell_member(&self, entered: &In, event: MemberEvent) {
        entered.events.push(Item::Event(event), 0, &self.closing).await;
    }
}

/// What a message is for.
enum Sorted {
    Message,
    Call,
    Reply,
    Malicious(Malicious),
}

fn call<E>(from: Option<MemberNumber>, kind: u8, payload: Bytes) -> Item<E> {
    Item::Call { from, kind, payload }
}

fn malicious(member: MemberNumber, error: Malicious) -> Item<OwnerEvent> {
    Item::Event(OwnerEvent::Malicious { member, error })
}

fn is_in(place: &Place, channel: JoinedChannelId) -> bool {
    matches!(place, Place::In(number) | Place::Room(number, _) if *number == channel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Protocol;
    use crate::connection::{Facts, Pool, Upper};

    /// A connection with nothing above it.
    #[derive(Debug)]
    struct Bare;

    impl Upper for Bare {
        fn connected(&self, _: &Arc<Connection>) {}

        fn arrived(&self, _: &Arc<Connection>, _: LinkNumber, _: PeerInfo, _: &[u8]) {}

        fn disconnected(&self) {}
    }

    /// What becomes of a connection whose hub says this after it has let a channel be created.
    async fn after(events: impl IntoIterator<Item = Event>) -> Reason {
        heard_after(events).await.0
    }

    /// The same, and what the owner of the channel has heard.
    async fn heard_after(events: impl IntoIterator<Item = Event>) -> (Reason, Vec<OwnerEvent>) {
        let (commands, mut to_hub) = mpsc::channel(8);
        let (pings, _asked) = mpsc::channel(1);
        let (from_hub, to_node) = mpsc::channel(8);
        let (closed_sender, closed) = watch::channel(None);
        let (peer, facts) = (PeerId::new([1; 16]), Arc::<Facts>::default());
        let (who, ways) = ((peer, Protocol::Native), (commands, pings));
        let connection =
            Connection::new(who, facts, ways, closed, Pool::new(8192, 1), Arc::new(Bare));
        tokio::spawn(Router::new(&connection, 1000).run(to_node, closed_sender));

        let mode = Mode::Chunk { bytes_max: 10 };
        let create = |request| crosspoint_hub::Command::create(request, "x");
        let asking = {
            let connection = connection.clone();
            let question = move |answer| Question::Create { mode, calls: false, answer };
            tokio::spawn(async move { connection.ask(question, create).await })
        };
        to_hub.recv().await.unwrap();
        let created =
            Event::Channel(ChannelEvent::Created { request: 0, channel: OwnedChannelId(0) });
        from_hub.send(created).await.unwrap();
        let mut owned = asking.await.unwrap().unwrap();
        from_hub.send(entered(MemberNumber(0))).await.unwrap();
        for event in events {
            from_hub.send(event).await.unwrap();
        }
        drop(from_hub);
        let reason = connection.closed().await;
        let mut heard = Vec::new();
        while let Some(item) = owned.events.pull().await {
            let Item::Event(event) = item else { panic!("{item:?}") };
            heard.push(event);
        }
        (reason, heard)
    }

    fn entered(member: MemberNumber) -> Event {
        let peer = PeerInfo { id: PeerId::new([2; 16]), name: None, protocol: "native" };
        Event::Channel(ChannelEvent::MemberEntered {
            channel: OwnedChannelId(0),
            member,
            peer,
            chunk: None,
            replies: true,
        })
    }

    fn data(total: u32, offset: u32, data: &'static [u8]) -> Event {
        data_of(0, total, offset, data)
    }

    fn data_of(member: u32, total: u32, offset: u32, data: &'static [u8]) -> Event {
        let place = Place::Own(OwnedChannelId(0), MemberNumber(member));
        let part = Part { kind: Part::DATA, total, offset, data: Bytes::from_static(data) };
        Event::Data { place, part }
    }

    #[tokio::test]
    async fn a_hub_that_breaks_the_protocol_is_left() {
        let unasked =
            Event::Channel(ChannelEvent::Created { request: 1, channel: OwnedChannelId(1) });
        assert_eq!(after([unasked]).await, Reason::Malformed);
        let twice = Event::Refused { request: 0, create: true, reason: Reason::Full };
        assert_eq!(after([twice]).await, Reason::Malformed);
        let welcome = Event::Welcome { peer: PeerId::new([1; 16]) };
        assert_eq!(after([welcome]).await, Reason::Malformed);
        assert_eq!(after([data(11, 0, b"x")]).await, Reason::TooLarge);
        assert_eq!(after([data(9, 0, b"x"), data(9, 2, b"x")]).await, Reason::Malformed);
    }

    #[tokio::test]
    async fn what_is_for_nobody_is_dropped() {
        let channel = OwnedChannelId(7);
        let (member, reason) = (MemberNumber(3), Reason::Left);
        let events = [
            Event::Channel(ChannelEvent::MemberLeft { channel, member, reason }),
            Event::Channel(ChannelEvent::Ended { channel: JoinedChannelId(7), reason }),
            Event::Data { place: Place::In(JoinedChannelId(7)), part: Part::whole("lost") },
            data(9, 5, b"rest"),
            Event::Data {
                place: Place::Own(OwnedChannelId(0), MemberNumber(7)),
                part: Part::whole("lost"),
            },
            Event::Closed { reason: Reason::IdleTimeout },
        ];
        assert_eq!(after(events).await, Reason::IdleTimeout);
    }

    #[tokio::test]
    async fn what_a_hub_says_of_members_that_were_never_there_is_dropped() {
        // There is room for one message that has begun.
        let begun = (1..1000).map(|member| data_of(member, 9, 0, b"x"));
        let whole = (1..1000).map(|member| data_of(member, 1, 0, b"x"));
        let true_one = [data(9, 0, b"t"), data(9, 1, b"rue ones")];
        let closed = Event::Closed { reason: Reason::IdleTimeout };
        let events = begun.chain(whole).chain(true_one).chain([closed]);
        let (reason, heard) = heard_after(events).await;
        assert_eq!(reason, Reason::IdleTimeout);
        let message = Bytes::from_static(b"true ones");
        let member = MemberNumber(0);
        let [OwnerEvent::Entered { .. }, said, OwnerEvent::Closed { .. }] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!(*said, OwnerEvent::Message { member, data: message });
    }
}
