//! See [`crosspoint::remote::fuzz::fuzz_call`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint::remote::fuzz::fuzz_call(data));
