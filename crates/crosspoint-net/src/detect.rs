//! What the first bytes of a connection are: TLS, HTTP, or the protocol of a gateway. A pure function.

use crate::gateway::{Gateway, Gateways, Match, Opening};
use std::sync::Arc;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Detected<'a> {
    /// A TLS hello.
    Tls,
    /// HTTP, which may become WebSocket; also requests with a method or version that nobody here knows.
    Http,
    /// A protocol of sessions.
    Gateway(&'a Arc<dyn Gateway>),
    /// Nothing that is known here.
    Unknown,
}

impl Detected<'_> {
    /// The name of what it is.
    #[cfg(feature = "fuzz")]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Gateway(gateway) => gateway.name(),
            Self::Unknown => "unknown",
        }
    }
}

/// Methods with which nothing but a request of HTTP begins.
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// The longest request line with another method that is waited for.
const REQUEST_LINE_BYTES_MAX: usize = 1024;

/// The longest method of an HTTP request that is taken for one.
const METHOD_BYTES_MAX: usize = 32;

/// Line ends in front of a first HTTP request that are skipped (RFC 9112, section 2.2), in bytes.
const EMPTY_LINES_BYTES_MAX: usize = 8;

/// Tells what the first bytes of a connection are, at least one; `None` as long as more are needed to tell.
///
/// Each protocol is recognised by a mark of its own, and what has none is [`Detected::Unknown`]. Of the
/// protocols served by default six bytes are always enough but for HTTP: there it takes the method, or the
/// request line if the method is an unusual one. Empty lines may stand in front of it.
pub(crate) fn detect<'a>(gateways: &'a Gateways, bytes: &[u8]) -> Option<Detected<'a>> {
    let layers = [(tls(bytes), Detected::Tls), (http(bytes), Detected::Http)];
    if let Some((_, layer)) = layers.iter().find(|(matched, _)| *matched == Match::Yes) {
        return Some(*layer);
    }
    let open = layers.iter().any(|(matched, _)| *matched == Match::Partial);
    match gateways.recognise(&Opening::Stream(bytes)) {
        Ok(gateway) => Some(Detected::Gateway(gateway)),
        Err(Match::No) if !open => Some(Detected::Unknown),
        Err(_) => None,
    }
}

/// A request line, behind empty lines or not: a method, a target, and a version of HTTP. Which ones are
/// served is not looked at.
fn http(bytes: &[u8]) -> Match {
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    if empty > EMPTY_LINES_BYTES_MAX {
        return Match::No;
    }
    let line = &bytes[empty..];
    let letters =
        line.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
    match line.get(letters) {
        _ if letters > METHOD_BYTES_MAX => return Match::No,
        None => return Match::Partial,
        Some(b' ') if letters > 0 => {}
        Some(_) => return Match::No,
    }
    // As soon as that is there, it need not be whole.
    let known = |method: &&[u8]| line[..letters] == **method;
    if METHODS.iter().any(known) {
        return Match::Yes;
    }
    let end = line.iter().position(|byte| *byte == b'\n');
    let line = &line[..end.unwrap_or(line.len())];
    let plain = |byte: &u8| byte.is_ascii_graphic() || b" \t\r".contains(byte);
    if line.len() > REQUEST_LINE_BYTES_MAX || !line.iter().all(plain) {
        return Match::No;
    }
    if end.is_none() {
        return Match::Partial;
    }
    let version = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next();
    match version {
        Some(version) if version.starts_with(b"HTTP/") => Match::Yes,
        _ => Match::No,
    }
}

/// A handshake record of any TLS version that begins with a client hello.
fn tls(bytes: &[u8]) -> Match {
    match *bytes {
        [0x16, 0x03, _, _, _, 0x01, ..] => Match::Yes,
        [0x16] | [0x16, 0x03] | [0x16, 0x03, _] | [0x16, 0x03, _, _] | [0x16, 0x03, _, _, _] => {
            Match::Partial
        }
        _ => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateways::standard;

    fn name(bytes: &[u8]) -> Option<&'static str> {
        detect(&standard(), bytes).map(|detected| detected.name())
    }

    fn name_in_websocket(bytes: &[u8], text: bool) -> Result<&'static str, Match> {
        let gateways = standard();
        gateways.recognise(&Opening::WebSocket { bytes, text }).map(|gateway| gateway.name())
    }

    /// Whole beginnings, and what they are. Each is also fed one byte at a time.
    const TABLE: &[(&[u8], Option<&str>)] = &[
        (b"GET / HTTP/1.1\r\n", Some("http")),
        (b"POST /socket.io/?EIO=4", Some("http")),
        (b"OPTIONS * HTTP/1.1", Some("http")),
        (b"PU", None),
        (b"XPT1\x05\x01", Some("native")),
        (b"XPT", None),
        (b"XPR1\x31\x01", Some("resume")),
        (b"XP", None),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Some("tls")),
        (b"\x16\x03\x03\x00\xf1\x01\x00\x00\xed", Some("tls")),
        (b"\x00\x00\x01\x04room", Some("peote")),
        (b"\x00\x01\x01\x04room", Some("peote")),
        (b"\x00\x00\x01\x00", Some("peote")),
        (b"\x00\x01\x01\x00", Some("peote")),
        (b"\x00", None),
        (b"\x00\x04", None),
        (b"\x00\x04\x01\x04room", Some("unknown")),
        (b"\x00\xff", None),
        (b"\x00\xff\x01\x00\x20\x01", Some("unknown")),
        (b"\x02\x00\x0b\x0d\x00hello", Some("unknown")),
        (b"\x84\x00\x00\x41", Some("unknown")),
        (b"\x01\x01\x05\x80", Some("unknown")),
        (b"\x2c\x00\x01\x00\x20\x00\x93\xa1", Some("libpuns")),
        (b"\x00\x01\x01\x00\x20\x00\x93\xa1", Some("libpuns")),
        (b"GEX", None),
        (b"XYZ1", Some("unknown")),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", Some("http")),
        (b"\nGET / HTTP/1.1\r\n", Some("http")),
        (b"\r\n\r\n\0\r\nQUIT\n", Some("unknown")),
        (b"\n\n\n\n\n\n\n\n\n", Some("unknown")),
        (b"PROPFIND / HTTP/1.1\r\n", Some("http")),
        (b"M-SEARCH * HTTP/1.1\r\n", Some("http")),
        (b"get / HTTP/1.1\n", Some("http")),
        (b"PRI * HTTP/2.0\r\n", Some("http")),
        (b"PROPFIND / HT", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Some("unknown")),
        (b"EHLO there\r\n", Some("unknown")),
        (b"hello\r\n", Some("unknown")),
        (b"*1\r\n$4\r\nPING\r\n", Some("unknown")),
        (b"\x10\x10\0\x04MQTT", Some("unknown")),
        (b"\x05\x01\0\0\0\0", Some("unknown")),
        (b"\x03\0\0\x13\x0e\xe0", Some("unknown")),
        (b"{\"type\":1}", Some("unknown")),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", Some("unknown")),
    ];

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        for (bytes, spoken) in TABLE {
            assert_eq!(name(bytes), *spoken, "{bytes:02x?}");
        }
    }

    #[test]
    fn text_that_begins_like_a_packet_is_anysocket_inside_a_websocket_alone() {
        let auth = b"11\0\0\0\x01{\"id\":1}";
        assert_eq!(name_in_websocket(auth, true), Ok("anysocket"));
        assert_eq!(name_in_websocket(auth, false), Err(Match::No));
        assert_eq!(name_in_websocket(b"{\"hello\":1}", true), Err(Match::No));
        assert_eq!(name_in_websocket(b"XPT1", true), Ok("native"));
        assert_eq!(name_in_websocket(b"XP", false), Err(Match::Partial));
    }

    #[test]
    fn one_byte_at_a_time_tells_the_same_and_never_changes_its_mind() {
        for (bytes, spoken) in TABLE {
            let first = (1..=bytes.len()).find_map(|end| name(&bytes[..end]));
            // The one exception: a command that is also the beginning of a rare datagram.
            if !bytes.starts_with(b"\x00\x01\x01\x00\x20") {
                assert_eq!(first, *spoken, "{bytes:02x?}");
            }
        }
    }

    #[test]
    fn six_bytes_always_tell_unless_a_method_is_spelled() {
        for first in 0..=255u8 {
            for second in [0, 1, 3, 0x80, 0xff] {
                let bytes = [first, second, 1, 0, 32, 1];
                assert!(name(&bytes).is_some(), "{bytes:02x?}");
            }
        }
    }
}
