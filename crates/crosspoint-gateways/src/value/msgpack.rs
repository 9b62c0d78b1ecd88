//! MessagePack to JSON and back, as far as one can say what the other says.
//!
//! Bytes inside of a value become what the caller wants, such as `{"base64":"…"}`, as JSON has none; what is no number
//! (NaN, infinite) becomes null, as in JavaScript. Extension types and keys that are neither texts nor whole numbers
//! have no form.

use super::{Json, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Write};

/// The deepest nesting in either direction, which is also that of the JSON parser.
const DEPTH_MAX: usize = 128;

/// The value has no form in JSON, is not complete, or becomes too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the MessagePack is not complete, has no form in JSON, or becomes too large in it")]
pub struct NoForm;

/// Bytes in JSON as `{"base64":"…"}`.
pub fn push_base64_object(bytes: &[u8], out: &mut String) {
    out.push_str(r#"{"base64":""#);
    STANDARD.encode_string(bytes, out);
    out.push_str(r#""}"#);
}

/// One value: bytes, or JSON text of at most about `bytes_max`, in which bytes are `{"base64":"…"}`.
///
/// # Errors
/// [`NoForm`]
pub fn value(data: &Bytes, bytes_max: usize) -> Result<Value, NoForm> {
    let mut reader = Reader::with_base64(data, bytes_max);
    let value = reader.value()?;
    if reader.rest.is_empty() { Ok(value) } else { Err(NoForm) }
}

/// One value as JSON text of at most about `bytes_max`. For bytes `push_bin` appends a JSON text, or fails.
///
/// # Errors
/// [`NoForm`]
pub fn json_with(
    data: &Bytes,
    bytes_max: usize,
    push_bin: impl FnMut(Bytes, &mut String) -> Result<(), NoForm>,
) -> Result<String, NoForm> {
    let mut reader = Reader { rest: data.clone(), bytes_max, push_bin };
    let mut out = String::new();
    reader.json(&mut out, 0)?;
    if reader.rest.is_empty() { Ok(out) } else { Err(NoForm) }
}

/// The elements of an array, or one value that is none, or nothing for nil.
///
/// # Errors
/// [`NoForm`], also if there are more than `count_max`.
pub fn values(data: &Bytes, bytes_max: usize, count_max: usize) -> Result<Vec<Value>, NoForm> {
    let mut reader = Reader::with_base64(data, bytes_max);
    let Some(count) = reader.array()? else {
        let value = value(data, bytes_max)?;
        let none = matches!(&value, Value::Json(json) if *json == Json::NULL);
        return Ok(if none { Vec::new() } else { vec![value] });
    };
    if count > count_max {
        return Err(NoForm);
    }
    let values: Result<Vec<Value>, NoForm> = (0..count).map(|_| reader.value()).collect();
    if reader.rest.is_empty() { values } else { Err(NoForm) }
}

struct Reader<F> {
    rest: Bytes,
    bytes_max: usize,
    push_bin: F,
}

type PushBin = fn(Bytes, &mut String) -> Result<(), NoForm>;

impl Reader<PushBin> {
    fn with_base64(data: &Bytes, bytes_max: usize) -> Self {
        let push_bin: PushBin = |bytes, out| {
            push_base64_object(&bytes, out);
            Ok(())
        };
        Self { rest: data.clone(), bytes_max, push_bin }
    }
}

impl<F: FnMut(Bytes, &mut String) -> Result<(), NoForm>> Reader<F> {
    /// The length of the array that comes next, if it is one.
    fn array(&mut self) -> Result<Option<usize>, NoForm> {
        let count = match self.rest.first().copied() {
            Some(mark @ 0x90..=0x9f) => {
                self.rest.advance(1);
                usize::from(mark & 0xf)
            }
            Some(0xdc) => {
                self.rest.advance(1);
                usize::from(self.rest.try_get_u16().map_err(|_| NoForm)?)
            }
            Some(0xdd) => {
                self.rest.advance(1);
                self.rest.try_get_u32().map_err(|_| NoForm)? as usize
            }
            _ => return Ok(None),
        };
        // Each element has a byte at least.
        if count > self.rest.len() { Err(NoForm) } else { Ok(Some(count)) }
    }

    /// The bytes that come next, if it is those.
    fn bytes(&mut self) -> Result<Option<Bytes>, NoForm> {
        let mark @ 0xc4..=0xc6 = self.rest.first().copied().unwrap_or_default() else {
            return Ok(None);
        };
        self.rest.advance(1);
        let length = self.length(mark - 0xc4)?;
        self.take(length).map(Some)
    }

    fn value(&mut self) -> Result<Value, NoForm> {
        if let Some(bytes) = self.bytes()? {
            return Ok(Value::Binary(bytes));
        }
        let mut out = String::new();
        self.json(&mut out, 0)?;
        self.bytes_max = self.bytes_max.saturating_sub(out.len());
        Ok(Value::Json(Json::made(out)))
    }

    /// A length of 1, 2 or 4 bytes, for 0, 1 and 2.
    fn length(&mut self, size: u8) -> Result<usize, NoForm> {
        let length = match size {
            0 => self.rest.try_get_u8().map(u32::from),
            1 => self.rest.try_get_u16().map(u32::from),
            _ => self.rest.try_get_u32(),
        };
        length.map(|length| length as usize).map_err(|_| NoForm)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, NoForm> {
        if length > self.rest.len() { Err(NoForm) } else { Ok(self.rest.split_to(length)) }
    }

    fn text(&mut self, mark: u8) -> Result<Option<Bytes>, NoForm> {
        let length = match mark {
            0xa0..=0xbf => usize::from(mark & 0x1f),
            0xd9..=0xdb => self.length(mark - 0xd9)?,
            _ => return Ok(None),
        };
        self.take(length).map(Some)
    }

    fn json(&mut self, out: &mut String, depth: usize) -> Result<(), NoForm> {
        if out.len() > self.bytes_max || depth > DEPTH_MAX {
            return Err(NoForm);
        }
        if let Some(count) = self.array()? {
            out.push('[');
            for index in 0..count {
                out.push_str(if index > 0 { "," } else { "" });
                self.json(out, depth + 1)?;
            }
            out.push(']');
            return Ok(());
        }
        if let Some(bytes) = self.bytes()? {
            return (self.push_bin)(bytes, out);
        }
        let mark = self.rest.try_get_u8().map_err(|_| NoForm)?;
        let map = match mark {
            0x80..=0x8f => Some(usize::from(mark & 0xf)),
            0xde => Some(self.length(1)?),
            0xdf => Some(self.length(2)?),
            _ => None,
        };
        if let Some(count) = map {
            out.push('{');
            for index in 0..count {
                out.push_str(if index > 0 { "," } else { "" });
                self.key(out)?;
                out.push(':');
                self.json(out, depth + 1)?;
            }
            out.push('}');
            return Ok(());
        }
        if let Some(text) = self.text(mark)? {
            push_text(&text, out)?;
            return Ok(());
        }
        match mark {
            0xc0 => out.push_str("null"),
            0xc2 => out.push_str("false"),
            0xc3 => out.push_str("true"),
            0xca => push_float(self.rest.try_get_f32().map_err(|_| NoForm)?.into(), out),
            0xcb => push_float(self.rest.try_get_f64().map_err(|_| NoForm)?, out),
            _ => push_integer(self.integer(mark)?.ok_or(NoForm)?, out),
        }
        Ok(())
    }

    fn integer(&mut self, mark: u8) -> Result<Option<i128>, NoForm> {
        let rest = &mut self.rest;
        let integer = match mark {
            0x00..=0x7f => Ok(i128::from(mark)),
            0xe0..=0xff => Ok(i128::from(mark as i8)),
            0xcc => rest.try_get_u8().map(i128::from),
            0xcd => rest.try_get_u16().map(i128::from),
            0xce => rest.try_get_u32().map(i128::from),
            0xcf => rest.try_get_u64().map(i128::from),
            0xd0 => rest.try_get_i8().map(i128::from),
            0xd1 => rest.try_get_i16().map(i128::from),
            0xd2 => rest.try_get_i32().map(i128::from),
            0xd3 => rest.try_get_i64().map(i128::from),
            _ => return Ok(None),
        };
        integer.map(Some).map_err(|_| NoForm)
    }

    fn key(&mut self, out: &mut String) -> Result<(), NoForm> {
        let mark = self.rest.try_get_u8().map_err(|_| NoForm)?;
        if let Some(text) = self.text(mark)? {
            return push_text(&text, out);
        }
        out.push('"');
        push_integer(self.integer(mark)?.ok_or(NoForm)?, out);
        out.push('"');
        Ok(())
    }
}

fn push_text(text: &[u8], out: &mut String) -> Result<(), NoForm> {
    let text = std::str::from_utf8(text).map_err(|_| NoForm)?;
    let text = Json::new(text).map_err(|_| NoForm)?;
    out.push_str(text.text());
    Ok(())
}

fn push_integer(value: i128, out: &mut String) {
    write!(out, "{value}").expect("a String takes everything");
}

fn push_float(value: f64, out: &mut String) {
    match Json::new(&value) {
        Ok(json) => out.push_str(json.text()),
        Err(_) => out.push_str("null"),
    }
}

/// An array of parameters, those that are binary as bytes. `None` if one is nested too deeply.
pub fn pack(values: &[Value]) -> Option<Bytes> {
    let mut out = Vec::new();
    put_count(0xdd, u32::try_from(values.len()).ok()?, &mut out);
    for value in values {
        match value {
            Value::Binary(bytes) => put_bin(bytes, &mut out)?,
            Value::Json(json) => put_json(json.text(), &mut out, |_| None)?,
        }
    }
    Some(out.into())
}

/// Appends a JSON text. `bin_for` is told the fields of each object, in MessagePack behind each other, and may give bytes
/// that take its place. `None` if the text is nested too deeply, or has half of a surrogate pair or a number that is
/// too large, as JSON text may.
pub fn put_json(
    json: &str,
    out: &mut Vec<u8>,
    mut bin_for: impl FnMut(&[u8]) -> Option<Bytes>,
) -> Option<()> {
    let mut json = serde_json::Deserializer::from_str(json);
    Pack { out, bin_for: &mut bin_for }.deserialize(&mut json).ok()?;
    json.end().ok()
}

fn put_bin(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    put_count(0xc6, u32::try_from(bytes.len()).ok()?, out);
    out.extend_from_slice(bytes);
    Some(())
}

fn put_count(mark: u8, count: u32, out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(&count.to_be_bytes());
}

/// Appends whatever the JSON parser finds. Counts have four bytes, as they are known at the end only.
struct Pack<'a, F> {
    out: &'a mut Vec<u8>,
    bin_for: &'a mut F,
}

impl<F> Pack<'_, F> {
    fn again(&mut self) -> Pack<'_, F> {
        Pack { out: self.out, bin_for: self.bin_for }
    }

    /// Appends what has a count, and gives where that begins.
    fn counted<E: Error>(
        &mut self,
        mark: u8,
        fill: impl FnOnce(&mut Self) -> Result<u32, E>,
    ) -> Result<usize, E> {
        let start = self.out.len();
        put_count(mark, 0, self.out);
        let count = fill(self)?;
        self.out[start + 1..start + COUNT_BYTES].copy_from_slice(&count.to_be_bytes());
        Ok(start)
    }
}

/// A mark and a count behind it.
const COUNT_BYTES: usize = 5;

impl<'de, F: FnMut(&[u8]) -> Option<Bytes>> DeserializeSeed<'de> for Pack<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&[u8]) -> Option<Bytes>> Visitor<'de> for Pack<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.out.push(0xc0);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.out.push(0xc2 | u8::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match u8::try_from(value) {
            Ok(small @ 0..=0x7f) => self.out.push(small),
            _ => {
                self.out.push(0xcf);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match i8::try_from(value) {
            Ok(small @ -32..=-1) => self.out.push(small as u8),
            _ => {
                self.out.push(0xd3);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.out.push(0xcb);
        self.out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let length = u32::try_from(text.len()).map_err(E::custom)?;
        match u8::try_from(length) {
            Ok(short @ 0..=31) => self.out.push(0xa0 | short),
            _ => put_count(0xdb, length, self.out),
        }
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut input: A) -> Result<(), A::Error> {
        self.counted(0xdd, |pack| {
            let mut count = 0;
            while input.next_element_seed(pack.again())?.is_some() {
                count += 1;
            }
            Ok(count)
        })?;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut input: A) -> Result<(), A::Error> {
        let start = self.counted(0xdf, |pack| {
            let mut count = 0;
            while input.next_key_seed(pack.again())?.is_some() {
                input.next_value_seed(pack.again())?;
                count += 1;
            }
            Ok(count)
        })?;
        let Some(bin) = (self.bin_for)(&self.out[start + COUNT_BYTES..]) else { return Ok(()) };
        self.out.truncate(start);
        put_bin(&bin, self.out).ok_or_else(|| A::Error::custom("4 GiB of bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = 10_000;

    fn json(data: &'static [u8]) -> Result<String, NoForm> {
        match value(&Bytes::from_static(data), MOST)? {
            Value::Json(json) => Ok(json.text().to_owned()),
            Value::Binary(_) => panic!("bytes"),
        }
    }

    #[test]
    fn every_form_has_its_json() {
        for (data, text) in [
            (&b"\xc0"[..], "null"),
            (b"\xc3", "true"),
            (b"\x7f", "127"),
            (b"\xe0", "-32"),
            (b"\xcc\xff", "255"),
            (b"\xcd\xff\xff", "65535"),
            (b"\xce\xff\xff\xff\xff", "4294967295"),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
            (b"\xd0\x80", "-128"),
            (b"\xd1\x80\x00", "-32768"),
            (b"\xd2\x80\x00\x00\x00", "-2147483648"),
            (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
            (b"\xca\x3f\x00\x00\x00", "0.5"),
            (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
            (b"\xa3a\"b", r#""a\"b""#),
            (b"\xd9\x01x", r#""x""#),
            (b"\x93\x01\xc4\x02\xff\x00\x90", r#"[1,{"base64":"/wA="},[]]"#),
            (b"\x82\xa1k\xdc\x00\x01\x02\x05\x80", r#"{"k":[2],"5":{}}"#),
        ] {
            assert_eq!(json(data).as_deref(), Ok(text));
        }
        for data in [
            &b""[..],
            b"\xc1",
            b"\xd4\x01\x02",
            b"\xa2x",
            b"\xa1\xff",
            b"\x01\x02",
            b"\x91",
            b"\x81\xc0\x01",
            b"\xdd\xff\xff\xff\xff",
            b"\xcf\x00",
        ] {
            assert_eq!(json(data), Err(NoForm), "{data:02x?}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = |depth: usize| Bytes::from([vec![0x91; depth], vec![0xc0]].concat());
        assert!(value(&deep(DEPTH_MAX), MOST).is_ok());
        assert!(value(&deep(DEPTH_MAX + 1), MOST).is_err());
        assert!(value(&deep(1 << 20), MOST).is_err());
        let nulls = Bytes::from([&[0xdd, 0, 0, 0x27, 0x10][..], &[0xc0; 10_000]].concat());
        assert!(value(&nulls, MOST).is_err());
        assert!(value(&nulls, 5 * MOST).is_ok());
    }

    #[test]
    fn arrays_are_parameters_and_their_bytes_are_binary() {
        let read = |data: &'static [u8]| values(&Bytes::from_static(data), MOST, 3);
        let json = |text: &'static str| Value::Json(Json::parse(text.into()).unwrap());
        let binary = Value::Binary(Bytes::from_static(b"\xff\x00"));
        assert_eq!(read(b"\x92\x01\xc4\x02\xff\x00"), Ok(vec![json("1"), binary.clone()]));
        assert_eq!(read(b"\xc4\x02\xff\x00"), Ok(vec![binary]));
        assert_eq!(read(b"\xa1x"), Ok(vec![json("\"x\"")]));
        assert_eq!(read(b"\xc0"), Ok(Vec::new()));
        assert_eq!(read(b"\x94\x01\x01\x01\x01"), Err(NoForm));
        assert_eq!(read(b"\x91\x01\x01"), Err(NoForm));
    }

    #[test]
    fn bytes_are_what_the_caller_wants() {
        let data = Bytes::from_static(b"\x92\xc4\x02\xff\x00\x81\xa1k\xc4\x00");
        let mut found = Vec::new();
        let json = json_with(&data, MOST, |bytes, out| {
            push_integer(found.len() as i128, out);
            found.push(bytes);
            Ok(())
        });
        assert_eq!(json.unwrap(), "[0,{\"k\":1}]");
        assert_eq!(found, [&b"\xff\x00"[..], b""]);
        assert_eq!(json_with(&data, MOST, |_, _| Err(NoForm)), Err(NoForm));
        assert_eq!(json_with(&Bytes::from_static(b"\xc0\xc0"), MOST, |_, _| Ok(())), Err(NoForm));
    }

    #[test]
    fn bytes_take_the_place_of_objects() {
        let mut packed = vec![7];
        let bin_for = |fields: &[u8]| (fields == b"\xa1a\x01").then(|| Bytes::from_static(b"\xff"));
        put_json("[{\"a\":1},{\"a\":2},{\"b\":{\"\\u0061\":1}}]", &mut packed, bin_for).unwrap();
        let one = b"\xc6\0\0\0\x01\xff";
        let two = b"\xdf\0\0\0\x01\xa1a\x02";
        let three = [b"\xdf\0\0\0\x01\xa1b", &one[..]].concat();
        assert_eq!(packed, [b"\x07\xdd\0\0\0\x03", &one[..], two, &three].concat());
        for json in ["", "1 2", "\"\\ud800\"", "1e999"] {
            assert_eq!(put_json(json, &mut Vec::new(), |_| None), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(numbers: Vec<i64>, text: String, real: f64, bytes: Vec<u8>, flag: bool) {
            let real = if real.is_finite() { real } else { 0.5 };
            let value = serde_json::json!({"n": numbers, "t": [text, [], {}], "r": real, "f": flag, "z": null});
            let params = [Value::Json(Json::new(&value).unwrap()), Value::Binary(bytes.into())];
            let packed = pack(&params).unwrap();
            let back = values(&packed, 1 << 20, 2).unwrap();
            prop_assert_eq!(&back[1], &params[1]);
            let Value::Json(back) = &back[0] else { panic!("JSON") };
            let back: serde_json::Value = serde_json::from_slice(back.as_bytes()).unwrap();
            prop_assert_eq!(back, value);
        }

        #[test]
        fn random_bytes_do_no_harm(data: Vec<u8>) {
            let data = Bytes::from(data);
            let _value = value(&data, MOST);
            let _values = values(&data, MOST, 100);
        }
    }
}
