//! TLS on the one port: clients by another implementation's blocking streams, and hostile ones.

use crate::common::http::{answer, get};
use crate::common::{Served, serve_as, until, within};
use crate::resume_hostile::hello;
use crosspoint_hub::transport::{Carrier, Transport};
use crosspoint_hub::{HubOptions, Limits, Reason};
use crosspoint_net::server::{ServerOptions, bind};
use crosspoint_net::tls::certificate::Certificate;
use crosspoint_net::tls::server::{Checked, Tls};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// A certificate for some names, and its text.
fn certificate(names: &[&str]) -> (Certificate, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    (Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap(), chain)
}

fn serving(tls: Tls) -> Served {
    serve_as(HubOptions::default(), ServerOptions { tls: Some(tls), ..ServerOptions::default() })
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts one certificate.
fn connect(
    served: &Served,
    trusted: &str,
    name: &'static str,
    version: &'static SupportedProtocolVersion,
) -> Stream {
    connect_to(served.address, trusted, name, version)
}

fn connect_to(
    address: SocketAddr,
    trusted: &str,
    name: &'static str,
    version: &'static SupportedProtocolVersion,
) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

/// Asks for `/health`, and gives the answer.
fn health(mut stream: Stream) -> std::io::Result<String> {
    stream.write_all(
        get("/health").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    Ok(answer)
}

async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    within("a blocking client", tokio::task::spawn_blocking(what)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_served_beside_plain_connections_and_by_server_name() {
    let (one, one_pem) = certificate(&["one.example", "localhost"]);
    let (two, two_pem) = certificate(&["two.example"]);
    let served = Arc::new(serving(Tls::new(vec![one, two]).unwrap()));
    for version in [&TLS12, &TLS13] {
        for (name, pem) in [("localhost", &one_pem), ("two.example", &two_pem)] {
            let (served, pem) = (served.clone(), pem.clone());
            let answer = blocking(move || health(connect(&served, &pem, name, version))).await;
            assert!(answer.unwrap().ends_with("\r\n\r\nok\n"));
        }
    }
    // Nobody vouches for the other one.
    let (served2, pem) = (served.clone(), one_pem.clone());
    let wrong = blocking(move || health(connect(&served2, &pem, "two.example", &TLS13))).await;
    assert!(wrong.unwrap_err().to_string().contains("certificate"));
    let mut plain = served.tcp().await;
    plain.send(get("/health").as_bytes()).await;
    assert_eq!(answer(&mut plain, false).await.status, 200);
}

/// Begins a session of Socket.IO by requests over one connection.
fn begin_polled(stream: &mut Stream) {
    let mut ask = |method: &str, query: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let ended = |answer: &[u8]| {
            let text = str::from_utf8(answer).unwrap().to_ascii_lowercase();
            let (head, body) = text.split_once("\r\n\r\n")?;
            let (_, length) = head.split_once("content-length: ")?;
            let length: usize = length.lines().next()?.parse().ok()?;
            (body.len() == length).then_some(())
        };
        while ended(&answer).is_none() {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    };
    let opened = ask("GET", "", "");
    let (_, sid) = opened.split_once("\"sid\":\"").unwrap();
    let (sid, _) = sid.split_once('"').unwrap();
    let query = format!("&sid={sid}");
    assert!(ask("POST", &query, "40").ends_with("ok"));
    assert!(ask("GET", &query, "").contains("40{"));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_that_a_session_is_inside_tls() {
    let (own, pem) = certificate(&["localhost"]);
    for polled in [false, true] {
        let served = Arc::new(serving(Tls::new(vec![own.clone()]).unwrap()));
        let (there, pem) = (served.clone(), pem.clone());
        let _stream = blocking(move || {
            let mut stream = connect(&there, &pem, "localhost", &TLS13);
            if polled {
                begin_polled(&mut stream);
            } else {
                stream.write_all(&hello()).unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
            }
            stream
        })
        .await;
        let [session] = &served.hub.session_infos()[..] else { panic!("one session") };
        let carrier = if polled { Carrier::Polling } else { Carrier::Tcp };
        assert_eq!(session.transport, Transport { carrier, tls: true });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_hold_for_new_connections_and_the_old_ones_stay() {
    let (old, old_pem) = certificate(&["localhost"]);
    let (new, new_pem) = certificate(&["localhost"]);
    let tls = Tls::new(vec![old]).unwrap();
    let served = Arc::new(serving(tls.clone()));
    let (served2, pem) = (served.clone(), old_pem.clone());
    let stream = blocking(move || {
        let mut stream = connect(&served2, &pem, "localhost", &TLS13);
        stream.write_all(get("/health").as_bytes()).unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream
    });
    let mut stream = stream.await;
    tls.replace(Checked::new(vec![new]).unwrap());
    assert!(Checked::new(Vec::new()).is_err());
    let answer = blocking(move || health(connect(&served, &new_pem, "localhost", &TLS13))).await;
    assert!(answer.is_ok());
    blocking(move || {
        stream.write_all(get("/health").as_bytes()).unwrap();
        let mut twice = Vec::new();
        let mut bytes = [0; 1024];
        while !twice.ends_with(b"ok\n") || twice.len() < 100 {
            let count = stream.read(&mut bytes).unwrap();
            twice.extend_from_slice(&bytes[..count]);
        }
    })
    .await;
}

#[tokio::test]
async fn where_tls_is_required_plain_clients_hear_it() {
    let (own, _pem) = certificate(&["localhost"]);
    let served = serving(Tls::new(vec![own]).unwrap().required(true));
    let mut http = served.memory();
    http.send(get("/health").as_bytes()).await;
    let refused = answer(&mut http, false).await;
    assert_eq!(
        (refused.status, &refused.body[..]),
        (426, &b"only TLS is served here (tls.required)\n"[..])
    );
    let mut native = served.memory();
    native.send(b"XPT1\x05\x01").await;
    assert!(native.rest().await.is_empty());
    assert_eq!(served.refused(Reason::NotAllowed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_for_tls_alone_stands_beside_plain_ones() {
    let (own, pem) = certificate(&["localhost"]);
    let served = serving(Tls::new(vec![own]).unwrap());
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let alone = listener.local_addr().unwrap();
    served.server.listen_tls(listener);
    let mut plain = served.tcp().await;
    plain.send(get("/health").as_bytes()).await;
    assert_eq!(answer(&mut plain, false).await.status, 200);
    for (said, answered) in [
        (get("/health"), "HTTP/1.1 426 "),
        ("XPT1\x05\x01".to_owned(), ""),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n".to_owned(), ""),
    ] {
        let answer = blocking(move || {
            let mut stream = TcpStream::connect(alone).unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            let mut answer = String::new();
            // A reset says as much as an end.
            let _ = stream.read_to_string(&mut answer);
            answer
        });
        let answer = answer.await;
        assert!(
            answer.starts_with(answered) && answer.is_empty() == answered.is_empty(),
            "{answer}"
        );
    }
    let answer = blocking(move || health(connect_to(alone, &pem, "localhost", &TLS13))).await;
    assert!(answer.unwrap().ends_with("\r\n\r\nok\n"));
}

/// The beginning of a hello, a hello of another program, what is no TLS behind a hello, an oversized record.
#[tokio::test]
async fn hostile_handshakes_end_with_an_alert_and_nobody_else_notices() {
    let (own, _pem) = certificate(&["localhost"]);
    let served = serving(Tls::new(vec![own]).unwrap());
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for wrong in [
        [&hello[..], &[0; 600]].concat(),
        [b"\x16\x03\x01\x00\x06\x01", &[0; 900][..]].concat(),
        [b"\x16\x03\x01\xff\xff\x01", &[1; 70_000][..]].concat(),
        [b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", &b"GET / HTTP/1.1\r\n\r\n"[..]].concat(),
    ] {
        let mut link = served.memory();
        link.send(&wrong).await;
        let rest = link.rest().await;
        let shown = &wrong[..12];
        assert!(rest.starts_with(&[21, 3]), "{shown:02x?} is answered with {rest:02x?}");
    }
    assert_eq!(served.refused(Reason::Malformed), 4);
    for cut in 1..hello.len() {
        let link = served.memory();
        link.send(&hello[..cut]).await;
        link.finish();
    }
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn half_handshakes_end_in_time_and_hold_no_memory_then() {
    let (own, _pem) = certificate(&["localhost"]);
    let limits = Limits { connections_per_address_max: 0, ..Limits::default() };
    let options = ServerOptions { tls: Some(Tls::new(vec![own]).unwrap()), ..Default::default() };
    let served = serve_as(HubOptions { limits, ..HubOptions::default() }, options);
    let mut links = Vec::new();
    for _ in 0..1_000 {
        let link = served.memory();
        link.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        links.push(link);
    }
    let connections = || served.hub.metrics.connections.get();
    until("all are there", || connections() == 1_000).await;
    tokio::time::sleep(Limits::default().handshake_max).await;
    served.empty().await;
    assert_eq!(served.refused(Reason::HandshakeTimeout), 1_000);
}

/// A hello that never ends, in records that are whole.
#[tokio::test]
async fn a_handshake_is_bounded_in_bytes() {
    let (own, _pem) = certificate(&["localhost"]);
    let served = serving(Tls::new(vec![own]).unwrap());
    let mut link = served.memory();
    let begins = [&b"\x16\x03\x01\x3e\x80\x01\x00\xff\xff\x03\x03"[..], &[0; 15_994]].concat();
    let goes_on = [&b"\x16\x03\x01\x3e\x80"[..], &[0; 16_000]].concat();
    link.send(&begins).await;
    link.send(&goes_on).await;
    assert!(link.rest().await.is_empty());
    assert_eq!(served.refused(Reason::Malformed), 1);
}

/// What follows the last word of a client costs nothing, and the hub goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_close_notify_harms_nobody() {
    let (own, pem) = certificate(&["localhost"]);
    let served = Arc::new(serving(Tls::new(vec![own]).unwrap()));
    for version in [&TLS12, &TLS13] {
        let (served2, pem) = (served.clone(), pem.clone());
        blocking(move || {
            let mut stream = connect(&served2, &pem, "localhost", version);
            stream.flush().unwrap();
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            stream.conn.send_close_notify();
            let mut last = Vec::new();
            while stream.conn.wants_write() {
                stream.conn.write_tls(&mut last).unwrap();
            }
            last.extend_from_slice(&[7; 9000]);
            stream.sock.write_all(&last).unwrap();
        })
        .await;
    }
    let mut plain = served.tcp().await;
    plain.send(get("/health").as_bytes()).await;
    assert_eq!(answer(&mut plain, false).await.status, 200);
    drop(plain);
    served.empty().await;
}
