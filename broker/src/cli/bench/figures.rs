//! What a verb of load has found: named figures, as a table for people and as one JSON object for scripts.

use serde_json::{Map, Value, json};

use super::report::Output;
use super::{Failure, show};

/// One number and what it says.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    /// Its name in JSON, ending in its unit.
    key: &'static str,
    text: &'static str,
    value: f64,
}

/// The figures of one run, in the order they were found.
#[derive(Debug)]
pub(super) struct Figures {
    verb: &'static str,
    shape: Value,
    all: Vec<Figure>,
}

impl Figures {
    /// None yet; `shape` is what was run, as a JSON object.
    pub(super) fn new(verb: &'static str, shape: Value) -> Self {
        Self { verb, shape, all: Vec::new() }
    }

    pub(super) fn add(&mut self, key: &'static str, text: &'static str, value: f64) {
        self.all.push(Figure { key, text, value });
    }

    /// On standard output.
    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        show(&match output {
            Output::Table => self.table(),
            Output::Json => format!("{}\n", self.json()),
        })
    }

    pub(super) fn table(&self) -> String {
        let mut text = format!("{} {}\n", self.verb, self.shape);
        for Figure { text: what, value, .. } in &self.all {
            let digits = if value.fract() == 0.0 { 0 } else { 3 };
            text += &format!("{what:<60} {value:>14.digits$}\n");
        }
        text
    }

    /// `{"verb", "cores", "shape", "figures": {name: number}}`
    pub(super) fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.all.iter().map(|figure| (figure.key.to_owned(), json!(figure.value))).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        json!({"verb": self.verb, "cores": cores, "shape": self.shape, "figures": figures})
    }
}
