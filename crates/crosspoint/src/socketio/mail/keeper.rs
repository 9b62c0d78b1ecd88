//! The thread that waits for the disk.

use crate::lock::lock;
use bytes::Bytes;
use crosspoint_store::{Due, KeepError, Mailboxes, MessageStore, StoreError};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait. Who gives more waits.
const ORDERS_MAX: usize = 1024;
/// The most that is written down together.
const BATCH_MAX: usize = 256;

/// Opens a store, which may take time.
pub(super) type Open =
    Box<dyn FnOnce() -> Result<Mailboxes<Box<dyn MessageStore>>, StoreError> + Send>;

/// Gives orders to the thread. Whoever waits for an answer waits for the disk, and nobody else does.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    orders: mpsc::Sender<Order>,
    /// For whom there are messages.
    waiting: Arc<Mutex<HashSet<Arc<str>>>>,
}

#[derive(Debug)]
enum Order {
    Keep { to: Arc<str>, data: Bytes, done: oneshot::Sender<Result<u64, KeepError>> },
    Forget { to: Arc<str>, number: u64, done: oneshot::Sender<Result<bool, StoreError>> },
    Read { to: Arc<str>, from: u64, bytes_max: usize, done: Reading },
    Expire { done: oneshot::Sender<Result<usize, StoreError>> },
    Stop { done: oneshot::Sender<()> },
}

type Reading = oneshot::Sender<Result<Vec<Due>, StoreError>>;

/// The thread has ended, because it was told to or because a store of the embedder has panicked.
fn stopped() -> StoreError {
    StoreError::Failed("the store is closed, or it has panicked".to_owned())
}

impl Keeper {
    /// Opens a store in a thread of its own.
    pub(super) async fn open(open: Open) -> Result<Self, StoreError> {
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let waiting = Arc::new(Mutex::new(HashSet::new()));
        let (opened, is_open) = oneshot::channel();
        let shared = waiting.clone();
        let run = move || match open() {
            Ok(mailboxes) => {
                *lock(&shared) = mailboxes.clients().cloned().collect();
                // If nobody waits any more, there are no orders either.
                let _ = opened.send(Ok(()));
                let surveys = mailboxes.surveys();
                Desk { mailboxes, waiting: shared, surveys, expired: 0 }.run(taken);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("crosspoint-mail".to_owned());
        thread.spawn(run).map_err(|error| StoreError::Failed(error.to_string()))?;
        is_open.await.unwrap_or_else(|_| Err(stopped()))?;
        Ok(Self { orders, waiting })
    }

    /// Whether there are messages for somebody.
    pub(super) fn has(&self, to: &str) -> bool {
        lock(&self.waiting).contains(to)
    }

    /// Keeps a message. Gives its number when it is written down.
    pub(super) async fn keep(&self, to: &Arc<str>, data: Bytes) -> Result<u64, KeepError> {
        let order = |done| Order::Keep { to: to.clone(), data, done };
        self.order(order).await.unwrap_or_else(|| Err(stopped().into()))
    }

    /// Forgets a message. Gives whether it was there.
    pub(super) async fn forget(&self, to: &Arc<str>, number: u64) -> Result<bool, StoreError> {
        let order = |done| Order::Forget { to: to.clone(), number, done };
        self.order(order).await.unwrap_or_else(|| Err(stopped()))
    }

    /// The messages for somebody from a number on.
    pub(super) async fn read(
        &self,
        to: &Arc<str>,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let order = |done| Order::Read { to: to.clone(), from, bytes_max, done };
        self.order(order).await.unwrap_or_else(|| Err(stopped()))
    }

    /// Forgets messages whose time is over. Gives how many.
    pub(super) async fn expire(&self) -> Result<usize, StoreError> {
        self.order(|done| Order::Expire { done }).await.unwrap_or_else(|| Err(stopped()))
    }

    /// Closes the store, after what was ordered before.
    pub(super) async fn stop(&self) {
        // If it is closed already, so much the better.
        let _ = self.order(|done| Order::Stop { done }).await;
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.orders.send(order(done)).await.ok()?;
        answer.await.ok()
    }
}

/// What the thread has.
struct Desk {
    mailboxes: Mailboxes<Box<dyn MessageStore>>,
    waiting: Arc<Mutex<HashSet<Arc<str>>>>,
    /// How often all was counted when it was told last for whom there are messages.
    surveys: u64,
    /// The time of so many is over, which nobody has heard.
    expired: usize,
}

/// An order that was carried out and is answered when that is written down.
type Answer = Box<dyn FnOnce(&Result<(), StoreError>)>;

impl Desk {
    fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.blocking_recv() {
            let (mut answers, mut touched) = (Vec::new(), Vec::new());
            let mut next = Some(order);
            let mut stop = None;
            while let Some(order) = next.take() {
                match order {
                    Order::Read { to, from, bytes_max, done } => {
                        // What was confirmed before is among them.
                        self.commit(&mut answers, &mut touched);
                        let due = self.mailboxes.read(now_ms(), &to, from, bytes_max);
                        self.tell(&mut touched);
                        drop(done.send(due));
                    }
                    Order::Stop { done } => {
                        stop = Some(done);
                        break;
                    }
                    other => self.carry_out(other, &mut answers, &mut touched),
                }
                if answers.len() < BATCH_MAX {
                    next = orders.try_recv().ok();
                }
            }
            self.commit(&mut answers, &mut touched);
            if let Some(done) = stop {
                drop(self);
                // Whoever wanted it may have gone.
                let _ = done.send(());
                return;
            }
        }
    }

    fn carry_out(&mut self, order: Order, answers: &mut Vec<Answer>, touched: &mut Vec<Arc<str>>) {
        let now_ms = now_ms();
        match order {
            Order::Keep { to, data, done } => {
                let expired = self.expire(now_ms).map_err(KeepError::from);
                let kept = expired.and_then(|()| self.mailboxes.keep(now_ms, &to, data));
                answer(answers, done, kept);
                touched.push(to);
            }
            Order::Forget { to, number, done } => {
                answer(answers, done, self.mailboxes.forget(&to, number));
                touched.push(to);
            }
            Order::Expire { done } => {
                let expired = self.expire(now_ms);
                answer(answers, done, expired.map(|()| std::mem::take(&mut self.expired)));
            }
            Order::Read { .. } | Order::Stop { .. } => {}
        }
    }

    fn expire(&mut self, now_ms: u64) -> Result<(), StoreError> {
        self.expired += self.mailboxes.expire(now_ms)?;
        Ok(())
    }

    /// Writes down what was ordered, and answers.
    fn commit(&mut self, answers: &mut Vec<Answer>, touched: &mut Vec<Arc<str>>) {
        let written = self.mailboxes.commit();
        self.tell(touched);
        answers.drain(..).for_each(|answer| answer(&written));
    }

    /// Tells for whom there are messages.
    fn tell(&mut self, touched: &mut Vec<Arc<str>>) {
        let mut waiting = lock(&self.waiting);
        if self.surveys != self.mailboxes.surveys() {
            self.surveys = self.mailboxes.surveys();
            *waiting = self.mailboxes.clients().cloned().collect();
        }
        for to in touched.drain(..) {
            match self.mailboxes.has(&to) {
                true => drop(waiting.insert(to)),
                false => drop(waiting.remove(&to)),
            }
        }
    }
}

/// Answers an order: at once if it has failed, otherwise when it is written down.
fn answer<T: 'static, E: From<StoreError> + 'static>(
    answers: &mut Vec<Answer>,
    done: oneshot::Sender<Result<T, E>>,
    carried_out: Result<T, E>,
) {
    // Whoever wanted it may have gone.
    match carried_out {
        Ok(value) => answers.push(Box::new(move |written| {
            drop(done.send(written.clone().map(|()| value).map_err(E::from)));
        })),
        Err(error) => drop(done.send(Err(error))),
    }
}

/// The clock of the system, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
