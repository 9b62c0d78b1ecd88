//! See [`crosspoint_gateways::socketio::fuzz::fuzz_socketio_packet`].
#![no_main]

libfuzzer_sys::fuzz_target!(
    |data: &[u8]| crosspoint_gateways::socketio::fuzz::fuzz_socketio_packet(data)
);
