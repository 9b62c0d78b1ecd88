//! Bounds how much hard work is done at once, and how much may wait.

use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// Lets a bounded number of jobs run on threads for blocking work, in the order of their coming.
#[derive(Debug)]
pub(super) struct Gate {
    /// One for each job that runs or waits.
    places: Arc<Semaphore>,
    /// One for each job that runs.
    turns: Arc<Semaphore>,
}

/// A job was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    #[error("too many wait already")]
    Full,
    #[error("the work was broken off: {0}")]
    Failed(#[from] JoinError),
}

impl Gate {
    /// A gate for `running_max` jobs at once, at least 1; up to `waiting_max` more may wait.
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        let running_max = running_max.clamp(1, Semaphore::MAX_PERMITS);
        let places = running_max.saturating_add(waiting_max).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(running_max)),
        }
    }

    /// Does a job when its turn has come. Dropping the future gives up a place among those who
    /// wait; a job that runs keeps its turn to its end, as it needs its memory so long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GateError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| GateError::Full)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("never closed");
        let job = move || {
            let result = job();
            drop((place, turn));
            result
        };
        Ok(spawn_blocking(job).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    type Job = Pin<Box<dyn Future<Output = Result<(), GateError>>>>;

    /// Goes as far as it can now: takes a place, and a turn if there is one.
    fn poll(job: &mut Job) -> Poll<Result<(), GateError>> {
        job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A gate, and a maker of jobs that say when they begin and end when they are told.
    struct Scene {
        gate: Arc<Gate>,
        begun: (mpsc::Sender<()>, mpsc::Receiver<()>),
        ends: Vec<mpsc::Sender<()>>,
    }

    impl Scene {
        fn new(running_max: usize, waiting_max: usize) -> Self {
            let gate = Arc::new(Gate::new(running_max, waiting_max));
            Self { gate, begun: mpsc::channel(), ends: Vec::new() }
        }

        fn job(&mut self) -> Job {
            let (gate, begun) = (Arc::clone(&self.gate), self.begun.0.clone());
            let (end, ended) = mpsc::channel::<()>();
            self.ends.push(end);
            Box::pin(async move {
                gate.run(move || {
                    begun.send(()).expect("the test listens");
                    ended.recv().expect_err("nothing is sent, the sender goes");
                })
                .await
            })
        }
    }

    #[tokio::test]
    async fn a_flood_runs_two_at_once_lets_64_wait_and_refuses_the_rest() {
        let mut scene = Scene::new(2, 64);
        let mut jobs: Vec<Job> = (0..66).map(|_| scene.job()).collect();
        assert!(jobs.iter_mut().all(|job| poll(job).is_pending()));
        assert!(matches!(poll(&mut scene.job()), Poll::Ready(Err(GateError::Full))));
        scene.begun.1.recv().unwrap();
        scene.begun.1.recv().unwrap();
        assert!(scene.begun.1.try_recv().is_err());
        assert_eq!(scene.gate.turns.available_permits(), 0);

        scene.ends.clear();
        for job in jobs {
            job.await.unwrap();
        }
        assert_eq!(scene.begun.1.try_iter().count(), 64);
        assert_eq!(scene.gate.places.available_permits(), 66);
    }

    #[tokio::test]
    async fn who_gives_up_frees_its_place_but_work_that_runs_keeps_its_turn() {
        let mut scene = Scene::new(1, 1);
        let (mut runs, mut waits) = (scene.job(), scene.job());
        assert!(poll(&mut runs).is_pending() && poll(&mut waits).is_pending());
        scene.begun.1.recv().unwrap();
        drop((runs, waits));

        let mut next = scene.job();
        assert!(poll(&mut next).is_pending());
        assert!(scene.begun.1.try_recv().is_err());
        assert!(matches!(poll(&mut scene.job()), Poll::Ready(Err(GateError::Full))));
        scene.ends.clear();
        next.await.unwrap();
        assert!(scene.begun.1.try_recv().is_ok());
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_turn_back() {
        let gate = Gate::new(1, 0);
        let broken = gate.run(|| panic!("as the test wants it")).await;
        assert!(matches!(broken, Err::<(), _>(GateError::Failed(_))));
        assert_eq!(gate.run(|| 7).await.unwrap(), 7);
    }
}
