//! Unmodified programs with the package `anysocket` against the hub. `./check` installs the package into
//! `interop/`.

mod program;

use crate::common::late::Late;
use crosspoint_auth::{Authenticator, Denied, from_fn};
use crosspoint_hub::directory::Directory;
use crosspoint_hub::{Grant, Hub, HubOptions, Limits};
use crosspoint_net::gateways::{AnySocket, standard};
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::{Server, ServerOptions, bind};
use crosspoint_net::tls::{certificate::Certificate, server};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// All cases of interop/anysocket_client.mjs.
const CASES: &[&str] = &[
    "connect",
    "auth-accepted",
    "auth-refused",
    "auth-refused-by-client",
    "send",
    "reply",
    "reply-out-of-order",
    "request-by-server",
    "timeout",
    "rpc",
    "rpc-nested",
    "rpc-binary",
    "rpc-error",
    "rpc-by-server",
    "time",
    "time-by-server",
    "e2ee-by-client",
    "e2ee-by-server",
    "e2ee-large",
    "large",
    "broadcast",
    "duplicate-id",
    "heartbeat",
    "proxy",
    "proxy-again",
    "proxy-unknown",
    "proxy-e2ee",
    "proxy-e2ee-twice",
    "unproxy",
    "target-leaves",
    "asker-leaves",
    "disconnect-by-client",
    "disconnect-by-server",
    "better-unproxy-both",
    "better-e2ee-pipelined",
    "better-e2ee-by-server-busy",
    "better-e2ee-by-both",
    "better-proxy-at-once",
    "better-proxy-unknown",
    "better-duplicate-id",
    "better-order",
    "better-rpc-path",
];

/// The hub that a script runs against.
#[derive(Default)]
struct Setup {
    /// It encrypts by itself.
    encrypt: bool,
    /// A directory answers late who may have which name, and whether there is a peer.
    late: bool,
    /// It serves TLS alone, with a certificate for development.
    tls: bool,
    /// It compresses messages of so many bytes.
    compressed_bytes_min: Option<u32>,
}

/// Runs a script of `interop/` against a hub with the program.
async fn run(script: &str, cases: &[&str], setup: &Setup) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");
    assert!(
        Path::new(folder).join("node_modules/anysocket").exists(),
        "run ./check once, or `npm install --no-package-lock` in interop/"
    );
    let late = setup.late.then(|| Late::new(Duration::from_millis(20), 5));
    let directory = late.clone().map(|late| late as Arc<dyn Directory>);
    let compressed_bytes_min = setup.compressed_bytes_min;
    let limits = Limits { compressed_bytes_min, ..Limits::default() };
    let hub = Hub::new(HubOptions { directory, limits, ..HubOptions::default() });
    program::start(&hub);
    if let Some(late) = late {
        late.serves(&hub);
    }
    let authenticator = from_fn(|credentials| async move {
        let sesame: &[u8] = b"\"open sesame\"";
        let named = credentials.name.is_some();
        match credentials.protocol == "anysocket"
            && (named || credentials.token.as_deref() == Some(sesame))
        {
            true => Ok(Grant { name: credentials.name, ..Grant::default() }),
            false => Err(Denied::new("the wrong word")),
        }
    });
    let bundle = Path::new(folder).join("node_modules/anysocket/dist/anysocket.browser.js");
    let http = HttpOptions { anysocket_bundle: Some(bundle), ..HttpOptions::default() };
    let authenticator = Some(Arc::new(authenticator) as Arc<dyn Authenticator>);
    let gateways = standard().with(AnySocket { encrypt: setup.encrypt, ..AnySocket::default() });
    let certificate = setup.tls.then(|| Certificate::for_development().unwrap());
    let tls = certificate.clone().map(|certificate| {
        let setup = server::Setup { certificates: vec![certificate], clients: None };
        server::Tls::new(setup).unwrap().required(true)
    });
    let options = ServerOptions { authenticator, http, gateways, tls, ..ServerOptions::default() };
    let server = Server::new(hub.clone(), options);
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    server.listen(listener);
    let mut command = tokio::process::Command::new("node");
    command.current_dir(folder).arg(script).args(["127.0.0.1", &port]).args(cases);
    if let Some(certificate) = certificate {
        command.env("TLS_PIN", certificate.fingerprint().unwrap().to_string());
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let output = child.unwrap().wait_with_output().await.unwrap();
    let (said, cried) = (output.stdout, output.stderr);
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&said),
        String::from_utf8_lossy(&cried)
    );
    server.stop().await;
    // The clients have offered it by themselves.
    let metrics = &hub.metrics;
    let counted = [&metrics.compressed_bytes_after, &metrics.decompressed_bytes_before];
    let compressed = compressed_bytes_min.is_some();
    assert_eq!(counted.map(|counter| counter.get() > 0), [compressed; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_does_everything_that_its_package_can() {
    run("anysocket_client.mjs", CASES, &Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_do_the_same_on_a_hub_that_compresses() {
    let compressed = Setup { compressed_bytes_min: Some(64), ..Setup::default() };
    run("anysocket_client.mjs", CASES, &compressed).await;
    let cases = ["talk", "large", "by-server", "proxy", "proxy-e2ee", "leaves"];
    run("anysocket_browser.mjs", &cases, &compressed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_does_the_same_on_a_hub_that_encrypts_by_itself() {
    // Those in which the client begins to encrypt, some time after it was connected: the package breaks
    // a connection that is encrypted twice. And one that connects so often that it would take too long.
    let begins = [
        "e2ee-by-client",
        "e2ee-large",
        "proxy-e2ee-twice",
        "better-e2ee-pipelined",
        "better-e2ee-by-both",
        "better-proxy-at-once",
    ];
    let others: Vec<&str> = CASES.iter().copied().filter(|case| !begins.contains(case)).collect();
    assert_eq!(others.len() + begins.len(), CASES.len());
    run("anysocket_client.mjs", &others, &Setup { encrypt: true, ..Setup::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_does_the_same_where_a_directory_answers_late() {
    let late = Setup { late: true, ..Setup::default() };
    run("anysocket_client.mjs", CASES, &late).await;
    run("anysocket_hub.mjs", &[], &late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_uses_the_object_of_the_hub() {
    run("anysocket_hub.mjs", &[], &Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_in_a_browser_does_what_the_client_does_and_the_hub_serves_it() {
    let cases = ["talk", "large", "by-server", "proxy", "proxy-e2ee", "leaves"];
    run("anysocket_browser.mjs", &cases, &Setup::default()).await;
    run("anysocket_browser.mjs", &["e2ee", "e2ee-by-server"], &Setup::default()).await;
    run("anysocket_browser.mjs", &cases, &Setup { encrypt: true, ..Setup::default() }).await;
    run("anysocket_browser.mjs", &["bundle"], &Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_in_a_browser_does_the_same_over_wss() {
    let cases = ["talk", "large", "by-server", "e2ee", "leaves", "bundle"];
    run("anysocket_browser.mjs", &cases, &Setup { tls: true, ..Setup::default() }).await;
}
