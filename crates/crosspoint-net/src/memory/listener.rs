//! Where connections inside one process are asked for and taken.

use std::io;

use thiserror::Error;
use tokio::sync::mpsc;

use super::pipe::{End, pair};
use super::shaper::Shape;

/// Connections that may wait to be accepted; further ones are refused.
pub const ACCEPT_BACKLOG_MAX: usize = 1024;

/// A rendezvous: what the connector opens, the acceptor takes, in the same order.
pub fn listener() -> (Connector, Acceptor) {
    let (offer, offers) = mpsc::channel(ACCEPT_BACKLOG_MAX);
    (Connector { offer }, Acceptor { offers })
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The [`Acceptor`] was dropped.
    #[error("in-memory connection refused: the listener is gone; make a new one")]
    Gone,
    /// [`ACCEPT_BACKLOG_MAX`] connections wait already.
    #[error(
        "in-memory connection refused: {ACCEPT_BACKLOG_MAX} others wait to be accepted; try later"
    )]
    BacklogFull,
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        Self::new(io::ErrorKind::ConnectionRefused, error)
    }
}

/// Opens connections to the [`Acceptor`] it was made with.
#[derive(Clone, Debug)]
pub struct Connector {
    offer: mpsc::Sender<End>,
}

impl Connector {
    /// Opens a connection with the same shape in both directions. It can be written to at once,
    /// before it is accepted.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(&self, shape: Shape) -> Result<End, ConnectError> {
        self.connect_shaped(shape.clone(), shape)
    }

    /// Like [`connect`](Self::connect), with a shape for what goes to the acceptor and one for
    /// what comes from it.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_shaped(&self, out: Shape, back: Shape) -> Result<End, ConnectError> {
        let (near, far) = pair(out, back);
        self.offer.try_send(far).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => ConnectError::BacklogFull,
            mpsc::error::TrySendError::Closed(_) => ConnectError::Gone,
        })?;
        Ok(near)
    }
}

/// Takes the connections that its [`Connector`]s open. When it is dropped, those still waiting
/// are closed.
#[derive(Debug)]
pub struct Acceptor {
    offers: mpsc::Receiver<End>,
}

impl Acceptor {
    /// The next connection, or `None` once every connector was dropped and none waits. Cancelling
    /// it loses no connection.
    pub async fn accept(&mut self) -> Option<End> {
        self.offers.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_accepted_in_the_order_they_were_opened() {
        let (connector, mut acceptor) = listener();
        let ends: Vec<End> = (0..3u8)
            .map(|number| {
                let end = connector.clone().connect(Shape::default()).unwrap();
                end.try_write_vectored(&[io::IoSlice::new(&[number])]).unwrap();
                end
            })
            .collect();
        for number in 0..3u8 {
            let mut accepted = acceptor.accept().await.unwrap();
            let mut byte = [0xff];
            tokio::io::AsyncReadExt::read_exact(&mut accepted, &mut byte).await.unwrap();
            assert_eq!(byte, [number]);
        }
        drop((ends, connector));
        assert!(acceptor.accept().await.is_none());
    }

    #[tokio::test]
    async fn a_connection_is_refused_when_the_backlog_is_full_or_nobody_listens() {
        let (connector, acceptor) = listener();
        let mut ends: Vec<End> =
            (0..ACCEPT_BACKLOG_MAX).map(|_| connector.connect(Shape::default()).unwrap()).collect();
        assert_eq!(connector.connect(Shape::default()).unwrap_err(), ConnectError::BacklogFull);

        drop(acceptor);
        let refused = connector.connect(Shape::default()).unwrap_err();
        assert_eq!(refused, ConnectError::Gone);
        assert_eq!(io::Error::from(refused).kind(), io::ErrorKind::ConnectionRefused);
        let mut waiting = ends.remove(0);
        let read = tokio::io::AsyncReadExt::read(&mut waiting, &mut [0]).await.unwrap();
        assert_eq!(read, 0, "a connection that was never accepted is closed with its acceptor");
    }
}
