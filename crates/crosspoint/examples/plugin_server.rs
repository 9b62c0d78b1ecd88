//! What was a node program around the server of socket.io-p2p-plugin, in Rust: services, streams in both directions, and
//! orders that wait for clients who are absent, over any end of this program.
//!
//! `cargo run -p crosspoint --example plugin_server -- orders.redb`, and clients connect to `http://127.0.0.1:7680`.

use crosspoint::socketio::store::Bounds;
use crosspoint::socketio::{Acknowledged, Application, Args, Call, Letter, Mailbox, StreamOptions};
use crosspoint::{Failure, HubOptions, Server, Shape};
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::AsyncWriteExt;

type Boxed = Box<dyn Error + Send + Sync>;

#[tokio::main]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Boxed> {
    let file = std::env::args().nth(1).ok_or("the file for orders, please")?;
    let office = Office::open("127.0.0.1:7680".parse()?, Path::new(&file)).await?;
    println!("clients connect to http://{}", office.address);
    office.program.closed().await;
    Ok(())
}

/// The hub and its program.
pub(crate) struct Office {
    pub(crate) address: SocketAddr,
    hub: Server,
    program: Application,
}

impl Office {
    pub(crate) async fn open(listen: SocketAddr, file: &Path) -> Result<Self, Boxed> {
        let hub = Server::new(HubOptions::default());
        let program = Application::builder()
            .mailbox(Mailbox::file(file, Bounds::default()))
            .on_ack("done", |done: Acknowledged| async move {
                println!("{} has done {}", done.by, done.args.json());
            })
            .connect(hub.inside(Shape::default()))
            .await?;
        serve(&program).await?;
        // Only now, so that no client comes before the services are there.
        let address = hub.listen(listen)?;
        Ok(Self { address, hub, program })
    }

    #[allow(dead_code, reason = "a test calls it")]
    pub(crate) async fn close(self) {
        self.program.close().await;
        self.hub.stop().await;
    }
}

async fn serve(program: &Application) -> Result<(), Boxed> {
    // `client.useApi('greet', 'Ann', text => …)`
    program
        .provide("greet", |call: Call| async move {
            let (name,): (String,) = call.read()?;
            args(&[format!("hello, {name}")])
        })
        .await?;

    // `client.useApi('order', 'bob', {…}, number => …)`: bob gets the event `job`, today or another day.
    let orders = program.clone();
    let order = move |call: Call| {
        let orders = orders.clone();
        async move {
            let (to, what): (String, serde_json::Value) = call.read()?;
            let job = Letter::new("job", args(&[&what])?).on_ack("done", args(&[&what])?);
            let kept = orders.emit_persistent(&to, &job).await;
            let kept = kept.map_err(|error| Failure::new(1000, error.to_string()))?;
            args(&[kept.number()])
        }
    };
    program.provide("order", order).await?;

    // `client.useApi('download')`: a stream in the channel `files` comes to the client that asks.
    let files = program.clone();
    let download = move |call: Call| {
        let files = files.clone();
        async move {
            let to = call.from().name.clone().ok_or(Failure::new(1001, "who are you?"))?;
            let options = StreamOptions::new().channel("files").args(args(&["poem.txt"])?);
            let sent = async {
                let mut stream = files.open(&to, options).await?;
                for _ in 0..1000 {
                    stream.write_all(b"roses are red, violets are blue\n").await?;
                }
                stream.shutdown().await?;
                Ok::<_, Boxed>(())
            };
            sent.await.map_err(|error| Failure::new(1002, error.to_string()))?;
            Ok(Args::new())
        }
    };
    program.provide("download", download).await?;

    // `client.addP2pStream('echo', {})`: all that comes goes back.
    program.provide("echo", |_| async { Ok(Args::new()) }).await?;
    let mut streams = program.streams();
    tokio::spawn(async move {
        while let Some(offer) = streams.next().await {
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(offer.accept());
                // The client may end it at any time.
                if tokio::io::copy(&mut from, &mut to).await.is_ok() {
                    let _ = to.shutdown().await;
                }
            });
        }
    });
    Ok(())
}

fn args(values: &(impl serde::Serialize + ?Sized)) -> Result<Args, Failure> {
    Args::of(values).map_err(|error| Failure::new(Failure::FAILED, error.to_string()))
}
