//! `<Trait>Server<S>`: one match arm per method of the trait.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};

use crate::model::{Method, Service, Shape};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let Service { krate, vis, ident, name, .. } = service;
    let client = format_ident!("{ident}Client");
    let server = format_ident!("{ident}Server");
    let docs = format!("Serves `{name}` with an implementation of [`{ident}`].");
    let dispatch = dispatch(service);
    quote! {
        #[doc = #docs]
        #vis struct #server<S> {
            service: #krate::__private::Arc<S>,
        }

        impl<S: #ident> #server<S> {
            /// What the service offers.
            #vis const CONTRACT: &'static #krate::Contract = #client::CONTRACT;

            /// Serves with this implementation.
            #vis fn new(service: S) -> Self {
                Self::from_arc(#krate::__private::Arc::new(service))
            }

            /// Serves with an implementation that is used elsewhere too.
            #vis fn from_arc(service: #krate::__private::Arc<S>) -> Self {
                Self { service }
            }
        }

        impl<S: #ident> #krate::Dispatch for #server<S> {
            fn contract(&self) -> &'static #krate::Contract {
                Self::CONTRACT
            }

            #dispatch
        }

        impl<S> ::core::clone::Clone for #server<S> {
            fn clone(&self) -> Self {
                Self { service: #krate::__private::Arc::clone(&self.service) }
            }
        }

        impl<S> ::core::fmt::Debug for #server<S> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(::core::stringify!(#server)).finish_non_exhaustive()
            }
        }
    }
}

/// Our own local names are hygienic (`mixed_site`): an argument may be called `request`.
fn dispatch(service: &Service) -> TokenStream {
    let krate = &service.krate;
    let locals = Locals::new();
    let Locals { name, interaction, request, .. } = &locals;
    let arms = service.methods.iter().enumerate().map(|(index, it)| arm(service, index, it, &locals));
    quote! {
        fn dispatch(
            &self,
            #name: &str,
            #interaction: #krate::Interaction,
            #request: #krate::Request,
        ) -> ::core::result::Result<#krate::Reply, #krate::RpcError> {
            match #name {
                #(#arms)*
                _ => {
                    let _ = (#interaction, #request);
                    ::core::result::Result::Err(#krate::RpcError::no_method(&Self::CONTRACT, #name))
                }
            }
        }
    }
}

struct Locals {
    name: TokenStream,
    interaction: TokenStream,
    request: TokenStream,
    incoming: TokenStream,
    arguments: TokenStream,
    service: TokenStream,
    outlet: TokenStream,
}

impl Locals {
    fn new() -> Self {
        let local = |name: &str| syn::Ident::new(name, Span::mixed_site()).into_token_stream();
        Self {
            name: local("name"),
            interaction: local("interaction"),
            request: local("request"),
            incoming: local("incoming"),
            arguments: local("arguments"),
            service: local("service"),
            outlet: local("outlet"),
        }
    }
}

fn arm(service: &Service, index: usize, method: &Method, locals: &Locals) -> TokenStream {
    let (krate, service_trait) = (&service.krate, &service.ident);
    let Method { ident, name, rust_name, result, error, .. } = method;
    let Locals { interaction, request, incoming, arguments, service, outlet, .. } = locals;
    let spellings = if name == rust_name { quote!(#name) } else { quote!(#name | #rust_name) };
    let count = method.arguments.len();
    let takes = method.arguments.iter().enumerate().map(|(at, argument)| {
        let (ident, ty) = (&argument.ident, &argument.ty);
        quote!(let #ident = #arguments.take::<#ty>(#at)?;)
    });
    let items = method.inbound.iter().map(|inbound| {
        let (ident, item) = (&inbound.ident, &inbound.item);
        quote!(let #ident = #incoming.items::<#item>();)
    });
    let mutable = method.inbound.is_some().then(|| quote!(mut));
    let argument_mutable = (count > 0).then(|| quote!(mut));
    let inputs = method.arguments.iter().map(|it| &it.ident).chain(method.inbound.iter().map(|it| &it.ident));
    let called = quote!(<S as #service_trait>::#ident(&#service, #(#inputs),*));
    let reply = match method.shape {
        Shape::Unary | Shape::ClientStream => {
            quote!(#incoming.unary::<#result, #error>(async move { #called.await }))
        }
        Shape::OneWay => quote!(#incoming.one_way(async move { #called.await })),
        Shape::Stream | Shape::Channel => quote! {
            #incoming.stream::<#result, #error, _>(move |#outlet| async move { #outlet.forward(#called).await })
        },
    };
    let unused = (count == 0).then(|| quote_spanned!(Span::mixed_site()=> let _ = #arguments;));
    quote! {
        #spellings => {
            let #mutable #incoming =
                #krate::__private::Incoming::open(Self::CONTRACT, #index, #interaction, #request)?;
            let #argument_mutable #arguments = #incoming.arguments::<#count>()?;
            #unused
            #(#takes)*
            #(#items)*
            let #service = #krate::__private::Arc::clone(&self.service);
            ::core::result::Result::Ok(#reply)
        }
    }
}
