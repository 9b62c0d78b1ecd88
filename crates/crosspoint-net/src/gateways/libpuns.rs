//! LibPUNS, distributed objects over datagrams of Panda3D. Recognised, so that its programs are told apart
//! from strangers; not served.

use crate::gateway::{Context, Gateway, Match, Opened, Opening, Refused};

/// Recognises programs of LibPUNS.
#[derive(Debug, Clone, Copy)]
pub struct LibPuns;

/// The smallest connection request: type, 32 bytes of signature behind their length, two empty strings.
const REQUEST_BYTES_MIN: u16 = 2 + 2 + 32 + 2 + 2;

impl Gateway for LibPuns {
    fn name(&self) -> &'static str {
        "libpuns"
    }

    fn has_sessions(&self) -> bool {
        false
    }

    /// A connection request: length, type 1, 32 bytes of signature, all little-endian.
    fn recognise(&self, opening: &Opening<'_>) -> Match {
        const REQUEST: [u8; 4] = [1, 0, 32, 0];
        match *opening {
            Opening::Stream([low, high, rest @ ..]) => {
                let length = u16::from_le_bytes([*low, *high]);
                let rest = &rest[..rest.len().min(REQUEST.len())];
                match length >= REQUEST_BYTES_MIN {
                    true => Match::mark(rest, &REQUEST),
                    false => Match::No,
                }
            }
            Opening::Stream(_) => Match::Partial,
            Opening::Upgrade(_) | Opening::WebSocket { .. } => Match::No,
        }
    }

    fn open(&self, _context: &Context<'_>) -> Result<Opened, Refused> {
        Err(Refused::unknown("programs of LibPUNS are not served here"))
    }
}
