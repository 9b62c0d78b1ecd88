//! What handles events, and the events themselves.

use super::notice::Notice;
use super::registry::Handler;
use super::shared::{Handlers, Opened, Said};
use super::socket::Socket;
use super::stream::Stream;
use super::{Args, ArgsError, SendError, SocketError, ToArgs};
use serde::de::DeserializeOwned;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

/// An event that somebody has said.
#[derive(Debug)]
pub struct Event {
    socket: Socket,
    said: Said,
    args: Args,
}

impl Event {
    fn new(mut said: Said) -> Self {
        let args = Args::of_machine(std::mem::take(&mut said.args));
        Self { socket: Socket { handle: said.handle.clone() }, said, args }
    }

    /// The socket that it came to.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.said.name
    }

    /// What it says.
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// What it says, as [`Args::read`].
    ///
    /// # Errors
    /// [`ArgsError::Value`]
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.args.read()
    }

    /// One of its arguments, as [`Args::get`].
    ///
    /// # Errors
    /// [`ArgsError::Missing`], [`ArgsError::Value`]
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgsError> {
        self.args.get(index)
    }

    /// Whether it is to be acknowledged.
    pub fn wants_ack(&self) -> bool {
        self.said.ticket.is_some()
    }

    /// Acknowledges it, if that is wanted. An event that is dropped without this is never acknowledged. Waits as long as
    /// too much waits to be written.
    ///
    /// # Errors
    /// [`SocketError::Args`]; [`SocketError::Abandoned`] if the connection has ended on which it came.
    pub async fn ack<T: ToArgs + ?Sized>(self, args: &T) -> Result<(), SocketError> {
        let Some(ticket) = &self.said.ticket else {
            return Ok(());
        };
        let args = args.to_args()?.to_machine()?;
        let shared = &self.socket.handle.shared;
        loop {
            let mut room = pin!(shared.room.notified());
            room.as_mut().enable();
            match self.said.connection.with(|live| live.machine.answer(ticket, &args)) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => room.await,
                Err(SendError::NotConnected) => return Err(SocketError::Abandoned),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What a handler gives: nothing, or an error, which is logged.
pub trait Outcome {
    /// What went wrong, if anything.
    fn error(self) -> Option<String>;
}

impl Outcome for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Outcome for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// A handler of what `of` makes of something.
fn handler<T, E, F, R>(of: fn(T) -> E, handler: F) -> Handler<T>
where
    T: 'static,
    E: 'static,
    F: Fn(E) -> R + Send + Sync + 'static,
    R: Future<Output: Outcome> + Send + 'static,
{
    Arc::new(move |event| {
        let running = handler(of(event));
        Box::pin(async { running.await.error() })
    })
}

fn stream(opened: Opened) -> Stream {
    Stream::new(opened)
}

/// Handlers of a socket, as they are given to it.
impl Handlers {
    pub(super) fn on<F, R>(&self, event: &str, handle: F)
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.set_event(event, handler(Event::new, handle));
    }

    pub(super) fn on_any<F, R>(&self, handle: F)
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.set_any(handler(Event::new, handle));
    }

    pub(super) fn on_notice<F, R>(&self, handle: F)
    where
        F: Fn(Notice) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.set_notice(handler(std::convert::identity, handle));
    }

    pub(super) fn on_stream<F, R>(&self, channel: Option<&str>, handle: F)
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.set_stream(channel, handler(stream, handle));
    }
}

impl Socket {
    /// Handles events of this name, in the place of a former handler.
    ///
    /// Those without acknowledgement are handled one after the other, in their order; those that want one side by side.
    pub fn on<F, R>(&self, event: &str, handler: F)
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.shared().handlers.on(event, handler);
    }

    /// Handles events of this name no longer.
    pub fn off(&self, event: &str) {
        self.shared().handlers.remove_event(event);
    }

    /// Handles the events that have no handler of their own.
    pub fn on_any<F, R>(&self, handler: F)
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.shared().handlers.on_any(handler);
    }

    /// Hears what happens besides events, in order with the events. Clients that have such a handler can be named targets.
    pub fn on_notice<F, R>(&self, handler: F)
    where
        F: Fn(Notice) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.shared().handlers.on_notice(handler);
    }

    /// Takes the streams that other clients open in no channel.
    pub fn on_stream<F, R>(&self, handler: F)
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.shared().handlers.on_stream(None, handler);
    }

    /// Takes the streams that other clients open in a channel.
    pub fn on_stream_in<F, R>(&self, channel: &str, handler: F)
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.shared().handlers.on_stream(Some(channel), handler);
    }

    /// Takes no further streams in a channel, or in none.
    pub fn off_stream(&self, channel: Option<&str>) {
        self.shared().handlers.remove_stream(channel);
    }
}
