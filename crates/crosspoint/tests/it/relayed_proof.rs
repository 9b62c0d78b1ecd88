//! A proof of identity over TLS, and somebody in the middle whom the client trusts.

use crate::resume::relay;
use crosspoint::tls::certificate::Certificate;
use crosspoint::tls::client::Trust;
use crosspoint::tls::server::Tls;
use crosspoint::{
    ChannelOptions, ConnectError, Connectivity, Hub, HubOptions, Identity, Node, NodeBuilder,
    Reason, Server, ServerOptions,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A certificate for this machine, with its key, in PEM.
struct Made {
    chain: String,
    key: String,
}

impl Made {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost", "127.0.0.1"].map(String::from));
        let made = made.unwrap();
        Self { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn trust(&self) -> Trust {
        Trust::roots(self.chain.as_bytes()).unwrap()
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// How somebody in the middle serves TLS.
    fn server(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

fn hub(tls: Option<Tls>) -> (Server, SocketAddr) {
    let options = ServerOptions { tls, ..ServerOptions::default() };
    let hub = Server::with_hub(Hub::new(HubOptions::default()), options);
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    (hub, address)
}

/// Takes part in a connection of TLS and asks nothing of the other side.
#[derive(Debug)]
struct Careless(Arc<CryptoProvider>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// Connects to the hub as whoever is in the middle does.
fn onwards(to: SocketAddr, tls: bool) -> Box<dyn Both> {
    let tcp = TcpStream::connect(to).unwrap();
    if !tls {
        return Box::new(tcp);
    }
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Box::new(StreamOwned::new(connection, tcp))
}

/// Somebody in the middle of one connection.
struct Middle {
    address: SocketAddr,
    /// What the hub answers there.
    answers: mpsc::Receiver<Vec<u8>>,
    /// The connection, to cut it.
    connections: mpsc::Receiver<TcpStream>,
}

/// Ends TLS, if the client comes with it, and passes on what both sides say in turns, as they do until the
/// welcome. `tls` says whether that goes on inside TLS.
fn in_the_middle(own: Option<&Made>, to: SocketAddr, tls: bool) -> Middle {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = own.map(Made::server);
    let (tell, answers) = mpsc::channel();
    let (show, connections) = mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        let (tcp, _) = listener.accept()?;
        // Most tests do not look.
        _ = show.send(tcp.try_clone()?);
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut client: Box<dyn Both> = match config {
            None => Box::new(tcp),
            Some(config) => {
                let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, tcp))
            }
        };
        let mut hub = onwards(to, tls);
        let mut bytes = [0; 4096];
        loop {
            let count = client.read(&mut bytes)?;
            hub.write_all(&bytes[..count])?;
            hub.flush()?;
            let count = hub.read(&mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            _ = tell.send(bytes[..count].to_vec());
            client.write_all(&bytes[..count])?;
            client.flush()?;
        }
    });
    Middle { address, answers, connections }
}

fn anna() -> NodeBuilder {
    Node::builder().identity(Identity::from_bytes(&[1; 32])).timeout(Duration::from_secs(10))
}

fn refused(error: &ConnectError) -> Reason {
    match error {
        ConnectError::Unbound { .. } => Reason::Unbound,
        ConnectError::Refused { reason, .. } => *reason,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_relayed_by_somebody_whom_the_client_trusts_is_worth_nothing() {
    let (own, middle) = (Made::new(), Made::new());
    let (plain, at_plain) = hub(None);
    let (secured, at_secured) = hub(Some(Tls::new(vec![own.certificate()]).unwrap()));
    for scheme in ["tls", "wss"] {
        for (to, tls, reason) in
            [(at_secured, true, Reason::BadProof), (at_plain, false, Reason::Unbound)]
        {
            let Middle { address, .. } = in_the_middle(Some(&middle), to, tls);
            let node = anna().trust(middle.trust());
            let error = node.connect(format!("{scheme}://{address}")).await.unwrap_err();
            assert_eq!(refused(&error), reason, "{scheme} {tls}");
        }
    }
    // Also not that of a client without TLS.
    let Middle { address, .. } = in_the_middle(None, at_secured, true);
    let error = anna().connect(format!("tcp://{address}")).await.unwrap_err();
    assert_eq!(refused(&error), Reason::Unbound);
    // Somebody in the middle of the first connection is noticed before the proof if the session can be resumed.
    let Middle { address, .. } = in_the_middle(Some(&middle), at_secured, true);
    let node = anna().trust(middle.trust()).resume();
    let error = node.connect(format!("tls://{address}")).await.unwrap_err();
    assert_eq!(refused(&error), Reason::Unbound);
    plain.stop().await;
    secured.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_ends_tls_serves_clients_that_have_agreed_to_it() {
    let middle = Made::new();
    let (plain, at_plain) = hub(None);
    let Middle { address, .. } = in_the_middle(Some(&middle), at_plain, false);
    let node = anna().trust(middle.trust()).unbound_proof();
    let node = node.connect(format!("tls://{address}")).await.unwrap();
    assert_eq!(node.peer_id(), Identity::from_bytes(&[1; 32]).peer_id());
    // Not at a hub that is the end of TLS itself.
    let own = Made::new();
    let (secured, at_secured) = hub(Some(Tls::new(vec![own.certificate()]).unwrap()));
    let node = anna().trust(own.trust()).unbound_proof();
    let error = node.connect(format!("tls://{at_secured}")).await.unwrap_err();
    assert_eq!(refused(&error), Reason::Unbound);
    assert!(error.to_string().contains("NodeBuilder::unbound_proof"), "{error}");
    plain.stop().await;
    secured.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_proven_over_tls_goes_on_over_another_connection() {
    let own = Made::new();
    let (secured, at) = hub(Some(Tls::new(vec![own.certificate()]).unwrap()));
    let id = Identity::from_bytes(&[1; 32]).peer_id();
    for (one, other) in [("tls", "wss"), ("wss", "tls")] {
        let (near, way) = relay(at).await.unwrap();
        let ann = anna().trust(own.trust()).resume_at(format!("{other}://{at}").parse().unwrap());
        let ann = ann.connect(format!("{one}://{near}")).await.unwrap();
        assert_eq!(ann.peer_id(), id);
        way.abort();
        let _cut = way.await;
        // Asked over the connection that is cut, and answered over the next one.
        ann.create("game", ChannelOptions::new()).await.unwrap();
        let states = ann.connectivity().expect("it was asked to come back");
        assert!(matches!(*states.borrow(), Connectivity::Connected));
        assert_eq!(secured.hub().metrics.resumed.get(), if one == "tls" { 1 } else { 2 });
        ann.close().await;
    }
    secured.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_the_middle_of_a_later_connection_takes_a_session_over() {
    let (own, middle) = (Made::new(), Made::new());
    let (secured, at) = hub(Some(Tls::new(vec![own.certificate()]).unwrap()));
    let trusted = [own.chain.as_bytes(), middle.chain.as_bytes()].concat();
    for tls in [true, false] {
        let (near, way) = relay(at).await.unwrap();
        let Middle { address, answers, .. } = in_the_middle(Some(&middle), at, tls);
        let mut ann = anna().trust(Trust::roots(&trusted).unwrap());
        for later in [format!("tls://{address}"), format!("tcp://{at}"), format!("tls://{at}")] {
            ann = ann.resume_at(later.parse().unwrap());
        }
        let ann = ann.connect(format!("tls://{near}")).await.unwrap();
        way.abort();
        let _cut = way.await;
        ann.create("game", ChannelOptions::new()).await.unwrap();
        // The record REFUSED.
        let [_, unbound] = Reason::Unbound.number().to_be_bytes();
        assert_eq!(answers.recv().unwrap(), [3, 4, 0, unbound], "in the middle, tls: {tls}");
        assert_eq!(secured.hub().metrics.resumed.get(), if tls { 1 } else { 2 });
        ann.close().await;
    }
    secured.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_through_a_proxy_that_ends_tls() {
    let proxy = Made::new();
    let (plain, at) = hub(None);
    let Middle { address, connections, .. } = in_the_middle(Some(&proxy), at, false);
    let ann =
        Node::builder().trust(proxy.trust()).resume_at(format!("tcp://{at}").parse().unwrap());
    let ann = ann.connect(format!("tls://{address}")).await.unwrap();
    connections.recv().unwrap().shutdown(Shutdown::Both).unwrap();
    ann.create("game", ChannelOptions::new()).await.unwrap();
    assert_eq!(plain.hub().metrics.resumed.get(), 1);
    plain.stop().await;
}
