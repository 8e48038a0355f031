//! Words of the command line, and of the answers.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use towline_requester::builtin::Start;

/// Where a group starts, or goes on.
pub(super) const STARTS: &str = "latest|earliest|offset:N|time:MS|copy:GROUP";

pub(super) fn start(text: &str) -> Result<Start, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
    match text.split_once(':') {
        None if text == "latest" => Ok(Start::Latest),
        None if text == "earliest" => Ok(Start::Earliest),
        Some(("offset", offset)) => number(offset).map(Start::Offset),
        Some(("time", millis)) => number(millis).map(Start::Time),
        Some(("copy", group)) => Ok(Start::CopyOf(group.to_owned())),
        _ => Err(format!("it is one of {STARTS}")),
    }
}

/// A word that travels as it is written here, as `disk` or `keyOrdered`, also written `key-ordered`.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut parts = text.split('-');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters));
    }
    serde_json::from_value(Value::String(camel)).map_err(|error| error.to_string())
}

/// The same word again; what is no word, as JSON; nothing, as `-`.
pub(super) fn said<T: Serialize>(value: &Option<T>) -> String {
    match value.as_ref().map(serde_json::to_value) {
        Some(Ok(Value::String(word))) => word,
        Some(Ok(value)) => value.to_string(),
        Some(Err(_)) | None => "-".to_owned(),
    }
}

/// A name and a value, with `=` between them.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Anything as JSON that is read line by line, or by people.
pub(super) fn pretty<T: Serialize>(value: &T) -> String {
    format!("{:#}\n", serde_json::to_value(value).unwrap_or_default())
}
