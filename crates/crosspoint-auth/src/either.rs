//! Several authenticators, asked in turn.

use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::{Grant, Reason};
use std::sync::Arc;

/// Asks one after the other; the first that grants decides.
///
/// One that is too busy to look ([`Reason::Busy`]) decides too: the client may be one whom it would
/// have known, and must not get the rights of somebody else for that.
///
/// A name that one of them [reserves](Authenticator::reserves) is granted by none that does not: it is denied.
///
/// All are asked about the same credentials. So with [`Anyone`](crate::Anyone) as the last, a client
/// with a wrong token enters too, as one without a token does.
#[derive(Debug, Clone)]
pub struct Either(Vec<Arc<dyn Authenticator>>);

impl Either {
    /// These, in this order. None at all let nobody in.
    pub fn new(choices: impl IntoIterator<Item = Arc<dyn Authenticator>>) -> Self {
        Self(choices.into_iter().collect())
    }
}

impl Authenticator for Either {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin(async move {
            let mut refused: Option<Denied> = None;
            for choice in &self.0 {
                let denied = match choice.authenticate(credentials.clone()).await {
                    Ok(grant) => {
                        return match grant.name.as_deref() {
                            Some(name) if self.reserves(name) && !choice.reserves(name) => {
                                Err(Denied::reserved(name))
                            }
                            _ => Ok(grant),
                        };
                    }
                    Err(denied) if denied.told == Reason::Busy => return Err(denied),
                    Err(denied) => denied,
                };
                refused = Some(match refused {
                    Some(before) => joined(before, denied),
                    None => denied,
                });
            }
            Err(refused.unwrap_or(Denied::new("nothing is set up that could let anybody in")))
        })
    }

    fn reserves(&self, name: &str) -> bool {
        self.0.iter().any(|choice| choice.reserves(name))
    }
}

/// Two refusals as one. What tells the client more than that it is not allowed comes first.
fn joined(one: Denied, other: Denied) -> Denied {
    let told = if one.told == Reason::NotAllowed { other.told } else { one.told };
    let limit = one.limit.or(other.limit);
    Denied { told, limit, ..Denied::new(format!("{one}; {other}")) }
}
