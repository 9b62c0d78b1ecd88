//! Messages for clients that may be absent.
//!
//! * `letter`: a message as it is written down; `keeper`: the thread that waits for the store
//! * `courier`: a task for each client that is there and has not acknowledged all; `acks`: what is called then
//! * here: who is told to deliver when somebody comes

mod acks;
mod courier;
mod keeper;
mod letter;

pub use acks::{AckFunction, Acknowledged};
pub use letter::Letter;

pub(super) use acks::Acks;

use super::error::{EmitError, check_event};
use super::ways::Ways;
use crate::PeerInfo;
use crate::connection::PresenceEvent;
use crate::lock::lock;
use crate::node::Node;
use crate::peer::PeerError;
use courier::Courier;
use crosspoint_hub::PeerName;
use crosspoint_store::{Bounds, KeepError, Mailboxes, Memory, MessageStore, StoreError};
use keeper::{Keeper, Open};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often it is looked for messages whose time is over, while nothing else is written down.
const EXPIRY: Duration = Duration::from_secs(60);

/// Where messages for absent clients are kept.
pub struct Mailbox {
    open: Open,
}

impl Mailbox {
    /// In memory: they are lost when the program ends.
    pub fn memory(bounds: Bounds) -> Self {
        Self::in_store(Memory::default(), bounds)
    }

    /// In this file, which is made if it is not there. What was confirmed outlives the end of the program, however it
    /// ends. One program has the file open at a time.
    #[cfg(feature = "disk")]
    pub fn file(path: impl Into<std::path::PathBuf>, bounds: Bounds) -> Self {
        let path = path.into();
        let open = move || {
            let disk = crosspoint_store::Disk::open(path)?;
            Mailboxes::open(Box::new(disk) as Box<dyn MessageStore>, bounds)
        };
        Self { open: Box::new(open) }
    }

    /// In a store of the program's own. It is called in a thread of its own and may take its time.
    pub fn in_store(store: impl MessageStore, bounds: Bounds) -> Self {
        let store: Box<dyn MessageStore> = Box::new(store);
        Self { open: Box::new(move || Mailboxes::open(store, bounds)) }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// Why messages cannot be kept.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// The program has no [`Mailbox`].
    #[error("the program keeps no messages; set ApplicationBuilder::mailbox")]
    NoMailbox,
    /// The event or its arguments are not for clients.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// Nobody can have this name.
    #[error("nobody can be called {0:?}")]
    Name(String),
    /// A bound is reached, or it was not written down for certain. Then it may be kept, and delivered, all the same.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hub does not tell who comes.
    #[error("the hub does not tell who comes: {0}")]
    Presence(PeerError),
}

/// What an operator may want to know, see [`ApplicationBuilder::on_notice`](super::ApplicationBuilder::on_notice).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// A message for a client could not be delivered. It is kept, and tried again when the client comes the next time.
    #[error("message {number} for {to} is not delivered: {why}")]
    Undeliverable {
        /// Whom it is for.
        to: String,
        /// Its number.
        number: u64,
        /// What the client, or the hub, says.
        why: String,
    },
    /// A client that has messages cannot be reached. It is tried again.
    #[error("messages for {to} wait: {error}")]
    Unreachable {
        /// Whom they are for.
        to: String,
        /// What has happened.
        error: EmitError,
    },
    /// The store has failed. What was not written down for certain is refused or sent again.
    #[error("messages for absent clients: {error}")]
    Store {
        /// What has happened.
        error: StoreError,
    },
    /// So many messages were forgotten because their time was over.
    #[error("the time of {0} messages for absent clients is over")]
    Expired(usize),
    /// The hub tells no longer who comes.
    #[error("the hub tells no longer who comes: {0}")]
    Presence(PeerError),
}

/// Who gets notices.
pub(super) type OnNotice = Arc<dyn Fn(&Notice) + Send + Sync>;

/// What keeps and delivers messages.
pub(super) struct Mail {
    keeper: Keeper,
    ways: Ways,
    acks: Arc<Acks>,
    couriers: Mutex<HashMap<Arc<str>, Courier>>,
    closing: CancellationToken,
    on_notice: OnNotice,
}

/// A message that is kept. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Receipt {
    mail: Arc<Mail>,
    to: Arc<str>,
    number: u64,
}

impl Receipt {
    /// The number of the message. It is above those of all that were kept before.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Forgets the message. Gives whether it was still kept. It may have been sent already.
    ///
    /// # Errors
    /// [`MailError::Store`]
    pub async fn cancel(&self) -> Result<bool, MailError> {
        Ok(self.mail.keeper.forget(&self.to, self.number).await?)
    }
}

impl Mail {
    /// Opens a mailbox, and delivers from now on. It does so until the guard is dropped.
    pub(super) async fn open(
        node: &Node,
        mailbox: Mailbox,
        acks: Arc<Acks>,
        on_notice: OnNotice,
    ) -> Result<(Arc<Self>, DropGuard), MailError> {
        let keeper = Keeper::open(mailbox.open).await?;
        let closing = CancellationToken::new();
        let guard = closing.clone().drop_guard();
        let (ways, couriers) = (Ways::new(node), Mutex::default());
        let mail = Arc::new(Self { keeper, ways, acks, couriers, closing, on_notice });
        let mut presence = node.watch().await.map_err(MailError::Presence)?;
        let (master, node) = (mail.clone(), node.clone());
        tokio::spawn(async move {
            let closing = master.closing.clone();
            let attending = async {
                master.look_around(&node).await;
                let mut expiry = tokio::time::interval(EXPIRY);
                loop {
                    tokio::select! {
                        news = presence.next() => match news {
                            Some(PresenceEvent::Came(peer)) => master.arrived(&peer),
                            Some(PresenceEvent::Went(_)) => {}
                            Some(PresenceEvent::Missed(_)) => master.look_around(&node).await,
                            None => return,
                        },
                        _ = expiry.tick() => master.expire().await,
                    }
                }
            };
            tokio::select! {
                () = attending => {}
                () = closing.cancelled() => {}
            }
        });
        Ok((mail, guard))
    }

    /// Keeps a message, and sends it as soon as the client is there.
    pub(super) async fn keep(
        self: &Arc<Self>,
        to: &str,
        letter: &Letter,
    ) -> Result<Receipt, MailError> {
        check_event(&letter.event)?;
        PeerName::new(to).map_err(|_| MailError::Name(to.to_owned()))?;
        let to: Arc<str> = to.into();
        let number = self.keeper.keep(&to, letter.write()?).await?;
        self.wake(&to, None);
        Ok(Receipt { mail: self.clone(), to, number })
    }

    /// Delivers nothing any more, and closes the store.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.keeper.stop().await;
    }

    fn notice(&self, notice: Notice) {
        (self.on_notice)(&notice);
    }

    fn arrived(self: &Arc<Self>, peer: &PeerInfo) {
        if let Some(name) = peer.name.as_deref().filter(|name| self.keeper.has(name)) {
            self.wake(&name.into(), Some(peer.id));
        }
    }

    /// Delivers to all who are there.
    async fn look_around(self: &Arc<Self>, node: &Node) {
        match node.peers("").await {
            Ok(peers) => peers.iter().for_each(|peer| self.arrived(peer)),
            Err(error) => self.notice(Notice::Presence(error)),
        }
    }

    async fn expire(&self) {
        match self.keeper.expire().await {
            Ok(0) => {}
            Ok(count) => self.notice(Notice::Expired(count)),
            Err(error) => self.notice(Notice::Store { error }),
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let couriers = lock(&self.couriers).len();
        f.debug_struct("Mail").field("couriers", &couriers).finish_non_exhaustive()
    }
}
