//! The control center of a hub: who is connected and what happens, live, and what an operator does about it. An API over
//! HTTP, a stream of events, and a web page.
//!
//! [`Control`] answers requests for one hub. `crosspoint serve` has it by itself; a program that embeds the hub adds its
//! [router](Control::router) to the routes of its server:
//!
//! ```
//! use crosspoint_control::{Control, ControlOptions, Token};
//! use crosspoint_hub::{Hub, HubOptions};
//! use crosspoint_net::http::HttpOptions;
//! use crosspoint_net::server::{Server, ServerOptions, bind};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let hub = Hub::new(HubOptions::default());
//! // Programs and browsers of this machine need no token.
//! let token = Token::random()?;
//! let options = ControlOptions { token: Some(token), ..ControlOptions::default() };
//! let control = Control::new(hub.clone(), options);
//! let http = HttpOptions { routes: Some(control.router()), ..HttpOptions::default() };
//! let server = Server::new(hub, ServerOptions { http, ..ServerOptions::default() });
//! let listener = bind("127.0.0.1:0".parse()?)?;
//! println!("http://{}/", listener.local_addr()?);
//! server.listen(listener);
//! server.stop().await;
//! # Ok(()) })}
//! ```
//!
//! * `access`: who may come in; `routes`, `handlers`: what is answered; `page`: the files of the page
//! * `charged`: the memory of answers; `snapshot`: what the hub has at a moment; `history`: the last ten minutes; `shared`: the task that looks
//! * [`model`]: the types of the API, for clients too; `view`: what the hub has, as these types
//! * `params`, `listing`, `key`: queries and what they choose
//! * `watch`, `stream`: what a viewer follows, and the answer that goes on
//! * `actions`: what changes something; `openapi`: the description of the API
//!
//! `docs/control.md` is for operators, and `GET /api/v1/openapi.json` describes each request.

mod access;
mod actions;
mod charged;
mod clock;
mod control;
mod handlers;
mod history;
mod key;
mod listing;
pub mod model;
mod openapi;
mod page;
mod params;
mod refused;
mod routes;
mod shared;
mod snapshot;
mod stream;
mod view;
mod watch;

pub use access::{Access, NoToken, Token};
pub use control::{Control, ControlOptions};
