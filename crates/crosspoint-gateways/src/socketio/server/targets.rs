//! Targets and streams of the second generation. Data of streams are plain emits; the hub only makes the link of which
//! the clients are told that it has ended.

use super::SocketIo;
use super::emits::missing;
use super::events::name_of;
use super::gathering::Packet;
use super::links::{Function, PeerLink, Waiting};
use super::pairs;
use super::say::{array, quoted};
use crate::socketio::carry::Act;
use crate::socketio::event::STREAM_IN_CHANNEL;
use crate::socketio::packet::Header;
use crate::socketio::{AckId, Elements, elements};
use bytes::Bytes;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{LinkNumber, Reason};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How often at most a client is told that one and the same link has ended.
const NOTICES_MAX: u32 = 64;

/// What a client says of a stream that it opens.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamInfo<'a> {
    #[serde(borrow)]
    target_client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) source_stream_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) target_stream_id: Option<&'a RawValue>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) arg_array: Option<&'a RawValue>,
}

impl StreamInfo<'_> {
    /// The channel, if the stream is in one.
    pub(super) fn channel(&self) -> Option<Cow<'_, str>> {
        self.channel.filter(|channel| is_truthy(channel)).map(plain)
    }
}

/// JSON as a name: a text as it is meant, anything else as it is written.
pub(super) fn plain(json: &RawValue) -> Cow<'_, str> {
    elements::text(json.get()).unwrap_or(Cow::Borrowed(json.get()))
}

/// What is empty, zero or nothing in JavaScript.
fn is_truthy(json: &RawValue) -> bool {
    !matches!(json.get(), "null" | "false" | "0" | "\"\"")
}

impl SocketIo {
    /// `ADD_TARGET`, or the same of the generation between the two.
    pub(super) fn add_target(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        multi: bool,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let to = name_of(args, 1).unwrap_or(Cow::Borrowed("undefined"));
        match self.target_way(&to)? {
            Ok(link) if self.is_foreign(link) => {
                self.note_end(link, if multi { Act::MultiTarget } else { Act::Target });
                self.answer(out, packet, "");
            }
            Ok(link) => {
                let act = if multi { Act::MultiTarget } else { Act::Target };
                self.act_noticed(link, act, packet, "", out);
            }
            Err(reason) => self.not_connected(packet, ("Message", &to), multi, reason, out),
        }
        Some(())
    }

    /// `CREATE_STREAM`, or the same of the generation between the two.
    pub(super) fn create_stream(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        multi: bool,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let info = args.get(1).filter(|info| info.starts_with('{'));
        let parsed = info.map(serde_json::from_str::<StreamInfo<'_>>);
        let (Some(info), Some(Ok(StreamInfo { target_client_id, .. }))) = (info, parsed) else {
            self.server_error(out, &"Error: CREATE_STREAM has an object that describes the stream");
            return Some(());
        };
        let to = target_client_id.map_or(Cow::Borrowed("undefined"), plain);
        match self.target_way(&to)? {
            Ok(link) if self.is_foreign(link) => {
                if self.open_foreign_stream(link, packet, info, out) {
                    self.note_end(link, if multi { Act::MultiStream } else { Act::Stream });
                }
            }
            Ok(link) => {
                let act = if multi { Act::MultiStream } else { Act::Stream };
                self.act_noticed(link, act, packet, info, out);
            }
            Err(reason) => self.not_connected(packet, ("Stream", &to), multi, reason, out),
        }
        Some(())
    }

    /// Does something over a link of whose end the client is told.
    fn act_noticed(
        &mut self,
        link: LinkNumber,
        act: Act,
        packet: &Packet,
        args: &str,
        out: &mut FrameWriter,
    ) {
        let function = match act {
            Act::Stream | Act::MultiStream => Function::Stream,
            _ => Function::Target,
        };
        let waiting = packet.id.map(|id| Waiting::Function(id, function));
        if self.act(link, act, waiting, (packet, args), out) {
            self.note_end(link, act);
        }
    }

    fn is_foreign(&self, link: LinkNumber) -> bool {
        self.links.get(link).is_some_and(PeerLink::is_foreign)
    }

    /// Somebody who speaks something else has the client as its target.
    pub(super) fn add_foreign_target(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        let Some(known) = self.links.get(link) else { return };
        let name = quoted(&known.name);
        // Clients call what acknowledges it, whether they are asked to or not.
        let ack = self.own.unheard();
        self.tell(out, "ADD_TARGET", &name, Some(ack));
        self.note_end(link, Act::Target);
    }

    /// Has the client told when a link ends.
    fn note_end(&mut self, link: LinkNumber, act: Act) {
        let Some(known) = self.links.get_mut(link) else { return };
        let notices = match act {
            Act::MultiTarget | Act::MultiStream => &mut known.notices.multi,
            _ => &mut known.notices.plain,
        };
        *notices = (*notices + 1).min(NOTICES_MAX);
    }

    fn not_connected(
        &self,
        packet: &Packet,
        (what, to): (&str, &str),
        multi: bool,
        reason: Reason,
        out: &mut FrameWriter,
    ) {
        let text = match (multi, reason) {
            (true, Reason::NoSuchPeer) => {
                self.server_error(out, &pairs::not_found(to));
                format!("Client {to} is not registered to server")
            }
            (true, reason) => missing(to, reason),
            (false, reason) => format!("{what}: {}", missing(to, reason)),
        };
        match packet.id {
            Some(id) => self.acknowledge(out, id, &quoted(&text)),
            None => self.server_error(out, &format!("Error: {text}")),
        }
    }

    /// The other side has the client as its target, or opens a stream to it.
    pub(super) fn hear_target(
        &mut self,
        link: LinkNumber,
        act: Act,
        number: Option<u32>,
        (info, attachments): (&str, &[Bytes]),
        out: &mut FrameWriter,
    ) {
        let Some(known) = self.links.get(link) else { return };
        let name = quoted(&known.name);
        let ack = self.ack_of(link, number);
        match act {
            Act::Target => self.tell(out, "ADD_TARGET", &name, Some(ack)),
            Act::MultiTarget => self.tell(out, "MULTI_API_ADD_TARGET", &name, Some(ack)),
            _ => {
                let open = info.strip_suffix('}').unwrap_or(info).trim_end();
                let comma = if open.ends_with('{') { "" } else { "," };
                // The last one counts where a field is there twice.
                let described = format!(r#"{open}{comma}"sourceClientId":{name}}}"#);
                let header = Header::event(attachments.len() as u8, Some(ack.to_packet()));
                self.put(out, header, &array(&quoted(&stream_event(act, info)), &described));
                self.attach(out, attachments);
            }
        }
        self.note_end(link, act);
    }

    /// The id under which the client answers a question of the other side. Clients answer whether they are asked to or
    /// not, so one that is for nobody has an id too.
    pub(super) fn ack_of(&mut self, link: LinkNumber, number: Option<u32>) -> AckId {
        match number {
            Some(number) => AckId { link, number },
            None => self.own.unheard(),
        }
    }
}

/// The name of the event that opens a stream.
fn stream_event(act: Act, info: &str) -> Cow<'static, str> {
    if act == Act::MultiStream {
        return Cow::Borrowed("MULTI_API_CREATE_STREAM");
    }
    let info = serde_json::from_str::<StreamInfo<'_>>(info).ok();
    match info.as_ref().and_then(StreamInfo::channel) {
        Some(channel) => Cow::Owned(format!("{STREAM_IN_CHANNEL}{channel}")),
        None => Cow::Borrowed("CREATE_STREAM"),
    }
}
