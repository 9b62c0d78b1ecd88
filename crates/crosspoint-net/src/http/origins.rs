//! Which web pages may use the hub through the browsers of their visitors.
//!
//! A browser says which page asks (`Origin`), and under which name it has found the server (`Host`).
//! Programs that are no browsers say no `Origin`, and are not looked at: they can say what they like.

use super::{Host, HttpOptions, Refusal};
use crate::remote::Remote;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use crosspoint_hub::Limit;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The origins and hosts that are allowed besides those that are by themselves.
#[derive(Debug)]
pub(super) struct Origins {
    all: bool,
    origins: HashSet<String>,
    hosts: HashSet<String>,
}

/// Which web page asks, as an extension of each request for the routes of programs and gateways.
///
/// Pages of foreign origins may read only what they may: `GET` and `OPTIONS` reach the routes, other methods are
/// refused before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// None: the client is no browser, or the browser does not say.
    None,
    /// One that may use the hub, as it was said.
    Allowed(HeaderValue),
    /// One that may not. The setting would allow it.
    Foreign(Limit),
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is wrong: the setting that would allow it, and what is answered.
pub(super) type Wrong = (Limit, Refusal);

impl Origins {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        let origins: HashSet<String> = lower(&options.origins);
        Self { all: origins.contains("*"), origins, hosts: lower(&options.hosts) }
    }

    /// Whether a request that changes something may come from the page that it comes from.
    ///
    /// Without an `Origin` it does not come from a page. Otherwise the origin is allowed by the setting,
    /// or the page was served under the same host name, whatever the port ([`is_one_host`]), and that name is no trick:
    /// the owner of a name can let it lead to a machine in the network of his visitors (DNS rebinding).
    /// Where the browser is in such a network, the name has to be an address, one that only this
    /// network knows, or allowed by the setting.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        from: Remote,
        here: Option<SocketAddr>,
    ) -> Result<(), Wrong> {
        if self.all || !headers.contains_key(ORIGIN) {
            return Ok(());
        }
        let origin = one(headers, ORIGIN).unwrap_or_default();
        if self.origins.contains(&origin) {
            return Ok(());
        }
        let said = one(headers, HOST).unwrap_or_default();
        let page = origin.split_once("://").and_then(|(_, authority)| Host::parse(authority));
        let both = Host::parse(&said).zip(page);
        let Some((host, _)) = both.filter(|(host, page)| is_one_host(*page, *host)) else {
            let text = format!(
                "Pages of {origin:.100} may not use this hub, which was asked as {said:.100}. To allow \
                 that, add the origin to the setting {}.\n",
                Limit::HttpOrigins
            );
            return Err((Limit::HttpOrigins, Refusal::new(StatusCode::FORBIDDEN, text)));
        };
        if is_near(from, here) && !is_local(host) && !self.hosts.contains(host.name()) {
            let text = format!(
                "Pages may not use this hub under the name {:.100}, which others could let lead \
                 here. If it is yours, add it to the setting {}; if the hub is behind a proxy, \
                 name that in {}.\n",
                host.name(),
                Limit::HttpHosts,
                Limit::TrustedProxies
            );
            return Err((Limit::HttpHosts, Refusal::new(StatusCode::FORBIDDEN, text)));
        }
        Ok(())
    }
}

impl Origins {
    /// Which page asks, where nothing is wrong with its origin. A page that includes what it asks for, such as an image,
    /// says none, and its browser says whether it is one of another site.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Origin {
        match headers.get(ORIGIN) {
            // A copy, as the original shares the buffer of its request.
            Some(origin) => {
                HeaderValue::from_bytes(origin.as_bytes()).map_or(Origin::None, Origin::Allowed)
            }
            None if !self.all && one(headers, SEC_FETCH_SITE).as_deref() == Some("cross-site") => {
                Origin::Foreign(Limit::HttpOrigins)
            }
            None => Origin::None,
        }
    }
}

/// The value of a header that is there once, in small letters.
fn one(headers: &HeaderMap, header: HeaderName) -> Option<String> {
    let mut values = headers.get_all(header).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim().to_ascii_lowercase())
}

/// Whether two names are of one host: they are the same, or both are of the machine that asks. A page
/// of `localhost` may well use a hub at 127.0.0.1, and no name of the DNS is a loopback name.
fn is_one_host(page: Host<'_>, host: Host<'_>) -> bool {
    page == host || (page.is_loopback() && host.is_loopback())
}

/// Whether somebody is in the network of this machine, into which perhaps nobody could come from outside: at
/// an address that has a meaning there alone, or in the network of the address under which it has found
/// this machine, which a firewall may protect. Where a proxy speaks for it, that is where the proxy has found it.
fn is_near(from: Remote, here: Option<SocketAddr>) -> bool {
    from.is_neighbour(here) || is_private(from.ip())
}

/// Whether an address has a meaning in the networks around it alone.
fn is_private(address: Option<IpAddr>) -> bool {
    match address {
        Some(IpAddr::V4(v4)) => is_near_v4(v4),
        // By NAT64 (RFC 6052) the last 32 bits are an IPv4 address.
        Some(IpAddr::V6(v6)) => match v6.segments() {
            [0x64, 0xff9b, 0 | 1, ..] => is_near_v4(Ipv4Addr::from_bits(v6.to_bits() as u32)),
            // fec0::/10 was for such networks once.
            [first, ..] => {
                v6.is_loopback()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || first & 0xffc0 == 0xfec0
            }
        },
        None => false,
    }
}

fn is_near_v4(v4: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is shared by the customers of a provider (RFC 6598), and by private networks across others.
    let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
    let is_special = v4.octets()[..3] == [192, 0, 0];
    v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared || is_special
}

/// Whether nobody outside can make this name lead here: it is an address, or no name of the DNS.
fn is_local(host: Host<'_>) -> bool {
    let name = host.name();
    let last = name.rsplit_once('.').map(|(_, last)| last);
    host.address().is_some()
        || last.is_none_or(|last| ["localhost", "local", "internal"].contains(&last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<SocketAddr> {
        Some((address.parse::<IpAddr>().unwrap(), 9).into())
    }

    fn verdict(settings: &Origins, from: &str, origin: &str, host: &str) -> Option<Limit> {
        verdict_at(settings, (Remote::new(at(from)), None), origin, host)
    }

    fn verdict_at(
        settings: &Origins,
        (from, here): (Remote, Option<SocketAddr>),
        origin: &str,
        host: &str,
    ) -> Option<Limit> {
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
        headers.append(HOST, HeaderValue::from_str(host).unwrap());
        let wrong = settings.check(&headers, from, here);
        wrong.err().map(|(setting, refusal)| {
            let answer = String::from_utf8(refusal.answer("").to_vec()).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 403 ") && answer.contains(setting.key()),
                "{answer}"
            );
            setting
        })
    }

    fn settings(origins: &[&str], hosts: &[&str]) -> Origins {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let (origins, hosts) = (texts(origins), texts(hosts));
        Origins::new(&HttpOptions { origins, hosts, ..HttpOptions::default() })
    }

    #[test]
    fn pages_of_the_same_host_may_and_others_may_not_unless_they_are_listed() {
        let usual = settings(&[], &[]);
        for (origin, host) in [
            ("https://game.example", "game.example"),
            ("http://GAME.example:8080", "game.Example:7680"),
            ("http://game.example.", "game.example"),
            ("http://192.0.2.1", "192.0.2.1:7680"),
            ("http://[2001:db8::1]:80", "[2001:db8::1]:7680"),
            ("http://localhost:8000", "127.0.0.1:7680"),
            ("http://127.0.0.1:8000", "[::1]:7680"),
            ("http://game.localhost", "localhost:7680"),
        ] {
            assert_eq!(verdict(&usual, "203.0.113.9", origin, host), None, "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "game.example"),
            ("https://game.example.evil.example", "game.example"),
            ("https://example", "game.example"),
            ("null", "game.example"),
            ("null", "null"),
            ("", ""),
            ("http://", ""),
            ("game.example", "game.example"),
            ("http://[2001:db8::2]", "[2001:db8::1]"),
            ("http://evil.example", "127.0.0.1"),
            ("http://localhost", "game.example"),
            ("http://localhost.evil.example", "127.0.0.1"),
            ("http://[127.0.0.1", "localhost:7680"),
        ] {
            let refused = verdict(&usual, "203.0.113.9", origin, host);
            assert_eq!(refused, Some(Limit::HttpOrigins), "{origin} {host}");
        }
        let listed = settings(&["https://Portal.example", "null"], &[]);
        assert_eq!(verdict(&listed, "127.0.0.1", "https://portal.example", "evil.example"), None);
        assert_eq!(verdict(&listed, "127.0.0.1", "null", "127.0.0.1"), None);
        let other_port = verdict(&listed, "127.0.0.1", "https://portal.example:81", "127.0.0.1");
        assert_eq!(other_port, Some(Limit::HttpOrigins));
        assert_eq!(
            verdict(&settings(&["*"], &[]), "127.0.0.1", "http://evil.example", "x.y"),
            None
        );
    }

    #[test]
    fn a_foreign_name_that_leads_into_this_network_is_refused_there() {
        let usual = settings(&[], &[]);
        let own = |settings: &Origins, from: &str, host: &str| {
            verdict(settings, from, &format!("http://{host}:7680"), &format!("{host}:7680"))
        };
        for near in [
            "127.0.0.1",
            "192.168.1.2",
            "10.0.0.2",
            "100.64.1.2",
            "192.0.0.2",
            "::1",
            "fd00::2",
            "fe80::2",
            "fec0::2",
            "64:ff9b::10.0.0.2",
        ] {
            assert_eq!(own(&usual, near, "evil.example"), Some(Limit::HttpHosts), "{near}");
            assert_eq!(own(&usual, near, "localhost.evil.example"), Some(Limit::HttpHosts));
            for host in ["127.0.0.1", "[::1]", "localhost", "a.localhost", "pi.local", "server"] {
                assert_eq!(own(&usual, near, host), None, "{near} {host}");
            }
            assert_eq!(own(&settings(&[], &["evil.Example"]), near, "evil.example"), None);
        }
        // From elsewhere, the owner of a name that leads here can come here as well.
        assert_eq!(own(&usual, "203.0.113.9", "evil.example"), None);
    }

    #[test]
    fn a_foreign_name_that_leads_to_a_global_address_is_refused_in_the_network_of_that() {
        let (usual, allowed) = (settings(&[], &[]), settings(&[], &["hub.example"]));
        for (from, here, near) in [
            ("2001:db8:1:2::9", "2001:db8:1:7::1", true),
            ("2001:db8:1:7::1", "2001:db8:1:7::1", true),
            ("2001:db8:2:7::9", "2001:db8:1:7::1", false),
            ("203.0.113.9", "203.0.113.200", true),
            ("203.0.113.9", "::ffff:203.0.113.200", true),
            ("203.0.112.9", "203.0.113.200", false),
            ("203.0.113.9", "2001:db8:1:7::1", false),
        ] {
            let both = (Remote::new(at(from)), at(here));
            let refused = |settings: &Origins, host: &str| {
                let origin = format!("http://{host}");
                verdict_at(settings, both, &origin, host)
            };
            let wrong = near.then_some(Limit::HttpHosts);
            assert_eq!(refused(&usual, "hub.example"), wrong, "{from} {here}");
            assert_eq!(refused(&allowed, "hub.example"), None, "{from} {here}");
            assert_eq!(refused(&usual, "[2001:db8:1:7::1]"), None, "{from} {here}");
        }
    }

    #[test]
    fn who_is_no_page_is_not_asked_and_who_says_two_things_is_refused() {
        let usual = settings(&[], &[]);
        let from = Remote::default();
        let mut headers = HeaderMap::new();
        assert!(usual.check(&headers, from, None).is_ok());
        headers.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(usual.check(&headers, from, None).is_ok());
        headers.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(usual.check(&headers, from, None).is_ok());
        headers.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(usual.check(&headers, from, None).is_err());
    }
}
