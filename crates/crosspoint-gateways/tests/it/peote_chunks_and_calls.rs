//! The chunk layer and the encoding of parameters against what real clients wrote.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_gateways::peote::chunk::{ChunkDecoder, ChunkSize};
use crosspoint_gateways::peote::value::{DecodeError, Reader, Serialized, Value};

/// What connection 1 of a transcript, a member of one joint, wrote into it: the data of each frame.
fn data_of_member(transcript: &str) -> Vec<Bytes> {
    let path = format!("{}/tests/vectors/peote/{transcript}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let mut stream = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["conn"] == 1 && line["from"] == "client" {
            let hex = line["hex"].as_str().unwrap_or_default();
            stream.extend(
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()),
            );
        }
    }
    let mut frames = Vec::new();
    let mut rest = &stream[..];
    while let [first, second, tail @ ..] = rest {
        let size = match first {
            0x00 => {
                rest = &rest[4 + usize::from(rest[3])..];
                continue;
            }
            0x80.. => {
                rest = tail;
                usize::from(first & 0x7f) << 8 | usize::from(*second)
            }
            _ => {
                rest = &rest[1..];
                usize::from(*first)
            }
        };
        frames.push(Bytes::copy_from_slice(&rest[1..size]));
        rest = &rest[size..];
    }
    frames
}

/// The chunks in a member's data, and the prefixes and contents written again.
fn chunks(transcript: &str, size: ChunkSize) -> Vec<Bytes> {
    let mut decoder = ChunkDecoder::new(size);
    let mut chunks: Vec<BytesMut> = Vec::new();
    let mut written = Vec::new();
    let frames = data_of_member(transcript);
    for mut frame in frames.clone() {
        while let Some(part) = decoder.next_part(&mut frame).unwrap() {
            if part.is_first() {
                chunks.push(BytesMut::new());
                written.put_slice(size.encode_prefix(part.total as usize).unwrap().as_ref());
            }
            written.put_slice(&part.data);
            chunks.last_mut().unwrap().put_slice(&part.data);
        }
    }
    assert!(decoder.is_between_chunks());
    assert_eq!(decoder.padded_prefixes(), 0);
    assert_eq!(written, frames.concat(), "our own prefixes are those of the real client");
    chunks.into_iter().map(BytesMut::freeze).collect()
}

#[test]
fn chunks_of_every_size_class_are_found() {
    for (transcript, max, lengths) in [
        ("small", 256, &[1, 128, 129, 256][..]),
        (
            "sizes",
            32_768,
            &[
                1, 2, 48, 124, 125, 126, 127, 128, 129, 130, 255, 256, 257, 300, 16_383, 16_384,
                16_385, 32_765, 32_768,
            ],
        ),
        ("big", 4_194_304, &[5, 129, 16_385, 40_000]),
    ] {
        let chunks = chunks(transcript, ChunkSize::new(max).unwrap());
        let found: Vec<usize> = chunks.iter().map(Bytes::len).collect();
        assert_eq!(found, lengths, "{transcript}");
        for chunk in chunks {
            let first = usize::from(chunk[0]);
            if transcript == "sizes" {
                assert_eq!(first, chunk.len() & 0xff);
            }
            assert!(
                chunk.iter().enumerate().all(|(i, &byte)| byte == (first + 7 * i + (i >> 8)) as u8),
                "{transcript}: content of the chunk of {} bytes",
                chunk.len()
            );
        }
    }
}

/// Reads one parameter and writes it again.
fn again<T: Value>(input: &mut Reader, out: &mut BytesMut) -> Result<(), DecodeError> {
    T::decode(input)?.encode(out).unwrap();
    Ok(())
}

/// Reads the parameters of a procedure of object 0 and writes them again.
fn parameters(procedure: u8, msgpack: bool, input: &mut Reader) -> Result<Bytes, DecodeError> {
    let mut out = BytesMut::new();
    let o = &mut out;
    match procedure {
        0 => {}
        1 => {
            again::<bool>(input, o)?;
            again::<bool>(input, o)?;
        }
        2 => {
            again::<u8>(input, o)?;
            again::<u16>(input, o)?;
            again::<i16>(input, o)?;
            again::<i32>(input, o)?;
            again::<i32>(input, o)?;
            again::<f32>(input, o)?;
            again::<f64>(input, o)?;
        }
        3 => again::<String>(input, o)?,
        4 => again::<Bytes>(input, o)?,
        5 => again::<Vec<i32>>(input, o)?,
        6 => again::<Vec<Vec<String>>>(input, o)?,
        7 => again::<Vec<i16>>(input, o)?,
        8 => again::<Vec<u8>>(input, o)?,
        9 => again::<BTreeMap<i32, String>>(input, o)?,
        10 => again::<BTreeMap<String, Vec<bool>>>(input, o)?,
        11 => again::<BTreeMap<i32, u16>>(input, o)?,
        12 => again::<BTreeMap<String, f64>>(input, o)?,
        13 | 14 if msgpack => again::<Bytes>(input, o)?,
        13..=16 => again::<Serialized>(input, o)?,
        17 => again::<Bytes>(input, o)?,
        other => panic!("procedure {other}"),
    }
    input.finish()?;
    Ok(out.freeze())
}

#[test]
fn parameters_of_real_calls_are_read_and_written_equally() {
    for (transcript, msgpack, last) in [("rpc", false, 16), ("rpc-serializers", true, 17)] {
        let mut seen = Vec::new();
        let mut refused = Vec::new();
        for chunk in chunks(transcript, ChunkSize::default()) {
            // Announcements have one byte; procedures above the last and other objects do not
            // exist.
            if chunk.len() < 2 || chunk[0] != 0 || chunk[1] > 17 {
                continue;
            }
            let mut input = Reader::new(chunk.slice(2..));
            match parameters(chunk[1], msgpack, &mut input) {
                Ok(written) if written.len() < 64 => {
                    // Maps come in any order, so those with several entries are compared as sets
                    // of bytes.
                    let sorted = |bytes: &[u8]| {
                        let mut bytes = bytes.to_vec();
                        bytes.sort_unstable();
                        bytes
                    };
                    assert_eq!(sorted(&written), sorted(&chunk[2..]), "{transcript}: {chunk:?}");
                    seen.push(chunk[1]);
                }
                Ok(written) => assert_eq!(written, chunk.slice(2..)),
                Err(error) => refused.push(error),
            }
        }
        seen.dedup();
        assert_eq!(seen, (0..=last).collect::<Vec<_>>(), "{transcript}");
        assert_eq!(
            refused,
            [DecodeError::LeftOver { count: 1 }, DecodeError::Short { needed: 2, left: 0, at: 1 },],
            "{transcript}"
        );
    }
}
