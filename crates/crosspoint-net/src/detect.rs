//! Which protocol the first bytes of a connection speak. A pure function.

use crosspoint_gateways::peote::frame as peote;

/// What speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// A TLS hello. Refused at once on a port without TLS.
    Tls,
    /// HTTP, which may become WebSocket; also requests with a method or version that nobody here knows.
    Http,
    /// The native protocol.
    Native,
    /// The native protocol in a session that survives its connections.
    Resumable,
    /// The joint protocol of peote.
    Joint,
    /// Datagrams of Panda3D, as LibPUNS sends them.
    Panda3d,
    /// AnySocket, inside a WebSocket.
    AnySocket,
    /// Nothing that is known here.
    Unknown,
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

/// The smallest connection request of LibPUNS: type, 32 bytes of signature behind their length,
/// two empty strings.
const PANDA3D_REQUEST_BYTES_MIN: u16 = 2 + 2 + 32 + 2 + 2;

/// Tells what the first bytes speak; `None` as long as more bytes are needed to tell.
///
/// Each protocol is recognised by a mark of its own, and what has none is [`Spoken::Unknown`]. Six bytes
/// are always enough but for HTTP: there it takes the method, or the request line if the method is an unusual one. Empty lines
/// may stand in front of it.
pub fn detect(bytes: &[u8]) -> Option<Spoken> {
    let joint = match peote::begins(bytes) {
        Some(true) => Match::Yes,
        Some(false) => Match::No,
        None => Match::Open,
    };
    let marks = [
        (mark(bytes, &crosspoint_proto::frame::MAGIC), Spoken::Native),
        (mark(bytes, &crate::resume::MAGIC), Spoken::Resumable),
        (http(bytes), Spoken::Http),
        (tls(bytes), Spoken::Tls),
        (panda3d(bytes), Spoken::Panda3d),
        (joint, Spoken::Joint),
    ];
    if let Some((_, spoken)) = marks.iter().find(|(matched, _)| *matched == Match::Yes) {
        return Some(*spoken);
    }
    let open = bytes.is_empty() || marks.iter().any(|(matched, _)| *matched == Match::Open);
    (!open).then_some(Spoken::Unknown)
}

/// As [`detect`], for the bytes inside a WebSocket. `text` says whether they are a text message.
pub fn detect_in_websocket(bytes: &[u8], text: bool) -> Option<Spoken> {
    match bytes {
        // Only AnySocket sends text of its own accord, and its packets begin so (docs/anysocket.md,
        // section 3).
        [b'1' | b'2', ..] if text => Some(Spoken::AnySocket),
        _ => detect(bytes),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    /// So far.
    Open,
    No,
}

fn mark(bytes: &[u8], mark: &[u8]) -> Match {
    if bytes.starts_with(mark) {
        Match::Yes
    } else if !bytes.is_empty() && mark.starts_with(bytes) {
        Match::Open
    } else {
        Match::No
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
        None => return Match::Open,
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
        return Match::Open;
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
            Match::Open
        }
        _ => Match::No,
    }
}

/// A connection request: length, type 1, 32 bytes of signature, all little-endian.
fn panda3d(bytes: &[u8]) -> Match {
    const REQUEST: [u8; 4] = [1, 0, 32, 0];
    match *bytes {
        // A short joint command must not wait for bytes that never come.
        [0, ..] if bytes.len() < 6 && peote::begins(bytes) == Some(true) => Match::No,
        [low, high, ref rest @ ..] => {
            let length = u16::from_le_bytes([low, high]);
            let rest = &rest[..rest.len().min(REQUEST.len())];
            match length >= PANDA3D_REQUEST_BYTES_MIN {
                true if rest == REQUEST => Match::Yes,
                true if REQUEST.starts_with(rest) => Match::Open,
                _ => Match::No,
            }
        }
        [_] => Match::Open,
        [] => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole beginnings, and what they are. Each is also fed one byte at a time.
    const TABLE: &[(&[u8], Option<Spoken>)] = &[
        (b"", None),
        (b"GET / HTTP/1.1\r\n", Some(Spoken::Http)),
        (b"POST /socket.io/?EIO=4", Some(Spoken::Http)),
        (b"OPTIONS * HTTP/1.1", Some(Spoken::Http)),
        (b"PU", None),
        (b"XPT1\x05\x01", Some(Spoken::Native)),
        (b"XPT", None),
        (b"XPR1\x31\x01", Some(Spoken::Resumable)),
        (b"XP", None),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Some(Spoken::Tls)),
        (b"\x16\x03\x03\x00\xf1\x01\x00\x00\xed", Some(Spoken::Tls)),
        (b"\x00\x00\x01\x04room", Some(Spoken::Joint)),
        (b"\x00\x01\x01\x04room", Some(Spoken::Joint)),
        (b"\x00\x00\x01\x00", Some(Spoken::Joint)),
        (b"\x00\x01\x01\x00", Some(Spoken::Joint)),
        (b"\x00", None),
        (b"\x00\x04", None),
        (b"\x00\x04\x01\x04room", Some(Spoken::Unknown)),
        (b"\x00\xff", None),
        (b"\x00\xff\x01\x00\x20\x01", Some(Spoken::Unknown)),
        (b"\x02\x00\x0b\x0d\x00hello", Some(Spoken::Unknown)),
        (b"\x84\x00\x00\x41", Some(Spoken::Unknown)),
        (b"\x01\x01\x05\x80", Some(Spoken::Unknown)),
        (b"\x2c\x00\x01\x00\x20\x00\x93\xa1", Some(Spoken::Panda3d)),
        (b"\x00\x01\x01\x00\x20\x00\x93\xa1", Some(Spoken::Panda3d)),
        (b"GEX", None),
        (b"XYZ1", Some(Spoken::Unknown)),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", Some(Spoken::Http)),
        (b"\nGET / HTTP/1.1\r\n", Some(Spoken::Http)),
        (b"\r\n\r\n\0\r\nQUIT\n", Some(Spoken::Unknown)),
        (b"\n\n\n\n\n\n\n\n\n", Some(Spoken::Unknown)),
        (b"PROPFIND / HTTP/1.1\r\n", Some(Spoken::Http)),
        (b"M-SEARCH * HTTP/1.1\r\n", Some(Spoken::Http)),
        (b"get / HTTP/1.1\n", Some(Spoken::Http)),
        (b"PRI * HTTP/2.0\r\n", Some(Spoken::Http)),
        (b"PROPFIND / HT", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Some(Spoken::Unknown)),
        (b"EHLO there\r\n", Some(Spoken::Unknown)),
        (b"hello\r\n", Some(Spoken::Unknown)),
        (b"*1\r\n$4\r\nPING\r\n", Some(Spoken::Unknown)),
        (b"\x10\x10\0\x04MQTT", Some(Spoken::Unknown)),
        (b"\x05\x01\0\0\0\0", Some(Spoken::Unknown)),
        (b"\x03\0\0\x13\x0e\xe0", Some(Spoken::Unknown)),
        (b"{\"type\":1}", Some(Spoken::Unknown)),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", Some(Spoken::Unknown)),
    ];

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        for (bytes, spoken) in TABLE {
            assert_eq!(detect(bytes), *spoken, "{bytes:02x?}");
        }
    }

    #[test]
    fn text_that_begins_like_a_packet_is_anysocket_inside_a_websocket_alone() {
        let auth = b"11\0\0\0\x01{\"id\":1}";
        assert_eq!(detect_in_websocket(auth, true), Some(Spoken::AnySocket));
        assert_eq!(detect_in_websocket(auth, false), Some(Spoken::Unknown));
        assert_eq!(detect_in_websocket(b"{\"hello\":1}", true), Some(Spoken::Unknown));
        assert_eq!(detect_in_websocket(b"XPT1", true), Some(Spoken::Native));
    }

    #[test]
    fn one_byte_at_a_time_tells_the_same_and_never_changes_its_mind() {
        for (bytes, spoken) in TABLE {
            let first = (0..=bytes.len()).find_map(|end| detect(&bytes[..end]));
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
                assert!(detect(&bytes).is_some(), "{bytes:02x?}");
            }
        }
    }
}
