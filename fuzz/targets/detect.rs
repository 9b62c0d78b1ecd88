//! See [`crosspoint_net::fuzz::fuzz_detect`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_net::fuzz::fuzz_detect(data));
