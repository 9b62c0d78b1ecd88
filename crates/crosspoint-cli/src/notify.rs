//! What the service manager is told (sd_notify(3)), if it has started the program and wants to know.

use sd_notify::NotifyState;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What a stop may take beyond its own bound.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// How long a service manager that takes nothing may hold up the hub.
const PATIENCE: Duration = Duration::from_secs(1);

/// The hub serves, for the first time or after it has read its files again.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The hub reads its files again. [`ready`] has to follow.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager hears of no reload"),
    }
}

/// The hub stops, for which it takes no longer than this and a little.
pub(crate) fn stopping(longest: Duration) {
    let micros = u32::try_from((longest + STOP_SLACK).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send(&socket, &message) {
        tracing::warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
    }
}

/// The crate's own way of sending waits without a bound.
fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = address(socket)?;
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to_addr(message.as_bytes(), &address).map(|_bytes| ())
}

/// The address of a path, or of an abstract socket behind `@`.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
            return SocketAddr::from_abstract_name(name);
        }
    }
    SocketAddr::from_pathname(socket)
}
