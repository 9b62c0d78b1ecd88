//! What stands in the place of a connection with TLS where the feature `tls` is off. There is none.

use crate::stream::{Reader, Writer};
use crate::tls::Absent;
use crosspoint_auth::ClientCertificate;
use crosspoint_hub::ledger::Charge;
use crosspoint_proto::identity::ChannelBinding;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use tokio::io::ReadBuf;

/// What is charged for a handshake, in bytes. There are none.
pub(crate) const HANDSHAKE_CHARGE_BYTES: usize = 0;

/// The half that reads.
#[derive(Debug)]
pub struct TlsReader(Absent);

/// The half that writes.
#[derive(Debug)]
pub struct TlsWriter(Absent);

/// A handshake that has failed.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: io::Error,
    pub(crate) halves: (Reader, Writer),
}

/// Nobody can call this.
#[expect(clippy::unused_async, reason = "with TLS it waits")]
pub(crate) async fn handshake(
    tls: Absent,
    _: (Reader, Writer),
    _: &[u8],
    _: Option<Charge>,
) -> Result<(TlsReader, TlsWriter), Broken> {
    tls.never()
}

impl TlsReader {
    pub(crate) fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.never()
    }

    #[expect(clippy::unused_async, reason = "with TLS it waits")]
    pub(crate) async fn gone(&mut self) {
        self.0.never()
    }
}

impl TlsWriter {
    pub(crate) fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.never()
    }

    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        self.0.never()
    }

    pub(crate) fn client_certificate(&self) -> Option<ClientCertificate> {
        self.0.never()
    }

    pub(crate) fn below(&self) -> &Writer {
        self.0.never()
    }

    pub(crate) fn unread(&self) -> bool {
        self.0.never()
    }

    pub(crate) fn shutdown(&self) {
        self.0.never()
    }
}
