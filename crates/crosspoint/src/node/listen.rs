//! Nodes that listen themselves, and nodes with several connections.
//!
//! A node that listens has a hub of its own, at which it is a session like all others. Those who
//! connect may do nothing at that hub but link to the node.

use super::builder::NodeBuilder;
use super::host::Host;
use super::{Node, connect};
use crate::Shape;
use crate::address::Address;
use crate::error::ConnectError;
use crate::peer::{Reception, Terms};
use crate::server::Server;
use bytes::Bytes;
use crosspoint_auth::{Credentials, Denied, from_fn};
use crosspoint_hub::command::Hello;
use crosspoint_hub::{Grant, Hub, HubOptions, PeerId, Permissions};
use crosspoint_net::gateways::standard;
#[cfg(feature = "http")]
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::ServerOptions;
use std::net::SocketAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

fn same(one: Option<&Bytes>, other: Option<&Bytes>) -> bool {
    let [one, other] = [one, other].map(|bytes| bytes.map_or(&[][..], |bytes| bytes));
    one.ct_eq(other).into()
}

/// Lets the node itself do everything, and visitors nothing but link to it.
fn options(home: Bytes, visitors: Option<Bytes>) -> ServerOptions {
    let authenticator = from_fn(move |credentials: Credentials| {
        let token = credentials.token.as_ref();
        let permissions = if credentials.address.is_none() && same(token, Some(&home)) {
            Ok(Permissions::ALL)
        } else if visitors.is_none() || same(token, visitors.as_ref()) {
            Ok(Permissions::NOTHING)
        } else {
            Err(Denied::new("the token is not that of the node"))
        };
        std::future::ready(permissions.map(|permissions| Grant { permissions, ..Grant::default() }))
    });
    let gateways = standard();
    #[cfg(feature = "peote")]
    let gateways = gateways.with(crosspoint_net::gateways::Peote { enabled: Some(false) });
    ServerOptions {
        gateways,
        #[cfg(feature = "http")]
        http: HttpOptions { health: false, metrics: false, ..HttpOptions::default() },
        authenticator: Some(Arc::new(authenticator)),
        ..ServerOptions::default()
    }
}

impl NodeBuilder {
    /// A node that listens for others, over TCP and WebSocket, without any hub between. The port
    /// may be 0: [`Node::addresses`] tells which one it is.
    ///
    /// A node that connects there ([`connect`](Self::connect)) gets a link to it by
    /// [`Node::neighbour`], and both sides can do the same then. There are no channels, and those
    /// who connect do not reach each other. If a [token](Self::token) is set they have to show it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use crosspoint::{Node, PeerEvent};
    ///
    /// let ann = Node::builder().name("Ann").listen("127.0.0.1:0".parse()?).await?;
    /// let mut incoming = ann.incoming();
    /// let bob = Node::builder().name("Bob").connect(format!("tcp://{}", ann.addresses()[0])).await?;
    ///
    /// let to_ann = bob.neighbour().await?;
    /// to_ann.send("hello").await?;
    /// let to_bob = incoming.next().await.ok_or("no link")?;
    /// let Some(PeerEvent::Message(hello)) = to_bob.next().await else { panic!() };
    /// assert_eq!(hello.data, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::Listen`], most often that the address is in use or not ours.
    pub async fn listen(self, address: SocketAddr) -> Result<Node, ConnectError> {
        // Only this program knows it, so it tells the node from those who connect.
        let home = PeerId::random().map_err(|error| ConnectError::NoPeerId(error.to_string()))?;
        let home = Bytes::copy_from_slice(home.as_bytes());
        let options = options(home.clone(), self.options.hello.token.clone());
        let hub = Hub::new(HubOptions { rooms_on_entry: false, ..HubOptions::default() });
        let server = Server::with_hub(hub, options);
        let hello = Hello { token: Some(home), ..self.options.hello.clone() };
        let inside = server.inside(Shape::default());
        let host = Host::new(server);
        let Self { options, handlers } = self;
        let reception = Reception::new(Terms::new(options, handlers));
        let node = connect(&reception, hello, inside).await?;
        host.server.hub().set_application_peer(node.peer_id());
        host.listen(address)?;
        node.site.set_host(host);
        Ok(node)
    }
}

impl Node {
    /// Listens at a further address, if the node listens at all. Gives the address, with the port
    /// that the system chose for port 0.
    ///
    /// # Errors
    /// [`ConnectError::Listen`]; [`ConnectError::NoListener`] if it was not made by
    /// [`NodeBuilder::listen`].
    pub fn listen_on(&self, address: SocketAddr) -> Result<SocketAddr, ConnectError> {
        self.site.host().ok_or(ConnectError::NoListener)?.listen(address)
    }

    /// Where the node listens, in the order in which it began to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.site.host().map_or_else(Vec::new, Host::addresses)
    }

    /// Where other nodes of this program reach this one without a network, if it listens. The shape
    /// gives the connection the lag, jitter and speed of a real one.
    pub fn inside(&self, shape: Shape) -> Option<Address> {
        self.site.host().map(|host| host.server.inside(shape))
    }

    /// Connects the same node to another hub, or to another node: with the same name, identity,
    /// [handlers](Self::handle) and [`incoming`](Self::incoming) links. So a node can listen and
    /// be connected at once, over several transports.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn join<A>(&self, address: A) -> Result<Node, ConnectError>
    where
        A: TryInto<Address>,
        A::Error: Into<ConnectError>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let reception = self.site.reception();
        connect(reception, reception.terms().options.hello.clone(), address).await
    }
}
