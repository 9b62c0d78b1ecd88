//! The fuzz target of the detection on every short beginning, and on beginnings of all protocols.

use crosspoint_net::fuzz::fuzz_detect;
use proptest::prelude::*;

/// Bytes that some protocol's mark has, at least one of each kind.
const MARKS: [u8; 16] = *b"XPT1GE \x16\x03\x00\x01\x02\x20\x28\x80\xff";

#[test]
fn what_was_told_stays_for_all_beginnings_made_of_marks() {
    for number in 0..MARKS.len().pow(5) {
        let digit = |place| MARKS[number / MARKS.len().pow(place) % MARKS.len()];
        fuzz_detect(&[0, 1, 2, 3, 4].map(digit));
    }
}

#[test]
fn what_was_told_stays_for_all_beginnings_of_each_protocol_with_one_byte_changed() {
    let beginnings: [&[u8]; 10] = [
        b"GET / HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT a",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"PROPFIND / HTTP/1.1\r\n",
        b"XPT1\x05\x01",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\x2c\x00\x01\x00\x20\x00\x93\xa1",
        b"\x00\x01\x01\x00\x20\x00\x93\xa1",
        b"\x00\x00\x01\x04room",
    ];
    for beginning in beginnings {
        fuzz_detect(beginning);
        for at in 0..beginning.len() {
            for byte in 0..=255 {
                let mut bytes = beginning.to_vec();
                bytes[at] = byte;
                fuzz_detect(&bytes);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_was_told_stays_for_any_bytes(bytes: Vec<u8>) {
        fuzz_detect(&bytes);
    }
}
