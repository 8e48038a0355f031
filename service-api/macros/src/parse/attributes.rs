use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result};

use super::text;
use crate::model::{Encoding, Options, Retry};

/// What `#[service(..)]` says.
#[derive(Default)]
pub(super) struct ServiceKeys {
    pub(super) name: Option<LitStr>,
    pub(super) version: Option<String>,
    pub(super) group: Option<String>,
    pub(super) encoding: Option<Encoding>,
    pub(super) krate: Option<Path>,
    /// One of the broker's own services, which may have a reserved name.
    pub(super) builtin: bool,
}

pub(super) fn service(arguments: TokenStream) -> Result<ServiceKeys> {
    let mut keys = ServiceKeys::default();
    let read = syn::meta::parser(|meta| match word(&meta).as_str() {
        "name" => set(&mut keys.name, &meta, text_of),
        "version" => set(&mut keys.version, &meta, |meta| part_of_key(meta, "a version")),
        "group" => set(&mut keys.group, &meta, |meta| part_of_key(meta, "a group")),
        "encoding" => set(&mut keys.encoding, &meta, encoding),
        "crate" => set(&mut keys.krate, &meta, |meta| text_of(meta)?.parse()),
        "builtin" => {
            keys.builtin = true;
            Ok(())
        }
        _ => Err(unknown(&meta, "#[service(..)]", &["name", "version", "group", "encoding", "crate"])),
    });
    read.parse2(arguments)?;
    Ok(keys)
}

pub(super) fn rpc(attrs: &[Attribute]) -> Result<Options> {
    let mut options = Options::default();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("rpc")) {
        attr.parse_nested_meta(|meta| match word(&meta).as_str() {
            "oneway" => {
                options.oneway = true;
                Ok(())
            }
            "idempotent" => {
                options.idempotent = true;
                Ok(())
            }
            "bare" => {
                options.bare = Some(meta.path.span());
                Ok(())
            }
            "timeout" => set(&mut options.timeout, &meta, duration),
            "retry" => set(&mut options.retry, &meta, retry),
            "key" => set(&mut options.key, &meta, |meta| meta.value()?.parse::<Ident>()),
            "name" => set(&mut options.name, &meta, text_of),
            "queue" => Err(meta.error(
                "queued calls are not supported yet: use a unary method, or publish to a topic with `towline.Queue.publish`",
            )),
            _ => {
                let known = ["oneway", "idempotent", "bare", "timeout", "retry", "key", "name"];
                Err(unknown(&meta, "#[rpc(..)]", &known))
            }
        })?;
    }
    Ok(options)
}

/// What is wrong with a key that is none of `known`.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, place: &str, known: &[&str]) -> Error {
    let word = word(meta);
    let hint = match text::closest(&word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known are {}", known.join(", ")),
    };
    meta.error(format!("unknown key `{word}` in {place}: {hint}"))
}

pub(crate) fn word(meta: &ParseNestedMeta<'_>) -> String {
    meta.path.get_ident().map(Ident::to_string).unwrap_or_default()
}

pub(crate) fn set<T>(
    slot: &mut Option<T>,
    meta: &ParseNestedMeta<'_>,
    read: impl FnOnce(&ParseNestedMeta<'_>) -> Result<T>,
) -> Result<()> {
    let value = read(meta)?;
    if slot.replace(value).is_some() {
        return Err(meta.error(format!("`{}` is given twice", word(meta))));
    }
    Ok(())
}

pub(crate) fn text_of(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

fn part_of_key(meta: &ParseNestedMeta<'_>, what: &str) -> Result<String> {
    let text = text_of(meta)?;
    if !text.value().is_empty() {
        text::check_part(&text.value(), what).map_err(|why| Error::new(text.span(), why))?;
    }
    Ok(text.value())
}

fn encoding(meta: &ParseNestedMeta<'_>) -> Result<Encoding> {
    let text = text_of(meta)?;
    match text.value().as_str() {
        "msgpack" => Ok(Encoding::MessagePack),
        "json" => Ok(Encoding::Json),
        "cbor" => Ok(Encoding::Cbor),
        "bytes" => Ok(Encoding::Bytes),
        "text" => Ok(Encoding::Text),
        other => {
            let known = "\"msgpack\", \"json\", \"cbor\", \"bytes\" or \"text\"";
            Err(Error::new(text.span(), format!("unknown encoding `{other}`: write {known}")))
        }
    }
}

fn duration(meta: &ParseNestedMeta<'_>) -> Result<std::time::Duration> {
    let text = text_of(meta)?;
    text::duration(&text.value()).map_err(|why| Error::new(text.span(), why))
}

fn retry(meta: &ParseNestedMeta<'_>) -> Result<Retry> {
    let mut max = None;
    let mut backoff = None;
    meta.parse_nested_meta(|meta| match word(&meta).as_str() {
        "max" => set(&mut max, &meta, |meta| meta.value()?.parse::<LitInt>()?.base10_parse::<u32>()),
        "backoff" => set(&mut backoff, &meta, |meta| {
            let text = text_of(meta)?;
            text::backoff(&text.value()).map_err(|why| Error::new(text.span(), why))
        }),
        _ => Err(unknown(&meta, "retry(..)", &["max", "backoff"])),
    })?;
    let max = max.ok_or_else(|| meta.error("say how often to retry: retry(max = 3, backoff = \"20ms..1s\")"))?;
    let (min_backoff, max_backoff) =
        backoff.ok_or_else(|| meta.error("say how long to pause: retry(max = 3, backoff = \"20ms..1s\")"))?;
    Ok(Retry { max, min_backoff, max_backoff })
}
