use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The identity of a service: `[group!]service[:version]`.
///
/// An empty group or version means "none"; the service's name has dots, never `::`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The group, or empty.
    #[serde(default)]
    pub group: Cow<'static, str>,
    /// The service's name, such as `com.acme.UserService`.
    pub service: Cow<'static, str>,
    /// The version, or empty.
    #[serde(default)]
    pub version: Cow<'static, str>,
}

/// A text that is not `[group!]service[:version]`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a service key: write [group!]service[:version], such as com.acme.UserService:2")]
pub struct ParseKeyError {
    /// The text that was refused.
    pub text: String,
}

impl ServiceKey {
    /// A key of constant texts; pass `""` for no group or no version.
    pub const fn new(group: &'static str, service: &'static str, version: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), service: Cow::Borrowed(service), version: Cow::Borrowed(version) }
    }

    /// The routing tag of one method: `[group!]service.method[:version]`.
    pub fn route(&self, method: &str) -> String {
        let mut text =
            String::with_capacity(self.group.len() + self.service.len() + method.len() + self.version.len() + 3);
        if !self.group.is_empty() {
            text.push_str(&self.group);
            text.push('!');
        }
        text.push_str(&self.service);
        text.push('.');
        text.push_str(method);
        if !self.version.is_empty() {
            text.push(':');
            text.push_str(&self.version);
        }
        text
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}!", self.group)?;
        }
        f.write_str(&self.service)?;
        if !self.version.is_empty() {
            write!(f, ":{}", self.version)?;
        }
        Ok(())
    }
}

impl FromStr for ServiceKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (group, rest) = text.split_once('!').unwrap_or(("", text));
        let (service, version) = rest.split_once(':').unwrap_or((rest, ""));
        let is_foreign = |c: char| matches!(c, ':' | '!' | '?' | '/') || c.is_whitespace();
        if service.is_empty() || [group, service, version].iter().any(|part| part.contains(is_foreign)) {
            return Err(ParseKeyError { text: text.to_owned() });
        }
        Ok(Self {
            group: Cow::Owned(group.to_owned()),
            service: Cow::Owned(service.to_owned()),
            version: Cow::Owned(version.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests;
