//! What the operator of the hub should know of a session. The session itself is not told.

use super::Session;
use crate::ids::PeerId;

/// What the operator should know, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The session has banned a peer by an address that many share, so that the ban holds for the peer id alone.
    BannedById(PeerId),
    /// The session was refused with [`Reason::NotAllowed`](crate::Reason::NotAllowed).
    NotAllowed {
        /// The permission or setting that refuses it, such as `permissions.create`.
        by: &'static str,
        /// The name of the channel, room, peer or service, if it is about one.
        what: Option<Box<str>>,
    },
    /// The hello has no token, or one that is not the access token of the hub. The session ends.
    WrongToken {
        /// Whether there was a token.
        given: bool,
        /// The name that the session has claimed.
        name: Option<Box<str>>,
    },
}

impl Session {
    /// What the operator should know since this was called last: the first, if there were several.
    pub fn notice(&mut self) -> Option<Notice> {
        self.notice.take().map(|notice| *notice)
    }

    /// Keeps it until the driver asks.
    pub(super) fn notify(&mut self, notice: impl FnOnce() -> Notice) {
        self.notice.get_or_insert_with(|| Box::new(notice()));
    }

    /// The session was refused something of this name, if it has one.
    pub(super) fn not_allowed(&mut self, by: &'static str, what: Option<&[u8]>) {
        let what = what.map(|what| String::from_utf8_lossy(what).into());
        self.notify(|| Notice::NotAllowed { by, what });
    }
}
