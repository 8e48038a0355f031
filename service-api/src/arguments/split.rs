use crate::contract::Argument;

/// What the top level of the arguments is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Array,
    Map,
    Other,
}

/// Collects the raw bytes of each argument while the top level is walked, and what speaks against this reading of it.
#[derive(Debug)]
pub(super) struct Split<'s, 'a> {
    arguments: &'static [Argument],
    values: &'s mut [Option<&'a [u8]>],
    /// The first thing that is wrong with it as an array or as named arguments.
    pub(super) objection: Option<String>,
}

impl<'s, 'a> Split<'s, 'a> {
    pub(super) fn new(arguments: &'static [Argument], values: &'s mut [Option<&'a [u8]>]) -> Self {
        debug_assert_eq!(arguments.len(), values.len());
        Self { arguments, values, objection: None }
    }

    /// Takes element `index` of an array.
    pub(super) fn element(&mut self, index: usize, raw: &'a [u8], is_null: bool) {
        match self.values.get_mut(index) {
            Some(value) => *value = Some(raw),
            None if is_null => {}
            None => self.object(format!("element {index} is too many: {} arguments at most", self.arguments.len())),
        }
    }

    /// Takes one entry of a map; `None` stands for a key that is no text.
    pub(super) fn entry(&mut self, key: Option<&str>, raw: &'a [u8]) {
        let Some(key) = key else { return self.object("a key is not a text".to_owned()) };
        let Some(index) = self.arguments.iter().position(|it| it.name == key || it.rust_name == key) else {
            return self.object(format!("there is no argument `{}`", shorten(key)));
        };
        if self.values[index].replace(raw).is_some() {
            self.object(format!("argument `{}` is given twice", self.arguments[index].name));
        }
    }

    /// Whether a map that was walked holds named arguments: only ours, and every required one.
    pub(super) fn is_named(&mut self) -> bool {
        let missing = self.arguments.iter().zip(&*self.values).find(|(it, value)| it.required && value.is_none());
        if let Some((argument, _)) = missing {
            self.object(format!("argument `{argument}`: it is missing"));
        }
        self.objection.is_none()
    }

    fn object(&mut self, why: String) {
        self.objection.get_or_insert(why);
    }
}

/// A key as it may stand in an error: a peer chose its length.
fn shorten(key: &str) -> String {
    key.chars().take(64).collect()
}
