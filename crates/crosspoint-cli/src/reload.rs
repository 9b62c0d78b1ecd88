//! New secrets and keys without a new start.

use crate::failure::Failure;
use crate::options;
use crate::settings::{Loaded, Settings, changed};
use crosspoint_auth::Swap;
use crosspoint_hub::Hub;

/// Reads the settings again.
pub(crate) type Load<'a> = &'a dyn Fn() -> Result<Loaded, Failure>;

/// What a running hub takes new secrets and keys with.
pub(crate) struct Reload<'a> {
    pub(crate) load: Load<'a>,
    /// The settings that are in force.
    pub(crate) settings: &'a Settings,
    pub(crate) hub: &'a Hub,
    /// Who checks credentials, if files say it.
    pub(crate) authenticator: Option<&'a Swap>,
}

/// The settings whose new values hold at once.
const AT_ONCE: [&str; 3] = ["server.access_token", "auth.secrets_file", "auth.jwt_keys"];

impl Reload<'_> {
    /// Reads secrets and keys again. What is wrong leaves the old ones in force.
    pub(crate) fn run(&self) {
        match self.take() {
            Ok(restart) if restart.is_empty() => {
                tracing::info!("secrets and keys were read again");
            }
            Ok(restart) => {
                let settings = restart.join(", ");
                tracing::warn!(
                    settings,
                    "secrets and keys were read again; these changed settings need a restart"
                );
            }
            Err(Failure::Setup(error) | Failure::Run(error)) => {
                tracing::error!(
                    error,
                    "nothing was read again, the old secrets and keys stay in force"
                );
            }
        }
    }

    /// Gives the settings that have changed and need a restart.
    fn take(&self) -> Result<Vec<&'static str>, Failure> {
        let Loaded { settings, .. } = (self.load)()?;
        let authenticator = options::authenticator(&settings)?;
        let (old, new) = (&self.settings.server.access_token, &settings.server.access_token);
        let same_check = self.authenticator.is_some() == authenticator.is_some();
        // A hub that asks for something does not begin to let everybody in because a line is missing.
        let opens = !old.is_empty() && new.is_empty();
        let mut restart = changed(self.settings, &settings);
        if same_check && !opens {
            restart.retain(|key| !AT_ONCE.contains(key));
            if let (Some(swap), Some(next)) = (self.authenticator, authenticator) {
                swap.set(next);
            }
            self.hub.set_access_token(options::access_token(&settings));
        } else if opens {
            restart.push("server.access_token");
        }
        Ok(restart)
    }
}
