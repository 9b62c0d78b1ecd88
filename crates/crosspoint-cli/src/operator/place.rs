//! Where the control center of a hub is.

use crosspoint_net::client::PORT;
use hyper::Uri;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What `--hub` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: At,
    /// What stands before the paths of the API: nothing, or a path without a slash at its end.
    pub(crate) prefix: String,
}

/// How the hub is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// Over TCP.
    Tcp {
        /// As the URL has it, with the port unless it is the usual one.
        authority: String,
        /// A name, or an address without brackets.
        host: String,
        port: u16,
        tls: bool,
    },
    /// A socket of the file system.
    Unix(PathBuf),
}

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("the control center is reached at http:// or https://HOST:PORT, or unix:PATH")]
    NoUrl,
    #[error("a token is not a part of the URL; give it with --control-token-file")]
    WithUser,
}

impl Place {
    pub(crate) fn has_tls(&self) -> bool {
        matches!(self.at, At::Tcp { tls: true, .. })
    }

    /// The header `Host`.
    pub(crate) fn authority(&self) -> &str {
        match &self.at {
            At::Tcp { authority, .. } => authority,
            At::Unix(_) => "localhost",
        }
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(NoPlace::NoUrl),
                path => Ok(Self { at: At::Unix(path.into()), prefix: String::new() }),
            };
        }
        let has_scheme = text.contains("://");
        let url = if has_scheme { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = url.parse().map_err(|_| NoPlace::NoUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(NoPlace::NoUrl);
        };
        if authority.as_str().contains('@') {
            return Err(NoPlace::WithUser);
        }
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(NoPlace::NoUrl),
        };
        let usual = match (has_scheme, tls) {
            (false, _) => PORT,
            (true, false) => 80,
            (true, true) => 443,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        // A port that is none is no number here, and nothing may be left of it.
        let written = authority.as_str()[authority.host().len()..].strip_prefix(':');
        if host.is_empty() || uri.query().is_some() || written.is_some_and(|port| port.is_empty()) {
            return Err(NoPlace::NoUrl);
        }
        let port = match (written, authority.port_u16()) {
            (None, _) => usual,
            (Some(_), port) => port.ok_or(NoPlace::NoUrl)?,
        };
        let authority = match (written, has_scheme) {
            (None, false) => format!("{authority}:{port}"),
            _ => authority.to_string(),
        };
        // The page of a hub that serves files is below the address of the hub.
        let prefix = uri.path().trim_end_matches('/');
        let prefix = prefix.strip_suffix("/control").unwrap_or(prefix).to_owned();
        Ok(Self { at: At::Tcp { authority, host, port, tls }, prefix })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Tcp { authority, tls, .. } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{authority}{}", self.prefix)
            }
            At::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_hub_is() {
        for (text, shown, host, port) in [
            ("http://127.0.0.1:7680", "http://127.0.0.1:7680", "127.0.0.1", 7680),
            (
                "http://127.0.0.1:7680/control/#/sessions",
                "http://127.0.0.1:7680",
                "127.0.0.1",
                7680,
            ),
            ("https://hub.example", "https://hub.example", "hub.example", 443),
            ("http://hub.example/a/b/", "http://hub.example/a/b", "hub.example", 80),
            ("localhost", "http://localhost:7680", "localhost", 7680),
            ("[::1]", "http://[::1]:7680", "::1", 7680),
            ("https://[::1]:99", "https://[::1]:99", "::1", 99),
            ("localhost:99", "http://localhost:99", "localhost", 99),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), shown, "{text}");
            assert_eq!(place.has_tls(), text.starts_with("https"));
            let At::Tcp { host: at, port: by, .. } = &place.at else { panic!("{place:?}") };
            assert_eq!((at.as_str(), *by), (host, port), "{text}");
        }
        let place: Place = "unix:/run/hub.sock".parse().unwrap();
        assert_eq!(
            (place.to_string().as_str(), place.authority()),
            ("unix:/run/hub.sock", "localhost")
        );
        for wrong in [
            "",
            "tcp://localhost:7680",
            "ws://localhost",
            "http://",
            "http://:7680",
            "http://localhost:",
            "http://localhost:70000",
            "http://localhost:port",
            "http://localhost/?a=b",
            "http://a b",
            "unix:",
        ] {
            assert_eq!(wrong.parse::<Place>(), Err(NoPlace::NoUrl), "{wrong}");
        }
        assert_eq!("http://me:secret@localhost".parse::<Place>(), Err(NoPlace::WithUser));
    }
}
