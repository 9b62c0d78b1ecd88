//! How fast links are encrypted. Run it with
//! `cargo test --release -p crosspoint-proto --test secure_speed -- --ignored --nocapture`.

use crosspoint_proto::identity::Identity;
use crosspoint_proto::peer::secure::{Options, Role, Secure};
use std::hint::black_box;
use std::time::Instant;

fn ready() -> (Secure, Secure) {
    let (anna, bert) = (Identity::from_bytes(&[1; 32]), Identity::from_bytes(&[2; 32]));
    let end = |role, own: &Identity, peer: &Identity| {
        Secure::new(role, own, peer.peer_id(), Options::default(), [9; 32]).unwrap()
    };
    let mut opener = end(Role::Initiator, &anna, &bert);
    let mut accepter = end(Role::Responder, &bert, &anna);
    while !(opener.is_ready() && accepter.is_ready()) {
        if let Some(body) = opener.transmit() {
            let _ = accepter.receive(&body).unwrap();
        }
        if let Some(body) = accepter.transmit() {
            let _ = opener.receive(&body).unwrap();
        }
    }
    (opener, accepter)
}

#[test]
#[ignore = "measures; says nothing in a debug build"]
fn sealing_and_opening_is_measured() {
    let rounds = 1_000;
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(ready());
    }
    println!("handshake, both sides: {:?}", start.elapsed() / rounds);

    let (mut opener, mut accepter) = ready();
    for size in [16, 64, 256, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let body = vec![7; size];
        let rounds = (400_000_000 / (size + 1_000)) as u32;
        let start = Instant::now();
        for _ in 0..rounds {
            let sealed = opener.seal(0x10, black_box(&body)).unwrap();
            black_box(accepter.open(&sealed).unwrap());
        }
        let each = start.elapsed() / rounds;
        let speed = size as f64 / each.as_secs_f64() / 1e6;
        println!("{size:>8} bytes: {each:?} to seal and open, {speed:.0} MB/s");
    }
}
