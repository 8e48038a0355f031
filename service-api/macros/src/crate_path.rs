//! Where generated code finds `towline_service_api`, whichever of our crates the user depends on.

use proc_macro2::Span;
use syn::{Error, Ident, Path, Result};

/// The crate itself, and those that re-export all of it; the lightest first.
const CRATES: [&str; 3] = ["towline-service-api", "towline-requester", "towline-responder"];

/// The path for the crate being compiled, by its `Cargo.toml`. Errors: it depends on none of ours.
pub(crate) fn find(span: Span) -> Result<Path> {
    if std::env::var("CARGO_PKG_NAME").is_ok_and(|package| package == CRATES[0]) {
        return absolute(&CRATES[0].replace('-', "_"));
    }
    let manifest = std::env::var("CARGO_MANIFEST_DIR")
        .ok()
        .and_then(|folder| std::fs::read_to_string(std::path::Path::new(&folder).join("Cargo.toml")).ok());
    // Another build system: it has to name the crate as we do.
    let Some(manifest) = manifest else { return absolute("towline_service_api") };
    let dependencies = dependencies(&manifest);
    let found = CRATES.iter().find_map(|wanted| dependencies.iter().find(|dependency| dependency.package == *wanted));
    match found {
        Some(dependency) => absolute(&dependency.name.replace('-', "_")),
        None => Err(Error::new(
            span,
            "#[service] needs towline-service-api, towline-requester or towline-responder in [dependencies]; \
             found by another way, name it: crate = \"path::to::towline_service_api\"",
        )),
    }
}

fn absolute(name: &str) -> Result<Path> {
    let name = Ident::new(name, Span::call_site());
    Ok(syn::parse_quote!(::#name))
}

/// One dependency: what the crate calls it, and what it is called in its registry.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    package: String,
}

/// The dependencies of a manifest, of any kind and target. Line by line: a table over several lines is TOML's `[dependencies.x]`.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut section = Section::Other;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = Section::of(header.split(']').next().unwrap_or(header));
            if let Section::One(name) = &section {
                found.push(Dependency { name: name.clone(), package: name.clone() });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        match &section {
            Section::All => {
                // `name = ..` and `name.workspace = true`
                let name = unquote(key.split('.').next().unwrap_or(key));
                let package = value.split_once("package").and_then(|(_, rest)| quoted(rest)).unwrap_or(name);
                found.push(Dependency { name: name.to_owned(), package: package.to_owned() });
            }
            Section::One(_) if key.trim() == "package" => {
                if let (Some(dependency), Some(package)) = (found.last_mut(), quoted(value)) {
                    dependency.package = package.to_owned();
                }
            }
            Section::One(_) | Section::Other => {}
        }
    }
    found
}

enum Section {
    /// `[dependencies]`, `[dev-dependencies]`, `[target.'..'.dependencies]`
    All,
    /// `[dependencies.name]`
    One(String),
    Other,
}

impl Section {
    fn of(header: &str) -> Self {
        let header = header.trim();
        let is_list = |section: &str| {
            let last = section.rsplit('.').next().unwrap_or(section);
            matches!(last, "dependencies" | "dev-dependencies") && !section.starts_with("workspace")
        };
        match header.rsplit_once('.') {
            _ if is_list(header) => Self::All,
            Some((list, name)) if is_list(list) => Self::One(unquote(name).to_owned()),
            _ => Self::Other,
        }
    }
}

fn unquote(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

/// The first quoted text.
fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\''])?;
    let quote = text[start..].chars().next()?;
    text[start + 1..].split(quote).next()
}

#[cfg(test)]
mod tests;
