use super::mask::{self, Masks};
use super::{MAX_CONTROL, MAX_HEADER, Role, opcode};
use crate::frame::LENGTH;
use crate::transport::Batch;
use bytes::{Buf, BytesMut};

/// Bytes of a frame above which they stay where they are instead of being copied behind its header.
const LARGE: usize = 4096;
/// Room made at once for frames that are copied.
const ROOM: usize = 16 * 1024;
/// PONGs that wait for the end of a message.
const MAX_PONGS: usize = 16;

/// Frames with their 24-bit length to wire bytes, without IO.
#[derive(Debug)]
pub struct Encoder {
    masks: Option<Masks>,
    /// The length of the next frame, as far as it is here.
    length: [u8; LENGTH],
    known: usize,
    /// Bytes of the message begun that were not taken yet.
    left: usize,
    mask: Option<[u8; 4]>,
    pongs: BytesMut,
    waiting: usize,
}

impl Encoder {
    /// For this end of a connection.
    pub fn new(role: Role) -> Self {
        let masks = (role == Role::Client).then(Masks::default);
        Self { masks, length: [0; LENGTH], known: 0, left: 0, mask: None, pongs: BytesMut::new(), waiting: 0 }
    }

    /// Takes at most `most` bytes from the front of `batch`, in which frames may be cut anywhere, and appends messages to
    /// `out`; returns the number of bytes taken. PONGs that wait go out at the first end of a message.
    pub fn encode(&mut self, batch: &mut Batch, most: usize, out: &mut Batch) -> usize {
        let mut small = BytesMut::new();
        let mut taken = 0;
        self.flush_pongs(&mut small);
        while taken < most
            && let Some(mut chunk) = batch.pop()
        {
            if chunk.len() > most - taken {
                batch.insert(0, chunk.split_off(most - taken));
            }
            taken += chunk.len();
            self.chunk(chunk, &mut small, out);
        }
        out.push(small);
        taken
    }

    /// A PING is to be answered. Beyond 16 that wait only the newest is kept (RFC 6455, 5.5.3, allows it).
    pub fn pong(&mut self, payload: &[u8]) {
        if self.waiting == MAX_PONGS {
            self.pongs.clear();
            self.waiting = 0;
        }
        self.waiting += 1;
        let mask = self.masks.as_mut().map(Masks::draw);
        control(&mut self.pongs, opcode::PONG, payload, mask);
    }

    /// PONGs wait and could go out now: nothing is left of the last message.
    pub fn has_pongs(&self) -> bool {
        self.waiting > 0 && self.is_between()
    }

    /// CLOSE with this status code; `None` in the middle of a message, where it would be taken for part of it.
    pub fn close(&mut self, code: Option<u16>) -> Option<BytesMut> {
        if !self.is_between() {
            return None;
        }
        let mut frame = BytesMut::new();
        let mask = self.masks.as_mut().map(Masks::draw);
        match code {
            Some(code) => control(&mut frame, opcode::CLOSE, &code.to_be_bytes(), mask),
            None => control(&mut frame, opcode::CLOSE, &[], mask),
        }
        Some(frame)
    }

    fn is_between(&self) -> bool {
        self.left == 0
    }

    fn flush_pongs(&mut self, small: &mut BytesMut) {
        if self.has_pongs() {
            self.waiting = 0;
            small.unsplit(std::mem::take(&mut self.pongs));
        }
    }

    fn chunk(&mut self, mut chunk: BytesMut, small: &mut BytesMut, out: &mut Batch) {
        while !chunk.is_empty() {
            if self.left == 0 {
                let part = chunk.len().min(LENGTH - self.known);
                chunk.copy_to_slice(&mut self.length[self.known..self.known + part]);
                self.known += part;
                if self.known == LENGTH {
                    self.begin(chunk.len(), small);
                }
                continue;
            }
            let part = self.left.min(chunk.len());
            self.left -= part;
            if part > LARGE {
                let mut part = chunk.split_to(part);
                if let Some(mask) = &mut self.mask {
                    mask::apply(mask, &mut part);
                }
                out.push(small.split());
                out.push(part);
            } else {
                let at = small.len();
                small.extend_from_slice(&chunk[..part]);
                if let Some(mask) = &mut self.mask {
                    mask::apply(mask, &mut small[at..]);
                }
                chunk.advance(part);
            }
            self.flush_pongs(small);
        }
    }

    /// Writes a message's header; `ahead` bytes follow in the same chunk.
    fn begin(&mut self, ahead: usize, small: &mut BytesMut) {
        let [a, b, c] = self.length;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.known = 0;
        self.mask = self.masks.as_mut().map(Masks::draw);
        if small.capacity() - small.len() < MAX_HEADER + self.left.min(LARGE) {
            small.reserve(MAX_HEADER + if self.left > LARGE { 0 } else { ahead.min(ROOM) });
        }
        header(small, opcode::BINARY, self.left, self.mask);
        self.flush_pongs(small);
    }
}

fn control(into: &mut BytesMut, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    header(into, opcode, payload.len(), mask);
    let at = into.len();
    into.extend_from_slice(payload);
    if let Some(mut mask) = mask {
        mask::apply(&mut mask, &mut into[at..]);
    }
}

fn header(into: &mut BytesMut, opcode: u8, len: usize, mask: Option<[u8; 4]>) {
    let (first, masked) = (0x80 | opcode, if mask.is_some() { 0x80 } else { 0 });
    let long = (len as u64).to_be_bytes();
    match len {
        0..=125 => into.extend_from_slice(&[first, masked | long[7]]),
        126..=0xFFFF => into.extend_from_slice(&[first, masked | 126, long[6], long[7]]),
        _ => {
            into.extend_from_slice(&[first, masked | 127]);
            into.extend_from_slice(&long);
        }
    }
    if let Some(mask) = mask {
        into.extend_from_slice(&mask);
    }
}
