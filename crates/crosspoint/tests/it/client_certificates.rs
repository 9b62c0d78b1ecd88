//! Certificates that clients show over TLS.

use crate::resume::relay;
use crosspoint::tls::certificate::Certificate;
use crosspoint::tls::client::Trust;
use crosspoint::tls::server::{Checked, Clients, Setup, Tls};
use crosspoint::{
    ChannelOptions, ConnectError, Hub, HubOptions, Node, NodeBuilder, Reason, Server, ServerOptions,
};
use crosspoint_auth::{Certificates, ClientCertificate, Credentials, from_fn};
use crosspoint_hub::{Grant, Permissions};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// Vouches for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn clients(&self) -> Clients {
        Clients::new(self.pem.as_bytes()).unwrap()
    }

    fn revoked(&self, serial: SerialNumber) -> String {
        let revoked = RevokedCertParams {
            serial_number: serial,
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A certificate for a client of this name.
fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, format!("{name} (common)"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

struct Served {
    hub: Server,
    tls: Tls,
    own: Certificate,
    address: SocketAddr,
    /// Those with whom sessions came.
    seen: Arc<Mutex<Vec<Option<Arc<ClientCertificate>>>>>,
}

impl Served {
    fn new(clients: Clients) -> Self {
        let own = Certificate::for_development().unwrap();
        let setup = Setup { certificates: vec![own.clone()], clients: Some(clients) };
        let tls = Tls::new(setup).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let authenticator = from_fn(move |credentials: Credentials| {
            notes.lock().unwrap().push(credentials.certificate);
            std::future::ready(Ok(Grant::default()))
        });
        let options = ServerOptions {
            tls: Some(tls.clone()),
            authenticator: Some(Arc::new(authenticator)),
            ..ServerOptions::default()
        };
        let hub = Server::with_hub(Hub::new(HubOptions::default()), options);
        let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { hub, tls, own, address, seen }
    }

    fn node(&self) -> NodeBuilder {
        Node::builder().trust(Trust::Pinned(self.own.fingerprint().unwrap()))
    }

    /// Connects with a certificate.
    async fn enter(&self, certificate: Certificate) -> Result<Node, ConnectError> {
        let node = self.node().client_certificate(certificate);
        node.connect(format!("tls://{}", self.address)).await
    }

    /// What the authenticator has seen of the latest session.
    fn latest(&self) -> Option<Arc<ClientCertificate>> {
        self.seen.lock().unwrap().last().expect("somebody has come").clone()
    }
}

#[tokio::test]
async fn the_authenticator_sees_the_names_of_a_certificate_that_an_authority_vouches_for() {
    let authority = Authority::new("devices");
    let served = Served::new(authority.clients());
    let mut params = client("sensor-7.example");
    for name in [
        SanType::URI("spiffe://example/sensor/7".try_into().unwrap()),
        SanType::Rfc822Name("sensor@example".try_into().unwrap()),
        SanType::DnsName("x".repeat(300).try_into().unwrap()),
    ] {
        params.subject_alt_names.push(name);
    }
    let certificate = authority.issue(&params);
    for scheme in ["tls", "wss"] {
        for resumes in [false, true] {
            let node = served.node().client_certificate(certificate.clone());
            let node = if resumes { node.resume() } else { node };
            let address = format!("{scheme}://{}", served.address);
            let node = node.connect(address).await.unwrap();
            let seen = served.latest().expect("it has shown one");
            assert_eq!(seen.common_name.as_deref(), Some("sensor-7.example (common)"));
            assert_eq!(seen.dns_names, ["sensor-7.example"], "too long names are left out");
            assert_eq!(seen.uris, ["spiffe://example/sensor/7"]);
            assert_eq!(seen.emails, ["sensor@example"]);
            let digits: String =
                seen.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits, certificate.fingerprint().unwrap().to_string());
            node.close().await;
        }
    }
    // It is asked for, and may be left out.
    served.node().connect(format!("tls://{}", served.address)).await.unwrap();
    assert_eq!(served.latest(), None);
    served.hub.stop().await;
}

#[tokio::test]
async fn a_session_keeps_the_certificate_of_its_first_connection() {
    let authority = Authority::new("devices");
    let served = Served::new(authority.clients().required(true));
    let certificate = authority.issue(&client("ann"));
    let (near, way) = relay(served.address).await.unwrap();
    let other = format!("wss://{}", served.address);
    let node = served.node().client_certificate(certificate).resume_at(other.parse().unwrap());
    let node = node.connect(format!("tls://{near}")).await.unwrap();
    way.abort();
    let _cut = way.await;
    node.create("game", ChannelOptions::new()).await.unwrap();
    assert_eq!(served.hub.hub().metrics.resumed.get(), 1);
    assert_eq!(served.seen.lock().unwrap().len(), 1, "nobody is asked twice");
    served.hub.stop().await;
}

#[tokio::test]
async fn certificates_that_nobody_vouches_for_now_are_refused_in_the_handshake() {
    let (authority, stranger) = (Authority::new("devices"), Authority::new("devices"));
    let serial = SerialNumber::from(77);
    let clients = authority.clients().revoked(authority.revoked(serial.clone()).as_bytes());
    let served = Served::new(clients.unwrap().required(true));
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = client("ann");
        change(&mut params);
        authority.issue(&params)
    };
    let own_key = KeyPair::generate().unwrap();
    let self_signed = client("ann").self_signed(&own_key).unwrap().pem();
    let wrong = [
        ("of another authority", stranger.issue(&client("ann"))),
        (
            "self-signed",
            Certificate::from_pem(self_signed.as_bytes(), own_key.serialize_pem().as_bytes())
                .unwrap(),
        ),
        ("expired", with(&|params| params.not_after = date_time_ymd(2025, 1, 1))),
        ("too early", with(&|params| params.not_before = date_time_ymd(2090, 1, 1))),
        (
            "for servers",
            with(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        ("revoked", with(&|params| params.serial_number = Some(serial.clone()))),
    ];
    let refused = |error: ConnectError| match error {
        ConnectError::Refused { reason: Reason::ConnectionLost, .. }
        | ConnectError::Unreachable { .. } => {}
        other => panic!("{other}"),
    };
    for (what, certificate) in wrong {
        let error = served.enter(certificate).await;
        refused(error.err().unwrap_or_else(|| panic!("{what}")));
    }
    refused(served.node().connect(format!("tls://{}", served.address)).await.unwrap_err());
    assert_eq!(served.seen.lock().unwrap().len(), 0, "nobody was heard");
    // Those that are right come in, before and after an exchange of the authorities.
    served.enter(authority.issue(&client("ann"))).await.unwrap();
    let clients = Some(stranger.clients().required(true));
    let setup = Setup { certificates: vec![served.own.clone()], clients };
    served.tls.replace(Checked::new(setup).unwrap());
    refused(served.enter(authority.issue(&client("ann"))).await.unwrap_err());
    served.enter(stranger.issue(&client("ann"))).await.unwrap();
    served.hub.stop().await;
}

#[tokio::test]
async fn a_chain_without_end_is_refused_and_a_long_one_is_paid_for() {
    let authority = Authority::new("devices");
    let served = Served::new(authority.clients());
    let key = KeyPair::generate().unwrap();
    let own = client("ann").signed_by(&key, &authority.issuer).unwrap().pem();
    let chain = |more: usize| {
        let chain = own.clone() + &authority.pem.repeat(more);
        Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    let held = || served.hub.hub().ledger.used();
    let quiet = held();
    let _ann = served.enter(chain(0)).await.unwrap();
    let short = held() - quiet;
    let _bob = served.enter(chain(10)).await.unwrap();
    let long = held() - quiet - short;
    assert!(long > short + 3000, "{long} {short}");
    served.enter(chain(60)).await.unwrap_err();
    served.hub.stop().await;
}

#[tokio::test]
async fn a_certificate_can_be_the_identity_of_a_session() {
    let authority = Authority::new("devices");
    let own = Certificate::for_development().unwrap();
    let trust = Trust::Pinned(own.fingerprint().unwrap());
    let setup = Setup { certificates: vec![own], clients: Some(authority.clients()) };
    let options = ServerOptions {
        tls: Some(Tls::new(setup).unwrap()),
        authenticator: Some(Arc::new(Certificates::new(Permissions::default()))),
        ..ServerOptions::default()
    };
    let hub = Server::with_hub(Hub::new(HubOptions::default()), options);
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let enter = async |params: Option<CertificateParams>, scheme: &str| {
        let node = Node::builder().name("whoever").trust(trust.clone());
        let node = match params {
            Some(params) => node.client_certificate(authority.issue(&params)),
            None => node,
        };
        node.connect(format!("{scheme}://{address}")).await
    };
    let ann = enter(Some(client("ann.example")), "tls").await.unwrap();
    let mut common = client("x");
    common.subject_alt_names.clear();
    let bob = enter(Some(common), "wss").await.unwrap();
    assert_eq!(bob.peer("ann.example").await.unwrap().info().id, ann.peer_id());
    assert_eq!(ann.peer("x (common)").await.unwrap().info().id, bob.peer_id());
    for (scheme, params) in [("tls", None), ("tcp", None), ("tcp", Some(client("eve")))] {
        let error = enter(params, scheme).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Refused { reason: Reason::NotAllowed, .. }),
            "{error}"
        );
    }
    hub.stop().await;
}
