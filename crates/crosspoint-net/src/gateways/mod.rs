//! The protocols that a server speaks by itself, each with what is peculiar to it. A further one is a module
//! here and a line in [`standard`].

#[cfg(feature = "anysocket")]
mod anysocket;
mod libpuns;
mod native;
#[cfg(feature = "peote")]
mod peote;

#[cfg(feature = "anysocket")]
pub use anysocket::{AnySocket, Json};
pub use libpuns::LibPuns;
pub use native::Native;
#[cfg(feature = "peote")]
pub use peote::Peote;

use crate::gateway::Gateways;
use crate::resume::{self, Resumable};

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
    all
}

/// Native sessions that survive their connections (docs/resume.md). `None`: they do not.
pub fn resumable(config: Option<resume::Config>) -> Resumable {
    Resumable::new(config, Native)
}
