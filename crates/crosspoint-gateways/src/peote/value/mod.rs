//! How parameters of remote calls are written (`docs/peote.md`, section 8).
//!
//! Parameters follow each other without tags or padding, little end first, so both ends must agree
//! on the types. Counts and lengths are variable sizes of one to four bytes.
//!
//! Memory for a decoded value is bounded by its bytes, but not by their number: an empty container
//! is one byte on the wire and some tens of bytes in memory. The limit on the size of a message is
//! what keeps this small.
//!
//! | Haxe | Rust |
//! |---|---|
//! | Bool | `bool` |
//! | Byte, UInt16, Int16 | `u8`, `u16`, `i16` |
//! | Int, Int32 | `i32` |
//! | Float (single on the wire) | `f32` |
//! | Double | `f64` |
//! | String | `String` |
//! | Bytes; msgpack and hxbit values | [`Bytes`] |
//! | Array, Vector, List | `Vec<T>` |
//! | Map, IntMap, StringMap | `BTreeMap<K, V>` or `HashMap<K, V>` |
//! | Dynamic, structures, classes and enums | [`Serialized`] |

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use bytes::{BufMut, Bytes, BytesMut};

use super::chunk::Prefix;

mod reader;

pub use reader::{DecodeError, Reader};

/// The largest count of elements, or length of a text or of bytes.
pub const MAX_COUNT: usize = 536_870_911;

/// How many bytes a variable size may have; unlike a chunk's prefix it does not depend on the
/// maximum chunk size.
const SIZE_BYTES: u8 = 4;

/// A value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value with {count} bytes or elements cannot be sent; {MAX_COUNT} are the most")]
pub struct EncodeError {
    /// The length of the text or bytes, or the number of elements.
    pub count: usize,
}

/// A type that can be a parameter or the result of a remote call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in a remote call",
    label = "has no encoding on the wire",
    note = "possible are bool, u8, u16, i16, i32, f32, f64, String, Bytes, Serialized, and Vec, \
            BTreeMap and HashMap of these",
    note = "there is no encoding for an absent value: use an empty Vec in the place of an Option"
)]
pub trait Value: Sized {
    /// The fewest bytes a value of this type takes, at least 1. It bounds how many elements an
    /// announced count may have.
    const MIN_SIZE: usize;

    /// Appends the value to a message.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if it has more than [`MAX_COUNT`] bytes or elements; what was appended is
    /// of no use then.
    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError>;

    /// Takes a value off the front of a message.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the input does not begin with such a value.
    fn decode(input: &mut Reader) -> Result<Self, DecodeError>;
}

/// A Haxe value (Dynamic, structure, class or enum) as the text of `haxe.Serializer`. The text is
/// not interpreted.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serialized(pub String);

/// Writes a count or length, and says where there is none for it.
fn put_size(count: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
    match u32::try_from(count) {
        Ok(value) if count <= MAX_COUNT => {
            out.put_slice(Prefix::shortest(value, SIZE_BYTES).as_ref());
            Ok(())
        }
        _ => Err(EncodeError { count }),
    }
}

fn put_slice(bytes: &[u8], out: &mut BytesMut) -> Result<(), EncodeError> {
    put_size(bytes.len(), out)?;
    out.put_slice(bytes);
    Ok(())
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            const MIN_SIZE: usize = size_of::<$number>();

            fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
                out.put_slice(&self.to_le_bytes());
                Ok(())
            }

            fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
                input.array().map(<$number>::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8, u16, i16, i32, f32, f64);

impl Value for bool {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        u8::from(*self).encode(out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        u8::decode(input).map(|byte| byte != 0)
    }
}

impl Value for Bytes {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_slice(self, out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let length = input.size()?;
        input.take(length)
    }
}

impl Value for String {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_slice(self.as_bytes(), out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let length = input.size()?;
        let at = input.position();
        let bytes = input.take(length)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::NotUtf8 { at }),
        }
    }
}

impl Value for Serialized {
    const MIN_SIZE: usize = String::MIN_SIZE;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        String::decode(input).map(Serialized)
    }
}

impl<T: Value> Value for Vec<T> {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_size(self.len(), out)?;
        self.iter().try_for_each(|element| element.encode(out))
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        const { assert!(T::MIN_SIZE > 0, "a count of values without bytes has no bound") };
        let count = input.count(T::MIN_SIZE)?;
        // No more memory ahead of time than the message itself takes: an element may be larger in
        // memory than on the wire.
        let affordable = input.remaining() / size_of::<T>().max(1);
        let mut elements = Vec::with_capacity(count.min(affordable));
        for _ in 0..count {
            elements.push(T::decode(input)?);
        }
        Ok(elements)
    }
}

fn encode_map<'a, K: Value + 'a, V: Value + 'a>(
    entries: impl ExactSizeIterator<Item = (&'a K, &'a V)>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    put_size(entries.len(), out)?;
    for (key, value) in entries {
        key.encode(out)?;
        value.encode(out)?;
    }
    Ok(())
}

/// Reads the entries of a map; the last of several with the same key stays.
fn decode_map<M: Default + Extend<(K, V)>, K: Value, V: Value>(
    input: &mut Reader,
) -> Result<M, DecodeError> {
    const { assert!(K::MIN_SIZE > 0, "a count of keys without bytes has no bound") };
    let mut map = M::default();
    for _ in 0..input.count(K::MIN_SIZE + V::MIN_SIZE)? {
        let key = K::decode(input)?;
        map.extend([(key, V::decode(input)?)]);
    }
    Ok(map)
}

impl<K: Value + Ord, V: Value> Value for BTreeMap<K, V> {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        encode_map(self.iter(), out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        decode_map(input)
    }
}

impl<K: Value + Eq + Hash, V: Value, S: BuildHasher + Default> Value for HashMap<K, V, S> {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        encode_map(self.iter(), out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        decode_map(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, hash_map, vec};
    use proptest::prelude::*;

    fn encode<T: Value>(value: &T) -> Bytes {
        let mut out = BytesMut::new();
        value.encode(&mut out).unwrap();
        out.freeze()
    }

    fn decode<T: Value>(bytes: impl Into<Bytes>) -> Result<T, DecodeError> {
        let mut input = Reader::new(bytes.into());
        let value = T::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn assert_bytes<T: Value + PartialEq + std::fmt::Debug>(value: T, hex: &str) {
        assert_eq!(encode(&value), bytes(hex), "{value:?}");
        assert_eq!(decode::<T>(bytes(hex)), Ok(value));
    }

    #[test]
    fn values_are_written_as_the_specification_shows() {
        assert_bytes(true, "01");
        assert_bytes(false, "00");
        assert_bytes(255u8, "ff");
        assert_bytes(65_535u16, "ffff");
        assert_bytes(-2i16, "feff");
        assert_bytes(i32::MAX, "ffffff7f");
        assert_bytes(-3i32, "fdffffff");
        assert_bytes(1.234_567_890_123_4f64 as f32, "52069e3f");
        assert_bytes(1.234_567_890_123_4f64, "fc588c42cac0f33f");
        assert_bytes("grüße €".to_owned(), "0b 6772c3bcc39f6520e282ac");
        assert_bytes(vec![1i32, -1, 65_536], "03 01000000 ffffffff 00000100");
        assert_bytes(
            vec![vec!["a".to_owned(), "bc".to_owned()], vec![], vec![]],
            "03 02 01 61 02 6263 00 00",
        );
        assert_bytes(vec![-1i16, 258], "02 ffff 0201");
        assert_bytes(BTreeMap::from([(7i32, "seven".to_owned())]), "01 07000000 05 736576656e");
        assert_bytes(
            HashMap::<_, _>::from([("k".to_owned(), vec![true, false, true])]),
            "01 01 6b 03 01 00 01",
        );
        assert_bytes(BTreeMap::from([("pi".to_owned(), 3.25f64)]), "01 02 7069 0000000000000a40");
    }

    #[test]
    fn haxe_objects_travel_as_text_or_as_bytes() {
        for (text, length) in [
            ("oy4:namey3:Boby7:friendsay4:Maryy5:Johanhy3:agei48g", 0x33),
            ("cy17:remoteParams.Usery4:namey5:Alicey3:agei42y5:othery4:testg", 0x3e),
            ("wy18:remoteParams.Colory3:Rgb:3i1i2i3", 0x25),
        ] {
            let encoded = encode(&Serialized(text.to_owned()));
            assert_eq!(encoded[0], length);
            assert_eq!(&encoded[1..], text.as_bytes());
            assert_eq!(decode(encoded), Ok(Serialized(text.to_owned())));
        }
        let msgpack =
            "83 a46e616d65 a3426f62 a7667269656e6473 92 a44d617279 a54a6f68616e a3616765 30";
        assert_bytes(Bytes::from(bytes(msgpack)), &format!("23 {msgpack}"));
        let hxbit = "01 06 416c696365 2a";
        assert_bytes(Bytes::from(bytes(hxbit)), &format!("08 {hxbit}"));
    }

    #[test]
    fn sizes_are_written_in_their_shortest_form() {
        for (size, hex) in [
            (0, "00"),
            (127, "7f"),
            (128, "80 01"),
            (300, "ac 02"),
            (16_384, "80 80 01"),
            (2_097_151, "ff ff 7f"),
            (2_097_152, "80 80 80 01"),
            (MAX_COUNT, "ff ff ff ff"),
        ] {
            let mut out = BytesMut::new();
            put_size(size, &mut out).unwrap();
            assert_eq!(out, bytes(hex), "{size}");
            assert_eq!(Reader::new(out.freeze()).size(), Ok(size));
        }
        let count = MAX_COUNT + 1;
        assert_eq!(put_size(count, &mut BytesMut::new()), Err(EncodeError { count }));
    }

    #[test]
    fn a_long_form_with_trailing_zero_is_refused() {
        for hex in ["80 00", "ff 80 00", "80 80 80 00"] {
            let mut input = Reader::new(bytes(&format!("2a {hex}")).into());
            u8::decode(&mut input).unwrap();
            assert_eq!(input.size(), Err(DecodeError::LongForm { at: 1 }), "{hex}");
        }
    }

    #[test]
    fn any_byte_but_zero_is_true() {
        assert_eq!(decode::<bool>(vec![0x80]), Ok(true));
    }

    #[test]
    fn a_count_beyond_the_input_is_refused_before_memory_is_kept() {
        let huge = bytes("ff ff ff ff 00 00 00 00");
        let count = MAX_COUNT;
        let error = DecodeError::Count { count, left: 4, at: 4 };
        assert_eq!(decode::<Vec<u8>>(huge.clone()), Err(error));
        assert_eq!(decode::<Vec<Vec<f64>>>(huge.clone()), Err(error));
        assert_eq!(decode::<HashMap<String, bool>>(huge.clone()), Err(error));
        assert_eq!(
            decode::<String>(huge),
            Err(DecodeError::Short { needed: MAX_COUNT, left: 4, at: 4 })
        );
        // Two entries of at least five bytes each do not fit into nine.
        assert_eq!(
            decode::<BTreeMap<i32, String>>(bytes("02 000000000000000000")),
            Err(DecodeError::Count { count: 2, left: 9, at: 1 })
        );
    }

    #[test]
    fn what_is_missing_or_left_over_is_told() {
        assert_eq!(
            decode::<i32>(bytes("010203")),
            Err(DecodeError::Short { needed: 4, left: 3, at: 0 })
        );
        assert_eq!(decode::<u8>(bytes("0102")), Err(DecodeError::LeftOver { count: 1 }));
        assert_eq!(decode::<String>(bytes("02 c328")), Err(DecodeError::NotUtf8 { at: 1 }));
        assert_eq!(
            decode::<Vec<u8>>(bytes("80")),
            Err(DecodeError::Short { needed: 1, left: 0, at: 1 })
        );
    }

    #[test]
    fn the_last_of_equal_keys_stays() {
        let map = decode::<BTreeMap<u8, u8>>(bytes("02 0701 0702"));
        assert_eq!(map, Ok(BTreeMap::from([(7, 2)])));
    }

    #[test]
    fn bytes_share_the_memory_of_the_message() {
        let message = Bytes::from_static(&[3, 1, 2, 3]);
        let value: Bytes = decode(message.clone()).unwrap();
        assert_eq!(value.as_ptr(), message[1..].as_ptr());
    }

    type Nested = Vec<BTreeMap<String, HashMap<i16, Vec<bool>>>>;

    fn nested() -> impl Strategy<Value = Nested> {
        vec(btree_map(".{0,9}", hash_map(any::<i16>(), vec(any::<bool>(), 0..4), 0..4), 0..4), 0..4)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            numbers: (u8, u16, i16, i32),
            floats: (f32, f64),
            text: String,
            blob: Vec<u8>,
            nested in nested(),
        ) {
            let mut out = BytesMut::new();
            numbers.0.encode(&mut out).unwrap();
            numbers.1.encode(&mut out).unwrap();
            numbers.2.encode(&mut out).unwrap();
            numbers.3.encode(&mut out).unwrap();
            floats.0.encode(&mut out).unwrap();
            floats.1.encode(&mut out).unwrap();
            text.encode(&mut out).unwrap();
            Bytes::from(blob.clone()).encode(&mut out).unwrap();
            blob.encode(&mut out).unwrap();
            nested.encode(&mut out).unwrap();

            let mut input = Reader::new(out.freeze());
            prop_assert_eq!(u8::decode(&mut input), Ok(numbers.0));
            prop_assert_eq!(u16::decode(&mut input), Ok(numbers.1));
            prop_assert_eq!(i16::decode(&mut input), Ok(numbers.2));
            prop_assert_eq!(i32::decode(&mut input), Ok(numbers.3));
            prop_assert_eq!(f32::decode(&mut input).unwrap().to_bits(), floats.0.to_bits());
            prop_assert_eq!(f64::decode(&mut input).unwrap().to_bits(), floats.1.to_bits());
            prop_assert_eq!(String::decode(&mut input), Ok(text));
            prop_assert_eq!(Bytes::decode(&mut input), Ok(Bytes::from(blob.clone())));
            prop_assert_eq!(Vec::<u8>::decode(&mut input), Ok(blob));
            prop_assert_eq!(Nested::decode(&mut input), Ok(nested));
            prop_assert_eq!(input.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            if let Ok(value) = decode::<Nested>(bytes.clone()) {
                prop_assert_eq!(decode::<Nested>(encode(&value)), Ok(value));
            }
            if let Ok(value) = decode::<Vec<String>>(bytes.clone()) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
