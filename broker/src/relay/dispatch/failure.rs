//! Why a request goes nowhere, in the words of the contract (wire-contract.md 2.8; hints come after the starters' words).

use super::route::MAX_ENTRIES;
use crate::link::{Dialect, Form, Link, Refusal};
use crate::metrics::RequestRefusal;
use crate::routing::{RouteKey, Table};
use rsocket::ErrorCode;
use rsocket::metadata::{Composite, Malformed, mime};

/// The metadata of a connection whose requests can be routed.
const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";
/// What a routing entry has to say.
const TAG: &str = "one tag service.method";

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

    /// The metadata, of this dialect, names no service. What is wrong with it is looked for here and not before, so that
    /// other requests do not pay for it.
    pub(crate) fn no_routing(dialect: &Dialect, metadata: &[u8]) -> Self {
        let hint = match dialect.form {
            Form::Other => {
                let said = &dialect.metadata_mime;
                let said = if said.is_empty() { "of no type" } else { said };
                format!("SETUP says the metadata is {said}: say {COMPOSITE} and send a routing entry (0x7E) with {TAG}")
            }
            _ if metadata.is_empty() => format!("the request has no metadata: send a routing entry (0x7E) with {TAG}"),
            Form::Routing => format!("the first tag names no service: send {TAG}"),
            Form::Composite => unrouted(metadata),
        };
        Self::invalid(format!("RST-600404: No Routing metadata; {hint}"))
    }

    pub(crate) fn past_deadline() -> Self {
        let text = "deadline exceeded".into();
        Self { reason: RequestRefusal::Deadline, code: ErrorCode::CANCELED, text }
    }

    /// Nobody serves this key.
    pub(crate) fn not_found(table: &Table, key: &RouteKey<'_>) -> Self {
        let mut variants: Vec<_> = table.variants(key.service).collect();
        variants.sort();
        let service = if key.method.is_empty() { key.text.to_owned() } else { format_key(key) };
        let hint = match variants.first() {
            Some((first, _)) => {
                let like = if key.method.is_empty() { first.to_string() } else { first.route(key.method) };
                let present: Vec<_> =
                    variants.iter().take(5).map(|(key, count)| format!("{key} has {count}")).collect();
                format!(
                    "no instance of this group and version; {}: ask for one that is there, as in {like}",
                    present.join(", ")
                )
            }
            None => match table.variants(key.undivided().service).map(|(key, _)| key).min() {
                Some(whole) if !key.method.is_empty() => {
                    format!("{whole} is a service: name one of its methods, as in {}", whole.route("method"))
                }
                _ => format!(
                    "no app registered {}: start one that serves it, or correct the tag, which is service.method",
                    key.service
                ),
            },
        };
        Self::no_route(format!("RST-900404: Service not found {service}; {hint}"))
    }

    /// Somebody serves it, but not the one that was asked for.
    pub(crate) fn no_endpoint(key: &RouteKey<'_>, others: usize) -> Self {
        Self::no_route(format!(
            "RST-900405: Service not found with endpoint {} {}; {others} instances have other endpoints or labels: \
             without the tags e= and t. any of them will do",
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

/// What is wrong with composite metadata that names no service.
fn unrouted(metadata: &[u8]) -> String {
    for entry in Composite::new(metadata).take(MAX_ENTRIES) {
        match entry {
            Ok(entry) if entry.mime == mime::ROUTING => {
                return format!("the routing entry names no service: send {TAG} in it");
            }
            Ok(_) => {}
            Err(Malformed { at }) => {
                return format!(
                    "byte {at} of the metadata begins no entry, and SETUP says that it is composite: send entries, one of \
                     them routing (0x7E) with {TAG}"
                );
            }
        }
    }
    format!("no entry of the metadata is routing: send one (0x7E) with {TAG}")
}

fn format_key(key: &RouteKey<'_>) -> String {
    let group = if key.group.is_empty() { String::new() } else { format!("{}!", key.group) };
    let version = if key.version.is_empty() { String::new() } else { format!(":{}", key.version) };
    format!("{group}{}{version}", key.service)
}
