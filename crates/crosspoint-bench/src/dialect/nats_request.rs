//! Requests and replies of core NATS, as its clients do them: replies come to an inbox of the
//! asker, which listens to all subjects below one and ends each with a number.

use super::rejoin::Rejoin;
use super::{Answerer, Asker, FILL};

/// No line of the protocol is longer, but for the greeting.
const LINE_BYTES_MAX: usize = 4096;

/// Servers take no larger message unless told otherwise.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

const LINE_END: &[u8] = b"\r\n";

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    /// Somebody has published something.
    Message { subject: &'a [u8], reply: &'a [u8], payload: &'a [u8] },
    /// To be answered.
    Ping,
    /// Nothing to this end.
    Other,
}

/// The first thing said in these bytes and its length, or nothing if it is not all there.
fn read(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>, &'static str> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() > LINE_BYTES_MAX { Err("a line without end") } else { Ok(None) };
    };
    let (line, start) = (bytes[..end].trim_ascii_end(), end + 1);
    if let Some(rest) = line.strip_prefix(b"MSG ") {
        let mut words = rest.split(|&byte| byte == b' ');
        let (Some(subject), Some(_subscription), Some(third), fourth) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("a message without its length");
        };
        let (reply, length) = fourth.map_or((&b""[..], third), |length| (third, length));
        let length = number(length).ok_or("a message without its length")? as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err("message too large");
        }
        let Some(payload) = bytes.get(start..start + length + LINE_END.len()) else {
            return Ok(None);
        };
        let whole = start + payload.len();
        let payload = payload.strip_suffix(LINE_END).ok_or("a message without its end")?;
        return Ok(Some((Said::Message { subject, reply, payload }, whole)));
    }
    match line {
        b"PING" => Ok(Some((Said::Ping, start))),
        b"PONG" => Ok(Some((Said::Other, start))),
        _ if line.starts_with(b"INFO ") => Ok(Some((Said::Other, start))),
        _ => Err("a line that is neither a message nor a keepalive"),
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn put_number(mut value: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn put_payload(payload: &[u8], out: &mut Vec<u8>) {
    out.push(b' ');
    put_number(payload.len() as u32, out);
    out.extend_from_slice(LINE_END);
    out.extend_from_slice(payload);
    out.extend_from_slice(LINE_END);
}

/// Walks over what a server says, and answers its pings.
fn hear(
    rejoin: &mut Rejoin,
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut heard: impl FnMut(&[u8], &[u8], &[u8], &mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    rejoin.feed(bytes, |bytes| {
        let Some((said, length)) = read(bytes)? else {
            return Ok(None);
        };
        match said {
            Said::Message { subject, reply, payload } => heard(subject, reply, payload, out)?,
            Said::Ping => out.extend_from_slice(b"PONG\r\n"),
            Said::Other => {}
        }
        Ok(Some(length))
    })
}

/// Sends the same bytes again and again in requests, and gets them back.
pub(super) struct Echo {
    /// What stands before the number of a request.
    head: Vec<u8>,
    /// The subjects of replies begin so.
    inbox: Vec<u8>,
    payload: Vec<u8>,
    rejoin: Rejoin,
}

impl Echo {
    /// Requests go to `subject`; replies to subjects below `inbox`.
    pub(super) fn new(subject: &str, inbox: &str, payload: usize) -> Echo {
        Echo {
            head: format!("PUB {subject} {inbox}.").into_bytes(),
            inbox: format!("{inbox}.").into_bytes(),
            payload: vec![FILL; payload],
            rejoin: Rejoin::default(),
        }
    }
}

impl Asker for Echo {
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(&self.head);
        put_number(number, out);
        put_payload(&self.payload, out);
        Ok(())
    }

    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(u32),
    ) -> Result<(), &'static str> {
        let Echo { inbox, payload: expected, rejoin, .. } = self;
        hear(rejoin, bytes, out, |subject, _, payload, _| {
            let end = subject.strip_prefix(inbox.as_slice()).and_then(number);
            if payload != expected {
                return Err("an answer that is not what was said");
            }
            answered(end.ok_or("an answer to a subject without a number")?);
            Ok(())
        })
    }
}

/// Answers each request with its own payload.
#[derive(Default)]
pub(super) struct Reply(Rejoin);

impl Answerer for Reply {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        hear(&mut self.0, bytes, out, |_, reply, payload, out| {
            if reply.is_empty() {
                return Err("a message that wants no reply");
            }
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(reply);
            put_payload(payload, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_and_its_reply_are_written_as_the_protocol_says() {
        let (mut asked, mut answer) = (Vec::new(), Vec::new());
        Echo::new("do", "in", 2).ask(120, &mut asked).unwrap();
        assert_eq!(asked, b"PUB do in.120 2\r\n..\r\n");
        Reply::default().take(b"MSG do 1 in.120 2\r\n..\r\nPING\r\n", &mut answer).unwrap();
        assert_eq!(answer, b"PUB in.120 2\r\n..\r\nPONG\r\n");
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        let take =
            |bytes: &[u8]| Echo::new("do", "in", 2).take(bytes, &mut Vec::new(), &mut |_| {});
        assert_eq!(take(b"INFO {}\r\nPONG\r\nMSG in.0 1 2\r\n..\r\n"), Ok(()));
        let wrong = [
            &b"MSG in.1 1 2\r\n.,\r\n"[..],
            b"MSG in.1 1 2\r\n....",
            b"MSG in.x 1 2\r\n..\r\n",
            b"MSG out.1 1 2\r\n..\r\n",
            b"MSG in.1 1 2000000\r\n",
            b"MSG in.1\r\n",
            b"-ERR 'Slow Consumer'\r\n",
            &[b'.'; 5000],
        ];
        for bytes in wrong {
            assert!(take(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn answers_are_found_wherever_the_stream_is_cut(
            numbers in proptest::collection::vec(any::<u32>(), 1..20), size in 1usize..100
        ) {
            let mut stream = Vec::new();
            for number in &numbers {
                stream.extend(format!("MSG in.{number} 1 5\r\n.....\r\nPING\r\n").bytes());
            }
            let mut echo = Echo::new("do", "in", 5);
            let (mut heard, mut out) = (Vec::new(), Vec::new());
            for piece in stream.chunks(size) {
                echo.take(piece, &mut out, &mut |number| heard.push(number)).unwrap();
            }
            prop_assert_eq!(out, b"PONG\r\n".repeat(numbers.len()));
            prop_assert_eq!(heard, numbers);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
