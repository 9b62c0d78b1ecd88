//! `crosspoint bench`: how fast a hub is. The load generator is the library `crosspoint-bench`;
//! here are its flags and its output.

use crate::client_tls;
use crate::failure::Failure;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use crosspoint_bench::{
    AnySocket, BenchError, Dialect, Encrypted, Joint, Latency, Native, SocketIo, Transport, fanout,
    idle, relay, requests, stall, stalled, stream,
};
use crosspoint_net::client::{Endpoint, host};
use crosspoint_net::tls::Fingerprint;
use crosspoint_net::tls::client::{ClientTls, HandshakeError, Trust};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::time::Duration;

/// The command, its workloads and their flags.
pub(crate) fn command() -> Command {
    let workload = |name: &'static str, about: &'static str| {
        let command = Command::new(name)
            .about(about)
            .arg(
                Arg::new("hub")
                    .long("hub")
                    .value_name("ADDRESS")
                    .value_parser(value_parser!(Place))
                    .help(
                        "The hub or other server: HOST:PORT, tcp:// or tls://HOST:PORT, with \
                         anysocket and socketio also ws:// or wss://HOST:PORT; if not given, a hub is started for \
                         the run",
                    ),
            )
            .arg(
                Arg::new("protocol")
                    .long("protocol")
                    .value_parser([
                        "native",
                        "encrypted",
                        "joint",
                        "anysocket",
                        "socketio",
                        "socketio2",
                    ])
                    .default_value("native")
                    .help(
                        "The protocol to speak; a peote-server speaks joint, encrypted is native with \
                         encryption from end to end, socketio is that of socket.io-client 3 and 4 with \
                         socket.io-p2p-plugin, and socketio2 that of socket.io-client 2 with it",
                    ),
            )
            .arg(
                Arg::new("auth")
                    .long("auth")
                    .value_name("JSON")
                    .value_parser(json)
                    .help("What an AnySocket server wants to see from those who connect"),
            )
            .arg(
                Arg::new("token")
                    .long("token")
                    .value_name("TOKEN")
                    .conflicts_with("auth")
                    .help(
                        "What the hub asks for: its access token, NAME:SECRET, or a signed token; \
                         joint cannot present any",
                    ),
            )
            .arg(
                Arg::new("json")
                    .long("json")
                    .action(ArgAction::SetTrue)
                    .help("Print the result as JSON"),
            )
            .arg(
                Arg::new("tls")
                    .long("tls")
                    .action(ArgAction::SetTrue)
                    .conflicts_with_all(["hub", "tls-pin", "tls-roots"])
                    .help("Connect with TLS to the hub that is started for the run"),
            );
        client_tls::add_arguments(command)
    };
    let seconds = || number("seconds", "3", "Seconds measured, after one second of warm-up");
    let timed = |command: Command| {
        command.arg(number("payload", "64", "Data bytes of a message")).arg(seconds())
    };
    let fanout = workload("fanout", "One sender broadcasts to many receivers: deliveries a second")
        .arg(number("receivers", "100", "Number of receivers"));
    let relay = workload("relay", "Round trips from a member over the hub to the owner and back")
        .arg(number("in-flight", "1", "Requests under way at any time"));
    let stall =
        workload("stall", "Broadcasts at a fixed rate, without and with a member that never reads")
            .arg(number("members", "1000", "Number of members"))
            .arg(number("rate", "1000", "Broadcasts a second"));
    let requests = workload(
        "requests",
        "Requests that another client answers over the hub, or the application of an AnySocket \
         server",
    )
    .arg(number("in-flight", "64", "Requests of each pair under way at any time"))
    .arg(pairs("pairs", "Pairs of clients at the same time"));
    let window = || {
        Arg::new("window")
            .long("window")
            .value_name("BYTES")
            .value_parser(value_parser!(u32).range(32_768..=1 << 30))
            .default_value("524288")
            .help(
                "Bytes that the sender may be ahead of the receiver; with socketio it is always one \
                 chunk of 64 KiB",
            )
    };
    let pid = || {
        Arg::new("pid")
            .long("pid")
            .value_parser(value_parser!(u32).range(1..))
            .help("The hub's process, where --hub is given")
    };
    let stream =
        workload("stream", "Bytes from one client over the hub to another: bytes a second")
            .arg(window())
            .arg(pairs("streams", "Streams at the same time"))
            .arg(seconds());
    let stalled = workload("stalled", "Streams whose receivers have stopped: memory for each")
        .arg(number("streams", "200", "Number of streams"))
        .arg(window())
        .arg(pid());
    let idle = workload("idle", "Many quiet connections: the hub's memory for each")
        .arg(number("connections", "10000", "Number of connections"))
        .arg(pid());
    Command::new("bench")
        .about("Measure a hub")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(timed(fanout))
        .subcommand(timed(relay))
        .subcommand(timed(requests))
        .subcommand(stream)
        .subcommand(timed(stall))
        .subcommand(stalled)
        .subcommand(idle)
}

/// A text that is JSON.
fn json(text: &str) -> Result<String, String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("is no JSON: {error}; a text needs quotation marks")),
    }
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .value_parser(value_parser!(u32).range(1..=10_000_000))
        .default_value(default)
        .help(help)
}

/// How many do the same at the same time, which takes two threads for each.
fn pairs(name: &'static str, help: &'static str) -> Arg {
    number(name, "1", help).value_parser(value_parser!(u32).range(1..=1000))
}

/// How the server at this address is spoken to.
fn dialect(target: &Target, matches: &ArgMatches) -> Result<Box<dyn Dialect>, Failure> {
    let transport = target.transport.clone();
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let token = text("token");
    let bytes = token.clone().map(|token| token.into_bytes().into());
    Ok(match text("protocol").as_deref() {
        Some("joint") if token.is_some() => {
            return Err(Failure::Setup(
                "the joint protocol cannot present a token; choose another --protocol".to_owned(),
            ));
        }
        Some("joint") => Box::new(Joint::new(transport)),
        Some("encrypted") => Box::new(Encrypted::new(transport).with_token(bytes)),
        Some("anysocket") => {
            let token = token.map(|token| serde_json::Value::from(token).to_string());
            let detected = AnySocket::detect(transport, text("auth").or(token));
            Box::new(detected.map_err(|error| target.failed(error))?)
        }
        Some("socketio") => Box::new(SocketIo::new(transport).with_token(token)),
        Some("socketio2") => Box::new(SocketIo::older(transport).with_token(token)),
        _ => Box::new(Native::new(transport).with_token(bytes)),
    })
}

/// Runs a workload and prints what came out.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((workload, matches)) = matches.subcommand() else {
        unreachable!("clap demands a workload");
    };
    let target = Target::of(matches)?;
    let dialect = dialect(&target, matches)?;
    let count = |name: &str| matches.get_one::<u32>(name).copied().unwrap_or_default();
    let size = |name: &str| count(name) as usize;
    let seconds = || Duration::from_secs(count("seconds").into());
    let bar = bar();
    let mut progress = |done: f64, doing: &str| {
        bar.set_position((done * 1000.0) as u64);
        bar.set_message(doing.to_owned());
    };
    let wrong = |error: BenchError| target.failed(error);
    let json = matches.get_flag("json");
    match workload {
        "fanout" => {
            let plan = fanout::Plan {
                receivers: size("receivers"),
                payload: size("payload"),
                duration: seconds(),
                ..fanout::Plan::default()
            };
            let report = fanout::run(&*dialect, &plan, &mut progress).map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                row(text, "deliveries", &rate(report.deliveries_per_second));
                row(text, "data", &format!("{:.0} MB/s", report.bytes_per_second / 1e6));
                row(text, "missing", &report.missing.to_string());
            })
        }
        "relay" => {
            let plan = relay::Plan {
                in_flight: size("in-flight"),
                payload: size("payload"),
                duration: seconds(),
                ..relay::Plan::default()
            };
            let report = relay::run(&*dialect, &plan, &mut progress).map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                row(text, "round trips", &rate(report.round_trips_per_second));
                latency(text, &report.latency);
            })
        }
        "stall" => {
            let plan = stall::Plan {
                members: size("members"),
                rate: count("rate"),
                payload: size("payload"),
                duration: seconds(),
                ..stall::Plan::default()
            };
            let report = stall::run(&*dialect, &plan, &mut progress).map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                for (name, part) in
                    [("all read", &report.all_read), ("one stalled", &report.one_stalled)]
                {
                    text.push_str(&format!("{name}:\n"));
                    row(text, "broadcasts", &rate(part.sent_per_second));
                    latency(text, &part.latency);
                    row(text, "missing", &part.missing.to_string());
                }
            })
        }
        "requests" => {
            let plan = requests::Plan {
                in_flight: size("in-flight"),
                payload: size("payload"),
                duration: seconds(),
                ..requests::Plan::default()
            };
            let report = requests::run_many(&*dialect, &plan, size("pairs"), &mut progress)
                .map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                row(text, "requests", &rate(report.requests_per_second));
                latency(text, &report.latency);
            })
        }
        "stream" => {
            let plan = stream::Plan {
                window: count("window"),
                duration: seconds(),
                ..stream::Plan::default()
            };
            let report = stream::run_many(&*dialect, &plan, size("streams"), &mut progress)
                .map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                row(text, "data", &format!("{:.0} MB/s", report.bytes_per_second / 1e6));
            })
        }
        "stalled" => {
            let plan = stalled::Plan {
                streams: size("streams"),
                window: count("window"),
                ..stalled::Plan::new(target.process(matches)?)
            };
            let report = stalled::run(&*dialect, &plan, &mut progress).map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                row(
                    text,
                    "memory",
                    &format!("{:.0} bytes for each stream", report.bytes_per_stream),
                );
                row(text, "in all", &format!("{:.1} MB", report.resident_after as f64 / 1e6));
            })
        }
        "idle" => {
            let plan = idle::Plan {
                connections: size("connections"),
                state: dialect.idle_state(),
                ..idle::Plan::new(target.process(matches)?)
            };
            let report = idle::run(&*dialect, &plan, &mut progress).map_err(wrong)?;
            bar.finish_and_clear();
            print(json, &report, |report, text| {
                row(
                    text,
                    "memory",
                    &match report.bytes_per_connection {
                        Some(bytes) => format!("{bytes:.0} bytes for each connection"),
                        None => "not known: the hub used again what earlier connections had left; \
                                 start it afresh"
                            .into(),
                    },
                );
                row(text, "in all", &format!("{:.1} MB", report.resident_after as f64 / 1e6));
                row(text, "opened", &rate(report.opened_per_second));
            })
        }
        _ => unreachable!("clap knows the workloads"),
    }
}

/// Where a server is, as `--hub` says.
#[derive(Debug, Clone)]
struct Place(Endpoint);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Endpoint>() {
            Ok(endpoint @ Endpoint::Tcp { .. }) => Ok(Self(endpoint)),
            Ok(Endpoint::WebSocket { path, .. }) if path != "/" => {
                Err(format!("bench connects to no path of a server; leave {path} out"))
            }
            Ok(endpoint @ Endpoint::WebSocket { .. }) => Ok(Self(endpoint)),
            Ok(_) => {
                Err("bench connects over TCP only; write HOST:PORT or tls://HOST:PORT, where \
                          the hub listens too"
                    .to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Place {
    /// The way there, for a protocol of the load generator.
    fn transport(&self, protocol: &str, matches: &ArgMatches) -> Result<Transport, Failure> {
        let (authority, tls) = match &self.0 {
            Endpoint::WebSocket { authority, tls, .. } if !is_over_websocket(protocol) => {
                let scheme = if tls.is_some() { "tls" } else { "tcp" };
                return Err(Failure::Setup(format!(
                    "bench speaks {protocol} without WebSocket: write --hub {scheme}://{authority}"
                )));
            }
            Endpoint::Tcp { authority, tls } | Endpoint::WebSocket { authority, tls, .. } => {
                (authority, tls.is_some())
            }
            other => return Err(Failure::Setup(format!("bench cannot connect to {other}"))),
        };
        let found = authority
            .to_socket_addrs()
            .map_err(|error| format!("{authority} cannot be looked up: {error}"))?
            .next();
        let address = found.ok_or_else(|| format!("{authority} has no address"))?;
        if !tls {
            client_tls::refuse_without_tls(matches, &self.0, "tls:// or wss://")?;
            return Ok(address.into());
        }
        let transport = Transport::with_tls(address, host(authority), &client_tls::read(matches)?);
        transport.map_err(|error| Failure::Setup(error.to_string()))
    }
}

/// Whether a protocol is spoken inside of WebSocket.
fn is_over_websocket(protocol: &str) -> bool {
    matches!(protocol, "anysocket" | "socketio" | "socketio2")
}

/// Whom to measure.
struct Target {
    transport: Transport,
    /// How people write it.
    name: String,
    child: Option<Hub>,
}

/// A hub that was started for the run, and ends with it.
struct Hub(Child);

impl Drop for Hub {
    fn drop(&mut self) {
        // It has ended by itself if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Target {
    fn of(matches: &ArgMatches) -> Result<Self, Failure> {
        if let Some(place) = matches.get_one::<Place>("hub") {
            let protocol = matches.get_one::<String>("protocol").map_or("", String::as_str);
            let transport = place.transport(protocol, matches)?;
            return Ok(Self { transport, name: place.0.to_string(), child: None });
        }
        let tls = matches.get_flag("tls");
        if !tls {
            client_tls::refuse_without_tls(matches, "the hub of this run", "--tls")?;
        }
        let wrong = |error: std::io::Error| format!("no hub could be started: {error}");
        let program = std::env::current_exe().map_err(wrong)?;
        let mut child = std::process::Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(tls.then_some("--tls-dev"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(wrong)?;
        let output = child.stdout.take();
        let child = Some(Hub(child));
        let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
        let mut lines = lines.map_while(Result::ok);
        let address: Option<SocketAddr> =
            lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok());
        let address =
            address.ok_or_else(|| "the hub that was started does not listen".to_owned())?;
        if !tls {
            return Ok(Self { transport: address.into(), name: format!("tcp://{address}"), child });
        }
        let pin = lines.find_map(|line| {
            let (_, fingerprint) = line.split_once("with the fingerprint ")?;
            fingerprint.parse::<Fingerprint>().ok()
        });
        let pin = pin.ok_or_else(|| "the hub that was started serves no TLS".to_owned())?;
        let how = ClientTls { trust: Trust::Pinned(pin), ..client_tls::read(matches)? };
        let transport = Transport::with_tls(address, &address.ip().to_string(), &how);
        let transport = transport.map_err(|error| error.to_string())?;
        Ok(Self { transport, name: format!("tls://{address}"), child })
    }

    /// Why there is no result, and what to do about it.
    fn failed(&self, error: BenchError) -> Failure {
        Failure::Run(match &error {
            BenchError::Tls { source, .. } if let Some(wrong) = HandshakeError::find(source) => {
                format!("no connection to {}: {wrong}{}", self.name, client_tls::advice(wrong))
            }
            BenchError::Io { source, .. }
                if self.name.starts_with("tcp://") && is_end(source.kind()) =>
            {
                format!(
                    "{error}; {} closed the connection: if a hub is there, its log says why; it \
                     may take TLS only (tls://)",
                    self.name
                )
            }
            error => error.to_string(),
        })
    }
}

impl Target {
    /// The hub's process, to read its memory.
    fn process(&self, matches: &ArgMatches) -> Result<u32, Failure> {
        match (matches.get_one::<u32>("pid"), &self.child) {
            (Some(pid), _) => Ok(*pid),
            (None, Some(child)) => Ok(child.0.id()),
            (None, None) => {
                Err(Failure::Setup("say which process the hub is: --pid PID".to_owned()))
            }
        }
    }
}

/// Whether the other side has ended the connection.
fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1000);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn print<T: Serialize>(
    json: bool,
    report: &T,
    describe: impl FnOnce(&T, &mut String),
) -> Result<(), Failure> {
    let mut text = String::new();
    if json {
        text = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
        text.push('\n');
    } else {
        describe(report, &mut text);
    }
    let shown = std::io::stdout().write_all(text.as_bytes());
    shown.map_err(|error| format!("the result cannot be shown: {error}").into())
}

fn row(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("{name:<12} {value}\n"));
}

fn rate(per_second: f64) -> String {
    match per_second {
        1e6.. => format!("{:.2} M/s", per_second / 1e6),
        1e3.. => format!("{:.1} k/s", per_second / 1e3),
        _ => format!("{per_second:.0} /s"),
    }
}

fn latency(text: &mut String, latency: &Latency) {
    let Latency { p50, p90, p99, p999, max, .. } = latency;
    row(
        text,
        "latency",
        &format!(
            "p50 {p50:.0} us, p90 {p90:.0} us, p99 {p99:.0} us, p99.9 {p999:.0} us, most {max:.0} us"
        ),
    );
}
