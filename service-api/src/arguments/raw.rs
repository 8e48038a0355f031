use crate::contract::Method;
use crate::encoding::Encoding;

/// Takes all bytes as the only argument. Zero bytes are an empty one, or none if it may be left out.
pub(super) fn split<'a>(
    method: &Method,
    encoding: Encoding,
    bytes: &'a [u8],
    values: &mut [Option<&'a [u8]>],
) -> Result<(), String> {
    match (values, method.arguments) {
        ([value], [argument]) if argument.required || !bytes.is_empty() => *value = Some(bytes),
        _ if bytes.is_empty() => {}
        _ => return Err(wrong_count(method, encoding)),
    }
    Ok(())
}

/// Why a method cannot be called in this encoding.
pub(super) fn wrong_count(method: &Method, encoding: Encoding) -> String {
    let count = method.arguments.len();
    let json = Encoding::Json;
    format!("{encoding} carries the only argument of a method, and this one has {count}: use {json}")
}
