//! What the library itself says: INTERNAL packets and their answers (sections 6 and 9).

pub mod rpc;

use super::id::{Id, NoId};
use crate::value::{Json, NotJson};
use rpc::{Call, Failure, RpcFields};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write;

/// An INTERNAL packet that is no reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Internal {
    /// A hub tells of a peer behind it. No answer.
    Network {
        /// The peer.
        id: Id,
        /// Whether it is connected now, or not any more.
        connected: bool,
    },
    /// Asks a hub for a peer behind it; answered by [`proxy_reply`].
    Proxy {
        /// The peer.
        id: Id,
    },
    /// Wants that peer no more. No answer.
    Unproxy {
        /// The peer.
        id: Id,
    },
    /// Calls a method; answered by [`rpc::Outcome`].
    Rpc(Call),
    /// Reserved; to be ignored.
    RpcNotify,
    /// Asks for the clock; answered by [`Time`].
    SyncedTime {
        /// The sender's clock, as it is to be returned.
        time: Json,
    },
}

/// The body is no INTERNAL packet. The link should end, but for [`InternalError::Call`].
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// Not an object in JSON, or a field is of the wrong type.
    #[error("the INTERNAL packet is {0}")]
    NotJson(#[from] NotJson),
    /// A call that cannot be read, and what its caller is to be told. The link goes on.
    #[error("a call cannot be read ({})", .0.details)]
    Call(Failure),
    /// A number that nobody knows.
    #[error("an INTERNAL packet has a type from 1 to 5, this one {0}")]
    UnknownType(f64),
    /// What to do is not said.
    #[error("an INTERNAL packet has an unknown or no action")]
    UnknownAction,
    /// A peer is meant, and not named.
    #[error("an INTERNAL packet names no peer: {0}")]
    NoId(#[from] NoId),
    /// A clock is asked for without giving one.
    #[error("a SYNCED_TIME packet has no time")]
    NoTime,
}

#[derive(Deserialize)]
struct Fields<'a> {
    r#type: f64,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    bin: Option<&'a RawValue>,
}

impl Internal {
    /// Reads a body. What belongs to the application is not copied.
    ///
    /// # Errors
    /// [`InternalError`]
    pub fn parse(body: &Json) -> Result<Self, InternalError> {
        let fields: Fields = body.fields()?;
        let id = || fields.id.ok_or(NoId).and_then(|id| Id::from_json(&body.part(id)));
        let kind = fields.r#type;
        Ok(match (kind as i64, fields.action.as_deref()) {
            _ if kind.fract() != 0.0 => return Err(InternalError::UnknownType(kind)),
            (1, Some("connected")) => Self::Network { id: id()?, connected: true },
            (1, Some("disconnected")) => Self::Network { id: id()?, connected: false },
            (2, Some("proxy")) => Self::Proxy { id: id()? },
            (2, Some("unproxy")) => Self::Unproxy { id: id()? },
            (1 | 2, _) => return Err(InternalError::UnknownAction),
            (3, _) => {
                let Fields { method, params, bin, .. } = fields;
                let call = RpcFields { method, params, bin }.read(body);
                Self::Rpc(call.map_err(InternalError::Call)?)
            }
            (4, _) => Self::RpcNotify,
            (5, _) => {
                let time = fields.time.ok_or(InternalError::NoTime)?;
                Self::SyncedTime { time: body.part(time) }
            }
            _ => return Err(InternalError::UnknownType(kind)),
        })
    }

    /// The body of a packet.
    pub fn to_json(&self) -> Json {
        let mut out = String::with_capacity(96);
        let done = match self {
            Self::Network { id, connected } => {
                let action = if *connected { "connected" } else { "disconnected" };
                write!(out, r#"{{"type":1,"action":"{action}","id":{id}}}"#)
            }
            Self::Proxy { id } => write!(out, r#"{{"type":2,"action":"proxy","id":{id}}}"#),
            Self::Unproxy { id } => write!(out, r#"{{"type":2,"action":"unproxy","id":{id}}}"#),
            Self::Rpc(call) => return call.to_json(),
            Self::RpcNotify => out.write_str(r#"{"type":4,"method":[],"params":[],"bin":[]}"#),
            Self::SyncedTime { time } => write!(out, r#"{{"type":5,"time":{time}}}"#),
        };
        done.expect("a String takes everything");
        Json::made(out)
    }
}

/// The answer to [`Internal::Proxy`].
pub fn proxy_reply(ok: bool) -> Json {
    Json::made(format!(r#"{{"ok":{ok}}}"#))
}

/// Whether the answer to [`Internal::Proxy`] is a yes.
pub fn is_proxied(reply: &Json) -> bool {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        ok: Option<&'a RawValue>,
    }
    let fields: Result<Fields, _> = reply.fields();
    fields.is_ok_and(|fields| fields.ok.is_some_and(|ok| !reply.part(ok).is_falsy()))
}

/// The answer to [`Internal::SyncedTime`].
#[derive(Debug, Clone, PartialEq)]
pub struct Time {
    /// The asker's clock, as it came.
    pub asked: Json,
    /// The answerer's clock, in milliseconds since 1970; JavaScript's may have a fraction.
    pub clock_ms: f64,
}

/// What one question and its answer tell about the other side's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    /// The time on the way, both ways, in milliseconds.
    pub round_trip_ms: f64,
    /// What must be added to the own clock, in milliseconds.
    pub offset_ms: f64,
}

impl Time {
    /// The body of the answer; the clock in whole milliseconds.
    pub fn reply(asked: &Json, clock_ms: u64) -> Json {
        Json::made(format!(r#"{{"o":{asked},"t":{clock_ms}}}"#))
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`NotJson`] if a field is missing or of the wrong type.
    pub fn parse(reply: &Json) -> Result<Self, NotJson> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            o: &'a RawValue,
            t: f64,
        }
        let Fields { o, t } = reply.fields()?;
        Ok(Self { asked: reply.part(o), clock_ms: t })
    }

    /// The difference of the clocks, from when it was asked and answered on the own clock.
    pub fn offset(&self, asked_ms: f64, answered_ms: f64) -> Offset {
        let (there, back) = (self.clock_ms - asked_ms, answered_ms - self.clock_ms);
        Offset { round_trip_ms: answered_ms - asked_ms, offset_ms: (there - back) / 2.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Internal, InternalError> {
        Internal::parse(&Json::parse(body.to_owned().into()).unwrap())
    }

    #[test]
    fn bodies_come_back_as_they_were() {
        for body in [
            r#"{"type":1,"action":"connected","id":"c2c2c2c27f804abc9def00c3a9f0e282"}"#,
            r#"{"type":1,"action":"disconnected","id":"c2c2c2c27f804abc9def00c3a9f0e282"}"#,
            r#"{"type":2,"action":"proxy","id":"somebody"}"#,
            r#"{"type":2,"action":"unproxy","id":"c2c2c2c27f804abc9def00c3a9f0e282"}"#,
            r#"{"type":4,"method":[],"params":[],"bin":[]}"#,
            r#"{"type":5,"time":1795225585166}"#,
        ] {
            assert_eq!(parse(body).unwrap().to_json().text(), body);
        }
        // A number is a number, however it is written.
        assert_eq!(parse(r#"{"type":4.0}"#).unwrap(), Internal::RpcNotify);
    }

    #[test]
    fn hostile_bodies_are_refused_with_a_reason() {
        let not_json = ["1", "null", "[]", "[3]", r#""x""#, "{}", r#"{"type":"3"}"#];
        let more = [r#"{"type":null}"#, r#"{"type":1,"action":5}"#, r#"{"type":4,"type":4}"#];
        for body in not_json.into_iter().chain(more) {
            assert!(matches!(parse(body), Err(InternalError::NotJson(_))), "{body}");
        }
        for body in ["0", "6", "9", "-1", "1e300", "2.5"] {
            let body = format!(r#"{{"type":{body},"action":"proxy","id":"x"}}"#);
            assert!(matches!(parse(&body), Err(InternalError::UnknownType(_))), "{body}");
        }
        for body in [r#"{"type":1}"#, r#"{"type":2,"action":"connected","id":"x"}"#] {
            assert!(matches!(parse(body), Err(InternalError::UnknownAction)), "{body}");
        }
        for body in [r#"{"type":2,"action":"proxy"}"#, r#"{"type":1,"action":"connected","id":0}"#]
        {
            assert!(matches!(parse(body), Err(InternalError::NoId(_))), "{body}");
        }
        assert!(matches!(parse(r#"{"type":5}"#), Err(InternalError::NoTime)));
    }

    #[test]
    fn a_clock_s_offset_is_half_of_what_the_ways_differ() {
        let asked = Json::parse("1000".into()).unwrap();
        let reply = Time::reply(&asked, 1510);
        assert_eq!(reply.text(), r#"{"o":1000,"t":1510}"#);
        let time = Time::parse(&reply).unwrap();
        assert_eq!(time.asked, asked);
        let offset = time.offset(1000.0, 1020.0);
        assert_eq!(offset, Offset { round_trip_ms: 20.0, offset_ms: 500.0 });
        assert!(Time::parse(&Json::EMPTY).is_err());
    }

    #[test]
    fn only_a_true_ok_is_a_yes() {
        let reply = |text: &'static str| is_proxied(&Json::parse(text.into()).unwrap());
        assert!(is_proxied(&proxy_reply(true)) && reply(r#"{"ok":1}"#));
        for text in [r#"{"ok":false}"#, r#"{"ok":null}"#, "{}", "true", "[true]x"] {
            assert!(Json::parse(text.into()).is_err() || !reply(text), "{text}");
        }
        assert!(!is_proxied(&proxy_reply(false)));
    }
}
