//! Texts: names, durations, spellings. Pure.

use std::time::Duration;

/// `find_by_id` -> `findById`.
pub(crate) fn camel(rust_name: &str) -> String {
    let mut words = rust_name.split('_').filter(|word| !word.is_empty());
    let mut name = words.next().unwrap_or(rust_name).to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(letters.as_str());
    }
    name
}

/// `UnknownTopic` -> `unknown-topic`.
pub(crate) fn kebab(variant: &str) -> String {
    let letters: Vec<char> = variant.chars().collect();
    let mut code = String::new();
    for (at, letter) in letters.iter().enumerate() {
        // A word starts at a capital after a small letter, and at the last capital of several (`HTTPError`).
        let follows_small = at > 0 && !letters[at - 1].is_uppercase();
        let before_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && at > 0 && (follows_small || before_small) {
            code.push('-');
        }
        code.extend(letter.to_lowercase());
    }
    code
}

/// Refuses what has a meaning in a routing tag.
pub(crate) fn check_part(text: &str, what: &str) -> Result<(), String> {
    match text.chars().find(|c| matches!(c, ':' | '!' | '?' | '/') || c.is_whitespace() || c.is_control()) {
        Some(c) => Err(format!("{what} has no {c:?}: `:`, `!`, `?`, `/` and spaces have a meaning in routing tags")),
        None if text.is_empty() => Err(format!("{what} is not empty")),
        None => Ok(()),
    }
}

/// [`check_part`], and dots stand between words only.
pub(crate) fn check_name(text: &str, what: &str) -> Result<(), String> {
    if text.contains("::") {
        return Err(format!("{what} has dots, never `::`: write `{}`", text.replace("::", ".")));
    }
    check_part(text, what)?;
    if text.split('.').any(str::is_empty) {
        return Err(format!("{what} has dots between words only"));
    }
    Ok(())
}

/// `300ms`, `2s`, `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is no duration: write a whole number and us, ms, s, m or h, such as \"300ms\"");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let number: u64 = text[..digits].parse().map_err(|_| refused())?;
    let micros = match &text[digits..] {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(refused()),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(refused)
}

/// `20ms..1s`.
pub(crate) fn backoff(text: &str) -> Result<(Duration, Duration), String> {
    let (min, max) = text.split_once("..").ok_or_else(|| {
        format!("`{text}` is no backoff: write the shortest and the longest pause, such as \"20ms..1s\"")
    })?;
    let (min, max) = (duration(min)?, duration(max)?);
    if min <= max { Ok((min, max)) } else { Err(format!("the backoff `{text}` ends before it starts")) }
}

/// The known word that was probably meant.
pub(crate) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let best = known.iter().map(|known| (distance(word, known), *known)).min()?;
    (best.0 <= 2 && best.0 < word.len()).then_some(best.1)
}

/// How many letters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
