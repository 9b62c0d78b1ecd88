//! Who may use the control center.

mod logins;
mod rules;
mod token;
mod tries;

pub(crate) use logins::{HOLDS, Hold};
pub use rules::Access;
pub(crate) use rules::Actor;
pub use token::{NoToken, Token};

use crate::model::{AccessState, ErrorCode};
use crate::refused::Refused;
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Version};
use crosspoint_hub::networks::Prefixes;
use crosspoint_hub::rate_limiter::RateLimiter;
use crosspoint_net::http::{Arrival, cookies};
use logins::{LoginId, Logins};
use rules::{Denied, Facts, Presented, decide, is_foreign_page, is_open};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tries::Tries;

/// The cookie of a login.
const COOKIE: &str = "crosspoint_control";

/// What a request says that means to change something. A page of another site cannot send it without asking first,
/// and nobody answers that.
const MARK: HeaderName = HeaderName::from_static("crosspoint-control");

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Lines about wrong tokens that are logged in a second.
const LINES_PER_SECOND_MAX: u64 = 10;

/// Decides who may come in, and remembers who has logged in.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Access,
    token: Option<Token>,
    prefixes: Prefixes,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tries: Tries,
    logins: Logins,
    lines: RateLimiter,
}

/// Somebody who may come in.
#[derive(Debug, Clone)]
pub(crate) struct Entrant {
    pub(crate) actor: Actor,
    pub(crate) caller: Caller,
    /// Because of which login, if it is because of one.
    pub(crate) hold: Option<Hold>,
}

/// Where a request comes from, as the log tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) Option<IpAddr>);

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("inside"),
        }
    }
}

/// What is known of a request, and keeps what [`Facts`] borrow.
struct Known<'a> {
    facts: Facts<'a>,
    caller: Caller,
}

impl Gate {
    pub(crate) fn new(
        access: Access,
        token: Option<Token>,
        prefixes: Prefixes,
        now: Instant,
    ) -> Self {
        let lines = RateLimiter::new(now, LINES_PER_SECOND_MAX, 0);
        let state = State { tries: Tries::default(), logins: Logins::default(), lines };
        Self { access, token, prefixes, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it guards is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn enter(&self, now: Instant, head: &Parts) -> Result<Entrant, Refused> {
        let Known { facts, caller } = known(head);
        let (presented, hold) = self.presented(now, &head.headers, caller)?;
        match decide(self.access, &facts, presented) {
            Ok(actor) => Ok(Entrant { actor, caller, hold }),
            Err(denied) => Err(self.refused(denied)),
        }
    }

    /// What a request is to the gate, without refusing it.
    pub(crate) fn look(&self, now: Instant, head: &Parts) -> AccessState {
        let facts = known(head).facts;
        let entrant = self.enter(now, head).ok();
        AccessState {
            open: is_open(self.access, &facts),
            signed_in: entrant.as_ref().is_some_and(|entrant| entrant.hold.is_some()),
            login: self.token.is_some(),
            actor: entrant.map(|entrant| entrant.actor.word().to_owned()),
        }
    }

    /// Lets somebody log in. Gives the cookie.
    ///
    /// # Errors
    /// A page of another site asks, or the token is wrong, or was too often.
    pub(crate) fn log_in(
        &self,
        now: Instant,
        head: &Parts,
        token: &str,
    ) -> Result<String, Refused> {
        let Known { facts, caller } = self.means_it(head)?;
        let Some(right) = &self.token else {
            let message = "There is no token to log in with. Set control.token, or use the control \
                           center from the machine of the hub.";
            return Err(Refused::new(ErrorCode::Forbidden, message));
        };
        if !self.is_right(now, caller, right, token.as_bytes())? {
            return Err(self.refused(Denied::WrongToken));
        }
        let id = LoginId::random().map_err(|error| {
            tracing::error!(%error, "nobody can log in to the control center");
            Refused::new(ErrorCode::Unavailable, "The hub has no randomness for a login.")
        })?;
        let mut state = self.state();
        // Whoever logs in again has one login.
        cookie_ids(&head.headers).for_each(|old| state.logins.end(&old));
        state.logins.add(now, id.clone());
        drop(state);
        tracing::info!(action = "login", actor = Actor::Login.word(), by = %caller, "control");
        let secure = if is_secure(head, &facts) { "; Secure" } else { "" };
        let age = HOLDS.as_secs();
        Ok(format!("{COOKIE}={id}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"))
    }

    /// Ends the login of a request, if it has one. Gives the cookie that ends it in the browser.
    ///
    /// # Errors
    /// A page of another site asks.
    pub(crate) fn log_out(&self, now: Instant, head: &Parts) -> Result<String, Refused> {
        let Known { caller, .. } = self.means_it(head)?;
        let mut state = self.state();
        let mut ended = false;
        for id in cookie_ids(&head.headers) {
            ended |= state.logins.find(now, &id).is_some();
            state.logins.end(&id);
        }
        drop(state);
        if ended {
            tracing::info!(action = "logout", actor = Actor::Login.word(), by = %caller, "control");
        }
        Ok(format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"))
    }

    /// A request that says that it means what it asks.
    fn means_it<'a>(&self, head: &'a Parts) -> Result<Known<'a>, Refused> {
        let known = known(head);
        if is_foreign_page(&known.facts) {
            return Err(self.refused(Denied::ForeignPage));
        }
        match known.facts.is_marked {
            true => Ok(known),
            false => Err(self.refused(Denied::Unmarked)),
        }
    }

    /// What a request presents.
    fn presented(
        &self,
        now: Instant,
        headers: &HeaderMap,
        caller: Caller,
    ) -> Result<(Presented, Option<Hold>), Refused> {
        if let (Some(token), Some(bearer)) = (&self.token, bearer(headers)) {
            let presented = match self.is_right(now, caller, token, bearer)? {
                true => Presented::Token,
                false => Presented::WrongToken,
            };
            return Ok((presented, None));
        }
        let state = self.state();
        let hold = cookie_ids(headers).find_map(|id| state.logins.find(now, &id));
        Ok(match hold {
            Some(hold) => (Presented::Login, Some(hold)),
            None => (Presented::Nothing, None),
        })
    }

    /// The address for which wrong tokens are counted.
    fn holder(&self, caller: Caller) -> Option<IpAddr> {
        caller.0.map(|address| self.prefixes.holder(address))
    }

    /// Whether a token is the right one, for somebody who may try.
    ///
    /// # Errors
    /// Too many wrong ones have come from there.
    fn is_right(
        &self,
        now: Instant,
        caller: Caller,
        right: &Token,
        given: &[u8],
    ) -> Result<bool, Refused> {
        let holder = self.holder(caller);
        // Under one lock, so that many tries at the same time are no more than others.
        let mut state = self.state();
        if let Some(wait) = state.tries.wait(now, holder) {
            let message = "Too many wrong tokens have come from this address. Wait a minute.";
            return Err(Refused::new(ErrorCode::TooManyTries, message).after(wait));
        }
        if right.is(given) {
            return Ok(true);
        }
        state.tries.count(now, holder);
        let is_logged = state.lines.count(now, 1, 0).0.is_none();
        drop(state);
        if is_logged {
            tracing::warn!(action = "wrong_token", by = %caller, "control");
        }
        Ok(false)
    }

    fn refused(&self, denied: Denied) -> Refused {
        match denied {
            Denied::Unknown if self.token.is_none() => {
                let message = "The control center is open at the machine of the hub alone, under a \
                               name such as localhost. For others, set control.token.";
                Refused::new(ErrorCode::Unauthorized, message)
            }
            Denied::Unknown => {
                let message = "Present the token of the control center (control.token) as \
                               `Authorization: Bearer TOKEN`, or log in.";
                Refused::new(ErrorCode::Unauthorized, message)
            }
            Denied::WrongToken => {
                Refused::new(ErrorCode::Unauthorized, "This is not the token (control.token).")
            }
            Denied::ForeignPage => {
                let message = "Pages of other sites may not use the control center. Open the page \
                               of the hub itself.";
                Refused::new(ErrorCode::Forbidden, message)
            }
            Denied::Unmarked => {
                let message = "A request that changes something needs the header \
                               `Crosspoint-Control: 1`, or the token as `Authorization: Bearer TOKEN`.";
                Refused::new(ErrorCode::Forbidden, message)
            }
        }
    }
}

/// What a request says and the system knows of it.
fn known(head: &Parts) -> Known<'_> {
    let (headers, arrival) = (&head.headers, head.extensions.get::<Arrival>());
    let said =
        |name: HeaderName| headers.contains_key(&name).then(|| one(headers, &name).unwrap_or(""));
    let facts = Facts {
        peer: arrival.and_then(Arrival::peer),
        local: arrival.and_then(Arrival::local),
        through_proxy: arrival.is_none_or(Arrival::is_through_proxy),
        is_http11: head.version == Version::HTTP_11,
        host: one(headers, &HOST),
        origin: said(ORIGIN),
        fetch_site: said(FETCH_SITE),
        is_marked: one(headers, &MARK) == Some("1"),
        changes: !head.method.is_safe(),
    };
    let address = head.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
    let caller = Caller(address.map(|address| address.0.ip().to_canonical()));
    Known { facts, caller }
}

/// Whether the browser speaks TLS, as far as is known.
fn is_secure(head: &Parts, facts: &Facts<'_>) -> bool {
    let arrival = head.extensions.get::<Arrival>();
    arrival.is_some_and(Arrival::is_tls)
        || facts.through_proxy
            && one(&head.headers, &FORWARDED_PROTO)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_first_chunk::<7>()?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// The ids in the cookies of a request. A browser sends more than one if somebody has planted another.
fn cookie_ids(headers: &HeaderMap) -> impl Iterator<Item = LoginId> {
    /// Others are not looked at.
    const COOKIES_MAX: usize = 4;
    let ours = cookies(headers).filter(|(name, _)| *name == COOKIE).take(COOKIES_MAX);
    ours.filter_map(|(_, value)| LoginId::parse(value))
}
