//! What every topic and group looks like, for whoever scrapes.

use super::queues::Queues;
use std::fmt::Write;

/// Groups, and topics, that have series of their own; the rest is summed up as `other`.
const SERIES: usize = 1_000;

/// What one series is labelled with: both are names that were checked, and need no escaping.
type Labels = (String, Option<String>);

impl Queues {
    /// Appends the series of topics and groups, in the Prometheus text format.
    pub(crate) fn render(&self, out: &mut String) {
        let topics = self.list("");
        let (mut heads, mut scheduled) = (Vec::new(), Vec::new());
        let [mut depth, mut in_flight, mut waiting, mut members, mut age] = [const { Vec::new() }; 5];
        let now = self.shared.clock.now();
        for topic in &topics {
            let head = topic.head();
            heads.push(((topic.name.to_string(), None), head as f64));
            scheduled.push(((topic.name.to_string(), None), topic.scheduled() as f64));
            for group in topic.groups() {
                let status = topic.group_figures(&group);
                let labels = || (topic.name.to_string(), Some(status.group.clone()));
                depth.push((labels(), status.depth as f64));
                in_flight.push((labels(), status.in_flight as f64));
                waiting.push((labels(), status.waiting as f64));
                members.push((labels(), f64::from(status.members)));
                let oldest = group.oldest_known().filter(|_| status.depth > 0);
                age.push((labels(), oldest.map_or(0.0, |time| now.saturating_sub(time) as f64 / 1000.0)));
            }
        }
        series(out, "towline_topic_head", "The offset the next message of a topic gets.", heads);
        series(out, "towline_topic_scheduled", "Messages of a topic that are not due yet.", scheduled);
        series(out, "towline_group_depth", "Messages a group has not settled.", depth);
        series(out, "towline_group_in_flight", "Messages that members of a group have.", in_flight);
        series(out, "towline_group_waiting", "Messages of a group that wait to be delivered again.", waiting);
        series(out, "towline_group_members", "Members of a group.", members);
        series(out, "towline_group_oldest_age_seconds", "Age of the oldest message a group has not settled.", age);
    }
}

fn series(out: &mut String, name: &str, help: &str, mut values: Vec<(Labels, f64)>) {
    if values.is_empty() {
        return;
    }
    if values.len() > SERIES {
        let other: f64 = values.drain(SERIES - 1..).map(|(_, value)| value).sum();
        values.push((("other".to_owned(), values[0].0.1.as_ref().map(|_| "other".to_owned())), other));
    }
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for ((topic, group), value) in values {
        let group = group.map(|group| format!(",group=\"{group}\"")).unwrap_or_default();
        let _ = writeln!(out, "{name}{{topic=\"{topic}\"{group}}} {value}");
    }
}
