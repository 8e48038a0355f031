use std::sync::Mutex;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use towline_service_api::{RpcError, ServiceError, Stream, Streaming, service};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) nick: Option<String>,
}

impl User {
    pub(crate) fn new(id: u32, name: &str) -> Self {
        Self { id, name: name.to_owned(), nick: None }
    }
}

#[derive(Debug, PartialEq, thiserror::Error, ServiceError)]
pub(crate) enum UserError {
    #[error("there is no user {id}")]
    #[service_error(next = "list them by Users.all")]
    UnknownUser { id: u32 },
    #[error("the name is taken by {owner_id:?}")]
    #[service_error(code = "taken")]
    NameTaken { owner_id: Option<u32>, tried: Vec<String> },
    #[error("closed")]
    Closed,
}

/// Users of the shop.
///
/// Second paragraph.
#[service(name = "com.acme.UserService", version = "1")]
pub(crate) trait UserService {
    /// Finds one.
    #[rpc(idempotent, timeout = "2s", retry(max = 3, backoff = "20ms..1s"), key = id)]
    async fn find_by_id(&self, id: u32) -> Result<User, UserError>;
    async fn find_nick(&self, id: u32) -> Result<Option<String>, UserError>;
    async fn rename(&self, user_id: u32, new_name: String, reason: Option<String>) -> Result<(), UserError>;
    #[rpc(oneway)]
    async fn touch(&self, id: u32);
    fn watch(&self, first: u32, count: u32) -> impl Stream<Item = Result<User, UserError>>;
    async fn import(&self, users: Streaming<User>) -> Result<u32, UserError>;
    fn chat(&self, room: String, inbound: Streaming<String>) -> impl Stream<Item = Result<String, UserError>>;
    async fn sum(&self, numbers: Vec<i64>) -> Result<i64, RpcError>;
    async fn store(&self, user: User) -> Result<User, RpcError>;
    async fn ping(&self) -> Result<(), RpcError>;
    /// The locals of generated code are hygienic, and a default body is kept.
    #[rpc(name = "odd")]
    async fn oddly_named(
        &self,
        request: u32,
        arguments: u32,
        service: u32,
        r#type: Option<u32>,
    ) -> Result<u32, RpcError> {
        Ok(request + arguments + service + r#type.unwrap_or(0))
    }
}

/// Knows users below 100.
#[derive(Default)]
pub(crate) struct Users {
    pub(crate) touched: Mutex<Vec<u32>>,
    prefix: String,
}

impl Users {
    fn user(&self, id: u32) -> Result<User, UserError> {
        if id < 100 {
            Ok(User::new(id, &format!("{}user {id}", self.prefix)))
        } else {
            Err(UserError::UnknownUser { id })
        }
    }
}

impl UserService for Users {
    async fn find_by_id(&self, id: u32) -> Result<User, UserError> {
        self.user(id)
    }

    async fn find_nick(&self, id: u32) -> Result<Option<String>, UserError> {
        Ok((id % 2 == 1).then(|| format!("nick {id}")))
    }

    async fn rename(&self, user_id: u32, new_name: String, reason: Option<String>) -> Result<(), UserError> {
        match (new_name.as_str(), reason) {
            ("taken", _) => Err(UserError::NameTaken { owner_id: Some(user_id), tried: vec![new_name] }),
            ("why", None) => Err(UserError::Closed),
            _ => Ok(()),
        }
    }

    async fn touch(&self, id: u32) {
        self.touched.lock().expect("no test panics with it").push(id);
    }

    // Borrows from `&self`.
    fn watch(&self, first: u32, count: u32) -> impl Stream<Item = Result<User, UserError>> {
        stream::iter(first..first + count).then(move |id| async move {
            tokio::task::yield_now().await;
            self.user(id)
        })
    }

    async fn import(&self, users: Streaming<User>) -> Result<u32, UserError> {
        let ids: Vec<u32> = users.map_ok(|user| user.id).try_collect().await.map_err(|_| UserError::Closed)?;
        Ok(ids.into_iter().sum())
    }

    fn chat(&self, room: String, inbound: Streaming<String>) -> impl Stream<Item = Result<String, UserError>> {
        inbound.map(move |text| Ok(format!("{room}: {}", text.map_err(|_| UserError::Closed)?)))
    }

    async fn sum(&self, numbers: Vec<i64>) -> Result<i64, RpcError> {
        Ok(numbers.into_iter().sum())
    }

    async fn store(&self, user: User) -> Result<User, RpcError> {
        Ok(user)
    }

    async fn ping(&self) -> Result<(), RpcError> {
        Ok(())
    }
}
