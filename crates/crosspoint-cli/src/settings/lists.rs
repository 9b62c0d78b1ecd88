//! The kinds of values that are lists of texts.

use super::address::{ListenAddress, is_address};
use super::error::shorten;
use super::given::Given;
use super::kind::{Form, Kind, Wrong, quote};
use crosspoint_hub::networks::Network;
use std::collections::BTreeSet;
use toml::de::DeValue;

/// A list of texts that must pass a test together.
pub(super) struct List {
    item: &'static str,
    allowed: &'static str,
    /// The one text that may stand in a file without brackets.
    alone: Option<&'static str>,
    test: fn(&[&str]) -> bool,
}

/// Addresses to listen on; at least one.
pub(super) fn address_list() -> List {
    List {
        item: "HOST:PORT",
        allowed: "a list of at least one HOST:PORT, unix:PATH, systemd or systemd:NAME, each perhaps with \
                  tls:// before it, such as 0.0.0.0:7680 or [::]:7680",
        alone: None,
        test: |addresses| {
            let one = |address: &&str| ListenAddress::parse(address).is_some();
            !addresses.is_empty() && addresses.iter().all(one)
        },
    }
}

/// Addresses, HOST:PORT, or none.
pub(super) fn optional_address_list() -> List {
    List {
        item: "HOST:PORT",
        allowed: "a list of HOST:PORT, such as 127.0.0.1:9680",
        alone: None,
        test: |addresses| addresses.iter().copied().all(is_address),
    }
}

/// Patterns of names: what [`crosspoint_auth::rule`] takes.
pub(super) fn name_patterns() -> List {
    List {
        item: "NAME",
        allowed: "\"*\" for all, or a list of at most 256 names of 1 to 255 bytes, each perhaps \
                  with a * at its end",
        alone: Some("*"),
        test: |names| {
            names.iter().all(|name| !name.is_empty()) && crosspoint_auth::rule(names).is_ok()
        },
    }
}

/// Namespaces of Socket.IO besides the root.
pub(super) fn namespaces() -> List {
    List {
        item: "NAMESPACE",
        allowed: "a list of names of 2 to 255 bytes that begin with a slash and have neither ? nor a comma, such as /chat",
        alone: None,
        test: |names| {
            let is_one = |name: &&str| {
                let length = (2..=255).contains(&name.len());
                length && name.starts_with('/') && !name.contains(['?', ','])
            };
            names.iter().all(is_one)
        },
    }
}

/// Addresses and networks.
pub(super) fn network_list() -> List {
    List {
        item: "NETWORK",
        allowed: "a list of addresses and networks, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8",
        alone: None,
        test: |networks| networks.iter().all(|text| text.parse::<Network>().is_ok()),
    }
}

/// Origins of web pages.
pub(super) fn origin_list() -> List {
    List {
        item: "ORIGIN",
        allowed: "\"*\" for all, or a list of origins, such as https://game.example or \
                  http://localhost:8000, or null",
        alone: Some("*"),
        test: |origins| origins.iter().copied().all(is_origin),
    }
}

fn is_origin(origin: &str) -> bool {
    let of_a_host = origin.split_once("://").is_some_and(|(scheme, authority)| {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain(scheme) && plain(authority) && !authority.contains(['/', '@', '*'])
    });
    of_a_host || matches!(origin, "*" | "null")
}

/// Names of hosts.
pub(super) fn host_list() -> List {
    List {
        item: "HOST",
        allowed: "a list of host names without port, such as game.example",
        alone: None,
        test: |hosts| {
            hosts.iter().all(|host| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                !host.is_empty() && host.bytes().all(plain)
            })
        },
    }
}

/// Files, each by its path.
pub(super) fn files() -> List {
    List {
        item: "FILE",
        allowed: "a list of paths of files",
        alone: None,
        test: |files| files.iter().all(|file| !file.is_empty() && !file.contains('\0')),
    }
}

/// Directories whose files are served, each with a path before it.
pub(super) fn directories() -> List {
    List {
        item: "PATH=DIRECTORY",
        allowed: "a list of PATH=DIRECTORY, such as /=public or /assets=/srv/game, each with a \
                  path of its own",
        alone: None,
        test: |roots| {
            let mut paths = BTreeSet::new();
            roots.iter().all(|root| match split_root(root) {
                Some((path, directory)) => {
                    let path = path.strip_suffix('/').unwrap_or(path);
                    !directory.is_empty() && !directory.contains('\0') && paths.insert(path)
                }
                None => false,
            })
        },
    }
}

/// The path and the directory of an item of [`directories`].
pub(crate) fn split_root(root: &str) -> Option<(&str, &str)> {
    root.split_once('=').filter(|(path, _)| path.starts_with('/'))
}

impl Kind for List {
    type Value = Vec<String>;

    fn form(&self) -> Form {
        Form::List(self.item)
    }

    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<Vec<String>, Wrong> {
        let items: Option<Vec<&str>> = match given {
            Given::Text("") => Some(Vec::new()),
            Given::Text(text) => Some(text.split(',').collect()),
            Given::Toml(toml) => match toml.value {
                DeValue::String(text) if self.alone == Some(&**text) => Some(vec![&**text]),
                DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str()).collect(),
                _ => None,
            },
        };
        let items = items.ok_or(Wrong::Value)?;
        if (self.test)(&items) {
            return Ok(items.into_iter().map(str::to_owned).collect());
        }
        let culprit = items.iter().find(|item| !(self.test)(&[item]));
        let culprit = culprit.filter(|_| items.len() > 1);
        Err(culprit.map_or(Wrong::Value, |item| Wrong::Item(quote(&shorten(item)))))
    }

    fn show(&self, value: &Vec<String>) -> String {
        match value.as_slice() {
            [only] if self.alone == Some(only) => quote(only),
            items => {
                let quoted: Vec<String> = items.iter().map(|item| quote(item)).collect();
                format!("[{}]", quoted.join(", "))
            }
        }
    }
}
