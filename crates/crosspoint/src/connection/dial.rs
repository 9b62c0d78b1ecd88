//! How a connection begins.

use super::facts::Facts;
use super::router::Router;
use super::{Connection, Pool, Upper};
use crate::address::{Address, Protocol};
use crate::error::ConnectError;
use crate::options::{NodeOptions, Resume};
use bytes::Bytes;
#[cfg(feature = "peote")]
use crosspoint_gateways::peote;
use crosspoint_hub::Reason;
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::protocol::{Activity, Client};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_net::client::{Dialed, Endpoint, dial, run};
use crosspoint_net::resume::{self, Connectivity};
use crosspoint_net::tls::BUILT_IN;
use crosspoint_proto::client::{Native, Options};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Connects to a hub within the time. The connection holds its part of the pool, and tells what is above it.
///
/// # Errors
/// See [`ConnectError`].
pub(crate) async fn connect(
    options: &NodeOptions,
    (pool, upper): (&Arc<Pool>, Arc<dyn Upper>),
    hello: Hello,
    address: Address,
) -> Result<Arc<Connection>, ConnectError> {
    let after = options.timeout;
    let above = (pool.clone(), upper);
    let welcomed = tokio::time::timeout(after, welcomed(options, above, hello, &address)).await;
    welcomed.unwrap_or_else(|_elapsed| {
        Err(ConnectError::TimedOut { address: Box::new(address), after })
    })
}

async fn welcomed(
    options: &NodeOptions,
    (pool, upper): (Arc<Pool>, Arc<dyn Upper>),
    hello: Hello,
    address: &Address,
) -> Result<Arc<Connection>, ConnectError> {
    let NodeOptions {
        agent, identity, accept_unproven, unbound_proof, heartbeat, queue_bytes, ..
    } = options;
    built_in(&options.resume, address, BUILT_IN)?;
    let dialing = dial_resumed(options, address, heartbeat.of_connections()).await;
    let (dialed, connectivity) = dialing.map_err(|source| {
        let address = Box::new(address.clone());
        ConnectError::Unreachable { address, source }
    })?;
    let facts = Arc::new(Facts::new(connectivity));
    // With an identity the protocol itself checks it.
    let asked = hello.peer.filter(|_| identity.is_none());
    let mut written = FrameWriter::new(None);
    let client: Box<dyn Client> = match address.protocol {
        Protocol::Native => {
            let (agent, identity) = (agent.clone(), identity.clone());
            let heartbeat = heartbeat.config(dialed.away_max());
            let hello = Hello { pauses: true, deletes: true, ..hello };
            let options = Options {
                hello,
                agent,
                identity,
                accept_unproven: *accept_unproven,
                channel_binding: dialed.channel_binding(),
                unbound_proof: *unbound_proof,
                heartbeat,
            };
            let now = tokio::time::Instant::now().into_std();
            Box::new(Observed {
                native: Native::new(now, options, &mut written),
                facts: facts.clone(),
            })
        }
        #[cfg(not(feature = "peote"))]
        Protocol::Peote => {
            let address = Box::new(address.clone());
            return Err(ConnectError::NotBuiltIn { address, feature: "peote" });
        }
        #[cfg(feature = "peote")]
        Protocol::Peote => {
            let peer = hello.peer.map_or_else(crosspoint_hub::PeerId::random, Ok);
            let peer = peer.map_err(|error| ConnectError::NoPeerId(error.to_string()))?;
            Box::new(peote::client::Joint::new(peer))
        }
    };
    let mut running = run(dialed, client, written);
    let peer = match running.events.recv().await {
        Some(Event::Welcome { peer }) => match asked {
            Some(asked) if asked != peer => {
                let address = Box::new(address.clone());
                return Err(ConnectError::OtherId { address, asked, answered: peer });
            }
            _ => peer,
        },
        other => {
            let reason = match other {
                Some(Event::Closed { reason }) => reason,
                Some(_) => Reason::Malformed,
                None => Reason::ConnectionLost,
            };
            let address = Box::new(address.clone());
            return Err(match reason {
                Reason::Unproven => ConnectError::Unproven { address },
                Reason::Unbound => ConnectError::Unbound { address },
                reason => ConnectError::Refused { address, reason },
            });
        }
    };
    let (closed_sender, closed) = watch::channel(None);
    let ways = (running.commands, running.pings);
    let who = (peer, address.protocol);
    let connection = Connection::new(who, facts, ways, closed, pool, upper);
    tokio::spawn(Router::new(&connection, *queue_bytes).run(running.events, closed_sender));
    Ok(connection)
}

/// Refuses addresses with TLS in a program without it.
fn built_in(resume: &Resume, address: &Address, has_tls: bool) -> Result<(), ConnectError> {
    let mut all = std::iter::once(&address.endpoint).chain(&resume.others);
    match all.find(|endpoint| endpoint.has_tls() && !has_tls) {
        None => Ok(()),
        Some(endpoint) => {
            let address = Box::new(Address { endpoint: endpoint.clone(), ..address.clone() });
            Err(ConnectError::NotBuiltIn { address, feature: "tls" })
        }
    }
}

/// Connects, with a connection that comes back if that is wanted, and sends probes after so much
/// silence.
async fn dial_resumed(
    options: &NodeOptions,
    address: &Address,
    heartbeat: Option<Duration>,
) -> io::Result<(Dialed, Option<watch::Receiver<Connectivity>>)> {
    let NodeOptions { resume: Resume { wanted, others }, tls, deflate_bytes_min, .. } = options;
    let reached = |endpoint: Endpoint| endpoint.with_tls(tls.clone()).deflating(*deflate_bytes_min);
    if !wanted || address.protocol != Protocol::Native {
        return Ok((dial(&reached(address.endpoint.clone())).await?, None));
    }
    let all = std::iter::once(&address.endpoint).chain(others);
    let endpoints = all.cloned().map(reached).collect();
    let options = resume::Options { heartbeat, ..resume::Options::new(endpoints) };
    let (dialed, states) = resume::dial(options).await?;
    Ok((dialed, Some(states)))
}

/// The native protocol, and what it has learned where handles can see it.
struct Observed {
    native: Native,
    facts: Arc<Facts>,
}

impl Client for Observed {
    fn command(
        &mut self,
        now: Instant,
        command: Command,
        out: &mut FrameWriter,
    ) -> Result<(), Reason> {
        self.native.command(now, command, out)
    }

    fn receive(&mut self, now: Instant, bytes: Bytes) {
        self.native.receive(now, bytes);
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Event> {
        let event = self.native.poll(now, out);
        if let Some(event) = &event {
            self.facts.pauses.observe(event);
        }
        if matches!(event, Some(Event::Welcome { .. })) {
            self.facts.learn(self.native.message_bytes_max(), self.native.home());
        }
        event
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        self.native.deadline(activity)
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        self.native.tick(now, activity, out)
    }

    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> Option<u64> {
        self.native.probe(now, out)
    }

    fn answered(&mut self) -> Option<u64> {
        let answered = self.native.answered()?;
        if let Some(round_trip) = self.native.round_trip() {
            self.facts.measured(round_trip);
        }
        Some(answered)
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        self.native.farewell(reason, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_tls_refuses_every_address_with_it() {
        let plain: Address = "tcp://h".parse().unwrap();
        let others = vec!["ws://h".parse().unwrap(), "wss://h".parse().unwrap()];
        let (alone, resume) = (Resume::default(), Resume { wanted: true, others });
        assert!(built_in(&alone, &plain, false).is_ok());
        assert!(built_in(&resume, &plain, true).is_ok());
        for (resume, address) in [(&alone, "tls://h"), (&alone, "peote+wss://h"), (&resume, "h")] {
            let refused = built_in(resume, &address.parse().unwrap(), false).unwrap_err();
            let said = refused.to_string();
            assert!(said.contains("with the feature `tls`"), "{said}");
            assert!(said.contains("tls://h:7680") || said.contains("wss://h:7680"), "{said}");
        }
    }
}
