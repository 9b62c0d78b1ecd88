//! Whom a connection comes from when it comes through a proxy: the PROXY protocol before all other
//! bytes. Only proxies that the operator trusts are believed.

use crate::reading::read;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::stream::Reader;
use bytes::{Buf, BytesMut};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::{Hub, Limit, Reason};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What version 1 begins with, the text one.
const TEXT: &[u8] = b"PROXY ";

/// What version 2 begins with, the binary one.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1, with its line end.
const TEXT_BYTES_MAX: usize = 107;

/// The most bytes of version 2 behind the length. Addresses are 216 at most, the rest is additions.
const BINARY_BYTES_MAX: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preface {
    /// No header of the PROXY protocol.
    None,
    /// The beginning of one, so far.
    Open,
    /// One of so many bytes. The address is `None` if the proxy speaks for itself, or for a client whose
    /// address has no form here.
    Whole(Option<SocketAddr>, usize),
    /// One that is wrong.
    Broken,
}

/// Takes the header of the PROXY protocol from the beginning of a connection, if there is one: where it
/// comes from is known after that, and counted. `first` was read before, nothing at the end of the stream.
/// Gives what was read behind the header.
///
/// # Errors
/// Why the connection is closed: it is lost, the header is wrong or comes from somebody who is not
/// trusted, or there are too many from where it comes.
pub(crate) async fn preface(
    hub: &Hub,
    reader: &mut Reader,
    first: BytesMut,
    remote: &mut Remote,
    admission: &mut Admission,
) -> Result<BytesMut, Refusal> {
    let mut bytes = BytesMut::new();
    let mut more = first;
    loop {
        if more.is_empty() {
            return Err(Refusal::LOST);
        }
        bytes.unsplit(more);
        let parsed = parse(&bytes);
        if parsed == Preface::None {
            return Ok(bytes);
        }
        let begins = bytes.starts_with(TEXT) || bytes.starts_with(BINARY);
        if begins && remote.ip().is_none() {
            // Most often the other side has gone, and its address with it: health checks of proxies do that.
            return Err(Refusal::silent(Reason::UnknownProtocol));
        }
        if begins && !is_trusted(hub, *remote) {
            hub.metrics.hit(Limit::TrustedProxies);
            let fault = format!(
                "a header of the PROXY protocol from an address that {} does not name",
                Limit::TrustedProxies
            );
            return Err(Refusal::silent(Reason::UnknownProtocol).because(fault));
        }
        match parsed {
            Preface::None | Preface::Open => {}
            Preface::Broken => {
                let fault = "the header of the PROXY protocol is wrong";
                return Err(Refusal::silent(Reason::Malformed).because(fault));
            }
            Preface::Whole(from, length) => {
                bytes.advance(length);
                if let Some(from) = from {
                    *remote = Remote::new(Some(from));
                    admission.come_from(remote.ip()).map_err(Refusal::silent)?;
                }
                return match bytes.is_empty() {
                    true => first_bytes(reader).await,
                    false => Ok(bytes),
                };
            }
        }
        more = read(reader).await.unwrap_or_default();
    }
}

async fn first_bytes(reader: &mut Reader) -> Result<BytesMut, Refusal> {
    let bytes = read(reader).await.unwrap_or_default();
    if bytes.is_empty() { Err(Refusal::LOST) } else { Ok(bytes) }
}

fn is_trusted(hub: &Hub, remote: Remote) -> bool {
    remote.ip().is_some_and(|address| hub.limits.trusted_proxies.contain(address))
}

fn parse(bytes: &[u8]) -> Preface {
    if bytes.starts_with(TEXT) {
        return parse_text(bytes);
    }
    if bytes.starts_with(BINARY) {
        return parse_binary(bytes);
    }
    match TEXT.starts_with(bytes) || BINARY.starts_with(bytes) {
        true => Preface::Open,
        false => Preface::None,
    }
}

fn parse_text(bytes: &[u8]) -> Preface {
    let visible = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let Some(end) = visible.windows(2).position(|pair| pair == b"\r\n") else {
        return if visible.len() < TEXT_BYTES_MAX { Preface::Open } else { Preface::Broken };
    };
    let Ok(line) = str::from_utf8(&visible[TEXT.len()..end]) else {
        return Preface::Broken;
    };
    let words = line.split(' ').collect::<Vec<_>>();
    let [family, ref words @ ..] = words[..] else {
        return Preface::Broken;
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    match *words {
        _ if family == "UNKNOWN" => Preface::Whole(None, end + 2),
        [source, target, port, target_port]
            if let (Some(source), Some(_)) = (address(source), address(target))
                && let (Ok(port), Ok(_)) = (port.parse::<u16>(), target_port.parse::<u16>()) =>
        {
            Preface::Whole(Some((source, port).into()), end + 2)
        }
        _ => Preface::Broken,
    }
}

fn parse_binary(bytes: &[u8]) -> Preface {
    let [kind, family, high, low, ref rest @ ..] = bytes[BINARY.len()..] else {
        return Preface::Open;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BINARY_BYTES_MAX || !matches!(kind, 0x20 | 0x21) {
        return Preface::Broken;
    }
    let Some(body) = rest.get(..length) else {
        return Preface::Open;
    };
    let whole = BINARY.len() + 4 + length;
    // The proxy's own connection, or a family that is none of ours.
    if kind == 0x20 || !matches!(family, 0x11 | 0x21) {
        return Preface::Whole(None, whole);
    }
    let source = match family {
        0x11 => source::<4>(body),
        _ => source::<16>(body),
    };
    match source {
        Some(source) => Preface::Whole(Some(source), whole),
        None => Preface::Broken,
    }
}

/// The first of two addresses of so many bytes, with the first of two ports behind them.
fn source<const BYTES: usize>(body: &[u8]) -> Option<SocketAddr>
where
    [u8; BYTES]: Into<IpAddr>,
{
    let (address, rest) = body.split_first_chunk::<BYTES>()?;
    let (_, rest) = rest.split_first_chunk::<BYTES>()?;
    let [high, low, _, _, ..] = *rest else {
        return None;
    };
    Some(((*address).into(), u16::from_be_bytes([high, low])).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    fn binary(kind: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [BINARY, &[kind, family], &length, body].concat()
    }

    #[test]
    fn a_header_of_either_version_tells_the_address_of_the_client() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let mut v6 = [0; 36];
        (v6[15], v6[32], v6[33]) = (9, 0x30, 0x39);
        let more = [&v4[..], &[4, 0, 1, 0]].concat();
        for (header, from) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec(), at("192.0.2.7:12345")),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 80\r\n".to_vec(), at("[2001:db8::7]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (binary(0x21, 0x11, &v4), at("192.0.2.7:12345")),
            (binary(0x21, 0x11, &more), at("192.0.2.7:12345")),
            (binary(0x21, 0x21, &v6), at("[::9]:12345")),
            (binary(0x20, 0x11, &v4), None),
            (binary(0x21, 0, b""), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ] {
            for end in 1..header.len() {
                assert_eq!(parse(&header[..end]), Preface::Open, "{end} of {header:?}");
            }
            let follows = [&header[..], b"XPT1"].concat();
            assert_eq!(parse(&header), Preface::Whole(from, header.len()));
            assert_eq!(parse(&follows), Preface::Whole(from, header.len()));
        }
    }

    #[test]
    fn what_is_wrong_is_broken_and_what_is_something_else_is_none() {
        for wrong in [
            &b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n"[..],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
            b"PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY \xff\r\n",
            &[TEXT, &[b'x'; 200]].concat(),
            &binary(0x11, 0x11, &[0; 12]),
            &binary(0x22, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x21, &[0; 35]),
            &binary(0x21, 0x11, &[0; 4097]),
        ] {
            assert_eq!(parse(wrong), Preface::Broken, "{wrong:?}");
        }
        for other in [&b"XPT1"[..], b"PUT / HTTP/1.1", b"\r\nGET /", b"\r\n\r\n\0\r\nQUIZ", b"\0"] {
            assert_eq!(parse(other), Preface::None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_harm(bytes: Vec<u8>, text in proptest::bool::ANY) {
            let start = if text { TEXT } else { BINARY };
            parse(&bytes);
            parse(&[start, &bytes].concat());
        }
    }
}
