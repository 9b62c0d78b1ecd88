//! Bounds how much hard work is done at once, and how much may wait.

use super::CheckLimits;
use super::attempt::Attempt;
use super::line::{Line, Look, Place, Refusal};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep_until;

/// Lets a bounded number of checks run on threads for blocking work, in turns of those who ask.
#[derive(Debug)]
pub(super) struct Gate {
    line: Arc<Mutex<Line>>,
}

/// A check was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the check was broken off: {0}")]
    Failed(#[from] JoinError),
}

/// What a check has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong {
        /// Whether the address has to pause now.
        pauses: bool,
    },
}

impl Gate {
    pub(super) fn new(limits: CheckLimits) -> Self {
        Self { line: Arc::new(Mutex::new(Line::new(limits))) }
    }

    /// Compares a token with those that were right, if its address may try that. Otherwise, or if it is
    /// none of them, it has to be checked.
    pub(super) fn try_known(&self, attempt: Attempt, is_known: impl FnOnce() -> bool) -> bool {
        let mut line = lock(&self.line);
        line.may_try(now(), attempt) && {
            let known = is_known();
            if !known {
                line.tried_in_vain(now(), attempt);
            }
            known
        }
    }

    /// Checks a token when its turn has come. Dropping the future gives up its place among those
    /// who wait; a check that runs keeps its turn to its end, as it needs its memory so long.
    pub(super) async fn run(
        &self,
        attempt: Attempt,
        is_right: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<Checked, GateError> {
        let place = match lock(&self.line).join(now(), attempt) {
            // It has cost nothing, so its address does not wait for it any longer.
            Err(Refusal::WrongAgain) => return Ok(Checked::Wrong { pauses: false }),
            joined => joined?,
        };
        let turn = Waiting { line: &self.line, place: Some(place) }.turn().await?;
        let check = move || match is_right() {
            true => Checked::Right,
            false => Checked::Wrong { pauses: turn.end_wrong() },
        };
        Ok(spawn_blocking(check).await?)
    }
}

/// A place in the line, given up when this is dropped.
struct Waiting<'a> {
    line: &'a Arc<Mutex<Line>>,
    place: Option<Place>,
}

impl Waiting<'_> {
    /// Waits for the turn.
    async fn turn(mut self) -> Result<Turn, Refusal> {
        while let Some(place) = &self.place {
            let until = match lock(self.line).look(now(), place) {
                Look::Wait(until) => until,
                Look::Turn => {
                    let (line, attempt) = (self.line.clone(), place.attempt());
                    self.place = None;
                    return Ok(Turn { line, attempt, over: false });
                }
                Look::Displaced => {
                    self.place = None;
                    break;
                }
            };
            tokio::select! {
                () = place.bell.notified() => {}
                () = until_then(until) => {}
            }
        }
        Err(Refusal::Full)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            lock(self.line).leave(now(), place);
        }
    }
}

/// A turn, over when this is dropped.
struct Turn {
    line: Arc<Mutex<Line>>,
    attempt: Attempt,
    over: bool,
}

impl Turn {
    /// Ends it: the token was wrong. Says whether the address has to pause now.
    fn end_wrong(mut self) -> bool {
        self.over = true;
        lock(&self.line).end(now(), self.attempt, true)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            lock(&self.line).end(now(), self.attempt, false);
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    // What it guards is consistent between any two statements that could panic.
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time as the runtime sees it, which tests may pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn until_then(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt::Origin;
    use super::*;
    use std::net::IpAddr;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    type Job = Pin<Box<dyn Future<Output = Result<Checked, GateError>>>>;

    fn attempt(address: Option<IpAddr>, token: u64) -> Attempt {
        Attempt { origin: Origin::new(address), name: 0, token }
    }

    /// Goes as far as it can now: takes a place, and a turn if there is one.
    fn poll(job: &mut Job) -> Poll<Result<Checked, GateError>> {
        job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn is_full(job: &mut Job) -> bool {
        matches!(poll(job), Poll::Ready(Err(GateError::Refused(Refusal::Full))))
    }

    /// A gate, and a maker of checks that say when they begin and end when they are told.
    struct Scene {
        gate: Arc<Gate>,
        begun: (mpsc::Sender<()>, mpsc::Receiver<()>),
        ends: Vec<mpsc::Sender<()>>,
    }

    impl Scene {
        fn new(running_max: usize, waiting_max: usize) -> Self {
            let limits = CheckLimits { running_max, waiting_max, ..CheckLimits::default() };
            let gate = Arc::new(Gate::new(limits));
            Self { gate, begun: mpsc::channel(), ends: Vec::new() }
        }

        fn job(&mut self) -> Job {
            let (gate, begun) = (Arc::clone(&self.gate), self.begun.0.clone());
            let (end, ended) = mpsc::channel::<()>();
            let attempt = attempt(None, self.ends.len() as u64);
            self.ends.push(end);
            Box::pin(async move {
                let is_right = move || {
                    begun.send(()).expect("the test listens");
                    ended.recv().expect_err("nothing is sent, the sender goes");
                    true
                };
                gate.run(attempt, is_right).await
            })
        }
    }

    #[tokio::test]
    async fn a_flood_runs_two_at_once_lets_64_wait_and_refuses_the_rest() {
        let mut scene = Scene::new(2, 64);
        let mut jobs: Vec<Job> = (0..66).map(|_| scene.job()).collect();
        assert!(jobs.iter_mut().all(|job| poll(job).is_pending()));
        assert!(is_full(&mut scene.job()));
        scene.begun.1.recv().unwrap();
        scene.begun.1.recv().unwrap();
        assert!(scene.begun.1.try_recv().is_err());

        scene.ends.clear();
        for job in jobs {
            assert_eq!(job.await.unwrap(), Checked::Right);
        }
        assert_eq!(scene.begun.1.try_iter().count(), 64);
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
        assert!(is_full(&mut scene.job()));
        scene.ends.clear();
        next.await.unwrap();
        assert!(scene.begun.1.try_recv().is_ok());
    }

    #[tokio::test]
    async fn who_is_called_and_goes_lets_the_next_one_run() {
        let mut scene = Scene::new(1, 2);
        let mut jobs: Vec<Job> = (0..3).map(|_| scene.job()).collect();
        assert!(jobs.iter_mut().all(|job| poll(job).is_pending()));
        let (third, second) = (jobs.pop().unwrap(), jobs.pop().unwrap());
        scene.ends.clear();
        jobs.pop().unwrap().await.unwrap();
        // The second has its turn, and was not polled since.
        drop(second);
        third.await.unwrap();
        assert_eq!(scene.begun.1.try_iter().count(), 2);
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_turn_back() {
        let limits = CheckLimits { running_max: 1, waiting_max: 0, ..CheckLimits::default() };
        let gate = Gate::new(limits);
        let broken = gate.run(attempt(None, 1), || panic!("as the test wants it")).await;
        assert!(matches!(broken, Err::<_, _>(GateError::Failed(_))));
        assert_eq!(gate.run(attempt(None, 2), || true).await.unwrap(), Checked::Right);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_waited_for_and_no_longer() {
        let gate = Gate::new(CheckLimits::default());
        let address = Some([192, 0, 2, 1].into());
        let begun = now();
        for guess in 0..13 {
            let checked = gate.run(attempt(address, guess), || false).await.unwrap();
            assert_eq!(checked, Checked::Wrong { pauses: guess >= 10 }, "{guess}");
        }
        assert_eq!(now() - begun, Duration::from_secs(2), "before the twelfth and the thirteenth");
    }
}
