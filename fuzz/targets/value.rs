//! See [`crosspoint_gateways::peote::fuzz::fuzz_value`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_gateways::peote::fuzz::fuzz_value(data));
