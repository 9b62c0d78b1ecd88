//! The switch to encryption on one link: our call, the other side's, and what is sealed (section 8).
//!
//! Nothing of ours leaves in clear behind our call. The original is not as strict, and nothing in its
//! SWITCH tells a call from an answer:
//!
//! * Right before our call we ask for the clock. An original that hears both answers the question first.
//!   One that has called before it hears them puts the question off until it has got our call, and takes
//!   that for the answer. So if its SWITCH comes without the answer to the question, both may have
//!   called, and we say nothing until the first sealed packet tells whose keys hold; the answer to the
//!   question is one. What remains is an original that calls in the moment between our two packets.
//! * What the original had in work when it switched comes in clear behind its SWITCH: large packets that
//!   it was cutting, and when it has answered what its application says in that moment. All is told by
//!   numbers: the former are older, and the latter hardly newer.

use super::{Entry, Link, LinkError, PieceError, Received, SendError, Sending};
use crate::anysocket::cipher::{CipherError, Random, Switch, SwitchError, Taken};
use crate::anysocket::packet::{Kind, Packet};
use crate::value::Json;
use std::time::Instant;

/// What a link knows of its switch besides the keys. Numbers are 0 where there is none.
#[derive(Debug, Default)]
pub(super) struct Switching {
    /// Nothing but heartbeats leaves before, as our call is not to come too early.
    not_before: Option<Instant>,
    /// When our call must have been answered, or the doubt is over.
    until: Option<Instant>,
    /// How often it may be late yet, because it is not listened to.
    patience: u8,
    /// The question before our call, while it is not answered.
    question: i32,
    /// Our SWITCH.
    ours: i32,
    /// That of an original.
    theirs: i32,
    /// Whether that was its answer, as far as can be seen.
    answered: bool,
}

/// How often the other side gets its time anew because it is not listened to, or says other things: there must be
/// an end, as that may be its own doing.
const PATIENCE: u8 = 5;

/// How many packets an original numbers in the moment between its answer and its keys.
const HASTY_MAX: i32 = 64;

impl Switching {
    /// Whether our call has to wait, and all behind it.
    pub(super) fn is_early(&self) -> bool {
        self.not_before.is_some()
    }

    /// Whether a reply with this number answers the question, which is told once.
    pub(super) fn answers(&mut self, seq: i32) -> bool {
        let answers = self.question != 0 && seq.unsigned_abs() == self.question.unsigned_abs();
        if answers {
            self.question = 0;
        }
        answers
    }

    /// Whether a packet with this number may have been made before the original had its keys.
    fn may_be_clear(&self, seq: i32) -> bool {
        let hasty = if self.answered { HASTY_MAX } else { -1 };
        match seq {
            0 => false,
            1.. => self.theirs != 0 && seq <= self.theirs.saturating_add(hasty),
            _ => self.theirs != 0 && seq.unsigned_abs() < self.ours.unsigned_abs(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.not_before, self.until].into_iter().flatten().min()
    }
}

impl<T> Link<T> {
    /// Whether what is sent now has to wait: for the moment of our call, for the other side's answer, or until
    /// it is known whose keys hold.
    pub fn is_held(&self) -> bool {
        matches!(self.sending, Sending::Held | Sending::Doubtful) || self.switching.is_early()
    }

    /// Calls for encryption. From now on everything waits until the other side has answered. Gives how many
    /// packets were put into the queue for that.
    ///
    /// # Errors
    /// [`SendError::Switch`], [`SendError::Full`]
    pub fn encrypt(&mut self, now: Instant, random: &mut dyn Random) -> Result<usize, SendError> {
        self.encrypt_from(now, now, random)
    }

    /// As [`Self::encrypt`], but our call leaves at `from` at the earliest, and everything else waits for it from
    /// now on. If the other side calls before, that is answered at once.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub fn encrypt_from(
        &mut self,
        now: Instant,
        from: Instant,
        random: &mut dyn Random,
    ) -> Result<usize, SendError> {
        if !matches!(self.switch, Switch::Plain) {
            return Err(SwitchError::Already.into());
        }
        self.room(&Json::EMPTY)?;
        let asks = self.config.mark_switch;
        let body = self.switch.start(random, asks)?;
        if asks {
            self.switching.question = self.number();
            // What it says of the other side's clock is of no use here.
            let question = Json::made(r#"{"type":5,"time":0}"#.to_owned());
            self.queue.push(Entry::new(Kind::Internal, self.switching.question, question));
        }
        self.switching.ours = self.number();
        self.queue.push(Entry::switch(self.switching.ours, body, Sending::Held));
        self.switching.not_before = Some(from).filter(|from| *from > now);
        self.expect_answer(from);
        Ok(1 + usize::from(asks))
    }

    /// The other side is not listened to now, so that its answer may be here already: it gets its time anew. Of
    /// pieces see [`Self::unheard`].
    pub fn wait_longer(&mut self, now: Instant) {
        self.joins.wait_longer(now);
        self.be_patient(now);
    }

    /// The other side is listened to, and says other things: its answer may lie behind them. It gets its time anew.
    pub fn wait_for_answer(&mut self, now: Instant) {
        // What would end the doubt is the first thing that it says.
        if self.sending != Sending::Doubtful {
            self.be_patient(now);
        }
    }

    fn be_patient(&mut self, now: Instant) {
        let Switching { until, patience, .. } = &mut self.switching;
        if until.is_some_and(|until| until <= now) && *patience > 0 {
            *patience -= 1;
            *until = Some(now + self.config.switch_time_max);
        }
    }

    /// The other side has to say something from now on.
    fn expect_answer(&mut self, now: Instant) {
        self.switching.until = Some(now + self.config.switch_time_max);
        self.switching.patience = PATIENCE;
    }

    pub(super) fn seal(
        &mut self,
        random: &mut dyn Random,
        packet: Packet,
    ) -> Result<Packet, CipherError> {
        match self.switch.sealed() {
            Some(sealed) if self.sending == Sending::Sealed => {
                let body = sealed.seal(random, packet.seq, &packet.body)?;
                Ok(Packet { body, ..packet })
            }
            _ => Ok(packet),
        }
    }

    /// Decrypts what is encrypted.
    pub(super) fn open(&mut self, packet: Packet) -> Result<Packet, LinkError> {
        let Some(sealed) = self.switch.sealed() else {
            return Ok(packet);
        };
        let body = match sealed.open(packet.seq, &packet.body) {
            Ok(body) => body,
            Err(_) if self.switching.may_be_clear(packet.seq) => return Ok(packet),
            Err(error) => return Err(error.into()),
        };
        self.heard_sealed = true;
        self.end_doubt();
        Ok(Packet { body, ..packet })
    }

    /// The other side calls for encryption, or answers our call.
    pub(super) fn switched(
        &mut self,
        now: Instant,
        random: &mut dyn Random,
        packet: &Packet,
    ) -> Result<Received<T>, LinkError> {
        let Some(theirs) = &self.theirs else {
            return Err(LinkError::TooEarly(packet.kind));
        };
        if !packet.last {
            return Err(PieceError::NotInPieces.into());
        }
        let sent = self.sending == Sending::Held;
        let ids = (self.ours, theirs);
        let mark = self.config.mark_switch;
        let called = matches!(self.switch, Switch::Started(_));
        let taken = self.switch.receive(random, &packet.body, ids, mark, sent)?;
        let sealed = self.switch.sealed().expect("a taken switch has keys");
        let (fingerprint, doubtful) = (*sealed.fingerprint(), sealed.is_doubtful());
        self.switching.theirs = if sealed.is_marked() { 0 } else { packet.seq };
        self.switching.answered = matches!(taken, Taken::Done);
        self.switching.not_before = None;
        self.switching.until = None;
        match taken {
            Taken::Done if doubtful && self.switching.question != 0 => {
                self.sending = Sending::Doubtful;
                self.expect_answer(now);
            }
            Taken::Done => self.sending = Sending::Sealed,
            Taken::Answer(body) if called => self.queue.answer(body),
            Taken::Answer(body) => {
                self.switching.ours = self.number();
                self.queue.push(Entry::switch(self.switching.ours, body, Sending::Sealed));
            }
        }
        Ok(Received::Encrypted { fingerprint })
    }

    /// It is known whose keys hold, or has to be guessed.
    fn end_doubt(&mut self) {
        if self.sending == Sending::Doubtful {
            self.sending = Sending::Sealed;
            self.switching.until = None;
        }
    }

    pub(super) fn tick_switch(&mut self, now: Instant) -> Result<(), LinkError> {
        let Switching { not_before, until, .. } = &mut self.switching;
        if not_before.is_some_and(|from| from <= now) {
            *not_before = None;
        }
        if until.is_some_and(|until| until <= now) {
            if self.sending != Sending::Doubtful {
                return Err(LinkError::SwitchTimeout);
            }
            // Who does not answer the question is no original, and has not said that it has called.
            self.end_doubt();
        }
        Ok(())
    }
}
