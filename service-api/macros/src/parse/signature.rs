//! The types a signature is made of, recognised by how they are written.

use syn::{GenericArgument, PathArguments, PathSegment, Type, TypeParamBound};

/// `T` and `E` of a `Result<T, E>`.
pub(super) fn result_types(ty: &Type) -> Option<(Type, Type)> {
    match &types_of(ty, "Result")?[..] {
        [result, error] => Some((result.clone(), error.clone())),
        _ => None,
    }
}

/// `T` of a `Streaming<T>`.
pub(super) fn streaming_item(ty: &Type) -> Option<Type> {
    one_type_of(ty, "Streaming")
}

/// `T` of an `Option<T>`.
pub(super) fn option_item(ty: &Type) -> Option<Type> {
    one_type_of(ty, "Option")
}

/// `None` if this is no `impl Stream`, else its item if it is named.
pub(super) fn stream_item(ty: &Type) -> Option<Option<Type>> {
    let Type::ImplTrait(ty) = ty else { return None };
    let stream = ty.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().filter(|segment| segment.ident == "Stream"),
        _ => None,
    })?;
    let PathArguments::AngleBracketed(arguments) = &stream.arguments else { return Some(None) };
    Some(arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(item) if item.ident == "Item" => Some(item.ty.clone()),
        _ => None,
    }))
}

fn one_type_of(ty: &Type, name: &str) -> Option<Type> {
    match &types_of(ty, name)?[..] {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// The last segment of a path: `Vec<u8>` of `std::vec::Vec<u8>`.
pub(super) fn path_end(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => path_end(&group.elem),
        Type::Paren(paren) => path_end(&paren.elem),
        _ => None,
    }
}

/// The type arguments of a path that ends in `name<..>`.
fn types_of(ty: &Type, name: &str) -> Option<Vec<Type>> {
    let segment = path_end(ty)?;
    if segment.ident != name {
        return None;
    }
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty.clone()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
