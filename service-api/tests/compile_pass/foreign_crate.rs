//! Another package: the crate is found by its Cargo.toml, or named; lints a careful user turns on are kept.
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations)]

use std::fmt;
use std::sync::Arc;

use towline_service_api::{Caller, Client, ServiceError, Stream, Streaming, service};

/// No prelude names are needed but the trait's own types.
#[derive(Debug, ServiceError)]
pub enum GameError {
    /// Nobody plays.
    Over,
}

impl fmt::Display for GameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("over")
    }
}

/// A game.
#[service]
pub trait Game {
    /// Plays.
    #[rpc(retry(max = 1, backoff = "1ms..1s"), key = player)]
    async fn play(&self, player: String, r#move: Option<u8>) -> Result<u8, GameError>;
    /// Ends.
    #[rpc(oneway)]
    async fn end(&self);
    /// Shows.
    fn show(&self, moves: Streaming<u8>) -> impl Stream<Item = Result<u8, GameError>> + Unpin;
}

/// A service and an error whose crate is named.
mod facade {
    pub(crate) use towline_service_api::*;
}

#[facade::service(crate = "crate::facade")]
trait Renamed {
    async fn get(&self) -> Result<u8, RenamedError>;
}

#[derive(Debug, facade::ServiceError)]
#[service_error(crate = "crate::facade")]
enum RenamedError {
    Gone { since: u64 },
}

impl fmt::Display for RenamedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

struct Nobody;

impl Renamed for Nobody {
    async fn get(&self) -> Result<u8, RenamedError> {
        Err(RenamedError::Gone { since: 1 })
    }
}

/// What an app does with any client.
pub fn client<C: Client>(caller: Arc<dyn Caller>) -> C {
    C::from_caller(caller)
}

fn main() {
    assert_eq!(GameClient::CONTRACT.key.to_string(), "towline_service_api_tests.Game");
    assert_eq!(GameClient::CONTRACT.methods[0].arguments[1].name, "move");
    let _ = (client::<GameClient>, client::<RenamedClient>, RenamedServer::new(Nobody));
}
