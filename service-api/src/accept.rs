use crate::encoding::Encoding;

/// The encodings a caller takes an answer in, the best first; none at all: only the request's own.
///
/// An answer is written in the first one that has a form for it, else in the request's own (plain-client.md section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    wanted: [Option<Encoding>; Encoding::ALL.len()],
}

impl Accept {
    /// The encodings, the best first.
    pub fn iter(self) -> impl Iterator<Item = Encoding> {
        self.wanted.into_iter().flatten()
    }
}

/// Each encoding counts where it is named first.
impl FromIterator<Encoding> for Accept {
    fn from_iter<I: IntoIterator<Item = Encoding>>(encodings: I) -> Self {
        let mut accept = Self::default();
        for encoding in encodings {
            let free = accept.wanted.iter_mut().find(|slot| slot.is_none_or(|wanted| wanted == encoding));
            if let Some(slot) = free {
                *slot = Some(encoding);
            }
        }
        accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_counts_where_it_is_named_first() {
        let named = [Encoding::Json, Encoding::MessagePack, Encoding::Json, Encoding::MessagePack];
        let accept: Accept = named.into_iter().cycle().take(1_000).collect();
        assert_eq!(accept.iter().collect::<Vec<_>>(), named[..2]);
        assert_eq!(Accept::default().iter().count(), 0);
    }
}
