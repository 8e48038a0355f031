//! What topics and groups can be called.

use towline_service_api::builtin::QueueError;

/// The broker's own topics.
pub(crate) const RESERVED: &str = "towline.";
/// Dead-letter topics, which are made by their groups.
pub(crate) const DEAD_LETTER: &str = ".dlq";

/// The most a topic's name may have, in bytes.
const TOPIC: usize = 128;
const GROUP: usize = 64;
/// What a producer, an id or an instance may have.
pub(crate) const ID: usize = 128;

/// A name that a topic may be created under.
///
/// # Errors
/// `invalid-name`.
pub(crate) fn check_topic(name: &str) -> Result<(), QueueError> {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let rule = if name.is_empty() || name.len() > TOPIC || !name.bytes().all(is_ours) {
        "1 to 128 letters, digits, dots, hyphens and underscores"
    } else if name.starts_with(RESERVED) {
        "names that start with `towline.` are the broker's own"
    } else if name.ends_with(DEAD_LETTER) {
        "names that end with `.dlq` are those of dead-letter topics, which groups make"
    } else {
        return Ok(());
    };
    Err(invalid("topic", name, rule))
}

/// A topic that others than the broker may use.
///
/// # Errors
/// `forbidden`: it is one of the broker's own.
pub(crate) fn check_is_theirs(name: &str) -> Result<(), QueueError> {
    if name.starts_with(RESERVED) {
        let (what, why) = (format!("using topic `{name}`"), "it is one of the broker's own".to_owned());
        return Err(QueueError::Forbidden { what, why });
    }
    Ok(())
}

/// A name that a group may be created under.
///
/// # Errors
/// `invalid-name`.
pub(crate) fn check_group(name: &str) -> Result<(), QueueError> {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > GROUP || !name.bytes().all(is_ours) {
        return Err(invalid("group", name, "1 to 64 letters, digits, hyphens and underscores"));
    }
    Ok(())
}

fn invalid(what: &str, name: &str, rule: &str) -> QueueError {
    let shown = name.chars().take(TOPIC).collect();
    QueueError::InvalidName { what: what.to_owned(), name: shown, rule: rule.to_owned() }
}

/// Where the dead letters of a group go.
pub(crate) fn dead_letter(topic: &str, group: &str) -> String {
    format!("{topic}.{group}{DEAD_LETTER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_ours_are_reserved() {
        for name in ["orders", "area-service", "a.b_c-9", &"x".repeat(128)] {
            assert_eq!(check_topic(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "ä", "a/b", "../x", "towline.audit", "orders.billing.dlq", &"x".repeat(129), "a\n"] {
            assert!(check_topic(name).is_err(), "{name:?}");
        }
        for name in ["billing", "a_b-c"] {
            assert_eq!(check_group(name), Ok(()));
        }
        for name in ["", "a.b", "ü", &"x".repeat(65)] {
            assert!(check_group(name).is_err(), "{name:?}");
        }
    }
}
