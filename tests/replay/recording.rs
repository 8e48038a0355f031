//! A recording, frame by frame.

use serde::Deserialize;
use std::path::Path;
use towline_rsocket::metadata::routing::Tags;
use towline_rsocket::metadata::{Composite, mime};
use towline_rsocket::{Frame, StreamId};

/// What passed the proxy.
#[derive(Debug)]
pub(super) enum Event {
    Frame(Frame),
    /// That side closed.
    End,
}

#[derive(Debug)]
pub(super) struct Line {
    /// In the file, from 1.
    pub nth: usize,
    pub is_from_app: bool,
    pub event: Event,
}

#[derive(Deserialize)]
struct Json {
    dir: String,
    frame: Option<String>,
    #[serde(default)]
    end: bool,
}

/// Reads a recording.
pub(super) fn read(name: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/starter").join(name);
    let text = std::fs::read_to_string(path).expect("it is in the repository");
    let lines = text.lines().enumerate().map(|(at, line)| {
        let json: Json = serde_json::from_str(line).expect("a line of a recording");
        let is_from_app = match &*json.dir {
            "app->broker" => true,
            "broker->app" => false,
            other => panic!("line {}: {other}", at + 1),
        };
        let event = match json.frame {
            Some(frame) => Event::Frame(parse(&unhex(&frame))),
            None => {
                assert!(json.end, "line {} is neither a frame nor an end", at + 1);
                Event::End
            }
        };
        Line { nth: at + 1, is_from_app, event }
    });
    lines.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// A frame of these bytes.
pub(super) fn parse(bytes: &[u8]) -> Frame {
    Frame::parse(crate::harness::framed(bytes)[..].into()).expect("a valid frame")
}

/// The same frame on another stream.
pub(super) fn on(frame: &Frame, stream: StreamId) -> Frame {
    let mut bytes = frame.view().bytes().to_vec();
    bytes[..4].copy_from_slice(&stream.to_be_bytes());
    parse(&bytes)
}

/// The method a request asks for.
pub(super) fn route(frame: &Frame) -> String {
    let metadata = frame.view().metadata().expect("requests have metadata");
    let tags = Composite::new(metadata).find(mime::ROUTING).expect("every starter sends text routing");
    Tags::new(tags).next().expect("a tag").to_owned()
}

/// Whether a request names the type of its data.
pub(super) fn has_mime(frame: &Frame) -> bool {
    Composite::new(frame.view().metadata().unwrap_or_default()).find(mime::MESSAGE_MIME).is_some()
}
