//! `crosspoint serve`: the hub.

use crate::activation::Passed;
use crate::certificates::{self, Served};
use crate::control::{self, Admission, Center};
use crate::failure::Failure;
use crate::listen::{Listening, listen, listen_on_hosts, local};
use crate::reload::{Load, Reload};
use crate::settings::{ListenAddress, Settings, split_root};
use crate::small_file::FileKind;
use crate::sockets::Access;
use crate::{activation, give_back, logging, notify, options};
use crosspoint_auth::Swap;
use crosspoint_control::Token;
use crosspoint_hub::Hub;
use crosspoint_net::server::{Server, ServerOptions};
use crosspoint_net::tls::Fingerprint;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long what blocks may hold up the end, such as a check of a secret that runs.
const END_MAX: Duration = Duration::from_millis(200);

/// What the settings make.
struct Parts {
    hub: Arc<Hub>,
    authenticator: Option<Arc<Swap>>,
    server: ServerOptions,
    tls: Option<Served>,
    /// Who may connect to Unix sockets.
    access: Access,
    /// The token of the control center, if there is one already.
    token: Option<Token>,
}

/// Reads the files that the settings name, too.
fn parts(settings: &Settings) -> Result<Parts, Failure> {
    let hub = Hub::new(options::hub(settings)?);
    let authenticator =
        options::authenticator(settings, FileKind::Any)?.map(Swap::new).map(Arc::new);
    let mut server = options::server(settings, authenticator.clone())?;
    let tls = certificates::tls(settings)?;
    server.tls = tls.as_ref().map(|served| served.tls.clone());
    let access = options::socket_access(settings)?;
    let token = control::given(settings)?;
    Ok(Parts { hub, authenticator, server, tls, access, token })
}

/// Checks what can be wrong before the hub runs: the files that the settings name.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    parts(settings).map(|_| ())
}

/// Runs the hub until a signal stops it. `load` reads the settings again.
pub(crate) fn run(settings: &Settings, load: Load) -> Result<(), Failure> {
    // Before there are threads.
    let passed = activation::take(settings.server.listen_addresses())
        .map_err(|error| Failure::Setup(error.to_string()))?;
    give_back::set_up();
    let Parts { hub, authenticator, server, tls, access, token } = parts(settings)?;
    let _log = logging::start(settings, hub.metrics.log_lines_dropped.clone())?;
    give_back::set_pages(hub.limits.memory_bytes_max);
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
    if settings.server.access_token.trim() != settings.server.access_token {
        tracing::warn!(
            "server.access_token begins or ends with a space, which clients have to give as well"
        );
    }
    let fingerprint = tls.as_ref().map(|served| served.fingerprint);
    let tls = tls.map(|served| (served.tls, served.made));
    let reload = Reload::new(load, settings, &hub, authenticator.as_deref(), tls);
    let serving =
        serve((settings, fingerprint), (access, passed), (hub.clone(), server), token, reload);
    let result = runtime.block_on(serving);
    runtime.shutdown_timeout(END_MAX);
    result
}

async fn serve(
    (settings, fingerprint): (&Settings, Option<Fingerprint>),
    (access, passed): (Access, Vec<Passed>),
    (hub, mut server): (Arc<Hub>, ServerOptions),
    token: Option<Token>,
    mut reload: Reload<'_>,
) -> Result<(), Failure> {
    // Before anything is printed, so that a reader can send a signal, or close the terminal, at once.
    let terminal = Terminal::new();
    let wrong = |error| format!("signals could not be set up: {error}");
    let mut stop = Stop::new().map_err(wrong)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(wrong)?;

    let addresses: Vec<_> = settings.server.listen_addresses().collect();
    let (listening, _files) = listen(&addresses, access, passed).await?;
    let metrics_at = settings.http.metrics_listen.iter().filter(|_| settings.http.metrics);
    let metrics_at: Vec<_> = metrics_at.map(|host| ListenAddress::host(host)).collect();
    let for_metrics = listen_on_hosts("--http-metrics-listen", &metrics_at).await?;
    let center = control::center(settings, token, &hub, &listening)?;
    server.http.routes = center.as_ref().map(|center| center.control.router());
    let server = Server::new(hub, server);
    announce((settings, fingerprint), &listening, &for_metrics, center.as_ref());
    drop(center);
    for Listening { listener, tls, .. } in listening {
        if tls {
            server.listen_tls(listener);
        } else {
            server.listen(listener);
        }
    }
    for_metrics.into_iter().for_each(|listening| server.listen_for_metrics(listening.listener));
    notify::ready();
    let mut giving_back = pin!(give_back::run(server.hub().clone()));
    let name = loop {
        tokio::select! {
            never = &mut giving_back => match never {},
            name = stop.told() => break name,
            _ = hang_up.recv() => match terminal.is_gone() {
                true => break "SIGHUP: its terminal has gone",
                false => {
                    notify::reloading();
                    reload.begin();
                }
            },
            () = reload.proceed() => {
                if reload.is_idle() {
                    notify::ready();
                }
            }
        }
    };
    tracing::info!(signal = name, sessions = server.hub().sessions(), "stopping");
    notify::stopping(settings.server.stop_ms_max);
    tokio::select! {
        () = server.stop() => {}
        name = stop.told() => {
            return Err(Failure::Run(format!("{name} has cut the stop short")));
        }
    }
    say("stopped");
    Ok(())
}

/// The terminal that the hub was started from, if it was.
struct Terminal {
    was_there: bool,
}

impl Terminal {
    fn new() -> Self {
        Self { was_there: io::stdin().is_terminal() }
    }

    /// Whether it was closed. The system tells that by the signal that else asks to read secrets again.
    fn is_gone(&self) -> bool {
        self.was_there && !io::stdin().is_terminal()
    }
}

/// What tells the hub to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits until the hub is to stop. Gives the name of the signal.
    async fn told(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn announce(
    (settings, fingerprint): (&Settings, Option<Fingerprint>),
    listening: &[Listening],
    for_metrics: &[Listening],
    center: Option<&Center>,
) {
    say(concat!("crosspoint ", env!("CARGO_PKG_VERSION")));
    for listening in listening {
        say(&format!("listening on {listening}"));
    }
    for listening in for_metrics {
        say(&format!("metrics on {listening}"));
    }
    for (protocol, who) in open_to(settings) {
        say(&format!("{protocol}: {who}"));
    }
    if let Some(served) = tls_served(settings, fingerprint) {
        say(&format!("tls: {served}"));
    }
    // As it was called, so that the lines can be copied.
    let program = std::env::args().next().unwrap_or_else(|| "crosspoint".into());
    let first = |plain: bool| {
        let served = listening.iter().filter(|listening| !plain || !listening.tls);
        // One at which this machine is let in, if there is one.
        let served = served.filter_map(Listening::address);
        served.min_by_key(|at| !local(*at).ip().to_canonical().is_loopback())
    };
    let plain = first(true).filter(|_| !settings.tls.required);
    let page = plain.map(|at| ("http", at)).or_else(|| Some(("https", first(false)?)));
    if let Some(center) = center {
        let path = if center.page_at_root { "" } else { "control/" };
        match page {
            Some((scheme, at)) => say(&format!("control center: {scheme}://{}/{path}", local(at))),
            None => say("control center: over the Unix socket"),
        }
        say(&format!("control access: {}", center.admission.told()));
        if let Some(token) = &center.told {
            say(&format!("control token: {token}"));
        }
    }
    let mut lines = plain.map_or_else(Vec::new, |plain| {
        let metrics_at = for_metrics.first().and_then(Listening::address).unwrap_or(plain);
        to_try(settings, local(plain), local(metrics_at), &program)
    });
    if let (Some(plain), Some(center)) = (plain, center)
        && center.admission != Admission::All
    {
        lines.push(("watch it live", format!("{program} top --hub http://{}", local(plain))));
    }
    if let (Some(fingerprint), Some(first)) = (fingerprint, first(false)) {
        let (hub, shown) = (local(first), shown(settings));
        let chat =
            format!("{program} chat --room lobby --hub tls://{hub} --tls-pin {fingerprint}{shown}");
        lines.push(("chat with TLS", chat));
    }
    if !lines.is_empty() {
        say("\nTry, in other terminals:");
    }
    for (what, how) in lines {
        say(&format!("  {what:14}  {how}"));
    }
    say("\nStop with Ctrl-C.");
}

/// Whether clients have to present credentials.
fn asks(settings: &Settings) -> bool {
    takes_tokens(settings) || settings.auth.certificates
}

/// Whether a token can be the credentials of a client.
fn takes_tokens(settings: &Settings) -> bool {
    let auth = &settings.auth;
    [&auth.secrets_file, &auth.jwt_keys, &settings.server.access_token]
        .iter()
        .any(|set| !set.is_empty())
}

/// How TLS is served, if it is.
fn tls_served(settings: &Settings, fingerprint: Option<Fingerprint>) -> Option<String> {
    let only = if settings.tls.required { ", and nothing without it (tls.required)" } else { "" };
    let fingerprint = fingerprint?;
    Some(match settings.tls.dev {
        true => format!("a temporary certificate with the fingerprint {fingerprint}{only}"),
        false => format!("{}{only}", settings.tls.cert.join(", ")),
    })
}

/// Which protocols are open, and to whom.
fn open_to(settings: &Settings) -> [(&'static str, &'static str); 4] {
    let asks = asks(settings);
    let known = if asks { "with credentials" } else { "everybody" };
    let anysocket = if settings.anysocket.enabled { known } else { "off (anysocket.enabled)" };
    let peote = match (settings.peote.enabled, asks) {
        (Some(false), _) => "off (peote.enabled)",
        (None, true) => {
            "off (cannot present credentials; peote.enabled = true opens it to everybody)"
        }
        (Some(true), true) => "everybody, without credentials (peote.enabled)",
        (_, false) => "everybody",
    };
    let socketio = if settings.socketio.enabled { known } else { "off (socketio.enabled)" };
    [("native", known), ("anysocket", anysocket), ("socketio", socketio), ("peote", peote)]
}

/// The flags that a chat over TLS needs at a hub that asks for credentials.
fn shown(settings: &Settings) -> &'static str {
    match settings.auth.certificates {
        true => " --tls-cert CERTIFICATE --tls-key KEY",
        false if asks(settings) => " --token TOKEN",
        false => "",
    }
}

/// What can connect without TLS, and how. A client whose only credentials can be a certificate cannot.
fn to_try(
    settings: &Settings,
    near: SocketAddr,
    metrics_at: SocketAddr,
    program: &str,
) -> Vec<(&'static str, String)> {
    let (host, port) = (near.ip(), near.port());
    let asks = asks(settings);
    let lets_in = !asks || takes_tokens(settings);
    let token = if asks { " --token TOKEN" } else { "" };
    let chat = |scheme| format!("{program} chat --room lobby --hub {scheme}://{near}{token}");
    let mut lines = Vec::new();
    if lets_in {
        lines.extend([("a chat", chat("tcp")), ("over WebSocket", chat("ws"))]);
    }
    if settings.peote.enabled.unwrap_or(!asks) {
        let line = format!("new PeoteServer({{...}}).create(\"{host}\", {port}, \"arena\")");
        lines.push(("peote-net", line));
    }
    if settings.anysocket.enabled && lets_in {
        let auth = if asks { "; socket.authPacket = () => TOKEN" } else { "" };
        let line = format!(
            "const socket = new AnySocket(){auth}; await socket.connect(\"ws\", \"{host}\", {port})"
        );
        lines.push(("AnySocket", line));
    }
    if settings.socketio.enabled && lets_in {
        let path = &settings.socketio.path;
        let path = match path.trim_matches('/') {
            "socket.io" => String::new(),
            path => format!(", path: \"/{path}\""),
        };
        let auth = if asks { ", auth: { token: TOKEN }" } else { "" };
        let line = format!(
            "const socket = io(\"http://{near}\", {{ query: {{ clientId: \"ann\" }}{auth}{path} }})"
        );
        lines.push(("Socket.IO", line));
    }
    for (path, _) in settings.http.files.iter().filter_map(|root| split_root(root)) {
        let path = path.strip_suffix('/').unwrap_or(path);
        lines.push(("files", format!("curl http://{near}{path}/")));
    }
    if settings.http.metrics {
        lines.push(("metrics", format!("curl http://{metrics_at}/metrics")));
    }
    lines
}

/// Tells the one who started the hub. The hub serves on when nobody listens to it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
