//! Every shape of method, through client and server, in every encoding of all types.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use support::users::{User, UserService, UserServiceClient, UserServiceServer, Users};
use support::{Loopback, call};
use towline_service_api::{Dispatch, Encoding, Interaction, RpcError, Streaming, service};

const ENCODINGS: [Encoding; 3] = [Encoding::MessagePack, Encoding::Json, Encoding::Cbor];

fn client(encoding: Encoding) -> (UserServiceClient, Arc<Users>) {
    let users = Arc::new(Users::default());
    let server = UserServiceServer::from_arc(Arc::clone(&users));
    (UserServiceClient::new(Loopback::new(server)).with_encoding(encoding), users)
}

#[tokio::test]
async fn unary_calls_answer() {
    for encoding in ENCODINGS {
        let (client, _) = client(encoding);
        assert_eq!(client.find_by_id(7).await.unwrap(), User::new(7, "user 7"));
        assert_eq!(client.find_nick(7).await.unwrap(), Some("nick 7".to_owned()));
        assert_eq!(client.find_nick(8).await.unwrap(), None);
        assert_eq!(client.sum(vec![1, 2]).await.unwrap(), 3);
        client.ping().await.unwrap();
        client.rename(1, "x".to_owned(), None).await.unwrap();
        assert_eq!(client.oddly_named(1, 2, 3, Some(4)).await.unwrap(), 10);
    }
}

#[tokio::test]
async fn one_way_calls_run() {
    for encoding in ENCODINGS {
        let (client, users) = client(encoding);
        client.touch(5).await.unwrap();
        assert_eq!(*users.touched.lock().unwrap(), [5]);
    }
}

#[tokio::test]
async fn streams_answer_until_their_end_or_first_error() {
    for encoding in ENCODINGS {
        let (client, _) = client(encoding);
        let ids: Vec<u32> = client.watch(7, 3).prefetch(64).start().map_ok(|user| user.id).try_collect().await.unwrap();
        assert_eq!(ids, [7, 8, 9]);
        let answers: Vec<_> = client.watch(98, 10).start().map(|user| user.is_ok()).collect().await;
        assert_eq!(answers, [true, true, false]);
    }
}

#[tokio::test]
async fn channels_take_many_items_and_answer_one_or_many() {
    for encoding in ENCODINGS {
        let (client, _) = client(encoding);
        let users = stream::iter([User::new(1, "a"), User::new(2, "b")]);
        assert_eq!(client.import(users).await.unwrap(), 3);
        let said = stream::iter(["hi".to_owned(), "bye".to_owned()]);
        let heard: Vec<String> = client.chat("lobby".to_owned(), said).start().try_collect().await.unwrap();
        assert_eq!(heard, ["lobby: hi", "lobby: bye"]);
    }
}

#[tokio::test]
async fn an_answer_in_another_encoding_is_read_as_it_says() {
    for encoding in ENCODINGS {
        let caller = Loopback::answering_in(UserServiceServer::new(Users::default()), Encoding::Json);
        let client = UserServiceClient::new(caller).with_encoding(encoding);
        assert_eq!(client.find_by_id(7).await.unwrap().id, 7);
        assert_eq!(client.watch(1, 2).start().count().await, 2);
    }
}

#[service(name = "com.acme.Grid")]
trait Grid {
    async fn cells(&self) -> Result<BTreeMap<(u8, u8), u8>, RpcError>;
}

struct Flat;

impl Grid for Flat {
    async fn cells(&self) -> Result<BTreeMap<(u8, u8), u8>, RpcError> {
        Ok(BTreeMap::from([((1, 2), 3)]))
    }
}

#[tokio::test]
async fn an_answer_without_a_form_in_a_wanted_encoding_is_in_the_requests_own() {
    // JSON has no map with such keys.
    let client = GridClient::new(Loopback::answering_in(GridServer::new(Flat), Encoding::Json));
    assert_eq!(client.cells().await.unwrap()[&(1, 2)], 3);
    let error = client.cells().encoding(Encoding::Json).await.unwrap_err().to_string();
    assert!(error.starts_with("the answer of com.acme.Grid.cells cannot be written as application/json: "), "{error}");
}

#[tokio::test]
async fn the_rust_spelling_is_accepted() {
    let server = UserServiceServer::new(Users::default());
    for method in ["findById", "find_by_id"] {
        let answers = call(&server, method, Interaction::RequestResponse, Encoding::Json, b"[7]").await.unwrap();
        assert_eq!(&answers[0][..], br#"{"id":7,"name":"user 7","nick":null}"#);
    }
    for method in ["odd", "oddly_named"] {
        let answers = call(&server, method, Interaction::RequestResponse, Encoding::Json, b"[1,2,3]").await.unwrap();
        assert_eq!(&answers[0][..], b"6");
    }
}

#[tokio::test]
async fn unary_and_one_way_methods_are_lenient_about_the_interaction() {
    let users = Arc::new(Users::default());
    let server = UserServiceServer::from_arc(Arc::clone(&users));
    use Interaction::{FireAndForget, RequestResponse, RequestStream};
    for interaction in [FireAndForget, RequestResponse, RequestStream] {
        let answers = call(&server, "findNick", interaction, Encoding::Json, b"[2]").await.unwrap();
        assert_eq!(answers, ["null"]);
        let answers = call(&server, "touch", interaction, Encoding::Json, b"[2]").await.unwrap();
        assert_eq!(answers, [""]);
    }
    assert_eq!(*users.touched.lock().unwrap(), [2, 2, 2]);
}

#[tokio::test]
async fn a_call_that_cannot_fit_the_shape_is_told_the_right_interaction() {
    let server = UserServiceServer::new(Users::default());
    use Interaction::{FireAndForget, RequestChannel, RequestResponse, RequestStream};
    for (method, interaction, right) in [
        ("watch", RequestResponse, "REQUEST_STREAM"),
        ("watch", FireAndForget, "REQUEST_STREAM"),
        ("watch", RequestChannel, "REQUEST_STREAM"),
        ("findById", RequestChannel, "REQUEST_RESPONSE"),
        ("touch", RequestChannel, "REQUEST_FNF"),
        ("import", RequestResponse, "REQUEST_CHANNEL"),
        ("chat", RequestStream, "REQUEST_CHANNEL"),
    ] {
        let error = call(&server, method, interaction, Encoding::Json, b"").await.unwrap_err();
        assert_eq!(error.code, RpcError::INVALID);
        let expected = format!(
            "RST-201404: No service handler found: com.acme.UserService.{method} for {interaction}: call it by {right}"
        );
        assert_eq!(error.message, expected);
    }
    let error = call(&server, "nope", RequestResponse, Encoding::Json, b"").await.unwrap_err();
    assert_eq!(
        error.message,
        "RST-201404: No service handler found: com.acme.UserService.nope; its methods are findById, findNick, rename, \
         touch, watch, import, chat, sum, store, ping, odd"
    );
    assert_eq!(error.code, RpcError::INVALID);
}

#[tokio::test]
async fn dropping_a_stream_drops_the_handlers_stream() {
    let (client, users) = client(Encoding::Json);
    let before = Arc::strong_count(&users);
    let mut answers = client.watch(0, 50).start();
    answers.next().await.unwrap().unwrap();
    assert!(Arc::strong_count(&users) > before);
    drop(answers);
    assert_eq!(Arc::strong_count(&users), before);
}

#[tokio::test]
async fn a_service_is_tested_without_any_connection() {
    let users = Users::default();
    let items = Streaming::new(stream::iter([Ok(User::new(1, "a")), Err(RpcError::canceled("gone"))]));
    assert!(users.import(items).await.is_err());
    assert_eq!(UserServiceServer::new(users).contract().methods.len(), 11);
}

#[service(name = "test.Bare", encoding = "json")]
trait Bare {
    #[rpc(bare)]
    async fn double(&self, number: i64) -> Result<i64, RpcError>;
}

struct Doubling;

impl Bare for Doubling {
    async fn double(&self, number: i64) -> Result<i64, RpcError> {
        Ok(2 * number)
    }
}

#[tokio::test]
async fn an_only_argument_is_sent_bare_where_the_trait_says_so_and_read() {
    let caller = Loopback::new(BareServer::new(Doubling));
    let client = BareClient::new(caller.clone());
    for (encoding, sent) in [(Encoding::Json, &b"21"[..]), (Encoding::Cbor, &[0x15])] {
        assert_eq!(client.double(21).encoding(encoding).await, Ok(42));
        assert_eq!(caller.last_call().arguments, sent, "{encoding}");
    }
}
