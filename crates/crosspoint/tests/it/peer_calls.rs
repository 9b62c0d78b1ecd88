//! Typed calls of `#[remote]` traits over links.

use crate::common::{Pair, end, event, pair, said};
use crosspoint::remote::{CallError, Malicious, Origin, TransportError};
use crosspoint::{Peer, PeerEvent, Reason};

#[crosspoint::remote]
trait Game {
    fn add(&mut self, a: i32, b: i32) -> i32;
    fn whoami(&mut self, #[remote(caller)] caller: Origin) -> String;
    fn note(&mut self, line: String);
    fn notes(&mut self) -> Vec<String>;
}

#[derive(Default)]
struct Board(Vec<String>);

impl Game for Board {
    fn add(&mut self, a: i32, b: i32) -> i32 {
        a + b
    }
    fn whoami(&mut self, caller: Origin) -> String {
        caller.to_string()
    }
    fn note(&mut self, line: String) {
        self.0.push(line);
    }
    fn notes(&mut self) -> Vec<String> {
        self.0.clone()
    }
}

/// Waits until an object is announced, and then lets the peer serve.
async fn announced(peer: &Peer) -> u8 {
    match event(peer).await {
        PeerEvent::Announced { object } => object,
        other => panic!("{other:?}"),
    }
}

fn serve(peer: &Peer) {
    let peer = peer.clone();
    tokio::spawn(async move { while peer.next().await.is_some() {} });
}

#[tokio::test(start_paused = true)]
async fn both_sides_call_each_others_objects() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    for peer in [&to_bob, &to_ann] {
        peer.register(7, GameDispatch::new(Board::default())).unwrap();
        assert!(peer.register(7, GameDispatch::new(Board::default())).is_err());
    }
    for peer in [&to_bob, &to_ann] {
        assert_eq!(announced(peer).await, 7);
        serve(peer);
    }
    for peer in [&to_bob, &to_ann] {
        let game = GameCaller::new(peer.calls(), 7);
        assert_eq!(game.add(20, 22).await, Ok(42));
        assert_eq!(game.whoami().await, Ok("peer".to_owned()));
        game.note("one".to_owned()).unwrap();
        game.note("two".to_owned()).unwrap();
        assert_eq!(game.notes().await, Ok(vec!["one".to_owned(), "two".to_owned()]));
        let nothing = GameCaller::new(peer.calls(), 8);
        assert_eq!(nothing.add(1, 2).await, Err(CallError::UnknownObject { object: 8 }));
    }
    // Messages, requests and calls share the link.
    assert!(to_bob.unregister(7).is_some());
    let game = GameCaller::new(to_ann.calls(), 7);
    assert_eq!(game.add(1, 2).await, Err(CallError::UnknownObject { object: 7 }));
}

#[tokio::test(start_paused = true)]
async fn calls_end_with_their_link() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let game = GameCaller::new(to_bob.calls(), 0);
    let waiting = tokio::spawn({
        let game = game.clone();
        async move { game.add(1, 2).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    to_ann.close().await;
    assert_eq!(waiting.await.unwrap(), Err(CallError::Transport(TransportError::Closed)));
    assert_eq!(game.add(1, 2).await, Err(CallError::Transport(TransportError::Closed)));
    assert_eq!(end(&to_bob).await, Reason::Left);
    let late = GameCaller::new(to_ann.calls(), 0);
    assert_eq!(late.add(1, 2).await, Err(CallError::Transport(TransportError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_proper_call_is_malicious_and_harms_nothing() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let game = GameCaller::new(to_bob.calls(), 3);
    game.note("for nobody".to_owned()).unwrap();
    match event(&to_ann).await {
        PeerEvent::Malicious(Malicious::UnknownObject { object: 3, .. }) => {}
        other => panic!("{other:?}"),
    }
    to_bob.send("still here").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "still here");
}
