//! The protocols that a server speaks by itself, each with what is peculiar to it. A further one is a module
//! here and a line in [`standard`].

mod anysocket;
mod libpuns;
mod native;
mod peote;

pub use anysocket::{AnySocket, Json};
pub use libpuns::LibPuns;
pub use native::Native;
pub use peote::Peote;

use crate::gateway::Gateways;
use crate::resume::{self, Resumable};

/// All, as they are without settings.
pub fn standard() -> Gateways {
    Gateways::none()
        .with(Native)
        .with(resumable(Some(resume::Settings::default())))
        .with(LibPuns)
        .with(Peote::default())
        .with(AnySocket::default())
}

/// Native sessions that survive their connections (docs/resume.md). `None`: they do not.
pub fn resumable(settings: Option<resume::Settings>) -> Resumable {
    Resumable::new(settings, Native)
}
