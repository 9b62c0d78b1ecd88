//! Reads a remote trait and says what cannot be called remotely.

use proc_macro2::Ident;
use quote::format_ident;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, ItemTrait, Pat, Receiver, ReceiverKind, ReturnType, TraitItem, Type};

use crate::fault::{Fault, Faults};

/// Procedures are numbered by one byte.
const MAX_PROCEDURES: usize = 256;

/// Names that the generated caller has methods of its own for.
const RESERVED: [&str; 3] = ["new", "with_timeout", "clone"];

/// A method that can be called remotely.
pub(crate) struct Procedure {
    pub(crate) name: Ident,
    pub(crate) number: u8,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) mutable: bool,
    pub(crate) params: Vec<Param>,
    pub(crate) result: Option<Type>,
}

impl Procedure {
    pub(crate) fn wants_caller(&self) -> bool {
        self.params.iter().any(|param| matches!(param, Param::Caller))
    }
}

/// A parameter after `self`.
pub(crate) enum Param {
    /// `#[remote(caller)]`
    Caller,
    /// Sent to the far end.
    Sent { name: Ident, ty: Box<Type> },
}

/// Takes the procedures out of a trait, and the attributes meant for this macro off it.
pub(crate) fn read(item: &mut ItemTrait) -> Result<Vec<Procedure>, Faults> {
    let mut faults = Faults::default();
    if let Some(param) = item.generics.params.first() {
        faults.at(param, "a remote trait cannot be generic: both ends must agree on its types");
    }
    if let Some(clause) = &item.generics.where_clause {
        faults.at(clause, "a remote trait cannot have a where clause");
    }
    if let Some(token) = &item.unsafety {
        faults.at(token, "a remote trait cannot be unsafe: anyone at the far end may call it");
    }
    let mut procedures = Vec::new();
    for (index, item) in item.items.iter_mut().enumerate() {
        match item {
            TraitItem::Fn(method) => match u8::try_from(index) {
                Ok(number) => procedures.extend(faults.take(procedure(method, number))),
                Err(_) if index == MAX_PROCEDURES => faults.at(
                    &method.sig.ident,
                    "a remote trait has at most 256 methods; put the rest into a second trait",
                ),
                Err(_) => {}
            },
            other => faults.at(other, "a remote trait has methods only"),
        }
    }
    if item.items.is_empty() {
        faults.at(&item.ident, "a remote trait needs a method");
    }
    faults.finish().map(|()| procedures)
}

fn procedure(method: &mut syn::TraitItemFn, number: u8) -> Result<Procedure, Faults> {
    let mut faults = Faults::default();
    let sig = &mut method.sig;
    for attr in method.attrs.iter().filter(|attr| is_conditional(attr)) {
        faults.at(attr, "the number of a remote method may not depend on the build");
    }
    if let Some(token) = &sig.asyncness {
        faults
            .at(token, "a remote method is not async where it runs; only the caller's side waits");
    }
    if let Some(token) = &sig.constness {
        faults.at(token, "a remote method cannot be const");
    }
    if let Some(abi) = &sig.abi {
        faults.at(abi, "a remote method cannot have an ABI");
    }
    if let Some(param) = sig.generics.params.first() {
        faults.at(param, "a remote method cannot be generic: both ends must agree on its types");
    }
    if let Some(clause) = &sig.generics.where_clause {
        faults.at(clause, "a remote method cannot have a where clause");
    }
    if RESERVED.iter().any(|name| sig.ident == name) {
        faults.at(&sig.ident, "the generated caller has a method of this name itself");
    }

    let mut mutable = false;
    let mut params = Vec::new();
    for (position, input) in sig.inputs.iter_mut().enumerate() {
        match input {
            FnArg::Receiver(receiver) => match is_mutable(receiver) {
                Some(is) => mutable = is,
                None => faults.at(receiver, "a remote method takes `&self` or `&mut self`"),
            },
            FnArg::Typed(input) => {
                if position == 0 {
                    faults.at(&sig.ident, "a remote method takes `&self` or `&mut self`");
                }
                params.extend(faults.take(param(input, position)));
            }
        }
    }
    if sig.inputs.is_empty() {
        faults.at(&sig.ident, "a remote method takes `&self` or `&mut self`");
    }
    if params.iter().filter(|param| matches!(param, Param::Caller)).count() > 1 {
        faults.at(&sig.inputs, "only one parameter can be `#[remote(caller)]`");
    }
    let result = faults.take(result(&sig.output).map_err(Faults::from)).flatten();
    faults.finish().map(|()| Procedure {
        name: sig.ident.clone(),
        number,
        docs: method.attrs.iter().filter(|attr| attr.path().is_ident("doc")).cloned().collect(),
        mutable,
        params,
        result,
    })
}

fn is_conditional(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr")
}

/// Whether the receiver is `&mut self` or `&self`; `None` if it is neither.
fn is_mutable(receiver: &Receiver) -> Option<bool> {
    match &receiver.kind {
        ReceiverKind::Reference(_, None, mutability) => Some(mutability.is_some()),
        _ => None,
    }
}

fn param(input: &mut syn::PatType, position: usize) -> Result<Param, Faults> {
    let mut faults = Faults::default();
    let mut caller = false;
    input.attrs.retain(|attr| {
        if is_conditional(attr) {
            faults.at(attr, "the arguments of a remote method may not depend on the build");
        }
        if !attr.path().is_ident("remote") {
            return true;
        }
        match attr.parse_args::<Ident>() {
            Ok(word) if word == "caller" => caller = true,
            _ => faults.at(attr, "only `#[remote(caller)]` is known here"),
        }
        false
    });
    if caller {
        return faults.finish().map(|()| Param::Caller);
    }
    match &*input.ty {
        Type::Reference(ty) => faults.at(
            ty,
            "an argument cannot be a reference, since it is sent to the far end; use an owned \
             type, such as `String` for `&str`",
        ),
        Type::ImplTrait(ty) => {
            faults.at(ty, "an argument needs a named type: both ends must agree on it");
        }
        _ => {}
    }
    let name = match &*input.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => pat.ident.clone(),
        Pat::Wild(pat) => format_ident!("arg{position}", span = pat.span()),
        other => {
            faults.at(other, "an argument of a remote method needs a name");
            return Err(faults);
        }
    };
    faults.finish().map(|()| Param::Sent { name, ty: input.ty.clone() })
}

fn result(output: &ReturnType) -> Result<Option<Type>, Fault> {
    let ReturnType::Type(_, ty) = output else {
        return Ok(None);
    };
    let message = match &**ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            "`()` is no result: leave it out for a call without reply, or return a `bool` to let \
             the caller wait"
        }
        Type::Reference(_) => {
            "a result cannot be a reference, since it is sent to the far end; use an owned type"
        }
        Type::ImplTrait(_) => "a result needs a named type: both ends must agree on it",
        Type::Never(_) => "a remote method must return",
        _ => return Ok(Some((**ty).clone())),
    };
    Err(Fault::at(ty, message))
}
