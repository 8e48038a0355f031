use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Block, Ident, Path, Type, TypeParamBound, Visibility};

/// A service trait that was read and found well-formed.
pub(crate) struct Service {
    /// Where generated code finds `towline_service_api`.
    pub(crate) krate: Path,
    pub(crate) group: String,
    /// The name on the wire.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) encoding: Encoding,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    /// All attributes but ours, docs included.
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) supertraits: Vec<TypeParamBound>,
    pub(crate) methods: Vec<Method>,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum Encoding {
    #[default]
    MessagePack,
    Json,
    Cbor,
    Bytes,
    Text,
}

pub(crate) struct Method {
    pub(crate) ident: Ident,
    /// The name on the wire, and in Rust without `r#`.
    pub(crate) name: String,
    pub(crate) rust_name: String,
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) shape: Shape,
    /// Without the inbound stream.
    pub(crate) arguments: Vec<Argument>,
    pub(crate) inbound: Option<Inbound>,
    /// What the trait's method returns, without `+ Send`.
    pub(crate) returns: TokenStream,
    pub(crate) result: Type,
    /// `None` for one-way methods.
    pub(crate) error: Option<Type>,
    pub(crate) options: Options,
    pub(crate) body: Option<Block>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Unary,
    OneWay,
    Stream,
    ClientStream,
    Channel,
}

pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) rust_name: String,
    pub(crate) ty: Type,
    pub(crate) required: bool,
}

/// The inbound stream of a channel.
pub(crate) struct Inbound {
    pub(crate) ident: Ident,
    /// `Streaming<Item>` as written, and its item.
    pub(crate) ty: Type,
    pub(crate) item: Type,
}

/// What `#[rpc(..)]` says.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) oneway: bool,
    pub(crate) idempotent: bool,
    /// Where it is said, if the only argument travels bare.
    pub(crate) bare: Option<Span>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) key: Option<Ident>,
    pub(crate) name: Option<syn::LitStr>,
}

pub(crate) struct Retry {
    pub(crate) max: u32,
    pub(crate) min_backoff: Duration,
    pub(crate) max_backoff: Duration,
}

/// The docs among some attributes, one line each, without the space after `///`.
pub(crate) fn docs(attrs: &[Attribute]) -> String {
    let lines: Vec<_> = doc_attributes(attrs)
        .filter_map(|attr| match &attr.meta.require_name_value().ok()?.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        })
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

pub(crate) fn doc_attributes(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("doc"))
}
