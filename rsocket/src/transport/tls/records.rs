/// Bytes before a record's content: type, version, length (RFC 8446, 5.1).
const HEADER: usize = 5;

/// Where in its record a stream of ciphertext stands.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    /// Bytes of the current record so far, its header included.
    at: usize,
}

impl Records {
    /// Passes over bytes that were read; returns how many of the last record are there, 0 if it is complete.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> usize {
        while !bytes.is_empty() {
            let end = match self.at {
                ..HEADER => HEADER,
                _ => self.end(),
            };
            let (now, rest) = bytes.split_at(bytes.len().min(end - self.at));
            if self.at < HEADER {
                self.header[self.at..self.at + now.len()].copy_from_slice(now);
            }
            self.at += now.len();
            bytes = rest;
            if self.at >= HEADER && self.at == self.end() {
                self.at = 0;
            }
        }
        self.at
    }

    fn end(&self) -> usize {
        HEADER + usize::from(u16::from_be_bytes([self.header[3], self.header[4]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_record_is_counted_in_any_cut() {
        let wire = [23, 3, 3, 0, 2, 7, 7, 23, 3, 3, 0, 0, 23, 3, 3, 0, 9, 1];
        for step in 1..=wire.len() {
            let mut records = Records::default();
            let counts: Vec<usize> = wire.chunks(step).map(|part| records.pass(part)).collect();
            assert_eq!(counts.last(), Some(&6), "cut every {step} bytes");
            if step == 1 {
                assert_eq!(counts, [1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]);
            }
        }
    }
}
