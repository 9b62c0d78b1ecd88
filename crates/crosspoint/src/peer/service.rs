//! Services: methods that any of several peers provide.

use super::Peer;
use super::error::{PeerError, RequestError};
use super::link::{Question, now};
use super::opener::Opener;
use crate::Reason;
use crate::lock::lock;
use crosspoint_hub::command::{Addressee, LinkOptions};
use crosspoint_hub::payload::Payload;
use crosspoint_hub::{PeerId, PeerName};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as Turn;

/// How long it is taken for granted that there are no further providers.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The most providers that are used at a time: as many as the hub can leave out when it is asked
/// for another.
const PROVIDERS_MAX: usize = LinkOptions::EXCEPT_MAX;

/// Several peers that provide the same, see [`Node::service`](crate::Node::service). Clones share
/// the links to them.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

/// Whether a provider is one to ask.
type Policy = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

struct Inner {
    opener: Opener,
    name: PeerName,
    policy: Policy,
    providers: Mutex<Providers>,
    /// The calls that look for providers.
    looking: Turn<()>,
}

#[derive(Default)]
struct Providers {
    known: Vec<Arc<Provider>>,
    /// When the hub knew no further ones.
    complete: Option<Instant>,
}

/// A peer that provides the service.
struct Provider {
    peer: Peer,
    pending: AtomicUsize,
}

/// A request that a provider has to answer.
struct Pending(Arc<Provider>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Providers {
    /// Forgets those that have gone.
    fn tidy(&mut self) {
        let before = self.known.len();
        self.known.retain(|provider| provider.peer.is_open());
        if self.known.len() < before {
            // Another may have taken its place.
            self.complete = None;
        }
    }

    fn forget(&mut self, gone: &Arc<Provider>) {
        self.known.retain(|known| !Arc::ptr_eq(known, gone));
        self.complete = None;
    }

    fn is_complete(&self) -> bool {
        self.known.len() >= PROVIDERS_MAX
            || self.complete.is_some_and(|since| now().duration_since(since) < LOOK_AGAIN)
    }

    /// The one with the fewest requests, and one more for it.
    fn pick(&mut self) -> Option<Pending> {
        let pending = |provider: &&Arc<Provider>| provider.pending.load(Ordering::Relaxed);
        let provider = self.known.iter().min_by_key(pending)?.clone();
        provider.pending.fetch_add(1, Ordering::Relaxed);
        Some(Pending(provider))
    }
}

impl Service {
    pub(crate) fn new(opener: Opener, name: PeerName) -> Self {
        Self::with(opener, name, Arc::new(|_: &Peer| true))
    }

    fn with(opener: Opener, name: PeerName, policy: Policy) -> Self {
        let (providers, looking) = (Mutex::default(), Turn::new(()));
        Self { inner: Arc::new(Inner { opener, name, policy, providers, looking }) }
    }

    /// The same service of those providers alone that the policy admits, over links of its own. The
    /// policy sees each provider before anything is sent to it, and has to answer at once. By
    /// [`Peer::id`] it knows whose key is at the other end, if encryption is
    /// [required](crate::NodeBuilder::require_encryption); otherwise that is the word of the hub.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use crosspoint::RequestError;
    ///
    /// let (_hub, ann, bob) = crosspoint::testing::two_nodes().await;
    /// ann.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    /// ann.provide("sums").await?;
    /// let (sums, trusted) = (bob.service("sums")?, ann.peer_id());
    /// let anns = sums.admit_if(move |provider| provider.id() == trusted);
    /// assert_eq!(anns.call::<i32>("add", &(20, 22)).await?, 42);
    /// let nobodys = sums.admit_if(|_| false);
    /// let refused = nobodys.call::<i32>("add", &(20, 22)).await;
    /// assert_eq!(refused, Err(RequestError::NoProvider));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn admit_if(&self, policy: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        let Inner { opener, name, .. } = &*self.inner;
        Self::with(opener.clone(), name.clone(), Arc::new(policy))
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        self.inner.name.as_str()
    }

    /// The providers that the requests have found so far.
    pub fn providers(&self) -> Vec<PeerId> {
        let mut providers = lock(&self.inner.providers);
        providers.tidy();
        providers.known.iter().map(|provider| provider.peer.id()).collect()
    }

    pub(super) async fn ask(
        &self,
        question: &Question,
        until: Option<tokio::time::Instant>,
    ) -> Result<Payload, RequestError> {
        loop {
            let pending = self.provider().await?;
            let answer = pending.0.peer.handle.core.ask(question, until).await;
            let gone = matches!(answer, Err(RequestError::PeerGone(_)));
            if !(gone && question.repeatable) {
                return answer;
            }
            lock(&self.inner.providers).forget(&pending.0);
        }
    }

    /// The provider to ask.
    async fn provider(&self) -> Result<Pending, RequestError> {
        let inner = &self.inner;
        loop {
            let (picked, complete) = {
                let mut providers = lock(&inner.providers);
                providers.tidy();
                (providers.pick(), providers.is_complete())
            };
            // One look at a time. Who has a provider does not wait for it.
            let (picked, turn) = match (picked, complete) {
                (Some(pending), true) => return Ok(pending),
                (Some(pending), false) => match inner.looking.try_lock() {
                    Ok(turn) => (Some(pending), turn),
                    Err(_somebody_looks) => return Ok(pending),
                },
                (None, _) => (None, inner.looking.lock().await),
            };
            if picked.is_none() && self.is_known() {
                continue;
            }
            // It was looked for a moment ago, and there was none.
            if picked.is_none() && lock(&inner.providers).is_complete() {
                return Err(RequestError::NoProvider);
            }
            let found = self.look().await;
            drop(turn);
            match (found, picked) {
                (Ok(()), None) => {}
                // With a further provider this request may go to another one.
                (Ok(()), Some(pending)) => drop(pending),
                (Err(_), Some(pending)) => return Ok(pending),
                (Err(PeerError::Refused(Reason::NoSuchPeer)), None) => {
                    return Err(RequestError::NoProvider);
                }
                (Err(PeerError::Closed(reason)), None) => {
                    return Err(RequestError::PeerGone(reason));
                }
                (Err(error), None) => return Err(RequestError::Unsent(error)),
            }
        }
    }

    fn is_known(&self) -> bool {
        let mut providers = lock(&self.inner.providers);
        providers.tidy();
        !providers.known.is_empty()
    }

    /// Looks for one more provider.
    async fn look(&self) -> Result<(), PeerError> {
        let inner = &self.inner;
        let mut except = {
            let providers = lock(&inner.providers);
            providers.known.iter().map(|provider| provider.peer.id()).collect::<Vec<_>>()
        };
        let found = loop {
            let options = LinkOptions { except: except.clone(), ..LinkOptions::default() };
            let to = Addressee::Service(inner.name.clone());
            match inner.opener.open(to, None, options).await {
                // Another one may be admitted.
                Ok(peer) if !(inner.policy)(&peer) => {
                    except.push(peer.id());
                    if except.len() > PROVIDERS_MAX {
                        break Err(PeerError::Refused(Reason::NoSuchPeer));
                    }
                }
                found => break found,
            }
        };
        let mut providers = lock(&inner.providers);
        match found {
            Ok(peer) => {
                let pending = AtomicUsize::new(0);
                providers.known.push(Arc::new(Provider { peer, pending }));
                Ok(())
            }
            Err(error) => {
                providers.complete = Some(now());
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
