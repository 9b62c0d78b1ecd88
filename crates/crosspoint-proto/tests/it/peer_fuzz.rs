//! The fuzz target of the peer layer on messages that may come, and on random changes of them.

use crosspoint_proto::frame::put_varint;
use crosspoint_proto::peer::fuzz::fuzz_peer;
use crosspoint_proto::peer::kind;
use proptest::prelude::*;

/// A number that may mean something: ids that are in use, windows, edges.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => 0..9u32,
        2 => 0..2000u32,
        1 => prop::sample::select(vec![(1 << 31) - 1, 1 << 31, u32::MAX]),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![
        // Those that streams are made of.
        3 => prop::sample::select(vec![
            kind::OPEN, kind::ACCEPT, kind::BYTES, kind::CREDIT, kind::END, kind::RESET,
        ]),
        2 => kind::MESSAGE..=kind::TIME,
        // What the target takes for a command.
        3 => Just(0x7f),
        1 => any::<u8>(),
    ];
    let counted = prop::option::of("[aé.]{0,5}");
    let rest = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        (0..3000usize).prop_map(|count| vec![b'x'; count]),
    ];
    let numbers = prop::collection::vec(number(), 0..3);
    (kinds, numbers, counted, rest).prop_map(|(kind, numbers, counted, rest)| {
        let mut body = Vec::new();
        numbers.iter().for_each(|number| put_varint(*number, &mut body));
        if let Some(text) = counted {
            put_varint(text.len() as u32, &mut body);
            body.extend(text.as_bytes());
        }
        body.extend(rest);
        if kind == 0x7f {
            body.resize(2, 0);
            return vec![kind, body[0], body[1]];
        }
        let length = u16::try_from(body.len()).expect("short");
        [&[kind][..], &length.to_be_bytes(), &body].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn messages_at_any_time_do_no_harm(messages in prop::collection::vec(message(), 0..40)) {
        fuzz_peer(&messages.concat());
    }

    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>) {
        fuzz_peer(&bytes);
    }
}

/// Each kind with short bodies, so that every first wrong byte is met.
#[test]
fn short_bodies_of_every_kind_do_no_harm() {
    for kind in 0..=u8::MAX {
        fuzz_peer(&[kind, 0, 0]);
        for first in [0, 1, 2, 3, 5, 0x7f, 0x80, 0xff] {
            fuzz_peer(&[kind, 0, 1, first]);
            for second in [0, 1, 0x80, 0xff] {
                fuzz_peer(&[kind, 0, 2, first, second]);
            }
        }
    }
}
