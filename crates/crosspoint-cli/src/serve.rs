//! `crosspoint serve`: the hub.

use crate::failure::Failure;
use crate::settings::{Settings, split_root};
use crate::{logging, options};
use crosspoint_hub::Hub;
use crosspoint_net::server::{Server, ServerOptions, bind};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::lookup_host;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the hub until a signal stops it.
pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let (hub, server) = (Hub::new(options::hub(settings)?), options::server(settings)?);
    let _log = logging::start(settings, hub.metrics.log_lines_dropped.clone())?;
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let mut builder = Builder::new_multi_thread();
    if settings.server.threads > 0 {
        builder.worker_threads(settings.server.threads);
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| format!("no threads could be started: {error}"))?;
    Ok(runtime.block_on(serve(settings, hub, server))?)
}

async fn serve(settings: &Settings, hub: Arc<Hub>, server: ServerOptions) -> Result<(), String> {
    // Before anything is printed, so that whoever reads it can send a signal at once.
    let wrong = |error| format!("signals could not be set up: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;

    let server = Server::new(hub, server);
    let mut addresses = Vec::new();
    for address in &settings.server.listen {
        addresses.extend(listen(&server, address).await?);
    }
    announce(settings, &addresses);
    let name = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };
    tracing::info!(signal = name, sessions = server.hub().sessions(), "stopping");
    server.stop().await;
    say("stopped");
    Ok(())
}

async fn listen(server: &Server, address: &str) -> Result<Vec<SocketAddr>, String> {
    let wrong = |error| {
        format!("cannot listen on {address}: {error}; choose another with --listen HOST:PORT")
    };
    let mut bound = Vec::new();
    for found in lookup_host(address).await.map_err(wrong)? {
        let listener = bind(found).map_err(wrong)?;
        bound.push(listener.local_addr().map_err(wrong)?);
        server.listen(listener);
    }
    Ok(bound)
}

fn announce(settings: &Settings, addresses: &[SocketAddr]) {
    say(concat!("crosspoint ", env!("CARGO_PKG_VERSION")));
    for address in addresses {
        say(&format!("listening on {address}"));
    }
    let Some(first) = addresses.first() else { return };
    let near = SocketAddr::new(near(first.ip()), first.port());
    // As it was called, so that the lines can be copied.
    let program = std::env::args().next().unwrap_or_else(|| "crosspoint".into());
    say("\nTry, in other terminals:");
    for (what, how) in to_try(settings, near, &program) {
        say(&format!("  {what:14}  {how}"));
    }
    say("\nStop with Ctrl-C.");
}

/// What can connect, and how.
fn to_try(settings: &Settings, near: SocketAddr, program: &str) -> Vec<(&'static str, String)> {
    let (host, port) = (near.ip(), near.port());
    let files = !settings.auth.secrets_file.is_empty() || !settings.auth.jwt_keys.is_empty();
    let token = files || !settings.server.access_token.is_empty();
    let token = if token { " --token TOKEN" } else { "" };
    let chat = |scheme| format!("{program} chat --room lobby --hub {scheme}://{near}{token}");
    let mut lines = vec![("a chat", chat("tcp")), ("over WebSocket", chat("ws"))];
    // Programs of peote-net have no token, so where one is demanded of all they cannot enter.
    if settings.peote.enabled && !files {
        let line = format!("new PeoteServer({{...}}).create(\"{host}\", {port}, \"arena\")");
        lines.push(("peote-net", line));
    }
    if settings.anysocket.enabled {
        let line = format!("await new AnySocket().connect(\"ws\", \"{host}\", {port})");
        lines.push(("AnySocket", line));
    }
    for (path, _) in settings.http.files.iter().filter_map(|root| split_root(root)) {
        let path = path.strip_suffix('/').unwrap_or(path);
        lines.push(("files", format!("curl http://{near}{path}/")));
    }
    if settings.http.metrics {
        lines.push(("metrics", format!("curl http://{near}/metrics")));
    }
    lines
}

/// Tells whoever started the hub. The hub serves on when nobody listens to it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// An address at which this machine reaches itself.
fn near(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
