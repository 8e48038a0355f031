//! What the calling convention needs of rsocket_rust: metadata by its own types, JSON.

use rsocket_rust::error::RSocketError;
use rsocket_rust::extension::{CompositeMetadata, MimeType, RoutingMetadata};
use rsocket_rust::prelude::{Payload, RSocket, RSocketFactory};
use rsocket_rust::utils::Writeable;
use rsocket_rust::{Client, Result};
use rsocket_rust_transport_tcp::TcpClientTransport;
use serde::Serialize;
use serde_json::{Value, json};

const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";

/// Connects; with something to serve, registers it as `test.Probe`.
pub(crate) async fn connect(url: &str, served: Option<Box<dyn RSocket>>) -> Result<Client> {
    let application = json!({"name": "rsocket_rust", "uuid": format!("{:032x}", fastrand::u128(..)), "metadata": {}});
    let mut setup = CompositeMetadata::builder()
        .push(MimeType::from("message/x.rsocket.application+json"), application.to_string());
    let mut client = RSocketFactory::connect().transport(TcpClientTransport::from(url));
    if let Some(served) = served {
        let registry = json!({"published": [{"service": "test.Probe"}]});
        setup = setup.push(MimeType::from("message/x.rsocket.service.registry.v0+json"), registry.to_string());
        client = client.acceptor(Box::new(|| served));
    }
    let setup = Payload::builder().set_metadata(setup.build()).build();
    client.mime_type(COMPOSITE, MimeType::APPLICATION_JSON).setup(setup).start().await
}

/// A request for this method; arguments are those of an array, `()` none.
pub(crate) fn request(route: &str, arguments: &impl Serialize) -> Result<Payload> {
    let routing = RoutingMetadata::builder().push_str(route).build();
    let metadata = CompositeMetadata::builder().push(MimeType::MESSAGE_X_RSOCKET_ROUTING_V0, routing.bytes());
    let request = Payload::builder().set_metadata(metadata.build());
    Ok(match serde_json::to_value(arguments)? {
        Value::Null => request.build(),
        arguments => request.set_data_utf8(&arguments.to_string()).build(),
    })
}

/// Calls a method; no data is null.
pub(crate) async fn ask(client: &Client, route: &str, arguments: &impl Serialize) -> Result<Value> {
    let answer = client.request_response(request(route, arguments)?).await?;
    answer.as_ref().map_or(Ok(Value::Null), value)
}

/// The data of an answer or an item.
pub(crate) fn value(payload: &Payload) -> Result<Value> {
    Ok(payload.data().map_or(Ok(Value::Null), |data| serde_json::from_slice(data))?)
}

/// An item.
pub(crate) fn item(value: impl Serialize) -> Result<Payload> {
    Ok(Payload::builder().set_data(serde_json::to_vec(&value)?).build())
}

/// The method a request is for.
pub(crate) fn method(request: &Payload) -> Result<String> {
    let named = || {
        let metadata = CompositeMetadata::decode(&mut request.metadata()?[..].into()).ok()?;
        let is_routing = MimeType::MESSAGE_X_RSOCKET_ROUTING_V0;
        let routing = metadata.iter().find(|entry| *entry.get_mime_type() == is_routing)?.get_metadata().clone();
        let tags = RoutingMetadata::decode(&mut routing[..].into()).ok()?;
        let (_, method) = tags.get_tags().first()?.rsplit_once('.')?;
        Some(method.to_owned())
    };
    named().map_or_else(|| failure("RST-600404: No Routing metadata"), Ok)
}

/// An error whose text is this and no more: of any other of its kinds rsocket_rust sends the kind as well.
pub(crate) fn failure<T>(text: impl Into<String>) -> Result<T> {
    Err(RSocketError::WithDescription(text.into()).into())
}
