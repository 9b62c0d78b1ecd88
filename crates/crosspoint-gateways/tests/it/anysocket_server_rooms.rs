//! Messages in rooms, where what is the same for all clients of AnySocket is written once.

use crate::anysocket_server_peers::{ANN, BERT, connect_with, heard, introduce, say, world};
use crate::common::World;
use crate::common::speaker::Speaker;
use crosspoint_gateways::anysocket::{Kind, Packet};
use crosspoint_hub::command::{ChannelCommand, Command, EnterOptions, Target};
use crosspoint_hub::wire::Part;
use crosspoint_hub::{ChannelName, JoinedChannelId, PeerId};

const CARL: PeerId = PeerId::new([0xc3; 16]);
const DORA: PeerId = PeerId::new([0xd4; 16]);

fn call(method: &str, params: &str) -> String {
    format!(r#"{{"type":3,"method":["hub","rooms","{method}"],"params":{params},"bin":[]}}"#)
}

fn sends(seq: i32, text: &str) -> Vec<u8> {
    let body = call("send", &format!(r#"["lobby",{text}]"#)).into();
    let mut out = bytes::BytesMut::new();
    Packet { last: true, kind: Kind::Internal, seq, body }.encode(&mut out);
    out.to_vec()
}

/// A client that has entered. It has heard some packets before, as many as it likes.
fn member(world: &mut World, id: PeerId, options: &str, heard_before: i32) -> usize {
    let end = connect_with(world, false);
    let end = introduce(world, end, id);
    for seq in 0..heard_before {
        let peer = format!(r#"{{"type":2,"action":"proxy","id":"{DORA}"}}"#);
        say(world, end, Kind::Internal, 100 + seq, &peer);
    }
    say(world, end, Kind::Internal, 2, &call("enter", &format!(r#"["lobby"{options}]"#)));
    world.idle();
    heard(world, end);
    end
}

/// What is said of a message: who said it, and what.
fn told(from: &str, content: &str) -> String {
    format!(r#"{{"hub":"room","room":"lobby","from":{{{from}}},{content}}}"#)
}

#[test]
fn everybody_gets_what_many_get_under_its_own_numbers_and_with_what_it_knows_of_the_sender() {
    let mut world = world();
    let ann = member(&mut world, ANN, "", 0);
    let bert = member(&mut world, BERT, r#",{"presence":true}"#, 0);
    let carl = member(&mut world, CARL, "", 3);
    for end in [ann, bert, carl] {
        heard(&mut world, end);
    }
    let known = format!(r#""member":0,"id":"{ANN}","name":"{ANN:?}","protocol":"anysocket""#);
    // Few are paid for by each receiver, and many are shared. Who hears them cannot tell.
    for (end, from) in [(bert, &*known), (carl, r#""member":0"#)] {
        heard(&mut world, end);
        let mut last = None;
        for count in [1, 3, 600] {
            let texts: Vec<_> = (0..count).map(|number| format!(r#""{number} \"é""#)).collect();
            let said: Vec<_> = texts.iter().map(|text| sends(9, text)).collect();
            world.say_all(ann, &said);
            let heard = heard(&mut world, end);
            assert_eq!(heard.len(), count);
            for (text, heard) in texts.iter().zip(heard) {
                let told = told(from, &format!(r#""text":{text}"#));
                let number = heard.strip_prefix("Link ").and_then(|rest| rest.strip_suffix(&told));
                let number: i32 =
                    number.unwrap_or_else(|| panic!("{heard}")).trim().parse().unwrap();
                assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
                last = Some(number);
            }
        }
        assert!(last > Some(600));
    }
}

#[test]
fn bytes_and_kinds_that_have_no_form_here_are_what_they_are_to_one_alone() {
    let mut world = world();
    let ann = member(&mut world, ANN, "", 0);
    let bert = member(&mut world, BERT, "", 0);
    let mut native = Speaker::new(&world.hub, world.now, DORA, None);
    let name = ChannelName::new("lobby").unwrap();
    native.give(ChannelCommand::Enter { request: 1, name, options: EnterOptions::default() });
    for (kind, data) in [(Part::DATA, &b"\xff"[..]), (Part::CALL, b"call"), (Part::DATA, b"x")] {
        let part = Part { kind, ..Part::whole(data) };
        native.give(Command::Send { to: Target::Up(JoinedChannelId(0)), part });
    }
    world.idle();
    for end in [ann, bert] {
        let heard = heard(&mut world, end);
        let told =
            [r#""base64":"/w==""#, r#""text":"x""#].map(|content| told(r#""member":2"#, content));
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard.iter().zip(&told).all(|(heard, told)| heard.ends_with(told)), "{heard:?}");
    }
}
