//! What the broker's own services are told of who calls them: an entry before all others, which nobody else may
//! write.

use super::route::CALLER;
use crate::link::Link;
use crate::routing::App;
use bytes::BytesMut;
use rsocket::metadata::CompositeBuilder;
use serde_json::json;

/// The entry for requests of this app.
pub(crate) fn entry(link: &Link, app: &App) -> BytesMut {
    let caller = json!({ "link": link.id, "uuid": app.uuid, "name": app.name, "dataMime": link.dialect.data_mime });
    CompositeBuilder::new().entry(CALLER, caller.to_string().as_bytes()).finish()
}
