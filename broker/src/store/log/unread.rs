//! Files that could not be read lately: one is bad luck, several are a disk that is going (rule 4).

use super::core::Core;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

/// Within so many milliseconds errors count together.
const LATELY: u64 = 60_000;
/// So many files that cannot be read fail the store.
const FILES: usize = 3;

/// Each of the files, and when it was that it could not be read.
#[derive(Debug, Default)]
pub(crate) struct Unread(VecDeque<(u64, u64)>);

impl Unread {
    /// A file could not be read; true if that is one file too many.
    fn note(&mut self, file: u64, now: u64) -> bool {
        self.0.retain(|(at, other)| at.saturating_add(LATELY) > now && *other != file);
        self.0.push_back((now, file));
        self.0.len() >= FILES
    }
}

impl Core {
    /// Passes an error of reading a file on, and fails the store if too many files cannot be read. What can be read still
    /// is: a failed store gives out what it has.
    pub(crate) fn reading<T>(&self, file: u64, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let now = self.uptime.load(Ordering::Relaxed);
            // No other lock is held when it fails.
            let is_failing = self.unread.lock().note(file, now);
            if is_failing {
                self.poison("reading the third file within a minute", error);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_files_within_a_minute_are_too_many() {
        let cases: [(&[(u64, u64)], bool); 6] = [
            (&[(1, 0), (2, 10), (3, 59_999)], true),
            (&[(1, 0), (2, 10), (3, 60_000)], false),
            (&[(1, 0), (1, 1), (1, 2), (1, 3)], false),
            (&[(1, 0), (2, 1), (1, 2), (2, 3)], false),
            (&[(1, 0), (2, 50_000), (1, 59_000), (3, 100_000)], true),
            (&[(1, 0), (2, 50_000), (3, 130_000), (4, 131_000)], false),
        ];
        for (errors, expected) in cases {
            let mut unread = Unread::default();
            let found = errors.iter().map(|(file, now)| unread.note(*file, *now)).collect::<Vec<_>>();
            assert!(found[..found.len() - 1].iter().all(|is_failing| !is_failing), "{errors:?}");
            assert_eq!(found.last(), Some(&expected), "{errors:?}");
        }
    }
}
