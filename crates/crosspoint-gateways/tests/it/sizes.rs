//! What each connection keeps, whether or not anything is said over it.

use crosspoint_gateways::anysocket::server::AnySocket;
use crosspoint_gateways::peote::server::Joint;

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Joint>() <= 272, "{} bytes", size_of::<Joint>());
    assert!(size_of::<AnySocket>() <= 1280, "{} bytes", size_of::<AnySocket>());
}
