//! Which endpoint gets a request: two random choices by streams open, or by a hash; weights honoured.

use super::hash::mix;
use super::table::{Endpoint, Endpoints};

/// What a request asks of the endpoint, beside the service.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    /// `id:`, `uuid:`, `ip:` or `<label>:<value>`.
    pub endpoint: Option<&'a str>,
    /// Labels it must have.
    pub labels: &'a [(&'a str, &'a str)],
    /// Requests of one hash go to one instance, as long as it is there.
    pub hash: Option<u64>,
}

impl Asked<'_> {
    fn is_plain(&self) -> bool {
        self.endpoint.is_none() && self.labels.is_empty()
    }

    fn fits(&self, endpoint: &Endpoint) -> bool {
        let has = |label: &str, value: &str| endpoint.app.labels.get(label).is_some_and(|has| has == value);
        self.labels.iter().all(|(label, value)| has(label, value))
            && self.endpoint.is_none_or(|asked| match asked.split_once(':') {
                Some(("id" | "uuid", uuid)) => endpoint.app.uuid == uuid,
                Some(("ip", ip)) => endpoint.app.ip.as_deref() == Some(ip),
                Some((label, value)) => has(label, value),
                None => false,
            })
    }
}

/// Draws tried before the whole list is walked.
const DRAWS: usize = 12;

/// Picks an endpoint, `tried` ones and those that do not fit excepted. Healthy ones go first; an avoided one (over its
/// mark, suspect) is used only if nothing else is left. `random` draws below its argument.
pub(crate) fn pick<'a>(
    endpoints: &'a Endpoints,
    asked: Asked<'_>,
    tried: &[u64],
    random: &mut impl FnMut(u64) -> u64,
) -> Option<&'a Endpoint> {
    let list = &endpoints.list[..];
    if let Some(hash) = asked.hash {
        let free = list.iter().filter(|endpoint| !tried.contains(&endpoint.link.id) && asked.fits(endpoint));
        return free.max_by(|a, b| {
            let good = |endpoint: &Endpoint| !endpoint.link.is_avoided();
            good(a).cmp(&good(b)).then_with(|| rank(hash, a).total_cmp(&rank(hash, b)))
        });
    }
    let is_free =
        |endpoint: &Endpoint| !tried.contains(&endpoint.link.id) && (asked.is_plain() || asked.fits(endpoint));
    if let [only] = list {
        return is_free(only).then_some(only);
    }
    let mut first: Option<&Endpoint> = None;
    for _ in 0..DRAWS {
        let drawn = &list[random(list.len() as u64) as usize];
        let is_chosen =
            drawn.weight == endpoints.max_weight || random(endpoints.max_weight.into()) < u64::from(drawn.weight);
        if !is_chosen || drawn.link.is_avoided() || !is_free(drawn) {
            continue;
        }
        match first {
            Some(first) if first.link.id != drawn.link.id => return Some(lighter(first, drawn)),
            _ => first = Some(drawn),
        }
    }
    if first.is_some() {
        return first;
    }
    let free = || list.iter().filter(|endpoint| is_free(endpoint));
    let good = free().filter(|endpoint| !endpoint.link.is_avoided()).min_by_key(|endpoint| endpoint.link.load());
    good.or_else(|| free().min_by_key(|endpoint| endpoint.link.load()))
}

/// The one with fewer streams for its weight; the first of equals, so that draws by weight stay what they are.
fn lighter<'a>(a: &'a Endpoint, b: &'a Endpoint) -> &'a Endpoint {
    let (load_a, load_b) = (u64::from(a.link.load()), u64::from(b.link.load()));
    if load_b * u64::from(a.weight) < load_a * u64::from(b.weight) { b } else { a }
}

/// Weighted rendezvous: each instance is the highest for its share of all hashes, and when one comes or goes only its own
/// share moves.
fn rank(hash: u64, endpoint: &Endpoint) -> f64 {
    // 53 bits, and neither 0 nor 1.
    let draw = ((mix(hash ^ endpoint.seed) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    f64::from(endpoint.weight) / -draw.ln()
}
