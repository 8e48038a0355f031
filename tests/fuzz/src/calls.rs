//! Calls: arguments, errors, and what answers them.

use super::input::Input;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use towline_responder::{Encoding, RpcError, Services, service};
use towline_rsocket::engine::{Payload, Responder};
use towline_service_api::__private::{ArgumentWriter, Arguments};
use towline_service_api::{ServiceKey, TypedError};

#[service(name = "test.Probe")]
trait Probe {
    async fn put(&self, user_id: i64, names: Vec<String>, note: Option<f64>) -> Result<f64, RpcError>;
    async fn keep(&self, value: Value) -> Result<Value, RpcError>;
    async fn table(&self, rows: BTreeMap<String, (u8, bool)>) -> Result<(), RpcError>;
    fn count(&self, to: Option<u8>) -> impl Stream<Item = Result<u8, RpcError>>;
}

struct Plain;

impl Probe for Plain {
    async fn put(&self, user_id: i64, names: Vec<String>, note: Option<f64>) -> Result<f64, RpcError> {
        Ok(user_id as f64 + names.len() as f64 + note.unwrap_or_default())
    }

    async fn keep(&self, value: Value) -> Result<Value, RpcError> {
        Ok(value)
    }

    async fn table(&self, rows: BTreeMap<String, (u8, bool)>) -> Result<(), RpcError> {
        if rows.is_empty() { Err(RpcError::application("no rows")) } else { Ok(()) }
    }

    fn count(&self, to: Option<u8>) -> impl Stream<Item = Result<u8, RpcError>> {
        stream::iter((0..to.unwrap_or(3)).map(Ok))
    }
}

/// The arguments of a call, in the encoding the first byte says: what is read is written again, and reads the same.
pub fn arguments(bytes: &[u8]) {
    let mut input = Input(bytes);
    let encoding = input.pick(&Encoding::ALL);
    let values = |bytes: &[u8]| {
        let contract = ProbeServer::<Plain>::CONTRACT;
        let mut read = Arguments::<3>::read(contract, &contract.methods[0], encoding, bytes).ok()?;
        let note = read.take::<Option<f64>>(2).ok()?;
        Some((read.take::<i64>(0).ok()?, read.take::<Vec<String>>(1).ok()?, note.map(f64::to_bits)))
    };
    if let Some(read) = values(input.0) {
        let contract = ProbeServer::<Plain>::CONTRACT;
        let mut writer = ArgumentWriter::new(contract, &contract.methods[0], encoding);
        writer.put(&read.0).expect("it has a form");
        writer.put(&read.1).expect("it has a form");
        writer.put(&read.2.map(f64::from_bits)).expect("it has a form");
        assert_eq!(values(&writer.finish()), Some(read));
    }
    let _ = (encoding.decode::<Value>(input.0), encoding.decode_result::<Option<BTreeMap<String, Value>>>(input.0));
}

/// The text of an ERROR frame, as its receiver reads it; a service's key.
pub fn errors(bytes: &[u8]) {
    let mut input = Input(bytes);
    let code = input.pick(&[RpcError::APPLICATION_ERROR, RpcError::REJECTED, RpcError::INVALID, 0x300]);
    let text = String::from_utf8_lossy(input.0);
    let error = RpcError::from_wire(code, text.clone());
    let _ = (error.is_retryable(), error.to_string());
    if let Some(typed) = error.typed() {
        let again = TypedError::read(&typed.clone().into_rpc()).expect("it is a typed error");
        assert_eq!(again.code, typed.code);
    }
    if let Ok(key) = text.parse::<ServiceKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

/// A request to an app: which interaction and default encoding, the length of its metadata, metadata, data.
pub fn answering(bytes: &[u8]) {
    thread_local! {
        static APP: OnceCell<(Runtime, Vec<Arc<dyn Responder>>)> = const { OnceCell::new() };
    }
    let mut input = Input(bytes);
    let (encoding, interaction) = (input.byte(), input.byte());
    let len = usize::from(u16::from_be_bytes([input.byte(), input.byte()]));
    let metadata = Bytes::copy_from_slice(input.bytes(len));
    let request = Payload { metadata: (len > 0).then_some(metadata), data: Bytes::copy_from_slice(input.0) };
    APP.with(|app| {
        let (runtime, responders) = app.get_or_init(|| {
            let responder = |encoding| {
                let mut services = Services::default();
                services.add(ProbeServer::new(Plain));
                services.responder(encoding)
            };
            (runtime(), Encoding::ALL.into_iter().map(responder).collect())
        });
        let responder = &responders[usize::from(encoding) % responders.len()];
        let _within = runtime.enter();
        match interaction % 3 {
            0 => drop(responder.request_response(request).now_or_never().expect("nothing waits")),
            1 => responder.fire_and_forget(request).now_or_never().expect("nothing waits"),
            _ => {
                let items = responder.request_stream(request).take(300).count();
                assert!(items.now_or_never().is_some_and(|items| items < 300), "it ends");
            }
        }
    });
}

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}
