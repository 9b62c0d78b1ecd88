//! See [`crosspoint_proto::peer::fuzz::fuzz_peer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_proto::peer::fuzz::fuzz_peer(data));
