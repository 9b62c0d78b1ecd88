//! What strangers can write into the log, and how much of it.

use crate::common::http::{ask, get, serve_http};
use crate::common::log::log;
use crate::common::peer::Peer;
use crate::common::{serve, serve_as, until};
use crosspoint_auth::{Denied, from_fn};
use crosspoint_hub::command::{Ban, ChannelCommand, Hello};
use crosspoint_hub::permissions::Rule;
use crosspoint_hub::{Grant, HubOptions, Permissions, Reason};
use crosspoint_net::http::{Files, HttpOptions};
use crosspoint_net::server::ServerOptions;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn denied_credentials_are_a_bounded_number_of_lines_and_do_not_hide_others() {
    let check = from_fn(async |_| Err::<Grant, _>(Denied::new("no")));
    let authenticator = Some(Arc::new(check) as _);
    let options = ServerOptions { authenticator, ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    let log = log();
    for _ in 0..150 {
        let hello = Hello { name: Some("x".into()), ..Hello::default() };
        let mut peer = Peer::introduced(served.memory(), hello);
        assert_eq!(peer.greet().await, Err(Reason::NotAllowed));
    }
    served.empty().await;
    let lines = log.lines();
    assert_eq!(lines.len(), 100, "the end of each session is not said again");
    for line in lines {
        assert_eq!(line.message, "credentials denied");
        assert!(line.fields.contains("name=\"x\" reason=\"no\""), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_access_token_is_one_line_with_the_cause() {
    for (token, cause) in [(None, "it has no token"), (Some("wrong"), "its token is not the one")] {
        let access_token = Some("secret".into());
        let served = serve_as(HubOptions { access_token, ..HubOptions::default() }, <_>::default());
        let log = log();
        let hello =
            Hello { name: Some("x".into()), token: token.map(Into::into), ..Hello::default() };
        let mut peer = Peer::introduced(served.memory(), hello);
        assert_eq!(peer.greet().await, Err(Reason::NotAllowed));
        served.empty().await;
        let lines = log.lines();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(line.message, "credentials denied");
        assert!(line.fields.contains(&format!("name=\"x\" reason=\"{cause}")), "{line:?}");
        assert!(!format!("{line:?}").contains("wrong"), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_let_in_for_a_name_is_named() {
    let served = serve();
    let log = log();
    let hello = Hello { name: Some("Ann".into()), ..Hello::default() };
    let mut ann = Peer::introduced(served.memory(), hello.clone());
    ann.greet().await.unwrap();
    let mut other = Peer::introduced(served.memory(), hello);
    assert_eq!(other.greet().await, Err(Reason::NameTaken));
    until("it is told", || !log.lines().is_empty()).await;
    let lines = log.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line.message, "session closed");
    let said = "name=\"Ann\" reason=the name is taken";
    assert!(line.fields.contains("address=") && line.fields.contains(said), "{line:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_permissions_of_a_session_do_not_cover_is_a_line_for_the_operator() {
    let create = Rule::Nothing;
    let grant =
        Grant { permissions: Permissions { create, ..Permissions::ALL }, ..Grant::default() };
    let check = from_fn(move |_| std::future::ready(Ok::<_, Denied>(grant.clone())));
    let options = ServerOptions { authenticator: Some(Arc::new(check) as _), ..<_>::default() };
    let served = serve_as(HubOptions::default(), options);
    let log = log();
    let hello = Hello { name: Some("Ann".into()), ..Hello::default() };
    let mut peer = Peer::introduced(served.memory(), hello);
    peer.greet().await.unwrap();
    for _ in 0..150 {
        let entered = peer.try_enter_with("lobby", |options| options.make_room = true).await;
        assert_eq!(entered, Err(Reason::NotAllowed));
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 100);
    let said = "name=\"Ann\" by=\"permissions.create\" what=\"lobby\"";
    for line in lines {
        assert!(line.message == "not allowed" && line.fields.contains(said), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_reads_too_slowly_is_named_with_the_limit_and_what_waited() {
    let served = serve();
    let log = log();
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let hello = Hello { name: Some("sleepy".into()), ..Hello::default() };
    let mut member = Peer::introduced(served.cramped(2000), hello);
    member.greet().await.unwrap();
    member.enter("room").await;
    owner.joined().await;
    owner.broadcast(own, &[7; 30_000]).await;
    assert_eq!(owner.left().await.1, Reason::ConnectionLost);
    let lines = log.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for said in ["name=\"sleepy\"", "peer=", "limit=\"outbox_stall_ms_max\"", "waited_bytes=2"] {
        assert!(line.fields.contains(said), "{said}: {line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_tries_tls_first_writes_no_line_and_is_counted() {
    let served = serve();
    let log = log();
    for _ in 0..20 {
        let mut link = served.memory();
        link.send(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
        link.rest().await;
    }
    served.empty().await;
    assert_eq!(log.lines().len(), 0);
    assert_eq!(served.refused_tls(), 20);
    assert_eq!(served.refused(Reason::UnknownProtocol), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ban_by_an_address_that_many_share_says_that_it_is_by_the_id() {
    let served = serve();
    let log = log();
    let mut owner = Peer::native(served.memory()).await;
    let mut member = Peer::native(served.memory()).await;
    for (name, address) in [("by id", false), ("by address", true)] {
        let channel = owner.create(name).await;
        member.enter(name).await;
        let number = owner.joined().await;
        let ban = Some(Ban { time: None, address });
        owner.tell(ChannelCommand::Kick { channel, member: number, ban }).await;
        assert_eq!(owner.left().await, (number, Reason::Banned));
        member.ended().await;
    }
    let lines = log.lines();
    assert!(matches!(&lines[..], [line] if line.message.contains("ban by address")), "{lines:?}");
}

#[tokio::test]
async fn files_that_cannot_be_read_are_a_bounded_number_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
    let files = vec![Files::new("/", folder.path()).unwrap()];
    let served = serve_http(HttpOptions { files, ..HttpOptions::default() });
    let log = log();
    let mut link = served.memory();
    for _ in 0..150 {
        assert_eq!(ask(&mut link, &get("/loop")).await.status, 500);
    }
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| line.message.contains("file")).count(), 100);
}

#[tokio::test]
async fn an_address_is_written_as_people_write_it() {
    let served = serve();
    let log = log();
    let link = served.tcp().await;
    link.send(b"XPT1\x02\x77x").await;
    drop({ link }.rest().await);
    served.empty().await;
    served.memory().send(b"XPT1\x02\x77x").await;
    until("the second is there", || served.closed(Reason::Malformed) == 2).await;
    let lines = log.lines();
    let [tcp, memory] = &lines[..] else { panic!("{lines:?}") };
    assert!(tcp.fields.contains("address=127.0.0.1:"), "{tcp:?}");
    assert!(memory.fields.contains("address=inside "), "{memory:?}");
}
