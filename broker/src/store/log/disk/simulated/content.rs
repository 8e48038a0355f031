//! The bytes of a file; what is zeros takes no memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The system's memory of a file is kept, written and lost in pages.
pub(super) const PAGE: usize = 4096;

pub(super) type Page = [u8; PAGE];

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Content {
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> usize {
        let len = self.readable(buffer.len(), at);
        let mut filled = 0;
        for (page, range) in pieces(at, at + len as u64) {
            let target = &mut buffer[filled..filled + range.len()];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[range.clone()]),
                None => target.fill(0),
            }
            filled += range.len();
        }
        len
    }

    /// How much of a buffer of `len` bytes a read at `at` fills.
    pub(super) fn readable(&self, len: usize, at: u64) -> usize {
        self.len.saturating_sub(at).min(len as u64) as usize
    }

    pub(super) fn page(&self, page: u64) -> Page {
        self.pages.get(&page).map_or([0; PAGE], |bytes| **bytes)
    }

    pub(super) fn is_same_page(&self, other: &Self, page: u64) -> bool {
        self.page(page) == other.page(page)
    }

    pub(super) fn put(&mut self, page: u64, bytes: Page) {
        if bytes == [0; PAGE] {
            self.pages.remove(&page);
        } else {
            self.pages.insert(page, Arc::new(bytes));
        }
    }

    pub(super) fn write(&mut self, page: u64, from: usize, bytes: &[u8]) {
        let page = Arc::make_mut(self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE])));
        page[from..from + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn zero(&mut self, page: u64, range: Range<usize>) {
        if range == (0..PAGE) {
            self.pages.remove(&page);
        } else if let Some(bytes) = self.pages.get_mut(&page) {
            Arc::make_mut(bytes)[range].fill(0);
        }
    }

    /// The pages in a range of them that are not zeros.
    pub(super) fn pages(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        self.pages.range(range).map(|(page, _)| *page)
    }

    /// Makes the file at most `len` long; what is beyond is zeros, also should it grow again.
    pub(super) fn cut(&mut self, len: u64) {
        self.len = self.len.min(len);
        let whole = len.div_ceil(PAGE as u64);
        self.pages.split_off(&whole);
        self.zero(len / PAGE as u64, (len % PAGE as u64) as usize..PAGE);
    }
}

/// The pages that a range of bytes touches, and what of each.
pub(super) fn pieces(from: u64, to: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
    let size = PAGE as u64;
    (from / size..to.div_ceil(size)).filter(move |_| from < to).map(move |page| {
        let start = page * size;
        (page, (from.max(start) - start) as usize..(to.min(start + size) - start) as usize)
    })
}
