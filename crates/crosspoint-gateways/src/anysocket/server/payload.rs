//! What requests carry, as AnySocket says it and as the hub does.

use crate::anysocket::internal::rpc::PARAMS_MAX;
use crate::value::{Bounded, Json, Unreadable, Value, msgpack};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crosspoint_hub::payload::{Format, Payload};
use serde_json::value::RawValue;

/// A value in JSON, of about `bytes_max` at most. Bytes are `{"base64":"…"}`.
pub(super) fn json(payload: &Payload, bytes_max: usize) -> Result<Json, Unreadable> {
    match value(payload, bytes_max)? {
        Value::Json(json) => Ok(json),
        Value::Binary(bytes) => {
            let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4 + 16);
            msgpack::push_base64_object(&bytes, &mut out);
            Ok(Json::made(out))
        }
    }
}

/// A value in JSON, or bytes.
pub(super) fn value(payload: &Payload, bytes_max: usize) -> Result<Value, Unreadable> {
    let value = match payload.format {
        Format::JSON => Value::Json(Json::parse(payload.data.clone()).map_err(|_| Unreadable)?),
        Format::TEXT => {
            let text = std::str::from_utf8(&payload.data).map_err(|_| Unreadable)?;
            Value::Json(Json::new(text).map_err(|_| Unreadable)?)
        }
        Format::MESSAGE_PACK => msgpack::value(&payload.data, bytes_max).map_err(|_| Unreadable)?,
        _ => Value::Binary(payload.data.clone()),
    };
    let bytes = match &value {
        Value::Json(json) => json.as_bytes().len(),
        Value::Binary(bytes) => bytes.len(),
    };
    if bytes > bytes_max { Err(Unreadable) } else { Ok(value) }
}

/// The parameters of a call: the elements of an array, or the one value that is none. Nothing, and null,
/// are no parameters.
pub(super) fn params(payload: &Payload, bytes_max: usize) -> Result<Vec<Value>, Unreadable> {
    if payload.data.is_empty() && payload.format != Format::TEXT {
        return Ok(Vec::new());
    }
    if payload.format == Format::MESSAGE_PACK {
        return msgpack::values(&payload.data, bytes_max, PARAMS_MAX).map_err(|_| Unreadable);
    }
    let value = value(payload, bytes_max)?;
    match &value {
        Value::Json(json) if json.as_bytes().first() == Some(&b'[') => {
            let elements: Bounded<&RawValue, PARAMS_MAX> =
                serde_json::from_slice(json.as_bytes()).map_err(|_| Unreadable)?;
            Ok(elements.0.into_iter().map(|element| Value::Json(json.part(element))).collect())
        }
        Value::Json(json) if *json == Json::NULL => Ok(Vec::new()),
        _ => Ok(vec![value]),
    }
}

/// The parameters of a call as a payload: an array in JSON, or in MessagePack if some are binary. `None`
/// if one of those beside is nested too deeply.
pub(super) fn from_params(params: &[Value]) -> Option<Payload> {
    if params.iter().any(|param| matches!(param, Value::Binary(_))) {
        return msgpack::pack(params).map(|data| Payload::new(Format::MESSAGE_PACK, data));
    }
    let texts = params.iter().map(|param| match param {
        Value::Json(json) => json.as_bytes(),
        Value::Binary(_) => &[],
    });
    let mut out = Vec::with_capacity(2 + texts.clone().map(|text| text.len() + 1).sum::<usize>());
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        out.extend_from_slice(text);
    }
    out.push(b']');
    Some(Payload::new(Format::JSON, out))
}

/// A value as a payload; nothing is null.
pub(super) fn from_value(value: Option<Value>) -> Payload {
    match value {
        Some(Value::Binary(bytes)) => Payload::bytes(bytes),
        Some(Value::Json(json)) => from_json(json),
        None => from_json(Json::NULL),
    }
}

/// A value in JSON as a payload.
pub(super) fn from_json(json: Json) -> Payload {
    Payload::new(Format::JSON, json.into_bytes())
}

/// Bytes of a message in a room as two fields of an object: `"text":"…"`, or `"base64":"…"` if they are
/// no text.
pub(super) fn push_content(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.extend_from_slice(br#""text":"#);
            serde_json::to_writer(out, text).expect("a text has a JSON form");
        }
        Err(_) => {
            out.extend_from_slice(br#""base64":""#);
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 100;

    fn parsed(text: &str) -> Json {
        Json::parse(text.to_owned().into()).unwrap()
    }

    #[test]
    fn each_format_has_its_value_and_its_json() {
        let pack = |data: &'static [u8]| Payload::new(Format::MESSAGE_PACK, data);
        for (payload, text) in [
            (Payload::new(Format::JSON, "{\"a\":1}"), "{\"a\":1}"),
            (Payload::text("say \"x\""), r#""say \"x\"""#),
            (Payload::bytes(vec![255, 0]), r#"{"base64":"/wA="}"#),
            (Payload::new(Format(77), vec![255, 0]), r#"{"base64":"/wA="}"#),
            (pack(b"\x91\x05"), "[5]"),
            (pack(b"\xc4\x02\xff\x00"), r#"{"base64":"/wA="}"#),
        ] {
            assert_eq!(json(&payload, MOST), Ok(parsed(text)));
        }
        for payload in [
            Payload::new(Format::JSON, "{"),
            Payload::new(Format::TEXT, vec![0xff]),
            pack(b"\xc1"),
            Payload::text("x".repeat(MOST)),
        ] {
            assert_eq!(json(&payload, MOST), Err(Unreadable));
        }
    }

    #[test]
    fn parameters_are_the_elements_of_an_array_or_one_value_or_none() {
        let read = |format, data: &'static [u8]| params(&Payload::new(format, data), MOST).unwrap();
        let json = |text: &str| Value::Json(parsed(text));
        assert_eq!(read(Format::JSON, b"[1, \"a\"]"), [json("1"), json("\"a\"")]);
        assert_eq!(read(Format::JSON, b"{}"), [json("{}")]);
        assert_eq!(read(Format::JSON, b"null"), []);
        assert_eq!(read(Format::BYTES, b""), []);
        assert_eq!(read(Format::BYTES, b"x"), [Value::Binary("x".into())]);
        assert_eq!(read(Format::TEXT, b""), [json("\"\"")]);
        assert_eq!(read(Format::MESSAGE_PACK, b"\x91\xc4\x01x"), [Value::Binary("x".into())]);
        let long = format!("[{}]", vec!["1"; PARAMS_MAX + 1].join(","));
        assert_eq!(params(&Payload::new(Format::JSON, long), 1 << 20), Err(Unreadable));
        for values in
            [vec![], vec![json("1"), json("{}")], vec![json("[1]"), Value::Binary("x".into())]]
        {
            assert_eq!(params(&from_params(&values).unwrap(), MOST), Ok(values));
        }
    }
}
