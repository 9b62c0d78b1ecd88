//! Requests through a hub: to a peer by its name, to a service of several workers, and back to the
//! one who asks.
//!
//! `cargo run -p crosspoint --example requests`

use crosspoint::{Failure, HubOptions, Node, Request, RequestError, Server};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    dish: String,
    count: u32,
}

/// The code of this application for an empty order.
const EMPTY_ORDER: u32 = 1000;

async fn cook(address: &str, name: &'static str) -> Result<Node, Box<dyn Error>> {
    let cook = Node::builder().name(name).serve("kitchen.cook", |order: Order| async move {
        match order.count {
            0 => Err(Failure::new(EMPTY_ORDER, "how many?")),
            count => Ok(format!("{count} x {}", order.dish)),
        }
    });
    let cook = cook.connect(address).await?;
    cook.provide("kitchen").await?;
    Ok(cook)
}

/// Gives what the guest hears.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let hub = Server::new(HubOptions::default());
    let address = format!("tcp://{}", hub.listen("127.0.0.1:0".parse()?)?);
    let _cooks = (cook(&address, "Carl").await?, cook(&address, "Cora").await?);

    // The waiter asks the guest back, over the link that the guest has opened.
    let waiter = Node::builder().name("Wilma").handle("order", |request: Request| async move {
        let wish = request.peer().call::<String>("wish", &()).await;
        wish.map_err(|error| Failure::new(Failure::FAILED, error.to_string()))
    });
    let _waiter = waiter.connect(&address).await?;

    let guest = Node::builder().name("Gus").serve("wish", |(): ()| async { Ok("soup") });
    let guest = guest.connect(&address).await?;
    let mut heard = Vec::new();
    let wilma = guest.peer("Wilma").await?;
    let dish = wilma.call::<String>("order", &()).await?;

    // Whichever cook has the least to do. If one goes before it has answered, the other one cooks.
    let kitchen = guest.service("kitchen")?;
    for count in [2, 0] {
        let order = Order { dish: dish.clone(), count };
        let cooked = kitchen.call::<String>("kitchen.cook", &order);
        match cooked.timeout(Duration::from_secs(5)).repeatable().await {
            Ok(meal) => heard.push(meal),
            Err(RequestError::Failed(failure)) if failure.code == EMPTY_ORDER => {
                heard.push(failure.message);
            }
            Err(error) => return Err(error.into()),
        }
    }
    hub.stop().await;
    Ok(heard)
}
