//! The client's side: a connection that comes back by itself.

use super::RETAINED_BYTES;
use super::backoff::Backoff;
use super::carrier::{Carrier, Parted};
use super::core::{Agreed, Flow, Side, silence_max};
use super::link::{Fault, Link};
use super::receipt::{Connectivity, Receipt, Totals, Why};
use super::record::{Accepted, Gone, MAGIC, Open, Record, VERSION, millis};
use super::token::{Known, Token};
use crate::client::{self, Dialed, Endpoint};
use crate::memory;
use crate::outlet::now;
use crosspoint_hub::Reason;
use std::fmt;
use std::io;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long the hub may take for what is left when the session ends.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Gives random numbers, for the pauses between attempts.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// How a client comes back.
pub struct Options {
    /// Where the hub is reached. The first that works is taken, and when it is lost, tried first;
    /// then the others in turns, which may be of other transports.
    pub endpoints: Vec<Endpoint>,
    /// How long to look for the hub; `None` for as long as the hub may still wait.
    pub window: Option<Duration>,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// How long one attempt may take.
    pub attempt_max: Duration,
    /// After how much silence of a connection both sides are to send a probe. The hub
    /// has bounds for that. `None`: what is usual at the hub.
    pub heartbeat: Option<Duration>,
    /// Randomness for the pauses.
    pub random: Random,
}

impl Options {
    /// A client that looks for its hub at these places, with everything else as is usual.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            window: None,
            backoff: Backoff::default(),
            attempt_max: Duration::from_secs(5),
            heartbeat: None,
            // Without randomness the pauses are the shortest.
            random: Box::new(|| getrandom::u64().unwrap_or_default()),
        }
    }

    /// What the first record of a connection says, whatever connection that is.
    fn asks(&self, known: Known, received: Totals, sent: Totals) -> Asks {
        let heartbeat_ms = self.heartbeat.map_or(0, |interval| millis(interval).max(1));
        Asks { known, received, sent, heartbeat_ms }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("endpoints", &self.endpoints)
            .field("window", &self.window)
            .field("heartbeat", &self.heartbeat)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

/// What is said on a connection first.
#[derive(Clone, Copy)]
struct Asks {
    known: Known,
    received: Totals,
    sent: Totals,
    heartbeat_ms: u32,
}

/// What the hub answers to a first record.
enum Answer {
    Accepted(Box<Link>, Accepted),
    Gone(Gone),
    Refused(Reason),
    /// No sense.
    Broken,
}

/// Connects to a hub with a session that survives its connections.
///
/// What is given runs any client of the native protocol, as if it were one connection. When the
/// session cannot go on, that connection ends; the state tells why and what was lost.
///
/// # Errors
/// Those of [`client::dial`] at the last of the endpoints; [`io::ErrorKind::InvalidInput`] without
/// endpoints, [`io::ErrorKind::TimedOut`] after [`Options::attempt_max`], and
/// [`io::ErrorKind::ConnectionRefused`] or [`io::ErrorKind::InvalidData`] if the hub does not want
/// it or cannot do it.
pub async fn dial(options: Options) -> io::Result<(Dialed, watch::Receiver<Connectivity>)> {
    let asks = options.asks(Known::NOTHING, Totals::default(), Totals::default());
    let mut result = Err(io::Error::new(io::ErrorKind::InvalidInput, "no endpoint was given"));
    for (index, endpoint) in options.endpoints.iter().enumerate() {
        result = begin(endpoint, asks, options.attempt_max).await.map(|begun| (index, begun));
        if result.is_ok() {
            break;
        }
    }
    let (index, (mut link, accepted, agreed)) = result?;
    let channel_binding = link.writer.channel_binding();
    let (drivers_end, end) = memory::way();
    let flow = Flow::new(now(), Side::Client, agreed);
    let (state, states) = watch::channel(Connectivity::Connected);
    let silence = silence_max(agreed.heartbeat);
    let waits = Duration::from_millis(accepted.window_ms.into()) + silence;
    let patience = options.window.map_or(waits, |window| window.min(waits));
    // Until the loss is noticed, until the hub is found again, and until the last attempt has succeeded.
    let away_max = silence + patience + options.attempt_max;
    let seeker = Seeker {
        known: Known { token: accepted.token, bound: accepted.bound },
        patience,
        carrier: Carrier::new(flow, end.into(), FLUSH_MAX),
        goodbye_by: None,
        options,
        index,
        state,
    };
    tokio::spawn(async move { seeker.run(&mut link).await });
    let dialed = Dialed::direct(drivers_end.into()).away_for(away_max).bound_to(channel_binding);
    Ok((dialed, states))
}

/// Opens a session at one place.
async fn begin(
    endpoint: &Endpoint,
    asks: Asks,
    attempt_max: Duration,
) -> io::Result<(Box<Link>, Accepted, Agreed)> {
    let wrong = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let answer = timeout(attempt_max, knock(endpoint, asks)).await.map_err(io::Error::other);
    let answer = answer.map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))?;
    match answer {
        Ok(Answer::Accepted(link, accepted)) => {
            let (least, most) = RETAINED_BYTES;
            let window = accepted.retained_bytes_max;
            let heartbeat = Duration::from_millis(accepted.heartbeat_ms.into());
            let fits = (least..=most).contains(&window) && !heartbeat.is_zero();
            match fits && accepted.token != Token::NEW && accepted.received == 0 {
                true => Ok((link, accepted, Agreed { window, heartbeat })),
                false => Err(wrong("the hub offers what makes no sense; is it the same version?")),
            }
        }
        Ok(Answer::Refused(reason)) => {
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason.to_string()))
        }
        Ok(Answer::Gone(_) | Answer::Broken) => {
            Err(wrong("what answers does not resume sessions; dial it without"))
        }
        Err(Fault::Lost(error)) => Err(error),
        Err(fault) => Err(io::Error::new(io::ErrorKind::InvalidData, fault)),
    }
}

/// Connects, says the first record and waits for the answer.
async fn knock(endpoint: &Endpoint, asks: Asks) -> Result<Answer, Fault> {
    let Asks { known, received, sent, heartbeat_ms } = asks;
    let mut link = Box::new(Link::dialed(client::dial(endpoint).await?));
    let (token, proof) = known
        .shown(link.writer.channel_binding())
        .map_err(io::Error::other)
        .map_err(Fault::Lost)?;
    link.out.small(&MAGIC);
    link.say(Record::Open(Open { version: VERSION, token, received, sent, heartbeat_ms, proof }));
    link.flush().await?;
    loop {
        return Ok(match link.next()? {
            Some(Record::Accepted(accepted)) => Answer::Accepted(link, accepted),
            Some(Record::Gone(gone)) => Answer::Gone(gone),
            Some(Record::Refused(reason)) => Answer::Refused(reason),
            Some(_) => Answer::Broken,
            None => {
                link.read().await?;
                continue;
            }
        });
    }
}

/// Looks for the hub whenever it is lost.
struct Seeker {
    options: Options,
    known: Known,
    patience: Duration,
    carrier: Carrier,
    /// When the hub is not looked for any longer, if the session has ended here.
    goodbye_by: Option<Instant>,
    /// Which endpoint is used.
    index: usize,
    state: watch::Sender<Connectivity>,
}

impl Seeker {
    async fn run(mut self, link: &mut Link) {
        if self.carrier.attach(0, 0).is_err() {
            return self.end(Why::Broken, None);
        }
        loop {
            let ended = match self.carrier.carry(link).await {
                // Where nothing is taken another connection may do better.
                Parted::Lost | Parted::Overdue | Parted::Stalled => match self.seek().await {
                    Ok(new) => {
                        *link = *new;
                        // Nobody may be listening; the state is there all the same.
                        self.state.send_replace(Connectivity::Connected);
                        continue;
                    }
                    Err(ended) => ended,
                },
                Parted::SessionEnded => {
                    self.finish();
                    continue;
                }
                Parted::Done => {
                    self.state.send_replace(Connectivity::Ended);
                    return;
                }
                Parted::Gone(gone) => (gone.why, Some(gone)),
                Parted::Refused(reason) => (Why::Refused(reason), None),
                Parted::Broken(broken) => {
                    tracing::warn!(%broken, "the hub broke the protocol");
                    (Why::Broken, None)
                }
            };
            return self.end(ended.0, ended.1);
        }
    }

    /// Looks for the hub.
    ///
    /// # Errors
    /// Why the session cannot go on.
    async fn seek(&mut self) -> Result<Box<Link>, (Why, Option<Gone>)> {
        let since = now();
        for attempts in 0.. {
            let until = since + self.patience;
            let until = self.goodbye_by.map_or(until, |by| by.min(until));
            self.state.send_replace(Connectivity::Away { since, attempts });
            let pause = self.options.backoff.pause(attempts, (self.options.random)());
            self.meanwhile(until, sleep(pause)).await.ok_or((Why::NoAnswer, None))?;
            let (sent, received) = self.carrier.flow.totals();
            let asks = self.options.asks(self.known, received, sent);
            let turn = attempts as usize % self.options.endpoints.len();
            let index = (self.index + turn) % self.options.endpoints.len();
            let endpoint = self.options.endpoints[index].clone();
            let attempt = timeout(self.options.attempt_max, knock(&endpoint, asks));
            match self.meanwhile(until, attempt).await {
                None => break,
                Some(Ok(Ok(Answer::Accepted(link, accepted)))) => {
                    self.index = index;
                    // Another session than the one that was asked for is somebody else's. A hub that does not
                    // know the token is no hub.
                    let fits = accepted.token == self.known.token
                        && self.carrier.flow.fits(accepted.received, accepted.sent);
                    let attached = self.carrier.attach(accepted.received, received.bytes);
                    return match fits && attached.is_ok() {
                        true => Ok(link),
                        false => Err((Why::Broken, None)),
                    };
                }
                Some(Ok(Ok(Answer::Gone(gone)))) => return Err((gone.why, Some(gone))),
                Some(Ok(Ok(Answer::Refused(
                    reason @ (Reason::Malformed | Reason::VersionUnsupported | Reason::Replaced),
                )))) => return Err((Why::Refused(reason), None)),
                Some(Ok(Ok(Answer::Broken))) => return Err((Why::Broken, None)),
                // It may do better the next time.
                Some(Ok(Ok(Answer::Refused(_)) | Err(_)) | Err(_)) => {}
            }
        }
        Err((Why::NoAnswer, None))
    }

    /// Does something while the session goes on; `None` if it takes too long.
    async fn meanwhile<T>(&mut self, until: Instant, what: impl Future<Output = T>) -> Option<T> {
        let mut what = std::pin::pin!(what);
        let mut late = std::pin::pin!(tokio::time::sleep_until(until.into()));
        loop {
            let keeping = !self.carrier.has_ended();
            tokio::select! {
                biased;
                result = &mut what => return Some(result),
                () = &mut late => return None,
                () = self.carrier.keep(), if keeping => self.finish(),
            }
        }
    }

    /// The session has ended here. The hub is to hear of it.
    fn finish(&mut self) {
        self.carrier.finish();
        self.goodbye_by.get_or_insert(now() + self.patience);
    }

    /// The session cannot go on.
    fn end(self, why: Why, gone: Option<Gone>) {
        let (we_sent, we_received) = self.carrier.flow.totals();
        let totals = gone.and_then(|gone| gone.totals);
        let receipt = Receipt {
            why,
            we_sent,
            we_received,
            acknowledged: self.carrier.flow.acknowledged(),
            they_received: totals.map(|(received, _)| received),
            they_sent: totals.map(|(_, sent)| sent),
            more: gone.is_some_and(|gone| gone.more),
        };
        let arrived = receipt.lost_out().is_some_and(|lost| lost.is_nothing());
        let came = receipt.lost_in().is_some_and(|lost| lost.is_nothing()) && !receipt.more;
        // A client that has said goodbye does not miss the answer.
        let left = self.carrier.has_ended() && (arrived || self.carrier.flow.is_settled());
        let in_order = matches!(why, Why::Ended(_)) && arrived && came;
        self.state.send_replace(match left || in_order {
            true => Connectivity::Ended,
            false => Connectivity::Gone { receipt },
        });
    }
}
