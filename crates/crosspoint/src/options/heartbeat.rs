//! How a node and its hub watch each other, and the lag between them.

use crosspoint_hub::Pace;
use crosspoint_proto::heartbeat::Config;
use std::time::Duration;

/// How a node and its hub find out whether the other still lives, for one connection.
///
/// Each side sends the other a probe after an interval of silence, and gives it up when its
/// probes stay unanswered ([`Reason::HeartbeatLost`](crate::Reason::HeartbeatLost)). Anything that arrives answers a probe: no probes
/// are sent on a connection that is in use, and the probe of one side delays that of the other.
///
/// ```
/// use crosspoint::{Heartbeat, Node};
/// use std::time::Duration;
///
/// // A game wants to know soon, and at what lag it plays.
/// let second = Duration::from_secs(1);
/// let game = Node::builder().heartbeat(Heartbeat::new().interval(second).hub_interval(second));
/// // A phone wants to sleep.
/// let phone = Node::builder().heartbeat(Heartbeat::every(Duration::from_secs(300)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    own: Pace,
    missed_max: u32,
    hub: Pace,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

impl Heartbeat {
    /// The shortest and the longest interval of a node: 10 ms and a day. Others are taken as the nearer of
    /// the two.
    pub const INTERVALS: (Duration, Duration) =
        (Duration::from_millis(10), Duration::from_secs(24 * 60 * 60));

    /// As the hub likes, which is 15 s unless it is set otherwise, and 2 questions that may stay unanswered.
    pub fn new() -> Self {
        Self { own: Pace::Usual, missed_max: 2, hub: Pace::Usual }
    }

    /// The same interval for both sides: [`interval`](Self::interval) and
    /// [`hub_interval`](Self::hub_interval).
    pub fn every(interval: Duration) -> Self {
        Self::new().interval(interval).hub_interval(interval)
    }

    /// No questions from either side: [`off`](Self::off) and [`hub_off`](Self::hub_off). A connection that
    /// is lost without a word is noticed when something is sent, or never.
    pub fn none() -> Self {
        Self::new().off().hub_off()
    }

    /// After how much silence the node asks, 10 ms to a day; as often as the hub unless set, and each 15 s
    /// if the hub never asks.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.own = Pace::Every(within(interval));
        self
    }

    /// The node never asks by itself, and never gives the hub up for its silence. [`Node::ping`](crate::Node::ping) still asks.
    #[must_use]
    pub fn off(mut self) -> Self {
        self.own = Pace::Never;
        self
    }

    /// How many questions of the node in a row may stay unanswered, 1 to 100; 2 unless set. An interval
    /// after the last the hub is given up.
    #[must_use]
    pub fn missed_max(mut self, questions: u32) -> Self {
        self.missed_max = questions.clamp(1, 100);
        self
    }

    /// After how much silence the hub is to ask; as it likes unless set. It keeps to its operator's bounds
    /// (`limits.heartbeat_ms_min` and `limits.heartbeat_ms_max`, 1 s to 5 min by default), and decides by
    /// itself after how many questions it gives the node up. A node that [comes
    /// back](crate::NodeBuilder::resume) by itself notices within three times this that its connection is lost.
    #[must_use]
    pub fn hub_interval(mut self, interval: Duration) -> Self {
        self.hub = Pace::Every(within(interval));
        self
    }

    /// The hub is not to ask. One whose operator wants to notice who is gone (`limits.heartbeat_off`, which
    /// is the default) asks all the same, as seldom as it may.
    #[must_use]
    pub fn hub_off(mut self) -> Self {
        self.hub = Pace::Never;
        self
    }

    /// For a connection that may be silent for so long because it is away.
    pub(crate) fn config(&self, away_max: Duration) -> Config {
        let Self { own, missed_max, hub } = *self;
        Config { own, missed_max, hub, patience: away_max }
    }

    /// For the connections under one that comes back. They are not without probes, or nobody would
    /// notice that they are lost.
    pub(crate) fn of_connections(&self) -> Option<Duration> {
        match self.hub {
            Pace::Usual => None,
            Pace::Every(interval) => Some(interval),
            Pace::Never => Some(Self::INTERVALS.1),
        }
    }
}

fn within(interval: Duration) -> Duration {
    let (least, most) = Heartbeat::INTERVALS;
    interval.clamp(least, most)
}
