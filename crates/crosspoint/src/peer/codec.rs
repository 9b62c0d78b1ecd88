//! Values in payloads: MessagePack when writing, whatever the payload says when reading.

use crosspoint_hub::payload::{Format, Payload};
use serde::Serialize;
use serde::de::value::{BytesDeserializer, Error, StrDeserializer};
use serde::de::{DeserializeOwned, Error as _};

/// A payload that holds no such value, or a value that no payload can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

/// Writes a value in MessagePack. Bytes stay bytes if serde is told that they are (`serde_bytes`).
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Payload, CodecError> {
    let written = rmp_serde::to_vec_named(value);
    let data = written.map_err(|error| CodecError(format!("cannot be written: {error}")))?;
    Ok(Payload::new(Format::MESSAGE_PACK, data))
}

/// Reads a value out of a payload of any known format.
pub(crate) fn decode<T: DeserializeOwned>(payload: &Payload) -> Result<T, CodecError> {
    let data = &payload.data[..];
    let read = match payload.format {
        Format::MESSAGE_PACK => {
            return rmp_serde::from_slice(data).map_err(|error| CodecError(error.to_string()));
        }
        Format::JSON => {
            return serde_json::from_slice(data).map_err(|error| CodecError(error.to_string()));
        }
        Format::TEXT => match std::str::from_utf8(data) {
            Ok(text) => T::deserialize(StrDeserializer::<Error>::new(text)),
            Err(error) => Err(Error::custom(error)),
        },
        Format::BYTES => T::deserialize(BytesDeserializer::<Error>::new(data)),
        Format(unknown) => Err(Error::custom(format_args!("payload of unknown format {unknown}"))),
    };
    read.map_err(|error| CodecError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_bytes::ByteBuf;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Move {
        piece: String,
        to: (u8, u8),
        #[serde(with = "serde_bytes")]
        proof: Vec<u8>,
    }

    #[test]
    fn values_survive_and_bytes_stay_bytes() {
        let value = Move { piece: "knight".into(), to: (3, 4), proof: vec![0xff; 100] };
        let payload = encode(&value).unwrap();
        assert_eq!(payload.format, Format::MESSAGE_PACK);
        assert!(payload.data.len() < 100 + 40, "one byte stays one byte");
        assert_eq!(decode::<Move>(&payload), Ok(value));
    }

    #[test]
    fn each_format_is_read_as_what_it_is() {
        let json = Payload::new(Format::JSON, &br#"[1, "x"]"#[..]);
        assert_eq!(decode(&json), Ok((1, "x".to_owned())));
        assert_eq!(decode(&Payload::text("hello")), Ok("hello".to_owned()));
        assert_eq!(decode(&Payload::bytes(vec![1, 2])), Ok(ByteBuf::from(vec![1, 2])));
        for wrong in [
            Payload::new(Format::JSON, &b"[1"[..]),
            Payload::new(Format::MESSAGE_PACK, &b"\xc1"[..]),
            Payload::new(Format::TEXT, &b"\xff"[..]),
            Payload::new(Format(77), &b""[..]),
        ] {
            assert!(decode::<String>(&wrong).is_err(), "{wrong:?}");
        }
    }
}
