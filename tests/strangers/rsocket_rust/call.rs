//! The script of a caller.

use super::wire::{ask, failure, item, request, value};
use futures::{StreamExt, TryStreamExt, stream};
use rsocket_rust::error::RSocketError;
use rsocket_rust::prelude::RSocket;
use rsocket_rust::{Client, Result};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// For what must happen soon, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);
const ALWAYS_ASKS_FOR_ALL: &str = "it has no REQUEST_N: a stream asks for 2147483647 at once";

const CHECKS: [&str; 14] = [
    "echo",
    "add",
    "ping",
    "find",
    "fail",
    "note",
    "count",
    "credit",
    "cancel",
    "sum",
    "chat",
    "large",
    "unknown-method",
    "unknown-service",
];

/// Runs every check and prints what came of it.
pub(crate) async fn run(client: &Client) {
    for check in CHECKS {
        match timeout(SOON, one(check, client)).await {
            Ok(Ok(None)) => println!("ok {check}"),
            Ok(Ok(Some(lack))) => println!("lacks {check}: {lack}"),
            Ok(Err(error)) => println!("failed {check}: {error}"),
            Err(_elapsed) => println!("failed {check}: it does not end"),
        }
    }
}

/// Errors: it failed. `Some`: what the library lacks for it.
async fn one(check: &str, client: &Client) -> Result<Option<&'static str>> {
    let call = async |method: &str, arguments: Value| ask(client, &format!("test.Probe.{method}"), &arguments).await;
    match check {
        "echo" => same(call("echo", json!(["héllo wörld"])).await?, json!("héllo wörld"))?,
        "add" => same(call("add", json!([40, 2])).await?, json!(42))?,
        "ping" => same(call("ping", Value::Null).await?, Value::Null)?,
        "find" => {
            same(call("find", json!([7])).await?, json!({"id": 7, "name": "seven"}))?;
            same(call("find", json!([8])).await?, Value::Null)?;
        }
        "fail" => {
            let failed = call("fail", json!(["no such thing"])).await;
            refused(
                failed,
                |error| matches!(error, RSocketError::ApplicationException(text) if text == "no such thing"),
            )?;
        }
        "note" => {
            let text = format!("{:x}", fastrand::u64(..));
            client.fire_and_forget(request("test.Probe.note", &[&text])?).await?;
            let is_noted = |notes: Value| notes.as_array().is_some_and(|notes| notes.iter().any(|note| *note == text));
            soon_so(async || Ok(is_noted(call("notes", Value::Null).await?))).await?;
        }
        "count" => {
            let items = client.request_stream(request("test.Probe.count", &[100])?);
            let counted: Vec<_> = items.and_then(async |item| value(&item)).try_collect().await?;
            same(counted, (1..=100).map(Value::from).collect())?;
            return Ok(Some(ALWAYS_ASKS_FOR_ALL));
        }
        "credit" => return Ok(Some(ALWAYS_ASKS_FOR_ALL)),
        "cancel" => {
            let items = client.request_stream(request("test.Probe.count", &[1_000_000_000])?).take(5);
            let five: Vec<_> = items.and_then(async |item| value(&item)).try_collect().await?;
            same(five, (1..=5).map(Value::from).collect())?;
            soon_so(async || Ok(call("running", Value::Null).await? == json!(0))).await?;
        }
        "sum" => {
            let numbers = stream::iter(1..=100).map(item);
            same(channel(client, "test.Probe.sum", Value::Null, numbers).await?, vec![json!(5050)])?;
        }
        "chat" => {
            let said = stream::iter(["hi", "bye"]).map(item);
            let heard = channel(client, "test.Probe.chat", json!(["a"]), said).await?;
            same(heard, vec![json!("a: hi"), json!("a: bye")])?;
        }
        "large" => {
            let text = "x".repeat(300_000);
            let back = call("echo", json!([text])).await?;
            if back != json!(text) {
                return failure(format!("{} letters came back", back.as_str().unwrap_or_default().len()));
            }
        }
        "unknown-method" => is_invalid(call("nothing", Value::Null).await, "RST-201404")?,
        "unknown-service" => is_invalid(ask(client, "test.Nobody.echo", &["?"]).await, "RST-900404")?,
        _ => return failure("no such check"),
    }
    Ok(None)
}

/// The answers of a channel; its first payload holds the arguments.
async fn channel(
    client: &Client,
    route: &str,
    arguments: Value,
    items: impl futures::Stream<Item = Result<rsocket_rust::prelude::Payload>> + Send + 'static,
) -> Result<Vec<Value>> {
    let first = request(route, &arguments);
    let answers = client.request_channel(stream::iter([first]).chain(items).boxed());
    answers.and_then(async |answer| value(&answer)).try_collect().await
}

fn same<T: PartialEq + Debug>(is: T, should: T) -> Result<()> {
    if is == should { Ok(()) } else { failure(format!("{is:?}, not {should:?}")) }
}

fn refused<T: Debug>(result: Result<T>, is_right: impl FnOnce(&RSocketError) -> bool) -> Result<()> {
    match result {
        Err(error) if error.downcast_ref().is_some_and(is_right) => Ok(()),
        Err(error) => failure(format!("the error is {error}")),
        Ok(answer) => failure(format!("the answer is {answer:?}")),
    }
}

fn is_invalid<T: Debug>(result: Result<T>, start: &str) -> Result<()> {
    refused(result, |error| matches!(error, RSocketError::RequestInvalid(text) if text.starts_with(start)))
}

/// Asks until it is so.
async fn soon_so(ask: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let mut looks = interval(Duration::from_millis(20));
    for _ in 0..500 {
        if ask().await? {
            return Ok(());
        }
        looks.tick().await;
    }
    failure("it never came true")
}
