//! Offers and answers of permessage-deflate in `Sec-WebSocket-Extensions` (RFC 6455 section 9.1, RFC 7692
//! section 7.1).

/// The header that offers and answers stand in.
pub(super) const HEADER: &str = "Sec-WebSocket-Extensions";

/// What a client offers, and most often what a server answers: no side keeps anything from one message to the next.
pub(super) const AGREED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer to an offer that sets the window of the server, which has to be answered.
const AGREED_WINDOW: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

/// The name of the extension.
const NAME: &[u8] = b"permessage-deflate";

/// Which end has said the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Client,
    Server,
}

/// The parameters of one offer or answer, without those that change nothing here.
#[derive(Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner `None` is an offer without a value.
    client_max_window_bits: Option<Option<u8>>,
}

/// What accepts the first of a client's offers of permessage-deflate that this side can meet. It can meet all but
/// those with a window of the server that is smaller than the largest: one compression serves all receivers.
pub(super) fn answer<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<&'static str> {
    values
        .flat_map(|value| split(value, b',').collect::<Vec<_>>())
        .filter_map(|offer| parameters(offer, By::Client))
        .find_map(|offer| match offer.server_max_window_bits {
            None => Some(AGREED),
            Some(15) => Some(AGREED_WINDOW),
            Some(_) => None,
        })
}

/// Whether a server has accepted what this side has offered ([`AGREED`]), and nothing else.
pub(super) fn is_accepted<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut all = values.flat_map(|value| split(value, b',').collect::<Vec<_>>());
    let Some(answer) = all.next().and_then(|answer| parameters(answer, By::Server)) else {
        return false;
    };
    // A window of the client cannot be answered where none was offered (section 7.1.2.2).
    let fits = answer.server_no_context_takeover && answer.client_max_window_bits.is_none();
    fits && all.next().is_none()
}

/// Reads one element. `None` if it is another extension, or has parameters that are unknown, repeated or wrong.
fn parameters(element: &[u8], by: By) -> Option<Parameters> {
    let mut parts = split(element, b';');
    if parts.next()? != NAME {
        return None;
    }
    let mut known = Parameters::default();
    for part in parts {
        let (name, value) = match part.iter().position(|byte| *byte == b'=') {
            None => (part, None),
            Some(at) => (part[..at].trim_ascii_end(), Some(unquoted(part[at + 1..].trim_ascii())?)),
        };
        let repeated = match name {
            b"server_no_context_takeover" if value.is_none() => {
                std::mem::replace(&mut known.server_no_context_takeover, true)
            }
            b"client_no_context_takeover" if value.is_none() => {
                std::mem::replace(&mut known.client_no_context_takeover, true)
            }
            b"server_max_window_bits" => {
                known.server_max_window_bits.replace(window_bits(value?)?).is_some()
            }
            b"client_max_window_bits" => {
                let bits = match value {
                    None if by == By::Client => None,
                    value => Some(window_bits(value?)?),
                };
                known.client_max_window_bits.replace(bits).is_some()
            }
            _ => return None,
        };
        if repeated {
            return None;
        }
    }
    Some(known)
}

/// A number from 8 to 15 without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// A value that may stand in quotes. Those that are meant here have no escapes.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        [b'"', ..] => None,
        _ => Some(value),
    }
}

/// Splits a list at a byte that does not stand in quotes, without the space around its elements. Empty ones are left
/// out.
fn split(list: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    list.split(move |byte| {
        let ends = *byte == at && !quoted;
        if *byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *byte == b'\\' && !escaped;
        ends
    })
    .map(<[u8]>::trim_ascii)
    .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(header: &str) -> bool {
        answer([header.as_bytes()].into_iter()).is_some()
    }

    fn accepted(header: &str) -> bool {
        is_accepted([header.as_bytes()].into_iter())
    }

    #[test]
    fn offers_that_can_be_met_are_accepted() {
        for offer in [
            "permessage-deflate",
            // Chromium and npm `ws`, Firefox, Safari of old.
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=15",
            "permessage-deflate; client_max_window_bits=8; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=15; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits = \"10\"",
            "x-webkit-deflate-frame, permessage-deflate",
            "other; a=\"permessage-deflate, x\", permessage-deflate",
            // The first offer cannot be met, the second can.
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            AGREED,
        ] {
            assert!(offered(offer), "{offer}");
        }
        assert!(answer([&b"a"[..], b"permessage-deflate"].into_iter()).is_some(), "in two headers");
        let window = &b"permessage-deflate; server_max_window_bits=15"[..];
        assert_eq!(answer([window].into_iter()), Some(AGREED_WINDOW));
        assert!(accepted(AGREED_WINDOW));
    }

    #[test]
    fn offers_that_cannot_be_met_or_are_wrong_are_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "Permessage-Deflate2",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"15",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "a=\"permessage-deflate\"",
        ] {
            assert!(!offered(offer), "{offer}");
        }
    }

    #[test]
    fn a_client_takes_the_answer_to_its_own_offer_alone() {
        for answer in [
            AGREED,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        ] {
            assert!(accepted(answer), "{answer}");
        }
        for answer in [
            "",
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; other",
            "permessage-deflate; server_no_context_takeover, permessage-deflate",
            "other",
        ] {
            assert!(!accepted(answer), "{answer}");
        }
    }
}
