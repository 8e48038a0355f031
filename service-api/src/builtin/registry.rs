use serde::{Deserialize, Serialize};

use crate::{RpcError, ServiceKey, service};

/// What the calling connection serves, and who it is to the broker.
#[service(name = "towline.Registry", builtin, encoding = "json")]
pub trait Registry {
    /// Publishes services on this connection: in force when this answers, gone with the connection. Publishing again is
    /// no error.
    #[rpc(idempotent, timeout = "5s")]
    async fn expose(&self, services: Vec<ServiceKey>) -> Result<Exposed, RpcError>;

    /// Withdraws services of this connection; calls in progress go on. Those it does not publish are passed over.
    #[rpc(idempotent, timeout = "5s")]
    async fn hide(&self, services: Vec<ServiceKey>) -> Result<(), RpcError>;

    /// What the broker knows of the caller.
    #[rpc(idempotent, timeout = "5s")]
    async fn whoami(&self) -> Result<Identity, RpcError>;
}

/// The answer of [`Registry::expose`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// In force now, each as `[group!]service[:version]`.
    pub accepted: Vec<String>,
    /// Not published, and why.
    pub refused: Vec<RefusedService>,
}

/// A service that was not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedService {
    /// `[group!]service[:version]`
    pub service: String,
    /// `invalid-name`, `reserved`, `too-many` or `closed`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// The answer of [`Registry::whoami`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The instance this connection belongs to: from SETUP, or made by the broker.
    pub uuid: String,
    /// The name given in SETUP, or empty.
    pub name: String,
    /// Who it was authenticated as; none without authentication.
    pub principal: Option<String>,
}
