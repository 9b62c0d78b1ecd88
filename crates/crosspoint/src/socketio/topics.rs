//! Topics of a program, for clients of the plugin's version 1.5.

use super::args::Args;
use super::error::{EmitError, check_event};
use super::rooms::Rooms;
use crate::lock::lock;
use crate::node::Node;
use crate::peer::{Peer, Request};
use crate::{Failure, Format, Payload, RequestError};
use crosspoint_gateways::socketio::wire::NAME as SOCKETIO;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What clients say that want a topic, and want it no longer; and what is said back over the same link.
const SUBSCRIBE: &str = "SUBSCRIBE_TOPIC";
const UNSUBSCRIBE: &str = "UNSUBSCRIBE_TOPIC";
/// How long the hub may take to put a client into a room.
const TIME: Duration = Duration::from_secs(10);

/// All topics of a program.
#[derive(Debug)]
pub(super) struct Topics {
    node: Node,
    rooms: Arc<Rooms>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The services that have topics.
    services: HashSet<String>,
    /// By service and topic.
    topics: HashMap<(String, String), Subscribers>,
}

/// The links to clients that have a topic.
#[derive(Debug, Default)]
struct Subscribers {
    peers: Vec<Peer>,
    /// So many are looked through.
    tidy_at: usize,
}

impl Subscribers {
    fn add(&mut self, peer: Peer) {
        if self.peers.len() >= self.tidy_at.max(64) {
            self.peers.retain(Peer::is_open);
            self.tidy_at = 2 * self.peers.len();
        }
        if !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }
}

impl Topics {
    /// Whether a service of the program has this topic.
    fn has(&self, topic: &str) -> bool {
        lock(&self.known).topics.keys().any(|(_, known)| known == topic)
    }

    /// A client has the topic of this name, of one of the services: which one, it knows itself.
    fn add(&self, topic: &str, peer: &Peer) {
        let mut known = lock(&self.known);
        let topics = known.topics.iter_mut().filter(|((_, name), _)| name == topic);
        topics.for_each(|(_, subscribers)| subscribers.add(peer.clone()));
    }

    fn remove(&self, topic: &str, peer: &Peer) {
        let mut known = lock(&self.known);
        let topics = known.topics.iter_mut().filter(|((_, name), _)| name == topic);
        topics.for_each(|(_, subscribers)| subscribers.peers.retain(|known| known != peer));
    }
}

/// A topic of a service of the program, see [`Application::topic`](super::Application::topic). When it is dropped nobody gets it any more, and those
/// who have it are told nothing.
pub struct Topic {
    topics: Arc<Topics>,
    key: (String, String),
    room: String,
}

impl Topic {
    /// Says something to all who have the topic.
    ///
    /// # Errors
    /// As [`Application::emit_room`](super::Application::emit_room).
    pub async fn publish(&self, args: Args) -> Result<(), EmitError> {
        let event = format!("{}-DEFAULT_TOPIC_EVENT", self.room);
        self.say(&event, args).await
    }

    /// Tells all who have the topic that it is over, and takes it from them.
    ///
    /// # Errors
    /// As [`Application::emit_room`](super::Application::emit_room).
    pub async fn destroy(self) -> Result<(), EmitError> {
        let subscribers = lock(&self.topics.known).topics.remove(&self.key).unwrap_or_default();
        let event = format!("{}-TOPIC_BEING_DESTROYED", self.room);
        self.say(&event, Args::new()).await?;
        let payload = topic_payload(&self.key.1);
        for peer in subscribers.peers {
            // Those that have gone have left the room.
            let _ = peer.tell(UNSUBSCRIBE, &payload).await;
        }
        Ok(())
    }

    async fn say(&self, event: &str, args: Args) -> Result<(), EmitError> {
        self.topics.rooms.emit(&self.topics.node, &self.room, event, &args).await
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        lock(&self.topics.known).topics.remove(&self.key);
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("room", &self.room).finish_non_exhaustive()
    }
}

fn topic_payload(topic: &str) -> Payload {
    Payload::new(Format::JSON, serde_json::json!([topic]).to_string())
}

/// The topic that a client means. Those of version 1.5 say twice who they are before it.
fn topic_of(request: &Request) -> Result<String, Failure> {
    let unreadable = |error: super::ArgsError| Failure::new(Failure::UNREADABLE, error.to_string());
    let args = Args::of_event(request.payload()).map_err(unreadable)?;
    args.get(args.len().saturating_sub(1)).map_err(unreadable)
}

impl Topics {
    pub(super) fn new(node: &Node, rooms: &Arc<Rooms>) -> Arc<Self> {
        let known = Mutex::default();
        Arc::new(Self { node: node.clone(), rooms: rooms.clone(), known })
    }

    /// Offers a topic of a service.
    pub(super) async fn offer(
        self: &Arc<Self>,
        service: &str,
        topic: &str,
    ) -> Result<Topic, EmitError> {
        check_event(service)?;
        let room = format!("service:{service}:topic:{topic}");
        check_event(&format!("{room}-TOPIC_BEING_DESTROYED"))?;
        let (is_first, is_new) = {
            let known = lock(&self.known);
            (known.services.is_empty(), !known.services.contains(service))
        };
        if is_first {
            self.take_subscribers();
        }
        if is_new {
            self.node.provide(service).await?;
        }
        let key = (service.to_owned(), topic.to_owned());
        let mut known = lock(&self.known);
        known.services.insert(service.to_owned());
        known.topics.entry(key.clone()).or_default();
        drop(known);
        Ok(Topic { topics: self.clone(), key, room })
    }

    fn take_subscribers(self: &Arc<Self>) {
        // The node has the handlers, and must not be held by them.
        let topics = Arc::downgrade(self);
        self.node.handle(SUBSCRIBE, move |request: Request| {
            let topics = topics.clone();
            async move {
                let topic = topic_of(&request)?;
                let topics = topics.upgrade().filter(|topics| topics.has(&topic));
                let Some(topics) = topics else {
                    return Err(Failure::new(Failure::NO_METHOD, format!("no topic {topic}")));
                };
                let peer = request.peer();
                if request.from().protocol == SOCKETIO {
                    // The hub puts the client into the room, because it waits for the answer to its wish.
                    let put = peer.request(topic_payload(&topic)).method(SUBSCRIBE).timeout(TIME);
                    let failed = |error: RequestError| {
                        Failure::new(Failure::FAILED, format!("the topic {topic}: {error}"))
                    };
                    put.await.map_err(failed)?;
                }
                topics.add(&topic, &peer);
                Ok(Payload::new(Format::JSON, Vec::new()))
            }
        });
        let topics = Arc::downgrade(self);
        self.node.handle(UNSUBSCRIBE, move |request: Request| {
            let topics = topics.clone();
            async move {
                let topic = topic_of(&request)?;
                let peer = request.peer();
                if let Some(topics) = topics.upgrade() {
                    topics.remove(&topic, &peer);
                }
                // If it has gone, it has left the room.
                let _ = peer.tell(UNSUBSCRIBE, &topic_payload(&topic)).await;
                Ok(Payload::default())
            }
        });
    }
}
