//! New secrets and keys without a new start.

use crate::certificates::{self, Made};
use crate::failure::Failure;
use crate::options;
use crate::settings::{Loaded, Settings, changed};
use crate::small_file::FileKind;
use crosspoint_auth::{Authenticator, Swap};
use crosspoint_hub::Hub;
use crosspoint_net::tls::server::{Checked, Tls};
use std::future::pending;
use std::sync::Arc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Reads the settings, from a file of this kind.
pub(crate) type Load = Arc<dyn Fn(FileKind) -> Result<Loaded, Failure> + Send + Sync>;

/// What a running hub takes new secrets and keys with.
///
/// They are read in a thread for what blocks: whatever the files are, the hub heeds its signals.
pub(crate) struct Reload<'a> {
    load: Load,
    /// The settings that are in force.
    settings: &'a Settings,
    hub: &'a Hub,
    /// Who checks credentials, if files say it.
    authenticator: Option<&'a Swap>,
    /// Whose certificates are exchanged, but for one that was made.
    tls: Option<(Tls, Option<Made>)>,
    reading: Option<JoinHandle<Result<New, Failure>>>,
    /// The files may have changed after they were read.
    again: bool,
}

/// What was read.
struct New {
    settings: Settings,
    authenticator: Option<Arc<dyn Authenticator>>,
    /// `None` without certificates.
    tls: Option<NewTls>,
}

struct NewTls {
    setup: Checked,
    /// Whether clients are asked for certificates.
    asks: bool,
}

/// The settings whose new values hold at once.
const AT_ONCE: [&str; 8] = [
    "server.access_token",
    "auth.secrets_file",
    "auth.jwt_keys",
    "auth.certificates",
    "tls.cert",
    "tls.key",
    "tls.client_roots",
    "tls.client_crls",
];

impl<'a> Reload<'a> {
    pub(crate) fn new(
        load: Load,
        settings: &'a Settings,
        hub: &'a Hub,
        authenticator: Option<&'a Swap>,
        tls: Option<(Tls, Option<Made>)>,
    ) -> Self {
        Self { load, settings, hub, authenticator, tls, reading: None, again: false }
    }

    /// Begins to read secrets and keys again.
    pub(crate) fn begin(&mut self) {
        if self.reading.is_some() {
            self.again = true;
            return;
        }
        let load = self.load.clone();
        let made = self.tls.as_ref().and_then(|(_, made)| made.clone());
        let required = self.settings.tls.client_required;
        self.reading = Some(spawn_blocking(move || {
            // What cannot be read twice, such as a pipe, would take the hub's secrets away.
            let Loaded { settings, .. } = load(FileKind::Regular)?;
            let authenticator = options::authenticator(&settings, FileKind::Regular)?;
            let tls = new_tls(&settings, made.as_ref(), required)?;
            Ok(New { settings, authenticator, tls })
        }));
    }

    /// Whether nothing is read now.
    pub(crate) fn is_idle(&self) -> bool {
        self.reading.is_none()
    }

    /// Takes what was read into force as soon as it is there. What is wrong leaves the old in force.
    /// Cancelling it loses nothing.
    pub(crate) async fn proceed(&mut self) {
        let read = match &mut self.reading {
            Some(reading) => reading.await,
            None => pending().await,
        };
        self.reading = None;
        self.finish(read);
        if std::mem::take(&mut self.again) {
            self.begin();
        }
    }

    fn finish(&self, read: Result<Result<New, Failure>, JoinError>) {
        let read = read.unwrap_or_else(|panic| Err(Failure::Run(panic.to_string())));
        match read {
            Ok(new) => {
                let restart = self.take(new);
                let settings = restart.join(", ");
                if settings.is_empty() {
                    tracing::info!("secrets and keys were read again");
                } else {
                    tracing::warn!(
                        settings,
                        "secrets and keys were read again; these changed settings need a restart"
                    );
                }
            }
            Err(Failure::Setup(error) | Failure::Run(error)) => {
                tracing::error!(
                    error,
                    "nothing was read again, the old secrets and keys stay in force"
                );
            }
        }
    }

    /// Exchanges the certificates. Gives the setting if that needs a restart.
    fn take_certificates(&self, new: Option<NewTls>) -> Option<&'static str> {
        // Whether TLS is served is decided at the start.
        let ((tls, _), NewTls { setup, asks }) = match (&self.tls, new) {
            (Some(tls), Some(new)) => (tls, new),
            (None, None) => return None,
            (Some(_), None) | (None, Some(_)) => return Some("tls.cert"),
        };
        if asks == self.settings.tls.client_roots.is_empty() {
            // A hub that asks for certificates does not stop to because a line is missing.
            tracing::warn!(
                "the old certificates stay in force: whether clients are asked for certificates changes with a restart only"
            );
            return Some("tls.client_roots");
        }
        tls.replace(setup);
        None
    }

    /// Gives the settings that have changed and need a restart.
    fn take(&self, New { settings, authenticator, tls }: New) -> Vec<&'static str> {
        let (old, new) = (&self.settings.server.access_token, &settings.server.access_token);
        let same_check = self.authenticator.is_some() == authenticator.is_some();
        // A hub that asks for something does not begin to let everybody in because a line is missing.
        let opens = !old.is_empty() && new.is_empty();
        let mut restart = changed(self.settings, &settings);
        if same_check && !opens {
            restart.retain(|key| !AT_ONCE.contains(key));
            if let (Some(swap), Some(next)) = (self.authenticator, authenticator) {
                swap.set(next);
                let ended = self.hub.end_claims(|name| swap.reserves(name));
                if ended > 0 {
                    tracing::info!(ended, "sessions end whose names are reserved for others now");
                }
            }
            self.hub.set_access_token(options::access_token(&settings));
            restart.extend(self.take_certificates(tls));
        } else if opens {
            restart.push("server.access_token");
        }
        restart
    }
}

/// Reads and checks how TLS is to be served. Whether clients have to show a certificate does not change.
fn new_tls(
    settings: &Settings,
    made: Option<&Made>,
    required: bool,
) -> Result<Option<NewTls>, Failure> {
    let mut setup = certificates::read(settings, FileKind::Regular, made)?;
    if setup.certificates.is_empty() {
        return Ok(None);
    }
    let asks = setup.clients.is_some();
    setup.clients = setup.clients.map(|clients| clients.required(required));
    let setup =
        Checked::new(setup).map_err(|error| Failure::Setup(format!("tls.cert: {error}")))?;
    Ok(Some(NewTls { setup, asks }))
}
