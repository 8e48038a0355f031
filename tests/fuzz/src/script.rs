//! An input as a script: what some peers of one end write, where their writes are cut, when they read and when they leave.
//!
//! Each step begins with a byte: the peer (two high bits) and what it does.

use super::frames::framed;
use super::input::Input;
use bytes::BytesMut;
use std::time::Duration;
use tokio::task::yield_now;
use towline_rsocket::frame::{MAX_FRAME, PayloadParts, flags};
use towline_rsocket::metadata::routing::write_tags;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime};
use towline_rsocket::transport::{Batch, MemoryTransport, Transport};
use towline_rsocket::{ErrorCode, Frame, FrameType, ReadBuffer};

/// Steps of one script.
const STEPS: usize = 64;
/// Bytes a peer reads of what was written to it, per turn.
const READ: usize = 1 << 20;

/// Where peers connect; `None` if whoever they talk to takes no second connection.
pub(super) type Connect<'a> = dyn Fn(usize) -> Option<(MemoryTransport, Vec<u8>)> + 'a;

struct Peer {
    transport: MemoryTransport,
    buffer: ReadBuffer,
}

/// Plays the script; every connection is closed when this returns.
pub(super) async fn play(mut input: Input<'_>, peers: usize, connect: &Connect<'_>) {
    let mut peers: Vec<_> = (0..peers).map(|nth| Peer::open(nth, connect, (0, 0))).collect();
    yield_now().await;
    for _ in 0..STEPS {
        if input.0.is_empty() {
            break;
        }
        let step = input.byte();
        let nth = usize::from(step >> 6) % peers.len();
        let Some(peer) = &mut peers[nth] else { continue };
        match step & 7 {
            0 | 1 => peer.write(&frame(&mut input)),
            2 => {
                let mut frame = frame(&mut input).to_vec();
                let (at, bits) = (usize::from(input.byte()), input.byte());
                let len = frame.len();
                frame[at % len] ^= bits;
                peer.write(&frame);
            }
            3 => {
                let len = usize::from(input.byte());
                peer.write(input.bytes(len));
            }
            4 => {
                let len = usize::from(input.byte());
                peer.write(&framed(input.bytes(len)));
            }
            5 => {
                let frame = frame(&mut input);
                let (first, rest) = frame.split_at(usize::from(input.byte()) % frame.len());
                peer.write(first);
                turns(4).await;
                peer.write(rest);
            }
            6 => {
                turns(8).await;
                peer.read(step & 8 != 0);
            }
            _ => {
                peers[nth] = None;
                turns(2).await;
                if step & 8 != 0 {
                    let (at, bits) = if step & 16 == 0 { (0, 0) } else { (input.byte(), input.byte()) };
                    peers[nth] = Peer::open(nth, connect, (usize::from(at), bits));
                }
            }
        }
    }
    turns(16).await;
    peers.iter_mut().flatten().for_each(|peer| peer.read(false));
}

/// Lets all others run.
async fn turns(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

impl Peer {
    /// Connects, and says what is to be said first, with these bits of one byte changed.
    fn open(nth: usize, connect: &Connect<'_>, (at, bits): (usize, u8)) -> Option<Self> {
        let (transport, mut first) = connect(nth)?;
        if let Some(byte) = first.get_mut(at) {
            *byte ^= bits;
        }
        let peer = Self { transport, buffer: ReadBuffer::new() };
        peer.write(&first);
        Some(peer)
    }

    /// What does not fit is lost.
    fn write(&self, bytes: &[u8]) {
        let mut batch = Batch::default();
        batch.push(BytesMut::from(bytes));
        let _ = self.transport.try_write(&mut batch);
    }

    /// Reads what there is: whole, valid frames. Requests may be answered.
    fn read(&mut self, answers: bool) {
        let mut left = READ;
        while left > 0
            && let Ok(len @ 1..) = self.transport.try_read(self.buffer.space())
        {
            left = left.saturating_sub(len);
        }
        while let Some(len) = self.buffer.complete(MAX_FRAME).expect("any length is allowed") {
            let frame = Frame::parse(self.buffer.take(len)).expect("what it writes is valid");
            let view = frame.view();
            if answers && view.kind().is_request() && view.kind() != FrameType::RequestFnf {
                let parts = PayloadParts { metadata: None, data: view.data() };
                self.write(Frame::payload(view.stream_id(), flags::NEXT | flags::COMPLETE, parts).wire());
            }
        }
    }
}

/// One valid frame.
fn frame(input: &mut Input<'_>) -> BytesMut {
    let (kind, stream, bits) = (input.byte(), u32::from(input.byte() % 24), u16::from(input.byte()) << 2);
    let n = input.pick(&[0, 1, 2, 3, 64, 0x7FFF_FFFF]);
    let stream = if stream == 23 { 0x7FFF_FFFF } else { stream };
    let metadata = metadata(input);
    let len = usize::from(input.byte());
    let data = vec![b'd'; if len > 200 { len * len } else { len }];
    let parts = PayloadParts { metadata: metadata.as_deref(), data: &data };
    let bits = bits & !flags::METADATA;
    let frame = match kind % 16 {
        0 | 1 => Frame::request(FrameType::RequestResponse, stream, bits, 0, parts),
        2 => Frame::request(FrameType::RequestFnf, stream, bits, 0, parts),
        3 | 4 => Frame::request(FrameType::RequestStream, stream, bits, n, parts),
        5 | 6 => Frame::request(FrameType::RequestChannel, stream, bits, n, parts),
        7 | 8 => Frame::payload(stream, bits, parts),
        9 => Frame::payload(stream, flags::NEXT | flags::COMPLETE, parts),
        10 => Frame::request_n(stream, n),
        11 => Frame::cancel(stream),
        12 => Frame::error(stream, ErrorCode(0x200 + u32::from(bits >> 2 & 7)), "an error"),
        13 => Frame::keepalive(bits & 4 != 0, &data),
        14 => Frame::lease(Duration::from_millis(u64::from(n)), n),
        _ => Frame::metadata_push(metadata.as_deref().unwrap_or(&data)),
    };
    frame.into_wire()
}

/// Metadata of one of some kinds.
fn metadata(input: &mut Input<'_>) -> Option<Vec<u8>> {
    let tags = |tags: &[&str]| write_tags(tags.iter().copied()).expect("tags are short");
    let entry = |text: &str| CompositeBuilder::new().entry(mime::ROUTING, &tags(&[text]));
    let deadline = Mime::Name(b"message/x.towline.deadline.v0");
    Some(match input.byte() % 16 {
        0 => return None,
        1 => Vec::new(),
        2 | 3 => entry("test.Echo.call").message_mime(mime::JSON).finish().to_vec(),
        4 => entry("test.Echo.call").finish().to_vec(),
        5 => entry("test.Echo.call?sticky=1&e=id:x").finish().to_vec(),
        6 => entry("test.Echo.call").entry(deadline, &[0, 0, 0, input.byte()]).finish().to_vec(),
        7 => entry("nobody.serves").message_mime(mime::JSON).finish().to_vec(),
        8 => entry("com.alibaba.rsocket.health.RSocketHealthCheck.check").message_mime(mime::HESSIAN).finish().to_vec(),
        9 => entry("towline.control.Health.check").message_mime(mime::JSON).finish().to_vec(),
        10 => tags(&["test.Echo.call", "key=k"]).to_vec(),
        // The beginning of what is whole in the other kinds: it goes on in another fragment.
        11 => {
            let whole = entry("test.Echo.call").message_mime(mime::JSON).finish();
            whole[..usize::from(input.byte()) % whole.len()].to_vec()
        }
        12 => {
            let whole = entry("test.Echo.call").message_mime(mime::JSON).finish();
            whole[usize::from(input.byte()) % whole.len()..].to_vec()
        }
        13 => {
            let padding = vec![0; usize::from(input.byte()) * 16];
            entry("test.Echo.call").entry(mime::TRACING, &padding).finish().to_vec()
        }
        14 => event(input).into_bytes(),
        _ => {
            let len = usize::from(input.byte());
            input.bytes(len).to_vec()
        }
    })
}

/// What an app, by its name a peer of these scripts, says of itself.
fn event(input: &mut Input<'_>) -> String {
    let uuid = format!("{:-<32}", format!("peer-{}", input.byte() % 3));
    let (kind, data) = match input.byte() % 5 {
        0 => ("AppStatusEvent", r#""status":1"#),
        1 => ("AppStatusEvent", r#""status":2"#),
        2 => ("ServicesExposedEvent", r#""services":[{"service":"test.More"},{"service":"test.Echo"}]"#),
        3 => ("ServicesHiddenEvent", r#""services":[{"service":"test.Echo"}]"#),
        _ => ("PortsUpdateEvent", r#""webPort":1"#),
    };
    let data = format!(r#"{{"id":"{uuid}","appId":"{uuid}",{data}}}"#);
    format!(r#"{{"source":"app://{uuid}/","type":"com.alibaba.rsocket.events.{kind}","data":{data}}}"#)
}
