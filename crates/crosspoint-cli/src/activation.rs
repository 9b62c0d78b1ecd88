//! Listening sockets that systemd passes to the program: socket activation, as in sd_listen_fds(3).

use crate::settings::{ListenAddress, ListenAt};
use crosspoint_net::server::Listener;
use listenfd::ListenFd;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix;
use std::{env, io, net, process};

/// The number of the first file descriptor that is passed.
const FIRST: usize = 3;
/// More sockets than any unit has. What is above it is a mistake.
const SOCKETS_MAX: usize = 1024;
/// The name of sockets that were passed without names.
const UNNAMED: &str = "unknown";

/// Why the sockets cannot be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ActivationError {
    #[error("environment variable {name} = {value:?}: expected {expected}")]
    Variable { name: &'static str, value: String, expected: String },
    #[error(
        "environment variable LISTEN_FDS_FIRST_FD is set: systemd does not set it, and sockets begin at 3"
    )]
    First,
    #[error(
        "server.listen takes {address}, but systemd has passed no sockets{}; start the program by its \
         socket unit (docs/systemd.md)", other(*.for_process)
    )]
    Nothing { address: String, for_process: Option<u32> },
    #[error(
        "server.listen takes {address}, but systemd has passed no socket that is left for it; passed: \
         {passed}"
    )]
    Missing { address: String, passed: String },
    #[error(
        "systemd has passed the socket {name:?}, which no address of server.listen takes; add \
         systemd:{name} or systemd"
    )]
    Unused { name: String },
    #[error("the socket {name:?} that systemd has passed (file descriptor {number}) {fault}")]
    Unfit { name: String, number: usize, fault: Unfit },
}

fn other(process: Option<u32>) -> String {
    let other = |id| format!(" to it (LISTEN_PID is {id}, this process is {})", process::id());
    process.map(other).unwrap_or_default()
}

/// Why the hub cannot listen on a socket.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    #[error("is a datagram socket; use ListenStream= in its unit")]
    Datagram,
    #[error("is no TCP socket and no Unix stream socket; use ListenStream= in its unit")]
    Kind,
    #[error("does not listen; use Accept=no in its unit")]
    Silent,
}

/// A socket that systemd has passed, and whether it serves TLS alone.
#[derive(Debug)]
pub(crate) struct Passed {
    socket: Socket,
    pub(crate) tls: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(net::TcpListener),
    Unix(unix::net::UnixListener),
}

impl Passed {
    /// Makes it ready for a server. It needs the runtime.
    pub(crate) fn into_listener(self) -> io::Result<Listener> {
        Ok(match self.socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(socket)?.into()
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(socket)?.into()
            }
        })
    }
}

/// Takes the sockets that systemd has passed for these addresses. Has to be called once, and before there are
/// threads, as it changes the environment.
pub(crate) fn take<'a>(
    addresses: impl Iterator<Item = ListenAddress<'a>>,
) -> Result<Vec<Passed>, ActivationError> {
    let takers: Vec<_> =
        addresses.filter(|address| matches!(address.at, ListenAt::Systemd(_))).collect();
    let names = match Variables::read().offer(process::id())? {
        Offer::Sockets(names) => names,
        Offer::Nothing { for_process } => {
            return match takers.first() {
                Some(address) => {
                    Err(ActivationError::Nothing { address: address.to_string(), for_process })
                }
                None => Ok(Vec::new()),
            };
        }
    };
    let takers = assign(&names, &takers)?;
    let mut sockets = ListenFd::from_env();
    let passed = names.into_iter().zip(takers).enumerate();
    let passed = passed.map(|(index, (name, ListenAddress { tls, .. }))| {
        let unfit =
            |fault| ActivationError::Unfit { name: name.clone(), number: FIRST + index, fault };
        Ok(Passed { socket: listening(&mut sockets, index).map_err(unfit)?, tls })
    });
    passed.collect()
}

/// The variables that tell of the sockets.
#[derive(Default)]
struct Variables {
    process: Option<OsString>,
    count: Option<OsString>,
    names: Option<OsString>,
    first: Option<OsString>,
}

/// What systemd offers.
#[derive(Debug, PartialEq, Eq)]
enum Offer {
    /// Sockets with these names.
    Sockets(Vec<String>),
    /// Nothing to this process, but perhaps to another one.
    Nothing { for_process: Option<u32> },
}

impl Variables {
    fn read() -> Self {
        Self {
            process: env::var_os("LISTEN_PID"),
            count: env::var_os("LISTEN_FDS"),
            names: env::var_os("LISTEN_FDNAMES"),
            first: env::var_os("LISTEN_FDS_FIRST_FD"),
        }
    }

    /// What is offered to the process of this id.
    fn offer(self, own: u32) -> Result<Offer, ActivationError> {
        let (Some(process), Some(count)) = (self.process, self.count) else {
            return Ok(Offer::Nothing { for_process: None });
        };
        let wrong = |name, value: &OsString, expected| {
            let value = value.to_string_lossy().into_owned();
            ActivationError::Variable { name, value, expected }
        };
        let id = process.to_str().and_then(|id| id.parse::<u32>().ok());
        let id =
            id.ok_or_else(|| wrong("LISTEN_PID", &process, "the id of a process".to_owned()))?;
        if id != own {
            return Ok(Offer::Nothing { for_process: Some(id) });
        }
        // What takes the sockets would heed it.
        if self.first.is_some() {
            return Err(ActivationError::First);
        }
        let number = count.to_str().and_then(|count| count.parse().ok());
        let number = number.filter(|number| *number <= SOCKETS_MAX).ok_or_else(|| {
            wrong("LISTEN_FDS", &count, format!("a number from 0 to {SOCKETS_MAX}"))
        })?;
        if number == 0 {
            return Ok(Offer::Nothing { for_process: None });
        }
        let Some(names) = self.names else {
            return Ok(Offer::Sockets(vec![UNNAMED.to_owned(); number]));
        };
        let list =
            names.to_str().map(|names| names.split(':').map(str::to_owned).collect::<Vec<_>>());
        let list = list.filter(|list| list.len() == number).ok_or_else(|| {
            let expected =
                format!("{number} names, one for each socket (LISTEN_FDS), with colons between");
            wrong("LISTEN_FDNAMES", &names, expected)
        })?;
        Ok(Offer::Sockets(list))
    }
}

/// Which address takes each socket of these names.
fn assign<'a>(
    names: &[String],
    takers: &[ListenAddress<'a>],
) -> Result<Vec<ListenAddress<'a>>, ActivationError> {
    let taker = |name: &String| {
        let of = |wanted| takers.iter().position(|taker| taker.at == ListenAt::Systemd(wanted));
        of(Some(name.as_str())).or_else(|| of(None))
    };
    let assigned: Vec<_> = names.iter().map(taker).collect();
    let idle = (0..takers.len()).find(|taker| !assigned.contains(&Some(*taker)));
    if let Some(idle) = idle {
        let (address, passed) = (takers[idle].to_string(), names.join(", "));
        return Err(ActivationError::Missing { address, passed });
    }
    let taken = names.iter().zip(assigned).map(|(name, taker)| {
        let taker = taker.ok_or_else(|| ActivationError::Unused { name: name.clone() })?;
        Ok(takers[taker])
    });
    taken.collect()
}

/// Takes a socket, if it can be listened on.
fn listening(sockets: &mut ListenFd, index: usize) -> Result<Socket, Unfit> {
    let (socket, listens) = if let Ok(Some(socket)) = sockets.take_tcp_listener(index) {
        let listens = listens(&socket);
        (Socket::Tcp(socket), listens)
    } else if let Ok(Some(socket)) = sockets.take_unix_listener(index) {
        let listens = listens(&socket);
        (Socket::Unix(socket), listens)
    } else {
        let is_datagram = matches!(sockets.take_udp_socket(index), Ok(Some(_)))
            || matches!(sockets.take_unix_datagram(index), Ok(Some(_)));
        return Err(if is_datagram { Unfit::Datagram } else { Unfit::Kind });
    };
    if listens { Ok(socket) } else { Err(Unfit::Silent) }
}

/// Whether somebody listens on a socket already, where the system can tell.
#[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
fn listens(socket: &impl AsFd) -> bool {
    socket2::SockRef::from(socket).is_listener().unwrap_or(false)
}

#[cfg(not(any(target_os = "android", target_os = "freebsd", target_os = "linux")))]
fn listens(_: &impl AsFd) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(process: &str, count: &str, names: Option<&str>) -> Result<Offer, ActivationError> {
        let (process, count) = (Some(process.into()), Some(count.into()));
        Variables { process, count, names: names.map(OsString::from), first: None }.offer(7)
    }

    #[test]
    fn what_is_for_another_process_or_incomplete_is_no_offer() {
        let nothing = |for_process| Ok(Offer::Nothing { for_process });
        assert_eq!(Variables::default().offer(7), nothing(None));
        let alone = Variables { count: Some("1".into()), ..Variables::default() };
        assert_eq!(alone.offer(7), nothing(None));
        assert_eq!(offer("8", "hostile", Some("")), nothing(Some(8)));
        assert_eq!(offer("7", "0", None), nothing(None));
    }

    #[test]
    fn names_belong_to_sockets_one_by_one() {
        let sockets = |names: &[&str]| {
            Ok(Offer::Sockets(names.iter().map(|name| (*name).to_owned()).collect()))
        };
        assert_eq!(offer("7", "2", Some("web:api")), sockets(&["web", "api"]));
        assert_eq!(offer("7", "3", Some("web::api")), sockets(&["web", "", "api"]));
        assert_eq!(offer("7", "2", None), sockets(&["unknown", "unknown"]));
        let most = SOCKETS_MAX.to_string();
        assert!(offer("7", &most, None).is_ok());
        for (process, count, names, culprit) in [
            ("", "1", None, "LISTEN_PID"),
            ("-7", "1", None, "LISTEN_PID"),
            ("99999999999", "1", None, "LISTEN_PID"),
            ("7", "", None, "LISTEN_FDS"),
            ("7", "-1", None, "LISTEN_FDS"),
            ("7", "1025", None, "LISTEN_FDS"),
            ("7", "99999999999999999999", None, "LISTEN_FDS"),
            ("7", "2", Some("web"), "LISTEN_FDNAMES"),
            ("7", "1", Some("web:api"), "LISTEN_FDNAMES"),
        ] {
            let Err(ActivationError::Variable { name, value, .. }) = offer(process, count, names)
            else {
                panic!("{process:?} {count:?} {names:?}")
            };
            assert_eq!(name, culprit);
            assert_eq!(
                value,
                [process, count, names.unwrap_or_default()][match name {
                    "LISTEN_PID" => 0,
                    "LISTEN_FDS" => 1,
                    _ => 2,
                }]
            );
        }
        let first = Variables {
            process: Some("7".into()),
            count: Some("1".into()),
            names: None,
            first: Some("0".into()),
        };
        assert_eq!(first.offer(7), Err(ActivationError::First));
    }

    #[test]
    fn each_socket_goes_to_the_address_of_its_name_or_else_to_the_one_for_all() {
        let assigned = |names: &[&str], takers: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let takers: Vec<_> =
                takers.iter().filter_map(|text| ListenAddress::parse(text)).collect();
            let assigned = assign(&names, &takers)?;
            Ok(assigned.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let right = |text: &str| Ok(text.to_owned());
        assert_eq!(assigned(&["a", "b", "a"], &["systemd"]), right("systemd systemd systemd"));
        let takers = ["systemd", "tls://systemd:b"];
        assert_eq!(
            assigned(&["a", "b", "b"], &takers),
            right("systemd tls://systemd:b tls://systemd:b")
        );
        let unused = ActivationError::Unused { name: "b".to_owned() };
        assert_eq!(assigned(&["a", "b"], &["systemd:a"]), Err(unused));
        let missing = |address: &str| ActivationError::Missing {
            address: address.to_owned(),
            passed: "a".to_owned(),
        };
        assert_eq!(assigned(&["a"], &["systemd", "systemd:a"]), Err(missing("systemd")));
        assert_eq!(
            assigned(&["a"], &["systemd:a", "tls://systemd:a"]),
            Err(missing("tls://systemd:a"))
        );
    }
}
