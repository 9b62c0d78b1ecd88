//! Packets with their attachments, which come in messages of their own.

use super::Options;
use crate::engineio::Incoming;
use crate::socketio::packet::{Header, Kind, PacketError, ROOT};
use crate::socketio::placeholders::{Cut, Placeholders, PlaceholdersError};
use bytes::Bytes;
use bytestring::ByteString;

/// A whole packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) kind: Kind,
    /// `None` is the root, as most are.
    namespace: Option<Box<str>>,
    /// The number by which the sender recognises the acknowledgement, or which is acknowledged.
    pub(super) id: Option<u64>,
    /// What follows the header: most often JSON.
    pub(super) data: ByteString,
    pub(super) attachments: Vec<Bytes>,
    placeholders: Placeholders,
}

impl Packet {
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(ROOT)
    }

    /// [`data`](Self::data)
    pub(super) fn text(&self) -> &str {
        &self.data
    }

    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> usize {
        self.data.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// A part of [`text`](Self::text), with the attachments that belong there.
    pub(super) fn cut<'a>(&'a self, part: &'a str) -> (Cut<'a>, Vec<Bytes>) {
        let cut = self.placeholders.cut(self.text(), part);
        let attachments = cut.attachments.iter().map(|index| usize::from(*index));
        let attachments = attachments.map(|index| self.attachments[index].clone()).collect();
        (cut, attachments)
    }

    /// The packet that begins with this message, and how many attachments follow it.
    fn begin(message: Bytes, attachments_max: u8) -> Result<(Self, u8), PacketError> {
        // Engine.IO has checked it.
        let text = ByteString::try_from(message).unwrap_or_default();
        let (Header { kind, attachments, namespace, id }, data) =
            Header::parse(&text, attachments_max)?;
        let packet = Self {
            kind,
            namespace: (namespace != ROOT).then(|| namespace.into()),
            id,
            data: text.slice_ref(data),
            attachments: Vec::with_capacity(attachments.into()),
            placeholders: Placeholders::default(),
        };
        Ok((packet, attachments))
    }
}

/// A packet of which attachments are missing.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    coming: Option<Box<Coming>>,
}

#[derive(Debug)]
struct Coming {
    packet: Packet,
    attachments: u8,
}

/// Why what has come is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GatherError {
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("the attachments of a packet: {0}")]
    Placeholders(#[from] PlaceholdersError),
    #[error("text, where an attachment of the packet before it is due")]
    TextForAttachment,
    #[error("bytes that are no attachment of a packet")]
    NoPacket,
    #[error("a packet with more than {0} bytes")]
    TooLarge(usize),
}

impl Gathering {
    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.coming.as_ref().map_or(0, |coming| coming.packet.bytes())
    }

    /// Whether attachments are missing.
    pub(super) fn is_midway(&self) -> bool {
        self.coming.is_some()
    }

    /// Takes a message. Gives the packet that is whole with it.
    pub(super) fn take(
        &mut self,
        incoming: Incoming,
        options: &Options,
    ) -> Result<Option<Packet>, GatherError> {
        let (packet, attachments) = match (incoming, self.coming.take()) {
            (Incoming::Text(_), Some(_)) => return Err(GatherError::TextForAttachment),
            (Incoming::Text(text), None) => Packet::begin(text, options.attachments_max)?,
            (Incoming::Binary(_), None) => return Err(GatherError::NoPacket),
            (Incoming::Binary(bytes), Some(coming)) => {
                let Coming { mut packet, attachments } = *coming;
                packet.attachments.push(bytes);
                (packet, attachments)
            }
            // Nothing more comes.
            (Incoming::Closed | Incoming::Away, _) => return Ok(None),
        };
        if packet.bytes() > options.packet_bytes_max {
            return Err(GatherError::TooLarge(options.packet_bytes_max));
        }
        if packet.attachments.len() < usize::from(attachments) {
            self.coming = Some(Box::new(Coming { packet, attachments }));
            return Ok(None);
        }
        let placeholders = match attachments {
            0 => Placeholders::default(),
            attachments => Placeholders::parse(packet.text(), attachments)?,
        };
        Ok(Some(Packet { placeholders, ..packet }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::Limits;
    use std::sync::Arc;

    fn text(text: &'static str) -> Incoming {
        Incoming::Text(text.into())
    }

    fn binary(bytes: &'static [u8]) -> Incoming {
        Incoming::Binary(bytes.into())
    }

    #[test]
    fn a_packet_is_whole_with_its_last_attachment() {
        let options = Options::new(Arc::new(Limits::default()));
        let mut gathering = Gathering::default();
        let whole = gathering.take(text(r#"2/a,7["b"]"#), &options).unwrap().unwrap();
        assert_eq!((whole.namespace(), whole.id, whole.text()), ("/a", Some(7), r#"["b"]"#));

        let two = r#"52-["b",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#;
        assert_eq!(gathering.take(text(two), &options), Ok(None));
        assert_eq!(gathering.take(binary(b"one"), &options), Ok(None));
        assert!(gathering.is_midway() && gathering.bytes() > 60);
        let whole = gathering.take(binary(b""), &options).unwrap().unwrap();
        assert_eq!(whole.attachments, ["one", ""]);
        assert!(!gathering.is_midway() && gathering.bytes() == 0);
        let part = r#"[{"_placeholder":true,"num":0}]"#;
        let part = &whole.text()[whole.text().find(part).unwrap()..][..part.len()];
        let (cut, attachments) = whole.cut(part);
        assert_eq!((&*cut.text, attachments), (part, vec![Bytes::from("one")]));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        use GatherError::{NoPacket, Placeholders, TextForAttachment, TooLarge};
        let most = Options { packet_bytes_max: 50, ..Options::new(Arc::new(Limits::default())) };
        let one = r#"51-["b",{"_placeholder":true,"num":0}]"#;
        let none = r#"51-["b"]"#;
        let missing = Placeholders(PlaceholdersError::Missing(1));
        let conversations: [(&[Incoming], GatherError); 4] = [
            (&[binary(b"x")], NoPacket),
            (&[text(one), text("2[\"b\"]")], TextForAttachment),
            (&[text(none), binary(b"x")], missing),
            (&[text(one), binary(&[0; 20])], TooLarge(50)),
        ];
        for (said, error) in conversations {
            let mut gathering = Gathering::default();
            let outcomes: Vec<_> =
                said.iter().map(|said| gathering.take(said.clone(), &most)).collect();
            assert_eq!(outcomes.last(), Some(&Err(error)));
        }
    }
}
