//! What is called when a client acknowledges a message that was kept for it.

use super::letter::Letter;
use crate::lock::lock;
use crate::peer::BoxFuture;
use crate::socketio::args::Args;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A client has acknowledged a message that was kept for it.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The client.
    pub by: String,
    /// The event that it has got.
    pub event: String,
    /// The arguments that the message had for this, and those of the client behind them.
    pub args: Args,
}

/// A function that was registered, to be removed with [`Application::off_ack`](crate::socketio::Application::off_ack).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckFunction {
    name: String,
    number: u64,
}

type Function = Arc<dyn Fn(Acknowledged) -> BoxFuture<()> + Send + Sync>;

/// The functions by name.
#[derive(Default)]
pub(in crate::socketio) struct Acks(Mutex<Known>);

#[derive(Default)]
struct Known {
    functions: HashMap<String, Vec<(u64, Function)>>,
    next: u64,
}

impl Acks {
    pub(in crate::socketio) fn add<F, T>(&self, name: String, function: F) -> AckFunction
    where
        F: Fn(Acknowledged) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let mut known = lock(&self.0);
        let number = known.next;
        known.next += 1;
        let function: Function = Arc::new(move |acknowledged| Box::pin(function(acknowledged)));
        known.functions.entry(name.clone()).or_default().push((number, function));
        AckFunction { name, number }
    }

    pub(in crate::socketio) fn remove(&self, function: &AckFunction) {
        let mut known = lock(&self.0);
        if let Some(functions) = known.functions.get_mut(&function.name) {
            functions.retain(|(number, _)| *number != function.number);
            if functions.is_empty() {
                known.functions.remove(&function.name);
            }
        }
    }

    /// Calls those that a message names, one after the other.
    pub(super) async fn call(&self, by: &str, letter: Letter, answer: &Args) {
        let Letter { event, ack: Some((name, args)), .. } = letter else { return };
        let functions = lock(&self.0).functions.get(&name).cloned().unwrap_or_default();
        let args = args.then(answer);
        for (_, function) in functions {
            let args = args.clone();
            function(Acknowledged { by: by.to_owned(), event: event.clone(), args }).await;
        }
    }
}

impl fmt::Debug for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.0).functions.keys()).finish()
    }
}
