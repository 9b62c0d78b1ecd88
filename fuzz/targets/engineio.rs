//! See [`crosspoint_gateways::engineio::fuzz::fuzz_engineio`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_gateways::engineio::fuzz::fuzz_engineio(data));
