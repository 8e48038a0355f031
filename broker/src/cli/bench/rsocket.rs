//! The client's side in RSocket: calls, messages that are not answered, streams.

use std::collections::HashMap;
use std::sync::Arc;

use clap::ValueEnum;

use super::Failure;
use super::client::Shape;
use super::requests::{CANCEL, REQUEST_STREAM, put_request_n};
use super::talk::{Heard, Talk};
use super::wire::{self, Frame, Link};

/// REQUEST_FNF.
pub(super) const REQUEST_FNF: u8 = 0x05;
/// The data of a request that is answered with the number of fire-and-forgets before it.
pub(super) const COUNT: &[u8] = b"how many?";

/// What a request carries beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Metadata {
    /// Routing tags and the type of the data
    #[default]
    Typed,
    /// Routing tags alone, as plain clients send them
    Text,
    /// A binary routing entry before both
    Binary,
    /// Everything a Java starter sends, binary routing first
    Starter,
}

impl Metadata {
    fn entries(self, service: &str) -> Vec<u8> {
        let route = format!("{service}.{}", wire::METHOD);
        let tags = [&[route.len() as u8], route.as_bytes()].concat();
        // Two ids that are not looked up, and no flags.
        let binary = [&[0; 12], route.as_bytes()].concat();
        let typed: &[u8] = &[0x80 | 0x06];
        let origin = b"tcp://127.0.0.1:0?appName=bench-requester&uuid=00000000000000000000000000000001";
        let accepted: &[u8] = &[0xA6, 0xA7, 0x85, 0x89, 0x80, 0x81, 0xA1, 0x86];
        let entries: &[(u8, &[u8])] = match self {
            Self::Typed => &[(0x7E, &tags), (0x7A, typed)],
            Self::Text => &[(0x7E, &tags)],
            Self::Binary => &[(0x50, &binary), (0x7E, &tags), (0x7A, typed)],
            Self::Starter => &[(0x50, &binary), (0x7B, accepted), (0x7E, &tags), (0x58, origin), (0x7A, typed)],
        };
        let mut metadata = Vec::new();
        entries.iter().for_each(|(id, content)| wire::put_entry(&mut metadata, *id, content));
        metadata
    }
}

/// One request; only its stream id differs from one time to the next.
#[derive(Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where a stream id stands: once in each frame.
    ids: Vec<usize>,
}

impl Template {
    /// Appends it with this stream id.
    pub(super) fn put(&self, out: &mut Vec<u8>, id: u32) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        for place in &self.ids {
            out[at + place..at + place + 4].copy_from_slice(&id.to_be_bytes());
        }
    }

    /// Where these bytes stand in it first.
    pub(super) fn find(&self, part: &[u8]) -> Option<usize> {
        self.bytes.windows(part.len()).position(|window| window == part)
    }

    /// A request of this type, `n` between header and metadata, in fragments if the shape says so.
    pub(super) fn new(kind: u8, n: &[u8], metadata: &[u8], data: &[u8], fragment: usize) -> Self {
        let most = if fragment == 0 { data.len() } else { fragment };
        let (first, rest) = data.split_at(data.len().min(most));
        let mut template = Self { bytes: Vec::new(), ids: Vec::new() };
        let len = wire::HEADER_LEN + n.len() + wire::LENGTH_LEN + metadata.len() + first.len();
        let follows = if rest.is_empty() { 0 } else { wire::FOLLOWS };
        template.frame(len, kind, wire::METADATA | follows, n);
        wire::put_u24(&mut template.bytes, metadata.len());
        template.bytes.extend_from_slice(metadata);
        template.bytes.extend_from_slice(first);
        let parts: Vec<&[u8]> = if rest.is_empty() { Vec::new() } else { rest.chunks(most).collect() };
        for (nth, part) in parts.iter().enumerate() {
            let follows = if nth + 1 < parts.len() { wire::FOLLOWS } else { 0 };
            template.frame(wire::HEADER_LEN + part.len(), wire::PAYLOAD, wire::NEXT | follows, part);
        }
        template
    }

    fn frame(&mut self, len: usize, kind: u8, flags: u16, body: &[u8]) {
        self.ids.push(self.bytes.len() + wire::STREAM_ID_AT);
        wire::put_header(&mut self.bytes, len, 0, kind, flags);
        self.bytes.extend_from_slice(body);
    }
}

/// Data of this length, no two neighbours alike.
pub(super) fn data(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

/// The services of a shape: the first is the one that is always there.
pub(super) fn services(count: usize) -> impl Iterator<Item = String> {
    (0..count.max(1)).map(|nth| if nth == 0 { wire::SERVICE.to_owned() } else { format!("{}{nth}", wire::SERVICE) })
}

pub(super) fn hello(out: &mut Vec<u8>) {
    wire::put_setup(out, "bench-requester", fastrand::u128(..), []);
}

/// What a broker may say to any client: KEEPALIVE, which is answered, LEASE, METADATA_PUSH; ERROR is a failure.
pub(super) fn hear_rest(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<Heard, Failure> {
    match frame.kind {
        wire::KEEPALIVE => wire::answer_keepalive(out, frame),
        wire::ERROR => return Err(refuse(frame)),
        _ => {}
    }
    Ok(Heard::Other)
}

/// ERROR ends a measurement.
pub(super) fn refuse(frame: &Frame<'_>) -> Failure {
    Failure::new(format!("stream {}: {}", frame.stream_id, frame.error_text()))
}

/// Request-response.
#[derive(Debug)]
pub(super) struct Calls {
    templates: Arc<Vec<Template>>,
    next: usize,
    size: usize,
    /// Bytes of answers whose other fragments are still to come.
    partial: HashMap<u32, usize>,
}

impl Calls {
    pub(super) fn templates(shape: Shape) -> Arc<Vec<Template>> {
        let request = |service: String| {
            let metadata = shape.metadata.entries(&service);
            Template::new(wire::REQUEST_RESPONSE, b"", &metadata, &data(shape.size), shape.fragment)
        };
        Arc::new(services(shape.services).map(request).collect())
    }

    pub(super) fn new(templates: &Arc<Vec<Template>>, size: usize) -> Self {
        let next = fastrand::usize(..templates.len());
        Self { templates: Arc::clone(templates), next, size, partial: HashMap::new() }
    }
}

impl Talk for Calls {
    fn hello(&mut self, out: &mut Vec<u8>) {
        hello(out);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        self.templates[self.next].put(out, id);
        self.next = if self.next + 1 == self.templates.len() { 0 } else { self.next + 1 };
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some(frame) = link.inbox.next_frame()? else { return Ok(None) };
        Ok(Some(match frame.kind {
            wire::PAYLOAD => {
                let len = frame.data().map_or(usize::MAX, <[u8]>::len);
                let id = frame.stream_id;
                if frame.has(wire::FOLLOWS) && !frame.has(wire::COMPLETE) {
                    *self.partial.entry(id).or_default() += len;
                    return Ok(Some(Heard::Other));
                }
                let before = if self.partial.is_empty() { 0 } else { self.partial.remove(&id).unwrap_or_default() };
                let is_right = frame.has(wire::NEXT | wire::COMPLETE) && before + len == self.size;
                Heard::Answer { id, is_right }
            }
            _ => hear_rest(&frame, &mut link.outbox)?,
        }))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }
}

/// Fire-and-forget: bursts, and behind each a call that is answered with how many have come.
#[derive(Debug)]
pub(super) struct Messages {
    one: Template,
    count: Template,
    burst: u32,
    /// Stream ids of messages, apart from those of calls.
    next_id: u32,
    /// How many had come with the answer before.
    come: Option<u64>,
}

impl Messages {
    pub(super) fn new(shape: Shape, burst: u32) -> Self {
        let metadata = shape.metadata.entries(wire::SERVICE);
        let one = Template::new(REQUEST_FNF, b"", &metadata, &data(shape.size), shape.fragment);
        let count = Template::new(wire::REQUEST_RESPONSE, b"", &metadata, COUNT, 0);
        Self { one, count, burst, next_id: 0x4000_0001, come: None }
    }
}

impl Talk for Messages {
    fn hello(&mut self, out: &mut Vec<u8>) {
        hello(out);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        for _ in 0..self.burst {
            self.one.put(out, self.next_id);
            self.next_id = if self.next_id >= 0x7FFF_FFFD { 0x4000_0001 } else { self.next_id + 2 };
        }
        self.count.put(out, id);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some(frame) = link.inbox.next_frame()? else { return Ok(None) };
        Ok(Some(match frame.kind {
            wire::PAYLOAD => {
                let come = frame.data().and_then(|data| data.try_into().ok()).map(u64::from_be_bytes);
                // One that was dropped on the way is missing in the count.
                let expected = self.come.map(|before| before + u64::from(self.burst));
                let is_right = come.is_some() && (expected.is_none() || expected == come);
                self.come = come;
                Heard::Answer { id: frame.stream_id, is_right }
            }
            _ => hear_rest(&frame, &mut link.outbox)?,
        }))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }

    fn messages(&self) -> u64 {
        u64::from(self.burst)
    }
}

/// Streams without end, their credit refilled when half of it is used.
#[derive(Debug)]
pub(super) struct Streams {
    request: Template,
    credit: u32,
    size: usize,
    /// Items that came since credit was last given.
    used: HashMap<u32, u32>,
}

impl Streams {
    pub(super) fn new(shape: Shape) -> Self {
        let metadata = shape.metadata.entries(wire::SERVICE);
        // The data says how large an item is.
        let size = (shape.size as u32).to_be_bytes();
        let request = Template::new(REQUEST_STREAM, &shape.credit.to_be_bytes(), &metadata, &size, 0);
        Self { request, credit: shape.credit, size: shape.size, used: HashMap::new() }
    }
}

impl Talk for Streams {
    fn hello(&mut self, out: &mut Vec<u8>) {
        hello(out);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        self.used.insert(id, 0);
        self.request.put(out, id);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some(frame) = link.inbox.next_frame()? else { return Ok(None) };
        Ok(Some(match frame.kind {
            wire::PAYLOAD => {
                let Some(used) = self.used.get_mut(&frame.stream_id) else {
                    return Ok(Some(Heard::Item { is_right: false }));
                };
                *used += 1;
                if *used * 2 >= self.credit {
                    put_request_n(&mut link.outbox, frame.stream_id, std::mem::take(used));
                }
                let is_right = frame.has(wire::NEXT)
                    && !frame.has(wire::COMPLETE)
                    && frame.data().is_some_and(|data| data.len() == self.size);
                Heard::Item { is_right }
            }
            CANCEL => return Err(Failure::new("a stream was cancelled by its responder")),
            _ => hear_rest(&frame, &mut link.outbox)?,
        }))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }

    fn is_endless(&self) -> bool {
        true
    }
}
