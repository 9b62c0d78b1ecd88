//! The plan of workloads that keep a number of requests under way.

use std::time::Duration;

use crate::BenchError;

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Requests under way at any time.
    pub in_flight: usize,
    /// Data bytes of a request and of its answer.
    pub payload: usize,
    /// Time before measuring begins.
    pub warm_up: Duration,
    /// Time measured.
    pub duration: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            in_flight: 64,
            payload: 64,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(3),
        }
    }
}

/// All requests together fit into the socket buffers of one leg, so that two ends that write before
/// they read can never wait for each other.
const UNDER_WAY: usize = 128 << 10;

impl Plan {
    /// # Errors
    ///
    /// [`BenchError::Plan`] if there is nothing to do.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.in_flight == 0 || self.payload == 0 {
            return Err(BenchError::Plan("in_flight and payload must be at least 1".into()));
        }
        Ok(())
    }

    /// Whether messages of so many bytes may be under way.
    ///
    /// # Errors
    ///
    /// [`BenchError::Plan`] if not.
    pub(crate) fn check_fit(&self, longest: usize) -> Result<(), BenchError> {
        if longest.saturating_mul(self.in_flight) <= UNDER_WAY {
            return Ok(());
        }
        Err(BenchError::Plan(format!(
            "{} messages of {longest} bytes are under way at once, more than {UNDER_WAY} bytes in \
             all; choose a smaller payload or fewer in flight",
            self.in_flight
        )))
    }
}
