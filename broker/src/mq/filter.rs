//! Which messages a group wants, by their tags: `.` parts levels, `+` is any one level, `*` or `#` at the end is the rest.
//!
//! Several patterns, parted by `;`, want what any of them wants. The rest is at least one level after `*`, and may be none
//! after `#`.

/// A filter that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Vec<Box<str>>>);

/// Bytes of a filter's text.
const LONGEST: usize = 1024;

impl Filter {
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("it is longer than 1,024 bytes");
        }
        let patterns = text.split(';').map(|pattern| {
            let levels: Vec<&str> = pattern.trim().split('.').collect();
            if levels == [""] {
                return Err("a pattern is empty");
            }
            let is_rest = |level: &&str| *level == "*" || *level == "#";
            if levels[..levels.len() - 1].iter().any(is_rest) {
                return Err("`*` and `#` stand for the rest, at the end only; `+` is one level");
            }
            Ok(levels.into_iter().map(Box::from).collect())
        });
        Ok(Self(patterns.collect::<Result<_, _>>()?))
    }

    pub(crate) fn wants(&self, tag: Option<&str>) -> bool {
        let levels: Vec<&str> = tag.into_iter().flat_map(|tag| tag.split('.')).collect();
        self.0.iter().any(|pattern| matches(pattern, &levels))
    }
}

fn matches(pattern: &[Box<str>], levels: &[&str]) -> bool {
    match (pattern, levels) {
        ([], []) => true,
        ([last], _) if &**last == "#" => true,
        ([last], rest) if &**last == "*" => !rest.is_empty(),
        ([first, pattern @ ..], [level, levels @ ..]) => {
            (&**first == "+" || **first == **level) && matches(pattern, levels)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_one_and_the_rest() {
        for (filter, wanted, unwanted) in [
            ("orders.paid", vec!["orders.paid"], vec!["orders", "orders.paid.eu", "paid"]),
            ("orders.+.eu", vec!["orders.paid.eu"], vec!["orders.eu", "orders.paid.us"]),
            ("orders.*", vec!["orders.paid", "orders.paid.eu"], vec!["orders", "order.paid"]),
            ("orders.#", vec!["orders", "orders.paid.eu"], vec!["order"]),
            ("a; b.+", vec!["a", "b.c"], vec!["b", "c"]),
            ("*", vec!["a", "a.b"], vec![]),
        ] {
            let read = Filter::parse(filter).expect(filter);
            wanted.iter().for_each(|tag| assert!(read.wants(Some(tag)), "{filter} {tag}"));
            unwanted.iter().for_each(|tag| assert!(!read.wants(Some(tag)), "{filter} {tag}"));
            assert!(!read.wants(None), "{filter} without a tag");
        }
        assert!(Filter::parse("#").expect("all").wants(None));
        for filter in ["", "a;", "a.*.b", &"x".repeat(2000)] {
            assert!(Filter::parse(filter).is_err(), "{filter:?}");
        }
    }
}
