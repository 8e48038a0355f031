//! One metric with a label: a handle for each value the label can have, found by index.

use ::metrics::{Counter, Gauge, Key, KeyName, Level, Metadata, Recorder, SharedString, Unit};
use std::fmt;
use std::marker::PhantomData;

/// The values of one label.
pub trait Label: Copy + fmt::Debug + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, each at the place [`Label::index`] says.
    const ALL: &'static [Self];

    fn as_str(self) -> &'static str;

    fn index(self) -> usize;
}

/// Counters by label.
pub struct Counters<L>(Box<[Counter]>, PhantomData<L>);

impl<L: Label> Counters<L> {
    #[inline]
    pub fn of(&self, label: L) -> &Counter {
        &self.0[label.index()]
    }
}

impl<L> fmt::Debug for Counters<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} counters", self.0.len())
    }
}

/// Gauges by label.
pub struct Gauges<L>(Box<[Gauge]>, PhantomData<L>);

impl<L: Label> Gauges<L> {
    #[inline]
    pub fn of(&self, label: L) -> &Gauge {
        &self.0[label.index()]
    }
}

impl<L> fmt::Debug for Gauges<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gauges", self.0.len())
    }
}

const METADATA: Metadata<'static> = Metadata::new("towline", Level::INFO, None);

/// Registers handles at one recorder; each call names, describes and starts a metric.
pub(super) struct Registry<'a>(pub &'a dyn Recorder);

impl Registry<'_> {
    pub(super) fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.describe_counter(name, help);
        started(self.0.register_counter(&Key::from_static_name(name), &METADATA))
    }

    pub(super) fn counters<L: Label>(&self, name: &'static str, help: &'static str) -> Counters<L> {
        self.describe_counter(name, help);
        let handle = |label: &L| started(self.0.register_counter(&key(name, *label), &METADATA));
        Counters(L::ALL.iter().map(handle).collect(), PhantomData)
    }

    pub(super) fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.describe_gauge(name, help);
        zeroed(self.0.register_gauge(&Key::from_static_name(name), &METADATA))
    }

    pub(super) fn gauges<L: Label>(&self, name: &'static str, help: &'static str) -> Gauges<L> {
        self.describe_gauge(name, help);
        let handle = |label: &L| zeroed(self.0.register_gauge(&key(name, *label), &METADATA));
        Gauges(L::ALL.iter().map(handle).collect(), PhantomData)
    }

    fn describe_counter(&self, name: &'static str, help: &'static str) {
        self.0.describe_counter(KeyName::from_const_str(name), unit(name), SharedString::const_str(help));
    }

    fn describe_gauge(&self, name: &'static str, help: &'static str) {
        self.0.describe_gauge(KeyName::from_const_str(name), unit(name), SharedString::const_str(help));
    }
}

/// A counter is there with 0 before its first event, so that `rate` sees the first event.
fn started(counter: Counter) -> Counter {
    counter.increment(0);
    counter
}

fn zeroed(gauge: Gauge) -> Gauge {
    gauge.set(0.0);
    gauge
}

fn key<L: Label>(name: &'static str, label: L) -> Key {
    Key::from_parts(name, vec![::metrics::Label::from_static_parts(L::NAME, label.as_str())])
}

/// Names end in their unit; `_total` says nothing of it.
fn unit(name: &str) -> Option<Unit> {
    let unit = name.strip_suffix("_total").unwrap_or(name);
    if unit.ends_with("_bytes") { Some(Unit::Bytes) } else { None }
}
