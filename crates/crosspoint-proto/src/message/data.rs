//! Data frames: messages, whole or in parts.

use super::kind;
use crate::frame::{Body, Broken, DATA_HEADER_BYTES_MAX, PART_BYTES_MAX, put_varint};
use bytes::BufMut;
use crosspoint_hub::wire::{FrameWriter, Part};

/// Writes a data frame: `address` are the varints before the payload.
pub fn put_data(kind: u8, address: &[u32], part: &Part, out: &mut FrameWriter) {
    let mut header = [0u8; 40];
    let mut rest = &mut header[5..];
    let whole = part.kind == Part::DATA && part.is_first() && part.is_last();
    rest.put_u8(if whole { kind } else { kind | kind::EXTENDED });
    for number in address {
        put_varint(*number, &mut rest);
    }
    if !whole {
        rest.put_u8(part.kind);
        put_varint(part.total, &mut rest);
        put_varint(part.offset, &mut rest);
    }
    let end = 40 - rest.len();
    let length = (end - 5 + part.data.len()) as u32;
    // The length goes right before the type, whatever its own length is.
    let mut varint = [0u8; 5];
    let mut free = &mut varint[..];
    put_varint(length, &mut free);
    let size = 5 - free.len();
    header[5 - size..5].copy_from_slice(&varint[..size]);
    out.frame(&header[5 - size..end], &part.data);
}

/// Cuts a part that is too large for a frame into frames. `frame_bytes_max` is what the receiver
/// takes.
pub fn put_in_parts(
    kind: u8,
    address: &[u32],
    part: &Part,
    frame_bytes_max: usize,
    out: &mut FrameWriter,
) {
    // A frame from another member of a chain may be a little above the size of a part; only what
    // is far above is cut, or each frame would be followed by a tiny one.
    let most = frame_bytes_max.saturating_sub(DATA_HEADER_BYTES_MAX).clamp(1, 2 * PART_BYTES_MAX);
    if part.data.len() <= most {
        return put_data(kind, address, part, out);
    }
    let mut data = part.data.clone();
    let mut offset = part.offset;
    while !data.is_empty() {
        let piece = data.split_to(data.len().min(most).min(PART_BYTES_MAX));
        let length = piece.len() as u32;
        put_data(kind, address, &Part { offset, data: piece, ..part.clone() }, out);
        offset += length;
    }
}

/// Reads what follows the address in a data frame of the type `number`.
pub(super) fn part(number: u8, mut body: Body) -> Result<Part, Broken> {
    if number & kind::EXTENDED == 0 {
        return Ok(Part::whole(body.0));
    }
    let kind = body.byte()?;
    let (total, offset) = (body.varint()?, body.varint()?);
    let end = u64::from(offset) + body.0.len() as u64;
    if end > u64::from(total) {
        return Err(Broken::malformed("the part goes beyond the end of its message"));
    }
    Ok(Part { kind, total, offset, data: body.0 })
}
