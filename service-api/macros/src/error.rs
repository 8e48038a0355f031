//! `#[derive(ServiceError)]`: an enum as the typed error of the calling convention, both ways.

use std::collections::HashMap;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Type, Variant};

use crate::crate_path;
use crate::parse::text;
use crate::parse::{set, text_of, unknown, word};

/// One variant.
enum Case {
    Typed(Typed),
    /// `Rpc(RpcError)`: passes through as it is.
    Transparent(Ident),
}

/// A code and its fields.
struct Typed {
    ident: Ident,
    code: String,
    next: Option<LitStr>,
    fields: Vec<Field>,
}

struct Field {
    ident: Ident,
    name: String,
    rust_name: String,
    ty: Type,
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let Data::Enum(data) = &item.data else {
        return Err(Error::new_spanned(
            &item.ident,
            "ServiceError is derived for enums: each variant is one code a caller can tell",
        ));
    };
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "an enum of errors has no generics: its codes and fields are part of the contract",
        ));
    }
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&item.ident, "an enum of errors has variants: with none, use `RpcError`"));
    }
    let krate = krate(&item)?;
    let cases = cases(data)?;
    let ident = &item.ident;
    let typed = Ident::new("typed", Span::mixed_site());
    let error = Ident::new("error", Span::mixed_site());
    let message = Ident::new("message", Span::mixed_site());
    let writes = cases.iter().map(|case| write(case, &krate, &message));
    let reads = cases.iter().filter_map(|case| read(case, &typed));
    Ok(quote! {
        impl #krate::ServiceError for #ident {
            fn into_rpc(self) -> #krate::RpcError {
                let #message = ::std::string::ToString::to_string(&self);
                match self {
                    #(#writes)*
                }
            }

            #[allow(unused_mut, reason = "only fields change it")]
            fn from_rpc(#error: #krate::RpcError) -> ::core::result::Result<Self, #krate::RpcError> {
                let ::core::option::Option::Some(mut #typed) = #krate::TypedError::read(&#error) else {
                    return ::core::result::Result::Err(#error);
                };
                // A field that does not fit makes it an error we do not know.
                let #typed = (move || match &*#typed.code {
                    #(#reads)*
                    _ => ::core::option::Option::None,
                })();
                #typed.ok_or(#error)
            }
        }
    })
}

fn write(case: &Case, krate: &Path, message: &Ident) -> TokenStream {
    let Typed { ident, code, next, fields } = match case {
        Case::Typed(typed) => typed,
        Case::Transparent(ident) => {
            let inner = Ident::new("inner", Span::mixed_site());
            return quote!(Self::#ident(#inner) => #inner,);
        }
    };
    let names = fields.iter().map(|field| &field.ident);
    let next = next.iter();
    let with = fields.iter().map(|Field { ident, name, .. }| quote!(.with(#name, &#ident)));
    quote! {
        Self::#ident { #(#names),* } => {
            #krate::TypedError::new(#code, #message) #(.with_next(#next))* #(#with)* .into_rpc()
        }
    }
}

fn read(case: &Case, typed: &Ident) -> Option<TokenStream> {
    let Case::Typed(Typed { ident, code, fields, .. }) = case else { return None };
    let takes = fields
        .iter()
        .map(|Field { ident, name, rust_name, ty }| quote!(#ident: #typed.take::<#ty>(#name, #rust_name)?));
    Some(quote!(#code => ::core::option::Option::Some(Self::#ident { #(#takes),* }),))
}

fn krate(item: &DeriveInput) -> Result<Path> {
    let mut path: Option<Path> = None;
    for attr in ours(&item.attrs) {
        attr.parse_nested_meta(|meta| match word(&meta).as_str() {
            "crate" => set(&mut path, &meta, |meta| text_of(meta)?.parse()),
            _ => Err(unknown(&meta, "#[service_error(..)] on an enum", &["crate"])),
        })?;
    }
    path.map_or_else(|| crate_path::find(item.ident.span()), Ok)
}

fn cases(data: &DataEnum) -> Result<Vec<Case>> {
    let mut owners: HashMap<String, &Ident> = HashMap::new();
    let mut cases = Vec::new();
    for variant in &data.variants {
        let (case, span) = case(variant)?;
        if let Case::Typed(Typed { code, .. }) = &case
            && let Some(owner) = owners.insert(code.clone(), &variant.ident)
        {
            let why = format!("the code `{code}` is the one of `{owner}` too: a caller could not tell them apart");
            return Err(Error::new(span, why));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// The case, and where its code comes from.
fn case(variant: &Variant) -> Result<(Case, Span)> {
    let mut code: Option<LitStr> = None;
    let mut next: Option<LitStr> = None;
    let mut is_transparent = false;
    for attr in ours(&variant.attrs) {
        attr.parse_nested_meta(|meta| match word(&meta).as_str() {
            "code" => set(&mut code, &meta, text_of),
            "next" => set(&mut next, &meta, text_of),
            "transparent" => {
                is_transparent = true;
                Ok(())
            }
            _ => Err(unknown(&meta, "#[service_error(..)]", &["code", "next", "transparent"])),
        })?;
    }
    if is_transparent {
        return match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 && code.is_none() && next.is_none() => {
                Ok((Case::Transparent(variant.ident.clone()), variant.ident.span()))
            }
            _ => Err(Error::new_spanned(variant, "a transparent variant is `Name(RpcError)`, without code and next")),
        };
    }
    let fields = match &variant.fields {
        Fields::Unit => Vec::new(),
        Fields::Named(fields) => fields.named.iter().filter_map(field).collect(),
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(
                fields,
                "the fields of an error have names: they are the keys of its `detail`",
            ));
        }
    };
    let span = code.as_ref().map_or(variant.ident.span(), LitStr::span);
    let code = code.map_or_else(|| text::kebab(&variant.ident.unraw().to_string()), |code| code.value());
    if code.is_empty() {
        return Err(Error::new(span, "a code is not empty"));
    }
    Ok((Case::Typed(Typed { ident: variant.ident.clone(), code, next, fields }), span))
}

fn field(field: &syn::Field) -> Option<Field> {
    let ident = field.ident.clone()?;
    let rust_name = ident.unraw().to_string();
    Some(Field { ident, name: text::camel(&rust_name), rust_name, ty: field.ty.clone() })
}

fn ours(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("service_error"))
}
