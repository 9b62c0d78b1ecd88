//! See [`crosspoint_proto::fuzz::fuzz_native`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_proto::fuzz::fuzz_native(data));
