//! Frames and metadata, in few words.

use serde_json::{Value, json};
use std::time::Duration;
use towline_rsocket::frame::{PayloadParts, SetupParts};
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime, routing};
use towline_rsocket::{ErrorCode, Frame, FrameType, StreamId, flags};

pub(crate) const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";
pub(crate) const DEADLINE: &str = "message/x.towline.deadline.v0";

/// Request metadata with these routing tags; a 0x7A entry too, so that nothing is left for the broker to add.
pub(crate) fn tags(tags: &[&str]) -> Vec<u8> {
    let tags = routing::write_tags(tags.iter().copied()).expect("tags are short");
    CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish().to_vec()
}

/// Request metadata with this routing text.
pub(crate) fn route(text: &str) -> Vec<u8> {
    tags(&[text])
}

/// Request metadata with this routing text and a deadline.
pub(crate) fn route_within(text: &str, millis: u32) -> Vec<u8> {
    let tags = routing::write_tags([text]).expect("tags are short");
    let entries = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON);
    entries.entry(Mime::named(DEADLINE), &millis.to_be_bytes()).finish().to_vec()
}

fn request(kind: FrameType, stream: StreamId, bits: u16, n: u32, text: &str, data: &[u8]) -> Frame {
    Frame::request(kind, stream, bits, n, PayloadParts { metadata: Some(&route(text)), data })
}

/// REQUEST_RESPONSE.
pub(crate) fn call(stream: StreamId, text: &str, data: &[u8]) -> Frame {
    request(FrameType::RequestResponse, stream, 0, 0, text, data)
}

/// REQUEST_RESPONSE with metadata of the test's own.
pub(crate) fn call_with(stream: StreamId, metadata: Option<&[u8]>, data: &[u8]) -> Frame {
    Frame::request(FrameType::RequestResponse, stream, 0, 0, PayloadParts { metadata, data })
}

/// REQUEST_FNF.
pub(crate) fn forget(stream: StreamId, text: &str, data: &[u8]) -> Frame {
    request(FrameType::RequestFnf, stream, 0, 0, text, data)
}

/// REQUEST_STREAM.
pub(crate) fn stream(stream: StreamId, n: u32, text: &str, data: &[u8]) -> Frame {
    request(FrameType::RequestStream, stream, 0, n, text, data)
}

/// REQUEST_CHANNEL; `bits` may be COMPLETE.
pub(crate) fn channel(stream: StreamId, bits: u16, n: u32, text: &str, data: &[u8]) -> Frame {
    request(FrameType::RequestChannel, stream, bits, n, text, data)
}

/// A PAYLOAD with these flags and no metadata.
pub(crate) fn payload(stream: StreamId, bits: u16, data: &[u8]) -> Frame {
    Frame::payload(stream, bits, PayloadParts { metadata: None, data })
}

/// One item.
pub(crate) fn item(stream: StreamId, data: &[u8]) -> Frame {
    payload(stream, flags::NEXT, data)
}

/// The last item, or the answer of a call.
pub(crate) fn last(stream: StreamId, data: &[u8]) -> Frame {
    payload(stream, flags::NEXT | flags::COMPLETE, data)
}

/// COMPLETE without an item.
pub(crate) fn complete(stream: StreamId) -> Frame {
    payload(stream, flags::COMPLETE, b"")
}

pub(crate) fn error(stream: StreamId, code: u32, text: &str) -> Frame {
    Frame::error(stream, ErrorCode(code), text)
}

/// Metadata and data of a frame.
pub(crate) fn parts(frame: &Frame) -> (Option<Vec<u8>>, Vec<u8>) {
    let view = frame.view();
    (view.metadata().map(<[u8]>::to_vec), view.data().to_vec())
}

/// Bytes of a frame as a byte stream carries them, its length made to fit.
pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[1..], frame].concat()
}

/// Bytes of a frame of any type, as a byte stream carries them.
pub(crate) fn raw(stream: StreamId, kind: u8, bits: u16, body: &[u8]) -> Vec<u8> {
    framed(&[&stream.to_be_bytes()[..], &(u16::from(kind) << 10 | bits).to_be_bytes(), body].concat())
}

/// SETUP with changed bytes, as a byte stream carries them.
pub(crate) fn patched_setup(patch: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Setup::anonymous().frame().view().bytes().to_vec();
    patch(&mut frame);
    framed(&frame)
}

/// Request metadata of this many bytes, its routing entry last.
pub(crate) fn padded(len: usize) -> Vec<u8> {
    let route = route("test.Echo.call");
    let pad = vec![7; len - route.len() - 4];
    [&CompositeBuilder::new().entry(mime::TRACING, &pad).finish()[..], &route].concat()
}

/// A uuid an app may have: 32 characters, told apart by its first ones.
pub(crate) fn uuid(name: &str) -> String {
    format!("{name:-<32}")
}

/// What an app says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    app: Option<Value>,
    services: Vec<Value>,
    keepalive: Duration,
    lifetime: Duration,
    metadata_mime: &'static str,
    data_mime: &'static str,
}

impl Setup {
    /// An app with this name; the uuid comes from it.
    pub(crate) fn app(name: &str) -> Self {
        let app = json!({"name": name, "uuid": uuid(name), "ip": format!("ip-of-{name}"), "metadata": {}});
        Self { app: Some(app), ..Self::anonymous() }
    }

    /// An app that says nothing of itself.
    pub(crate) fn anonymous() -> Self {
        Self {
            app: None,
            services: Vec::new(),
            keepalive: Duration::from_secs(20),
            lifetime: Duration::from_secs(90),
            metadata_mime: COMPOSITE,
            data_mime: "application/json",
        }
    }

    pub(crate) fn service(self, name: &str) -> Self {
        self.published("", name, "")
    }

    pub(crate) fn published(mut self, group: &str, service: &str, version: &str) -> Self {
        self.services.push(json!({"group": group, "service": service, "version": version}));
        self
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.app.as_mut().expect("an app with metadata")["metadata"][name] = json!(value);
        self
    }

    pub(crate) fn uuid(mut self, uuid: &str) -> Self {
        self.app.as_mut().expect("an app with metadata")["uuid"] = json!(uuid);
        self
    }

    /// Something more that the app says of itself.
    pub(crate) fn says(mut self, name: &str, value: Value) -> Self {
        self.app.as_mut().expect("an app with metadata")[name] = value;
        self
    }

    /// Both times of SETUP.
    pub(crate) fn times(mut self, keepalive: u64, lifetime: u64) -> Self {
        (self.keepalive, self.lifetime) = (Duration::from_millis(keepalive), Duration::from_millis(lifetime));
        self
    }

    pub(crate) fn metadata_mime(self, metadata_mime: &'static str) -> Self {
        Self { metadata_mime, ..self }
    }

    pub(crate) fn data_mime(self, data_mime: &'static str) -> Self {
        Self { data_mime, ..self }
    }

    pub(crate) fn frame(&self) -> Frame {
        let mut entries = CompositeBuilder::new();
        if let Some(app) = &self.app {
            entries = entries.entry(mime::APPLICATION, app.to_string().as_bytes());
        }
        if !self.services.is_empty() {
            let registry = json!({"published": self.services}).to_string();
            entries = entries.entry(mime::SERVICE_REGISTRY, registry.as_bytes());
        }
        self.frame_with(&entries.finish())
    }

    /// SETUP with metadata of the test's own.
    pub(crate) fn frame_with(&self, metadata: &[u8]) -> Frame {
        Frame::setup(SetupParts {
            keepalive: self.keepalive,
            lifetime: self.lifetime,
            metadata_mime: self.metadata_mime,
            data_mime: self.data_mime,
            metadata: Some(metadata),
            data: b"",
        })
    }
}
