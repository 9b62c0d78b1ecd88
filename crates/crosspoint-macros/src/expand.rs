//! Writes the two ends of a remote trait.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemTrait};

use crate::model::{self, Param, Procedure};

pub(crate) fn remote(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        let error = Error::new_spanned(arguments, "`#[remote]` on a trait takes no arguments");
        return with_error(item, &error);
    }
    let mut parsed: ItemTrait = match syn::parse2(item.clone()) {
        Ok(parsed) => parsed,
        Err(_) => {
            let message = "`#[remote]` belongs on a trait";
            return with_error(item.clone(), &Error::new_spanned(item, message));
        }
    };
    match model::read(&mut parsed) {
        Ok(procedures) => {
            let caller = caller(&parsed, &procedures);
            let dispatch = dispatch(&parsed, &procedures);
            quote! { #parsed #caller #dispatch }
        }
        // The trait stays, so that its implementations do not give errors of their own.
        Err(error) => with_error(quote! { #parsed }, &error),
    }
}

fn with_error(item: TokenStream, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    quote! { #item #error }
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
        let code = remote(TokenStream::new(), trait_with_methods(300)).to_string();
        assert_eq!(code.matches("compile_error").count(), 1);
        assert!(code.contains("at most 256 methods"), "{code}");
    }
}
