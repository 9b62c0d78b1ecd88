//! Nodes that come back by themselves after a lost connection.

use crosspoint::{ChannelOptions, Connectivity, EnterOptions, HubOptions, MemberEvent, Node};
use crosspoint::{Hub, Reason, ServerOptions, Shape};
use crosspoint::{OwnerEvent, Server};
use crosspoint_auth::{Denied, from_fn};
use crosspoint_hub::Grant;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Hands connections on to a hub until it is aborted, which cuts them.
pub(crate) async fn relay(to: SocketAddr) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await
            && let Ok(mut far) = TcpStream::connect(to).await
            && copy_bidirectional(&mut near, &mut far).await.is_ok()
        {}
    });
    Ok((address, task))
}

#[tokio::test]
async fn a_node_comes_back_over_another_transport_and_nothing_has_happened() {
    let hub = Server::new(HubOptions::default());
    let direct = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let (near, way) = relay(direct).await.unwrap();

    let ann = Node::builder().name("Ann");
    let ann = ann.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    let ann = ann.resume_at(format!("ws://{direct}").parse().unwrap());
    let ann = ann.connect(format!("tcp://{near}")).await.unwrap();
    let mut owner = ann.create("game", ChannelOptions::new()).await.unwrap();

    let bob = Node::connect(format!("tcp://{direct}")).await.unwrap();
    let mut member = bob.enter("game", EnterOptions::new()).await.unwrap();
    assert!(matches!(owner.next().await, Some(OwnerEvent::Entered { .. })));
    let to_ann = bob.peer("Ann").await.unwrap();
    assert_eq!(to_ann.call::<i32>("add", &(1, 2)).await.unwrap(), 3);

    way.abort();
    let _cut = way.await;
    // Said while nobody can hear it.
    owner.broadcast("still there?", None).await.unwrap();
    member.send("yes").await.unwrap();
    assert_eq!(to_ann.call::<i32>("add", &(3, 4)).await.unwrap(), 7);

    // The hub may or may not have noticed the loss before Ann was back.
    let told = loop {
        match member.next().await {
            Some(MemberEvent::OwnerAway | MemberEvent::OwnerBack) => {}
            told => break told,
        }
    };
    let data = "still there?".into();
    assert_eq!(told, Some(MemberEvent::Message { from: None, data }));
    let Some(OwnerEvent::Message { data, .. }) = owner.next().await else { panic!("no message") };
    assert_eq!(data, "yes");
    let states = ann.connectivity().expect("it was asked to come back");
    assert!(matches!(*states.borrow(), Connectivity::Connected));
    assert!(bob.connectivity().is_none());
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_credentials_expire_hears_so_and_has_nothing_to_come_back_to() {
    let check = from_fn(|_| {
        let lasts = Some(Duration::from_secs(60));
        std::future::ready(Ok::<_, Denied>(Grant { lasts, ..Grant::default() }))
    });
    let options = ServerOptions { authenticator: Some(Arc::new(check)), ..Default::default() };
    let hub = Server::with_hub(Hub::new(HubOptions::default()), options);
    let begun = tokio::time::Instant::now();
    let ann = Node::builder().resume().connect(hub.inside(Shape::default())).await.unwrap();
    assert_eq!(ann.closed().await, Reason::Expired);
    assert_eq!(begun.elapsed().as_secs(), 60);
    let mut states = ann.connectivity().expect("it was asked to come back");
    states.wait_for(|state| matches!(state, Connectivity::Ended)).await.unwrap();
    assert_eq!(hub.hub().sessions(), 0);
}
