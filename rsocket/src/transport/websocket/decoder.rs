use super::{Fault, MAX_CONTROL, MAX_HEADER, Role, mask, opcode};
use crate::frame::{LENGTH, MAX_FRAME};
use bytes::{Buf, BytesMut};

/// Bytes above which a joined message changes hands instead of being copied.
const LARGE: usize = 64 * 1024;

/// Wire bytes to frames with their 24-bit length, without IO.
///
/// A message in one frame streams through: its length first, then what there is of it. A message in continuation frames is
/// held until it is complete, since its length is known only then; control frames may come between.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    max_message: usize,
    /// The header of the frame being read.
    header: [u8; MAX_HEADER],
    /// Bytes of the header that are here; 0 between frames.
    known: usize,
    /// The frame whose header is complete.
    frame: Option<Frame>,
    /// The payload of the control frame being read.
    control: Vec<u8>,
    /// A message in continuation frames, room for its 24-bit length first.
    message: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    left: usize,
    mask: Option<[u8; 4]>,
}

/// What the peer says to the transport itself.
#[derive(Debug, PartialEq, Eq)]
pub enum Signal<'a> {
    /// PING: a PONG with this payload is due.
    Ping(&'a [u8]),
    /// CLOSE with its status code, if it has one; whatever follows is to be ignored.
    Close(Option<u16>),
}

impl Decoder {
    /// For this end of a connection; a message of more than `max_message` bytes (at most 16,777,215) is a fault.
    pub fn new(role: Role, max_message: usize) -> Self {
        let (header, control) = ([0; MAX_HEADER], Vec::new());
        let max_message = max_message.min(MAX_FRAME);
        Self { role, max_message, header, known: 0, frame: None, control, message: None }
    }

    /// Bytes that wait for the rest of their frame or message; 0 between messages.
    pub fn held(&self) -> usize {
        let control = if self.known > 0 { self.control.len() } else { 0 };
        self.known + control + self.message.as_ref().map_or(0, Vec::capacity)
    }

    /// Decodes from the front of `wire` until it is empty or there is a signal; whole and partial frames are appended to
    /// `into`.
    ///
    /// # Errors
    /// What the peer did wrong. Nothing may be decoded after that.
    pub fn decode(&mut self, wire: &mut &[u8], into: &mut BytesMut) -> Result<Option<Signal<'_>>, Fault> {
        while !wire.is_empty() {
            let mut frame = match self.frame {
                Some(frame) => frame,
                None => match self.header(wire)? {
                    Some(frame) => {
                        self.begin(frame, into);
                        frame
                    }
                    None => break,
                },
            };
            let (part, rest) = wire.split_at(frame.left.min(wire.len()));
            *wire = rest;
            frame.left -= part.len();
            self.payload(&mut frame, part, into);
            if frame.left > 0 {
                self.frame = Some(frame);
                break;
            }
            self.frame = None;
            self.known = 0;
            match frame.opcode {
                opcode::PING => return Ok(Some(Signal::Ping(&self.control))),
                opcode::CLOSE => return close_code(&self.control).map(|code| Some(Signal::Close(code))),
                opcode::PONG => {}
                _ if frame.is_final => self.end_message(into),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads on in the header; `None` if it is not complete.
    fn header(&mut self, wire: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        loop {
            let needed = match self.known {
                0 | 1 => 2,
                _ => {
                    let long = match self.header[1] & 0x7F {
                        126 => 2,
                        127 => 8,
                        _ => 0,
                    };
                    2 + long + if self.header[1] & 0x80 == 0 { 0 } else { 4 }
                }
            };
            if self.known >= 2 {
                // Before the rest of it comes: a peer that masks wrongly may never send what its bits announce.
                self.check()?;
            }
            let missing = needed - self.known;
            if missing == 0 {
                return self.parse(needed).map(Some);
            }
            let take = missing.min(wire.len());
            if take == 0 {
                return Ok(None);
            }
            wire.copy_to_slice(&mut self.header[self.known..self.known + take]);
            self.known += take;
        }
    }

    /// Checks what the first two bytes say.
    fn check(&self) -> Result<(), Fault> {
        let [first, second, ..] = self.header;
        let (is_final, opcode, len) = (first & 0x80 != 0, first & 0x0F, usize::from(second & 0x7F));
        let is_masked = second & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(Fault::protocol("a reserved bit is set, no extension was agreed on"));
        }
        match self.role {
            Role::Server if !is_masked => return Err(Fault::protocol("a client's frame is not masked")),
            Role::Client if is_masked => return Err(Fault::protocol("a server's frame is masked")),
            _ => {}
        }
        match opcode {
            opcode::CLOSE | opcode::PING | opcode::PONG if !is_final => {
                Err(Fault::protocol("a control frame is fragmented"))
            }
            opcode::CLOSE | opcode::PING | opcode::PONG if len > MAX_CONTROL => {
                Err(Fault::protocol("a control frame is longer than 125 bytes"))
            }
            opcode::CLOSE | opcode::PING | opcode::PONG => Ok(()),
            opcode::CONTINUATION if self.message.is_none() => {
                Err(Fault::protocol("a continuation frame without a message"))
            }
            opcode::BINARY | opcode::TEXT if self.message.is_some() => {
                Err(Fault::protocol("a message inside a fragmented message"))
            }
            opcode::CONTINUATION | opcode::BINARY => Ok(()),
            opcode::TEXT => Err(Fault::TEXT),
            _ => Err(Fault::protocol("a reserved opcode")),
        }
    }

    fn parse(&self, len: usize) -> Result<Frame, Fault> {
        let header = &self.header[..len];
        let is_masked = header[1] & 0x80 != 0;
        let (long, mask) = header[2..].split_at(len - 2 - if is_masked { 4 } else { 0 });
        let announced = match long {
            [] => u64::from(header[1] & 0x7F),
            long => long.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let before = self.message.as_ref().map_or(0, |message| message.len() - LENGTH);
        let is_control = header[0] & 0x08 != 0;
        let left = usize::try_from(announced).unwrap_or(usize::MAX);
        if !is_control && left > self.max_message - before {
            return Err(Fault::TOO_LONG);
        }
        let mask = mask.first_chunk().copied();
        Ok(Frame { opcode: header[0] & 0x0F, is_final: header[0] & 0x80 != 0, left, mask })
    }

    /// A frame begins: the length of a message goes before it, if it is known.
    fn begin(&mut self, frame: Frame, into: &mut BytesMut) {
        match frame.opcode {
            opcode::BINARY if frame.is_final => into.extend_from_slice(&length(frame.left)),
            opcode::BINARY => self.message = Some(vec![0; LENGTH]),
            opcode::CONTINUATION => {}
            _ => self.control.clear(),
        }
    }

    fn payload(&mut self, frame: &mut Frame, part: &[u8], into: &mut BytesMut) {
        let mut unmask = |bytes: &mut [u8]| {
            if let Some(mask) = &mut frame.mask {
                mask::apply(mask, bytes);
            }
        };
        let held = match &mut self.message {
            _ if frame.opcode & 0x08 != 0 => &mut self.control,
            Some(message) => {
                let needed = message.len() + part.len();
                if needed > message.capacity() {
                    // Twice as much each time, but never more than a message may have.
                    let room = (2 * message.capacity()).clamp(needed, self.max_message + LENGTH);
                    message.reserve_exact(room - message.len());
                }
                message
            }
            None => {
                let at = into.len();
                into.extend_from_slice(part);
                unmask(&mut into[at..]);
                return;
            }
        };
        let at = held.len();
        held.extend_from_slice(part);
        unmask(&mut held[at..]);
    }

    fn end_message(&mut self, into: &mut BytesMut) {
        let Some(mut message) = self.message.take() else { return };
        let len = length(message.len() - LENGTH);
        message[..LENGTH].copy_from_slice(&len);
        if into.is_empty() && message.len() > LARGE {
            *into = BytesMut::from(bytes::Bytes::from(message));
        } else {
            into.extend_from_slice(&message);
        }
    }
}

fn length(len: usize) -> [u8; LENGTH] {
    let [.., a, b, c] = len.to_be_bytes();
    [a, b, c]
}

/// The status code of a CLOSE frame (RFC 6455, 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::protocol("half a status code in CLOSE")) };
    };
    if str::from_utf8(reason).is_err() {
        return Err(Fault { code: 1007, text: "the reason in CLOSE is no UTF-8" });
    }
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
        _ => Err(Fault::protocol("a status code in CLOSE that is not for sending")),
    }
}
