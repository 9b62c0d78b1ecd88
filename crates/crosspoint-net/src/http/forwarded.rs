//! Whom a request comes from when it comes through proxies that write that into its headers. Only proxies that the
//! operator trusts are believed.

use crate::remote::Remote;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use crosspoint_hub::networks::Networks;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Where a request comes from: the last one in its headers, from behind, that is not a trusted proxy.
///
/// `X-Forwarded-For` is heeded before `Forwarded`: a proxy that writes one of them leaves the other as
/// it came from the client, and most write the first.
pub(crate) fn forwarded(proxies: &Networks, from: Remote, headers: &HeaderMap) -> Remote {
    let trusted = |remote: Remote| remote.ip().is_some_and(|address| proxies.contain(address));
    if !trusted(from) {
        return from;
    }
    // What cannot be read stands in its place, as it ends the chain.
    let listed = |name: HeaderName| -> Vec<&str> {
        let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let hops = lines.flat_map(|line| line.split(|byte| *byte == b','));
        hops.map(|hop| str::from_utf8(hop).map_or("", str::trim)).collect()
    };
    let hops: Vec<&str> = match headers.contains_key(X_FORWARDED_FOR) {
        true => listed(X_FORWARDED_FOR),
        false => listed(header::FORWARDED).into_iter().map(|hop| parameter(hop, "for")).collect(),
    };
    let mut remote = from;
    for hop in hops.into_iter().rev() {
        let Some(address) = node(hop) else {
            break;
        };
        remote = Remote::new(Some(address));
        if !trusted(remote) {
            break;
        }
    }
    remote
}

/// Whether somebody says in the headers that the request comes through a proxy.
pub(super) fn names_others(headers: &HeaderMap) -> bool {
    let says_so = |name: &HeaderName| {
        *name == header::FORWARDED
            || *name == header::VIA
            || *name == X_REAL_IP
            || name.as_str().starts_with("x-forwarded-")
    };
    headers.keys().any(says_so)
}

/// A parameter of an element of `Forwarded` (RFC 7239).
fn parameter<'a>(element: &'a str, name: &str) -> &'a str {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value.trim().trim_matches('"'))
}

/// An address with or without a port, of which one that is not told is 0.
fn node(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| (address, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    fn through(from: &str, headers: &[(&HeaderName, &str)]) -> String {
        let proxies =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        forwarded(&proxies, Remote::new(at(from)), &map).to_string()
    }

    #[test]
    fn a_request_comes_from_the_last_hop_that_is_no_trusted_proxy() {
        let (x, f) = (&X_FORWARDED_FOR, &header::FORWARDED);
        let proxy = "10.0.0.1:9";
        assert_eq!(through(proxy, &[]), "10.0.0.1:9");
        assert_eq!(through(proxy, &[(x, "192.0.2.7")]), "192.0.2.7");
        assert_eq!(through(proxy, &[(x, "1.1.1.1, 192.0.2.7 , 10.9.9.9")]), "192.0.2.7");
        assert_eq!(through(proxy, &[(x, "1.1.1.1"), (x, "192.0.2.7:55")]), "192.0.2.7:55");
        assert_eq!(through(proxy, &[(x, "10.0.0.3, 10.0.0.2")]), "10.0.0.3");
        assert_eq!(through(proxy, &[(x, "2001:db8::7")]), "2001:db8::7");
        assert_eq!(through(proxy, &[(x, "[2001:db8::7]:55")]), "[2001:db8::7]:55");
        assert_eq!(through(proxy, &[(x, "::ffff:192.0.2.7")]), "192.0.2.7");
        let list = "for=1.1.1.1, For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1";
        assert_eq!(through(proxy, &[(f, list)]), "[2001:db8::7]:4711");
        assert_eq!(through("[fd00::1]:9", &[(f, "proto=http;for=192.0.2.7")]), "192.0.2.7");
        assert_eq!(through(proxy, &[(x, "192.0.2.7"), (f, "for=1.1.1.1")]), "192.0.2.7");
    }

    #[test]
    fn whoever_names_a_proxy_in_any_header_has_said_that_there_is_one() {
        for (name, says_so) in [
            ("X-Forwarded-For", true),
            ("x-forwarded-host", true),
            ("X-FORWARDED-PROTO", true),
            ("X-Forwarded-Anything", true),
            ("Forwarded", true),
            ("Via", true),
            ("X-Real-IP", true),
            ("X-Forward", false),
            ("Host", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!names_others(&headers));
            let name: HeaderName = name.parse().unwrap();
            headers.append(&name, HeaderValue::from_static(""));
            assert_eq!(names_others(&headers), says_so, "{name}");
        }
    }

    #[test]
    fn nobody_else_is_believed_and_what_cannot_be_read_ends_the_chain() {
        let (x, f) = (&X_FORWARDED_FOR, &header::FORWARDED);
        let headers = [(x, "1.1.1.1"), (f, "for=1.1.1.1")];
        assert_eq!(through("192.0.2.7:9", &headers), "192.0.2.7:9");
        assert_eq!(through("10.0.0.1:9", &[(x, "1.1.1.1, unknown")]), "10.0.0.1:9");
        assert_eq!(through("10.0.0.1:9", &[(x, "1.1.1.1, unknown, 10.0.0.2")]), "10.0.0.2");
        assert_eq!(through("10.0.0.1:9", &[(f, "for=_hidden")]), "10.0.0.1:9");
        assert_eq!(through("10.0.0.1:9", &[(x, "")]), "10.0.0.1:9");
        // A client cannot make unreadable what the proxy adds, nor have its own other header believed.
        let mixed = "\u{ff}, 203.0.113.9";
        assert_eq!(through("10.0.0.1:9", &[(x, mixed), (f, "for=1.1.1.1")]), "203.0.113.9");
        assert_eq!(through("10.0.0.1:9", &[(x, "\u{ff}"), (f, "for=1.1.1.1")]), "10.0.0.1:9");
    }
}
