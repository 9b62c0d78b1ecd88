//! What stands in the place of TLS where the feature `tls` is off: addresses with TLS are refused before
//! anything is sent, and there is nothing by which a server could serve it.

pub mod certificate {
    //! No certificates.

    use super::Absent;

    /// A certificate with its key. There is none without the feature `tls`.
    #[derive(Debug, Clone)]
    pub struct Certificate(Absent);
}

pub mod client {
    //! The side that connects, which cannot.

    use super::certificate::Certificate;
    use super::{Absent, NotBuiltIn};
    use std::io;

    /// Whom a client believes that it is who it says.
    #[derive(Debug, Clone, Default)]
    #[non_exhaustive]
    pub enum Trust {
        /// Servers for whose name an authority vouches that the system trusts.
        #[default]
        Platform,
    }

    /// Why a client has no TLS connection to a server. There is none to fail.
    #[derive(Debug)]
    pub struct HandshakeError(Absent);

    impl HandshakeError {
        /// Gives the error back.
        pub(crate) fn in_handshake(error: io::Error) -> io::Error {
            error
        }
    }

    /// How a client would speak TLS.
    #[derive(Debug, Clone, Default)]
    pub struct ClientTls {
        /// Whom it trusts.
        pub trust: Trust,
        /// What it shows to servers that ask for a certificate.
        pub certificate: Option<Certificate>,
    }

    impl ClientTls {
        /// Refuses.
        pub(crate) fn connect(&self, _host: &str) -> io::Result<Absent> {
            Err(io::Error::new(io::ErrorKind::Unsupported, NotBuiltIn))
        }
    }
}

pub mod server {
    //! The side that accepts, of which there is none.

    use super::{Absent, NotBuiltIn};

    /// How a server serves TLS. There is no way without the feature `tls`.
    #[derive(Debug, Clone)]
    pub struct Tls {
        /// Whether connections without TLS are refused.
        pub required: bool,
        absent: Absent,
    }

    impl Tls {
        pub(crate) fn accept(&self) -> Result<Absent, NotBuiltIn> {
            self.absent.never()
        }
    }
}

use std::convert::Infallible;

/// Whether this build has TLS.
pub const BUILT_IN: bool = false;

/// This build has no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this program is built without TLS; build it with the feature `tls`")]
pub struct NotBuiltIn;

/// What does not exist without TLS.
#[derive(Debug, Clone)]
pub(crate) struct Absent(Infallible);

impl Absent {
    /// Nobody can call this.
    pub(crate) fn never(&self) -> ! {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::{NotBuiltIn, client::ClientTls};
    use crate::client::{Endpoint, dial};
    use crate::memory::{Shape, pair};
    use crate::reading::read;
    use crate::refusal::Refusal;
    use crate::server::{Server, ServerOptions};
    use crate::stream::Stream;
    use crosspoint_hub::{Hub, HubOptions};
    use std::io;
    use std::net::TcpListener;

    #[tokio::test]
    async fn addresses_with_tls_are_refused_and_nothing_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for address in [format!("tls://127.0.0.1:{port}"), format!("wss://127.0.0.1:{port}/")] {
            let endpoint: Endpoint = address.parse().unwrap();
            assert!(endpoint.has_tls());
            let error = dial(&endpoint.with_tls(ClientTls::default())).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.get_ref().unwrap().is::<NotBuiltIn>(), "{error}");
        }
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_hello_is_answered_with_an_alert() {
        let server = Server::new(Hub::new(HubOptions::default()), ServerOptions::default());
        let (near, far) = pair(Shape::default(), Shape::default());
        server.accept(far.into());
        let (mut reader, writer) = Stream::from(near).into_split();
        writer.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
        let answer = read(&mut reader).await.unwrap();
        assert_eq!(Some(answer.freeze()), Refusal::tls().answer);
        let fault = Refusal::tls().fault.unwrap();
        assert!(fault.starts_with("TLS is not served here"), "{fault}");
    }
}
