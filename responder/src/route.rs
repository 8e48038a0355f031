/// The routing text of a request: `[group!]service.method[:version][?..]`, borrowed. What is left out is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) group: &'a str,
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) version: &'a str,
}

impl<'a> Route<'a> {
    /// Reads any text, in the starters' order (wire-contract.md 2.3): up to the first `?`; group before the first `!`
    /// (not at the start); version after the last `:`; method after the last `.`.
    pub(crate) fn parse(text: &'a str) -> Self {
        let text = text.split_once('?').map_or(text, |(key, _query)| key);
        let (group, rest) = text.split_once('!').filter(|(group, _)| !group.is_empty()).unwrap_or(("", text));
        let (rest, version) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let (service, method) = rest.rsplit_once('.').unwrap_or((rest, ""));
        Self { group, service, method, version }
    }
}
