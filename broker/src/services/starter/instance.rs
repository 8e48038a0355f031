use super::hessian::Writer;
use crate::routing::Present;
use serde::Serialize;
use std::collections::BTreeMap;

/// `RSocketServiceInstance`: where something is. The fields are Java's, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    instance_id: Option<String>,
    service_id: String,
    host: Option<String>,
    port: u16,
    schema: String,
    uri: Option<String>,
    secure: bool,
    metadata: BTreeMap<String, String>,
}

const CLASS: &str = "com.alibaba.rsocket.discovery.RSocketServiceInstance";
const FIELDS: [&str; 8] = ["instanceId", "serviceId", "host", "port", "schema", "uri", "secure", "metadata"];

impl Instance {
    /// A broker, by an address such as `tcp://127.0.0.1:9999`; none if it is not of that form.
    pub(super) fn broker(uri: &str) -> Option<Self> {
        let (schema, rest) = uri.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
        Some(Self {
            instance_id: None,
            service_id: "*".to_owned(),
            host: Some(host.to_owned()),
            port: port.parse().ok()?,
            schema: schema.to_owned(),
            uri: Some(uri.to_owned()),
            // In the answers of the Java broker this says that the broker is active.
            secure: true,
            metadata: BTreeMap::new(),
        })
    }

    /// An app: where it listens itself, if it does.
    pub(super) fn app(present: &Present) -> Self {
        let Present { app, ports, .. } = present;
        let listening = ports.rsocket.iter().filter_map(|(port, schema)| Some((port.parse::<u16>().ok()?, schema)));
        let listening = listening.filter(|(port, _)| *port > 0).min();
        let uri = listening.zip(app.ip.as_ref()).map(|((port, schema), ip)| format!("{schema}://{ip}:{port}"));
        Self {
            instance_id: Some(app.uuid.clone()),
            service_id: app.name.clone(),
            host: app.ip.clone(),
            port: listening.map_or(0, |(port, _)| port),
            schema: listening.map_or("tcp", |(_, schema)| schema).to_owned(),
            uri,
            secure: false,
            metadata: app.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }

    /// About as many bytes as it takes.
    pub(super) fn size(&self) -> usize {
        let texts = [&self.instance_id, &self.host, &self.uri].into_iter().flatten().map(String::len);
        let metadata = self.metadata.iter().map(|(key, value)| key.len() + value.len());
        64 + self.service_id.len() + self.schema.len() + texts.chain(metadata).sum::<usize>()
    }

    /// Writes its class, once before the first.
    pub(super) fn define(writer: &mut Writer) {
        writer.class(CLASS, &FIELDS);
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.object();
        writer.text(self.instance_id.as_deref());
        writer.text(Some(&self.service_id));
        writer.text(self.host.as_deref());
        writer.int(self.port.into());
        writer.text(Some(&self.schema));
        writer.text(self.uri.as_deref());
        writer.bool(self.secure);
        writer.map(&self.metadata);
    }
}
