//! Secrets that the hub shares with clients.

mod attempt;
mod gate;
mod groups;
mod hash;
mod known;
mod line;
mod wrongs;

use crate::authenticator::quoted;
use crate::{Authenticator, BoxFuture, Credentials, Denied};
use attempt::{Attempt, Origin};
use crosspoint_hub::networks::Prefixes;
use crosspoint_hub::{Grant, Limit, Reason};
use gate::{Checked, Gate, GateError};
pub use hash::{HashError, SecretHash};
use known::{Known, Memory};
use line::Refusal;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of a secret, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest token: name, colon, secret; and room for quotation marks and escapes of JSON.
const TOKEN_BYTES_MAX: usize = 2 * (NAME_BYTES_MAX + 1 + hash::SECRET_BYTES_MAX);

/// What checking secrets may cost, and how much of that one address may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLimits {
    /// How many secrets are checked at once, at least 1; as many as there are cores unless set. Each
    /// takes the memory that its hash asks for, and a core.
    pub running_max: usize,
    /// How many checks may wait for their turn. Above, the newcomer takes the place of one whose address has
    /// given a wrong secret lately, or the last place of the network, the address or the name of which the
    /// most wait, or is denied with [`Reason::Busy`] if those are no more than its own.
    pub waiting_max: usize,
    /// How many of one address may wait. Above: denied with [`Reason::Busy`].
    pub waiting_per_address_max: usize,
    /// After ten wrong secrets from one address in short: how long it has to wait for its next turn
    /// after each more. Each is forgiven after the same time. Zero: no pause.
    pub wrong_pause: Duration,
    /// For how long a secret that was right is let in again without a check, so that a flood of wrong
    /// ones does not keep out who has come lately. Zero: not at all.
    pub remembered: Duration,
    /// How much of an address tells who has it.
    pub prefixes: Prefixes,
    /// Whether addresses of the loopback range are free of what holds for one address, as those
    /// from inside the program always are.
    pub loopback_exempt: bool,
}

impl Default for CheckLimits {
    fn default() -> Self {
        Self {
            running_max: std::thread::available_parallelism().map_or(2, NonZero::get),
            waiting_max: 128,
            waiting_per_address_max: 16,
            wrong_pause: Duration::from_secs(1),
            remembered: Duration::from_secs(300),
            prefixes: Prefixes::default(),
            loopback_exempt: true,
        }
    }
}

/// A secret that lets clients in.
#[derive(Debug, Clone)]
pub struct Secret {
    /// What a client writes before the colon: 1 to 255 bytes without a colon.
    pub name: String,
    /// The hash of what it writes behind it.
    pub hash: SecretHash,
    /// What it gets.
    pub grant: Grant,
}

/// A secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The name is empty, too long, or has a colon.
    #[error("the name {0} is wrong; expected 1 to {NAME_BYTES_MAX} bytes without a colon")]
    Name(String),
    /// Two have the same name.
    #[error("the name {0} is there twice")]
    Twice(String),
}

/// Lets in who knows a secret. The token is `NAME:SECRET`.
///
/// The check is slow on purpose, so it runs on threads for blocking work, within [`CheckLimits`].
/// Networks, addresses and names take turns, so a flood from one of them, or for one name, keeps nobody else
/// out. A name that does not exist takes
/// as long as one that does. Needs a tokio runtime with time.
#[derive(Debug)]
pub struct Secrets {
    by_name: HashMap<String, Arc<Entry>>,
    /// The names that sessions get.
    granted_names: HashSet<String>,
    /// All of them, to be checked in vain for names that do not exist.
    decoys: Vec<Arc<Entry>>,
    /// Chooses the decoy of a name: always the same, and not to be foreseen.
    choice: RandomState,
    prefixes: Prefixes,
    gate: Gate,
    memory: Memory,
    remembered: Duration,
}

/// A secret, and whether it was right lately.
#[derive(Debug)]
struct Entry {
    secret: Secret,
    known: Known,
}

impl Secrets {
    /// These secrets.
    ///
    /// # Errors
    /// When a name is wrong or there twice.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Result<Self, SecretError> {
        let mut by_name = HashMap::new();
        let mut granted_names = HashSet::new();
        let mut decoys = Vec::new();
        for secret in secrets {
            let name = &secret.name;
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(':') {
                return Err(SecretError::Name(quoted(name)));
            }
            granted_names.extend(secret.grant.name.clone());
            let entry = Arc::new(Entry { secret, known: Known::default() });
            match by_name.entry(entry.secret.name.clone()) {
                Occupied(taken) => return Err(SecretError::Twice(quoted(taken.key()))),
                Vacant(free) => free.insert(Arc::clone(&entry)),
            };
            decoys.push(entry);
        }
        let limits = CheckLimits::default();
        Ok(Self {
            by_name,
            granted_names,
            decoys,
            choice: RandomState::new(),
            remembered: limits.remembered,
            prefixes: limits.prefixes,
            gate: Gate::new(limits),
            memory: Memory::new(),
        })
    }

    /// Sets other limits than the default ones.
    #[must_use]
    pub fn with_limits(self, limits: CheckLimits) -> Self {
        let (remembered, prefixes) = (limits.remembered, limits.prefixes);
        Self { remembered, prefixes, gate: Gate::new(limits), ..self }
    }

    async fn check(&self, credentials: Credentials) -> Result<Grant, Denied> {
        let token = credentials.token(TOKEN_BYTES_MAX)?;
        let (name, secret) = split(&token)?;
        let found = self.by_name.get(name);
        let Some(checked) = found.or_else(|| self.decoy(name)).map(Arc::clone) else {
            return Err(Denied::new("there are no secrets"));
        };
        let attempt = Attempt {
            origin: Origin::of(credentials.address, self.prefixes),
            name: self.choice.hash_one(name),
            token: self.choice.hash_one(&*token),
        };
        let tag = self.memory.tag(&token).filter(|_| !self.remembered.is_zero());
        let known = |tag| checked.known.is_right(gate::now(), tag);
        if tag.as_ref().is_some_and(|tag| self.gate.try_known(attempt, || known(tag)))
            && let Some(found) = found
        {
            return Ok(found.secret.grant.clone());
        }
        let (secret, exists) = (secret.to_vec(), found.is_some());
        let is_right = move || checked.secret.hash.matches(&secret) && exists;
        let checked = self.gate.run(attempt, is_right).await;
        let checked = checked.map_err(|error| unchecked(&error))?;
        let why = match (checked, found) {
            (Checked::Right, Some(found)) => {
                if let Some(tag) = tag {
                    found.known.remember(gate::now(), tag, self.remembered);
                }
                return Ok(found.secret.grant.clone());
            }
            (_, Some(_)) => format!("wrong secret for {}", quoted(name)),
            (_, None) => format!("no secret has the name {}", quoted(name)),
        };
        Err(match checked {
            Checked::Wrong { pauses: true } => Denied::new(why).at_limit(Limit::AuthWrongPause),
            _ => Denied::new(why),
        })
    }

    /// A secret to be checked in vain. As each name has one of its own, hashes of different cost
    /// do not tell which names exist.
    fn decoy(&self, name: &str) -> Option<&Arc<Entry>> {
        let count = u64::try_from(self.decoys.len()).ok().filter(|count| *count > 0)?;
        let index = usize::try_from(self.choice.hash_one(name) % count).ok()?;
        self.decoys.get(index)
    }
}

/// A secret could not be checked.
fn unchecked(error: &GateError) -> Denied {
    let denied = Denied::new(format!("the secret was not checked: {error}"));
    match error {
        GateError::Refused(Refusal::AddressFull) => {
            denied.telling(Reason::Busy).at_limit(Limit::AuthChecksWaitingPerAddress)
        }
        GateError::Refused(_) => denied.telling(Reason::Busy).at_limit(Limit::AuthChecksWaiting),
        GateError::Failed(_) => denied.telling(Reason::Internal),
    }
}

/// Name and secret of a token.
fn split(token: &[u8]) -> Result<(&str, &[u8]), Denied> {
    let malformed = || Denied::new("the token is not NAME:SECRET");
    let colon = token.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
    let name = str::from_utf8(&token[..colon]).map_err(|_| malformed())?;
    let secret = &token[colon + 1..];
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && (1..=hash::SECRET_BYTES_MAX).contains(&secret.len());
    if fits { Ok((name, secret)) } else { Err(malformed()) }
}

impl Authenticator for Secrets {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin(self.check(credentials))
    }

    fn reserves(&self, name: &str) -> bool {
        self.granted_names.contains(name)
    }
}
