//! What is asked, and of whom.

use crate::client_certificate::ClientCertificate;
use bytes::Bytes;
use crosspoint_hub::{Grant, Limit, PeerId, Permissions, Reason};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// What a client has said and shown about itself when it wants to enter.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The protocol that the client speaks, as `Wire::name` calls it: `native`, `anysocket`, `peote`.
    pub protocol: &'static str,
    /// Where the connection comes from; `None` for one from inside the program or over a socket of the file
    /// system.
    pub address: Option<IpAddr>,
    /// The process at the other end of a socket of the file system. The system vouches for it.
    pub process: Option<Process>,
    /// The certificate that the client has shown over TLS. An authority vouches for it that the hub trusts for its
    /// clients.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The peer id that the client gives itself.
    pub peer: Option<PeerId>,
    /// Whether the client has proven that it holds the key that belongs to its peer id. Otherwise
    /// anybody may claim that id.
    pub key_proven: bool,
    /// The name that the client gives itself. Nothing proves it.
    pub name: Option<String>,
    /// The bytes of the token; from an AnySocket program the JSON text of its `auth` value.
    pub token: Option<Bytes>,
}

/// A process on this machine, as the system knew it when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its id, where the system tells it.
    pub id: Option<i32>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.user)?;
        self.id.map_or(Ok(()), |id| write!(f, " pid {id}"))
    }
}

impl Credentials {
    /// A protocol whose tokens are JSON text.
    pub const ANYSOCKET: &str = "anysocket";
    /// Another one.
    pub const SOCKETIO: &str = "socketio";

    /// The token as the client meant it, of at most `bytes_max` bytes as it came.
    ///
    /// For a program with AnySocket or Socket.IO this is the text of `auth`, or of the field `token` in it, where a number
    /// is the text of its digits; for all others the token as it is. `Bearer` and a space before it, and the line
    /// end behind it of a file that it was read from, are not part of it.
    ///
    /// # Errors
    /// When there is none, when it is too long, or when a program with AnySocket or Socket.IO gives something else.
    pub fn token(&self, bytes_max: usize) -> Result<Cow<'_, [u8]>, Denied> {
        let token = self.token.as_deref().ok_or(Denied::new("no token was given"))?;
        if token.len() > bytes_max {
            return Err(Denied::new(format!(
                "the token has {} bytes, more than {bytes_max}",
                token.len()
            )));
        }
        if ![Self::ANYSOCKET, Self::SOCKETIO].contains(&self.protocol) {
            return Ok(Cow::Borrowed(bare(token)));
        }
        let text = auth_text(token).ok_or(Denied::new(
            "auth is neither a text or number nor an object with such a `token`",
        ))?;
        Ok(Cow::Owned(bare(text.as_bytes()).to_vec()))
    }
}

/// A token without what programs put around it.
fn bare(token: &[u8]) -> &[u8] {
    const SCHEME: &[u8] = b"Bearer ";
    let token = match token.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
        _ => token,
    };
    let end = token.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &token[..end.map_or(0, |end| end + 1)]
}

/// The text of an `auth` value.
fn auth_text(auth: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        token: &'a RawValue,
    }
    let auth = str::from_utf8(auth).ok()?.trim();
    let scalar = match auth.starts_with('{') {
        true => serde_json::from_str::<Object<'_>>(auth).ok()?.token.get(),
        false => auth,
    };
    // A program may take a secret of digits for a number.
    let number = serde_json::from_str::<serde_json::Number>(scalar).is_ok();
    if number { Some(scalar.to_owned()) } else { serde_json::from_str(scalar).ok() }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, process, certificate, peer, key_proven, name, token } = self;
        f.debug_struct("Credentials")
            .field("protocol", protocol)
            .field("address", address)
            .field("process", process)
            .field("certificate", certificate)
            .field("peer", peer)
            .field("key_proven", key_proven)
            .field("name", name)
            .field("token", &token.as_ref().map(|_| "***"))
            .finish()
    }
}

/// A client may not enter.
///
/// The text is for the log of the hub. The client hears [`Reason::NotAllowed`] and nothing more, so
/// that it cannot learn which names and keys there are, unless something else is
/// [said](Self::telling).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// Why, in words; without the token.
    pub reason: Cow<'static, str>,
    /// What the client hears.
    pub told: Reason,
    /// The limit that was reached, if one was: counted in the metric `limit_hits`.
    pub limit: Option<Limit>,
}

impl Denied {
    /// A refusal, and why.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), told: Reason::NotAllowed, limit: None }
    }

    /// Lets the client hear something else than [`Reason::NotAllowed`]: [`Reason::Busy`] if it was
    /// not looked at who it is, [`Reason::Expired`] if that was once right.
    #[must_use]
    pub fn telling(self, told: Reason) -> Self {
        Self { told, ..self }
    }

    /// The credentials grant a name that others [reserve](Authenticator::reserves).
    pub(crate) fn reserved(name: &str) -> Self {
        Self::new(format!("the name {} is reserved for other credentials", quoted(name)))
    }

    /// Says which setting was the limit.
    #[must_use]
    pub fn at_limit(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Self {
        denied.told
    }
}

/// A name from outside as the log may show it: in quotation marks, without control characters, cut.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", printable(name, 64))
}

/// Text from outside without control characters, and cut after so many characters.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    let visible = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut shown: String = text.chars().take(chars_max).map(visible).collect();
    if text.chars().nth(chars_max).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A future behind a pointer, as [`Authenticator::authenticate`] gives it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides who may enter, and what they may do.
///
/// It is asked once for each session, before the session can do anything. The one who asks waits
/// no longer than the time of a handshake (`limits.handshake_ms_max`) and then drops the future.
/// Many sessions ask at the same time: what costs memory or processor time has to be bounded here.
pub trait Authenticator: Send + Sync + 'static {
    /// Grants or denies.
    ///
    /// # Errors
    /// [`Denied`] if the client may not enter.
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>>;

    /// Whether some credentials grant this name. Then a session whose own credentials do not is
    /// refused if it calls itself so, whether anybody has the name now or not. Of several
    /// authenticators ([`Either`](crate::Either)), one that does not reserve it cannot grant it either.
    fn reserves(&self, name: &str) -> bool {
        let _ = name;
        false
    }
}

impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        A::authenticate(self, credentials)
    }

    fn reserves(&self, name: &str) -> bool {
        A::reserves(self, name)
    }
}

impl fmt::Debug for dyn Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

/// An [`Authenticator`] that is a function; made by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

/// Makes an [`Authenticator`] of a closure that gives a future.
pub fn from_fn<F, T>(function: F) -> FromFn<F>
where
    F: Fn(Credentials) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Grant, Denied>> + Send + 'static,
{
    FromFn(function)
}

impl<F, T> Authenticator for FromFn<F>
where
    F: Fn(Credentials) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Grant, Denied>> + Send + 'static,
{
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin((self.0)(credentials))
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

/// Lets sessions of one protocol in without credentials, for protocols that can present none, and has
/// all others checked.
#[derive(Debug, Clone)]
pub struct Exempt {
    /// The protocol, as [`Credentials::protocol`] calls it.
    pub protocol: &'static str,
    /// What its sessions may do.
    pub permissions: Permissions,
    /// Who checks the others.
    pub others: Arc<dyn Authenticator>,
}

impl Authenticator for Exempt {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        match credentials.protocol == self.protocol {
            true => Box::pin(async move {
                Ok(Grant { permissions: self.permissions.clone(), ..Grant::default() })
            }),
            false => self.others.authenticate(credentials),
        }
    }

    fn reserves(&self, name: &str) -> bool {
        self.others.reserves(name)
    }
}

/// Lets everybody in without looking at anything, with the same permissions for all.
#[derive(Debug, Clone, Default)]
pub struct Anyone(pub Permissions);

impl Authenticator for Anyone {
    fn authenticate(&self, _: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        let grant = Grant { permissions: self.0.clone(), ..Grant::default() };
        Box::pin(std::future::ready(Ok(grant)))
    }
}
