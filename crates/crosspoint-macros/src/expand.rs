//! Writes the two ends of a remote trait.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ItemTrait;
use syn::spanned::Spanned;

use crate::fault::{Fault, Faults};
use crate::model::{self, Param, Procedure};

pub(crate) fn remote(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item).unwrap_or_else(|Refused { item, faults }| {
        let faults = faults.0.iter().map(Fault::to_compile_error);
        quote! { #item #(#faults)* }
    })
}

/// An item that is no remote trait.
#[derive(Debug)]
struct Refused {
    /// The item stays, so that what uses it does not give errors of its own.
    item: TokenStream,
    faults: Faults,
}

fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Refused> {
    if !arguments.is_empty() {
        let fault = Fault::at(arguments, "`#[remote]` on a trait takes no arguments");
        return Err(Refused { item, faults: fault.into() });
    }
    let mut parsed: ItemTrait = syn::parse2(item.clone()).map_err(|_| Refused {
        faults: Fault::at(&item, "`#[remote]` belongs on a trait").into(),
        item,
    })?;
    let procedures = model::read(&mut parsed)
        .map_err(|faults| Refused { item: parsed.to_token_stream(), faults })?;
    let caller = caller(&parsed, &procedures);
    let dispatch = dispatch(&parsed, &procedures);
    Ok(quote! { #parsed #caller #dispatch })
}

fn caller(item: &ItemTrait, procedures: &[Procedure]) -> TokenStream {
    let (vis, name) = (&item.vis, &item.ident);
    let caller = format_ident!("{name}Caller");
    let doc = format!("Calls a [`{name}`] at the far end of a channel.");
    let methods = procedures.iter().map(|procedure| caller_method(item, procedure));
    // Most programs are at one end only.
    quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #[allow(dead_code)]
        #vis struct #caller {
            caller: ::crosspoint::remote::Caller,
        }

        #[allow(dead_code, clippy::too_many_arguments)]
        impl #caller {
            /// A caller of an object of the far end.
            #vis fn new(calls: &::crosspoint::remote::Calls, object: ::core::primitive::u8) -> Self {
                Self { caller: ::crosspoint::remote::Caller::new(calls, object) }
            }

            /// The same caller with another time to wait for results.
            #[must_use]
            #vis fn with_timeout(self, timeout: ::core::time::Duration) -> Self {
                Self { caller: self.caller.with_timeout(timeout) }
            }

            #(#methods)*
        }
    }
}

fn caller_method(item: &ItemTrait, procedure: &Procedure) -> TokenStream {
    let Procedure { name, number, docs, params, result, .. } = procedure;
    let vis = &item.vis;
    let doc = format!("Calls [`{}::{name}`], procedure {number}.", item.ident);
    let doc = match docs[..] {
        [] => quote! { #[doc = #doc] },
        _ => quote! { #(#docs)* #[doc = ""] #[doc = #doc] },
    };
    let (names, types): (Vec<_>, Vec<_>) = params
        .iter()
        .filter_map(|param| match param {
            Param::Caller => None,
            Param::Sent { name, ty } => Some((name, ty)),
        })
        .unzip();
    // An error about a type without encoding is to point at that type.
    let args = names.iter().zip(&types).map(|(name, ty)| {
        quote_spanned! { ty.span() => .arg(&#name)? }
    });
    let call = quote! { self.caller.procedure(#number) #(#args)* };
    match result {
        None => quote! {
            #doc
            #vis fn #name(
                &self, #(#names: #types),*
            ) -> ::core::result::Result<(), ::crosspoint::remote::CallError> {
                #call.send()
            }
        },
        Some(result) => {
            let ask = quote_spanned! { result.span() => .ask::<#result>() };
            quote! {
                #doc
                #vis async fn #name(
                    &self, #(#names: #types),*
                ) -> ::core::result::Result<#result, ::crosspoint::remote::CallError> {
                    #call #ask.await
                }
            }
        }
    }
}

fn dispatch(item: &ItemTrait, procedures: &[Procedure]) -> TokenStream {
    let (vis, name) = (&item.vis, &item.ident);
    let dispatch = format_ident!("{name}Dispatch");
    let doc = format!("Lets the far end of a channel call a [`{name}`].");
    // A name that the types of the methods cannot mean.
    let object = format_ident!("__Implementor");
    let origin = match procedures.iter().any(Procedure::wants_caller) {
        true => format_ident!("origin"),
        false => format_ident!("_origin"),
    };
    let arms = procedures.iter().map(|procedure| dispatch_arm(item, procedure, &object, &origin));
    let unknown = (procedures.len() < 256).then(|| {
        quote! { _ => ::core::result::Result::Err(::crosspoint::remote::Fault::UnknownProcedure), }
    });
    quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #[allow(dead_code)]
        #vis struct #dispatch<#object> {
            object: #object,
        }

        #[allow(dead_code)]
        impl<#object: #name> #dispatch<#object> {
            /// Lets `object` be called.
            #vis fn new(object: #object) -> Self {
                Self { object }
            }

            /// The object that is called.
            #vis fn get_ref(&self) -> &#object {
                &self.object
            }

            /// The object that is called.
            #vis fn get_mut(&mut self) -> &mut #object {
                &mut self.object
            }

            /// Gives the object back.
            #vis fn into_inner(self) -> #object {
                self.object
            }
        }

        impl<#object: #name + ::core::marker::Send> ::crosspoint::remote::Object
            for #dispatch<#object>
        {
            fn call(
                &mut self,
                #origin: ::crosspoint::remote::Origin,
                procedure: ::core::primitive::u8,
                args: &mut ::crosspoint::remote::Reader,
            ) -> ::core::result::Result<
                ::core::option::Option<::crosspoint::remote::Bytes>,
                ::crosspoint::remote::Fault,
            > {
                match procedure {
                    #(#arms)*
                    #unknown
                }
            }
        }
    }
}

fn dispatch_arm(
    item: &ItemTrait,
    procedure: &Procedure,
    object: &Ident,
    origin: &Ident,
) -> TokenStream {
    let Procedure { name, number, mutable, params, result, .. } = procedure;
    let trait_name = &item.ident;
    let receiver = match mutable {
        true => quote! { &mut self.object },
        false => quote! { &self.object },
    };
    let mut reads = Vec::new();
    let mut values = Vec::new();
    for (index, param) in params.iter().enumerate() {
        match param {
            Param::Caller => values.push(origin.clone()),
            Param::Sent { ty, .. } => {
                let value = format_ident!("arg{index}");
                reads.push(quote! {
                    let #value = <#ty as ::crosspoint::remote::Value>::decode(args)?;
                });
                values.push(value);
            }
        }
    }
    let call = quote! { <#object as #trait_name>::#name(#receiver, #(#values),*) };
    let finish = match result {
        None => quote! {
            #call;
            ::core::result::Result::Ok(::core::option::Option::None)
        },
        Some(result) => {
            let encode = quote_spanned! { result.span() => ::crosspoint::remote::encode_result };
            quote! { #encode::<#result>(&#call) }
        }
    };
    quote! {
        #number => {
            #(#reads)*
            args.finish()?;
            #finish
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trait_with_methods(count: usize) -> TokenStream {
        let methods = (0..count).map(|i| format_ident!("m{i}"));
        quote! { trait Many { #(fn #methods(&self);)* } }
    }

    #[test]
    fn methods_are_numbered_up_to_255() {
        let code = remote(TokenStream::new(), trait_with_methods(256)).to_string();
        assert!(code.contains("255u8 =>"), "{code}");
        assert!(!code.contains("UnknownProcedure"), "no number is left that could be unknown");
        assert!(!code.contains("compile_error"), "{code}");
    }

    #[test]
    fn a_method_above_255_is_refused_once() {
        let refused = expand(TokenStream::new(), trait_with_methods(300)).unwrap_err();
        let message = "a remote trait has at most 256 methods; put the rest into a second trait";
        assert_eq!(faults_of(refused), [(message, "m256".to_owned())]);
    }

    /// Each message and the source that it is about.
    fn faults_of(refused: Refused) -> Vec<(&'static str, String)> {
        let told = |fault: Fault| (fault.message, fault.place.to_string());
        refused.faults.0.into_iter().map(told).collect()
    }

    /// Checks that an item is refused for these reasons at these places, and that the compiler
    /// hears of each beside the item.
    #[track_caller]
    fn assert_refused(arguments: &str, item: &str, expected: &[(&str, &str)]) {
        let tokens = |text: &str| text.parse::<TokenStream>().unwrap();
        let refused = expand(tokens(arguments), tokens(item)).unwrap_err();
        let expected: Vec<_> =
            expected.iter().map(|(message, place)| (*message, tokens(place).to_string())).collect();
        let code = remote(tokens(arguments), tokens(item)).to_string();
        assert_eq!(code.matches("compile_error").count(), expected.len(), "{code}");
        for (message, _) in &expected {
            assert!(code.contains(&quote! { #message }.to_string()), "{message} in {code}");
        }
        assert_eq!(faults_of(refused), expected, "{item}");
    }

    #[test]
    fn traits_that_cannot_be_remote_are_refused_with_a_reason() {
        for (arguments, item, message, place) in [
            (
                "",
                "trait Generic<T> { fn method(&self); }",
                "a remote trait cannot be generic: both ends must agree on its types",
                "T",
            ),
            (
                "",
                "trait Bounded where Self: Sized { fn method(&self); }",
                "a remote trait cannot have a where clause",
                "where Self: Sized",
            ),
            (
                "",
                "unsafe trait Unsafe { fn method(&self); }",
                "a remote trait cannot be unsafe: anyone at the far end may call it",
                "unsafe",
            ),
            (
                "",
                "trait Associated { type Name; fn method(&self); }",
                "a remote trait has methods only",
                "type Name;",
            ),
            ("", "trait Empty {}", "a remote trait needs a method", "Empty"),
            (
                "id = 3",
                "trait Arguments { fn method(&self); }",
                "`#[remote]` on a trait takes no arguments",
                "id = 3",
            ),
            ("", "struct NotATrait;", "`#[remote]` belongs on a trait", "struct NotATrait;"),
        ] {
            assert_refused(arguments, item, &[(message, place)]);
        }
    }

    #[test]
    fn methods_that_cannot_be_called_remotely_are_refused_with_a_reason() {
        const SELF: &str = "a remote method takes `&self` or `&mut self`";
        const CFG: &str = "the number of a remote method may not depend on the build";
        for (method, message, place) in [
            (
                "fn generic<T>(&self, value: T);",
                "a remote method cannot be generic: both ends must agree on its types",
                "T",
            ),
            (
                "fn bounded(&self) where Self: Sized;",
                "a remote method cannot have a where clause",
                "where Self: Sized",
            ),
            (
                "async fn waits(&self);",
                "a remote method is not async where it runs; only the caller's side waits",
                "async",
            ),
            ("const fn early(&self);", "a remote method cannot be const", "const"),
            (
                "extern \"C\" fn foreign(&self);",
                "a remote method cannot have an ABI",
                "extern \"C\"",
            ),
            ("fn without_self(value: u8);", SELF, "without_self"),
            ("fn without_anything();", SELF, "without_anything"),
            ("fn by_value(self);", SELF, "self"),
            ("fn boxed(self: Box<Self>);", SELF, "self: Box<Self>"),
            (
                "fn reference(&self, text: &str);",
                "an argument cannot be a reference, since it is sent to the far end; use an owned \
                 type, such as `String` for `&str`",
                "&str",
            ),
            (
                "fn any(&self, value: impl Into<String>);",
                "an argument needs a named type: both ends must agree on it",
                "impl Into<String>",
            ),
            (
                "fn pattern(&self, (a, b): (u8, u8)) {}",
                "an argument of a remote method needs a name",
                "(a, b)",
            ),
            (
                "fn sometimes(&self, #[cfg(test)] value: u8);",
                "the arguments of a remote method may not depend on the build",
                "#[cfg(test)]",
            ),
            (
                "fn unit(&self) -> ();",
                "`()` is no result: leave it out for a call without reply, or return a `bool` to \
                 let the caller wait",
                "()",
            ),
            (
                "fn borrowed(&self) -> &str;",
                "a result cannot be a reference, since it is sent to the far end; use an owned type",
                "&str",
            ),
            (
                "fn some(&self) -> impl Into<String>;",
                "a result needs a named type: both ends must agree on it",
                "impl Into<String>",
            ),
            ("fn never(&self) -> !;", "a remote method must return", "!"),
            ("fn new(&self);", "the generated caller has a method of this name itself", "new"),
            ("#[cfg(debug_assertions)] fn sometimes(&self);", CFG, "#[cfg(debug_assertions)]"),
            ("#[cfg_attr(test, cold)] fn sometimes(&self);", CFG, "#[cfg_attr(test, cold)]"),
            (
                "fn two(&self, #[remote(caller)] a: Origin, #[remote(caller)] b: Origin);",
                "only one parameter can be `#[remote(caller)]`",
                "&self, a: Origin, b: Origin",
            ),
            (
                "fn unknown(&self, #[remote(sender)] a: Origin);",
                "only `#[remote(caller)]` is known here",
                "#[remote(sender)]",
            ),
        ] {
            let item = format!("trait Methods {{ {method} fn fine(&mut self) -> u8; }}");
            assert_refused("", &item, &[(message, place)]);
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        assert_refused(
            "",
            "trait Wrong<T> { async fn new(&self, text: &str, (a, b): T); const N: u8; }",
            &[
                ("a remote trait cannot be generic: both ends must agree on its types", "T"),
                (
                    "a remote method is not async where it runs; only the caller's side waits",
                    "async",
                ),
                ("the generated caller has a method of this name itself", "new"),
                (
                    "an argument cannot be a reference, since it is sent to the far end; use an \
                     owned type, such as `String` for `&str`",
                    "&str",
                ),
                ("an argument of a remote method needs a name", "(a, b)"),
                ("a remote trait has methods only", "const N: u8;"),
            ],
        );
    }
}
