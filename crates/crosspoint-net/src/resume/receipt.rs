//! What was lost, and why: the receipt of a session that could not go on.

use crosspoint_hub::{Limit, Reason};
use std::fmt;
use std::time::Instant;

/// How much went in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of the session since its beginning.
    pub bytes: u64,
    /// Frames of the native protocol: those begun at the side that sends, those whole at the side
    /// that receives. `None` if the bytes are no such frames.
    pub frames: Option<u64>,
}

impl Default for Totals {
    fn default() -> Self {
        Self { bytes: 0, frames: Some(0) }
    }
}

/// Why a session could not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The client was away for longer than the hub waits.
    #[error("the connection was away for longer than the hub waits (resume.window_ms)")]
    Expired,
    /// The session itself has ended.
    #[error("the session has ended: {0}")]
    Ended(Reason),
    /// The hub knows no such session: it was started anew, or it has forgotten.
    #[error("the hub knows no such session; it was restarted, or it is too long ago")]
    Unknown,
    /// The hub keeps no more sessions whose connections are away, in all or for this address.
    #[error(
        "too many sessions were away ({}, {})",
        Limit::ResumeDetached,
        Limit::ConnectionsPerAddress
    )]
    TooManyAway,
    /// No hub has answered in time.
    #[error("no hub answered in time; see that one can be reached, and connect anew")]
    NoAnswer,
    /// The hub has refused to go on.
    #[error("the hub refused to go on: {0}")]
    Refused(Reason),
    /// The hub has broken the protocol.
    #[error("the hub sent what makes no sense here; is it the same program in the same version?")]
    Broken,
}

impl Why {
    /// The numbers on the wire. What only the client finds out has none of its own.
    pub(crate) fn numbers(self) -> (u8, u16) {
        match self {
            Self::Expired => (1, 0),
            Self::Ended(reason) => (2, reason.number()),
            Self::TooManyAway => (4, 0),
            Self::Unknown | Self::NoAnswer | Self::Refused(_) | Self::Broken => (3, 0),
        }
    }

    pub(crate) fn from_numbers(number: u8, reason: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Expired,
            2 => Self::Ended(Reason::from_number(reason).unwrap_or(Reason::Internal)),
            3 => Self::Unknown,
            4 => Self::TooManyAway,
            _ => return None,
        })
    }
}

/// What was lost in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Frames that did not arrive whole, if they could be counted.
    pub frames: Option<u64>,
    /// Bytes that did not arrive.
    pub bytes: u64,
}

impl Lost {
    pub(crate) fn between(sent: Totals, received: Totals) -> Self {
        let frames =
            sent.frames.zip(received.frames).map(|(sent, received)| sent.saturating_sub(received));
        Self { frames, bytes: sent.bytes.saturating_sub(received.bytes) }
    }

    /// Whether everything arrived.
    pub fn is_nothing(self) -> bool {
        self.bytes == 0
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: u64| if count == 1 { "" } else { "s" };
        match self.frames {
            Some(frames) => write!(f, "{frames} frame{} ({} bytes)", many(frames), self.bytes),
            None => write!(f, "{} bytes", self.bytes),
        }
    }
}

/// What came of a session that could not go on. The numbers are facts of both sides, not guesses;
/// what is not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Why it could not go on.
    pub why: Why,
    /// What this side has sent.
    pub we_sent: Totals,
    /// What this side has received.
    pub we_received: Totals,
    /// Bytes that this side knows to have arrived, whatever else is known.
    pub acknowledged: u64,
    /// What the other side has received.
    pub they_received: Option<Totals>,
    /// What the other side has sent.
    pub they_sent: Option<Totals>,
    /// Whether the other side had still more to send, which it had not counted yet: the receiver
    /// was too slow for too long.
    pub more: bool,
}

impl Receipt {
    /// What this side sent and the other side never got.
    pub fn lost_out(&self) -> Option<Lost> {
        self.they_received.map(|received| Lost::between(self.we_sent, received))
    }

    /// What the other side sent and this side never got. If [`Receipt::more`], at least that.
    pub fn lost_in(&self) -> Option<Lost> {
        self.they_sent.map(|sent| Lost::between(sent, self.we_received))
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; ", self.why)?;
        match self.lost_out() {
            Some(lost) => write!(f, "{lost} that were sent from here did not arrive, ")?,
            None => {
                let unknown = self.we_sent.bytes.saturating_sub(self.acknowledged);
                write!(
                    f,
                    "of {unknown} bytes sent from here it is not known whether they arrived, "
                )?;
            }
        }
        match self.lost_in() {
            Some(lost) if self.more => write!(f, "at least {lost} sent to here were lost"),
            Some(lost) => write!(f, "{lost} sent to here were lost"),
            None => f.write_str("what was sent to here meanwhile is not known"),
        }
    }
}

/// How a client's session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// There is a connection.
    Connected,
    /// The connection was lost, and is sought again. Nothing is lost so far.
    Away {
        /// Since when.
        since: Instant,
        /// How often a hub was called since then.
        attempts: u32,
    },
    /// The session has ended in order, and everything has arrived.
    Ended,
    /// The session could not go on.
    Gone {
        /// What was lost.
        receipt: Receipt,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(bytes: u64, frames: u64) -> Totals {
        Totals { bytes, frames: Some(frames) }
    }

    #[test]
    fn a_receipt_says_what_is_known_and_what_is_not() {
        let mut receipt = Receipt {
            why: Why::Expired,
            we_sent: totals(1000, 10),
            we_received: totals(500, 5),
            acknowledged: 300,
            they_received: Some(totals(588, 7)),
            they_sent: Some(totals(599, 6)),
            more: false,
        };
        assert_eq!(
            receipt.to_string(),
            "the connection was away for longer than the hub waits (resume.window_ms); 3 frames (412 \
             bytes) that were sent from here did not arrive, 1 frame (99 bytes) sent to here were lost"
        );
        receipt.more = true;
        assert!(
            receipt.to_string().ends_with("at least 1 frame (99 bytes) sent to here were lost")
        );
        (receipt.why, receipt.they_received, receipt.they_sent) = (Why::NoAnswer, None, None);
        assert!(receipt.to_string().contains("of 700 bytes sent from here it is not known"));
    }
}
