//! Names and numbers. Their constructors refuse what is out of range, so that nobody has to
//! check again.

use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// 128 bits that name one endpoint. Shown as 32 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; 16]);

impl PeerId {
    /// An id from its bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A fresh id from the system's random source.
    ///
    /// # Errors
    /// When the system has no random source.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A text is no peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a peer id has 32 hexadecimal digits")]
pub struct NotAPeerId;

impl FromStr for PeerId {
    type Err = NotAPeerId;

    /// Reads an id as it is shown; capital digits are right too.
    fn from_str(text: &str) -> Result<Self, NotAPeerId> {
        let plain = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| plain);
        number.map(|number| Self(number.to_be_bytes())).ok_or(NotAPeerId)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// The name of a channel or room: 0 to 255 bytes, compared byte by byte (docs/peote.md, section 3.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Bytes);

/// A name longer than [`ChannelName::BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel name has at most 255 bytes, this one has {0}")]
pub struct NameTooLong(pub usize);

impl ChannelName {
    /// The longest name any protocol can carry.
    pub const BYTES_MAX: usize = 255;

    /// A name from its bytes.
    ///
    /// # Errors
    /// [`NameTooLong`] above 255 bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, NameTooLong> {
        let bytes = bytes.into();
        if bytes.len() > Self::BYTES_MAX {
            return Err(NameTooLong(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The name of a session or service: 1 to 255 bytes of text, compared byte by byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName(Arc<str>);

/// A text that is no name of a session or service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 255 bytes, this one has {0}")]
pub struct NoPeerName(pub usize);

impl PeerName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// A name from its text.
    ///
    /// # Errors
    /// [`NoPeerName`] if it is empty or longer than 255 bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NoPeerName> {
        let text = text.as_ref();
        match text.len() {
            1..=Self::BYTES_MAX => Ok(Self(text.into())),
            length => Err(NoPeerName(length)),
        }
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl std::borrow::Borrow<str> for PeerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Names a channel among those that a session owns; the lowest free one is given.
    OwnedChannelId
}
number! {
    /// Names a channel or room among those that a session has entered; the lowest free one is given.
    JoinedChannelId
}
number! {
    /// Names a member inside one channel or room; the lowest free one is given.
    MemberNumber
}

number! {
    /// Names a link among those that a session has or had, from 0 upwards. A number is used once, so
    /// that what is still on its way to one peer never reaches another.
    LinkNumber
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_shows_as_32_hexadecimal_digits() {
        assert_eq!(PeerId::new([0xab; 16]).to_string(), "ab".repeat(16));
    }

    #[test]
    fn a_peer_id_is_read_as_it_is_shown_and_nothing_else_is() {
        let id = PeerId::new(*b"\xff123456789abcde\x00");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for wrong in ["", &"a".repeat(31), &"a".repeat(33), &("+".to_owned() + &"a".repeat(31))] {
            assert_eq!(wrong.parse::<PeerId>(), Err(NotAPeerId), "{wrong}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        assert!(ChannelName::new(vec![b'x'; 255]).is_ok());
        assert_eq!(ChannelName::new(vec![b'x'; 256]), Err(NameTooLong(256)));
    }
}
