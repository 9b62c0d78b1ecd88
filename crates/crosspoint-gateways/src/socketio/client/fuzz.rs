//! The fuzz target for the client role; the ordinary tests run it on transcripts and random changes of them.

use super::{
    Args, Client, Config, Event, Generation, Read, StreamId, StreamRequest, Ticket, Written,
};
use crate::engineio::Revision;
use crate::engineio::payload::Message;
use bytes::Bytes;
use std::time::{Duration, Instant};

const OPEN: &str = r#"0{"sid":"s","upgrades":[],"pingInterval":1000,"pingTimeout":1000}"#;

/// What a server may say that this does not read, in bytes of the queue.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// A client hears messages of a server, of which the first byte says what the client is, and each one begins with a
/// byte that says whether it is text, and what the client does besides. Lines end them. Whatever comes, the client does
/// not panic, holds no more than its bounds, and says only what a server understands.
pub fn fuzz_socketio_client(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let mut fuzz = Fuzz::new(kind);
    for line in data.split(|byte| *byte == b'\n') {
        let Some((&act, message)) = line.split_first() else { continue };
        fuzz.turn(act, message);
        if fuzz.gone {
            break;
        }
    }
    fuzz.client.end(super::Ended::There);
    fuzz.settle();
    assert!(fuzz.gone && fuzz.open == 0, "everybody hears of the end");
}

struct Fuzz {
    client: Client<u32>,
    now: Instant,
    tickets: Vec<Ticket>,
    streams: Vec<StreamId>,
    /// Questions without an answer.
    open: usize,
    asked: u32,
    gone: bool,
}

impl Fuzz {
    fn new(kind: u8) -> Self {
        let first = kind & 1 > 0;
        let config = Config {
            revision: if kind & 2 > 0 { Revision::Three } else { Revision::Four },
            generation: if first { Generation::First } else { Generation::Second },
            client_id: (kind & 4 == 0).then(|| "A".to_owned()),
            packet_bytes_max: 4096,
            queue_bytes_max: 4096,
            acks_max: 8,
            streams_max: 4,
            stream_window: 16,
            stream_bytes_max: 1024,
            ..Config::default()
        };
        let mut fuzz = Self {
            client: Client::new(config),
            now: Instant::now(),
            tickets: Vec::new(),
            streams: Vec::new(),
            open: 0,
            asked: 0,
            gone: false,
        };
        fuzz.hear(true, OPEN.as_bytes());
        fuzz.hear(true, b"40");
        fuzz
    }

    fn hear(&mut self, is_text: bool, message: &[u8]) {
        // What carries a text has checked it.
        if is_text && str::from_utf8(message).is_err() {
            return;
        }
        let bytes = Bytes::copy_from_slice(message);
        self.client.receive(self.now, Message { is_text, bytes });
        self.settle();
    }

    fn turn(&mut self, act: u8, message: &[u8]) {
        match act >> 4 {
            1 => self.ask(),
            2 => self.stream(),
            3 => {
                self.now += Duration::from_millis(500);
                self.client.tick(self.now);
            }
            4 => {
                if let Some(ticket) = self.tickets.pop() {
                    // The queue may be full.
                    let _ = self.client.answer(&ticket, &Args::text("x"));
                }
            }
            5 => self.use_stream(message),
            6 => self.streams.pop().into_iter().for_each(|it| self.client.leave_stream(it)),
            7 => self.client.close(),
            _ => {}
        }
        self.hear(act & 1 == 0, message);
    }

    fn ask(&mut self) {
        self.asked += 1;
        let asked = match self.asked % 3 {
            0 => self.client.pair("B", self.asked),
            1 => self.client.emit_to("B", "ask", &Args::null(), Some(self.asked)),
            _ => self.client.emit("ask", &Args::bytes(Bytes::from_static(b"x")), Some(self.asked)),
        };
        self.count(asked.is_ok());
    }

    fn stream(&mut self) {
        let request = StreamRequest {
            to: "B".to_owned(),
            own: format!("own{}", self.asked).into(),
            theirs: format!("theirs{}", self.asked).into(),
            channel: None,
            args: None,
        };
        self.asked += 1;
        let asked = self.client.open_stream(request, self.asked);
        self.count(asked.is_ok());
    }

    fn count(&mut self, is_asked: bool) {
        self.open += usize::from(is_asked);
    }

    fn use_stream(&mut self, bytes: &[u8]) {
        let Some(&stream) = self.streams.last() else { return };
        let mut read = Vec::new();
        let found = self.client.read(stream, &mut read, 8);
        assert_eq!(found == Read::Some, !read.is_empty());
        if let Written::Some(count) = self.client.write(stream, bytes) {
            assert!(count <= bytes.len());
        }
        if bytes.len() > 20 {
            self.client.shut_down(stream);
        }
    }

    fn settle(&mut self) {
        let mut said = 0;
        while let Some(Message { is_text, bytes }) = self.client.transmit() {
            said += bytes.len();
            assert!(!is_text || str::from_utf8(&bytes).is_ok());
        }
        assert!(said <= OUTPUT_BYTES_MAX, "{said} bytes");
        while let Some(event) = self.client.poll() {
            assert!(!self.gone, "nothing comes behind the end");
            match event {
                Event::Said { ticket, args, .. } => {
                    self.tickets.extend(ticket);
                    assert!(args.payload().is_none_or(|it| it.data.len() <= 64 << 10));
                }
                Event::TargetAdded { ticket, .. } => self.tickets.extend(ticket),
                Event::Answered { .. } | Event::Abandoned { .. } | Event::StreamRefused { .. } => {
                    self.open -= 1;
                }
                Event::StreamOpened { stream, .. } => {
                    self.open -= 1;
                    self.streams.push(stream);
                }
                Event::StreamOffered(offer) => self.streams.extend(self.client.accept(offer)),
                Event::Gone(_) => self.gone = true,
                Event::Connected { .. }
                | Event::TargetGone { .. }
                | Event::Paired { .. }
                | Event::Unpaired { .. }
                | Event::StreamMoved(_)
                | Event::ServerError(_) => {}
            }
        }
        assert!(self.client.streams() <= 4 && self.open <= 8);
    }
}
