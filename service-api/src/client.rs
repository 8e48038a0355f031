use std::sync::Arc;

use crate::caller::Caller;
use crate::contract::Contract;

/// A generated client, as an app makes one: `app.client::<UserServiceClient>()`.
pub trait Client: Sized {
    /// A client whose calls leave through this caller.
    fn from_caller(caller: Arc<dyn Caller>) -> Self;

    /// What the service offers.
    fn contract() -> &'static Contract;
}
