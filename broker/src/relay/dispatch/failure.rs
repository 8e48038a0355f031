//! Why a request goes nowhere, in the words of the contract (wire-contract.md 2.8; hints come after the starters' words).

use crate::link::{Link, Refusal};
use crate::metrics::RequestRefusal;
use crate::routing::{RouteKey, Table};
use rsocket::ErrorCode;

/// What a requester is told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub reason: RequestRefusal,
    pub code: ErrorCode,
    pub text: String,
}

impl Failure {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self { reason: RequestRefusal::Invalid, code: ErrorCode::INVALID, text: text.into() }
    }

    pub(crate) fn no_routing(hint: &str) -> Self {
        Self::invalid(format!("RST-600404: No Routing metadata; {hint}"))
    }

    pub(crate) fn past_deadline() -> Self {
        let text = "deadline exceeded".into();
        Self { reason: RequestRefusal::Deadline, code: ErrorCode::CANCELED, text }
    }

    /// Nobody serves this key.
    pub(crate) fn not_found(table: &Table, key: &RouteKey<'_>) -> Self {
        let mut present: Vec<_> =
            table.variants(key.service).map(|(key, count)| format!("{key} has {count}")).collect();
        present.sort();
        present.truncate(5);
        let service = if key.method.is_empty() { key.text.to_owned() } else { format_key(key) };
        let hint = if present.is_empty() {
            format!("no app registered {}", key.service)
        } else {
            format!("no instance of this group and version; {}", present.join(", "))
        };
        Self::no_route(format!("RST-900404: Service not found {service}; {hint}"))
    }

    /// Somebody serves it, but not the one that was asked for.
    pub(crate) fn no_endpoint(key: &RouteKey<'_>, others: usize) -> Self {
        Self::no_route(format!(
            "RST-900405: Service not found with endpoint {} {}; {others} instances have other endpoints or labels",
            key.text,
            key.endpoint.unwrap_or("and these labels"),
        ))
    }

    fn no_route(text: String) -> Self {
        Self { reason: RequestRefusal::NoRoute, code: ErrorCode::INVALID, text }
    }

    /// Whoever could serve it takes no more; `busy` is the time after which that may have changed, in milliseconds.
    pub(crate) fn rejected(refusal: Refusal, whom: &str, busy: u64) -> Self {
        let (why, retry) = match refusal {
            Refusal::Closed => ("is gone", 50),
            Refusal::Draining => ("is shutting down", 50),
            Refusal::Busy => ("does not take what already waits for it", busy),
            Refusal::Streams => ("has as many streams open as it may have", 100),
            Refusal::Lease => ("has no lease for another request", 200),
        };
        Self {
            reason: RequestRefusal::Rejected,
            code: ErrorCode::REJECTED,
            text: format!("{whom} {why} retry-after-ms={retry}"),
        }
    }

    /// Their metadata cannot be turned into each other.
    pub(crate) fn dialects(from: &Link, to: &Link) -> Self {
        let (from, to) = (&from.dialect.metadata_mime, &to.dialect.metadata_mime);
        Self::invalid(format!(
            "this connection's metadata is `{from}` and the responder's is `{to}`: connect both with \
             message/x.rsocket.composite-metadata.v0"
        ))
    }
}

fn format_key(key: &RouteKey<'_>) -> String {
    let group = if key.group.is_empty() { String::new() } else { format!("{}!", key.group) };
    let version = if key.version.is_empty() { String::new() } else { format!(":{}", key.version) };
    format!("{group}{}{version}", key.service)
}
