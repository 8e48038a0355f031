//! Text and bytes: what fits them, and what is said of what does not.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_bytes::ByteBuf;
use support::{Loopback, call};
use towline_service_api::{
    Answer, CallError, Dispatch, Encoding, Interaction, Reply, Request, RpcError, Stream, Streaming, service,
};

#[service(name = "com.acme.Notes", encoding = "text")]
trait Notes {
    async fn shout(&self, text: String) -> Result<String, RpcError>;
    async fn size(&self, blob: ByteBuf) -> Result<usize, RpcError>;
    async fn mirror(&self, blob: ByteBuf) -> Result<ByteBuf, RpcError>;
    async fn nick(&self, of: Option<String>) -> Result<Option<String>, RpcError>;
    async fn clear(&self) -> Result<(), RpcError>;
    fn lines(&self, lines: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>>;
}

struct Pad;

impl Notes for Pad {
    async fn shout(&self, text: String) -> Result<String, RpcError> {
        Ok(text.to_uppercase())
    }

    async fn size(&self, blob: ByteBuf) -> Result<usize, RpcError> {
        Ok(blob.len())
    }

    async fn mirror(&self, blob: ByteBuf) -> Result<ByteBuf, RpcError> {
        Ok(ByteBuf::from(blob.into_iter().rev().collect::<Vec<_>>()))
    }

    async fn nick(&self, of: Option<String>) -> Result<Option<String>, RpcError> {
        Ok(of.map(|name| format!("little {name}")))
    }

    async fn clear(&self) -> Result<(), RpcError> {
        Ok(())
    }

    fn lines(&self, lines: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>> {
        lines.map_ok(|line| format!("> {line}"))
    }
}

/// What does not fit text or bytes.
#[service(name = "com.acme.Sums")]
trait Sums {
    async fn add(&self, a: u32, b: u32) -> Result<u32, RpcError>;
    async fn double(&self, a: u32) -> Result<u32, RpcError>;
    fn doubles(&self, numbers: Streaming<u32>) -> impl Stream<Item = Result<u32, RpcError>>;
}

struct Counter;

impl Sums for Counter {
    async fn add(&self, a: u32, b: u32) -> Result<u32, RpcError> {
        Ok(a + b)
    }

    async fn double(&self, a: u32) -> Result<u32, RpcError> {
        Ok(a * 2)
    }

    fn doubles(&self, numbers: Streaming<u32>) -> impl Stream<Item = Result<u32, RpcError>> {
        numbers.map_ok(|number| number * 2)
    }
}

const RAW: [Encoding; 2] = [Encoding::Bytes, Encoding::Text];

async fn raw(method: &str, encoding: Encoding, data: &[u8]) -> Result<Bytes, RpcError> {
    let mut answers = call(&NotesServer::new(Pad), method, Interaction::RequestResponse, encoding, data).await?;
    Ok(answers.remove(0))
}

#[tokio::test]
async fn all_data_is_the_only_argument() {
    for encoding in RAW {
        assert_eq!(raw("shout", encoding, b"[\"hi\"]").await.unwrap(), "[\"HI\"]");
        assert_eq!(raw("shout", encoding, b"").await.unwrap(), "");
        assert_eq!(raw("mirror", encoding, b"abc").await.unwrap(), "cba");
        assert_eq!(raw("mirror", encoding, b"").await.unwrap(), "");
        assert_eq!(raw("nick", encoding, b"").await.unwrap(), "");
        assert_eq!(raw("nick", encoding, b"Jo").await.unwrap(), "little Jo");
        assert_eq!(raw("clear", encoding, b"").await.unwrap(), "");
    }
    assert_eq!(raw("mirror", Encoding::Bytes, b"\xff\x00").await.unwrap(), &b"\x00\xff"[..]);
}

#[tokio::test]
async fn what_does_not_fit_is_told_what_to_send() {
    let sums = SumsServer::new(Counter);
    let json = "use application/json";
    for encoding in RAW {
        let one = |count| format!("{encoding} carries the only argument of a method, and this one has {count}: {json}");
        let other = format!("only a string or bytes (by `serde_bytes`) have a form in it: {json}");
        for (refused, text) in [
            (
                call(&sums, "add", Interaction::RequestResponse, encoding, b"1").await,
                format!("Sums.add: {}; it takes (a: u32, b: u32)", one(2)),
            ),
            (
                call(&sums, "add", Interaction::RequestResponse, encoding, b"").await,
                "Sums.add: argument `a: u32`: it is missing; it takes (a: u32, b: u32)".to_owned(),
            ),
            (
                call(&sums, "double", Interaction::RequestResponse, encoding, b"1").await,
                format!("Sums.double: argument `a: u32`: {other}; it takes (a: u32)"),
            ),
            (
                raw("clear", encoding, b"x").await.map(|_| vec![]),
                format!("Notes.clear: {}; it takes (): send no data", one(0)),
            ),
            (
                raw("shout", encoding, b"\xff").await.map(|_| vec![]),
                "Notes.shout: argument `text: String`: the text is no UTF-8; it takes (text: String)".to_owned(),
            ),
        ] {
            let error = refused.unwrap_err();
            assert_eq!((error.code, error.message), (RpcError::INVALID, format!("RST-700501: com.acme.{text}")));
        }
        let error = raw("size", encoding, b"abc").await.unwrap_err();
        assert_eq!(error.code, RpcError::APPLICATION_ERROR);
        assert_eq!(
            error.message,
            format!("the answer of com.acme.Notes.size cannot be written as {encoding}: {other}")
        );
    }
}

#[tokio::test]
async fn a_client_speaks_text_and_bytes() {
    let caller = Loopback::new(NotesServer::new(Pad));
    let text = NotesClient::new(caller.clone());
    assert_eq!(text.shout("hi".to_owned()).await.unwrap(), "HI");
    assert_eq!((caller.last_call().encoding, &caller.last_call().arguments[..]), (Encoding::Text, &b"hi"[..]));
    for encoding in RAW {
        let notes = text.clone().with_encoding(encoding);
        assert_eq!(notes.shout(String::new()).await.unwrap(), "");
        assert_eq!(notes.mirror(ByteBuf::from(*b"abc")).await.unwrap(), *b"cba");
        assert_eq!(notes.nick(None).await.unwrap(), None);
        assert_eq!(notes.nick(Some("Jo".to_owned())).await.unwrap(), Some("little Jo".to_owned()));
        notes.clear().await.unwrap();
        let lines = stream::iter(["a", ""]).map(str::to_owned);
        let lines: Vec<_> = notes.lines(lines).start().try_collect().await.unwrap();
        assert_eq!(lines, ["> a", "> "]);
    }
    // Per call, and with an answer in another encoding.
    let caller = Loopback::answering_in(NotesServer::new(Pad), Encoding::Cbor);
    let size = NotesClient::new(caller.clone()).size(ByteBuf::from([0xff])).encoding(Encoding::Bytes);
    assert_eq!(size.await.unwrap(), 1);
    assert_eq!(&caller.last_call().arguments[..], b"\xff");
}

fn rpc<T: std::fmt::Debug>(answer: Result<T, CallError<RpcError>>) -> String {
    answer.expect_err("a refusal").rpc().expect("nothing of the method").message.clone()
}

#[tokio::test]
async fn a_call_that_does_not_fit_fails_before_anything_is_sent() {
    let caller = Loopback::new(SumsServer::new(Counter));
    let notes = Loopback::new(NotesServer::new(Pad));
    for encoding in RAW {
        let sums = SumsClient::new(caller.clone()).with_encoding(encoding);
        assert_eq!(
            rpc(sums.add(1, 2).await),
            format!(
                "com.acme.Sums.add: argument `a` cannot be written as {encoding}: \
                 {encoding} carries the only argument of a method, and this one has 2: use application/json"
            )
        );
        let other = "only a string or bytes (by `serde_bytes`) have a form in it: use application/json";
        assert_eq!(
            rpc(sums.double(1).await),
            format!("com.acme.Sums.double: argument `a` cannot be written as {encoding}: {other}")
        );
        let nick = NotesClient::new(notes.clone()).with_encoding(encoding).nick(Some(String::new()));
        assert!(rpc(nick.await).ends_with("an empty one would be read as none"));
    }
    let not_utf8 = NotesClient::new(notes.clone()).size(ByteBuf::from([0xff]));
    assert!(rpc(not_utf8.await).ends_with("cannot be written as text/plain: the bytes are no UTF-8"));
    assert!(!caller.was_called() && !notes.was_called());
    let answers: Vec<_> =
        SumsClient::new(caller).with_encoding(Encoding::Text).doubles(stream::iter([1])).start().collect().await;
    assert_eq!(answers.len(), 1);
    let why = rpc(answers.into_iter().next().unwrap());
    assert!(why.starts_with("an item for com.acme.Sums.doubles cannot be written as text/plain: "), "{why}");
}

#[tokio::test]
async fn an_answer_is_in_the_first_wanted_encoding_that_has_a_form_for_it() {
    use Encoding::{Cbor, Json, MessagePack, Text};
    async fn answer(method: &str, encoding: Encoding, data: &'static [u8], accept: &[Encoding]) -> Answer {
        let accept = accept.iter().copied().collect();
        let request = Request { encoding, accept, arguments: Bytes::from_static(data), items: None };
        let server: Arc<dyn Dispatch> = Arc::new(NotesServer::new(Pad));
        match server.dispatch(method, Interaction::RequestResponse, request).unwrap() {
            Reply::Single(answer) => answer.await.unwrap(),
            reply => panic!("{reply:?}"),
        }
    }
    let said = |encoding, data: &'static [u8]| Answer { encoding, data: Bytes::from_static(data) };
    assert_eq!(answer("shout", Json, b"[\"a\"]", &[Text, Json]).await, said(Some(Text), b"A"));
    assert_eq!(answer("size", Json, b"[[1]]", &[Text, Cbor]).await, said(Some(Cbor), b"\x01"));
    assert_eq!(answer("size", Json, b"[[1]]", &[Text, Encoding::Bytes]).await, said(None, b"1"));
    assert_eq!(answer("size", Text, b"abc", &[Text, Json]).await, said(Some(Json), b"3"));
    assert_eq!(answer("clear", Text, b"", &[Text, Json]).await, said(None, b""));
    // Bytes that are no text.
    let mirrored = answer("mirror", MessagePack, b"\x91\xc4\x01\xff", &[Text, Encoding::Bytes, Json]).await;
    assert_eq!(mirrored, said(Some(Encoding::Bytes), b"\xff"));
}
