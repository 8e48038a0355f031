//! Events for an app: METADATA_PUSH, for which it gives no credit and which nobody waits for.

use super::{Link, Touched};
use rsocket::Frame;
use std::sync::Arc;

/// Frames of stream 0 that may wait before no event is added: they go ahead of every stream.
const WAITING: usize = 64;

impl Link {
    /// Gives the app an event; false, and nothing is queued, if it has not taken what waits for it.
    pub(crate) fn push(self: &Arc<Self>, event: &[u8], touched: &mut Touched) -> bool {
        let inner = self.hot.inner.lock();
        let state = &inner.state;
        let bytes = state.outbox.bytes() + inner.writing;
        let has_room = bytes <= self.shared.bounds.mark && state.outbox.controls() < WAITING;
        let takes = has_room && !state.is_closed && !state.is_stalled && !self.shared.budget.is_over();
        drop(inner);
        if takes {
            self.control(Frame::metadata_push(event), touched);
        }
        takes
    }
}
