//! What a program on stock rsocket_rust needs to speak to a broker: routing metadata, JSON, its registration.

use rsocket_rust::error::RSocketError;
use rsocket_rust::extension::{CompositeMetadata, MimeType, RoutingMetadata};
use rsocket_rust::prelude::{Payload, RSocket, RSocketFactory};
use rsocket_rust::utils::Writeable;
use rsocket_rust::{Client, Result};
use rsocket_rust_transport_tcp::TcpClientTransport;
use serde::Serialize;
use serde_json::{Value, json};

/// The type of all metadata; rsocket_rust's default is another.
const COMPOSITE: MimeType = MimeType::MESSAGE_X_RSOCKET_COMPOSITE_METADATA_V0;

/// A service by its name on the broker, such as `{"service":"demo.Greeter","version":"1"}`, and what answers for it.
pub(crate) type Served = (Value, Box<dyn RSocket>);

/// Connects to the broker at `tcp://host:port`. SETUP says who this is and what it serves.
pub(crate) async fn connect(url: &str, name: &str, served: Option<Served>) -> Result<Client> {
    // Brokers know an app by its uuid: keep one to be the same app after a reconnect.
    let application = json!({"name": name, "uuid": format!("{:032x}", fastrand::u128(..)), "metadata": {}});
    let mut setup = CompositeMetadata::builder()
        .push(MimeType::from("message/x.rsocket.application+json"), application.to_string());
    let address = url.split_once("://").map_or(url, |(_scheme, address)| address);
    let mut client = RSocketFactory::connect().transport(TcpClientTransport::from(address));
    if let Some((service, responder)) = served {
        let registry = json!({"published": [service]});
        setup = setup.push(MimeType::from("message/x.rsocket.service.registry.v0+json"), registry.to_string());
        client = client.acceptor(Box::new(|| responder));
    }
    let setup = Payload::builder().set_metadata(setup.build()).build();
    client.mime_type(COMPOSITE, MimeType::APPLICATION_JSON).setup(setup).start().await
}

/// A request for `service.method[:version]`; its arguments are an array, or `()`.
pub(crate) fn request(route: &str, arguments: &impl Serialize) -> Result<Payload> {
    let routing = RoutingMetadata::builder().push_str(route).build();
    let metadata = CompositeMetadata::builder().push(MimeType::MESSAGE_X_RSOCKET_ROUTING_V0, routing.bytes());
    let request = Payload::builder().set_metadata(metadata.build());
    Ok(match serde_json::to_value(arguments)? {
        Value::Null => request.build(),
        arguments => request.set_data_utf8(&arguments.to_string()).build(),
    })
}

/// Calls a method that has one answer; no data is null.
pub(crate) async fn ask(client: &Client, route: &str, arguments: &impl Serialize) -> Result<Value> {
    let answer = client.request_response(request(route, arguments)?).await?;
    answer.as_ref().map_or(Ok(Value::Null), value)
}

/// The data of a request, an answer or an item.
pub(crate) fn value(payload: &Payload) -> Result<Value> {
    Ok(payload.data().map_or(Ok(Value::Null), |data| serde_json::from_slice(data))?)
}

/// An answer or an item.
pub(crate) fn item(value: impl Serialize) -> Result<Payload> {
    Ok(Payload::builder().set_data(serde_json::to_vec(&value)?).build())
}

/// The method a request is for: its route is `[group!]service.method[:version]`.
pub(crate) fn method(request: &Payload) -> Result<String> {
    let named = || {
        let metadata = CompositeMetadata::decode(&mut request.metadata()?[..].into()).ok()?;
        let is_routing = MimeType::MESSAGE_X_RSOCKET_ROUTING_V0;
        let routing = metadata.iter().find(|entry| *entry.get_mime_type() == is_routing)?.get_metadata().clone();
        let tags = RoutingMetadata::decode(&mut routing[..].into()).ok()?;
        let (_service, method) = tags.get_tags().first()?.split(':').next()?.rsplit_once('.')?;
        Some(method.to_owned())
    };
    named().map_or_else(|| failure("RST-600404: No Routing metadata"), Ok)
}

/// An error with exactly this text; its code is APPLICATION_ERROR. Of its other kinds of error rsocket_rust sends the
/// kind before the text, with that code as well.
pub(crate) fn failure<T>(text: impl Into<String>) -> Result<T> {
    Err(RSocketError::WithDescription(text.into()).into())
}
