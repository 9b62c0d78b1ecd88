//! Sockets of the file system.

use crate::common::Link;
use crate::common::peer::Peer;
use crosspoint_auth::{Credentials, Denied, from_fn};
use crosspoint_hub::{Grant, Hub, HubOptions};
use crosspoint_net::server::{Server, ServerOptions, bind_unix};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use tokio::net::UnixStream;

#[tokio::test]
async fn the_system_vouches_for_the_process_at_the_other_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub");
    let own = std::process::id().cast_signed();
    let check = from_fn(move |credentials: Credentials| {
        let process = credentials.process.filter(|process| process.id == Some(own));
        std::future::ready(match (process, credentials.address) {
            (Some(_), None) => Ok(Grant::default()),
            _ => Err(Denied::new("not this process")),
        })
    });
    let options =
        ServerOptions { authenticator: Some(Arc::new(check)), ..ServerOptions::default() };
    let server = Server::new(Hub::new(HubOptions::default()), options);
    server.listen(bind_unix(&path, 0o600, None).unwrap());
    let mut owner = Peer::native(Link::new(UnixStream::connect(&path).await.unwrap().into())).await;
    owner.create("game").await;
    let mut member =
        Peer::native_ws(Link::new(UnixStream::connect(&path).await.unwrap().into())).await;
    member.enter("game").await;
    server.stop().await;
}

#[tokio::test]
async fn a_path_that_is_in_use_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    assert_eq!(bind_unix(&file, 0o600, None).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    let path = directory.path().join("hub");
    let first = bind_unix(&path, 0o600, None).unwrap();
    assert_eq!(bind_unix(&path, 0o600, None).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(first);
    bind_unix(&path, 0o600, None).unwrap();
}

#[tokio::test]
async fn nobody_connects_before_the_permissions_hold() {
    let directory = tempfile::tempdir().unwrap();
    let group = directory.path().metadata().unwrap().gid();
    for round in 0..100 {
        let path = directory.path().join(round.to_string());
        let connecting = path.clone();
        let first = std::thread::spawn(move || {
            while std::os::unix::net::UnixStream::connect(&connecting).is_err() {
                std::hint::spin_loop();
            }
            connecting.metadata().unwrap()
        });
        let _listener = bind_unix(&path, 0o606, Some(group)).unwrap();
        let seen = first.join().unwrap();
        assert_eq!((seen.mode() & 0o777, seen.gid()), (0o606, group));
    }
}
