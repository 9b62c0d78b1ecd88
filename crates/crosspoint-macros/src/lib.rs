//! The macros of the `crosspoint` crate, which re-exports and documents them.

mod expand;
mod fault;
mod model;

use proc_macro::TokenStream;

/// Makes both ends of a trait that is called over a channel.
///
/// On a trait `Game` it generates
///
/// * `GameCaller`, with the methods of the trait. `GameCaller::new(&calls, object)` calls object
///   number `object` of the far end; `with_timeout` sets how long it waits for results. A method
///   without result becomes `fn(&self, ..) -> Result<(), CallError>`, which puts the call into the
///   outbox and returns. A method with a result becomes `async fn(&self, ..) -> Result<T,
///   CallError>`; the call is sent when the future is first polled.
/// * `GameDispatch<T: Game>`, an `Object` to register: it decodes calls and runs the methods of a
///   `T`. A panic of a method is not caught.
///
/// Methods are numbered from 0 in the order of declaration, so adding one at the end keeps older
/// callers working. They take `&self` or `&mut self`; arguments and results are owned types with a
/// `Value` encoding. One parameter may be marked `#[remote(caller)]`: it has the type `Origin`, is
/// not sent, and tells the method who is calling.
///
/// The names of the methods may not be `new`, `with_timeout` or `clone`, which `GameCaller` has
/// itself.
#[proc_macro_attribute]
pub fn remote(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::remote(arguments.into(), item.into()).into()
}
