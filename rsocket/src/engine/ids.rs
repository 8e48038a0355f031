use crate::frame::{MAX_STREAM_ID, StreamId};

/// The ids of the streams this side opens: odd for a client, even for a server, used again after a wrap.
#[derive(Debug)]
pub(super) struct Ids {
    first: StreamId,
    next: StreamId,
}

impl Ids {
    pub(super) fn client() -> Self {
        Self { first: 1, next: 1 }
    }

    pub(super) fn server() -> Self {
        Self { first: 2, next: 2 }
    }

    #[cfg(test)]
    pub(super) fn continue_at(&mut self, next: StreamId) {
        self.next = next;
    }

    /// The next id that is not in use.
    pub(super) fn draw(&mut self, is_used: impl Fn(StreamId) -> bool) -> StreamId {
        loop {
            let id = self.next;
            self.next = if id > MAX_STREAM_ID - 2 { self.first } else { id + 2 };
            if !is_used(id) {
                return id;
            }
        }
    }

    /// Whether the peer may open a stream with this id.
    pub(super) fn is_peers(&self, stream: StreamId) -> bool {
        stream != 0 && stream & 1 != self.first & 1
    }
}
