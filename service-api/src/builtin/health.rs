use serde::{Deserialize, Serialize};

use crate::{RpcError, service};

/// Whether the broker, or one service behind it, can take calls.
#[service(name = "towline.Health", builtin, encoding = "json")]
pub trait Health {
    /// The health of a service (`com.acme.UserService`), or of the broker itself if none is named.
    #[rpc(idempotent, timeout = "2s")]
    async fn check(&self, service: Option<String>) -> Result<HealthStatus, RpcError>;
}

/// The answer of [`Health::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// 1 serving, 0 unknown, -1 down.
    pub status: i32,
}

impl HealthStatus {
    /// It takes calls.
    pub const SERVING: Self = Self { status: 1 };
    /// Nothing is known of it.
    pub const UNKNOWN: Self = Self { status: 0 };
    /// It takes no calls.
    pub const DOWN: Self = Self { status: -1 };
}
