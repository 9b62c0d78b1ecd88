//! See [`crosspoint_gateways::anysocket::fuzz::fuzz_anysocket`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_gateways::anysocket::fuzz::fuzz_anysocket(data));
