//! What carries the bytes of a session, as operators are told.

use std::fmt;

/// What carries the bytes of a session at a time. It may change: a session of Engine.IO becomes a WebSocket, and a
/// resumed one comes back over another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Transport {
    /// By what the client reaches the hub.
    pub carrier: Carrier,
    /// Whether TLS is below that, as far as this program knows: not where a proxy ends it.
    pub tls: bool,
}

/// By what a client reaches the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Carrier {
    /// Inside the program.
    #[default]
    Memory,
    /// A TCP connection.
    Tcp,
    /// A socket of the file system.
    Unix,
    /// A WebSocket, over whatever connection.
    WebSocket,
    /// HTTP requests, one after the other.
    Polling,
}

impl Carrier {
    const ALL: [Self; 5] = [Self::Memory, Self::Tcp, Self::Unix, Self::WebSocket, Self::Polling];

    /// One word for people and programs, such as `tcp`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Transport {
    /// In one byte, for an atomic.
    pub(crate) const fn packed(self) -> u8 {
        (self.carrier as u8) << 1 | self.tls as u8
    }

    /// What [`Transport::packed`] gave.
    pub(crate) fn unpacked(byte: u8) -> Self {
        let carrier = Carrier::ALL.get(usize::from(byte >> 1)).copied().unwrap_or_default();
        Self { carrier, tls: byte & 1 != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_fits_into_a_byte() {
        for carrier in Carrier::ALL {
            for tls in [false, true] {
                let transport = Transport { carrier, tls };
                assert_eq!(Transport::unpacked(transport.packed()), transport);
            }
        }
    }
}
