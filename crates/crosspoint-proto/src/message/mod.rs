//! What frames carry: the numbers of section 3 and the bodies of sections 4 to 6 and 12.
//!
//! Fixed parts are varints; what may grow is a MessagePack map at the end, of which a reader
//! takes what it knows.
//!
//! * here: the [types](kind) of frames, and what several bodies contain
//! * `maps`: the maps, read with [`map()`] and written with [`put_map`]
//! * `command`: from client to hub, [`command()`] and [`put_command`]
//! * `event`: from hub to client, [`event()`] and [`put_event`]
//! * `peers`: what is about other sessions, in both directions
//! * `data`: messages and their parts, [`put_data`] and [`put_in_parts`]

mod command;
mod data;
mod event;
mod maps;
mod peers;

pub use command::{command, put_command};
pub use data::{put_data, put_in_parts};
pub use event::{event, put_event};
pub use maps::{HelloMap, WelcomeMap, map, put_map};
pub(crate) use maps::{is_possible, join_pace, millis, split_pace};

use crate::frame::{Body, Broken, put_varint};
use crate::identity::EXPORTER_BYTES;
use bytes::{BufMut, BytesMut};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{PeerId, Reason};

/// Frame types (section 3). With [`kind::IGNORABLE`] set, a receiver that does not know a type
/// skips the frame.
#[allow(missing_docs, reason = "the names are those of the specification, section 3")]
pub mod kind {
    pub const HELLO: u8 = 0x01;
    pub const WELCOME: u8 = 0x02;
    pub const CLOSE: u8 = 0x03;
    pub const PING: u8 = 0x04;
    pub const PONG: u8 = 0x05;
    pub const CHALLENGE: u8 = 0x06;
    pub const PROOF: u8 = 0x07;

    pub const CREATE: u8 = 0x10;
    pub const ENTER: u8 = 0x11;
    pub const LEAVE: u8 = 0x12;
    pub const DELETE: u8 = 0x13;
    pub const KICK: u8 = 0x14;
    pub const UNBAN: u8 = 0x15;
    pub const ADMIT: u8 = 0x16;
    pub const SUCCESSOR: u8 = 0x17;

    pub const CREATED: u8 = 0x18;
    pub const ENTERED: u8 = 0x19;
    pub const REFUSED: u8 = 0x1a;
    pub const MEMBER_ENTERED: u8 = 0x1b;
    pub const MEMBER_LEFT: u8 = 0x1c;
    pub const ENDED: u8 = 0x1d;
    pub const KNOCK: u8 = 0x1e;
    pub const OWNER: u8 = 0x1f;
    pub const OTHER_ENTERED: u8 = 0x20;
    pub const OTHER_LEFT: u8 = 0x21;

    pub const LINK: u8 = 0x22;
    pub const UNLINK: u8 = 0x23;
    pub const PROVIDE: u8 = 0x24;
    pub const LOOK: u8 = 0x25;
    pub const WATCH: u8 = 0x26;
    pub const RESIGN: u8 = 0x27;

    pub const LINKED: u8 = 0x28;
    pub const UNLINKED: u8 = 0x29;
    pub const FOUND: u8 = 0x2a;
    pub const DONE: u8 = 0x2b;
    pub const PEER_CAME: u8 = 0x2c;
    pub const PEER_WENT: u8 = 0x2d;

    pub const PAUSE: u8 = 0x2e;
    pub const RESUME: u8 = 0x2f;

    pub const SEND: u8 = 0x30;
    pub const SEND_TO: u8 = 0x31;
    pub const BROADCAST: u8 = 0x32;
    pub const FROM_OWNER: u8 = 0x33;
    pub const FROM_MEMBER: u8 = 0x34;
    pub const FROM_ROOM: u8 = 0x35;
    pub const LINK_DATA: u8 = 0x36;

    /// Added to the data types: kind, total and offset come before the payload.
    pub const EXTENDED: u8 = 0x40;
    /// In types that a receiver may skip.
    pub const IGNORABLE: u8 = 0x80;

    /// What the specification calls a type.
    pub(crate) const fn name(number: u8) -> Option<&'static str> {
        Some(match number & !EXTENDED {
            HELLO => "HELLO",
            WELCOME => "WELCOME",
            CLOSE => "CLOSE",
            PING => "PING",
            PONG => "PONG",
            CHALLENGE => "CHALLENGE",
            PROOF => "PROOF",
            CREATE => "CREATE",
            ENTER => "ENTER",
            LEAVE => "LEAVE",
            DELETE => "DELETE",
            KICK => "KICK",
            UNBAN => "UNBAN",
            ADMIT => "ADMIT",
            SUCCESSOR => "SUCCESSOR",
            CREATED => "CREATED",
            ENTERED => "ENTERED",
            REFUSED => "REFUSED",
            MEMBER_ENTERED => "MEMBER_ENTERED",
            MEMBER_LEFT => "MEMBER_LEFT",
            ENDED => "ENDED",
            KNOCK => "KNOCK",
            OWNER => "OWNER",
            OTHER_ENTERED => "OTHER_ENTERED",
            OTHER_LEFT => "OTHER_LEFT",
            LINK => "LINK",
            UNLINK => "UNLINK",
            PROVIDE => "PROVIDE",
            LOOK => "LOOK",
            WATCH => "WATCH",
            RESIGN => "RESIGN",
            LINKED => "LINKED",
            UNLINKED => "UNLINKED",
            FOUND => "FOUND",
            DONE => "DONE",
            PEER_CAME => "PEER_CAME",
            PEER_WENT => "PEER_WENT",
            SEND => "SEND",
            SEND_TO => "SEND_TO",
            BROADCAST => "BROADCAST",
            FROM_OWNER => "FROM_OWNER",
            FROM_MEMBER => "FROM_MEMBER",
            FROM_ROOM => "FROM_ROOM",
            LINK_DATA => "LINK_DATA",
            _ => return None,
        })
    }
}

/// A type that is neither known nor may be skipped.
const UNKNOWN_TYPE: Broken =
    Broken::malformed("this side takes no frames of this type, and they may not be skipped");

/// A name above what any name may have.
const LONG_NAME: Broken = Broken::too_large("a name in it has more than 255 bytes");

/// A name of a peer or service that is none.
const WRONG_NAME: Broken = Broken::malformed("a name in it is empty or not UTF-8");

/// Whom a LINK or a LOOK is about.
const UNKNOWN_WHAT: Broken = Broken::malformed("it is about neither an id, a name nor a service");

/// The only version so far.
pub const VERSION: u32 = 1;

/// What a proof of a key is for (section 4.5): this protocol, and if it is bound to a TLS connection, that one.
pub(crate) fn proof_context(exporter: Option<&[u8; EXPORTER_BYTES]>) -> Vec<u8> {
    match exporter {
        None => b"native 1".to_vec(),
        Some(exporter) => [&b"native 1 tls"[..], exporter].concat(),
    }
}

/// Writes a frame whose body is small.
pub fn put_frame(kind: u8, body: &[u8], out: &mut FrameWriter) {
    let mut header = BytesMut::with_capacity(8);
    let length = u32::try_from(body.len() + 1).expect("control frames are small");
    put_varint(length, &mut header);
    header.put_u8(kind);
    header.put_slice(body);
    out.small(&header);
}

/// Writes a CLOSE frame (section 4.3). `fault` is what the other side did wrong, for people.
pub fn put_close(reason: Reason, fault: Option<&str>, out: &mut FrameWriter) {
    let mut body = BytesMut::new();
    put_varint(u32::from(reason.number()), &mut body);
    body.put_slice(reason.of_session().to_string().as_bytes());
    if let Some(fault) = fault {
        body.put_slice(b": ");
        body.put_slice(fault.as_bytes());
    }
    put_frame(kind::CLOSE, &body, out);
}

/// Reads a reason; numbers of later versions become [`Reason::Internal`].
///
/// # Errors
/// [`Reason::Malformed`] if there is none.
pub fn reason(body: &mut Body) -> Result<Reason, Broken> {
    let number = body.varint()?;
    Ok(u16::try_from(number).ok().and_then(Reason::from_number).unwrap_or(Reason::Internal))
}

/// Writes bytes behind their count.
fn put_counted(bytes: &[u8], out: &mut BytesMut) {
    put_varint(u32::try_from(bytes.len()).expect("what is counted is bounded far below"), out);
    out.put_slice(bytes);
}

/// Reads a peer id.
///
/// # Errors
/// [`Reason::Malformed`] if it has not 16 bytes.
pub fn peer_id(bytes: &[u8]) -> Result<PeerId, Broken> {
    let wrong = |_| Broken::malformed("an id has to have 16 bytes");
    bytes.try_into().map(PeerId::new).map_err(wrong)
}
