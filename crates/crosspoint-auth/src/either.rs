//! Several authenticators, asked in turn.

use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::Grant;
use std::sync::Arc;

/// Asks one after the other; the first that grants decides.
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
            let mut reasons: Vec<String> = Vec::new();
            for choice in &self.0 {
                match choice.authenticate(credentials.clone()).await {
                    Ok(grant) => return Ok(grant),
                    Err(Denied { reason }) => reasons.push(reason.into_owned()),
                }
            }
            Err(match reasons.is_empty() {
                true => Denied::new("nothing is set up that could let anybody in"),
                false => Denied::new(reasons.join("; ")),
            })
        })
    }
}
