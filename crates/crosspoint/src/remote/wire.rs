//! The heads of calls and replies.

use bytes::{BufMut, BytesMut};

use super::{DecodeError, Reader};

/// The most bytes a call id takes: five groups of 7 bits.
pub(super) const MAX_CALL_ID_BYTES: usize = 5;

/// What a reply says about the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    UnknownObject = 1,
    UnknownProcedure = 2,
    Malformed = 3,
    ResultTooLarge = 4,
}

impl Status {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Ok,
            1 => Self::UnknownObject,
            2 => Self::UnknownProcedure,
            3 => Self::Malformed,
            4 => Self::ResultTooLarge,
            _ => return None,
        })
    }
}

pub(super) fn put_call_id(mut id: u32, out: &mut BytesMut) {
    while id >= 0x80 {
        out.put_u8(0x80 | (id & 0x7f) as u8);
        id >>= 7;
    }
    out.put_u8(id as u8);
}

/// Reads a call id in its shortest form; `None` if there is none.
pub(super) fn take_call_id(input: &mut Reader) -> Option<u32> {
    let mut id = 0u32;
    for shift in (0..).step_by(7).take(MAX_CALL_ID_BYTES) {
        let [byte] = input.array().ok()?;
        let bits = u32::from(byte & 0x7f);
        id |= bits << shift;
        if byte & 0x80 == 0 {
            let fits = (bits << shift) >> shift == bits;
            let shortest = byte != 0 || shift == 0;
            return (fits && shortest).then_some(id);
        }
    }
    None
}

/// Reads the object id and the procedure number of a call.
pub(super) fn take_target(input: &mut Reader) -> Result<(u8, u8), DecodeError> {
    input.array().map(|[object, procedure]| (object, procedure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn call_ids_are_leb128() {
        for (id, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = BytesMut::new();
            put_call_id(id, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(take_call_id(&mut Reader::new(out.freeze())), Some(id));
        }
    }

    #[test]
    fn a_call_id_that_is_cut_too_large_or_not_shortest_is_none() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ] {
            assert_eq!(take_call_id(&mut Reader::new(Bytes::from_static(bytes))), None);
        }
    }
}
