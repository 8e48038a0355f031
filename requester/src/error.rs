use std::time::Duration;

use thiserror::Error;
use towline_rsocket::transport::TlsError;
use towline_service_api::ServiceKey;

/// Why an app did not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StartError {
    /// No address was given.
    #[error("no broker address was given: App::connect(\"rsocket://127.0.0.1:9999\")")]
    NoAddress,
    /// More addresses than an app may have.
    #[error("{count} broker addresses were given: an app connects to {max} at most")]
    TooManyAddresses {
        /// How many were given.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A text that is no address, or one this build cannot use.
    #[error("{address:?} is no address of a broker here: {why}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong and what to write.
        why: String,
    },
    /// The roots given cannot be used.
    #[error("the roots given to AppBuilder::roots_pem cannot be used: {0}")]
    Roots(#[from] TlsError),
    /// Two services have one key.
    #[error("the service {0} is served twice: give one of them another group or version")]
    ServedTwice(ServiceKey),
    /// SETUP, which carries the services, is over its limit.
    #[error("SETUP would have {len} bytes with {services} services: 65536 are allowed, serve fewer of them in one app")]
    SetupTooLarge {
        /// Its bytes.
        len: usize,
        /// Services to be registered.
        services: usize,
    },
    /// Every broker refused this app.
    #[error("{broker} refused this app: {text}")]
    Refused {
        /// The broker's address.
        broker: String,
        /// What it said.
        text: String,
    },
    /// No broker could be reached in time, or the only connection ended.
    #[error("no broker connected within {within:?}: {trouble}")]
    NotConnected {
        /// How long it was tried.
        within: Duration,
        /// What went wrong last, broker by broker.
        trouble: String,
    },
}
