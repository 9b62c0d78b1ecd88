//! The opening of a connection: from its first byte until it is known which protocol it speaks.

use super::{Server, Serves, part};
use crate::deadline::FAR;
use crate::detect::{Detected, detect};
use crate::driving::Carrying;
use crate::gateway::{
    Carrier, Connection, Context, FirstMessage, Gateway, Match, Opened, Opening, Refused, Silence,
    Transport,
};
use crate::held::{self, Held};
use crate::http;
use crate::outlet::now;
use crate::proxy::preface;
use crate::reading::read;
use crate::refusal::{self, Refusal};
use crate::remote::Remote;
use crate::session::Driver;
use crate::stream::tls::{Broken, HANDSHAKE_CHARGE_BYTES};
use crate::stream::{self, Reader, Stream, Writer};
use crate::tls::server::Tls;
use crate::upgraded::Accepted;
use crate::ws;
use crate::ws::handshake::{self, RequestError};
use ::http::request::Parts;
use bytes::{BufMut, BytesMut};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::{Limit, Reason};
use std::sync::Arc;
use std::time::Duration;

/// What an opening leads to.
pub(super) enum Led {
    /// A session, and the right to its connection.
    Session(Box<Driver>, Admission),
    /// A gateway takes the connection over.
    Carried(Box<dyn Carrier>, Box<Connection>),
    /// Nothing.
    Ended(Reason),
}

/// A connection of which nothing is known yet.
struct Newcomer {
    reader: Reader,
    writer: Writer,
    remote: Remote,
    /// The request of its upgrade, once it has become a WebSocket.
    request: Option<Box<Parts>>,
    /// What is agreed on compression with it.
    deflate: Option<ws::Deflate>,
    /// Whether it speaks inside TLS.
    secured: bool,
    /// Why it has to, if it has to: a setting.
    tls_because: Option<&'static str>,
}

/// What a handshake has found, and the bytes that follow.
enum Shaken {
    /// A protocol. The bytes are its first.
    Spoken(Arc<dyn Gateway>, BytesMut),
    /// An upgrade to WebSocket, in which a protocol will be spoken.
    Upgraded(BytesMut),
    /// HTTP. The bytes begin with its first request.
    Request(BytesMut),
    /// TLS, and what has come of it.
    Tls(BytesMut),
    /// Nothing that is known here.
    Unknown(BytesMut),
}

/// What the first bytes of a protocol have told.
struct FirstWords {
    gateway: Arc<dyn Gateway>,
    /// Unwraps WebSocket frames, if the connection has them.
    websocket: Option<Box<ws::Connection>>,
    words: BytesMut,
    /// The message that the words begin, if they are from a WebSocket.
    message: Option<FirstMessage>,
}

/// The least that a WebSocket frame may hold: peote's html5 client sends up to this (docs/peote.md, section 4).
const WEBSOCKET_FRAME_BYTES: u64 = 65_536;

impl Newcomer {
    fn new(stream: Stream, remote: Remote, tls_because: Option<&'static str>) -> Self {
        let (reader, writer) = stream.into_split();
        let (request, deflate, secured) = (None, None, false);
        Self { reader, writer, remote, request, deflate, secured, tls_because }
    }
}

impl Server {
    /// Finds out what a connection speaks, and opens its session.
    pub(super) async fn open(
        &self,
        stream: Stream,
        serves: Serves,
        remote: Remote,
        mut admission: Admission,
    ) -> Led {
        let newcomer = Newcomer::new(stream, remote, self.tls_because(serves));
        let stop = &self.0.runner.parting.stop;
        let (mut newcomer, shaken) = tokio::select! {
            // Boxed, as each stage has a state of its own, and no connection is in two of them.
            shaken = Box::pin(self.shake(newcomer, &mut admission)) => match shaken {
                Ok(shaken) => shaken,
                Err(refusal) => return Led::Ended(self.note_refusal(remote, &refusal)),
            },
            () = stop.cancelled() => return Led::Ended(Reason::HubStopping),
        };
        let first = match shaken {
            Ok(Shaken::Spoken(gateway, words)) => {
                Ok(FirstWords { gateway, websocket: None, words, message: None })
            }
            Ok(Shaken::Upgraded(bytes)) => Box::pin(self.inside(&mut newcomer, bytes)).await,
            Ok(Shaken::Request(request)) => {
                let Newcomer { reader, writer, remote, .. } = newcomer;
                let (site, parting) = (&self.0.sites.public, self.0.runner.parting.clone());
                let from = (remote, &mut admission);
                match Box::pin(http::serve(site, (reader, writer), request, from, parting)).await {
                    http::Outcome::Ended(reason) => return Led::Ended(reason),
                    #[cfg(feature = "http")]
                    http::Outcome::Upgraded(http::Upgraded {
                        reader,
                        writer,
                        rest,
                        accepted: Accepted { remote, deflate, .. },
                        head,
                    }) => {
                        let request = Some(head);
                        newcomer =
                            Newcomer { reader, writer, remote, request, deflate, ..newcomer };
                        Box::pin(self.inside(&mut newcomer, rest)).await
                    }
                }
            }
            Ok(Shaken::Tls(_)) => Err(Refusal::tls()),
            Ok(Shaken::Unknown(first)) => {
                let fault = Refusal::unknown(&first);
                Err(Refusal::silent(Reason::UnknownProtocol).because(fault))
            }
            Err(refusal) => Err(refusal),
        };
        let opened = first.and_then(|first| match self.begin(&newcomer, &first) {
            Ok(opened) => Ok((opened, first)),
            Err(refusal) => Err(refusal),
        });
        match opened {
            Ok((opened, first)) => self.led(newcomer, opened, first, admission),
            Err(refusal) => {
                let Newcomer { mut reader, writer, remote, .. } = newcomer;
                Led::Ended(Box::pin(self.refuse((&mut reader, &writer), remote, refusal)).await)
            }
        }
    }

    /// Has the gateway open what a connection has begun.
    ///
    /// # Errors
    /// Why it is not served, and what is to be said before.
    fn begin(&self, newcomer: &Newcomer, first: &FirstWords) -> Result<Opened, Refusal> {
        let FirstWords { gateway, websocket, .. } = first;
        let transport = match websocket {
            Some(_) => Transport::WebSocket,
            None => Transport::Stream,
        };
        let context = Context {
            request: newcomer.request.as_deref(),
            channel_binding: newcomer.writer.channel_binding(),
            ..Context::new(&self.0.runner, transport, newcomer.remote.address)
        };
        gateway.open(&context).map_err(|Refused { reason, fault }| {
            match (transport, gateway.refusal(reason)) {
                (Transport::WebSocket, _) => {
                    Refusal::in_websocket(reason, ws::CloseCode::POLICY, Some(fault))
                }
                (Transport::Stream, Some(answer)) => {
                    Refusal::answered(reason, answer).because(fault)
                }
                (Transport::Stream, None) => Refusal::silent(reason).because(fault),
            }
        })
    }

    fn led(
        &self,
        newcomer: Newcomer,
        opened: Opened,
        first: FirstWords,
        admission: Admission,
    ) -> Led {
        let Newcomer { reader, writer, remote, .. } = newcomer;
        let FirstWords { websocket, words: first, message, .. } = first;
        match opened {
            Opened::Session(session) => {
                let carrying = Carrying {
                    remote,
                    certificate: writer.client_certificate(),
                    halves: (reader, writer),
                    websocket,
                    stall_min: Duration::ZERO,
                    tell_end: None,
                    transport: None,
                };
                let mut driver = self.0.runner.driver(session, carrying);
                driver.hear_first(first, message);
                Led::Session(driver, admission)
            }
            Opened::Carried(carrier) => {
                let first = first.freeze();
                let Remote { address, process } = remote;
                let connection = Connection {
                    reader,
                    writer,
                    websocket,
                    first,
                    first_message: message,
                    address,
                    process,
                    admission,
                };
                Led::Carried(carrier, Box::new(connection))
            }
        }
    }

    /// Says to a connection that it is not wanted, in the words of what it speaks.
    pub(super) async fn say_refused(
        &self,
        stream: Stream,
        serves: Serves,
        remote: Remote,
        reason: Reason,
    ) {
        let mut newcomer = Newcomer::new(stream, remote, self.tls_because(serves));
        let shaken = self.handshake(&mut newcomer, None, BytesMut::new()).await;
        let answer = match shaken {
            Ok(Shaken::Spoken(gateway, _)) => gateway.refusal(reason),
            Ok(Shaken::Upgraded(_)) => Some(refusal::close(ws::CloseCode::TRY_AGAIN, reason, None)),
            Ok(Shaken::Request(_)) => Some(refusal::later(reason)),
            Ok(Shaken::Tls(_)) => Refusal::tls().answer,
            Ok(Shaken::Unknown(_)) => None,
            Err(refusal) => refusal.answer,
        };
        if let Some(answer) = answer {
            part(&mut newcomer.reader, &newcomer.writer, &answer).await;
        }
    }

    /// Why a connection of a listener has to speak TLS, if it has to.
    fn tls_because(&self, serves: Serves) -> Option<&'static str> {
        let required = self.0.tls.as_ref().is_some_and(|tls| tls.required);
        match serves {
            Serves::Tls => Some("tls:// in server.listen"),
            Serves::All => required.then_some("tls.required"),
        }
    }

    /// The bound of a handshake, which holds for all that say nothing else.
    fn handshake_max(&self) -> Silence {
        Silence { most: self.hub().limits.handshake_max, limit: Limit::Handshake }
    }

    /// The handshake of a connection, in its time, and what it finds or why the connection ends.
    ///
    /// # Errors
    /// Why the connection has ended in the middle of a handshake of TLS.
    async fn shake(
        &self,
        mut newcomer: Newcomer,
        admission: &mut Admission,
    ) -> Result<(Newcomer, Result<Shaken, Refusal>), Refusal> {
        let late = |limit| {
            self.hub().metrics.hit(limit);
            Refusal::silent(Reason::HandshakeTimeout)
        };
        let handshake = self.handshake_max();
        let context = Context::new(&self.0.runner, Transport::Stream, newcomer.remote.address);
        let silence = self.0.gateways.silence_max(&context, handshake);
        let begun = now();
        let first = tokio::time::timeout(silence.most, read(&mut newcomer.reader)).await;
        let Ok(first) = first else {
            return Ok((newcomer, Err(late(silence.limit))));
        };
        // What a protocol may be silent longer than others does not count.
        let patience = silence.most - handshake.most;
        let begun = now().checked_sub(patience).map_or(begun, |spoke| begun.max(spoke));
        let until = tokio::time::Instant::from(begun + handshake.most);
        let found = {
            let shaken = async {
                let Newcomer { reader, remote, .. } = &mut newcomer;
                let first = first.unwrap_or_default();
                let first = preface(self.hub(), reader, first, remote, admission).await?;
                self.handshake(&mut newcomer, Some(&mut *admission), first).await
            };
            tokio::time::timeout_at(until, shaken).await
        };
        let found = match (found, &self.0.tls) {
            (Ok(Ok(Shaken::Tls(first))), Some(tls)) => {
                let secured = Box::pin(async {
                    let mut newcomer = match self.secure(newcomer, tls, &first).await {
                        Ok(newcomer) => newcomer,
                        Err((newcomer, refusal)) => return Ok((newcomer, Err(refusal))),
                    };
                    let first = read(&mut newcomer.reader).await.unwrap_or_default();
                    let found = match first.is_empty() {
                        true => Err(Refusal::LOST),
                        false => self.handshake(&mut newcomer, Some(admission), first).await,
                    };
                    Ok((newcomer, found))
                });
                return match tokio::time::timeout_at(until, secured).await {
                    Ok(secured) => secured,
                    Err(_elapsed) => Err(late(handshake.limit)),
                };
            }
            (Ok(found), _) => found,
            (Err(_elapsed), _) => Err(late(handshake.limit)),
        };
        Ok((newcomer, found))
    }

    /// Goes through the handshake of TLS.
    ///
    /// # Errors
    /// Why it has failed, and the connection, whose other side may not have heard that yet.
    async fn secure(
        &self,
        newcomer: Newcomer,
        tls: &Tls,
        first: &[u8],
    ) -> Result<Newcomer, (Newcomer, Refusal)> {
        let charge = held::tls(self.hub(), newcomer.remote, HANDSHAKE_CHARGE_BYTES);
        let charge = match charge {
            Ok(charge) => charge,
            Err(reason) => return Err((newcomer, Refusal::silent(reason))),
        };
        let accepted = match tls.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                let refusal = Refusal::silent(Reason::Internal).because(format!("TLS: {error}"));
                return Err((newcomer, refusal));
            }
        };
        let Newcomer { reader, writer, remote, tls_because, .. } = newcomer;
        let newcomer = |(reader, writer)| {
            let (request, deflate, secured) = (None, None, true);
            Newcomer { reader, writer, remote, request, deflate, secured, tls_because }
        };
        match stream::tls::handshake(accepted, (reader, writer), first, Some(charge)).await {
            Ok((reader, writer)) => Ok(newcomer((Reader::Tls(reader), Writer::Tls(writer)))),
            Err(Broken { error, halves }) => Err((newcomer(halves), Refusal::broken_tls(&error))),
        }
    }

    /// Reads until it is known what the connection speaks, and answers upgrades. `first` was read before.
    /// Where the connection comes from, and where it is counted if it is, may change with an upgrade.
    ///
    /// # Errors
    /// Why it ends, and what is to be said before.
    async fn handshake(
        &self,
        newcomer: &mut Newcomer,
        mut admission: Option<&mut Admission>,
        mut first: BytesMut,
    ) -> Result<Shaken, Refusal> {
        let site = &self.0.sites.public;
        let mut bytes = BytesMut::new();
        let mut detected = None;
        let mut begun = None;
        let mut until = now() + FAR;
        let mut held = Held::new(self.hub(), newcomer.remote);
        loop {
            let more = match first.is_empty() {
                true => tokio::time::timeout_at(until.into(), read(&mut newcomer.reader)).await,
                false => Ok(Ok(std::mem::take(&mut first))),
            };
            let Ok(more) = more else {
                self.hub().metrics.hit(site.head_max().1);
                return Err(Refusal::silent(Reason::HandshakeTimeout));
            };
            let more = more.unwrap_or_default();
            if more.is_empty() {
                return Err(Refusal::LOST);
            }
            let begun = *begun.get_or_insert_with(now);
            let line_ended = more.contains(&b'\n');
            bytes.unsplit(more);
            held.settle(bytes.capacity())
                .map_err(|reason| Refusal::answered(reason, refusal::later(reason)))?;
            detected = detected.or_else(|| detect(&self.0.gateways, &bytes));
            if let Some(plain @ (Detected::Http | Detected::Gateway(_))) = &detected
                && let Some(setting) = newcomer.tls_because
                && !newcomer.secured
            {
                return Err(Refusal::no_tls(setting, matches!(plain, Detected::Http)));
            }
            match detected {
                None => {}
                Some(Detected::Http) => {
                    until = begun + site.head_max().0;
                    // Looking at a head again for each of its bytes would be slow.
                    if (line_ended || bytes.len() > handshake::HEAD_BYTES_MAX)
                        && let Some(shaken) =
                            self.request(&mut bytes, newcomer, admission.as_deref_mut()).await?
                    {
                        return Ok(shaken);
                    }
                }
                Some(Detected::Gateway(gateway)) => {
                    return Ok(Shaken::Spoken(gateway.clone(), bytes));
                }
                Some(Detected::Tls) => return Ok(Shaken::Tls(bytes)),
                Some(Detected::Unknown) => return Ok(Shaken::Unknown(bytes)),
            }
        }
    }

    /// Looks at the first request, if its head is there whole. An upgrade is answered.
    async fn request(
        &self,
        bytes: &mut BytesMut,
        newcomer: &mut Newcomer,
        admission: Option<&mut Admission>,
    ) -> Result<Option<Shaken>, Refusal> {
        let Newcomer { writer, remote, request: upgraded, deflate: agreed, .. } = newcomer;
        let wrong = |error: RequestError| {
            Refusal::answered(Reason::Malformed, error.answer()).because(error)
        };
        let Some((request, length)) = handshake::parse_request(bytes).map_err(wrong)? else {
            return Ok(None);
        };
        let Some(upgrade) = &request.upgrade else {
            return Ok(Some(Shaken::Request(bytes.split())));
        };
        let has_origin = request.origin.is_some();
        // Where it has found this machine matters for web pages alone.
        let here = has_origin.then(|| writer.local_address()).flatten();
        let (head, from) = (&bytes[..length], (*remote, here));
        let (verdict, head) = self.0.sites.public.first_upgrade(upgrade, has_origin, head, from);
        let verdict = match admission {
            Some(admission) => http::counted(verdict, admission),
            None => verdict,
        };
        let Accepted { answer, remote: from, deflate } =
            verdict.map_err(|(reason, answer)| Refusal::answered(reason, answer))?;
        (*remote, *upgraded, *agreed) = (from, head.map(Box::new), deflate);
        match writer.write_all(&answer).await {
            Ok(()) => Ok(Some(Shaken::Upgraded(bytes.split_off(length)))),
            Err(_lost) => Err(Refusal::LOST),
        }
    }

    /// Tells what is spoken inside a WebSocket: by its request, or else by the first bytes.
    ///
    /// # Errors
    /// Why it ends, and what is to be said before.
    async fn inside(&self, newcomer: &mut Newcomer, rest: BytesMut) -> Result<FirstWords, Refusal> {
        let frame_bytes_max = self.hub().limits.frame_bytes_max as u64;
        // Peote's html5 client, and others of that age, do not keep to the letter of the standard.
        let config = ws::Config {
            frame_bytes_max: frame_bytes_max.max(WEBSOCKET_FRAME_BYTES),
            lenient: true,
        };
        let websocket = ws::Connection::new(ws::Role::Server, config);
        let mut websocket = Box::new(websocket.with_deflate(newcomer.deflate));
        websocket.receive(rest);
        if let Some(head) = &newcomer.request
            && let Ok(gateway) = self.0.gateways.recognise(&Opening::Upgrade(head))
        {
            let (gateway, websocket) = (gateway.clone(), Some(websocket));
            let words = BytesMut::new();
            return Ok(FirstWords { gateway, websocket, words, message: None });
        }
        let (idle_max, stop) = (self.hub().limits.idle_max, &self.0.runner.parting.stop);
        tokio::select! {
            first = self.words(newcomer, websocket) => first,
            () = stop.cancelled() => {
                Err(Refusal::in_websocket(Reason::HubStopping, ws::CloseCode::GOING_AWAY, None))
            }
            () = sleep_for(idle_max) => {
                self.hub().metrics.hit(Limit::Idle);
                Err(Refusal::in_websocket(Reason::IdleTimeout, ws::CloseCode::POLICY, None))
            }
        }
    }

    /// Waits for the first bytes inside a WebSocket.
    async fn words(
        &self,
        newcomer: &mut Newcomer,
        mut websocket: Box<ws::Connection>,
    ) -> Result<FirstWords, Refusal> {
        let Newcomer { reader, writer, remote, .. } = newcomer;
        let mut words = BytesMut::new();
        let mut held = Held::new(self.hub(), *remote);
        let context = Context::new(&self.0.runner, Transport::WebSocket, remote.address);
        let handshake = self.handshake_max();
        let mut silence = self.0.gateways.silence_max(&context, handshake);
        let mut until = now() + silence.most;
        loop {
            let (answer, throttled) = match websocket.poll() {
                Ok(Some(ws::Event::Data { kind, bytes, message_fin: ended, .. })) => {
                    if bytes.is_empty() {
                        continue;
                    }
                    if words.is_empty() {
                        // A client that has begun to speak goes on at once.
                        (until, silence) = (now() + handshake.most, handshake);
                    }
                    words.put(bytes);
                    let text = kind == ws::MessageKind::Text;
                    let opening = Opening::WebSocket { bytes: &words, text };
                    match self.0.gateways.recognise(&opening) {
                        Ok(gateway) => {
                            let (gateway, websocket) = (gateway.clone(), Some(websocket));
                            let message = Some(FirstMessage { kind, ended });
                            return Ok(FirstWords { gateway, websocket, words, message });
                        }
                        Err(Match::No) => {
                            let (code, fault) = (ws::CloseCode::POLICY, Refusal::unknown(&words));
                            let reason = Reason::UnknownProtocol;
                            return Err(Refusal::in_websocket(reason, code, Some(fault)));
                        }
                        Err(_) => continue,
                    }
                }
                Ok(Some(ws::Event::Closed(_))) => {
                    let code = websocket.answer().unwrap_or(ws::CloseCode::NORMAL);
                    return Err(Refusal::in_websocket(Reason::Bye, code, None));
                }
                Ok(None) => {
                    held.settle(words.capacity() + websocket.buffered()).map_err(|reason| {
                        Refusal::in_websocket(reason, ws::CloseCode::TRY_AGAIN, None)
                    })?;
                    let pong = websocket.pong().map_err(|_| Refusal::silent(Reason::Internal))?;
                    (pong, held.count(&mut websocket))
                }
                Err(error) => {
                    let (code, fault) = (error.close_code(), Some(error.to_string()));
                    return Err(Refusal::in_websocket(Reason::Malformed, code, fault));
                }
            };
            let moved = async {
                match answer {
                    Some(answer) => writer.write_all(&answer).await.is_ok(),
                    None => {
                        if let Some(throttled) = throttled {
                            tokio::time::sleep_until(throttled.into()).await;
                        }
                        let more = read(reader).await.unwrap_or_default();
                        let any = !more.is_empty();
                        websocket.receive(more);
                        any
                    }
                }
            };
            // A client that sends pings without end is always ready to be read.
            match tokio::time::timeout_at(until.into(), moved).await {
                Ok(true) if now() < until => {}
                Ok(false) => return Err(Refusal::LOST),
                Ok(true) | Err(_) => {
                    self.hub().metrics.hit(silence.limit);
                    let (reason, code) = (Reason::HandshakeTimeout, ws::CloseCode::POLICY);
                    return Err(Refusal::in_websocket(reason, code, None));
                }
            }
        }
    }
}

/// Waits for this long, or for ever.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
