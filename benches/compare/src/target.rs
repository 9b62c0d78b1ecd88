//! What can be compared, and how it is reached.

use std::net::{SocketAddr, TcpListener};

use clap::ValueEnum;
use crosspoint_bench::{
    AnySocket, Bare, Dialect, Encrypted, Joint, Native, Nats, Proxied, Redis, SocketIo, Transport,
};
use crosspoint_net::tls::Fingerprint;
use crosspoint_net::tls::client::{ClientTls, Trust};

use crate::server::{Server, loopback};
use crate::work::Work;
use crate::{Arguments, CompareError};

/// Something to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    /// The hub, spoken to over the joint protocol.
    Joint,
    /// The hub, spoken to over its native protocol.
    Native,
    /// The same inside TLS, which the load generator decrypts.
    Tls,
    /// The hub, spoken to over its native protocol with links encrypted from end to end.
    Encrypted,
    /// A hub with a handler in Rust, spoken to over AnySocket.
    Anysocket,
    /// The hub's own rooms, spoken to over AnySocket.
    Rooms,
    /// NATS server.
    Nats,
    /// Redis server.
    Redis,
    /// HAProxy, handing TCP connections on.
    Haproxy,
    /// AnySocket's own server, from npm; needs node and the packages in `interop/`.
    Npm,
    /// The hub, spoken to over Socket.IO as clients with the plugin do.
    Socketio,
    /// The server of Socket.IO with the plugin `socket.io-p2p-plugin`, from npm; needs node and the packages in
    /// `interop/`.
    Plugin,
    /// Sockets without a server.
    Bare,
    /// Peote server in Perl, given by `--perl`.
    Perl,
}

/// What the AnySocket server of `interop/` wants to see, as JSON.
const AUTH: &str = "\"open sesame\"";

impl Target {
    /// Those that take part if nobody says which. The others need more than what can be installed
    /// with the system's packages, or compare only with each other.
    pub(crate) fn usual(self, perl: bool) -> bool {
        match self {
            Target::Tls
            | Target::Anysocket
            | Target::Rooms
            | Target::Npm
            | Target::Socketio
            | Target::Plugin => false,
            Target::Perl => perl,
            _ => true,
        }
    }

    /// Whether it can do this work. Bare sockets have nobody who could hold memory or who could be
    /// kept waiting.
    pub(crate) fn can(self, work: Work) -> bool {
        match work {
            Work::Fanout { .. } => !matches!(self, Target::Encrypted | Target::Haproxy),
            Work::Relay { .. } => !matches!(
                self,
                Target::Encrypted
                    | Target::Haproxy
                    | Target::Anysocket
                    | Target::Rooms
                    | Target::Npm
                    | Target::Socketio
                    | Target::Plugin
            ),
            Work::Stall { .. } => {
                use Target::{Joint, Native, Nats, Perl, Redis, Tls};
                matches!(self, Joint | Native | Tls | Nats | Redis | Perl)
            }
            Work::Idle { .. } => {
                !matches!(self, Target::Encrypted | Target::Haproxy | Target::Bare)
            }
            Work::Requests { .. } | Work::Pairs { .. } => {
                use Target::{
                    Anysocket, Encrypted, Native, Nats, Npm, Plugin, Rooms, Socketio, Tls,
                };
                matches!(
                    self,
                    Native | Tls | Encrypted | Nats | Anysocket | Rooms | Npm | Socketio | Plugin
                )
            }
            Work::Stream { .. } | Work::Streams { .. } => {
                use Target::{Bare, Haproxy, Native, Plugin, Socketio, Tls};
                matches!(self, Native | Tls | Haproxy | Bare | Socketio | Plugin)
            }
            Work::Stalled { .. } => {
                use Target::{Native, Plugin, Socketio, Tls};
                matches!(self, Native | Tls | Socketio | Plugin)
            }
        }
    }

    /// Whether others are measured by it. Native is what encryption and TLS are measured by.
    pub(crate) fn is_yardstick(self, present: impl Fn(Target) -> bool) -> bool {
        match self {
            Target::Native => present(Target::Encrypted) || present(Target::Tls),
            Target::Nats | Target::Bare | Target::Haproxy | Target::Npm | Target::Plugin => {
                present(self)
            }
            _ => false,
        }
    }
}

/// Where a target is reached.
pub(crate) enum Place {
    /// A server started for this comparison.
    Ours(Server),
    /// A server with TLS started for this comparison, and by what its certificate is known.
    Pinned(Server, Fingerprint),
    /// A proxy started for this comparison, and what it connects to.
    Proxy(Server, TcpListener),
    /// A server that was running before.
    Running(SocketAddr, Option<u32>),
    /// No server at all.
    Nowhere,
}

impl Place {
    pub(crate) fn open(target: Target, arguments: &Arguments) -> Result<Place, CompareError> {
        Ok(match target {
            Target::Joint
            | Target::Native
            | Target::Encrypted
            | Target::Rooms
            | Target::Socketio => Place::Ours(Server::hub(&arguments.hub)?),
            Target::Tls => {
                let (server, pin) = Server::hub_with_tls(&arguments.hub)?;
                Place::Pinned(server, pin)
            }
            Target::Anysocket => Place::Ours(Server::own_hub()?),
            Target::Npm => Place::Ours(Server::npm(&arguments.interop)?),
            Target::Plugin => Place::Ours(Server::plugin(&arguments.interop)?),
            Target::Nats => Place::Ours(Server::nats()?),
            Target::Redis => Place::Ours(Server::redis()?),
            Target::Haproxy => {
                let (behind, address) = loopback()?;
                Place::Proxy(Server::haproxy(address)?, behind)
            }
            Target::Bare => Place::Nowhere,
            Target::Perl => {
                let address = arguments.perl.ok_or(CompareError::NoPerl)?;
                Place::Running(address, arguments.perl_pid)
            }
        })
    }

    /// Whether a fresh one can be started.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Place::Ours(_) | Place::Pinned(..) | Place::Proxy(..))
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Place::Ours(server) | Place::Pinned(server, _) | Place::Proxy(server, _) => {
                Some(server.address())
            }
            Place::Running(address, _) => Some(*address),
            Place::Nowhere => None,
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Place::Ours(server) | Place::Pinned(server, _) | Place::Proxy(server, _) => {
                Some(server.pid())
            }
            Place::Running(_, pid) => *pid,
            Place::Nowhere => None,
        }
    }

    pub(crate) fn dialect(&self, target: Target) -> Result<Box<dyn Dialect>, CompareError> {
        if let Place::Proxy(server, behind) = self {
            let behind = behind.try_clone().map_err(CompareError::Listener)?;
            return Ok(Box::new(Proxied::new(server.address(), behind)));
        }
        if let Place::Pinned(server, pin) = self {
            let (address, how) = (server.address(), ClientTls::from(Trust::Pinned(*pin)));
            let transport = Transport::with_tls(address, &address.ip().to_string(), &how)?;
            return Ok(Box::new(Native::new(transport)));
        }
        let Some(address) = self.address() else {
            return Ok(Box::new(Bare));
        };
        Ok(match target {
            Target::Bare | Target::Haproxy => Box::new(Bare),
            Target::Joint | Target::Perl => Box::new(Joint::new(address)),
            Target::Native | Target::Tls => Box::new(Native::new(address)),
            Target::Encrypted => Box::new(Encrypted::new(address)),
            Target::Anysocket | Target::Npm => Box::new(AnySocket::new(address, Some(AUTH.into()))),
            Target::Rooms => Box::new(AnySocket::detect(address, None)?),
            Target::Socketio => Box::new(SocketIo::new(address)),
            Target::Plugin => Box::new(SocketIo::older(address)),
            Target::Nats => Box::new(Nats::new(address)),
            Target::Redis => Box::new(Redis::new(address)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_measured_by_what_is_not_encrypted_and_only_then() {
        let of = |present: &[Target]| {
            let all = Target::value_variants().iter().copied();
            all.filter(|target| target.is_yardstick(|one| present.contains(&one)))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[Target::Native, Target::Nats]), [Target::Nats]);
        assert_eq!(of(&[Target::Native, Target::Encrypted]), [Target::Native]);
        assert_eq!(of(&[Target::Native, Target::Tls]), [Target::Native]);
        assert_eq!(of(&[Target::Socketio, Target::Plugin]), [Target::Plugin]);
    }
}
