//! `test.Probe` as an `RSocket`.

use super::wire::{failure, item, method, value};
use futures::stream;
use rsocket_rust::prelude::{Flux, Payload, RSocket, StreamExt};
use rsocket_rust::{Result, async_trait};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::task::yield_now;

#[derive(Default)]
pub(crate) struct Probe {
    notes: Mutex<Vec<String>>,
    running: Arc<AtomicU32>,
}

/// A stream in progress.
struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The arguments of a request, by position; the only one may come bare.
fn arguments<T: DeserializeOwned>(request: &Payload) -> Result<T> {
    let sent = value(request)?;
    Ok(serde_json::from_value(if sent.is_array() { sent } else { json!([sent]) })?)
}

fn read<T: DeserializeOwned>(item: &Payload) -> Result<T> {
    Ok(serde_json::from_value(value(item)?)?)
}

fn nothing_of(method: &str) -> Result<Payload> {
    failure(format!("RST-201404: No service handler found: test.Probe.{method}"))
}

#[async_trait]
impl RSocket for Probe {
    async fn metadata_push(&self, _: Payload) -> Result<()> {
        Ok(())
    }

    async fn fire_and_forget(&self, request: Payload) -> Result<()> {
        let (text,) = arguments::<(String,)>(&request)?;
        self.notes.lock().expect("nobody panics with it").push(text);
        Ok(())
    }

    async fn request_response(&self, request: Payload) -> Result<Option<Payload>> {
        let answer = match method(&request)?.as_str() {
            "echo" => item(arguments::<(String,)>(&request)?.0),
            "add" => {
                let (a, b) = arguments::<(i64, i64)>(&request)?;
                item(a + b)
            }
            "ping" => return Ok(None),
            "find" => {
                let (id,) = arguments::<(u32,)>(&request)?;
                item((id == 7).then(|| json!({"id": 7, "name": "seven"})))
            }
            "fail" => failure(arguments::<(String,)>(&request)?.0),
            "notes" => item(&*self.notes.lock().expect("nobody panics with it")),
            "running" => item(self.running.load(Ordering::SeqCst)),
            other => nothing_of(other),
        };
        answer.map(Some)
    }

    fn request_stream(&self, request: Payload) -> Flux<Result<Payload>> {
        match (method(&request).as_deref(), arguments::<(u64,)>(&request)) {
            (Ok("count"), Ok((to,))) => {
                self.running.fetch_add(1, Ordering::SeqCst);
                let running = Running(self.running.clone());
                // rsocket_rust polls a stream as long as it is ready, whoever asked for how much: one that always is
                // would keep its own writer from running.
                let numbers = stream::iter(1..=to).then(async |number| {
                    yield_now().await;
                    item(number)
                });
                numbers
                    .inspect(move |_| {
                        let _ = &running;
                    })
                    .boxed()
            }
            (Ok("count"), Err(error)) => only(Err(error)),
            (Err(error), _) => only(failure(error.to_string())),
            (Ok(other), _) => only(nothing_of(other)),
        }
    }

    fn request_channel(&self, mut requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
        let answers = async move {
            let first = match requests.next().await {
                Some(Ok(first)) => first,
                Some(Err(error)) => return only(Err(error)),
                None => return stream::empty().boxed(),
            };
            match method(&first).as_deref() {
                Ok("sum") => {
                    let mut sum = 0;
                    while let Some(number) = requests.next().await {
                        match number.and_then(|number| read::<i64>(&number)) {
                            Ok(number) => sum += number,
                            Err(error) => return only(Err(error)),
                        }
                    }
                    only(item(sum))
                }
                Ok("chat") => match arguments::<(String,)>(&first) {
                    Ok((prefix,)) => {
                        requests.map(move |text| item(format!("{prefix}: {}", read::<String>(&text?)?))).boxed()
                    }
                    Err(error) => only(Err(error)),
                },
                Ok(other) => only(nothing_of(other)),
                Err(error) => only(failure(error.to_string())),
            }
        };
        stream::once(answers).flatten().boxed()
    }
}

fn only(answer: Result<Payload>) -> Flux<Result<Payload>> {
    stream::once(async { answer }).boxed()
}
