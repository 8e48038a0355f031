//! The constant that describes a service.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

use crate::model::{Argument, Method, Service, Shape, docs};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let Service { krate, group, name, version, .. } = service;
    let docs = docs(&service.attrs);
    let methods = service.methods.iter().map(|it| method(service, it));
    quote! {
        #krate::Contract {
            key: #krate::ServiceKey::new(#group, #name, #version),
            docs: #docs,
            methods: &[#(#methods),*],
        }
    }
}

fn method(service: &Service, method: &Method) -> TokenStream {
    let krate = &service.krate;
    let Method { name, rust_name, options, .. } = method;
    let docs = docs(&method.attrs);
    let shape = shape(method.shape);
    let arguments = method.arguments.iter().map(|it| argument(service, it));
    let inbound = option(method.inbound.as_ref().map(|inbound| text(&inbound.item)));
    let result = text(&method.result);
    let error = option(method.error.as_ref().map(text));
    let timeout = option(options.timeout.map(duration));
    let idempotent = options.idempotent;
    let bare = options.bare.is_some();
    quote! {
        #krate::Method {
            name: #name,
            rust_name: #rust_name,
            docs: #docs,
            shape: #krate::Shape::#shape,
            arguments: &[#(#arguments),*],
            inbound: #inbound,
            result: #result,
            error: #error,
            timeout: #timeout,
            idempotent: #idempotent,
            bare: #bare,
        }
    }
}

fn argument(service: &Service, argument: &Argument) -> TokenStream {
    let krate = &service.krate;
    let Argument { name, rust_name, ty, required, .. } = argument;
    let text = text(ty);
    quote!(#krate::Argument { name: #name, rust_name: #rust_name, type_text: #text, required: #required })
}

fn shape(shape: Shape) -> TokenStream {
    match shape {
        Shape::Unary => quote!(Unary),
        Shape::OneWay => quote!(OneWay),
        Shape::Stream => quote!(Stream),
        Shape::ClientStream => quote!(ClientStream),
        Shape::Channel => quote!(Channel),
    }
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

pub(crate) fn duration(duration: Duration) -> TokenStream {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_micros(#micros))
}

/// A type as a person writes it, whatever spaces the tokens bring.
fn text(ty: &impl ToTokens) -> String {
    let spaced = ty.to_token_stream().to_string();
    let letters: Vec<char> = spaced.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let mut text = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1).copied();
        let is_tight = |side: Option<char>| side.is_none_or(|c| "<>:()[]&".contains(c));
        if *letter == ' ' && (is_tight(before) || is_tight(after) || after == Some(',') || after == Some(';')) {
            continue;
        }
        text.push(*letter);
    }
    text
}
