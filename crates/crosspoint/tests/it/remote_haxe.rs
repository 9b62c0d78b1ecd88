//! A dispatcher against the calls that a real Haxe client wrote (`vectors/peote/rpc.jsonl`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crosspoint::remote::{
    Bytes, DecodeError, Fault, Malicious, Objects, Origin, Outcome, Serialized,
};
use crosspoint_gateways::peote::chunk::{ChunkDecoder, ChunkSize};
use crosspoint_hub::MemberNumber;

/// Object 0 of the owner, as the transcript's README lists it.
#[crosspoint::remote]
trait Parameters {
    fn nothing(&mut self);
    fn bools(&mut self, a: bool, b: bool);
    #[allow(clippy::too_many_arguments)]
    fn numbers(&mut self, byte: u8, u: u16, i: i16, l: i32, int: i32, float: f32, double: f64);
    fn string(&mut self, text: String);
    fn bytes(&mut self, bytes: Bytes);
    fn ints(&mut self, ints: Vec<i32>);
    fn strings(&mut self, strings: Vec<Vec<String>>);
    fn vector(&mut self, vector: Vec<i16>);
    fn list(&mut self, list: Vec<u8>);
    fn names(&mut self, names: BTreeMap<i32, String>);
    fn flags(&mut self, flags: BTreeMap<String, Vec<bool>>);
    fn int_map(&mut self, map: BTreeMap<i32, u16>);
    fn string_map(&mut self, map: BTreeMap<String, f64>);
    fn dynamic(&mut self, value: Serialized);
    fn structure(&mut self, value: Serialized);
    fn class(&mut self, value: Serialized);
    fn variant(&mut self, value: Serialized);
}

/// Writes down what it was called with.
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, name: &str, value: impl std::fmt::Debug) {
        self.0.lock().unwrap().push(format!("{name} {value:?}"));
    }
}

impl Parameters for Log {
    fn nothing(&mut self) {
        self.note("nothing", ());
    }
    fn bools(&mut self, a: bool, b: bool) {
        self.note("bools", (a, b));
    }
    fn numbers(&mut self, byte: u8, u: u16, i: i16, l: i32, int: i32, float: f32, double: f64) {
        self.note("numbers", (byte, u, i, l, int, float, double));
    }
    fn string(&mut self, text: String) {
        match text.len() {
            0..100 => self.note("string", text),
            length => self.note("string of length", length),
        }
    }
    fn bytes(&mut self, bytes: Bytes) {
        self.note("bytes", bytes);
    }
    fn ints(&mut self, ints: Vec<i32>) {
        self.note("ints", ints);
    }
    fn strings(&mut self, strings: Vec<Vec<String>>) {
        self.note("strings", strings);
    }
    fn vector(&mut self, vector: Vec<i16>) {
        self.note("vector", vector);
    }
    fn list(&mut self, list: Vec<u8>) {
        self.note("list", list);
    }
    fn names(&mut self, names: BTreeMap<i32, String>) {
        self.note("names", names);
    }
    fn flags(&mut self, flags: BTreeMap<String, Vec<bool>>) {
        self.note("flags", flags);
    }
    fn int_map(&mut self, map: BTreeMap<i32, u16>) {
        self.note("int_map", map);
    }
    fn string_map(&mut self, map: BTreeMap<String, f64>) {
        self.note("string_map", map);
    }
    fn dynamic(&mut self, value: Serialized) {
        self.note("dynamic", value.0);
    }
    fn structure(&mut self, value: Serialized) {
        self.note("structure", value.0);
    }
    fn class(&mut self, value: Serialized) {
        self.note("class", value.0);
    }
    fn variant(&mut self, value: Serialized) {
        self.note("variant", value.0);
    }
}

/// The chunks that the member, connection 1, wrote in frames of its joint 0.
fn chunks_of_member() -> Vec<Bytes> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crosspoint-gateways/tests/vectors/peote/rpc.jsonl"
    );
    let mut decoder = ChunkDecoder::new(ChunkSize::default());
    let mut chunks = Vec::<Vec<u8>>::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(hex) = line["hex"].as_str() else {
            continue;
        };
        if line["conn"] != 1 || line["from"] != "client" {
            continue;
        }
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        let mut rest = &bytes[..];
        // Each line holds whole frames, and commands only at the beginning and the end.
        while let [first, second, ..] = *rest {
            let (head, size) = match first {
                0 => break,
                0x80.. => (2, usize::from(first & 0x7f) << 8 | usize::from(second)),
                _ => (1, usize::from(first)),
            };
            let mut data = Bytes::copy_from_slice(&rest[head + 1..head + size]);
            rest = &rest[head + size..];
            while let Some(part) = decoder.next_part(&mut data).unwrap() {
                if part.is_first() {
                    chunks.push(Vec::new());
                }
                chunks.last_mut().unwrap().extend_from_slice(&part.data);
            }
        }
    }
    chunks.into_iter().map(Bytes::from).collect()
}

#[test]
fn calls_of_a_real_haxe_client_arrive() {
    let log = Arc::default();
    let mut objects = Objects::new();
    objects.register(0, ParametersDispatch::new(Log(Arc::clone(&log)))).unwrap();
    let mut announced = Vec::new();
    let mut malicious = Vec::new();
    for chunk in chunks_of_member() {
        match objects.message(Origin::Member(MemberNumber(0)), chunk) {
            Outcome::Announced(id) => announced.push(id),
            Outcome::Called { object, .. } => assert_eq!(object, 0),
            Outcome::Malicious(reason) => malicious.push(reason),
            Outcome::Reply { .. } => panic!("a Haxe client waits for no reply"),
        }
    }
    assert_eq!(announced, [0, 5]);
    assert_eq!(*log.lock().unwrap(), CALLS);
    let refused = |procedure, fault| Malicious::Refused { object: 0, procedure, fault };
    assert_eq!(
        malicious,
        [
            refused(0, DecodeError::LeftOver { count: 1 }.into()),
            refused(254, Fault::UnknownProcedure),
            Malicious::UnknownObject { object: 9, procedure: 1 },
            refused(2, DecodeError::Short { needed: 2, left: 0, at: 3 }.into()),
        ]
    );
}

const CALLS: [&str; 25] = [
    "nothing ()",
    "bools (true, false)",
    "numbers (255, 65535, -2, 2147483647, -3, 1.2345679, 1.2345678901234)",
    "numbers (0, 1, 32767, -2147483648, 256, 0.1, -0.1)",
    "string \"grüße €\"",
    "string \"\"",
    "string of length 127",
    "string of length 128",
    "string of length 300",
    "string of length 16384",
    "bytes b\"\\0\\x01\\xfe\"",
    "ints [1, -1, 65536]",
    "ints []",
    "ints []",
    "strings [[\"a\", \"bc\"], [], []]",
    "vector [-1, 258]",
    "list [7, 8]",
    "names {7: \"seven\"}",
    "flags {\"k\": [true, false, true]}",
    "int_map {258: 772}",
    "string_map {\"pi\": 3.25}",
    "dynamic \"oy4:namey3:Boby7:friendsay4:Maryy5:Johanhy3:agei48g\"",
    "structure \"oy4:namey5:Klausy3:agei23g\"",
    "class \"cy17:remoteParams.Usery4:namey5:Alicey3:agei42y5:othery4:testg\"",
    "variant \"wy18:remoteParams.Colory3:Rgb:3i1i2i3\"",
];
