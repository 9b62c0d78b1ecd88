//! See [`crosspoint_gateways::peote::fuzz::fuzz_chunk`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_gateways::peote::fuzz::fuzz_chunk(data));
