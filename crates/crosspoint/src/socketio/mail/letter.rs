//! A message for a client that may be absent, as it is written down.

use crate::socketio::args::{Args, ArgsError};
use crate::socketio::error::EmitError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The first byte of a message: how it is written.
const FORM: u8 = 1;

/// A message for a client, which may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub(super) event: String,
    pub(super) args: Args,
    pub(super) ack: Option<(String, Args)>,
}

impl Letter {
    /// An event with its arguments.
    pub fn new(event: impl Into<String>, args: Args) -> Self {
        Self { event: event.into(), args, ack: None }
    }

    /// What is called when the client acknowledges it: the functions of this name, with these arguments and behind them
    /// those of the client. A function is [registered](super::super::Application::on_ack) by the program that runs then,
    /// which may be another one than this.
    #[must_use]
    pub fn on_ack(mut self, function: impl Into<String>, args: Args) -> Self {
        self.ack = Some((function.into(), args));
        self
    }

    pub(super) fn write(&self) -> Result<Bytes, EmitError> {
        self.args.check()?;
        if let Some((_, args)) = &self.ack {
            args.check()?;
        }
        let ack = self.ack.as_ref().map(|(name, args)| (&**name, Written::of(args)));
        let form = Form { event: &self.event, args: Written::of(&self.args), ack };
        let mut bytes = vec![FORM];
        rmp_serde::encode::write(&mut bytes, &form)
            .map_err(|error| ArgsError::Value(error.to_string()))?;
        Ok(bytes.into())
    }

    /// Reads what was written, by this version or another one. `None` if it cannot.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (&FORM, bytes) = bytes.split_first()? else { return None };
        let Form { event, args, ack } = rmp_serde::from_slice(bytes).ok()?;
        let ack = match ack {
            Some((name, args)) => Some((name.to_owned(), args.read()?)),
            None => None,
        };
        Some(Self { event: event.to_owned(), args: args.read()?, ack })
    }
}

#[derive(Serialize, Deserialize)]
struct Form<'a> {
    event: &'a str,
    #[serde(borrow)]
    args: Written<'a>,
    #[serde(borrow)]
    ack: Option<(&'a str, Written<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    json: std::borrow::Cow<'a, str>,
    attachments: Vec<ByteBuf>,
}

impl Written<'_> {
    fn of(args: &Args) -> Self {
        let attachments = args.attachments().iter().map(|bytes| ByteBuf::from(bytes.to_vec()));
        Self { json: args.json().into(), attachments: attachments.collect() }
    }

    fn read(self) -> Option<Args> {
        let attachments = self.attachments.into_iter().map(|bytes| bytes.into_vec().into());
        Args::raw(&self.json, attachments.collect()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let args = Args::of(&("é", 1)).unwrap().with_bytes(&b"\0\xff"[..]);
        let plain = Letter::new("ev", args);
        let full = plain.clone().on_ack("done", Args::of(&[7]).unwrap());
        for letter in [plain, full] {
            let written = letter.write().unwrap();
            assert_eq!(Letter::read(&written), Some(letter));
            for length in 0..written.len() {
                assert_eq!(Letter::read(&written[..length]), None);
            }
        }
        assert_eq!(Letter::read(b"\x02\x93"), None);
        let wrong = (0..11).fold(Args::new(), |args, _| args.with_bytes(""));
        assert!(Letter::new("ev", wrong).write().is_err());
    }
}
