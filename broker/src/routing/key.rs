use rsocket::metadata::routing::Tags;

/// What the routing tags of a request ask for, borrowed from its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteKey<'a> {
    pub group: &'a str,
    pub service: &'a str,
    pub method: &'a str,
    pub version: &'a str,
    /// `e=`: an endpoint tag.
    pub endpoint: Option<&'a str>,
    /// `sticky=1`: the instance is chosen by who asks.
    pub is_sticky: bool,
    /// `key=`: the instance is chosen by this.
    pub hash_key: Option<&'a str>,
    /// The first tag without its query: what an error text shows.
    pub text: &'a str,
}

/// Reads `[group!]service[.method][:version][?query]` as the starters do: the query after the first `?`, the group before
/// the first `!`, the version after the last `:`, the method after the last `.` (wire-contract.md 2.3). `None` if there
/// is no service.
pub(crate) fn parse_key(text: &str) -> Option<RouteKey<'_>> {
    let Marks { query, group, version, method } = Marks::find(text.as_bytes());
    let (text, query) = query.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    let (group, start) = group.map_or(("", 0), |at| (&text[..at], at + 1));
    let (end, version) = version.map_or((text.len(), ""), |at| (at, &text[at + 1..]));
    let (service, method) = method.map_or((&text[start..end], ""), |at| (&text[start..at], &text[at + 1..end]));
    let mut key = RouteKey { group, service, method, version, text, ..RouteKey::default() };
    if !query.is_empty() {
        query.split('&').for_each(|part| _ = key.refine(part));
    }
    (!service.is_empty()).then_some(key)
}

/// Where the separators of a key stand.
#[derive(Default)]
struct Marks {
    query: Option<usize>,
    group: Option<usize>,
    version: Option<usize>,
    method: Option<usize>,
}

impl Marks {
    /// One pass: every request is read by this.
    fn find(text: &[u8]) -> Self {
        let mut marks = Self::default();
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'.' if marks.version.is_none() => marks.method = Some(at),
                b':' => marks.version = Some(at),
                b'!' if marks.group.is_none() && at > 0 => {
                    (marks.group, marks.version, marks.method) = (Some(at), None, None)
                }
                b'?' => {
                    marks.query = Some(at);
                    break;
                }
                _ => {}
            }
        }
        if let Some(version) = marks.version {
            // The last `.` before the last `:`.
            let start = marks.group.map_or(0, |at| at + 1);
            marks.method = text[start..version].iter().rposition(|byte| *byte == b'.').map(|at| start + at);
        }
        marks
    }
}

impl<'a> RouteKey<'a> {
    /// Reads the content of a 0x7E entry: the key, and `e=` among the further tags. `labels` gets each `t.<label>=<value>`.
    pub(crate) fn read(content: &'a [u8], mut labels: impl FnMut(&'a str, &'a str)) -> Option<Self> {
        let mut tags = Tags::new(content);
        let mut key = parse_key(tags.next()?)?;
        for tag in tags {
            if let Some((label, value)) = key.refine(tag).and_then(|tag| tag.strip_prefix("t.")?.split_once('=')) {
                labels(label, value);
            }
        }
        Some(key)
    }

    /// Reads a key that stands alone.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        parse_key(text)
    }

    /// Whether any instance will do.
    pub(crate) fn is_plain(&self) -> bool {
        self.endpoint.is_none() && !self.is_sticky && self.hash_key.is_none()
    }

    /// Takes a further tag, or a part of the query; gives it back if it says nothing of the instance.
    fn refine(&mut self, tag: &'a str) -> Option<&'a str> {
        match tag.split_once('=') {
            Some(("e", endpoint)) => self.endpoint = Some(endpoint),
            Some(("key", key)) => self.hash_key = Some(key),
            Some((name, "1")) if name.eq_ignore_ascii_case("sticky") => self.is_sticky = true,
            _ => return Some(tag),
        }
        None
    }

    /// The whole key as a service without method: what stock samples use as a route.
    pub(crate) fn undivided(self) -> Self {
        let start = self.service.as_ptr() as usize - self.text.as_ptr() as usize;
        let len = self.service.len() + if self.method.is_empty() { 0 } else { 1 + self.method.len() };
        Self { service: &self.text[start..start + len], method: "", ..self }
    }
}
