//! What waits to be read from one handle, bounded in bytes.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// What an entry costs beside its data, so that empty ones are bounded too.
pub(crate) const ENTRY_BYTES: usize = 64;

/// A queue that holds `bytes_max` bytes. An entry that is larger has it for itself.
pub(crate) fn queue<T>(bytes_max: u32) -> (Pusher<T>, Puller<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(bytes_max as usize));
    let pusher = Pusher { entries: sender, room: room.clone(), bytes_max };
    (pusher, Puller { entries: receiver, room })
}

/// An entry and its share of the room, which is given back when the entry is taken.
type Entry<T> = (T, Option<OwnedSemaphorePermit>);

/// The writing end.
#[derive(Debug)]
pub(crate) struct Pusher<T> {
    entries: mpsc::UnboundedSender<Entry<T>>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

impl<T> Pusher<T> {
    /// Adds an entry with so many bytes of data, as soon as there is room. It is dropped if nobody
    /// reads any more, or when `cancel` comes first.
    pub(crate) async fn push(&self, entry: T, bytes: usize, cancel: &CancellationToken) {
        let cost = self.cost(bytes);
        let permit = match self.room.clone().try_acquire_many_owned(cost) {
            Ok(permit) => permit,
            Err(_full_or_closed) => tokio::select! {
                permit = self.room.clone().acquire_many_owned(cost) => match permit {
                    Ok(permit) => permit,
                    Err(_nobody_reads) => return,
                },
                () = cancel.cancelled() => return,
            },
        };
        // The reader may go at any moment; then nobody misses the entry.
        let _ = self.entries.send((entry, Some(permit)));
    }

    /// Adds an entry with so many bytes of data if there is room now, and gives it back if there is none.
    pub(crate) fn try_push(&self, entry: T, bytes: usize) -> Result<(), T> {
        match self.room.clone().try_acquire_many_owned(self.cost(bytes)) {
            Ok(permit) => {
                // The reader may go at any moment; then nobody misses the entry.
                let _ = self.entries.send((entry, Some(permit)));
                Ok(())
            }
            Err(_full_or_closed) => Err(entry),
        }
    }

    fn cost(&self, bytes: usize) -> u32 {
        let cost = u32::try_from(bytes.saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX);
        cost.min(self.bytes_max)
    }

    /// Adds an entry whether there is room or not.
    pub(crate) fn force(&self, entry: T) {
        let _ = self.entries.send((entry, None));
    }

    /// Adds the last entry, whether there is room or not.
    pub(crate) fn finish(self, entry: T) {
        self.force(entry);
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Puller<T> {
    entries: mpsc::UnboundedReceiver<Entry<T>>,
    room: Arc<Semaphore>,
}

impl<T> Puller<T> {
    /// The next entry; `None` after the last. Cancelling it loses nothing.
    pub(crate) async fn pull(&mut self) -> Option<T> {
        let (entry, _permit) = self.entries.recv().await?;
        Some(entry)
    }
}

impl<T> Drop for Puller<T> {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_makes_the_writer_wait_until_something_is_read() {
        let (pusher, mut puller) = queue(2 * ENTRY_BYTES as u32 + 10);
        let never = CancellationToken::new();
        pusher.push('a', 0, &never).await;
        pusher.push('b', 10, &never).await;
        assert!(timeout(SHORT, pusher.push('c', 0, &never)).await.is_err());
        assert_eq!(puller.pull().await, Some('a'));
        pusher.push('d', 0, &never).await;
        pusher.finish('e');
        for entry in [Some('b'), Some('d'), Some('e'), None] {
            assert_eq!(puller.pull().await, entry);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_larger_than_the_queue_passes_alone() {
        let (pusher, mut puller) = queue(100);
        let never = CancellationToken::new();
        pusher.push('a', 1_000_000, &never).await;
        assert!(timeout(SHORT, pusher.push('b', 0, &never)).await.is_err());
        assert_eq!(puller.pull().await, Some('a'));
        pusher.push('c', 1_000_000, &never).await;
        assert_eq!(puller.pull().await, Some('c'));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_reader_that_has_gone_or_after_the_cancel() {
        let (pusher, puller) = queue(10);
        let cancel = CancellationToken::new();
        pusher.push('a', 0, &cancel).await;
        cancel.cancel();
        pusher.push('b', 0, &cancel).await;
        drop(puller);
        pusher.push('c', 0, &CancellationToken::new()).await;
    }
}
