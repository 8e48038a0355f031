//! The trait itself, its `async fn`s written out so that their futures are `Send`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::{Method, Service, Shape};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let Service { vis, ident, attrs, supertraits, .. } = service;
    let methods = service.methods.iter().map(method);
    quote! {
        #(#attrs)*
        #vis trait #ident: #(#supertraits +)* ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn method(method: &Method) -> TokenStream {
    let Method { ident, attrs, returns, .. } = method;
    let arguments = method.arguments.iter().map(|argument| (&argument.ident, &argument.ty));
    let inbound = method.inbound.iter().map(|inbound| (&inbound.ident, &inbound.ty));
    let inputs = arguments.chain(inbound).map(|(ident, ty)| quote!(#ident: #ty));
    let body = match (&method.body, method.shape) {
        (None, _) => quote!(;),
        (Some(body), Shape::Stream | Shape::Channel) => quote!(#body),
        (Some(body), _) => quote!({ async move #body }),
    };
    quote! {
        #(#attrs)*
        fn #ident(&self, #(#inputs),*) -> #returns + ::core::marker::Send #body
    }
}
