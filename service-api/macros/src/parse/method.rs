use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, Ident, LitStr, Pat, PatType, Receiver, Result, ReturnType, Signature, TraitItemFn, Type,
};

use super::signature::{option_item, result_types, stream_item, streaming_item};
use super::{attributes, text};
use crate::model::{Argument, Inbound, Method, Options, Shape};

/// Names the generated client has for itself.
const RESERVED: [&str; 2] = ["new", "with_encoding"];

pub(super) fn read(function: &TraitItemFn) -> Result<Method> {
    let signature = &function.sig;
    let options = attributes::rpc(&function.attrs)?;
    check_signature(function)?;
    let (arguments, inbound) = inputs(signature)?;
    let (shape, returns, result, error) = output(signature, &options, inbound.as_ref())?;
    check_key(&options, &arguments)?;
    check_bare(&options, &arguments)?;
    let rust_name = signature.ident.unraw().to_string();
    let name = wire_name(&rust_name, options.name.as_ref())?;
    Ok(Method {
        ident: signature.ident.clone(),
        name,
        rust_name,
        attrs: function.attrs.iter().filter(|attr| !is_ours(attr)).cloned().collect(),
        shape,
        arguments,
        inbound,
        returns,
        result,
        error,
        options,
        body: function.default.clone(),
    })
}

pub(super) fn is_ours(attr: &Attribute) -> bool {
    attr.path().is_ident("rpc")
}

fn check_signature(function: &TraitItemFn) -> Result<()> {
    let signature = &function.sig;
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let why = "a service method has no generics: its contract names concrete types";
        let tokens = signature.generics.params.to_token_stream();
        let tokens = if tokens.is_empty() { signature.generics.where_clause.to_token_stream() } else { tokens };
        return Err(Error::new_spanned(tokens, why));
    }
    if let Some(token) = &signature.unsafety {
        return Err(Error::new(token.span, "a service method is not unsafe"));
    }
    if let Some(attr) = function.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
        return Err(Error::new_spanned(attr, "a service method has no #[cfg]: the contract would differ by build"));
    }
    if RESERVED.iter().any(|reserved| signature.ident == reserved) {
        let why = format!(
            "the generated client has a `{0}` of its own: rename it, or keep the wire name by `#[rpc(name = \"{0}\")]`",
            signature.ident
        );
        return Err(Error::new(signature.ident.span(), why));
    }
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) => check_receiver(receiver),
        _ => Err(Error::new(signature.ident.span(), "a service method starts with `&self`")),
    }
}

fn check_receiver(receiver: &Receiver) -> Result<()> {
    let is_shared = receiver.reference.is_some() && receiver.mutability.is_none() && receiver.colon_token.is_none();
    if is_shared {
        return Ok(());
    }
    let why = "a service method takes `&self`: calls run at the same time, so keep what changes behind a lock";
    Err(Error::new_spanned(receiver, why))
}

fn inputs(signature: &Signature) -> Result<(Vec<Argument>, Option<Inbound>)> {
    let mut arguments: Vec<Argument> = Vec::new();
    let mut inbound: Option<Inbound> = None;
    for input in &signature.inputs {
        let FnArg::Typed(input) = input else { continue };
        let ident = argument_name(input)?;
        check_type(&input.ty)?;
        let item = streaming_item(&input.ty);
        match (&inbound, item) {
            (Some(_), Some(_)) => {
                return Err(Error::new_spanned(
                    input,
                    "a method reads one `Streaming` only: put both kinds of items in an enum",
                ));
            }
            (Some(first), None) => {
                let why = "the `Streaming` argument comes last: the arguments travel before its items";
                return Err(Error::new_spanned(&first.ty, why));
            }
            (None, Some(item)) => inbound = Some(Inbound { ident, ty: (*input.ty).clone(), item }),
            (None, None) => {
                let argument = argument(ident, &input.ty);
                if let Some(other) = arguments.iter().find(|other| other.name == argument.name) {
                    let (one, other, name) = (&other.rust_name, &argument.rust_name, &argument.name);
                    let why = format!("`{one}` and `{other}` are both `{name}` on the wire: rename one");
                    return Err(Error::new(argument.ident.span(), why));
                }
                arguments.push(argument);
            }
        }
    }
    Ok((arguments, inbound))
}

fn argument_name(input: &PatType) -> Result<Ident> {
    if let Some(attr) = input.attrs.first() {
        return Err(Error::new_spanned(attr, "an argument has no attributes"));
    }
    match &*input.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.mutability.is_none() && pat.subpat.is_none() => {
            Ok(pat.ident.clone())
        }
        pat => Err(Error::new_spanned(pat, "an argument is a plain name: it is the name on the wire")),
    }
}

fn check_type(ty: &Type) -> Result<()> {
    match ty {
        Type::Reference(_) => {
            let why = "an argument is owned, not a reference: it arrives from another process (`String` for `&str`)";
            Err(Error::new_spanned(ty, why))
        }
        Type::ImplTrait(_) => Err(Error::new_spanned(ty, "an argument has a concrete type: the contract names it")),
        _ => Ok(()),
    }
}

fn argument(ident: Ident, ty: &Type) -> Argument {
    let rust_name = ident.unraw().to_string();
    let name = text::camel(&rust_name);
    Argument { ident, name, rust_name, ty: ty.clone(), required: option_item(ty).is_none() }
}

type Output = (Shape, TokenStream, Type, Option<Type>);

fn output(signature: &Signature, options: &Options, inbound: Option<&Inbound>) -> Result<Output> {
    let returned = match &signature.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some(&**ty),
    };
    let streamed = returned.and_then(stream_item);
    if options.oneway {
        return one_way(signature, returned, inbound);
    }
    match (streamed, signature.asyncness) {
        (Some(_), Some(token)) => {
            let why = "a method that returns a stream is a plain `fn`: the stream itself is what is asynchronous";
            Err(Error::new(token.span, why))
        }
        (Some(item), None) => {
            let why = "items are `Result<T, E>`: a stream can fail, so write `impl Stream<Item = Result<T, E>>`";
            let item = item.ok_or_else(|| Error::new_spanned(returned, why))?;
            let (result, error) = result_types(&item).ok_or_else(|| Error::new_spanned(&item, why))?;
            let shape = if inbound.is_some() { Shape::Channel } else { Shape::Stream };
            Ok((shape, returned.to_token_stream(), result, Some(error)))
        }
        (None, Some(_)) => {
            let why = "a method returns `Result<T, E>`, where E derives `ServiceError` or is `RpcError` (no answer at all: `#[rpc(oneway)]`)";
            let span = returned.map_or(signature.ident.span(), Spanned::span);
            let (result, error) = returned.and_then(result_types).ok_or_else(|| Error::new(span, why))?;
            let shape = if inbound.is_some() { Shape::ClientStream } else { Shape::Unary };
            Ok((shape, future(quote!(#returned)), result, Some(error)))
        }
        (None, None) => {
            let why = "a service method is an `async fn`, or a `fn` that returns `impl Stream<Item = Result<T, E>>`";
            Err(Error::new(signature.fn_token.span, why))
        }
    }
}

fn one_way(signature: &Signature, returned: Option<&Type>, inbound: Option<&Inbound>) -> Result<Output> {
    if let Some(returned) = returned {
        return Err(Error::new_spanned(
            returned,
            "a one-way method returns nothing: nobody waits for it, not even for an error",
        ));
    }
    if let Some(inbound) = inbound {
        return Err(Error::new_spanned(
            &inbound.ty,
            "a one-way method reads no stream: make it return `Result<(), E>`",
        ));
    }
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span, "a one-way method is an `async fn`"));
    }
    Ok((Shape::OneWay, future(quote!(())), syn::parse_quote!(()), None))
}

fn future(output: TokenStream) -> TokenStream {
    quote!(impl ::core::future::Future<Output = #output>)
}

fn check_key(options: &Options, arguments: &[Argument]) -> Result<()> {
    let Some(key) = &options.key else { return Ok(()) };
    if arguments.iter().any(|argument| argument.ident == *key) {
        return Ok(());
    }
    let names: Vec<_> = arguments.iter().map(|argument| argument.rust_name.as_str()).collect();
    let hint = match text::closest(&key.to_string(), &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the arguments are [{}]", names.join(", ")),
    };
    Err(Error::new(key.span(), format!("`key` names an argument, and there is no `{key}`: {hint}")))
}

fn check_bare(options: &Options, arguments: &[Argument]) -> Result<()> {
    let Some(span) = options.bare.filter(|_| arguments.len() != 1) else { return Ok(()) };
    let why = format!("a bare argument is the only one, and this method has {}", arguments.len());
    Err(Error::new(span, why))
}

fn wire_name(rust_name: &str, given: Option<&LitStr>) -> Result<String> {
    let Some(given) = given else { return Ok(text::camel(rust_name)) };
    let name = given.value();
    let checked = text::check_part(&name, "a method name").and_then(|()| match name.contains('.') {
        true => Err("a method name has no dot: the last dot of a route separates service and method".to_owned()),
        false => Ok(()),
    });
    checked.map_err(|why| Error::new(given.span(), why))?;
    Ok(name)
}
