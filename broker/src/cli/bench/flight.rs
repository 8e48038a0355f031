//! Which requests of a connection are outstanding.

/// The outstanding stream ids of one connection and when each was sent. An id's place is its own low bits, so a look-up
/// is one index; an id whose place is still taken is skipped.
#[derive(Debug)]
pub(super) struct Flight {
    /// Stream id (0: free) and when it was sent.
    places: Vec<(u32, u64)>,
    next_id: u32,
    pub(super) outstanding: usize,
}

impl Flight {
    pub(super) fn new(in_flight: usize) -> Self {
        Self { places: vec![(0, 0); (2 * in_flight).next_power_of_two()], next_id: 1, outstanding: 0 }
    }

    /// A fresh odd stream id. More than `in_flight` at a time is the caller's mistake.
    pub(super) fn begin(&mut self, sent: u64) -> u32 {
        debug_assert!(self.outstanding < self.places.len(), "a place is free");
        loop {
            let stream_id = self.next_id;
            self.next_id = if stream_id == 0x7FFF_FFFF { 1 } else { stream_id + 2 };
            let place = self.place(stream_id);
            if self.places[place].0 == 0 {
                self.places[place] = (stream_id, sent);
                self.outstanding += 1;
                return stream_id;
            }
        }
    }

    /// When the request was sent; none if it is not outstanding.
    pub(super) fn end(&mut self, stream_id: u32) -> Option<u64> {
        let place = self.place(stream_id);
        let (outstanding, sent) = self.places[place];
        if stream_id == 0 || outstanding != stream_id {
            return None;
        }
        self.places[place].0 = 0;
        self.outstanding -= 1;
        Some(sent)
    }

    fn place(&self, stream_id: u32) -> usize {
        (stream_id >> 1) as usize & (self.places.len() - 1)
    }

    #[cfg(test)]
    pub(super) fn at(in_flight: usize, next_id: u32) -> Self {
        Self { next_id, ..Self::new(in_flight) }
    }
}
