//! See [`crosspoint_gateways::peote::fuzz::fuzz_joint_server`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosspoint_gateways::peote::fuzz::fuzz_joint_server(
    data
));
