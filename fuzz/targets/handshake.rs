//! See [`crosspoint_net::ws::fuzz::fuzz_handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_net::ws::fuzz::fuzz_handshake(data));
