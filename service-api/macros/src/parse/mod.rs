//! From tokens to the model. Every refusal of `#[service]` is made here, with the span of what is wrong and what to write instead.

mod attributes;
mod method;
mod raw;
mod signature;
pub(crate) mod text;

use std::collections::HashMap;

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, ItemTrait, Result, TraitItem};

use crate::crate_path;
use crate::model::{Method, Service};
use attributes::ServiceKeys;
pub(crate) use attributes::{set, text_of, unknown, word};
use method::is_ours;

/// Reads `#[service(arguments)] item`. Errors: all that are found, combined.
pub(crate) fn service(arguments: TokenStream, item: TokenStream) -> Result<Service> {
    let keys = attributes::service(arguments)?;
    let item: ItemTrait = syn::parse2(item)?;
    check_trait(&item)?;
    let name = service_name(&keys, &item)?;
    let methods = methods(&item)?;
    check_names(&methods)?;
    check_routes(&keys, &name, &methods)?;
    let encoding = keys.encoding.unwrap_or_default();
    raw::check(encoding, &methods)?;
    Ok(Service {
        krate: keys.krate.map_or_else(|| crate_path::find(item.ident.span()), Ok)?,
        group: keys.group.unwrap_or_default(),
        name,
        version: keys.version.unwrap_or_default(),
        encoding,
        vis: item.vis,
        ident: item.ident,
        attrs: item.attrs.into_iter().filter(|attr| !is_ours(attr)).collect(),
        supertraits: item.supertraits.into_iter().collect(),
        methods,
    })
}

fn check_trait(item: &ItemTrait) -> Result<()> {
    if !item.generics.params.is_empty() || item.generics.where_clause.is_some() {
        let span =
            if item.generics.params.is_empty() { item.generics.where_clause.span() } else { item.generics.span() };
        return Err(Error::new(span, "a service trait has no generics: its contract names concrete types"));
    }
    if let Some(token) = &item.unsafety {
        return Err(Error::new(token.span, "a service trait is not unsafe"));
    }
    Ok(())
}

fn service_name(keys: &ServiceKeys, item: &ItemTrait) -> Result<String> {
    let Some(name) = &keys.name else {
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "app".to_owned());
        return Ok(format!("{}.{}", package.replace('-', "_"), item.ident.unraw()));
    };
    let text = name.value();
    text::check_name(&text, "a service name").map_err(|why| Error::new(name.span(), why))?;
    let reserved = ["towline.", "com.alibaba.rsocket."].into_iter().find(|prefix| text.starts_with(prefix));
    match reserved {
        Some(prefix) if !keys.builtin => Err(Error::new(
            name.span(),
            format!(
                "names that start with `{prefix}` are the broker's own: use your organisation's, such as `com.acme.{}`",
                item.ident
            ),
        )),
        _ => Ok(text),
    }
}

fn methods(item: &ItemTrait) -> Result<Vec<Method>> {
    let mut methods = Vec::new();
    let mut errors: Option<Error> = None;
    for member in &item.items {
        let read = match member {
            TraitItem::Fn(function) => method::read(function),
            TraitItem::Type(it) => {
                Err(Error::new_spanned(it, "a service trait has no associated types: write the type out"))
            }
            TraitItem::Const(it) => {
                Err(Error::new_spanned(it, "a service trait has no constants: put it beside the trait"))
            }
            other => Err(Error::new_spanned(other, "a service trait has methods only")),
        };
        match (read, &mut errors) {
            (Ok(method), _) => methods.push(method),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), None) => errors = Some(error),
        }
    }
    errors.map_or(Ok(methods), Err)
}

/// Every spelling a server accepts belongs to one method.
fn check_names(methods: &[Method]) -> Result<()> {
    let mut owners: HashMap<&str, &Method> = HashMap::new();
    for method in methods {
        for name in [&method.name, &method.rust_name] {
            let Some(owner) = owners.insert(name, method).filter(|owner| !std::ptr::eq(*owner, method)) else {
                continue;
            };
            let (one, other) = (&owner.rust_name, &method.rust_name);
            let why = format!(
                "`{one}` and `{other}` are both `{name}` on the wire: rename one, or give it another `#[rpc(name = \"..\")]`"
            );
            return Err(Error::new(method.ident.span(), why));
        }
    }
    Ok(())
}

/// A routing tag is `[group!]service.method[:version]` in at most 255 bytes.
fn check_routes(keys: &ServiceKeys, name: &str, methods: &[Method]) -> Result<()> {
    let part = |part: &Option<String>| part.as_ref().map_or(0, |part| part.len() + 1);
    for method in methods {
        let length = part(&keys.group) + name.len() + 1 + method.name.len() + part(&keys.version);
        if length > 255 {
            let why = format!(
                "the route `{name}.{}` has {length} bytes, a routing tag holds 255: shorten a name",
                method.name
            );
            return Err(Error::new(method.ident.span(), why));
        }
    }
    Ok(())
}
