//! See [`crosspoint_gateways::socketio::client::fuzz::fuzz_socketio_client`].
#![no_main]

libfuzzer_sys::fuzz_target!(
    |data: &[u8]| crosspoint_gateways::socketio::client::fuzz::fuzz_socketio_client(data)
);
