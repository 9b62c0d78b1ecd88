//! The kinds of values: what is allowed, how it is read, how it is written.

use super::error::Fault;
use super::given::Given;
use crosspoint_hub::PeerId;
use crosspoint_net::engineio;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// Why a value was refused.
pub(super) enum Wrong {
    /// It is none of the allowed values.
    Value,
    /// It is several values, and this one is none of the allowed ones.
    Item(String),
    /// Parts of it, at these lines of the file, are wrong.
    Parts(Vec<(usize, Fault)>),
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// true or false; a flag alone says true.
    Switch,
    /// One value; the word stands for it in the help.
    One(&'static str),
    /// One value that is never shown.
    Secret,
    /// Several values; the word stands for one of them in the help.
    List(&'static str),
    /// Tables, which only a file can hold.
    Tables,
}

/// What a setting may be.
pub(super) trait Kind: Send + Sync {
    /// What it is to the program.
    type Value;
    /// How it is written.
    fn form(&self) -> Form;
    /// The values allowed, to follow "expected".
    fn allowed(&self) -> String;
    /// Reads a value.
    fn read(&self, given: Given<'_>) -> Result<Self::Value, Wrong>;
    /// Writes a value as TOML.
    fn show(&self, value: &Self::Value) -> String;
}

/// A TOML string on one line.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// `true` or `false`.
pub(super) struct Switch;

pub(super) fn switch() -> Switch {
    Switch
}

impl Kind for Switch {
    type Value = bool;

    fn form(&self) -> Form {
        Form::Switch
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<bool, Wrong> {
        match given {
            Given::Text(text) => text.parse().ok(),
            Given::Toml(toml) => toml.value.as_bool(),
        }
        .ok_or(Wrong::Value)
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// `true`, `false`, or `auto`: the program decides by other settings.
pub(super) struct AutoSwitch;

pub(super) fn auto_switch() -> AutoSwitch {
    AutoSwitch
}

const AUTO: &str = "auto";

impl Kind for AutoSwitch {
    type Value = Option<bool>;

    fn form(&self) -> Form {
        Form::Switch
    }

    fn allowed(&self) -> String {
        "true, false or auto".to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<Option<bool>, Wrong> {
        let is_auto = match &given {
            Given::Text(text) => *text == AUTO,
            Given::Toml(toml) => toml.value.as_str() == Some(AUTO),
        };
        if is_auto { Ok(None) } else { Switch.read(given).map(Some) }
    }

    fn show(&self, value: &Option<bool>) -> String {
        value.map_or_else(|| quote(AUTO), |value| value.to_string())
    }
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Things,
    Bytes,
    Millis,
    Seconds,
}

/// A type that holds a number of some unit.
pub(super) trait Quantity: Sized {
    fn of(number: u64, unit: Unit) -> Option<Self>;
    fn number(&self, unit: Unit) -> u64;
}

macro_rules! integer_quantity {
    ($($type:ty),*) => {$(
        impl Quantity for $type {
            fn of(number: u64, _: Unit) -> Option<Self> {
                number.try_into().ok()
            }

            fn number(&self, _: Unit) -> u64 {
                *self as u64
            }
        }
    )*};
}
integer_quantity!(u8, u32, u64, usize);

impl Quantity for Duration {
    fn of(number: u64, unit: Unit) -> Option<Self> {
        Some(if unit == Unit::Seconds {
            Self::from_secs(number)
        } else {
            Self::from_millis(number)
        })
    }

    fn number(&self, unit: Unit) -> u64 {
        if unit == Unit::Seconds {
            self.as_secs()
        } else {
            u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
        }
    }
}

/// An integer within a range.
pub(super) struct Number<Q> {
    range: RangeInclusive<u64>,
    unit: Unit,
    zero: Option<&'static str>,
    quantity: PhantomData<fn() -> Q>,
}

/// A number of things.
pub(super) fn count<Q>(range: RangeInclusive<u64>) -> Number<Q> {
    Number { range, unit: Unit::Things, zero: None, quantity: PhantomData }
}

/// A number of bytes; text may end with k, m or g (or KiB, MiB, GiB) for powers of 1024.
pub(super) fn bytes<Q>(range: RangeInclusive<u64>) -> Number<Q> {
    Number { unit: Unit::Bytes, ..count(range) }
}

/// A time in milliseconds.
pub(super) fn millis(range: RangeInclusive<u64>) -> Number<Duration> {
    Number { unit: Unit::Millis, ..count(range) }
}

/// A time in seconds.
pub(super) fn seconds(range: RangeInclusive<u64>) -> Number<Duration> {
    Number { unit: Unit::Seconds, ..count(range) }
}

impl<Q> Number<Q> {
    /// Says what 0 means.
    pub(super) fn zero(self, meaning: &'static str) -> Self {
        Self { zero: Some(meaning), ..self }
    }

    fn parse(&self, text: &str) -> Option<u64> {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(end);
        let factor = match (self.unit, suffix.to_ascii_lowercase().as_str()) {
            (_, "") => 1,
            (Unit::Bytes, "k" | "kib") => 1 << 10,
            (Unit::Bytes, "m" | "mib") => 1 << 20,
            (Unit::Bytes, "g" | "gib") => 1 << 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(factor)
    }

    fn text(&self, number: u64) -> String {
        let suffixes = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let suffix =
            suffixes.iter().find(|(bits, _)| number > 0 && number.is_multiple_of(1 << bits));
        match suffix {
            Some((bits, suffix)) if self.unit == Unit::Bytes => {
                format!("{}{suffix}", number >> bits)
            }
            _ => number.to_string(),
        }
    }
}

impl<Q: Quantity> Kind for Number<Q> {
    type Value = Q;

    fn form(&self) -> Form {
        Form::One(match self.unit {
            Unit::Things => "N",
            Unit::Bytes => "BYTES",
            Unit::Millis => "MS",
            Unit::Seconds => "S",
        })
    }

    fn allowed(&self) -> String {
        let (min, max) = (self.text(*self.range.start()), self.text(*self.range.end()));
        let range = match self.unit {
            Unit::Things => format!("an integer from {min} to {max}"),
            Unit::Bytes => format!("bytes from {min} to {max} (such as 65536 or \"64KiB\")"),
            Unit::Millis => format!("milliseconds from {min} to {max}"),
            Unit::Seconds => format!("seconds from {min} to {max}"),
        };
        self.zero.map_or(range.clone(), |zero| format!("{range}; 0: {zero}"))
    }

    fn read(&self, given: Given<'_>) -> Result<Q, Wrong> {
        match given {
            Given::Text(text) => self.parse(text),
            Given::Toml(toml) => match toml.value {
                DeValue::Integer(integer) => {
                    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
                }
                DeValue::String(text) if self.unit == Unit::Bytes => self.parse(text),
                _ => None,
            },
        }
        .filter(|number| self.range.contains(number))
        .and_then(|number| Q::of(number, self.unit))
        .ok_or(Wrong::Value)
    }

    fn show(&self, value: &Q) -> String {
        let text = self.text(value.number(self.unit));
        if text.ends_with('B') { quote(&text) } else { text }
    }
}

/// One of a list of words.
pub(super) struct Words<T: 'static>(&'static [(&'static str, T)]);

pub(super) const fn words<T>(words: &'static [(&'static str, T)]) -> Words<T> {
    Words(words)
}

impl<T: Copy + PartialEq + Send + Sync> Kind for Words<T> {
    type Value = T;

    fn form(&self) -> Form {
        Form::One("WORD")
    }

    fn allowed(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    }

    fn read(&self, given: Given<'_>) -> Result<T, Wrong> {
        let given = string(given).ok_or(Wrong::Value)?;
        let found = self.0.iter().find(|(word, _)| *word == given);
        found.map(|(_, value)| *value).ok_or(Wrong::Value)
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, known)| known == value);
        quote(found.map_or("", |(word, _)| word))
    }
}

/// The string that somebody gave, if it is one.
fn string<'a>(given: Given<'a>) -> Option<&'a str> {
    match given {
        Given::Text(text) => Some(text),
        Given::Toml(toml) => toml.value.as_str(),
    }
}

/// Text that must pass a test.
pub(super) struct Text {
    form: Form,
    allowed: String,
    test: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// Any text up to a length in bytes.
pub(super) fn text(bytes_max: usize) -> Text {
    Text {
        form: Form::One("TEXT"),
        allowed: format!("text of at most {bytes_max} bytes"),
        test: Box::new(move |text| text.len() <= bytes_max),
    }
}

/// A text that is not shown, on one line. The line end of the file that it came from is not part of it.
pub(super) fn secret(bytes_max: usize) -> Text {
    let test = move |text: &str| text.len() <= bytes_max && !text.contains(['\r', '\n', '\0']);
    Text {
        form: Form::Secret,
        allowed: format!("one line of text of at most {bytes_max} bytes"),
        test: Box::new(test),
    }
}

/// The path of a file; none if empty.
pub(super) fn file_path() -> Text {
    Text {
        form: Form::One("FILE"),
        allowed: "the path of a file".to_owned(),
        test: Box::new(|path| !path.contains('\0')),
    }
}

/// The name or number of a group of the system; none if empty.
pub(super) fn group() -> Text {
    Text {
        form: Form::One("GROUP"),
        allowed: "the name or number of a group".to_owned(),
        test: Box::new(|name| !name.contains('\0')),
    }
}

/// Where a server of Engine.IO is asked.
pub(super) fn request_path() -> Text {
    Text {
        form: Form::One("PATH"),
        allowed: "a path such as /socket.io, of letters, digits and -._~, which the hub does not answer itself"
            .to_owned(),
        test: Box::new(|path| path.parse::<engineio::Path>().is_ok()),
    }
}

/// The name of a channel or room.
pub(super) fn channel_name() -> Text {
    Text {
        allowed: "a name of 1 to 255 bytes".to_owned(),
        test: Box::new(|text| (1..=255).contains(&text.len())),
        ..text(255)
    }
}

/// A log level, or directives separated by commas.
pub(super) fn log_filter() -> Text {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    Text {
        form: Form::One("FILTER"),
        allowed: format!(
            "one of {}, or a list such as info,crosspoint_net=debug",
            levels.join(", ")
        ),
        test: Box::new(move |text| {
            text.split(',').all(|directive| {
                let (target, level) = directive.rsplit_once('=').unwrap_or(("any", directive));
                let plain = |letter: char| letter.is_ascii_alphanumeric() || "_:-".contains(letter);
                levels.contains(&level) && !target.is_empty() && target.chars().all(plain)
            })
        }),
    }
}

impl Kind for Text {
    type Value = String;

    fn form(&self) -> Form {
        self.form
    }

    fn allowed(&self) -> String {
        self.allowed.clone()
    }

    fn read(&self, given: Given<'_>) -> Result<String, Wrong> {
        let mut text = string(given).ok_or(Wrong::Value)?;
        if self.form == Form::Secret {
            let bare = text.trim_end_matches(['\r', '\n']);
            // An empty secret is none at all, and nobody means that who gives an empty line.
            if bare.is_empty() && !text.is_empty() {
                return Err(Wrong::Value);
            }
            text = bare;
        }
        let text = Some(text).filter(|text| (self.test)(text));
        text.map(str::to_owned).ok_or(Wrong::Value)
    }

    fn show(&self, value: &String) -> String {
        quote(if self.form == Form::Secret && !value.is_empty() { "***" } else { value })
    }
}

/// The id of a peer; none if empty.
pub(super) struct Id;

pub(super) fn peer_id() -> Id {
    Id
}

impl Kind for Id {
    type Value = Option<PeerId>;

    fn form(&self) -> Form {
        Form::One("ID")
    }

    fn allowed(&self) -> String {
        "32 hexadecimal digits".to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<Option<PeerId>, Wrong> {
        let digits = string(given).ok_or(Wrong::Value)?;
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_not_an_id| Wrong::Value)
    }

    fn show(&self, value: &Option<PeerId>) -> String {
        quote(&value.map_or_else(String::new, |id| id.to_string()))
    }
}

/// The permissions of a file, in octal digits.
pub(super) struct FileMode;

pub(super) fn file_mode() -> FileMode {
    FileMode
}

impl Kind for FileMode {
    type Value = u32;

    fn form(&self) -> Form {
        Form::One("MODE")
    }

    fn allowed(&self) -> String {
        "permissions as octal digits from \"0000\" to \"0777\", such as \"0660\"".to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<u32, Wrong> {
        let digits = string(given).filter(|digits| matches!(digits.len(), 3..=4));
        let octal = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let mode = octal.and_then(|digits| u32::from_str_radix(digits, 8).ok());
        mode.filter(|mode| *mode <= 0o777).ok_or(Wrong::Value)
    }

    fn show(&self, value: &u32) -> String {
        quote(&format!("{value:04o}"))
    }
}
