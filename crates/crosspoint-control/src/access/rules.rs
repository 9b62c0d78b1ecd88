//! Who may use the control center: pure rules over what is known of a request.

use crosspoint_net::http::Host;
use std::net::IpAddr;

/// Who is let in without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Whoever comes from this machine itself, under a name that only this machine has.
    #[default]
    Loopback,
    /// Nobody.
    Token,
}

/// What is known of a request, as far as it matters here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts<'a> {
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// The address at which it has found this machine.
    pub(crate) local: Option<IpAddr>,
    /// Whether it has come through a proxy, or may have.
    pub(crate) through_proxy: bool,
    /// Whether it is HTTP/1.1, which names the host.
    pub(crate) is_http11: bool,
    /// The header `Host`, if it is there once.
    pub(crate) host: Option<&'a str>,
    /// The header `Origin`, empty if it cannot be read.
    pub(crate) origin: Option<&'a str>,
    /// The header `Sec-Fetch-Site`, empty if it cannot be read.
    pub(crate) fetch_site: Option<&'a str>,
    /// Whether it says by a header that pages of other sites cannot send that it means what it asks.
    pub(crate) is_marked: bool,
    /// Whether it changes something.
    pub(crate) changes: bool,
}

/// What a request presents, and whether it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Presented {
    /// Nothing that could be right.
    #[default]
    Nothing,
    /// The token.
    Token,
    /// The cookie of a login that is in force.
    Login,
    /// A wrong token.
    WrongToken,
}

/// Why somebody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// It comes from this machine.
    Loopback,
    /// It has presented the token.
    Token,
    /// It has presented the token when it logged in.
    Login,
}

impl Actor {
    /// As the log and the API name it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Token | Self::Login => "token",
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It has to present the token.
    Unknown,
    /// What it has presented is not the token.
    WrongToken,
    /// A page of another site asks, by the browser of a visitor.
    ForeignPage,
    /// It changes something and does not say that it means that.
    Unmarked,
}

/// Whether a request may be answered, and for whom.
///
/// A page of another site never gets anything: not by the visitor's cookie, and not because the visitor sits at this
/// machine. The token itself in a header is as good as its bearer, whom a browser does not make one by itself.
pub(crate) fn decide(
    access: Access,
    facts: &Facts<'_>,
    presented: Presented,
) -> Result<Actor, Denied> {
    match presented {
        Presented::Token => return Ok(Actor::Token),
        Presented::WrongToken => return Err(Denied::WrongToken),
        Presented::Login | Presented::Nothing => {}
    }
    if is_foreign_page(facts) {
        return Err(Denied::ForeignPage);
    }
    let actor = match presented {
        Presented::Login => Actor::Login,
        _ if is_open(access, facts) => Actor::Loopback,
        _ => return Err(Denied::Unknown),
    };
    match facts.changes && !facts.is_marked {
        true => Err(Denied::Unmarked),
        false => Ok(actor),
    }
}

/// Whether the browser of a visitor says that a page of another site asks. Another port is another site here.
pub(crate) fn is_foreign_page(facts: &Facts<'_>) -> bool {
    facts.fetch_site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// Whether a request is let in because of where it comes from.
///
/// A name that others can let lead to this machine would make a page of theirs a page of this machine (DNS
/// rebinding), so the name must be one that is always this machine.
pub(crate) fn is_open(access: Access, facts: &Facts<'_>) -> bool {
    let is_loopback = |address: Option<IpAddr>| {
        address.is_some_and(|address| address.to_canonical().is_loopback())
    };
    access == Access::Loopback
        && is_loopback(facts.peer)
        && is_loopback(facts.local)
        && !facts.through_proxy
        && facts.is_http11
        && facts.host.and_then(Host::parse).is_some_and(Host::is_loopback)
        && !is_foreign_page(facts)
        && facts.origin.is_none_or(|origin| is_origin_of(origin, facts.host))
}

/// Whether an origin is that of the pages that are served under this host name and port.
fn is_origin_of(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// A request of a program on this machine.
    fn near<'a>() -> Facts<'a> {
        Facts {
            peer: ip("127.0.0.1"),
            local: ip("127.0.0.1"),
            is_http11: true,
            host: Some("127.0.0.1:7680"),
            ..Facts::default()
        }
    }

    #[test]
    fn only_this_machine_is_let_in_without_a_token() {
        let far = ip("192.0.2.1");
        let at = |host| Facts { host: Some(host), ..near() };
        for (facts, open) in [
            (near(), true),
            (Facts { peer: ip("::1"), local: ip("::1"), host: Some("[::1]:7680"), ..near() }, true),
            (Facts { peer: ip("::ffff:127.0.0.1"), ..near() }, true),
            (Facts { peer: ip("127.9.9.9"), ..near() }, true),
            (Facts { peer: far, ..near() }, false),
            (Facts { peer: None, ..near() }, false),
            (Facts { local: far, ..near() }, false),
            (Facts { local: None, ..near() }, false),
            (Facts { through_proxy: true, ..near() }, false),
            (Facts { is_http11: false, ..near() }, false),
            (Facts { host: None, ..near() }, false),
            (at("localhost"), true),
            (at("localhost:7680"), true),
            (at("LocalHost."), true),
            (at("hub.localhost:7680"), true),
            (at("[::1]"), true),
            (at("127.0.0.1"), true),
            (at("127.1.2.3:1"), true),
            (at("localhost.evil.example"), false),
            (at("evil.example:7680"), false),
            (at("evil.example:7680@127.0.0.1"), false),
            (at("127.0.0.1.evil.example"), false),
            (at("127.0.0.1:7680:80"), false),
            (at("127.0.0.1:port"), false),
            (at("localhost:+80"), false),
            (at("127.1"), false),
            (at("[127.0.0.1]"), false),
            (at("::1"), false),
            (at("[::1"), false),
            (at("[::1]x"), false),
            (at("[::2]"), false),
            (at(".localhost"), false),
            (at("a b.localhost"), false),
            (at("a@b.localhost"), false),
            (at("localhost/"), false),
            (at("192.0.2.1"), false),
            (at("0.0.0.0"), false),
            (at(""), false),
        ] {
            assert_eq!(is_open(Access::Loopback, &facts), open, "{facts:?}");
            assert!(!is_open(Access::Token, &facts));
            let unknown = Err(Denied::Unknown);
            let expected = if open { Ok(Actor::Loopback) } else { unknown };
            assert_eq!(decide(Access::Loopback, &facts, Presented::Nothing), expected);
            assert_eq!(decide(Access::Token, &facts, Presented::Nothing), unknown);
            assert_eq!(decide(Access::Token, &facts, Presented::Token), Ok(Actor::Token));
            assert_eq!(decide(Access::Loopback, &facts, Presented::Login), Ok(Actor::Login));
        }
    }

    #[test]
    fn pages_of_other_sites_get_nothing_whoever_visits_them() {
        for (site, foreign) in [
            (None, false),
            (Some("same-origin"), false),
            (Some("none"), false),
            (Some("same-site"), true),
            (Some("cross-site"), true),
            (Some("Same-Origin"), true),
            (Some(""), true),
        ] {
            for changes in [false, true] {
                let facts = Facts { fetch_site: site, changes, is_marked: true, ..near() };
                for presented in [Presented::Nothing, Presented::Login] {
                    let result = decide(Access::Loopback, &facts, presented);
                    assert_eq!(result == Err(Denied::ForeignPage), foreign, "{facts:?}");
                    assert_eq!(result.is_ok(), !foreign, "{facts:?}");
                }
            }
        }
        // Browsers that say no more than the origin.
        for (origin, open) in [
            ("http://127.0.0.1:7680", true),
            ("http://localhost:7680", false),
            ("http://127.0.0.1:8000", false),
            ("https://game.example", false),
            ("null", false),
            ("", false),
        ] {
            let facts = Facts { origin: Some(origin), ..near() };
            assert_eq!(is_open(Access::Loopback, &facts), open, "{origin}");
        }
    }

    #[test]
    fn what_changes_something_has_to_say_that_it_means_it_unless_it_presents_the_token() {
        let facts = Facts { changes: true, ..near() };
        for (presented, unmarked) in [
            (Presented::Nothing, Err(Denied::Unmarked)),
            (Presented::Login, Err(Denied::Unmarked)),
            (Presented::Token, Ok(Actor::Token)),
            (Presented::WrongToken, Err(Denied::WrongToken)),
        ] {
            assert_eq!(decide(Access::Loopback, &facts, presented), unmarked);
            let marked = Facts { is_marked: true, ..facts };
            let result = decide(Access::Loopback, &marked, presented);
            assert_eq!(result.is_ok(), presented != Presented::WrongToken);
        }
    }

    #[test]
    fn a_wrong_token_is_refused_even_where_none_is_needed() {
        let result = decide(Access::Loopback, &near(), Presented::WrongToken);
        assert_eq!(result, Err(Denied::WrongToken));
    }
}
