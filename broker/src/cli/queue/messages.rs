//! How messages look.

use crate::cli::form::{Form, table};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use towline::config::human_duration;
use towline_requester::builtin::Delivery;

/// Characters of a body in a table.
const BODY: usize = 60;

pub(super) fn list(messages: &[Delivery], form: Form) -> String {
    match form {
        Form::Json => messages.iter().map(line).collect(),
        Form::Table => {
            let head = ["OFFSET", "AGE", "KEY", "TAG", "HEADERS", "BODY"];
            let rows = messages.iter().map(|message| {
                let headers: Vec<_> = message.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let (key, tag) = (message.key.clone(), message.tag.clone());
                let dash = || "-".to_owned();
                let headers = if headers.is_empty() { dash() } else { headers.join(" ") };
                let (key, tag) = (key.unwrap_or_else(dash), tag.unwrap_or_else(dash));
                [message.offset.to_string(), age(message.timestamp), key, tag, headers, body(message, BODY)]
            });
            table(head, rows)
        }
    }
}

/// One message in a line of its own, as it comes.
pub(super) fn one(message: &Delivery, form: Form) -> String {
    match form {
        Form::Json => line(message),
        Form::Table => {
            let attempt = if message.attempt > 1 { format!(" (attempt {})", message.attempt) } else { String::new() };
            let key = message.key.iter().map(|key| format!(" key={key}"));
            let tag = message.tag.iter().map(|tag| format!(" tag={tag}"));
            let named: String = key.chain(tag).collect();
            format!("{}{attempt}{named}: {}\n", message.offset, body(message, usize::MAX))
        }
    }
}

fn line(message: &Delivery) -> String {
    // Everything of a delivery has a form in JSON.
    serde_json::to_string(message).unwrap_or_default() + "\n"
}

/// The bytes as text, in one line.
fn body(message: &Delivery, most: usize) -> String {
    let Some(text) = message.text() else { return format!("{} bytes", message.body.len()) };
    let mut shown: String = text.escape_debug().take(most).collect();
    if text.len() > most {
        shown.push('…');
    }
    // Quotes are nothing that has to be escaped here.
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

/// How long ago that was, in the largest unit that fits.
fn age(millis: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_millis(millis)).as_secs();
    let unit = [3600, 60, 1].into_iter().find(|unit| seconds >= 2 * unit).unwrap_or(1);
    human_duration(Duration::from_secs(seconds / unit * unit))
}
