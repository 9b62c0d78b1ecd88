//! Sessions of Socket.IO that survive their connections (connection state recovery).
//!
//! Such a session is an ordinary one at the near end of a way in memory, as one that comes by requests. A `Keeper` carries
//! its messages over one connection after the other (`Line`), which may itself be the way to requests. What it has to
//! know of the messages is the pure [`Recovery`](crosspoint_gateways::socketio::Recovery).
//!
//! Each connection begins with a session and a keeper of its own. If its client then asks for the session that it had,
//! the keeper gives the connection to the keeper of that (`Arrival`), and its own session ends before it has begun.

mod keeper;
mod line;

pub(super) use keeper::{Begun, begin};
pub(super) use line::Line;

use crate::absences::{self, Absences};
use crate::remote::Remote;
use crosspoint_gateways::engineio::Sid;
use crosspoint_hub::{Hub, Limits};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How sessions survive their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How long a session waits for its client. Then it ends with
    /// [`ConnectionLost`](crosspoint_hub::Reason::ConnectionLost).
    pub window: Duration,
    /// Sessions that wait at a time. Above, a session whose connection is lost ends at once. Of one address as many may
    /// wait as it may have connections.
    pub away_max: usize,
    /// Bytes of what a client may have missed. Above, the oldest is forgotten, and a session ends whose client is away
    /// and would miss it.
    pub bytes_max: usize,
}

/// The sessions of a server that survive their connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Recoveries {
    config: Config,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug)]
struct Table {
    keepers: HashMap<Sid, mpsc::Sender<Box<Arrival>>>,
    absences: Absences,
}

/// A connection whose client asks for a session that it had.
#[derive(Debug)]
struct Arrival {
    line: Line,
    /// The offset of the last event that the client has got, as it says.
    offset: Option<String>,
    /// Where the connection is given back if the session does not go on. It has ended then.
    back: oneshot::Sender<Line>,
}

impl Recoveries {
    pub(super) fn new(config: Config, limits: &Limits) -> Self {
        let absences = Absences::new(config.away_max, limits);
        let table = Table { keepers: HashMap::new(), absences };
        Self { config, table: Arc::new(Mutex::new(table)) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // What it guards is consistent between any two statements that could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session with this secret, for as long as what is given lives.
    fn add(&self, hub: &Arc<Hub>, remote: Remote, pid: Sid) -> (Place, Arrivals) {
        let (keeper, arrivals) = mpsc::channel(1);
        // Chance gives no secret twice.
        self.lock().keepers.insert(pid, keeper);
        let address = absences::known_by(&hub.limits, remote.ip());
        let place = Place { recoveries: self.clone(), hub: hub.clone(), pid, address };
        (place, arrivals)
    }

    /// The keeper of the session with this secret.
    fn find(&self, pid: &Sid) -> Option<mpsc::Sender<Box<Arrival>>> {
        self.lock().keepers.get(pid).cloned()
    }
}

/// Connections for one session.
type Arrivals = mpsc::Receiver<Box<Arrival>>;

/// The place of a session among the others.
#[derive(Debug)]
struct Place {
    recoveries: Recoveries,
    hub: Arc<Hub>,
    pid: Sid,
    /// Where its first connection came from, if limits per address hold there.
    address: Option<IpAddr>,
}

impl Place {
    /// The connection is away, for as long as what is given lives. `None`: that may not be.
    fn leave(&self) -> Option<Absence> {
        let Self { recoveries, hub, address, .. } = self;
        recoveries.lock().absences.away(*address).then_some(())?;
        hub.metrics.sessions_away.inc();
        Some(Absence { recoveries: recoveries.clone(), hub: hub.clone(), address: *address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.recoveries.lock().keepers.remove(&self.pid);
    }
}

/// A session is away.
#[derive(Debug)]
struct Absence {
    recoveries: Recoveries,
    hub: Arc<Hub>,
    address: Option<IpAddr>,
}

impl Drop for Absence {
    fn drop(&mut self) {
        self.recoveries.lock().absences.back(self.address);
        self.hub.metrics.sessions_away.dec();
    }
}
