//! The events of the plugin, as a client says and hears them.

use super::args::{Args, quoted};
use super::config::Generation;
use crate::socketio::event::STREAM_IN_CHANNEL;
use crate::socketio::placeholders::Placeholders;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

pub(super) const EMIT: &str = "P2P_EMIT";
const EMIT_ACKNOWLEDGE: &str = "P2P_EMIT_ACKNOWLEDGE";
pub(super) const ADD_TARGET: &str = "ADD_TARGET";
pub(super) const TARGET_DISCONNECT: &str = "TARGET_DISCONNECT";
pub(super) const REGISTER: &str = "P2P_REGISTER";
pub(super) const UNREGISTER: &str = "P2P_UNREGISTER";
pub(super) const PAIR_DISCONNECT: &str = "P2P_DISCONNECT";
pub(super) const REGISTER_STREAM: &str = "P2P_REGISTER_STREAM";
pub(super) const CREATE_STREAM: &str = "CREATE_STREAM";
pub(super) const STREAM_DESTROYED: &str = "PEER_STREAM_DESTROYED";
pub(super) const SERVER_ERROR: &str = "SERVER_ERROR";
pub(super) const SERVER_PING: &str = "SERVER_PING";

/// What carries the chunks of the only stream of a pair.
pub(super) const PAIRED_CHUNK: &str = "P2P_EMIT_STREAM";
const CHUNK: &str = "P2P_EMIT_STREAM-from-stream-";

/// An event of the server for another client: its name, and the text of its arguments.
pub(super) fn emit_to(
    generation: Generation,
    target: &str,
    event: &str,
    inside: &str,
    wants_ack: bool,
) -> (&'static str, String) {
    let (target, event) = (quoted(target), quoted(event));
    match generation {
        Generation::First => {
            let name = if wants_ack { EMIT_ACKNOWLEDGE } else { EMIT };
            let args =
                format!(r#"{{"targetClientId":{target},"event":{event},"args":[{inside}]}}"#);
            (name, args)
        }
        Generation::Second => {
            // Where a callback would be.
            let end = if wants_ack { "" } else { ",null" };
            (EMIT, format!("{target},{event},[{inside}]{end}"))
        }
    }
}

/// The event with the chunks of a stream.
pub(super) fn chunk_event(own_stream: &str) -> String {
    format!("{CHUNK}{own_stream}")
}

/// Of which stream of the other side an event has a chunk.
pub(super) fn chunk_of(event: &str) -> Option<&str> {
    event.strip_prefix(CHUNK)
}

/// The channel in which an event opens a stream, or that it opens one in none.
pub(super) fn opens_stream(event: &str) -> Option<Option<&str>> {
    match event.strip_prefix(STREAM_IN_CHANNEL) {
        Some(channel) => Some(Some(channel)),
        None => (event == CREATE_STREAM).then_some(None),
    }
}

/// What a new stream is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamInfo {
    /// The id at the side that opens it.
    pub(super) source: Box<str>,
    /// The id at the other side.
    pub(super) target: Box<str>,
    /// The client that opens it.
    pub(super) from: String,
    /// What else it says.
    pub(super) args: Args,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    source_stream_id: Cow<'a, str>,
    #[serde(borrow)]
    target_stream_id: Cow<'a, str>,
    #[serde(borrow)]
    source_client_id: Cow<'a, str>,
    #[serde(borrow)]
    arg_array: Option<&'a RawValue>,
}

impl StreamInfo {
    /// Reads the only argument of the event. `None` if something is missing or something else.
    pub(super) fn parse(args: &Args) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_str(args.element(0)?).ok()?;
        let given = match fields.arg_array {
            Some(array) => {
                let inside = crate::socketio::elements::inside(array.get())?;
                let attachments = args.attachments();
                let places = match attachments {
                    [] => Placeholders::default(),
                    some => Placeholders::parse(args.array(), some.len() as u8).ok()?,
                };
                Args::part(&places, args.array(), inside, attachments)
            }
            None => Args::default(),
        };
        Some(Self {
            source: fields.source_stream_id.into(),
            target: fields.target_stream_id.into(),
            from: fields.source_client_id.into_owned(),
            args: given,
        })
    }

    /// The argument with which a client asks for a stream.
    pub(super) fn write(
        source: &str,
        target: &str,
        to: &str,
        channel: Option<&str>,
        args: Option<&Args>,
    ) -> String {
        let mut text = format!(
            r#"{{"sourceStreamId":{},"targetStreamId":{},"targetClientId":{}"#,
            quoted(source),
            quoted(target),
            quoted(to)
        );
        if let Some(channel) = channel {
            text.push_str(r#","channel":"#);
            text.push_str(&quoted(channel));
        }
        if let Some(args) = args {
            text.push_str(r#","argArray":"#);
            text.push_str(args.array());
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_stream_is_read_with_its_attachments() {
        let place = r#"{"_placeholder":true,"num":0}"#;
        let with = |array: &str| {
            Args::json(&format!(
                r#"{{"targetStreamId":"t","x":1,"sourceStreamId":"s\"","sourceClientId":"A"{array}}}"#
            ))
        };
        let info = StreamInfo::parse(&with("")).unwrap();
        assert_eq!((&*info.source, &*info.target, &*info.from), ("s\"", "t", "A"));
        assert!(info.args.is_empty());
        let info = StreamInfo::parse(&with(r#","argArray":[ 1, "a" ]"#)).unwrap();
        assert_eq!(info.args.array(), r#"[1, "a"]"#);
        let text = with(&format!(r#","argArray":["a",{place}]"#));
        let attachments = [bytes::Bytes::from_static(b"x")];
        let places = Placeholders::parse(text.array(), 1).unwrap();
        let whole = Args::part(&places, text.array(), text.inside(), &attachments);
        let info = StreamInfo::parse(&whole).unwrap();
        assert_eq!(info.args.attachments(), attachments);
        for wrong in ["null", "[]", r#"{"sourceStreamId":"s","targetStreamId":"t"}"#, "1"] {
            assert_eq!(StreamInfo::parse(&Args::json(wrong)), None, "{wrong}");
        }
        assert_eq!(StreamInfo::parse(&with(r#","argArray":{}"#)), None);
        assert_eq!(StreamInfo::parse(&Args::default()), None);
    }

    #[test]
    fn events_of_streams_are_told_apart() {
        assert_eq!(chunk_of(&chunk_event("a-b")), Some("a-b"));
        assert_eq!((chunk_of(PAIRED_CHUNK), chunk_of(CREATE_STREAM)), (None, None));
        assert_eq!(opens_stream("CREATE_STREAM"), Some(None));
        assert_eq!(opens_stream("CREATE_STREAM-CHANNEL-a"), Some(Some("a")));
        assert_eq!(opens_stream("CREATE_STREAM-"), None);
    }
}
