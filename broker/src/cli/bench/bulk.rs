//! The ends of `bench large`: messages of many fragments, made of a known pattern and compared with it byte by byte.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Failure;
use super::member::Member;
use super::requests;
use super::wire::{self, COMPLETE, FOLLOWS, Frame, METADATA, NEXT};

/// A message begins with the number of its pattern.
pub(super) const NUMBER_LEN: usize = 8;

/// Random bytes, read in a ring from a place that depends on the message's number.
pub(super) struct Pattern {
    ring: Vec<u8>,
}

impl Pattern {
    /// For messages up to `size` bytes; longer ones would repeat themselves.
    pub(super) fn new(size: usize) -> Self {
        let mut ring = vec![0; size + 1009];
        fastrand::fill(&mut ring);
        Self { ring }
    }

    /// The bytes of message `number` from `at` on, behind its number.
    fn pieces(&self, number: u64, at: usize, len: usize) -> [&[u8]; 2] {
        let size = self.ring.len();
        let begin = ((number as u128 * 1_000_003 + at as u128) % size as u128) as usize;
        let first = len.min(size - begin);
        [&self.ring[begin..begin + first], &self.ring[..len - first]]
    }

    /// Appends bytes `at..at + len` of the message.
    pub(super) fn put(&self, out: &mut Vec<u8>, number: u64, at: usize, len: usize) {
        let head = number.to_be_bytes();
        let from_head = NUMBER_LEN.saturating_sub(at).min(len);
        out.extend_from_slice(&head[at.min(NUMBER_LEN)..at.min(NUMBER_LEN) + from_head]);
        let rest = (at + from_head).saturating_sub(NUMBER_LEN);
        for piece in self.pieces(number, rest, len - from_head) {
            out.extend_from_slice(piece);
        }
    }

    /// Whether these are the bytes from `at` on, which lies behind the number.
    pub(super) fn is_exact(&self, number: u64, at: usize, bytes: &[u8]) -> bool {
        if bytes.len() > self.ring.len() {
            return false;
        }
        let [first, second] = self.pieces(number, at - NUMBER_LEN, bytes.len());
        let (front, back) = bytes.split_at(first.len());
        front == first && back == second
    }
}

/// What became of one message, or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// All of it came.
    Came { stream_id: u32, number: u64, bytes: usize, is_exact: bool },
    /// The request was refused: nothing follows.
    Refused { stream_id: u32 },
    /// The KEEPALIVE behind SETUP was answered.
    Registered,
}

/// A connection that sends and receives large messages at the same time.
pub(super) struct Bulk {
    pub(super) member: Member,
    pattern: Arc<Pattern>,
    /// Bytes of data in a fragment.
    fragment: usize,
    sending: VecDeque<Sending>,
    receiving: HashMap<u32, Receiving>,
    pub(super) events: VecDeque<Event>,
}

struct Sending {
    stream_id: u32,
    number: u64,
    at: usize,
    size: usize,
    /// The service that is called; none for an answer.
    service: Option<&'static str>,
}

#[derive(Default)]
struct Receiving {
    number: [u8; NUMBER_LEN],
    at: usize,
    is_wrong: bool,
}

impl Bulk {
    pub(super) fn new(member: Member, pattern: Arc<Pattern>, fragment: usize) -> Self {
        Self { member, pattern, fragment, sending: VecDeque::new(), receiving: HashMap::new(), events: VecDeque::new() }
    }

    /// Queues a request, or an answer, of `size` bytes.
    pub(super) fn send(&mut self, stream_id: u32, number: u64, size: usize, service: Option<&'static str>) {
        self.sending.push_back(Sending { stream_id, number, at: 0, size, service });
    }

    /// Until there is an event: fragments are written one at a time, and what comes is compared as it comes.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Failure>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.member.outbox().is_empty() {
                self.put_fragment();
            }
            let is_writing = !self.member.outbox().is_empty();
            let has_written = match self.member.poll_flush(cx) {
                Poll::Ready(done) => done.map(|()| is_writing)?,
                Poll::Pending => false,
            };
            match self.member.poll_read(cx) {
                Poll::Ready(read) => {
                    read?;
                    self.take_frames()?;
                }
                Poll::Pending if has_written => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next fragment of the message in front.
    fn put_fragment(&mut self) {
        let Some(Sending { stream_id, number, at, size, service }) = self.sending.front_mut() else { return };
        let len = self.fragment.min(*size - *at);
        let mut data = Vec::with_capacity(len);
        self.pattern.put(&mut data, *number, *at, len);
        let follows = if *at + len < *size { FOLLOWS } else { 0 };
        let out = self.member.outbox();
        match service {
            Some(service) if *at == 0 => requests::put_call(out, *stream_id, follows, service, &data),
            Some(_) => requests::put_payload(out, *stream_id, NEXT | follows, &data),
            None => {
                let last = if follows == 0 { COMPLETE } else { 0 };
                requests::put_payload(out, *stream_id, NEXT | last | follows, &data);
            }
        }
        *at += len;
        if follows == 0 {
            self.sending.pop_front();
        }
    }

    fn take_frames(&mut self) -> Result<(), Failure> {
        let Self { member, pattern, sending, receiving, events, .. } = self;
        let (inbox, outbox) = member.parts();
        while let Some(frame) = inbox.next_frame()? {
            match frame.kind {
                wire::REQUEST_RESPONSE | wire::PAYLOAD => {
                    let message = receiving.entry(frame.stream_id).or_default();
                    message.take(pattern, data(&frame)?);
                    if !frame.has(FOLLOWS) {
                        let Receiving { number, at, is_wrong } = *message;
                        receiving.remove(&frame.stream_id);
                        let (stream_id, number) = (frame.stream_id, u64::from_be_bytes(number));
                        events.push_back(Event::Came { stream_id, number, bytes: at, is_exact: !is_wrong });
                    }
                }
                wire::KEEPALIVE if frame.has(wire::RESPOND) => wire::answer_keepalive(outbox, &frame),
                wire::KEEPALIVE => events.push_back(Event::Registered),
                wire::ERROR if frame.stream_id == 0 => return Err(Failure::new(frame.error_text())),
                wire::ERROR | requests::CANCEL => {
                    sending.retain(|message| message.stream_id != frame.stream_id);
                    receiving.remove(&frame.stream_id);
                    events.push_back(Event::Refused { stream_id: frame.stream_id });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Receiving {
    fn take(&mut self, pattern: &Pattern, mut bytes: &[u8]) {
        if self.at < NUMBER_LEN {
            let len = bytes.len().min(NUMBER_LEN - self.at);
            self.number[self.at..self.at + len].copy_from_slice(&bytes[..len]);
            self.at += len;
            bytes = &bytes[len..];
        }
        if !bytes.is_empty() {
            self.is_wrong |= !pattern.is_exact(u64::from_be_bytes(self.number), self.at, bytes);
            self.at += bytes.len();
        }
    }
}

fn data<'a>(frame: &Frame<'a>) -> Result<&'a [u8], Failure> {
    match frame.data() {
        Some(data) => Ok(data),
        None => Err(Failure::new(format!("metadata overruns its frame, flags {:#x}", frame.flags & METADATA))),
    }
}
