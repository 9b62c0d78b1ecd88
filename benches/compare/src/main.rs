//! The same work against this project's hub, a NATS server, a Redis server, a peote server and
//! bare sockets, in turns, so that a machine that is busy for a while is busy for all of them.

mod server;
mod table;
mod work;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use crosspoint_bench::{Bare, Dialect, Joint, Native, Nats, Redis, raise_file_limit};

use server::{Server, ServerError};
use table::Table;
use work::{Settings, Work};

/// Compares hubs by running the same workloads against each of them in turns.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Program of the hub; started as `PATH serve --listen 127.0.0.1:0`.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    hub: PathBuf,

    /// A peote server that is already running.
    #[arg(long, value_name = "HOST:PORT")]
    #[arg(value_parser = resolve)]
    perl: Option<SocketAddr>,

    /// Process of that server: needed for its memory in the idle workloads.
    #[arg(long, value_name = "PID", requires = "perl")]
    perl_pid: Option<u32>,

    /// What to compare; all that can be reached if not given.
    #[arg(long, value_delimiter = ',', value_name = "TARGET,...")]
    targets: Option<Vec<Target>>,

    /// Which workloads to run: fanout-N (receivers), relay-N (in flight), stall-N (members),
    /// idle-N (connections).
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "WORKLOAD,...",
        default_value = "fanout-1,fanout-100,fanout-1000,relay-1,relay-256,stall-1000,idle-10000"
    )]
    only: Vec<Work>,

    /// How often each workload meets each target.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Seconds measured in each run.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,

    /// Seconds before measuring in each run.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,

    /// Data bytes of a message.
    #[arg(long, default_value_t = 64)]
    payload: usize,

    /// Broadcasts for each second in the stall workload.
    #[arg(long, default_value_t = 1000)]
    rate: u32,

    /// Bytes on the way to each receiver in the fanout workload.
    #[arg(long, default_value_t = crosspoint_bench::fanout::Plan::default().window)]
    window: usize,

    /// Bytes the sender writes at once in the fanout workload: 1 for each message on its own.
    #[arg(long, default_value_t = crosspoint_bench::fanout::Plan::default().batch)]
    batch: usize,

    /// Receivers in the fanout workload copy what arrives instead of having the system drop it.
    #[arg(long)]
    copy: bool,

    /// First puts 10,000 idle connections and 1,000 channels on the hub.
    #[arg(long)]
    crowd: bool,

    /// Prints the results with all samples as JSON.
    #[arg(long)]
    json: bool,
}

/// Something to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    /// The hub, spoken to over the joint protocol.
    Joint,
    /// The hub, spoken to over its native protocol.
    Native,
    /// NATS server.
    Nats,
    /// Redis server.
    Redis,
    /// Sockets without a server.
    Bare,
    /// Peote server in Perl, given by `--perl`.
    Perl,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Bench(#[from] crosspoint_bench::BenchError),
    #[error("the target perl needs --perl HOST:PORT of a running peote server")]
    NoPerl,
    #[error("the results cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match compare(&arguments) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<String, CompareError> {
    // Servers inherit the limit.
    raise_file_limit()?;
    let targets = arguments.targets.clone().unwrap_or_else(|| {
        let all = Target::value_variants().iter().copied();
        all.filter(|target| *target != Target::Perl || arguments.perl.is_some()).collect()
    });
    let mut places = Vec::new();
    for target in targets {
        let place = Place::open(target, arguments)?;
        places.push((target, place));
    }
    let mut crowds = Vec::new();
    if arguments.crowd {
        for (target, place) in &places {
            if let (Target::Joint | Target::Native, Some(address)) = (target, place.address()) {
                eprintln!("connecting a crowd to {address}");
                let hub = Joint::new(address);
                crowds.push(hub.open_channels(CROWD_CHANNELS)?);
                let state = crosspoint_bench::dialect::IdleState::Connected;
                crowds.push(hub.open_idle(state, CROWD_CONNECTIONS, &mut |_| {})?);
            }
        }
    }
    let settings = Settings {
        payload: arguments.payload,
        rate: arguments.rate,
        window: arguments.window,
        batch: arguments.batch,
        copy: arguments.copy,
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        duration: Duration::from_secs_f64(arguments.seconds),
    };
    let mut table = Table::default();
    for round in 1..=arguments.rounds {
        for &work in &arguments.only {
            for (target, place) in &places {
                let fresh;
                let place = if work.wants_fresh_server() && place.is_ours() {
                    fresh = Place::open(*target, arguments)?;
                    &fresh
                } else {
                    place
                };
                let dialect = place.dialect(*target);
                if !(dialect.has_server() || work.runs_without_server()) {
                    continue;
                }
                let settings = settings.clone().suited_to(*target, work);
                match work.run(&*dialect, &settings, place.pid()) {
                    Ok(measures) => {
                        if let Some(first) = measures.first() {
                            eprintln!(
                                "round {round}/{}: {work} {target:?}: {first}",
                                arguments.rounds
                            );
                        }
                        table.add(work, *target, &measures);
                    }
                    Err(error) => eprintln!("round {round}: {work} {target:?}: {error}"),
                }
            }
        }
    }
    drop(crowds);
    Ok(if arguments.json { serde_json::to_string_pretty(&table.rows())? } else { table.markdown() })
}

const CROWD_CONNECTIONS: usize = 10_000;
const CROWD_CHANNELS: usize = 1_000;

/// Where a target is reached.
enum Place {
    /// A server started for this comparison.
    Ours(Server),
    /// A server that was running before.
    Running(SocketAddr, Option<u32>),
    /// No server at all.
    Nowhere,
}

impl Place {
    fn open(target: Target, arguments: &Arguments) -> Result<Place, CompareError> {
        Ok(match target {
            Target::Joint | Target::Native => Place::Ours(Server::hub(&arguments.hub)?),
            Target::Nats => Place::Ours(Server::nats()?),
            Target::Redis => Place::Ours(Server::redis()?),
            Target::Bare => Place::Nowhere,
            Target::Perl => {
                let address = arguments.perl.ok_or(CompareError::NoPerl)?;
                Place::Running(address, arguments.perl_pid)
            }
        })
    }

    fn is_ours(&self) -> bool {
        matches!(self, Place::Ours(_))
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Place::Ours(server) => Some(server.address()),
            Place::Running(address, _) => Some(*address),
            Place::Nowhere => None,
        }
    }

    fn pid(&self) -> Option<u32> {
        match self {
            Place::Ours(server) => Some(server.pid()),
            Place::Running(_, pid) => *pid,
            Place::Nowhere => None,
        }
    }

    fn dialect(&self, target: Target) -> Box<dyn Dialect> {
        match (self.address(), target) {
            (None, _) | (_, Target::Bare) => Box::new(Bare),
            (Some(address), Target::Joint | Target::Perl) => Box::new(Joint::new(address)),
            (Some(address), Target::Native) => Box::new(Native::new(address)),
            (Some(address), Target::Nats) => Box::new(Nats::new(address)),
            (Some(address), Target::Redis) => Box::new(Redis::new(address)),
        }
    }
}

fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "this name has no address".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds @ 0.0..=3600.0) => Ok(seconds),
        Ok(_) => Err("must be between 0 and 3600".into()),
        Err(error) => Err(error.to_string()),
    }
}
