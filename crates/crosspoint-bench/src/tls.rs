//! TLS of one connection, as a client: bytes in, bytes out, and no socket.

use std::io::{self, BufRead, Write};

use bytes::{Buf, BytesMut};
use crosspoint_net::tls::channel_binding;
use crosspoint_net::tls::client::HandshakeError;
use crosspoint_proto::identity::ChannelBinding;
use rustls::Connection;

/// The state of TLS, and what it has decrypted for a reader that took less.
#[derive(Debug)]
pub(crate) struct Session {
    tls: Connection,
    opened: BytesMut,
}

impl Session {
    pub(crate) fn new(tls: Connection) -> Session {
        Session { tls, opened: BytesMut::new() }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// What a proof of a key is bound to.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        channel_binding(&self.tls)
    }

    /// Encrypts the beginning of these bytes, and appends to `out` what is to be written, before
    /// that what TLS itself has to say. Gives how many bytes that was.
    pub(crate) fn seal(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let taken = if bytes.is_empty() { 0 } else { self.tls.writer().write(bytes)? };
        while self.tls.wants_write() {
            self.tls.write_tls(out)?;
        }
        Ok(taken)
    }

    /// Decrypts what has come, and calls `data` with each piece that can be read because of that.
    pub(crate) fn open(&mut self, sealed: &[u8], mut data: impl FnMut(&[u8])) -> io::Result<()> {
        Session::take(&mut self.tls, sealed, &mut data)
    }

    /// Decrypts what has come, for [`Session::read`].
    pub(crate) fn keep(&mut self, sealed: &[u8]) -> io::Result<()> {
        let Session { tls, opened } = self;
        Session::take(tls, sealed, &mut |piece| opened.extend_from_slice(piece))
    }

    fn take(
        tls: &mut Connection,
        mut sealed: &[u8],
        data: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        // Nothing is taken after the other side has said that nothing follows.
        while !sealed.is_empty() && tls.read_tls(&mut sealed)? > 0 {
            tls.process_new_packets().map_err(HandshakeError::from)?;
            let mut reader = tls.reader();
            while let Ok(piece @ [_, ..]) = reader.fill_buf() {
                let length = piece.len();
                data(piece);
                reader.consume(length);
            }
        }
        Ok(())
    }

    /// What was kept.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.opened
    }

    /// Drops the beginning of what was kept.
    pub(crate) fn consume(&mut self, count: usize) {
        self.opened.advance(count);
        if self.opened.is_empty() {
            // Quiet connections hold no buffer.
            self.opened = BytesMut::new();
        }
    }
}
