//! Every row of the table "what arrives" of plain-client.md, as literal bytes.

mod support;

use futures::StreamExt;
use support::users::{User, UserServiceServer, Users};
use support::{Loopback, call};
use towline_service_api::{Client, Encoding, Interaction, RpcError, Stream, Streaming, service};

async fn json(method: &str, arguments: &str) -> Result<String, RpcError> {
    let server = UserServiceServer::new(Users::default());
    let bytes = arguments.as_bytes();
    let answers = call(&server, method, Interaction::RequestResponse, Encoding::Json, bytes).await?;
    Ok(String::from_utf8(answers[0].to_vec()).expect("JSON is UTF-8"))
}

async fn messagepack(method: &str, arguments: &[u8]) -> Result<Vec<u8>, RpcError> {
    let server = UserServiceServer::new(Users::default());
    let answers = call(&server, method, Interaction::RequestResponse, Encoding::MessagePack, arguments).await?;
    Ok(answers[0].to_vec())
}

async fn cbor(method: &str, arguments: &[u8]) -> Result<Vec<u8>, RpcError> {
    let server = UserServiceServer::new(Users::default());
    let answers = call(&server, method, Interaction::RequestResponse, Encoding::Cbor, arguments).await?;
    Ok(answers[0].to_vec())
}

fn refused<T: std::fmt::Debug>(result: Result<T, RpcError>) -> String {
    let error = result.expect_err("a refusal");
    assert_eq!(error.code, RpcError::INVALID);
    let why = error.message.strip_prefix("RST-700501: com.acme.UserService.").expect(&error.message);
    // Behind the reason stands what to send, always in the same words.
    let (why, takes) = why.rsplit_once("; it takes (").expect(&error.message);
    let sends = takes.ends_with("): send no data") || takes.ends_with("], or a map with these names");
    assert!(sends, "{error}");
    why.to_owned()
}

#[tokio::test]
async fn a_refusal_says_what_the_method_takes() {
    let text = async |method, arguments| json(method, arguments).await.expect_err("a refusal").message;
    assert_eq!(
        text("rename", "[1]").await,
        "RST-700501: com.acme.UserService.rename: argument `newName: String`: it is missing; it takes (userId: u32, \
         newName: String, reason: Option<String>): send [userId, newName, reason], or a map with these names"
    );
    assert_eq!(
        text("ping", "[1]").await,
        "RST-700501: com.acme.UserService.ping: element 0 is too many: 0 arguments at most; it takes (): send no data"
    );
}

#[tokio::test]
async fn zero_bytes_are_no_arguments() {
    assert_eq!(json("ping", "").await.unwrap(), "");
    assert_eq!(messagepack("ping", b"").await.unwrap(), b"");
    assert_eq!(cbor("ping", b"").await.unwrap(), b"");
    assert_eq!(refused(json("findById", "").await), "findById: argument `id: u32`: it is missing");
}

#[tokio::test]
async fn an_array_is_positional() {
    assert_eq!(json("rename", r#" [1, "x", "because"] "#).await.unwrap(), "");
    assert_eq!(messagepack("rename", b"\x93\x01\xa1x\xa7because").await.unwrap(), b"");
    assert_eq!(json("sum", "[[1,2]]").await.unwrap(), "3");
    assert_eq!(messagepack("sum", b"\x91\x92\x01\x02").await.unwrap(), b"\x03");
    assert_eq!(json("ping", "[]").await.unwrap(), "");
    assert_eq!(messagepack("ping", b"\x90").await.unwrap(), b"");
    for array in
        [&b"\x83\x01\x61x\x67because"[..], b"\x9f\x01\x7f\x61x\xff\x67because\xff", b"\xd9\xd9\xf7\x82\x01\x61x"]
    {
        assert_eq!(cbor("rename", array).await.unwrap(), b"");
    }
    assert_eq!(cbor("sum", b"\x81\x82\x01\x02").await.unwrap(), b"\x03");
    assert_eq!(cbor("sum", b"\x9f\x9f\x01\x02\xff\xff").await.unwrap(), b"\x03");
    assert_eq!(cbor("ping", b"\x80").await.unwrap(), b"");
    assert_eq!(cbor("ping", b"\x9f\xff").await.unwrap(), b"");
}

#[tokio::test]
async fn missing_trailing_elements_are_none_and_extra_ones_must_be_null() {
    assert_eq!(json("rename", r#"[1,"x"]"#).await.unwrap(), "");
    assert_eq!(json("rename", r#"[1,"x",null,null]"#).await.unwrap(), "");
    assert_eq!(messagepack("rename", b"\x94\x01\xa1x\xc0\xc0").await.unwrap(), b"");
    assert_eq!(refused(json("rename", "[1]").await), "rename: argument `newName: String`: it is missing");
    assert_eq!(refused(json("sum", "[1,2]").await), "sum: element 1 is too many: 1 arguments at most");
    assert_eq!(refused(messagepack("sum", b"\x92\x01\x02").await), "sum: element 1 is too many: 1 arguments at most");
    assert_eq!(cbor("rename", b"\x84\x01\x61x\xf6\xf6").await.unwrap(), b"");
    assert_eq!(cbor("rename", b"\x9f\x01\x61x\xf7\xf7\xff").await.unwrap(), b"");
    assert_eq!(refused(cbor("sum", b"\x82\x01\x02").await), "sum: element 1 is too many: 1 arguments at most");
    assert_eq!(refused(cbor("rename", b"\x81\x01").await), "rename: argument `newName: String`: it is missing");
    assert_eq!(refused(json("ping", "[1]").await), "ping: element 0 is too many: 0 arguments at most");
}

#[tokio::test]
async fn a_map_of_argument_names_is_named_in_either_spelling() {
    assert_eq!(json("rename", r#"{"newName":"x","userId":1}"#).await.unwrap(), "");
    assert_eq!(json("rename", r#"{"new_name":"x","user_id":1,"reason":null}"#).await.unwrap(), "");
    assert_eq!(messagepack("rename", b"\x82\xa7newName\xa1x\xa6userId\x01").await.unwrap(), b"");
    assert_eq!(messagepack("rename", b"\x82\xa8new_name\xa1x\xa7user_id\x01").await.unwrap(), b"");
    assert_eq!(cbor("rename", b"\xa2\x67newName\x61x\x66userId\x01").await.unwrap(), b"");
    assert_eq!(cbor("rename", b"\xbf\x68new_name\x61x\x7f\x65user_\x62id\xff\x01\xff").await.unwrap(), b"");
    assert_eq!(cbor("ping", b"\xa0").await.unwrap(), b"");
    assert_eq!(json("find_nick", r#"{"id":2}"#).await.unwrap(), "null");
    assert_eq!(json("ping", "{}").await.unwrap(), "");
}

#[tokio::test]
async fn a_map_with_other_or_missing_names_is_refused_when_there_are_several_arguments() {
    assert_eq!(refused(json("rename", r#"{"userId":1,"name":"x"}"#).await), "rename: there is no argument `name`");
    assert_eq!(refused(json("rename", r#"{"userId":1}"#).await), "rename: argument `newName: String`: it is missing");
    assert_eq!(
        refused(json("rename", r#"{"userId":1,"user_id":1,"newName":""}"#).await),
        "rename: argument `userId` is given twice"
    );
    assert_eq!(refused(messagepack("rename", b"\x81\x01\x02").await), "rename: a key is not a text");
    assert_eq!(refused(cbor("rename", b"\xa1\x01\x02").await), "rename: a key is not a text");
    assert_eq!(
        refused(cbor("rename", b"\xa1\x66userId\x01").await),
        "rename: argument `newName: String`: it is missing"
    );
    assert_eq!(refused(cbor("rename", b"\x07").await), "rename: this is one value, and there are 3 arguments");
    assert_eq!(refused(json("rename", "7").await), "rename: this is one value, and there are 3 arguments");
    assert_eq!(refused(messagepack("ping", b"\xc3").await), "ping: this is one value, and there are 0 arguments");
}

#[tokio::test]
async fn anything_else_is_the_bare_value_of_the_only_argument() {
    assert_eq!(json("findNick", "2").await.unwrap(), "null");
    assert_eq!(messagepack("findNick", b"\x02").await.unwrap(), b"\xc0");
    let user = r#"{"id":7,"name":"x","nick":null}"#;
    assert_eq!(json("store", user).await.unwrap(), user);
    assert_eq!(json("store", &format!("[{user}]")).await.unwrap(), user);
    let named = format!(r#"{{"user":{user}}}"#);
    assert_eq!(json("store", &named).await.unwrap(), user);
    let bytes = b"\x83\xa2id\x07\xa4name\xa1x\xa4nick\xc0";
    assert_eq!(messagepack("store", bytes).await.unwrap(), bytes);
    assert_eq!(cbor("findNick", b"\x02").await.unwrap(), b"\xf6");
    // As Jackson writes it, bare and named.
    let user = b"\xa3\x62id\x07\x64name\x61x\x64nick\xf6";
    assert_eq!(cbor("store", b"\xbf\x62id\x07\x64name\x61x\xff").await.unwrap(), user);
    assert_eq!(cbor("store", b"\xbf\x64user\xbf\x62id\x07\x64name\x61x\xff\xff").await.unwrap(), user);
    assert_eq!(cbor("store", &[b"\x81", &user[..]].concat()).await.unwrap(), user);
}

#[tokio::test]
async fn unreadable_arguments_name_the_argument() {
    let text = refused(json("rename", r#"["one","x"]"#).await);
    assert!(text.starts_with("rename: argument `userId: u32`: invalid type"), "{text}");
    let text = refused(messagepack("rename", b"\x92\x01\x02").await);
    assert!(text.starts_with("rename: argument `newName: String`:"), "{text}");
    for broken in ["[", "[1", "{\"id\":", "[1]]", "[1] 2", "{\"id\":1,}"] {
        refused(json("findById", broken).await);
    }
    for broken in
        [&b"\x91"[..], b"\x92\x01", b"\xc1", b"\x91\x01\x02", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
    {
        refused(messagepack("findById", broken).await);
    }
    let text = refused(cbor("rename", b"\x82\x01\x02").await);
    assert!(text.starts_with("rename: argument `newName: String`: invalid type"), "{text}");
    for broken in [
        &b"\x81"[..],
        b"\x9f\x01",
        b"\xff",
        b"\x81\x01\x02",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5a\xff\xff\xff\xff",
    ] {
        refused(cbor("findById", broken).await);
    }
}

#[tokio::test]
async fn deep_nesting_is_refused_before_it_overflows_the_stack() {
    let depth = 500_000;
    let nested = format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
    refused(json("sum", &nested).await);
    let named = format!(r#"{{"numbers":{}}}"#, "[".repeat(depth));
    refused(json("sum", &named).await);
    let mut bytes = vec![0x91; depth];
    bytes.push(0x90);
    refused(messagepack("sum", &bytes).await);
    refused(cbor("sum", &[&vec![0x81; depth][..], b"\x80"].concat()).await);
    refused(cbor("sum", &vec![0x9f; depth]).await);
}

#[tokio::test]
async fn a_client_sends_a_named_map_in_messagepack_and_an_array_otherwise() {
    let caller = Loopback::new(UserServiceServer::new(Users::default()));
    let client = support::users::UserServiceClient::from_caller(caller.clone());
    client.rename(1, "x".to_owned(), None).await.unwrap();
    assert_eq!(&caller.last_call().arguments[..], b"\x82\xa6userId\x01\xa7newName\xa1x");
    client.rename(1, "x".to_owned(), Some("y".to_owned())).await.unwrap();
    assert_eq!(&caller.last_call().arguments[..], b"\x83\xa6userId\x01\xa7newName\xa1x\xa6reason\xa1y");
    client.rename(1, "x".to_owned(), None).encoding(Encoding::Json).await.unwrap();
    assert_eq!(&caller.last_call().arguments[..], br#"[1,"x",null]"#);
    client.rename(1, "x".to_owned(), None).encoding(Encoding::Cbor).await.unwrap();
    assert_eq!(&caller.last_call().arguments[..], b"\x83\x01\x61x\xf6");
    client.ping().encoding(Encoding::Cbor).await.unwrap();
    assert!(caller.last_call().arguments.is_empty());
    client.ping().await.unwrap();
    assert!(caller.last_call().arguments.is_empty());
    client.import(futures::stream::empty::<User>()).await.unwrap();
    assert!(caller.last_call().arguments.is_empty());
}

/// The same service before and after an `Option` argument was added.
mod evolution {
    use super::*;

    pub(crate) mod old {
        use super::*;

        #[service(name = "com.acme.Search")]
        pub(crate) trait Search {
            async fn find(&self, text: String) -> Result<String, RpcError>;
        }
    }

    pub(crate) mod new {
        use super::*;

        #[service(name = "com.acme.Search")]
        pub(crate) trait Search {
            async fn find(&self, text: String, max_hits: Option<u32>) -> Result<String, RpcError>;
        }
    }

    pub(crate) struct Index;

    impl old::Search for Index {
        async fn find(&self, text: String) -> Result<String, RpcError> {
            Ok(text)
        }
    }

    impl new::Search for Index {
        async fn find(&self, text: String, max_hits: Option<u32>) -> Result<String, RpcError> {
            Ok(format!("{text} {max_hits:?}"))
        }
    }
}

#[tokio::test]
async fn an_added_option_argument_is_compatible_both_ways() {
    use evolution::{Index, new, old};
    for encoding in [Encoding::MessagePack, Encoding::Json, Encoding::Cbor] {
        let old_caller = old::SearchClient::new(Loopback::new(new::SearchServer::new(Index))).with_encoding(encoding);
        assert_eq!(old_caller.find("x".to_owned()).await.unwrap(), "x None");
        let new_caller = new::SearchClient::new(Loopback::new(old::SearchServer::new(Index))).with_encoding(encoding);
        assert_eq!(new_caller.find("x".to_owned(), None).await.unwrap(), "x");
        let error = new_caller.find("x".to_owned(), Some(1)).await.unwrap_err();
        assert!(error.to_string().contains("RST-700501"), "{error}");
    }
}

#[service(name = "com.acme.Blobs")]
trait Blobs {
    async fn put(&self, blob: serde_bytes::ByteBuf) -> Result<usize, RpcError>;
    fn echo(
        &self,
        prefix: Option<String>,
        items: Streaming<Option<u8>>,
    ) -> impl Stream<Item = Result<Option<u8>, RpcError>>;
}

struct Disk;

impl Blobs for Disk {
    async fn put(&self, blob: serde_bytes::ByteBuf) -> Result<usize, RpcError> {
        Ok(blob.len())
    }

    fn echo(
        &self,
        _prefix: Option<String>,
        items: Streaming<Option<u8>>,
    ) -> impl Stream<Item = Result<Option<u8>, RpcError>> {
        items
    }
}

#[tokio::test]
async fn bytes_are_bin_bare_or_named() {
    let server = BlobsServer::new(Disk);
    for bytes in [&b"\xc4\x02hi"[..], b"\x91\xc4\x02hi", b"\x81\xa4blob\xc4\x02hi"] {
        let answers = call(&server, "put", Interaction::RequestResponse, Encoding::MessagePack, bytes).await.unwrap();
        assert_eq!(answers, [&b"\x02"[..]]);
    }
    for bytes in [&b"\x42hi"[..], b"\x81\x5f\x41h\x41i\xff", b"\xbf\x64blob\x42hi\xff"] {
        let answers = call(&server, "put", Interaction::RequestResponse, Encoding::Cbor, bytes).await.unwrap();
        assert_eq!(answers, [&b"\x02"[..]]);
    }
    let client = BlobsClient::new(Loopback::new(server));
    let items = futures::stream::iter([Some(1), None]);
    let echoed: Vec<_> = client.echo(None, items).start().map(Result::unwrap).collect().await;
    assert_eq!(echoed, [Some(1), None]);
}
