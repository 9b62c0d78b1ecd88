//! The ids by which a client acknowledges events.

use super::carry::NUMBER_MAX;
use crosspoint_hub::LinkNumber;

/// An id says over which link the event came, and which number it had there. So nothing has to be kept until the client
/// acknowledges it, and whoever writes the event knows its id. It is exact in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AckId {
    /// The link, or [`AckId::GATEWAY`].
    pub link: LinkNumber,
    /// The number, from 0 to [`NUMBER_MAX`].
    pub number: u32,
}

impl AckId {
    /// In place of a link: the gateway itself sent the event. No session has as many links.
    pub const GATEWAY: LinkNumber = LinkNumber(u32::MAX);

    const NUMBER_BITS: u32 = NUMBER_MAX.trailing_ones();

    /// The id in a packet.
    pub fn to_packet(self) -> u64 {
        u64::from(self.link.0) << Self::NUMBER_BITS | u64::from(self.number & NUMBER_MAX)
    }

    /// Reads the id of a packet. `None` is one that was never written.
    pub fn from_packet(id: u64) -> Option<Self> {
        let link = u32::try_from(id >> Self::NUMBER_BITS).ok()?;
        Some(Self { link: LinkNumber(link), number: id as u32 & NUMBER_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::packet::ID_MAX;

    #[test]
    fn every_id_comes_back_and_is_exact_in_javascript() {
        for link in [0, 1, 77, u32::MAX] {
            for number in [0, 5, NUMBER_MAX] {
                let id = AckId { link: LinkNumber(link), number };
                assert!(id.to_packet() < ID_MAX);
                assert_eq!(AckId::from_packet(id.to_packet()), Some(id));
            }
        }
        assert_eq!(AckId { link: LinkNumber(2), number: 3 }.to_packet(), (2 << 21) + 3);
        assert_eq!(AckId::from_packet(ID_MAX), None);
        assert_eq!(AckId::from_packet(u64::MAX), None);
    }
}
