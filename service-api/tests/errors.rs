//! Typed errors both ways, and everything a caller sees that is none.

mod support;

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use support::Loopback;
use support::users::{UserError, UserServiceClient, UserServiceServer, Users};
use towline_service_api::{
    Answer, Call, CallError, Caller, Delivery, Encoding, RpcError, ServiceError, Streaming, service,
};

fn client() -> UserServiceClient {
    UserServiceClient::new(Loopback::new(UserServiceServer::new(Users::default())))
}

/// Answers every call with the same.
struct Fixed(Result<&'static [u8], RpcError>);

impl Fixed {
    fn answer(&self) -> Result<Answer, RpcError> {
        let data = self.0.clone()?;
        Ok(Answer { encoding: Some(Encoding::Json), data: Bytes::from_static(data) })
    }
}

impl Caller for Fixed {
    fn unary(&self, _: Call) -> BoxFuture<'static, Result<Answer, RpcError>> {
        future::ready(self.answer()).boxed()
    }

    fn oneway(&self, _: Call) -> BoxFuture<'static, Result<(), RpcError>> {
        future::ready(self.answer().map(drop)).boxed()
    }

    fn stream(&self, _: Call) -> BoxStream<'static, Result<Answer, RpcError>> {
        stream::once(future::ready(self.answer())).boxed()
    }

    fn channel(&self, _: Call, items: BoxStream<'static, Bytes>) -> BoxStream<'static, Result<Answer, RpcError>> {
        items.filter_map(|_| future::ready(None)).boxed()
    }
}

fn answering(answer: Result<&'static [u8], RpcError>) -> UserServiceClient {
    UserServiceClient::new(std::sync::Arc::new(Fixed(answer)))
}

#[tokio::test]
async fn the_methods_own_error_arrives_as_itself() {
    assert_eq!(client().find_by_id(100).await, Err(CallError::App(UserError::UnknownUser { id: 100 })));
    let taken = UserError::NameTaken { owner_id: Some(3), tried: vec!["taken".to_owned()] };
    assert_eq!(client().rename(3, "taken".to_owned(), None).await, Err(CallError::App(taken)));
    assert_eq!(client().rename(3, "why".to_owned(), None).await, Err(CallError::App(UserError::Closed)));
    let last = client().watch(99, 2).start().collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!(last, Err(CallError::App(UserError::UnknownUser { id: 100 })));
}

#[test]
fn the_text_is_the_typed_error_of_the_convention() {
    let rpc = UserError::UnknownUser { id: 7 }.into_rpc();
    assert_eq!((rpc.code, rpc.delivery), (RpcError::APPLICATION_ERROR, Delivery::Maybe));
    let text =
        r#"{"code":"unknown-user","message":"there is no user 7","next":"list them by Users.all","detail":{"id":7}}"#;
    assert_eq!(rpc.message, text);
    let rpc = UserError::NameTaken { owner_id: None, tried: vec![] }.into_rpc();
    let text = r#"{"code":"taken","message":"the name is taken by None","detail":{"ownerId":null,"tried":[]}}"#;
    assert_eq!(rpc.message, text);
}

#[test]
fn fields_are_read_in_either_spelling_and_options_may_be_missing() {
    let read = |text: &str| UserError::from_rpc(RpcError::application(text));
    let taken = |owner_id| Ok(UserError::NameTaken { owner_id, tried: vec![] });
    assert_eq!(read(r#"{"code":"taken","detail":{"owner_id":1,"tried":[]}}"#), taken(Some(1)));
    assert_eq!(read(r#"{"code":"taken","message":"m","detail":{"tried":[],"new":1}}"#), taken(None));
    assert!(read(r#"{"code":"taken","detail":{}}"#).is_err());
}

#[tokio::test]
async fn an_unknown_code_is_an_rpc_error_that_carries_it() {
    let text = r#"{"code":"banned","message":"for a week","next":"wait","detail":{"days":7}}"#;
    let error = answering(Err(RpcError::application(text))).find_by_id(1).await.unwrap_err();
    let typed = error.rpc().unwrap().typed().unwrap();
    assert_eq!(
        (typed.code.as_ref(), typed.message.as_str(), typed.next.as_deref()),
        ("banned", "for a week", Some("wait"))
    );
    assert_eq!(typed.detail["days"], 7);
}

#[tokio::test]
async fn other_codes_pass_as_they_are() {
    for code in [RpcError::APPLICATION_ERROR, RpcError::REJECTED, RpcError::CANCELED, RpcError::INVALID, 0x301] {
        let error = RpcError::from_wire(code, "text");
        assert_eq!(answering(Err(error.clone())).find_by_id(1).await, Err(CallError::Rpc(error.clone())));
        assert_eq!(answering(Err(error.clone())).touch(1).await, Err(error.clone()));
        assert_eq!(answering(Err(error.clone())).ping().await, Err(CallError::Rpc(error)));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_readable_is_an_error_and_ends_the_stream() {
    let error = answering(Ok(b"7")).find_by_id(1).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the answer of com.acme.UserService.findById is not readable as User"), "{text}");
    let answers: Vec<_> = answering(Ok(b"{}")).watch(1, 2).start().collect().await;
    assert_eq!(answers.len(), 1);
    assert!(answers[0].is_err());
}

#[tokio::test]
async fn a_channel_that_completes_without_a_payload_answers_unit_only() {
    let text = answering(Ok(b"")).import(stream::empty()).await.unwrap_err().to_string();
    assert!(text.starts_with("the answer of com.acme.UserService.import is not readable as u32"), "{text}");
    MapsClient::new(std::sync::Arc::new(Fixed(Ok(b"")))).drain(stream::empty()).await.unwrap();
}

#[service(name = "com.acme.Maps")]
trait Maps {
    async fn put(&self, by_pair: HashMap<(u8, u8), u8>) -> Result<(), RpcError>;
    async fn put_all(&self, maps: Streaming<HashMap<(u8, u8), u8>>) -> Result<u32, RpcError>;
    async fn drain(&self, numbers: Streaming<u8>) -> Result<(), RpcError>;
    async fn list(&self) -> Result<HashMap<(u8, u8), u8>, RpcError>;
}

struct Plain;

impl Maps for Plain {
    async fn put(&self, by_pair: HashMap<(u8, u8), u8>) -> Result<(), RpcError> {
        assert_eq!(by_pair[&(1, 2)], 3);
        Ok(())
    }

    async fn put_all(&self, maps: Streaming<HashMap<(u8, u8), u8>>) -> Result<u32, RpcError> {
        Ok(maps.count().await as u32)
    }

    async fn drain(&self, numbers: Streaming<u8>) -> Result<(), RpcError> {
        numbers.for_each(|_| future::ready(())).await;
        Ok(())
    }

    async fn list(&self) -> Result<HashMap<(u8, u8), u8>, RpcError> {
        Ok(HashMap::from([((1, 2), 3)]))
    }
}

/// JSON has no maps whose keys are no texts.
#[tokio::test]
async fn what_has_no_form_in_the_encoding_fails_the_call() {
    let map = HashMap::from([((1, 2), 3)]);
    let client = MapsClient::new(Loopback::new(MapsServer::new(Plain)));
    client.put(map.clone()).await.unwrap();
    assert_eq!(client.list().await.unwrap(), map);
    assert_eq!(client.put_all(stream::iter([map.clone()])).await.unwrap(), 1);
    let client = client.with_encoding(Encoding::Json);
    let error = client.put(map.clone()).await.unwrap_err().to_string();
    assert!(error.starts_with("com.acme.Maps.put: argument `byPair` cannot be written as application/json"), "{error}");
    // An item that cannot be written is not the end of the items: the call fails.
    let error = client.put_all(stream::iter([map])).await.unwrap_err().to_string();
    assert!(error.starts_with("an item for com.acme.Maps.putAll cannot be written"), "{error}");
    let error = client.list().await.unwrap_err().to_string();
    assert!(error.starts_with("the answer of com.acme.Maps.list cannot be written"), "{error}");
}
