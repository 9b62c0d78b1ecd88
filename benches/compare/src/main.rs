//! The same work against this project's hub, other servers and bare sockets, in turns, so that a
//! machine that is busy for a while is busy for all of them.

mod cpu;
mod own_hub;
mod server;
mod table;
mod target;
mod work;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use crosspoint_bench::dialect::IdleState;
use crosspoint_bench::{Dialect, Joint, raise_file_limit};

use server::ServerError;
use table::Table;
use target::{Place, Target};
use work::{Settings, Work};

/// As in the program `crosspoint`, since the own hub is measured as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares hubs by running the same workloads against each of them in turns.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Program of the hub; started as `PATH serve --listen 127.0.0.1:0`.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    hub: PathBuf,

    /// Folder with the servers made with packages from npm, for the targets npm and plugin.
    #[arg(long, value_name = "PATH", default_value = "interop")]
    interop: PathBuf,

    /// A peote server that is already running.
    #[arg(long, value_name = "HOST:PORT")]
    #[arg(value_parser = resolve)]
    perl: Option<SocketAddr>,

    /// Process of that server: needed for its memory in the idle workloads.
    #[arg(long, value_name = "PID", requires = "perl")]
    perl_pid: Option<u32>,

    /// What to compare; if not given, all but tls, anysocket, rooms, npm, socketio and plugin, and perl only
    /// where it is.
    #[arg(long, value_delimiter = ',', value_name = "TARGET,...")]
    targets: Option<Vec<Target>>,

    /// Which workloads to run: fanout-N (receivers), relay-N (in flight), requests-N (in flight) or
    /// requests-NxB (of so many bytes), pairs-PxN (pairs with N in flight each), stream-N (window in KiB),
    /// streams-N (of 512 KiB, at the same time), stall-N (members), idle-N (connections), stalled-N
    /// (streams).
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "WORKLOAD,...",
        default_value = "fanout-1,fanout-100,fanout-1000,relay-1,relay-256,requests-1,requests-64,\
                         requests-64x1024,stream-512,stall-1000,idle-10000,stalled-200"
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

    /// Is the hub of the target anysocket instead of comparing anything.
    #[arg(long, hide = true)]
    own_hub: bool,
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
    #[error("the listener behind the proxy cannot be used: {0}")]
    Listener(io::Error),
    #[error("the own hub cannot serve: {0}")]
    OwnHub(io::Error),
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
    if arguments.own_hub {
        own_hub::run().map_err(CompareError::OwnHub)?;
    }
    let mut targets = arguments.targets.clone().unwrap_or_else(|| {
        let all = Target::value_variants().iter().copied();
        all.filter(|target| target.usual(arguments.perl.is_some())).collect()
    });
    targets.retain(|target| arguments.only.iter().any(|work| target.can(*work)));
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
                let state = IdleState::Connected;
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
        idle_state: IdleState::Member,
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        duration: Duration::from_secs_f64(arguments.seconds),
    };
    let mut table = Table::default();
    for round in 1..=arguments.rounds {
        for &work in &arguments.only {
            for (target, place) in places.iter().filter(|(target, _)| target.can(work)) {
                let fresh;
                let place = if work.wants_fresh_server() && place.is_ours() {
                    fresh = Place::open(*target, arguments)?;
                    &fresh
                } else {
                    place
                };
                let dialect = place.dialect(*target)?;
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
