//! Remote calls and what becomes of them (section 6, RPC).

use crate::value::{Bounded, Json, NotJson};

pub use crate::value::Value;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The most parameters of a call.
pub const PARAMS_MAX: usize = 1024;
/// The most names in a method's path.
pub const PATH_MAX: usize = 32;

/// The standard alphabet; padding is written, and not missed when reading, as in JavaScript.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A call of a method.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// The path of names to the method, as `["ns", "deep", "who"]`.
    pub method: Vec<String>,
    /// What it is called with.
    pub params: Vec<Value>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned something, or nothing (`undefined`).
    Returned(Option<Value>),
    /// It failed.
    Failed(Failure),
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error as the original gives it: mostly a text. Without one, the original's caller takes the answer
    /// for a success without a result; ours always write one.
    pub error: Option<Json>,
    /// Where it failed, such as `method: 'ns,deep,who'`.
    pub details: String,
    /// 404: no such method. 500: the method failed.
    pub code: i64,
}

impl Failure {
    /// No method has this path.
    pub fn not_found(method: &[String]) -> Self {
        Self::at("Method not found!", &method.join(","), 404)
    }

    /// The method failed. An empty text would be a success for the original, so it gets another.
    pub fn failed(error: &str, method: &[String]) -> Self {
        let error = if error.is_empty() { "failed" } else { error };
        Self::at(error, &method.join(","), 500)
    }

    fn at(error: &str, path: &str, code: i64) -> Self {
        let error = Some(json_text(error));
        Self { error, details: format!("method: '{path}'"), code }
    }
}

fn json_text(text: &str) -> Json {
    Json::new(text).expect("a text has a JSON form")
}

/// The fields of a call, of which none must be there.
pub(super) struct RpcFields<'a> {
    pub(super) method: Option<&'a RawValue>,
    pub(super) params: Option<&'a RawValue>,
    pub(super) bin: Option<&'a RawValue>,
}

impl RpcFields<'_> {
    /// The call, or what its caller is to be told.
    pub(super) fn read(&self, body: &Json) -> Result<Call, Failure> {
        let path: Option<Bounded<String, PATH_MAX>> =
            self.method.and_then(|method| serde_json::from_str(method.get()).ok());
        let Some(Bounded(method)) = path else {
            // The original shows what is there instead. It may be long.
            let path = self.method.map_or("undefined", RawValue::get);
            let short: String = path.trim_matches('"').chars().take(80).collect();
            return Err(Failure::at("Method not found!", &short, 404));
        };
        let failed = |error: &str| Failure::failed(error, &method);
        let params: Bounded<&RawValue, PARAMS_MAX> = array(self.params)
            .ok_or_else(|| failed("params is not an array of at most 1024 values"))?;
        let bin: Bounded<Index, PARAMS_MAX> =
            array(self.bin).ok_or_else(|| failed("bin is not an array of indexes"))?;
        let json = |param: &&RawValue| Value::Json(body.part(param));
        let mut values: Vec<Value> = params.0.iter().map(json).collect();
        for Index(index) in bin.0 {
            let param = values.get_mut(index);
            let param = param.ok_or_else(|| failed("bin has an index without a parameter"))?;
            if let Value::Json(text) = param {
                let bytes = decode(text).ok_or_else(|| failed("a parameter is not base64"))?;
                *param = Value::Binary(bytes);
            }
        }
        Ok(Call { method, params: values })
    }
}

fn array<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(field?.get()).ok()
}

/// An index of a parameter: a text of digits, or a number.
struct Index(usize);

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Number(usize),
            Text(#[serde(borrow)] Cow<'a, str>),
        }
        match Form::deserialize(input)? {
            Form::Number(index) => Ok(Self(index)),
            Form::Text(digits) => digits.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// The bytes of a text in base64.
fn decode(text: &Json) -> Option<Bytes> {
    let text: Cow<str> = serde_json::from_slice(text.as_bytes()).ok()?;
    BASE64.decode(text.as_bytes()).ok().map(Bytes::from)
}

fn push_value(value: &Value, out: &mut String) {
    match value {
        Value::Json(json) => out.push_str(json.text()),
        Value::Binary(bytes) => {
            out.push('"');
            BASE64.encode_string(bytes, out);
            out.push('"');
        }
    }
}

/// Bytes that a value takes as text, about.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Json(json) => json.as_bytes().len(),
        Value::Binary(bytes) => bytes.len().div_ceil(3) * 4 + 2,
    }
}

impl Call {
    /// The body of an INTERNAL packet.
    pub fn to_json(&self) -> Json {
        let params: usize = self.params.iter().map(|param| text_bytes(param) + 8).sum();
        let names: usize = self.method.iter().map(|name| name.len() + 3).sum();
        let mut out = String::with_capacity(48 + names + params);
        out.push_str(r#"{"type":3,"method":["#);
        for (index, name) in self.method.iter().enumerate() {
            comma(index, &mut out);
            out.push_str(json_text(name).text());
        }
        out.push_str(r#"],"params":["#);
        for (index, param) in self.params.iter().enumerate() {
            comma(index, &mut out);
            push_value(param, &mut out);
        }
        out.push_str(r#"],"bin":["#);
        let is_binary = |(_, param): &(usize, &Value)| matches!(param, Value::Binary(_));
        let binary = self.params.iter().enumerate().filter(is_binary);
        for (nth, (index, _)) in binary.enumerate() {
            comma(nth, &mut out);
            out.push_str(&format!(r#""{index}""#));
        }
        out.push_str("]}");
        Json::made(out)
    }
}

fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

#[derive(Deserialize)]
struct OutcomeFields<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    details: Option<Cow<'a, str>>,
    code: Option<i64>,
    // An `Option` would not tell `null` from nothing.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    bin: Option<bool>,
}

fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(input).map(Some)
}

impl Outcome {
    /// Reads the reply to a call. A reply with a code and neither result nor `bin` is a failure, though the original
    /// takes it for a success if its error is missing.
    ///
    /// # Errors
    /// [`NotJson`] if it is no object or a field is of the wrong type; [`ResultError::NotBase64`].
    pub fn parse(reply: &Json) -> Result<Self, ResultError> {
        let fields: OutcomeFields = reply.fields()?;
        let error = fields.error.map(|error| reply.part(error));
        let returned = fields.result.is_some() || fields.bin.is_some();
        let fails = error.as_ref().is_some_and(|error| !error.is_falsy());
        if fails || !returned && fields.code.is_some() {
            let details = fields.details.unwrap_or_default().into_owned();
            let code = fields.code.unwrap_or(500);
            return Ok(Self::Failed(Failure { error, details, code }));
        }
        let result = fields.result.map(|result| reply.part(result));
        Ok(Self::Returned(match (result, fields.bin) {
            (Some(text), Some(true)) => {
                Some(Value::Binary(decode(&text).ok_or(ResultError::NotBase64)?))
            }
            (result, _) => result.map(Value::Json),
        }))
    }

    /// The body of the reply.
    pub fn to_json(&self) -> Json {
        let mut out;
        match self {
            Self::Returned(Some(value)) => {
                out = String::with_capacity(26 + text_bytes(value));
                out.push_str(r#"{"result":"#);
                push_value(value, &mut out);
                let binary = matches!(value, Value::Binary(_));
                out.push_str(if binary { r#","bin":true}"# } else { r#","bin":false}"# });
            }
            Self::Returned(None) => out = r#"{"bin":false}"#.to_owned(),
            Self::Failed(Failure { error, details, code }) => {
                out = String::from("{");
                if let Some(error) = error {
                    out.push_str(&format!(r#""error":{error},"#));
                }
                let details = json_text(details);
                out.push_str(&format!(r#""details":{details},"code":{code}}}"#));
            }
        }
        Json::made(out)
    }
}

/// A reply to a call cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Not an object, or a field is of the wrong type.
    #[error("the reply to a call is {0}")]
    NotJson(#[from] NotJson),
    /// A binary result.
    #[error("the binary result of a call is not base64")]
    NotBase64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anysocket::internal::{Internal, InternalError};
    use proptest::prelude::*;

    fn json(text: impl Into<String>) -> Json {
        Json::parse(text.into().into()).unwrap()
    }

    fn call(body: &str) -> Result<Call, Failure> {
        match Internal::parse(&json(body)) {
            Ok(Internal::Rpc(call)) => Ok(call),
            Err(InternalError::Call(failure)) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(|text| Value::Json(Json::new(&text).unwrap())),
            any::<Vec<u8>>().prop_map(|bytes| Value::Binary(bytes.into())),
            Just(Value::Json(Json::NULL)),
        ]
    }

    proptest! {
        #[test]
        fn calls_and_results_come_back(
            method in proptest::collection::vec(any::<String>(), 0..4),
            params in proptest::collection::vec(value(), 0..5),
            result in proptest::option::of(value()),
        ) {
            let made = Call { method, params };
            let read = Internal::parse(&made.to_json()).unwrap();
            prop_assert_eq!(read, Internal::Rpc(made));
            let outcome = Outcome::Returned(result);
            prop_assert_eq!(Outcome::parse(&outcome.to_json()).unwrap(), outcome);
        }
    }

    #[test]
    fn calls_that_cannot_be_read_tell_their_caller_why() {
        let details = |body: &str| {
            let failure = call(body).unwrap_err();
            assert!(!failure.error.unwrap().is_falsy());
            (failure.code, failure.details)
        };
        let long = format!(r#"{{"type":3,"method":"{}"}}"#, "x".repeat(5000));
        for (body, code, path) in [
            (r#"{"type":3,"params":[],"bin":[]}"#, 404, "undefined"),
            (r#"{"type":3,"method":"ping","params":[],"bin":[]}"#, 404, "ping"),
            (r#"{"type":3,"method":[1],"params":[],"bin":[]}"#, 404, "[1]"),
            (&long, 404, &"x".repeat(80)),
            (r#"{"type":3,"method":["a","b"],"params":[]}"#, 500, "a,b"),
            (r#"{"type":3,"method":["a"],"bin":[]}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":{},"bin":[]}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":["AA"],"bin":"0"}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":["AA"],"bin":["1"]}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":["AA"],"bin":["-1"]}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":["AA"],"bin":["0x"]}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":["%"],"bin":["0"]}"#, 500, "a"),
            (r#"{"type":3,"method":["a"],"params":[{}],"bin":["0"]}"#, 500, "a"),
        ] {
            assert_eq!(details(body), (code, format!("method: '{path}'")), "{body}");
        }
        for (field, length) in [("method", PATH_MAX), ("params", PARAMS_MAX), ("bin", PARAMS_MAX)] {
            let body = |length| {
                let part = |name| {
                    let element = if name == "bin" { "0" } else { r#""AA""# };
                    let length = if name == field { length } else { 1 };
                    format!(r#""{name}":[{}]"#, vec![element; length].join(","))
                };
                let [method, params, bin] = ["method", "params", "bin"].map(part);
                format!(r#"{{"type":3,{method},{params},{bin}}}"#)
            };
            assert!(call(&body(length)).is_ok(), "{field}");
            assert!(call(&body(length + 1)).is_err(), "{field}");
        }
    }

    #[test]
    fn padding_is_not_missed_and_an_index_twice_does_no_harm() {
        let body = r#"{"type":3,"method":["a"],"params":["AP+A","\/wA",""],"bin":["1",1,"2"]}"#;
        let binary = |bytes: &'static [u8]| Value::Binary(Bytes::from_static(bytes));
        let params = vec![Value::Json(json(r#""AP+A""#)), binary(&[255, 0]), binary(&[])];
        assert_eq!(call(body).unwrap().params, params);
    }

    #[test]
    fn failures_come_back_and_none_is_taken_for_a_success() {
        for text in [
            r#"{"error":"sync boom","details":"method: 'thr'","code":500}"#,
            r#"{"details":"method: 'thrs'","code":500}"#,
            r#"{"error":{},"details":"method: 'athr'","code":500}"#,
            r#"{"error":{"why":"obj"},"details":"method: 'a,b'","code":500}"#,
        ] {
            let outcome = Outcome::parse(&json(text)).unwrap();
            assert!(matches!(outcome, Outcome::Failed(_)));
            assert_eq!(outcome.to_json().text(), text);
        }
        let method = ["a".to_owned(), "b".to_owned()];
        let text = r#"{"error":"Method not found!","details":"method: 'a,b'","code":404}"#;
        assert_eq!(Outcome::Failed(Failure::not_found(&method)).to_json().text(), text);
        let text = r#"{"error":"failed","details":"method: 'a,b'","code":500}"#;
        assert_eq!(Outcome::Failed(Failure::failed("", &method)).to_json().text(), text);
    }

    #[test]
    fn null_is_a_result_and_nothing_is_another() {
        for (text, result) in [
            (r#"{"result":null,"bin":false}"#, Some(Value::Json(Json::NULL))),
            (r#"{"bin":false}"#, None),
            ("{}", None),
        ] {
            let outcome = Outcome::parse(&json(text)).unwrap();
            assert_eq!(outcome, Outcome::Returned(result), "{text}");
        }
        for text in ["[]", "1", r#"{"result":5,"bin":true}"#, r#"{"bin":2}"#] {
            assert!(Outcome::parse(&json(text)).is_err(), "{text}");
        }
    }
}
