//! What events and acknowledgements carry.

use crate::peer::codec::{decode, encode};
use bytes::Bytes;
use crosspoint_gateways::socketio::arguments::{self, ArgumentsError};
use crosspoint_gateways::socketio::carry;
use crosspoint_gateways::socketio::client;
use crosspoint_gateways::socketio::packet::ATTACHMENTS_MAX;
use crosspoint_gateways::socketio::translate;
use crosspoint_gateways::socketio::wire::NAME as SOCKETIO;
use crosspoint_gateways::socketio::{Elements, Placeholders, elements};
use crosspoint_hub::payload::{Format, Payload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;
use std::fmt;

/// The arguments of an event or an acknowledgement: JSON values, in which bytes may be anywhere, as attachments.
///
/// ```
/// use crosspoint::socketio::{Args, Binary};
///
/// let args = Args::of(&("news", 7))?.with_bytes("raw");
/// assert_eq!(args.json(), r#"["news",7,{"_placeholder":true,"num":0}]"#);
/// assert_eq!(args.get::<u32>(1)?, 7);
/// assert_eq!(args.bytes(2).unwrap(), "raw");
/// assert_eq!(args, Args::of(&("news", 7, Binary::from("raw")))?);
/// let (name, number, raw): (String, u32, Binary) = args.read()?;
/// assert_eq!((&*name, number, &raw.0[..]), ("news", 7, &b"raw"[..]));
/// # Ok::<(), crosspoint::socketio::ArgsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Args {
    /// JSON with commas between the values, and a place for each attachment.
    inside: String,
    attachments: Vec<Bytes>,
}

/// Values that are no arguments, or arguments that are not what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// A value has no form in JSON, or is another one than expected.
    #[error("{0}")]
    Value(String),
    /// Clients cannot read it.
    #[error(transparent)]
    Unfit(#[from] ArgumentsError),
    /// There is no such argument.
    #[error("there are {count} arguments, and none at {index}")]
    Missing {
        /// Which one was asked for, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// Clients take no packet with more attachments.
    #[error("an event has at most {ATTACHMENTS_MAX} attachments, and this one {0}")]
    TooManyAttachments(usize),
    /// What a peer of another protocol has answered has no form here.
    #[error("the answer has no form in Socket.IO")]
    NoForm,
}

impl From<serde_json::Error> for ArgsError {
    fn from(error: serde_json::Error) -> Self {
        Self::Value(error.to_string())
    }
}

impl Args {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// The elements of a tuple, an array or a list. Bytes are attachments if serde is told that they are: [`Binary`], or the
    /// crate `serde_bytes`.
    ///
    /// # Errors
    /// [`ArgsError::Value`] if it is something else, or has no form in JSON or more than 10 attachments.
    pub fn of<T: Serialize + ?Sized>(values: &T) -> Result<Self, ArgsError> {
        Self::written(values, |data| matches!(data, [0x90..=0x9f | 0xdc | 0xdd, ..]))
    }

    /// The elements of a tuple, an array or a list, or the one value that is none. Nothing (`()`, `None`) is no arguments.
    ///
    /// # Errors
    /// As [`of`](Self::of)
    pub fn of_any<T: Serialize + ?Sized>(values: &T) -> Result<Self, ArgsError> {
        Self::written(values, |_| true)
    }

    /// `fits` says whether MessagePack is what is wanted.
    fn written<T: Serialize + ?Sized>(
        values: &T,
        fits: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Self, ArgsError> {
        let payload = encode(values).map_err(|error| ArgsError::Value(error.to_string()))?;
        if !fits(&payload.data) {
            return Err(ArgsError::Value("arguments are a tuple or a list".to_owned()));
        }
        let args = translate::arguments(&payload, text_max(&payload));
        let translate::Arguments { inside, attachments } =
            args.map_err(|error| ArgsError::Value(error.to_string()))?;
        Ok(Self { inside: inside.into_owned(), attachments })
    }

    /// The text of a JSON array, and the attachments whose places are in it:
    /// `{"_placeholder":true,"num":0}`, at any depth.
    ///
    /// # Errors
    /// [`ArgsError::Unfit`] if clients cannot read it, [`ArgsError::TooManyAttachments`].
    pub fn raw(array: &str, attachments: Vec<Bytes>) -> Result<Self, ArgsError> {
        let inside = elements::inside(array).unwrap_or(array).to_owned();
        let args = Self { inside, attachments };
        match array.starts_with('[') {
            true => args.check().map(|()| args),
            false => Err(ArgumentsError::NoBracket.into()),
        }
    }

    /// One more value behind the others.
    ///
    /// # Errors
    /// [`ArgsError::Value`] if it has no form in JSON.
    pub fn with<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, ArgsError> {
        let value = serde_json::to_string(value)?;
        self.push(&value);
        Ok(self)
    }

    /// One more attachment behind the others.
    #[must_use]
    pub fn with_bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        let place = format!(r#"{{"_placeholder":true,"num":{}}}"#, self.attachments.len());
        self.push(&place);
        self.attachments.push(bytes.into());
        self
    }

    fn push(&mut self, value: &str) {
        if !self.inside.is_empty() {
            self.inside.push(',');
        }
        self.inside.push_str(value);
    }

    /// These, and others behind them.
    #[must_use]
    pub fn then(mut self, others: &Self) -> Self {
        if self.attachments.is_empty() || others.attachments.is_empty() {
            self.push_all(&others.inside);
        } else {
            let shifted = others.shifted(self.attachments.len());
            self.push_all(&shifted);
        }
        self.attachments.extend_from_slice(&others.attachments);
        self
    }

    fn push_all(&mut self, inside: &str) {
        if !inside.is_empty() {
            self.push(inside);
        }
    }

    /// The values, if as many attachments stand before those of these.
    fn shifted(&self, by: usize) -> String {
        let array = self.json();
        let Ok(places) = Placeholders::parse(&array, self.attachments.len() as u8) else {
            // They were not checked, and are no arguments with those before either.
            return self.inside.clone();
        };
        let mut text = String::with_capacity(array.len() + 8);
        let mut end = 0;
        let mut sorted: Vec<_> = places.iter().collect();
        sorted.sort_by_key(|place| place.object.start);
        for place in sorted {
            text.push_str(&array[end..place.object.start]);
            let number = usize::from(place.attachment) + by;
            text.push_str(&format!(r#"{{"_placeholder":true,"num":{number}}}"#));
            end = place.object.end;
        }
        text.push_str(&array[end..]);
        elements::inside(&text).unwrap_or_default().to_owned()
    }

    /// The array as text, with the places of attachments.
    pub fn json(&self) -> String {
        format!("[{}]", self.inside)
    }

    /// The attachments, as their places count them.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        Elements::parse(&self.json()).map_or(0, |elements| elements.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// All of them as a tuple or a list.
    ///
    /// # Errors
    /// [`ArgsError::Value`]
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        read(translate::from_arguments(&self.inside, &self.attachments))
    }

    /// One of them, from 0.
    ///
    /// # Errors
    /// [`ArgsError::Missing`], [`ArgsError::Value`]
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgsError> {
        let array = self.json();
        let all = Elements::parse(&array).map_err(ArgumentsError::from)?;
        let element = all.get(index);
        let element = element.ok_or(ArgsError::Missing { index, count: all.len() })?;
        if self.attachments.is_empty() {
            return Ok(serde_json::from_str(element)?);
        }
        let places = Placeholders::parse(&array, self.attachments.len() as u8);
        let cut = places.map_err(ArgumentsError::from)?.cut(&array, element);
        let kept = cut.attachments.iter().filter_map(|at| self.attachments.get(usize::from(*at)));
        Self { inside: cut.text.into_owned(), attachments: kept.cloned().collect() }.value()
    }

    /// One alone as this value, none as null, and several as a list: what an acknowledgement mostly is.
    ///
    /// # Errors
    /// [`ArgsError::Value`]
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        let array = self.json();
        let elements = Elements::parse(&array).map_err(ArgumentsError::from)?;
        if elements.is_empty() {
            return Ok(serde_json::from_str("null")?);
        }
        read(translate::from_acknowledgement(Format::JSON, &elements, &self.attachments))
    }

    /// The attachment that one of them is, from 0.
    pub fn bytes(&self, index: usize) -> Option<&Bytes> {
        #[derive(Deserialize)]
        struct Place {
            _placeholder: bool,
            num: usize,
        }
        let array = self.json();
        let element = Elements::parse(&array).ok()?.get(index)?;
        let Place { _placeholder: true, num } = serde_json::from_str(element).ok()? else {
            return None;
        };
        self.attachments.get(num)
    }

    /// What a client has heard, which is checked.
    pub(super) fn of_machine(args: client::Args) -> Self {
        let inside = elements::inside(args.array()).unwrap_or_default().to_owned();
        Self { inside, attachments: args.attachments().to_vec() }
    }

    /// What a client says.
    ///
    /// # Errors
    /// [`ArgsError`] if others cannot read them.
    pub(super) fn to_machine(&self) -> Result<client::Args, ArgsError> {
        if self.attachments.len() > usize::from(ATTACHMENTS_MAX) {
            return Err(ArgsError::TooManyAttachments(self.attachments.len()));
        }
        Ok(client::Args::raw(self.json(), self.attachments.clone())?)
    }

    /// The values with commas between them.
    pub(super) fn inside(&self) -> &str {
        &self.inside
    }

    /// Whether clients can read them.
    pub(super) fn check(&self) -> Result<(), ArgsError> {
        if self.attachments.len() > usize::from(ATTACHMENTS_MAX) {
            return Err(ArgsError::TooManyAttachments(self.attachments.len()));
        }
        arguments::check(&self.json(), self.attachments.len() as u8)?;
        Ok(())
    }

    /// What a peer gets that speaks this protocol.
    ///
    /// # Errors
    /// [`ArgsError`] if clients cannot read them, or they have no form for such a peer.
    pub(super) fn event_payload(&self, protocol: &str) -> Result<Payload, ArgsError> {
        self.check()?;
        match protocol {
            SOCKETIO => Ok(carry::payload(&self.inside, &self.attachments)),
            _ => {
                translate::from_arguments(&self.inside, &self.attachments).ok_or(ArgsError::NoForm)
            }
        }
    }

    /// The same for an answer.
    pub(super) fn answer_payload(&self, protocol: &str) -> Result<Payload, ArgsError> {
        self.check()?;
        let format = if protocol == SOCKETIO { carry::ARGUMENTS } else { Format::JSON };
        let array = self.json();
        let elements = Elements::parse(&array).map_err(ArgumentsError::from)?;
        let payload = translate::from_acknowledgement(format, &elements, &self.attachments);
        payload.ok_or(ArgsError::NoForm)
    }

    /// The arguments of an event that a peer has said.
    pub(super) fn of_event(payload: &Payload) -> Result<Self, ArgsError> {
        Self::from_translated(translate::arguments(payload, text_max(payload)))
    }

    /// What a peer has answered.
    pub(super) fn of_answer(payload: &Payload) -> Result<Self, ArgsError> {
        Self::from_translated(translate::argument(payload, text_max(payload)))
    }

    fn from_translated<E>(read: Result<translate::Arguments<'_>, E>) -> Result<Self, ArgsError> {
        let translate::Arguments { inside, attachments } = read.map_err(|_| ArgsError::NoForm)?;
        Ok(Self { inside: inside.into_owned(), attachments })
    }
}

fn read<T: DeserializeOwned>(payload: Option<Payload>) -> Result<T, ArgsError> {
    let payload = payload.ok_or(ArgsError::NoForm)?;
    decode(&payload).map_err(|error| ArgsError::Value(error.to_string()))
}

/// What can be said: [`Args`], or whatever [`Args::of_any`] takes.
pub trait ToArgs {
    /// The arguments.
    ///
    /// # Errors
    /// [`ArgsError`] if it is none.
    fn to_args(&self) -> Result<Args, ArgsError>;
}

impl<T: Serialize + ?Sized> ToArgs for T {
    fn to_args(&self) -> Result<Args, ArgsError> {
        Args::of_any(self)
    }
}

impl ToArgs for Args {
    fn to_args(&self) -> Result<Args, ArgsError> {
        Ok(self.clone())
    }
}

/// Bytes, which are an attachment and not a list of numbers.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Binary(pub Bytes);

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binary({} bytes)", self.0.len())
    }
}

impl<T: Into<Bytes>> From<T> for Binary {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec().into()))
    }
}

/// The largest text that a payload becomes. Bytes of text may be written with escapes.
fn text_max(payload: &Payload) -> usize {
    payload.data.len().saturating_mul(8).saturating_add(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn arguments_are_written_and_read() {
        let args = Args::of(&(1, "two")).unwrap().with(&json!({"a": null})).unwrap();
        assert_eq!(args.json(), r#"[1,"two",{"a":null}]"#);
        assert_eq!((args.len(), args.is_empty()), (3, false));
        assert_eq!(args.read::<(u8, String, Value)>().unwrap().1, "two");
        assert_eq!(args.get::<String>(1).unwrap(), "two");
        assert_eq!(args.get::<u8>(3), Err(ArgsError::Missing { index: 3, count: 3 }));
        assert!(matches!(args.get::<u8>(1), Err(ArgsError::Value(_))));
        assert!(matches!(Args::of(&5), Err(ArgsError::Value(_))));
        assert_eq!(Args::of::<[u8; 0]>(&[]).unwrap(), Args::new());
        assert!(Args::new().is_empty());
    }

    #[test]
    fn attachments_have_places() {
        let one = Args::new().with_bytes("a").with(&1).unwrap();
        let other = Args::of(&["x"]).unwrap().with_bytes("b").with_bytes("c");
        let both = one.then(&other);
        both.check().unwrap();
        assert_eq!(both.attachments(), ["a", "b", "c"]);
        let bytes: Vec<_> = (0..5).map(|index| both.bytes(index).map(|it| &it[..])).collect();
        assert_eq!(bytes, [Some(&b"a"[..]), None, None, Some(b"b"), Some(b"c")]);
        let deep = r#"[{"a":[{"num":0,"_placeholder":true}]}]"#;
        let deep = Args::raw(deep, vec!["d".into()]).unwrap();
        let shifted = Args::new().with_bytes("e").then(&deep);
        assert!(shifted.json().contains(r#""num":1"#), "{}", shifted.json());
        shifted.check().unwrap();
    }

    #[test]
    fn what_no_client_reads_is_refused() {
        assert!(matches!(Args::raw("1", vec![]), Err(ArgsError::Unfit(_))));
        assert!(matches!(Args::raw("[1", vec![]), Err(ArgsError::Unfit(_))));
        assert!(matches!(Args::raw("[]", vec!["a".into()]), Err(ArgsError::Unfit(_))));
        let many = (0..11).fold(Args::new(), |args, _| args.with_bytes("x"));
        assert_eq!(many.check(), Err(ArgsError::TooManyAttachments(11)));
        // What looks like a place beside an attachment.
        let fake = Args::new().with_bytes("a").with(&json!({"_placeholder": true, "num": 7}));
        assert!(fake.unwrap().event_payload("socketio").is_err());
    }

    #[test]
    fn peers_of_each_protocol_get_what_they_read() {
        let args = Args::of(&[1]).unwrap();
        let exact = args.event_payload("socketio").unwrap();
        assert_eq!(Args::of_event(&exact), Ok(args.clone()));
        assert_eq!(Args::of_answer(&exact), Ok(args.clone()));
        assert_eq!(args.event_payload("native").unwrap(), Payload::new(Format::JSON, "[1]"));
        assert_eq!(args.answer_payload("native").unwrap(), Payload::new(Format::JSON, "1"));
        assert_eq!(args.answer_payload("socketio").unwrap(), exact);
        assert_eq!(Args::of_answer(&Payload::new(Format::JSON, "[1]")).unwrap().json(), "[[1]]");
        assert_eq!(Args::of_event(&Payload::new(Format::JSON, "{")), Err(ArgsError::NoForm));
    }

    #[test]
    fn whatever_has_a_form_in_json_comes_back_and_bytes_may_be_anywhere() {
        let nested = json!({"a": [1, null, -2.5, "\u{1f3b2}"], "": {}});
        let args = Args::of(&(nested.clone(), "x", true)).unwrap();
        assert_eq!(args.read::<(Value, String, bool)>().unwrap(), (nested, "x".into(), true));
        assert_eq!(args.len(), 3);
        assert!(args.get::<u8>(1).is_err() && args.read::<(Value,)>().is_err());

        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Upload {
            name: String,
            parts: Vec<Binary>,
        }
        let parts = vec![b"ab".as_slice().into(), Binary::default()];
        let upload = Upload { name: "n".into(), parts };
        let args = Args::of(&(&upload,)).unwrap();
        assert_eq!((args.len(), args.attachments().len()), (1, 2));
        assert_eq!(args.get::<Upload>(0).unwrap(), upload);
        assert_eq!(args.value::<Upload>().unwrap(), upload);
        let alone = Args::of_any(&Binary::from(b"x".as_slice())).unwrap();
        assert_eq!(alone.value::<Binary>().unwrap(), Binary::from(b"x".as_slice()));
    }

    #[test]
    fn nothing_is_no_arguments_and_what_has_no_form_is_refused() {
        for none in
            [().to_args(), Args::of_any(&None::<u8>), Args::of(&[0u8; 0]), Ok(Args::default())]
        {
            let none = none.unwrap();
            assert!(none.is_empty() && none.json() == "[]");
            assert_eq!(none.value::<Option<u8>>().unwrap(), None);
            none.value::<()>().unwrap();
        }
        assert_eq!(Args::of_any("[1]").unwrap().json(), r#"["[1]"]"#);
        assert_eq!("a".to_args().unwrap().to_args().unwrap(), Args::of(&["a"]).unwrap());
        let eleven = vec![Binary::default(); 11];
        assert!(matches!(Args::of(&eleven), Err(ArgsError::Value(_))));
        assert_eq!(Args::of(&[f64::NAN]).unwrap().json(), "[null]");
    }
}
