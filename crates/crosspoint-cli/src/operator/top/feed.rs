//! Where `crosspoint top` has its news from: an event stream that is opened again when it breaks.

use super::state::{News, State};
use crate::operator::api::{Api, ApiError};
use crate::operator::events::Events;
use crosspoint_control::model::{ErrorCode, History};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What is said of a hub that ends the stream.
pub(super) const ENDED: &str = "has ended the stream: it stops, or its token has changed";

/// News that may wait.
const NEWS_MAX: usize = 64;

/// How long it takes to the first and to later tries.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(8);

/// A task that follows what a state wants to see. It ends with this.
pub(super) struct Feed {
    news: mpsc::Receiver<Result<News, ApiError>>,
    #[expect(dead_code, reason = "held")]
    task: JoinSet<()>,
}

impl Feed {
    pub(super) fn start(api: Arc<Api>, state: &State) -> Self {
        let (tell, news) = mpsc::channel(NEWS_MAX);
        let mut task = JoinSet::new();
        task.spawn(follow(api, state.query(), tell));
        Self { news, task }
    }

    /// The next news.
    ///
    /// # Errors
    /// Why trying again is of no use.
    pub(super) async fn next(&mut self) -> Result<News, ApiError> {
        match self.news.recv().await {
            Some(news) => news,
            // It has said why it ended.
            None => std::future::pending().await,
        }
    }

    /// The same, if there are any now.
    pub(super) fn at_once(&mut self) -> Option<Result<News, ApiError>> {
        self.news.try_recv().ok()
    }
}

async fn follow(
    api: Arc<Api>,
    query: Vec<(&'static str, String)>,
    tell: mpsc::Sender<Result<News, ApiError>>,
) {
    let mut wait = WAIT_MIN;
    loop {
        let error = match once(&api, &query, &tell, &mut wait).await {
            Ok(()) => None,
            Err(error) if is_final(&error) => {
                // Nobody listens any more if this fails, and so below.
                let _ = tell.send(Err(error)).await;
                return;
            }
            Err(error) => Some(error),
        };
        let why = error.map_or_else(|| format!("{} {ENDED}", api.place()), |why| why.to_string());
        if tell.send(Ok(News::Lost { why, wait })).await.is_err() {
            return;
        }
        sleep(wait).await;
        wait = (2 * wait).min(WAIT_MAX);
    }
}

/// Follows a stream to its end.
async fn once(
    api: &Api,
    query: &[(&'static str, String)],
    tell: &mpsc::Sender<Result<News, ApiError>>,
    wait: &mut Duration,
) -> Result<(), ApiError> {
    let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut events = Events::open(api, &query).await?;
    let history: History = api.get("/api/v1/history", &[]).await?;
    let mut news = News::Live(history.points);
    while tell.send(Ok(news)).await.is_ok() {
        let Some(event) = events.next().await? else {
            return Ok(());
        };
        *wait = WAIT_MIN;
        news = News::Event(event);
    }
    Ok(())
}

/// Whether the hub would say the same again.
fn is_final(error: &ApiError) -> bool {
    use ErrorCode::{BadRequest, Forbidden, Unauthorized};
    matches!(error, ApiError::Refused { code: BadRequest | Forbidden | Unauthorized, .. })
}
