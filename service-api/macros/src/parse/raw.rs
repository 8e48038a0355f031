//! What can be known of `encoding = "bytes"` and `"text"` before a call: that a method does not fit.

use syn::{Error, Result, Type};

use super::signature::{option_item, path_end};
use crate::model::{Encoding, Method};

/// Names of types that are neither a string nor bytes. A type that is not named here may be one: then the call tells.
const OTHERS: [&str; 21] = [
    "bool", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize", "f32", "f64",
    "Vec", "VecDeque", "HashMap", "BTreeMap", "HashSet", "BTreeSet",
];

/// Refuses methods with several arguments, or with one (or inbound items) that is surely neither a string nor bytes.
pub(super) fn check(encoding: Encoding, methods: &[Method]) -> Result<()> {
    let name = match encoding {
        Encoding::Bytes => "bytes",
        Encoding::Text => "text",
        Encoding::MessagePack | Encoding::Json | Encoding::Cbor => return Ok(()),
    };
    for method in methods {
        let count = method.arguments.len();
        if count > 1 {
            let method_name = &method.rust_name;
            let why = format!(
                "\"{name}\" carries an only argument, and `{method_name}` has {count}: write encoding = \"json\""
            );
            return Err(Error::new(method.ident.span(), why));
        }
        let mut types = method.arguments.iter().map(|it| &it.ty).chain(method.inbound.iter().map(|it| &it.item));
        if let Some(ty) = types.find(|ty| is_other(ty)) {
            let why = format!(
                "\"{name}\" carries a string, or bytes as `serde_bytes` has them, and nothing else: write encoding = \"json\""
            );
            return Err(Error::new_spanned(ty, why));
        }
    }
    Ok(())
}

fn is_other(ty: &Type) -> bool {
    if let Some(item) = option_item(ty) {
        return is_other(&item);
    }
    match ty {
        Type::Tuple(_) | Type::Array(_) => true,
        ty => path_end(ty).is_some_and(|last| OTHERS.iter().any(|other| last.ident == other)),
    }
}
