use super::*;
use proptest::prelude::*;

const PID: Sid = Sid::from_bits([7; 16]);

/// Offsets begin with ten A of it.
const MARK: Sid = Sid::from_bits([0; 16]);

fn text(text: impl AsRef<str>) -> Message {
    Message { is_text: true, bytes: Bytes::copy_from_slice(text.as_ref().as_bytes()) }
}

fn binary(bytes: &'static [u8]) -> Message {
    Message { is_text: false, bytes: Bytes::from_static(bytes) }
}

/// The text of what is written.
fn shown(message: &Message) -> &str {
    str::from_utf8(&message.bytes).unwrap()
}

impl Recovery {
    /// The text that is written for this one.
    fn writes(&mut self, said: &str) -> Option<String> {
        self.said(text(said)).unwrap().map(|message| shown(&message).to_owned())
    }

    /// The texts that a client gets that comes back.
    fn missed(&mut self, offset: &str) -> Option<Vec<String>> {
        assert!(self.lose());
        let missed = self.come_back(Some(offset))?;
        let mut missed: Vec<_> = missed.iter().map(|message| shown(message).to_owned()).collect();
        assert_eq!(missed.pop().as_deref(), Some("2"), "a heartbeat");
        Some(missed)
    }
}

fn welcome() -> String {
    format!(r#"40{{"sid":"x","pid":"{}"}}"#, PID.text())
}

/// A session whose client is in the root.
fn open(bytes_max: usize) -> Recovery {
    let mut recovery = Recovery::new(PID, MARK, bytes_max);
    assert_eq!(recovery.writes("0{\"sid\":\"y\"}"), Some("0{\"sid\":\"y\"}".into()));
    assert!(!recovery.lose(), "there is nothing to come back to");
    assert_eq!(recovery.heard(text("40")), Heard::Message(text("40")));
    assert_eq!(recovery.writes(r#"40{"sid":"x"}"#), Some(welcome()));
    recovery
}

#[test]
fn events_of_the_root_without_an_acknowledgement_have_an_offset_and_nothing_else_has() {
    let mut recovery = open(10_000);
    for (said, written) in [
        (r#"42["a"]"#, r#"42["a","AAAAAAAAAA:1"]"#),
        (r#"42["a",[1,"]"],{"b":"\"]"}] "#, r#"42["a",[1,"]"],{"b":"\"]"},"AAAAAAAAAA:2"] "#),
        (r#"427["a"]"#, r#"427["a"]"#),
        (r#"42/b,["a"]"#, r#"42/b,["a"]"#),
        (r#"437["a"]"#, r#"437["a"]"#),
        (r#"40/b,{"sid":"z"}"#, r#"40/b,{"sid":"z"}"#),
        ("2", "2"),
        ("6", "6"),
    ] {
        assert_eq!(recovery.writes(said).as_deref(), Some(written));
    }
    let place = r#"451-["b",{"_placeholder":true,"num":0}"#;
    assert_eq!(recovery.writes(&format!("{place}]")), Some(format!("{place},\"AAAAAAAAAA:3\"]")));
    assert_eq!(recovery.said(binary(b"x")), Ok(Some(binary(b"x"))));
    assert_eq!(recovery.writes(r#"42["a"]"#).as_deref(), Some(r#"42["a","AAAAAAAAAA:4"]"#));
}

#[test]
fn a_client_gets_what_it_has_missed_with_attachments_and_what_was_said_while_it_was_away() {
    let mut recovery = open(10_000);
    recovery.writes(r#"42["one"]"#);
    recovery.writes(r#"451-["two",{"_placeholder":true,"num":0}]"#);
    recovery.said(binary(b"2")).unwrap();
    recovery.writes(r#"427["is not told again"]"#);
    assert!(recovery.lose());
    for said in ["2", "6", r#"439[]"#, r#"461-9["x"]"#] {
        assert_eq!(recovery.writes(said), None);
    }
    assert_eq!(recovery.said(binary(b"of the acknowledgement")), Ok(None));
    assert_eq!(recovery.writes(r#"458-8["waits"]"#), None);
    (0..8).for_each(|_| assert_eq!(recovery.said(binary(b"8")), Ok(None)));
    assert_eq!(recovery.writes(r#"42["three"]"#), None);
    let missed = recovery.missed("AAAAAAAAAA:1").unwrap();
    let two = r#"451-["two",{"_placeholder":true,"num":0},"AAAAAAAAAA:2"]"#;
    let waits = r#"458-8["waits"]"#;
    let three = r#"42["three","AAAAAAAAAA:3"]"#;
    let all = [&*welcome(), two, "2", waits, "8", "8", "8", "8", "8", "8", "8", "8", three];
    assert_eq!(missed, all);
    // Once more, at once.
    assert_eq!(recovery.missed("AAAAAAAAAA:2").unwrap(), [&*welcome(), three]);
    assert_eq!(recovery.missed("AAAAAAAAAA:3").unwrap(), [welcome()]);
    assert_eq!(recovery.missed("AAAAAAAAAA:2"), None, "it has told that it has more");
}

#[test]
fn a_packet_may_be_cut_between_its_attachments() {
    for (said, is_kept) in [(r#"452-["a"]"#, true), (r#"452-7["a"]"#, false)] {
        let mut recovery = open(10_000);
        recovery.writes(said);
        recovery.said(binary(b"1")).unwrap();
        assert!(recovery.lose());
        let missed = recovery.come_back(None).unwrap();
        assert_eq!(missed.len(), if is_kept { 4 } else { 2 }, "a heartbeat is the last");
        // The rest belongs to what the client gets again, or to nothing.
        let rest = recovery.said(binary(b"2")).unwrap();
        assert_eq!(rest.is_some(), is_kept);
        assert_eq!(recovery.missed("").unwrap().len(), if is_kept { 4 } else { 1 });
    }
    // It is said while the client is away, and ends when it is back.
    let mut recovery = open(10_000);
    recovery.writes(r#"42["a"]"#);
    assert!(recovery.lose());
    recovery.writes(r#"452-7["b"]"#);
    recovery.said(binary(b"1")).unwrap();
    assert_eq!(recovery.come_back(None).unwrap().len(), 5);
    assert_eq!(recovery.said(binary(b"2")), Ok(Some(binary(b"2"))));
    assert_eq!(recovery.missed("").unwrap().len(), 2, "the first event alone");
}

#[test]
fn what_the_client_has_answered_a_heartbeat_behind_is_not_kept() {
    let mut recovery = open(10_000);
    let empty = recovery.bytes();
    recovery.writes(r#"42["one"]"#);
    recovery.writes("2");
    recovery.writes(r#"42["two"]"#);
    recovery.writes("2");
    recovery.writes("2");
    recovery.writes(r#"42["three"]"#);
    // More answers than heartbeats say nothing.
    for left in [2, 1, 1, 1, 1] {
        assert_eq!(recovery.heard(text("3")), Heard::Message(text("3")));
        assert_eq!(recovery.kept.len(), left);
    }
    assert!(recovery.lose());
    assert_eq!(
        recovery.come_back(Some("AAAAAAAAAA:1")),
        None,
        "it would have missed the second one"
    );
    assert_eq!(recovery.missed("AAAAAAAAAA:2").unwrap().len(), 2);
    recovery.writes("2");
    recovery.heard(text("3"));
    assert_eq!((recovery.bytes(), recovery.kept.capacity()), (empty, 0));
    assert_eq!(recovery.missed("AAAAAAAAAA:3").unwrap(), [welcome()]);
    // Answers to what was asked over the last connection do not come any more, and the heartbeat with which the client is
    // back stands behind all that it has missed.
    recovery.writes(r#"42["four"]"#);
    recovery.writes("2");
    assert_eq!(recovery.missed("AAAAAAAAAA:3").unwrap().len(), 2);
    assert_eq!(recovery.kept.len(), 1);
    recovery.heard(text("3"));
    assert_eq!(recovery.kept.len(), 0);
    assert_eq!(recovery.missed("AAAAAAAAAA:4").unwrap(), [welcome()]);
}

#[test]
fn heartbeats_without_answers_are_bounded_and_confirm_no_more_than_they_should() {
    let mut recovery = open(1 << 20);
    for number in 1..=100 {
        recovery.writes(&format!("42[{number}]"));
        recovery.writes("2");
    }
    assert_eq!(recovery.pings.len(), PINGS_MAX);
    for answered in 1..=100_u64 {
        recovery.heard(text("3"));
        let first = recovery.kept.front().map_or(100, |kept| kept.number.unwrap() - 1);
        assert!(first <= answered, "{first} were forgotten after {answered} answers");
    }
    assert!(recovery.pings.is_empty());
}

#[test]
fn above_the_bound_the_oldest_goes_and_nobody_waits_for_what_it_missed() {
    let event = format!("42[\"{}\"]", "x".repeat(100));
    let mut recovery = open(1000);
    for _ in 0..10 {
        recovery.writes(&event);
        assert!(recovery.bytes <= 1000);
    }
    let first = recovery.kept[0].number.unwrap();
    assert!(recovery.lose());
    assert_eq!(recovery.come_back(None), None);
    assert_eq!(recovery.come_back(Some(&format!("AAAAAAAAAA:{}", first - 2))), None);
    // What it may have got gives way to what it has not.
    let mut said = 0;
    let full = loop {
        match recovery.said(text(&event)) {
            Ok(written) => assert_eq!(written, None),
            Err(full) => break full,
        }
        said += 1;
        assert!(recovery.bytes <= 1000);
    };
    assert_eq!((full, said), (Full, recovery.kept.len()));
    // Also if it is one that is to be acknowledged, or one attachment.
    for said in [&event.replace("42", "427"), "451-[\"a\"]", "451-7[\"a\"]"] {
        let mut recovery = open(300);
        assert!(recovery.lose());
        let mut said_all = || {
            for _ in 0..10 {
                recovery.said(text(said))?;
                recovery.said(binary(&[0; 100]))?;
            }
            Ok(())
        };
        assert_eq!(said_all(), Err(Full));
    }
    // One that is larger than the bound is not kept, nor its attachments.
    let mut recovery = open(300);
    recovery.writes(r#"451-["a"]"#);
    assert_eq!(recovery.said(binary(&[0; 400])), Ok(Some(binary(&[0; 400]))));
    assert_eq!(recovery.bytes, 0);
    assert_eq!(recovery.missed("AAAAAAAAAA:1").unwrap(), [welcome()]);
}

#[test]
fn offsets_of_other_sessions_and_strange_ones_say_that_nothing_was_got() {
    let long = "AAAAAAAAAA:1".repeat(100_000);
    for offset in [
        "",
        "BAAAAAAAAA:1",
        "AAAAAAAAAA:",
        "AAAAAAAAAA:x",
        "AAAAAAAAAA:1 ",
        "AAAAAAAAAA:-1",
        "1",
        &long,
        "AAAAAAAAAA:99999999999999999999999",
    ] {
        let mut recovery = open(10_000);
        recovery.writes(r#"42["a"]"#);
        assert_eq!(recovery.missed(offset).unwrap().len(), 2, "{offset:.20}");
    }
    let mut recovery = open(10_000);
    assert_eq!(recovery.missed("AAAAAAAAAA:1"), None, "there was no such event");
}

#[test]
fn the_first_connect_of_the_root_may_ask_for_a_session() {
    let pid = PID.text();
    let asks = |auth: String| {
        let message = text(format!("40{auth}"));
        (Recovery::new(Sid::from_bits([1; 16]), MARK, 0).heard(message.clone()), message)
    };
    let (heard, message) =
        asks(format!(r#"{{"token":"t","pid":"{pid}","offset":"AAAAAAAAAA:1"}}"#));
    assert_eq!(heard, Heard::Return { pid: PID, offset: Some("AAAAAAAAAA:1".into()), message });
    let (heard, message) = asks(format!(r#"{{"pid":"{pid}"}}"#));
    assert_eq!(heard, Heard::Return { pid: PID, offset: None, message });
    for auth in [
        String::new(),
        "{}".into(),
        r#"{"pid":"short"}"#.into(),
        r#"{"pid":7}"#.into(),
        format!(r#"{{"pid":"{pid}","pid":"{pid}"}}"#),
        format!(r#"{{"pid":"{pid}","offset":7}}"#),
        format!(r#"{{"pid":"{pid}""#),
        format!(r#"{{"a":{},"pid":"{pid}"}}"#, "[".repeat(1000)),
    ] {
        let (heard, message) = asks(auth);
        assert_eq!(heard, Heard::Message(message));
    }
    // The session of a client that is in another namespace has begun.
    let mut elsewhere = Recovery::new(Sid::from_bits([1; 16]), MARK, 1000);
    elsewhere.heard(text(format!(r#"40/b,{{"pid":"{pid}"}}"#)));
    let root = text(format!(r#"40{{"pid":"{pid}"}}"#));
    assert_eq!(elsewhere.heard(root.clone()), Heard::Message(root));
    elsewhere.writes(r#"40{"sid":"x"}"#);
    assert!(elsewhere.lose());
    // A client that has a session has no other one.
    let again = text(format!(r#"40{{"pid":"{pid}"}}"#));
    assert_eq!(open(0).heard(again.clone()), Heard::Message(again));
}

#[test]
fn a_client_that_leaves_the_root_or_is_put_out_does_not_come_back() {
    let leaves: [fn(&mut Recovery); 2] = [
        |recovery| assert_eq!(recovery.heard(text("41")), Heard::Message(text("41"))),
        |recovery| assert_eq!(recovery.writes("41").as_deref(), Some("41")),
    ];
    for leave in leaves {
        let mut recovery = open(10_000);
        recovery.writes(r#"42["a"]"#);
        leave(&mut recovery);
        assert_eq!(recovery.bytes, 0);
        recovery.heard(text("40"));
        assert_eq!(recovery.writes(r#"40{"sid":"z"}"#).as_deref(), Some(r#"40{"sid":"z"}"#));
        assert_eq!(recovery.writes(r#"42["a"]"#).as_deref(), Some(r#"42["a"]"#));
        assert!(!recovery.lose());
    }
    // It stays if it leaves another one, or is not let into it.
    let mut recovery = open(10_000);
    recovery.heard(text("41/b,"));
    recovery.writes(r#"44/c,{"message":"x"}"#);
    assert!(recovery.lose());
}

#[test]
fn a_client_whose_packet_was_cut_does_not_come_back() {
    let mut recovery = open(10_000);
    recovery.heard(text(r#"452-["a"]"#));
    for attachment in [binary(b"1"), text("bAQ==")] {
        assert!(!recovery.lose());
        assert_eq!(recovery.heard(attachment.clone()), Heard::Message(attachment));
    }
    assert!(recovery.lose());
}

#[test]
fn what_the_client_says_is_for_the_session_but_for_the_end_and_what_the_carrier_says() {
    let mut recovery = open(10_000);
    for said in ["3", "4", "49", "42[", "45x", "", "5", "x", "b", "é", r#"42["a"]"#, r#"432["a"]"#]
    {
        assert_eq!(recovery.heard(text(said)), Heard::Message(text(said)));
    }
    assert_eq!(recovery.heard(text("1")), Heard::Closed);
    assert_eq!(recovery.heard(text("away")), Heard::Message(text("a")));
    assert_eq!(recovery.heard(binary(b"away")), Heard::Message(binary(b"away")));
}

#[test]
fn nobody_sees_the_secret_in_a_log() {
    assert!(!format!("{:?}", open(1000)).contains(&PID.text()));
}

/// A client as the one from npm is.
#[derive(Debug, Default)]
struct Client {
    pid: Option<String>,
    last: Option<String>,
    connected: bool,
    /// The numbers of the events that it has got, and whether they are to be acknowledged.
    got: Vec<(u64, bool)>,
    /// An event whose attachments are missing.
    coming: Option<(serde_json::Value, bool, u8)>,
}

impl Client {
    fn connect(&mut self) -> Message {
        (self.connected, self.coming) = (false, None);
        let auth = serde_json::json!({ "pid": self.pid, "offset": self.last });
        text(format!("40{auth}"))
    }

    /// Gives whether it answers.
    fn hear(&mut self, message: &Message) -> bool {
        if !message.is_text {
            let (event, acknowledges, left) = self.coming.take().expect("an event before it");
            match left {
                1 => self.emit(&event, acknowledges),
                _ => self.coming = Some((event, acknowledges, left - 1)),
            }
            return false;
        }
        if shown(message) == "2" {
            return true;
        }
        assert!(self.coming.is_none(), "an attachment is missing");
        let Some((header, data)) = parse(&message.bytes) else { return false };
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        match header.kind {
            Kind::Connect => {
                let pid = data["pid"].as_str().unwrap().to_owned();
                assert!(self.pid.replace(pid.clone()).is_none_or(|before| before == pid));
                self.connected = true;
            }
            _ if header.attachments > 0 => {
                self.coming = Some((data, header.id.is_some(), header.attachments));
            }
            _ => self.emit(&data, header.id.is_some()),
        }
        false
    }

    fn emit(&mut self, event: &serde_json::Value, acknowledges: bool) {
        assert!(self.connected, "an event before the answer to CONNECT");
        let event = event.as_array().unwrap();
        self.got.push((event[1].as_u64().unwrap(), acknowledges));
        if !acknowledges && let Some(last) = event.last().and_then(|last| last.as_str()) {
            self.last = Some(last.to_owned());
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Event {
        acknowledges: bool,
        attachments: u8,
        ends_with_text: bool,
    },
    Ping,
    /// So many messages arrive.
    Arrive(usize),
    /// So many of the client's answers arrive.
    Answer(usize),
    Lose,
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0..3_u8, any::<bool>()).prop_map(
            |(acknowledges, attachments, ends_with_text)| Step::Event { acknowledges, attachments, ends_with_text }
        ),
        2 => Just(Step::Ping),
        4 => (0..8_usize).prop_map(Step::Arrive),
        2 => (0..3_usize).prop_map(Step::Answer),
        1 => Just(Step::Lose),
        2 => Just(Step::Return),
    ]
}

proptest! {
    /// Whatever is lost on its way, and whenever: a client that comes back has got each event without an
    /// acknowledgement once and in order, or hears that it cannot come back. No other event comes twice.
    #[test]
    fn a_client_misses_nothing_and_gets_nothing_twice(
        steps in proptest::collection::vec(step(), 0..80),
        bytes_max in 300..5000_usize,
    ) {
        let (mut recovery, mut client) = (open(bytes_max), Client::default());
        // Open, so that the client sees what was written until now.
        let mut to_client: VecDeque<Message> = [text(welcome())].into();
        let mut answers = 0;
        let (mut said, mut is_there) = (Vec::new(), true);
        let returns = |recovery: &mut Recovery, client: &mut Client| {
            let Heard::Return { pid, offset, .. } =
                Recovery::new(Sid::from_bits([1; 16]), MARK, 0).heard(client.connect())
            else {
                return None;
            };
            assert_eq!(pid, PID);
            recovery.come_back(offset.as_deref())
        };
        for step in steps {
            match step {
                Step::Event { acknowledges, attachments, ends_with_text } => {
                    let number = said.len() as u64;
                    said.push((number, acknowledges));
                    let id = if acknowledges { "7" } else { "" };
                    let kind = if attachments > 0 { format!("5{attachments}-") } else { "2".into() };
                    let more = if ends_with_text { ",\"text\"" } else { "" };
                    let event = text(format!("4{kind}{id}[\"ev\",{number}{more}]"));
                    let all = [event].into_iter().chain((0..attachments).map(|_| binary(b"x")));
                    for message in all {
                        match recovery.said(message) {
                            Ok(written) => to_client.extend(written),
                            // The session ends.
                            Err(Full) => return Ok(()),
                        }
                    }
                    prop_assert!(recovery.bytes <= bytes_max);
                }
                Step::Ping => to_client.extend(recovery.said(text("2")).unwrap()),
                Step::Arrive(count) if is_there => {
                    let count = count.min(to_client.len());
                    for message in to_client.drain(..count) {
                        answers += usize::from(client.hear(&message));
                    }
                }
                Step::Answer(count) if is_there => {
                    for _ in 0..count.min(answers) {
                        recovery.heard(text("3"));
                        answers -= 1;
                    }
                }
                Step::Lose if client.pid.is_some() => {
                    prop_assert!(recovery.lose());
                    (is_there, answers) = (false, 0);
                    to_client.clear();
                }
                Step::Return if !is_there => match returns(&mut recovery, &mut client) {
                    Some(missed) => (to_client, is_there) = (missed.into(), true),
                    // It begins anew.
                    None => return Ok(()),
                },
                _ => {}
            }
        }
        if !is_there {
            match returns(&mut recovery, &mut client) {
                Some(missed) => to_client.extend(missed),
                None => return Ok(()),
            }
        }
        for message in &to_client {
            client.hear(message);
        }
        let plain = |all: &[(u64, bool)]| -> Vec<u64> {
            all.iter().filter(|(_, acknowledges)| !acknowledges).map(|(number, _)| *number).collect()
        };
        prop_assert_eq!(plain(&client.got), plain(&said));
        prop_assert!(client.got.is_sorted_by(|one, other| one.0 < other.0), "{:?}", client.got);
    }

    /// Sense or nonsense of either side: no more is kept than may be, and all is given back at the end.
    #[test]
    fn whatever_is_said_what_is_kept_is_bounded(
        said in proptest::collection::vec(
            (0..4_u8, any::<bool>(), "(|2|3|4[0-6](|[1-9]-|7|/a,)(|\\[\"a\"\\]|\\[\\]|\\{\\}|x))"), 0..100
        ),
    ) {
        let mut recovery = open(500);
        let empty = recovery.bytes();
        for (what, is_text, bytes) in said {
            let message = Message { is_text, bytes: bytes.into() };
            match what {
                0 => drop(recovery.heard(message)),
                1 if recovery.lose() => drop(recovery.come_back(Some("AAAAAAAAAA:3"))),
                1 => {}
                _ => if recovery.said(message).is_err() {
                    prop_assert!(recovery.lost.is_some());
                    break;
                },
            }
            prop_assert!(recovery.bytes <= 500 && recovery.pings.len() <= PINGS_MAX);
            prop_assert_eq!(recovery.bytes, recovery.kept.iter().map(Kept::bytes).sum::<usize>());
        }
        recovery.end();
        prop_assert_eq!(recovery.bytes(), empty);
    }
}
