//! The fuzz target of calls on calls of every form, and on random changes of them.

use crosspoint::remote::fuzz::fuzz_call;
use crosspoint_hub::testing::Dice;

/// Kind, bound of the reply, and payload.
const CORPUS: [&[u8]; 11] = [
    b"\0\xff\0",
    b"\0\xff\0\0\x01\x02\x03\x04",
    b"\0\xff\0\x01\x02hi",
    b"\x01\xff\x07\0\0\x01\x02\x03\x04",
    b"\x01\xff\xac\x02\0\x01\x02hi",
    b"\x01\xff\x07\0\x02\x01x\x02\x01\0\x02\0",
    b"\x01\x03\x07\0\x01\x05hello",
    b"\x01\xff\0\x01\x01",
    b"\x01\xff\xff\xff\xff\xff\x0f\0\x01\0",
    b"\x02\xff\xac\x02\0xyz",
    b"\x07\xff",
];

#[test]
fn changed_calls_do_no_harm() {
    let mut dice = Dice(1);
    for bytes in CORPUS {
        fuzz_call(bytes);
    }
    for _ in 0..200_000 {
        let mut bytes = CORPUS[dice.below(CORPUS.len())].to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(5) {
                0 => bytes[at] ^= 1 << dice.below(8),
                1 => bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xff][dice.below(6)],
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, dice.below(256) as u8),
                _ => bytes.extend(CORPUS[dice.below(CORPUS.len())]),
            }
        }
        fuzz_call(&bytes);
    }
}
