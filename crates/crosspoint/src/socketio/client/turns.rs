//! Who handles what has happened, and in which order.

use super::notice::Notice;
use super::registry::{Handler, run};
use super::shared::{Happened, Opened, Said, Shared};
use crate::handling::Held;
use std::sync::{Arc, PoisonError};

/// What an event counts besides its bytes.
const EVENT_BYTES: usize = 128;

/// Hands an event to its handler: at once if it is to be acknowledged, or else behind everything before it.
pub(super) fn event(shared: &Arc<Shared>, said: Said) {
    let held = Held::new(&shared.holding, EVENT_BYTES + said.name.len() + said.args.size());
    if said.ticket.is_none() {
        return in_turn(shared, Happened::Said(said), held);
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        let _held = held;
        handle(&shared, said).await;
    });
}

/// Hands a notice to its handler, behind everything before it.
pub(super) fn notice(shared: &Arc<Shared>, notice: Notice) {
    if shared.handlers.notice().is_some() {
        in_turn(shared, Happened::Notice(notice), Held::new(&shared.holding, EVENT_BYTES));
    }
}

/// Hands a stream that another client has opened to its handler.
pub(super) fn stream(handler: Handler<Opened>, opened: Opened) {
    tokio::spawn(async move { run("a stream", handler, opened).await });
}

fn in_turn(shared: &Arc<Shared>, happened: Happened, held: Held) {
    let mut inbox = shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    if inbox.push((happened, held)) {
        tokio::spawn(handle_all(shared.clone()));
    }
}

async fn handle_all(shared: Arc<Shared>) {
    let next = || shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).next();
    while let Some((happened, held)) = next() {
        match happened {
            Happened::Said(said) => handle(&shared, said).await,
            Happened::Notice(notice) => {
                if let Some(handler) = shared.handlers.notice() {
                    run("a notice", handler, notice).await;
                }
            }
        }
        drop(held);
    }
}

async fn handle(shared: &Shared, said: Said) {
    if let Some(handler) = shared.handlers.event(&said.name) {
        let name = said.name.clone();
        run(&name, handler, said).await;
    }
}
