//! What is wrong with a remote trait, and where.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Error;

/// One thing that is wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The source that the message is about.
    pub(crate) place: TokenStream,
    pub(crate) message: &'static str,
}

impl Fault {
    pub(crate) fn at(place: impl ToTokens, message: &'static str) -> Self {
        Self { place: place.into_token_stream(), message }
    }

    /// The code that makes the compiler say it at its place.
    pub(crate) fn to_compile_error(&self) -> TokenStream {
        Error::new_spanned(&self.place, self.message).to_compile_error()
    }
}

/// All that is wrong, so that it can be mended at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    pub(crate) fn at(&mut self, place: impl ToTokens, message: &'static str) {
        self.0.push(Fault::at(place, message));
    }

    /// The value, if there is one; what is wrong otherwise is added.
    pub(crate) fn take<T>(&mut self, result: Result<T, Faults>) -> Option<T> {
        result.map_err(|more| self.0.extend(more.0)).ok()
    }

    /// An error if anything is wrong.
    pub(crate) fn finish(self) -> Result<(), Faults> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}
