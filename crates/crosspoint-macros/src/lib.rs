//! The macros of the `crosspoint` crate, which re-exports and documents them.

mod expand;
mod fault;
mod model;

use proc_macro::TokenStream;

/// Generates the caller and the dispatcher for a trait whose methods are called over a channel or a link.
///
/// On a trait `Game` it generates:
///
/// * `GameCaller`, with the methods of the trait. `GameCaller::new(&calls, object)` calls object
///   number `object` of the far end. `with_timeout` sets how long it waits for results. A method
///   without a result becomes `fn(&self, ..) -> Result<(), CallError>`, which queues the call
///   and returns. A method with a result becomes `async fn(&self, ..) -> Result<T,
///   CallError>`; the call is sent when the future is first polled.
/// * `GameDispatch<T: Game>`, an `Object` to register. It decodes calls and runs the methods of a
///   `T`. It does not catch a panic of a method.
///
/// Methods are numbered from 0 in the order of declaration. A method that is added at the end keeps older
/// callers working. Methods take `&self` or `&mut self`; arguments and results are owned types with a
/// `Value` encoding. One parameter may be marked `#[remote(caller)]`. It has the type `Origin`, is
/// not sent, and identifies the caller.
///
/// A method cannot have the name `new`, `with_timeout` or `clone`, because `GameCaller` has methods
/// of these names.
#[proc_macro_attribute]
pub fn remote(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::remote(arguments.into(), item.into()).into()
}
