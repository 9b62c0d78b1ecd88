//! The object `hub` that every client can call: `peer.rpc.hub.…` of its hub (docs/anysocket.md, "The hub as a
//! peer"). This is what is asked for; what becomes of it is in `acts`.

use crate::anysocket::id;
use crate::anysocket::internal::rpc::{Call, Failure, Value};
use bytes::Bytes;
use crosspoint_hub::command::{Addressee, After, Query};
use crosspoint_hub::payload::{Format, Payload};
use crosspoint_hub::{ChannelName, PeerName, Reason};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The name under which the object is called.
pub(super) const NAME: &str = "hub";

/// How long a request waits for its answer unless it says something else. Less than the time after which
/// the original gives its connection up.
const WAIT: Duration = Duration::from_secs(25);
/// The longest time that may be asked for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a client wants of the hub.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    Me,
    List(Query),
    Find(Query),
    Watch(bool),
    Enter { room: ChannelName, options: EnterFields },
    Leave(ChannelName),
    SendIn { room: ChannelName, data: Bytes },
    Request { to: Addressee, method: String, payload: Payload, wait: Duration },
    Notify { to: Addressee, method: String, payload: Payload },
    Provide { service: PeerName, on: bool },
    Secure,
}

/// The options of `hub.rooms.enter`.
#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EnterFields {
    pub(super) presence: bool,
    pub(super) password: Option<String>,
}

/// Reads a call of the object.
///
/// # Errors
/// What the caller is told.
pub(super) fn read(call: &Call) -> Result<Wish, Failure> {
    let names: Vec<&str> = call.method.iter().skip(1).map(String::as_str).collect();
    let params = Params { call };
    Ok(match names[..] {
        ["me"] => Wish::Me,
        ["peers", "list"] => {
            let prefix: Option<String> =
                params.optional(0, "the beginning of the names, a text")?;
            Wish::List(match prefix.filter(|prefix| !prefix.is_empty()) {
                Some(prefix) => Query::Names { prefix, after: params.optional_name(1)? },
                None => Query::Everybody { after: params.after()? },
            })
        }
        ["peers", "find"] => Wish::Find(match params.peer()? {
            Addressee::Peer(peer) => Query::Peer(peer),
            Addressee::Name(name) | Addressee::Service(name) => Query::Name(name),
        }),
        ["peers", "watch"] => Wish::Watch(params.on(0)?),
        ["rooms", "enter"] => {
            let what = "the options, an object with `presence` or `password`";
            let options: Option<EnterFields> = params.optional(1, what)?;
            Wish::Enter { room: params.room()?, options: options.unwrap_or_default() }
        }
        ["rooms", "leave"] => Wish::Leave(params.room()?),
        ["rooms", "send"] => Wish::SendIn { room: params.room()?, data: params.content(1)? },
        ["request"] => {
            let (method, payload) = params.asked()?;
            Wish::Request { to: params.peer()?, method, payload, wait: params.wait()? }
        }
        ["notify"] => {
            let (method, payload) = params.asked()?;
            Wish::Notify { to: params.peer()?, method, payload }
        }
        ["services", "provide"] => Wish::Provide { service: params.name(0)?, on: params.on(1)? },
        ["services", "request"] => {
            let (method, payload) = params.asked()?;
            let to = Addressee::Service(params.name(0)?);
            Wish::Request { to, method, payload, wait: params.wait()? }
        }
        ["secure"] => Wish::Secure,
        _ => return Err(Failure::not_found(&call.method)),
    })
}

struct Params<'a> {
    call: &'a Call,
}

impl Params<'_> {
    const PEER: &'static str = "an id of 32 hexadecimal digits, or a name of 1 to 255 bytes";

    fn wrong(&self, index: usize, wanted: &str) -> Failure {
        let error = format!("parameter {} has to be {wanted}", index + 1);
        Failure { code: 400, ..Failure::failed(&error, &self.call.method) }
    }

    /// A parameter that may be missing, or null, which is the same.
    fn optional<T: DeserializeOwned>(
        &self,
        index: usize,
        what: &str,
    ) -> Result<Option<T>, Failure> {
        match self.call.params.get(index) {
            None => Ok(None),
            Some(Value::Json(json)) => {
                serde_json::from_slice(json.as_bytes()).map_err(|_| self.wrong(index, what))
            }
            Some(Value::Binary(_)) => Err(self.wrong(index, what)),
        }
    }

    fn needed<T: DeserializeOwned>(&self, index: usize, what: &str) -> Result<T, Failure> {
        self.optional(index, what)?.ok_or_else(|| self.wrong(index, what))
    }

    fn on(&self, index: usize) -> Result<bool, Failure> {
        Ok(self.optional(index, "true or false")?.unwrap_or(true))
    }

    fn name(&self, index: usize) -> Result<PeerName, Failure> {
        let what = "a name of 1 to 255 bytes";
        let name: String = self.needed(index, what)?;
        PeerName::new(name).map_err(|_| self.wrong(index, what))
    }

    fn optional_name(&self, index: usize) -> Result<Option<PeerName>, Failure> {
        match self.call.params.get(index) {
            None => Ok(None),
            Some(Value::Json(json)) if json.as_bytes() == b"null" => Ok(None),
            Some(_) => self.name(index).map(Some),
        }
    }

    /// 32 hexadecimal digits are an id, everything else is a name.
    fn peer(&self) -> Result<Addressee, Failure> {
        let text: String = self.needed(0, Self::PEER)?;
        match id::parse(text.as_bytes()) {
            Some(peer) => Ok(Addressee::Peer(peer)),
            None => PeerName::new(text).map(Addressee::Name).map_err(|_| self.wrong(0, Self::PEER)),
        }
    }

    /// Behind whom the list goes on: the last one's name, or its id if it has none.
    fn after(&self) -> Result<Option<After>, Failure> {
        let Some(text): Option<String> = self.optional(1, Self::PEER)? else { return Ok(None) };
        match id::parse(text.as_bytes()) {
            Some(peer) => Ok(Some(After::Peer(peer))),
            None => match PeerName::new(text) {
                Ok(name) => Ok(Some(After::Name(name))),
                Err(_) => Err(self.wrong(1, Self::PEER)),
            },
        }
    }

    fn room(&self) -> Result<ChannelName, Failure> {
        let what = "the name of a room, of at most 255 bytes";
        let name: String = self.needed(0, what)?;
        ChannelName::new(name).map_err(|_| self.wrong(0, what))
    }

    /// The method, and its parameters as they are.
    fn asked(&self) -> Result<(String, Payload), Failure> {
        let what = "a method, such as \"user.rename\", of at most 255 bytes";
        let method: String = self.optional(1, what)?.unwrap_or_default();
        if method.len() > super::peer_link::METHOD_BYTES_MAX {
            return Err(self.wrong(1, what));
        }
        let payload = match self.call.params.get(2) {
            Some(Value::Json(json)) => Payload::new(Format::JSON, json.as_bytes().to_vec()),
            Some(Value::Binary(bytes)) => Payload::bytes(bytes.clone()),
            None => Payload::new(Format::JSON, "[]"),
        };
        Ok((method, payload))
    }

    fn wait(&self) -> Result<Duration, Failure> {
        let what = "a number of milliseconds, from 1 to 86400000";
        let ms: Option<f64> = self.optional(3, what)?;
        let Some(ms) = ms else { return Ok(WAIT) };
        let wait = Duration::try_from_secs_f64(ms / 1000.0).map_err(|_| self.wrong(3, what))?;
        match ms >= 1.0 && wait <= WAIT_MAX {
            true => Ok(wait),
            false => Err(self.wrong(3, what)),
        }
    }

    /// A text is sent as it is, bytes as well, everything else as JSON.
    fn content(&self, index: usize) -> Result<Bytes, Failure> {
        match self.call.params.get(index) {
            Some(Value::Binary(bytes)) => Ok(bytes.clone()),
            Some(Value::Json(json)) => match serde_json::from_slice::<String>(json.as_bytes()) {
                Ok(text) => Ok(text.into()),
                Err(_) => Ok(Bytes::copy_from_slice(json.as_bytes())),
            },
            None => Err(self.wrong(index, "what is to be sent")),
        }
    }
}

/// What a caller is told when the hub does not do what it wants.
pub(super) fn refused(reason: Reason, method: &[String]) -> Failure {
    let code = match reason {
        Reason::NotAllowed
        | Reason::WrongPassword
        | Reason::NotAdmitted
        | Reason::Banned
        | Reason::Declined => 403,
        Reason::NoSuchName | Reason::NoSuchPeer => 404,
        Reason::AlreadyEntered | Reason::OwnChannel | Reason::NameTaken => 409,
        Reason::TooLarge => 413,
        Reason::TooManyChannels
        | Reason::TooManyLinks
        | Reason::TooManyPending
        | Reason::TooManyServices
        | Reason::Full => 429,
        Reason::Busy
        | Reason::Exhausted
        | Reason::Left
        | Reason::ConnectionLost
        | Reason::HubStopping
        | Reason::Bye => 503,
        _ => 500,
    };
    Failure { code, ..Failure::failed(&reason.to_string(), method) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anysocket::Json;
    use crosspoint_hub::PeerId;

    fn call(path: &str, params: &[&str]) -> Call {
        let json = |text: &&str| Value::Json(Json::parse(text.to_string().into()).unwrap());
        let method = path.split('.').map(str::to_owned).collect();
        Call { method, params: params.iter().map(json).collect() }
    }

    #[test]
    fn every_method_is_read() {
        let read = |path, params: &[&str]| read(&call(path, params)).unwrap();
        let name = |text: &str| PeerName::new(text).unwrap();
        let room = || ChannelName::new("lobby").unwrap();
        assert_eq!(read("hub.me", &[]), Wish::Me);
        let list = Wish::List(Query::Names { prefix: "a".into(), after: Some(name("ann")) });
        assert_eq!(read("hub.peers.list", &[r#""a""#, r#""ann""#]), list);
        let all = |after| Wish::List(Query::Everybody { after });
        assert_eq!(read("hub.peers.list", &[]), all(None));
        let after = Some(After::Name(name("ann")));
        assert_eq!(read("hub.peers.list", &["\"\"", r#""ann""#]), all(after));
        let id = PeerId::new([0xab; 16]);
        let text = format!("\"{id}\"");
        assert_eq!(read("hub.peers.list", &["null", &text]), all(Some(After::Peer(id))));
        assert_eq!(read("hub.peers.find", &[&text]), Wish::Find(Query::Peer(id)));
        assert_eq!(read("hub.peers.find", &[r#""ann""#]), Wish::Find(Query::Name(name("ann"))));
        assert_eq!(read("hub.peers.watch", &[]), Wish::Watch(true));
        assert_eq!(read("hub.peers.watch", &["false"]), Wish::Watch(false));
        let options = EnterFields { presence: true, password: Some("x".into()) };
        let enter = Wish::Enter { room: room(), options };
        let params = [r#""lobby""#, r#"{"presence":true,"password":"x"}"#];
        assert_eq!(read("hub.rooms.enter", &params), enter);
        assert_eq!(read("hub.rooms.leave", &[r#""lobby""#]), Wish::Leave(room()));
        for (value, data) in [(r#""hi\n""#, "hi\n"), (r#"{"a":1}"#, r#"{"a":1}"#)] {
            let send = Wish::SendIn { room: room(), data: data.into() };
            assert_eq!(read("hub.rooms.send", &[r#""lobby""#, value]), send);
        }
        let request = |to, wait| Wish::Request {
            to,
            method: "a.b".into(),
            payload: Payload::new(Format::JSON, "[1]"),
            wait,
        };
        assert_eq!(
            read("hub.request", &[r#""ann""#, r#""a.b""#, "[1]"]),
            request(Addressee::Name(name("ann")), WAIT)
        );
        assert_eq!(
            read("hub.services.request", &[r#""math""#, r#""a.b""#, "[1]", "1500"]),
            request(Addressee::Service(name("math")), Duration::from_millis(1500))
        );
        let service = name("math");
        assert_eq!(
            read("hub.services.provide", &[r#""math""#]),
            Wish::Provide { service, on: true }
        );
        assert_eq!(read("hub.secure", &[]), Wish::Secure);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (path, params, code) in [
            ("hub", &[][..], 404),
            ("hub.none", &[], 404),
            ("hub.me.too", &[], 404),
            ("hub.peers.find", &[], 400),
            ("hub.peers.find", &["5"], 400),
            ("hub.peers.find", &["\"\""], 400),
            ("hub.peers.watch", &["1"], 400),
            ("hub.rooms.enter", &["{}"], 400),
            ("hub.rooms.enter", &["\"x\"", "{\"unknown\":1}"], 400),
            ("hub.rooms.send", &["\"x\""], 400),
            ("hub.request", &["\"x\"", "[]"], 400),
            ("hub.request", &["\"x\"", "\"m\"", "[]", "0"], 400),
            ("hub.request", &["\"x\"", "\"m\"", "[]", "-1e300"], 400),
            ("hub.request", &["\"x\"", "\"m\"", "[]", "86400001"], 400),
            ("hub.services.provide", &["\"\""], 400),
        ] {
            let failure = read(&call(path, params)).unwrap_err();
            assert_eq!(failure.code, code, "{path} {params:?}");
            assert!(failure.error.is_some());
        }
        let long = format!("\"{}\"", "x".repeat(256));
        for path in ["hub.rooms.enter", "hub.services.provide", "hub.peers.find"] {
            assert_eq!(read(&call(path, &[&long])).unwrap_err().code, 400);
        }
    }
}
