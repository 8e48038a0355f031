//! What a connection of the load says and hears, in whichever protocol.

use super::Failure;
use super::wire::Link;

/// What was heard of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to this request, all of it; whether it is what was expected.
    Answer { id: u32, is_right: bool },
    /// An item of a stream that goes on; whether it is what was expected.
    Item { is_right: bool },
    /// Something that was dealt with.
    Other,
}

/// One side of one connection.
pub(super) trait Talk: Send + 'static {
    /// What opens the connection.
    fn hello(&mut self, out: &mut Vec<u8>);

    /// One request; its id is odd and below 2^31.
    fn request(&mut self, out: &mut Vec<u8>, id: u32);

    /// The next whole message of what was read; none until more is.
    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure>;

    /// Said every 20 s.
    fn keep_alive(&mut self, out: &mut Vec<u8>);

    /// Messages one answer stands for.
    fn messages(&self) -> u64 {
        1
    }

    /// Requests are never answered for good: a connection ends when it is told to.
    fn is_endless(&self) -> bool {
        false
    }
}
