//! The one shape of every protocol, so that one driver serves them all.
//!
//! No protocol reads a clock or touches a socket. The driver calls, for what arrives,
//! [`Protocol::receive`] and then [`Protocol::poll`] until it gives `None`; for what the hub
//! tells, [`Protocol::deliver`]; and [`Protocol::tick`] when [`Protocol::deadline`] has passed.
//! Whatever has to be written is put into the [`FrameWriter`] of the call.

use crate::command::{Command, Event};
use crate::limit::Limit;
use crate::reason::Reason;
use crate::wire::FrameWriter;
use bytes::Bytes;
use std::time::{Duration, Instant};

pub use crate::metrics::Measurement;

/// What the server role of a protocol wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// To be carried out by the session.
    Command(Command),
    /// The session leaves the hub, as at its end: its channels, links, services and name are free. The connection stays
    /// and the protocol with it, so that it can answer what is still asked on the connection. It is told nothing more,
    /// its further commands are ignored, and only [`Output::Close`] comes of the session.
    Leave(Reason),
    /// The session is over.
    Close(Reason),
    /// To be counted ([`Metrics::measured`](crate::metrics::Metrics::measured)).
    Measurement(Measurement),
}

/// When bytes last moved on the connection.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    /// The last time that something arrived, or the beginning.
    pub read: Instant,
    /// The last time that something was written, if ever.
    pub written: Option<Instant>,
}

/// The server role of a protocol.
pub trait Protocol: Send {
    /// A message begins, on a transport that keeps messages apart. Its bytes follow by [`Protocol::receive`], unless it
    /// is empty, and then [`Protocol::message_ended`]. `is_text` says whether the endpoint has sent it as text, which is
    /// UTF-8 then. Protocols that find their own borders need not care.
    fn message_begins(&mut self, now: Instant, is_text: bool) {
        let _ = (now, is_text);
    }

    /// Takes bytes in. They are looked at by [`Protocol::poll`].
    fn receive(&mut self, now: Instant, bytes: Bytes);

    /// What was received last is the end of a message, on a transport that keeps messages apart.
    /// Protocols that find their own borders need not care.
    fn message_ended(&mut self, now: Instant) {
        let _ = now;
    }

    /// Gives the next thing to do, or `None` when more bytes are needed. After
    /// [`Output::Close`] it gives nothing more.
    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Output>;

    /// Writes what the hub tells. [`Event::Closed`] never comes, and [`Event::Data`] and [`Event::Messages`]
    /// only as far as the session's own task [has to write data](crate::wire::Stateful).
    fn deliver(&mut self, now: Instant, event: &Event, out: &mut FrameWriter);

    /// Whether it takes what the hub tells now. What it does not take waits in the outbox, so that those who send it
    /// wait for room there. It may say no only while something of the endpoint must come first, and for a bounded
    /// time: the endpoint counts as one that does not read.
    fn takes_events(&self) -> bool {
        true
    }

    /// Whether it takes this event although it takes no others now, so that it overtakes them.
    fn takes_ahead(&self, event: &Event) -> bool {
        let _ = event;
        false
    }

    /// Whether [`Protocol::poll`] has something to give though nothing has arrived since it gave
    /// `None`: what the hub told, or the time, was the cause.
    fn has_output(&self) -> bool {
        false
    }

    /// Whether it looks at no further input until the hub has answered. Nothing is read meanwhile.
    fn waits(&self) -> bool {
        false
    }

    /// Writes some of what could not be written when the hub told it, if there is any and it can be
    /// now. Called when everything else has left.
    fn write_more(&mut self, out: &mut FrameWriter) {
        let _ = out;
    }

    /// How many frames have come since the last call that asked nothing of the hub, such as probes
    /// and their answers. They count against the messages in a second, as commands do.
    fn idle_frames(&mut self) -> u64;

    /// How many of the commands since the last call were for what others have said, such as the refusals that a
    /// gateway writes for its client. They do not count against the messages in a second.
    fn unasked_commands(&mut self) -> u64 {
        0
    }

    /// A limit that was reached since the last call and that nobody else sees, for the metrics.
    fn limit_hit(&mut self) -> Option<Limit> {
        None
    }

    /// The memory that it holds for what has come and is not whole or not carried out, and for what
    /// could not be written, in bytes.
    fn buffered(&self) -> usize;

    /// The number of the frame of which some bytes are here and some have not come, counted from the
    /// beginning. `None` between two frames.
    fn midway(&self) -> Option<u64>;

    /// The endpoint was not listened to for so long, since this was called last. That does not count where
    /// it has to say something in time.
    fn unheard(&mut self, time: Duration) {
        let _ = time;
    }

    /// When [`Protocol::tick`] has to be called, if nothing moves until then.
    fn deadline(&self, activity: Activity) -> Option<Instant>;

    /// Time has passed. Gives a reason if the session is over.
    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason>;

    /// Sends the endpoint a probe now; anything that arrives after that answers it. Gives whether this
    /// protocol has probes, and the session depends on the answer.
    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> bool {
        let _ = (now, out);
        false
    }

    /// Writes a goodbye, if the protocol has one. It says [`Protocol::complaint`] too where there is room for
    /// that.
    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter);

    /// Which frame has broken which rule, if one has, for people.
    fn complaint(&self) -> Option<String> {
        None
    }

    /// The endpoint has broken a rule that the protocol does not know, if it has broken none before.
    fn complain(&mut self, rule: &str) {
        let _ = rule;
    }
}

/// The client role of a protocol: the mirror of [`Protocol`].
pub trait Client: Send {
    /// Writes a command.
    ///
    /// # Errors
    /// The reason why this protocol cannot express the command; nothing was written.
    fn command(
        &mut self,
        now: Instant,
        command: Command,
        out: &mut FrameWriter,
    ) -> Result<(), Reason>;

    /// As [`Protocol::message_begins`].
    fn message_begins(&mut self, now: Instant, is_text: bool) {
        let _ = (now, is_text);
    }

    /// Takes bytes in. They are looked at by [`Client::poll`].
    fn receive(&mut self, now: Instant, bytes: Bytes);

    /// As [`Protocol::message_ended`].
    fn message_ended(&mut self, now: Instant) {
        let _ = now;
    }

    /// Gives the next event, or `None` when more bytes are needed. [`Event::Closed`] is the last.
    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Event>;

    /// As [`Protocol::deadline`].
    fn deadline(&self, activity: Activity) -> Option<Instant>;

    /// As [`Protocol::tick`].
    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason>;

    /// Sends the hub a probe now. Gives the number of the probe, which is above those of all before;
    /// `None` if this protocol has no probes, or not yet.
    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> Option<u64> {
        let _ = (now, out);
        None
    }

    /// The highest number of a question that was answered since this was called last. All before it
    /// were heard as well.
    fn answered(&mut self) -> Option<u64> {
        None
    }

    /// As [`Protocol::farewell`].
    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter);
}
