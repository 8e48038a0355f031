//! What goes to a dead-letter topic: the message as it was, with headers that say where it comes from and why.

use super::group::Death;
use super::message::Content;
use crate::store::Stored;

pub(crate) const TOPIC: &str = "towline-dead-topic";
pub(crate) const OFFSET: &str = "towline-dead-offset";
pub(crate) const GROUP: &str = "towline-dead-group";
pub(crate) const ATTEMPTS: &str = "towline-dead-attempts";
pub(crate) const REASON: &str = "towline-dead-reason";
pub(crate) const ERROR: &str = "towline-dead-error";
pub(crate) const TIMESTAMP: &str = "towline-dead-timestamp";
/// How often it was sent back to where it came from.
pub(crate) const REDRIVEN: &str = "towline-redriven";

/// The dead letter of a message.
pub(crate) fn copy(stored: &Stored, death: &Death, topic: &str, group: &str) -> Content {
    let body = || Content { body: stored.content.clone(), ..Content::default() };
    let mut content = Content::decode(&stored.content).unwrap_or_else(body);
    // It is kept for as long as its topic keeps it.
    content.expires = None;
    let mut header = |name: &str, value: String| content.headers.insert(name.to_owned(), value);
    header(TOPIC, topic.to_owned());
    header(OFFSET, death.offset.to_string());
    header(GROUP, group.to_owned());
    header(ATTEMPTS, death.attempts.to_string());
    header(REASON, death.reason.as_str().to_owned());
    header(TIMESTAMP, stored.timestamp.to_string());
    if let Some(error) = &death.last_error {
        header(ERROR, error.to_string());
    }
    content
}

/// The message of a dead letter, as it is published again.
pub(crate) fn revive(mut content: Content) -> Content {
    for name in [TOPIC, OFFSET, GROUP, ATTEMPTS, REASON, ERROR, TIMESTAMP] {
        content.headers.remove(name);
    }
    let before = content.headers.get(REDRIVEN).and_then(|count| count.parse::<u32>().ok());
    let count = before.unwrap_or_default().saturating_add(1);
    content.headers.insert(REDRIVEN.to_owned(), count.to_string());
    content
}
