//! The protocols that a server speaks by itself, each with what is peculiar to it. A further one is a module
//! here and a line in [`standard`].

#[cfg(feature = "anysocket")]
mod anysocket;
mod libpuns;
mod native;
#[cfg(feature = "peote")]
mod peote;
#[cfg(feature = "socketio")]
mod socketio;

#[cfg(feature = "anysocket")]
pub use anysocket::{AnySocket, Json};
pub use libpuns::LibPuns;
pub use native::Native;
#[cfg(feature = "peote")]
pub use peote::Peote;
#[cfg(feature = "socketio")]
pub use socketio::{Generation, SocketIo};

#[cfg(feature = "socketio")]
use crate::engineio::EngineIo;
use crate::gateway::Gateways;
use crate::resume::{self, Resumable};
#[cfg(any(feature = "anysocket", feature = "socketio"))]
use std::time::SystemTime;

/// All that are built in, as they are without settings.
pub fn standard() -> Gateways {
    let all = Gateways::none()
        .with(Native)
        .with(resumable(Some(resume::Config::default())))
        .with(LibPuns);
    #[cfg(feature = "peote")]
    let all = all.with(Peote::default());
    #[cfg(feature = "anysocket")]
    let all = all.with(AnySocket::default());
    #[cfg(feature = "socketio")]
    let all = all.with(EngineIo::from(SocketIo::default()));
    all
}

/// Native sessions that survive their connections (docs/resume.md). `None`: they do not.
pub fn resumable(config: Option<resume::Config>) -> Resumable {
    Resumable::new(config, Native)
}

/// The time in milliseconds since 1970.
#[cfg(any(feature = "anysocket", feature = "socketio"))]
fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
