//! A directory as several hubs share one: it answers after a random time, and in another order than it was asked.

use super::Dice;
use crosspoint_hub::directory::{Answer, Claim, ClaimId, Directory};
use crosspoint_hub::testing::LateDirectory;
use crosspoint_hub::{Hub, Reason};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

/// Names that begin with this are taken by another hub, whose peers this one does not reach.
pub(crate) const ELSEWHERE: &str = "elsewhere";

/// Names that begin with this are never decided about.
pub(crate) const NOBODY_KNOWS: &str = "nobody-knows";

#[derive(Debug)]
pub(crate) struct Late {
    book: LateDirectory,
    hub: OnceLock<Weak<Hub>>,
    dice: Mutex<Dice>,
    longest: Duration,
    this: Weak<Self>,
}

impl Late {
    /// It answers after at most so long.
    pub(crate) fn new(longest: Duration, seed: u64) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            book: LateDirectory::default(),
            hub: OnceLock::new(),
            dice: Mutex::new(Dice(seed)),
            longest,
            this: this.clone(),
        })
    }

    /// Whose sessions ask it. Before that it grants everything at once.
    pub(crate) fn serves(&self, hub: &Arc<Hub>) {
        self.hub.set(Arc::downgrade(hub)).expect("one hub");
    }

    /// The claims that wait.
    pub(crate) fn pending(&self) -> Vec<String> {
        self.book.pending().into_values().collect()
    }

    /// The claims that are granted and not released.
    pub(crate) fn held(&self) -> Vec<String> {
        self.book.held().into_values().collect()
    }
}

impl Directory for Late {
    fn claim(&self, id: ClaimId, claim: &Claim<'_>) -> Answer {
        // The program that embeds the hub comes first.
        let at_once = self.hub.get().is_none();
        self.book.says(if at_once { Answer::Granted } else { Answer::Pending });
        let answer = self.book.claim(id, claim);
        if at_once {
            return answer;
        }
        let text = self.book.pending().remove(&id).expect("it is noted");
        let words = || text.split(' ');
        if words().any(|word| word.starts_with(NOBODY_KNOWS)) {
            return answer;
        }
        let refused = match claim {
            Claim::Channel(_) | Claim::Session { .. } => Reason::NameTaken,
            Claim::Peer { .. } => Reason::NoSuchPeer,
        };
        let verdict = match words().any(|word| word.starts_with(ELSEWHERE)) {
            true => Err(refused),
            false => Ok(()),
        };
        let most = self.longest.as_millis() as usize;
        let wait = self.dice.lock().expect("nobody panics with it").below(most.max(1));
        let this = self.this.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait as u64)).await;
            let hub = this.upgrade().and_then(|this| Some((this.hub.get()?.upgrade()?, this)));
            if let Some((hub, this)) = hub {
                // Nobody may wait for it any more.
                this.book.answer(&hub, id, verdict);
            }
        });
        answer
    }

    fn release(&self, id: ClaimId) {
        self.book.release(id);
    }
}
