//! Nodes that listen themselves, without a hub between, and nodes with several connections.

use crate::common::{end, said};
use crosspoint::{
    ChannelError, ChannelOptions, ConnectError, EnterOptions, Identity, Incoming, Node,
    NodeBuilder, Peer, PeerError, Reason, Request, Shape,
};
use std::net::SocketAddr;

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn builder(name: &str) -> NodeBuilder {
    let name = name.to_owned();
    Node::builder().name(name.clone()).handle("name", move |_: Request| {
        let name = name.clone();
        async move { Ok(name) }
    })
}

async fn listening(name: &str) -> (Node, Incoming) {
    let node = builder(name).listen(anywhere()).await.unwrap();
    let incoming = node.incoming();
    (node, incoming)
}

async fn name(peer: &Peer) -> String {
    let name = peer.request("").method("name").await.unwrap().data;
    String::from_utf8(name.to_vec()).unwrap()
}

#[tokio::test]
async fn a_pair_without_a_hub_is_symmetric_over_each_transport() {
    let (ann, mut incoming) = listening("Ann").await;
    let further = ann.listen_on(anywhere()).unwrap();
    assert_eq!(ann.addresses()[1..], [further]);
    let first = ann.addresses()[0];
    let ways = [
        format!("tcp://{first}").parse().unwrap(),
        format!("ws://{further}/any/path").parse().unwrap(),
        ann.inside(Shape::default()).unwrap(),
    ];
    for way in ways {
        let bob = builder("Bob").connect(way).await.unwrap();
        let to_ann = bob.neighbour().await.unwrap();
        let to_bob = incoming.next().await.unwrap();
        assert_eq!((to_ann.id(), to_bob.id()), (ann.peer_id(), bob.peer_id()));
        to_ann.send("from bob").await.unwrap();
        to_bob.send("from ann").await.unwrap();
        assert_eq!(said(&to_bob).await.data, "from bob");
        assert_eq!(said(&to_ann).await.data, "from ann");
        assert_eq!((name(&to_ann).await, name(&to_bob).await), ("Ann".into(), "Bob".into()));
        // The one who listens can open links as well.
        let mut to_bobs = bob.incoming();
        let again = ann.peer("Bob").await.unwrap();
        let back = to_bobs.next().await.unwrap();
        assert_eq!(back.id(), ann.peer_id());
        assert_eq!(name(&again).await, "Bob");
        bob.close().await;
        assert_eq!(end(&to_bob).await, Reason::Left);
    }
    assert_eq!(ann.neighbour().await, Err(PeerError::NoNeighbour));
}

#[tokio::test]
async fn visitors_reach_the_node_and_nothing_else() {
    let (ann, _incoming) = listening("Ann").await;
    let address = format!("tcp://{}", ann.addresses()[0]);
    let bob = builder("Bob").connect(&address).await.unwrap();
    let cid = builder("Cid").connect(&address).await.unwrap();
    let refused = PeerError::Refused(Reason::NotAllowed);
    assert_eq!(bob.peer("Cid").await, Err(refused.clone()));
    assert_eq!(bob.peer(cid.peer_id()).await, Err(refused.clone()));
    assert_eq!(bob.find("Cid").await, Err(refused.clone()));
    assert_eq!(bob.watch().await.unwrap_err(), refused.clone());
    assert_eq!(bob.provide("math").await, Err(refused));
    let refused = ChannelError::Refused(Reason::NotAllowed);
    let created = bob.create("game", ChannelOptions::new()).await;
    assert_eq!(created.unwrap_err(), refused);
    let entered = bob.enter("room", EnterOptions::new().room()).await;
    assert_eq!(entered.unwrap_err(), refused);
    assert_eq!(bob.neighbour().await.unwrap().id(), ann.peer_id());
}

#[tokio::test]
async fn a_token_keeps_strangers_out() {
    let ann = builder("Ann").token("secret").listen(anywhere()).await.unwrap();
    let address = format!("tcp://{}", ann.addresses()[0]);
    for stranger in [builder("Bob"), builder("Bob").token("secrex")] {
        match stranger.connect(&address).await {
            Err(ConnectError::Refused { reason: Reason::NotAllowed, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let bob = builder("Bob").token("secret").connect(&address).await.unwrap();
    assert_eq!(name(&bob.neighbour().await.unwrap()).await, "Ann");
}

#[tokio::test]
async fn an_address_in_use_and_a_node_that_does_not_listen_are_told() {
    let (ann, _incoming) = listening("Ann").await;
    let used = ann.addresses()[0];
    for listened in [builder("Bob").listen(used).await.map(drop), ann.listen_on(used).map(drop)] {
        match listened {
            Err(ConnectError::Listen { address, .. }) => assert_eq!(address, used),
            other => panic!("{other:?}"),
        }
    }
    let bob = builder("Bob").connect(format!("tcp://{used}")).await.unwrap();
    assert!(matches!(bob.listen_on(anywhere()), Err(ConnectError::NoListener)));
    assert!(bob.addresses().is_empty() && bob.inside(Shape::default()).is_none());
}

#[tokio::test]
async fn a_node_listens_and_connects_at_once_with_one_identity() {
    let (ann, mut to_ann) = listening("Ann").await;
    let identity = Identity::generate().unwrap();
    let id = identity.peer_id();
    let bob = builder("Bob").identity(identity).listen(anywhere()).await.unwrap();
    let mut to_bob = bob.incoming();
    let joined = bob.join(format!("tcp://{}", ann.addresses()[0])).await.unwrap();
    assert_eq!((bob.peer_id(), joined.peer_id()), (id, id));

    // Links of both connections come to the same place, and the same handlers answer.
    let from_ann = ann.peer(id).await.unwrap();
    let by_ann = to_bob.next().await.unwrap();
    assert_eq!(by_ann.id(), ann.peer_id());
    let cid = builder("Cid").connect(format!("ws://{}/", bob.addresses()[0])).await.unwrap();
    let from_cid = cid.neighbour().await.unwrap();
    let by_cid = to_bob.next().await.unwrap();
    assert_eq!(by_cid.id(), cid.peer_id());
    assert_eq!((name(&from_ann).await, name(&from_cid).await), ("Bob".into(), "Bob".into()));
    let from_bob = joined.neighbour().await.unwrap();
    assert_eq!(name(&from_bob).await, "Ann");
    let by_bob = to_ann.next().await.unwrap();
    assert_eq!(by_bob.id(), id);

    // The incoming links end with the last connection.
    joined.close().await;
    assert_eq!(from_ann.closed().await, Reason::Left);
    let again = cid.neighbour().await.unwrap();
    assert!(to_bob.next().await.is_some());
    drop(again);
    bob.close().await;
    assert!(to_bob.next().await.is_none());
}

#[tokio::test]
async fn closing_and_dropping_a_node_stops_its_listener() {
    let (ann, incoming) = listening("Ann").await;
    let address = format!("tcp://{}", ann.addresses()[0]);
    let bob = builder("Bob").connect(&address).await.unwrap();
    let to_ann = bob.neighbour().await.unwrap();
    ann.close().await;
    // The node goes before its hub.
    assert_eq!(end(&to_ann).await, Reason::Left);
    assert_eq!(bob.closed().await, Reason::HubStopping);
    assert!(builder("Cid").connect(&address).await.is_err());
    drop(incoming);

    let (ann, incoming) = listening("Ann").await;
    let address = format!("tcp://{}", ann.addresses()[0]);
    let bob = builder("Bob").connect(&address).await.unwrap();
    drop((ann, incoming));
    assert_eq!(bob.closed().await, Reason::HubStopping);
}
