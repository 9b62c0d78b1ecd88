//! Who has logged in: the ids of their cookies, which the server keeps and which mean nothing elsewhere.

use std::fmt;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// How long a login holds.
pub(crate) const HOLDS: Duration = Duration::from_secs(12 * 3600);

/// Logins at the same time. Above, the oldest ends.
pub(crate) const LOGINS_MAX: usize = 64;

/// The id of a login: 256 bits made at random.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginId([u8; 32]);

impl LoginId {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut id = [0; 32];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }

    /// An id as it stands in a cookie.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        if text.len() != 2 * id.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in id.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LoginId {
    /// Without the id, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginId(***)")
    }
}

/// The logins that are in force.
#[derive(Debug, Default)]
pub(crate) struct Logins(Vec<Login>);

#[derive(Debug)]
struct Login {
    id: LoginId,
    until: Instant,
    ended: CancellationToken,
}

/// A login as those see it who go on because of it.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    /// When it ends by itself.
    pub(crate) until: Instant,
    /// Says when it has ended otherwise.
    pub(crate) ended: CancellationToken,
}

impl Logins {
    /// Somebody has logged in.
    pub(crate) fn add(&mut self, now: Instant, id: LoginId) {
        self.forget_old(now);
        if self.0.len() >= LOGINS_MAX {
            // They are in the order in which they have come.
            self.0.remove(0).ended.cancel();
        }
        self.0.push(Login { id, until: now + HOLDS, ended: CancellationToken::new() });
    }

    /// The login with an id, if it is in force. All are compared, so that the time tells nothing.
    pub(crate) fn find(&self, now: Instant, id: &LoginId) -> Option<Hold> {
        let mut found = None;
        for login in &self.0 {
            if bool::from(login.id.0.ct_eq(&id.0)) && now < login.until {
                found = Some(Hold { until: login.until, ended: login.ended.clone() });
            }
        }
        found
    }

    /// Ends a login.
    pub(crate) fn end(&mut self, id: &LoginId) {
        self.0.retain(|login| {
            let stays = login.id != *id;
            if !stays {
                login.ended.cancel();
            }
            stays
        });
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|login| now < login.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is_one() {
        let id = LoginId::random().unwrap();
        let text = id.to_string();
        assert_eq!(text.len(), 64);
        assert!(LoginId::parse(&text) == Some(id.clone()));
        assert!(LoginId::random().unwrap() != id);
        assert!(!format!("{id:?}").contains(&text));
        let umlauts = "ä".repeat(32);
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('f', "g"), &umlauts] {
            let same = wrong == text;
            assert!(same || LoginId::parse(wrong).is_none(), "{wrong}");
        }
        assert!(LoginId::parse(&"+1".repeat(32)).is_none());
    }

    #[test]
    fn a_login_holds_for_twelve_hours_or_until_it_is_ended() {
        let (now, mut logins) = (Instant::now(), Logins::default());
        let ids = [(); 2].map(|()| LoginId::random().unwrap());
        ids.iter().for_each(|id| logins.add(now, id.clone()));
        let hold = logins.find(now, &ids[0]).unwrap();
        assert!(logins.find(now + HOLDS - Duration::from_secs(1), &ids[0]).is_some());
        assert!(logins.find(now + HOLDS, &ids[0]).is_none());
        logins.end(&ids[0]);
        assert!(hold.ended.is_cancelled());
        assert!(logins.find(now, &ids[0]).is_none());
        let other = logins.find(now, &ids[1]).unwrap();
        assert!(!other.ended.is_cancelled());
    }

    #[test]
    fn above_the_bound_the_oldest_login_ends() {
        let (now, mut logins) = (Instant::now(), Logins::default());
        let first = LoginId::random().unwrap();
        logins.add(now, first.clone());
        let hold = logins.find(now, &first).unwrap();
        for _ in 1..LOGINS_MAX {
            logins.add(now, LoginId::random().unwrap());
        }
        assert!(logins.find(now, &first).is_some());
        logins.add(now, LoginId::random().unwrap());
        assert!(logins.find(now, &first).is_none());
        assert!(hold.ended.is_cancelled());
        assert_eq!(logins.0.len(), LOGINS_MAX);
        // Those that have ended by themselves make room first.
        logins.add(now + HOLDS, first.clone());
        assert_eq!(logins.0.len(), 1);
    }
}
