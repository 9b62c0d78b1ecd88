//! Sessions whose credentials are being checked.

use super::timers::Timer;
use super::{Driver, State};
use crate::outlet::now;
use crate::reading::{READ_BYTES_MAX, read};
use crate::stream::Reader;
use bytes::{Bytes, BytesMut};
use crosspoint_auth::{BoxFuture, Credentials, Denied};
use crosspoint_hub::command::Hello;
use crosspoint_hub::session::Step;
use crosspoint_hub::{Grant, Reason};
use std::io;

/// A session whose credentials are being checked.
pub(super) struct Authenticating {
    hello: Hello,
    verdict: BoxFuture<'static, Result<Grant, Denied>>,
}

impl Driver {
    /// The credentials were checked.
    pub(super) fn authenticated(
        &mut self,
        state: &mut State,
        verdict: Result<Grant, Denied>,
    ) -> Result<(), Reason> {
        let Some(authenticating) = state.authenticating.take() else {
            return Ok(());
        };
        let Authenticating { hello, .. } = *authenticating;
        let verdict = verdict.and_then(|grant| match self.is_reserved(&hello, &grant) {
            true => Err(Denied::new("its name is reserved for credentials that grant it")),
            false => Ok(grant),
        });
        let grant = verdict.map_err(|denied| {
            self.log_denied(state, hello.name.as_deref(), &denied.reason);
            if let Some(limit) = denied.limit {
                self.session.hub().metrics.hit(limit);
            }
            Reason::from(denied)
        })?;
        let expires = grant.lasts.and_then(|lasts| now().checked_add(lasts));
        state.timers.set(Timer::Expiry, expires);
        match self.session.welcome(now(), hello, grant) {
            Step::Close(reason) => Err(reason),
            step => {
                state.waiting = step == Step::Wait;
                // The silence meanwhile was ours.
                state.read_at = now();
                self.advance(state)
            }
        }
    }

    /// Logs why a session is not let in. That is all that the log says of its end.
    pub(super) fn log_denied(&self, state: &mut State, name: Option<&str>, reason: &str) {
        state.denied = true;
        if let Some(unsaid) = self.runner.logs.denied.line(now()) {
            let session = self.session.endpoint().id;
            tracing::info!(session, address = %self.remote, name, reason, unsaid, "credentials denied");
        }
    }

    /// Whether a session calls itself by a name that others' credentials grant.
    fn is_reserved(&self, hello: &Hello, grant: &Grant) -> bool {
        let claimed = hello.name.as_deref().filter(|_| grant.name.is_none());
        let authenticator = self.runner.authenticator.as_ref();
        claimed.zip(authenticator).is_some_and(|(name, by)| by.reserves(name))
    }

    /// Lets the credentials of a hello be checked.
    pub(super) fn authenticating(&self, hello: Hello) -> Option<Box<Authenticating>> {
        let authenticator = self.runner.authenticator.clone()?;
        let credentials = self.credentials(&hello);
        let verdict = Box::pin(async move { authenticator.authenticate(credentials).await });
        Some(Box::new(Authenticating { hello, verdict }))
    }

    fn credentials(&self, hello: &Hello) -> Credentials {
        let endpoint = self.session.endpoint();
        Credentials {
            protocol: endpoint.profile.name,
            address: endpoint.address,
            process: self.remote.process,
            certificate: self.certificate.clone(),
            peer: hello.peer,
            key_proven: hello.proven,
            name: hello.name.clone(),
            token: hello.token.clone(),
        }
    }

    /// The hub compares a token as it was meant, not as its protocol writes it.
    pub(super) fn unwrap_token(&self, hello: &mut Hello) {
        let credentials = self.credentials(hello);
        // No handshake is longer.
        let token = credentials.token(READ_BYTES_MAX);
        hello.token = token.ok().map(|token| Bytes::copy_from_slice(&token));
    }
}

/// Waits until the credentials are checked.
pub(super) async fn verdict(
    authenticating: &mut Option<Box<Authenticating>>,
) -> Result<Grant, Denied> {
    match authenticating {
        Some(authenticating) => (&mut authenticating.verdict).await,
        None => std::future::pending().await,
    }
}

/// Reads what is there. Of an endpoint whose credentials are being checked only that it has gone, as empty: it
/// must not take the turn of somebody else.
pub(super) async fn hear(reader: &mut Reader, authenticating: bool) -> io::Result<BytesMut> {
    if authenticating {
        // Boxed, as its state is larger than that of reading.
        Box::pin(reader.gone()).await;
        return Ok(BytesMut::new());
    }
    read(reader).await
}
