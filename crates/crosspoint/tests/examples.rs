//! The examples run to their end.

#[path = "../examples/lobby.rs"]
mod lobby;
#[path = "../examples/offline.rs"]
mod offline;
#[path = "../examples/remote.rs"]
mod remote;

#[tokio::test]
async fn the_lobby_is_a_chat() {
    let seen = lobby::run().await.unwrap();
    assert_eq!(seen, ["1 is Bob", "1: hello?", "1: bye!", "1 has gone: left"]);
}

#[tokio::test(start_paused = true)]
async fn offline_has_the_lag_of_a_network() {
    let took = offline::run().await.unwrap().as_millis();
    // Twice the lag, and twice a little for the bytes, in the whole milliseconds of the clock.
    assert_eq!(took, 82);
}

#[tokio::test]
async fn the_remote_board_is_played() {
    let mut lines = remote::run().await.unwrap();
    lines.sort();
    assert_eq!(lines, ["field 4 was free: true, and then: false", "welcome, 0"]);
}
