//! `<Trait>Client`: one inherent method per method of the trait, each starting a call.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use crate::contract;
use crate::model::{Encoding, Method, Retry, Service, Shape, doc_attributes};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let Service { krate, vis, ident, name, .. } = service;
    let client = format_ident!("{ident}Client");
    let contract = contract::expand(service);
    let encoding = match service.encoding {
        Encoding::MessagePack => quote!(MessagePack),
        Encoding::Json => quote!(Json),
        Encoding::Cbor => quote!(Cbor),
        Encoding::Bytes => quote!(Bytes),
        Encoding::Text => quote!(Text),
    };
    let methods = service.methods.iter().enumerate().map(|(index, it)| method(service, index, it));
    let docs = format!("Calls `{name}`, wherever it runs; see [`{ident}`]. Cheap to clone.");
    let caller = quote!(#krate::__private::Arc<dyn #krate::Caller>);
    quote! {
        #[doc = #docs]
        #[derive(Clone)]
        #vis struct #client {
            caller: #caller,
            encoding: #krate::Encoding,
        }

        impl #client {
            /// What the service offers.
            #vis const CONTRACT: &'static #krate::Contract = &#contract;

            /// A client whose calls leave through this caller.
            #vis fn new(caller: #caller) -> Self {
                Self { caller, encoding: #krate::Encoding::#encoding }
            }

            /// The same client with another encoding of arguments.
            #[must_use]
            #vis fn with_encoding(mut self, encoding: #krate::Encoding) -> Self {
                self.encoding = encoding;
                self
            }

            #(#methods)*
        }

        impl #krate::Client for #client {
            fn from_caller(caller: #caller) -> Self {
                Self::new(caller)
            }

            fn contract() -> &'static #krate::Contract {
                Self::CONTRACT
            }
        }

        impl ::core::fmt::Debug for #client {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(::core::stringify!(#client)).field("encoding", &self.encoding).finish_non_exhaustive()
            }
        }
    }
}

fn method(service: &Service, index: usize, method: &Method) -> TokenStream {
    let Service { krate, vis, .. } = service;
    let Method { ident, result, error, .. } = method;
    let docs = doc_attributes(&method.attrs);
    let call = match method.shape {
        Shape::Unary | Shape::ClientStream => quote!(#krate::UnaryCall<#result, #error>),
        Shape::Stream | Shape::Channel => quote!(#krate::StreamCall<#result, #error>),
        Shape::OneWay => quote!(#krate::OneWayCall),
    };
    let arguments = method.arguments.iter().map(|argument| {
        let (ident, ty) = (&argument.ident, &argument.ty);
        quote!(#ident: #ty)
    });
    let inbound = method.inbound.iter().map(|inbound| {
        let (ident, item) = (&inbound.ident, &inbound.item);
        quote!(#ident: impl #krate::__private::Stream<Item = #item> + ::core::marker::Send + 'static)
    });
    let inputs = arguments.chain(inbound);
    let draft = draft(service, index, method);
    let start = match &method.inbound {
        Some(inbound) => {
            let items = &inbound.ident;
            quote!(with_items(#draft, #items))
        }
        None => quote!(new(#draft)),
    };
    let fallback = method.attrs.is_empty().then(|| format!("Calls `{}`.", method.name)).into_iter();
    quote! {
        #(#docs)*
        #(#[doc = #fallback])*
        #vis fn #ident(&self, #(#inputs),*) -> #call {
            <#call>::#start
        }
    }
}

/// The call with what its attributes say. Our own names are hygienic: an argument may be called anything.
fn draft(service: &Service, index: usize, method: &Method) -> TokenStream {
    let krate = &service.krate;
    let arguments = method.arguments.iter().map(|argument| &argument.ident);
    let retry = method.options.retry.iter().map(|it| {
        let Retry { max, .. } = it;
        let (min, longest) = (contract::duration(it.min_backoff), contract::duration(it.max_backoff));
        quote!(.retry(#krate::Retry { max: #max, min_backoff: #min, max_backoff: #longest }))
    });
    // The key is read before the closure takes the arguments.
    let key_name = quote_spanned!(Span::mixed_site()=> key);
    let key_before =
        method.options.key.iter().map(|key| quote!(let #key_name = ::std::string::ToString::to_string(&#key);));
    let key_after = method.options.key.iter().map(|_| quote!(.key(#key_name)));
    let writer = quote_spanned!(Span::mixed_site()=> writer);
    quote! {{
        #(#key_before)*
        #krate::__private::Draft::new(&self.caller, self.encoding, Self::CONTRACT, #index, move |#writer| {
            #(#writer.put(&#arguments)?;)*
            let _ = #writer;
            ::core::result::Result::Ok(())
        })
        #(#key_after)*
        #(#retry)*
    }}
}
