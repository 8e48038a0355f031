//! The handles of everything the relay counts.

use super::families::{Counters, Gauges, Registry};
use super::labels::{CloseReason, EventOutcome, Interaction, LinkKind, PushOutcome, RequestRefusal, SetupRefusal};
use super::process::Process;
use super::queue::QueueMeters;
use ::metrics::{Counter, Gauge};
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Every metric of the relay; a field's metric is named in [`Meters::new`].
#[derive(Debug)]
pub struct Meters {
    pub links_open: Gauges<LinkKind>,
    pub links_accepted: Counter,
    pub links_closed: Counters<CloseReason>,
    /// Times a link was first found suspect.
    pub links_suspected: Counter,
    pub setups_refused: Counters<SetupRefusal>,

    pub requests: Counters<Interaction>,
    pub requests_refused: Counters<RequestRefusal>,
    pub fire_and_forget_dropped: Counter,
    pub cancels: Counter,
    pub events: Counters<EventOutcome>,
    pub pushes: Counters<PushOutcome>,
    pub streams_open: Gauge,

    pub frames_in: Counter,
    pub frames_out: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    /// Frames of streams that are gone.
    pub frames_late: Counter,
    /// Fragments without metadata and data, the first of an item excepted: not relayed.
    pub empty_fragments: Counter,
    pub overrun_items: Counter,

    pub outbox_bytes: Gauge,
    pub parked_bytes: Gauge,
    pub budget_used: Gauge,
    pub budget_limit: Gauge,
    /// Streams of reading links ended to free memory; links closed for it are in `links_closed`.
    pub budget_streams_ended: Counter,

    pub services_registered: Gauge,
    pub instances: Gauge,

    /// Those of durable topics.
    pub queue: Arc<QueueMeters>,

    observers: Observers,
    sections: Sections,
    handle: PrometheusHandle,
    started: Instant,
}

impl Meters {
    /// Registers every metric at a recorder of [`super::recorder`].
    pub fn new(recorder: &PrometheusRecorder) -> Self {
        let at = Registry(recorder);
        Self {
            links_open: at.gauges("towline_links_open", "Links open now, by kind of peer."),
            links_accepted: at.counter("towline_links_accepted_total", "Connections whose SETUP was accepted."),
            links_closed: at.counters("towline_links_closed_total", "Links closed, by reason."),
            links_suspected: at.counter("towline_links_suspected_total", "Times a link left a probe unanswered."),
            setups_refused: at
                .counters("towline_setups_refused_total", "Connections that did not become links, by reason."),

            requests: at.counters("towline_requests_total", "Requests read from links, by interaction."),
            requests_refused: at.counters("towline_requests_refused_total", "Requests not passed on, by reason."),
            fire_and_forget_dropped: at
                .counter("towline_fire_and_forget_dropped_total", "Fire-and-forget requests dropped for want of room."),
            cancels: at.counter("towline_cancels_total", "CANCEL frames read from requesters."),
            events: at.counters("towline_events_total", "Events that apps sent by METADATA_PUSH, by outcome."),
            pushes: at.counters("towline_pushes_total", "Events that apps had sent to other apps, by outcome."),
            streams_open: at.gauge("towline_streams_open", "Relayed streams open now."),

            frames_in: at.counter("towline_received_frames_total", "Frames read from links."),
            frames_out: at.counter("towline_sent_frames_total", "Frames written to links."),
            bytes_in: at.counter("towline_received_bytes_total", "Bytes read from links."),
            bytes_out: at.counter("towline_sent_bytes_total", "Bytes written to links."),
            frames_late: at.counter("towline_late_frames_total", "Frames dropped because their stream had ended."),
            empty_fragments: at
                .counter("towline_empty_fragments_total", "Fragments dropped because they carried nothing."),
            overrun_items: at.counter("towline_overrun_items_total", "Items sent beyond the credit passed on."),

            outbox_bytes: at.gauge("towline_outbox_bytes", "Bytes queued to be written, all links together."),
            parked_bytes: at.gauge("towline_parked_bytes", "Bytes held until their requester asks for them."),
            budget_used: at.gauge("towline_budget_used_bytes", "Bytes charged to the byte budget."),
            budget_limit: at.gauge("towline_budget_limit_bytes", "The byte budget."),
            budget_streams_ended: at
                .counter("towline_budget_streams_ended_total", "Streams ended because the broker was over its budget."),

            services_registered: at.gauge("towline_services_registered", "Services with at least one instance."),
            instances: at.gauge("towline_instances", "Instances of applications with at least one link."),

            queue: Arc::new(QueueMeters::new(recorder)),

            observers: Observers::default(),
            sections: Sections::default(),
            handle: recorder.handle(),
            started: Instant::now(),
        }
    }

    /// Calls `observe` before each scrape: for gauges that are cheaper to read then than to keep on the way. It should
    /// hold what it reads weakly, since the meters outlive a broker.
    pub fn before_scrape(&self, observe: impl Fn(&Self) + Send + Sync + 'static) {
        self.observers.0.lock().push(Box::new(observe));
    }

    /// Appends to each scrape what is rendered elsewhere: series whose labels are not known before.
    pub fn render_too(&self, render: impl Fn(&mut String) + Send + Sync + 'static) {
        self.sections.0.lock().push(Box::new(render));
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        for observe in self.observers.0.lock().iter() {
            observe(self);
        }
        let mut text = self.handle.render();
        self.queue.confirm_seconds.render(&mut text);
        for render in self.sections.0.lock().iter() {
            render(&mut text);
        }
        Process::read(self.started.elapsed()).render(&mut text);
        text
    }
}

type Observe = Box<dyn Fn(&Meters) + Send + Sync>;

#[derive(Default)]
struct Observers(Mutex<Vec<Observe>>);

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.lock().len())
    }
}

type Render = Box<dyn Fn(&mut String) + Send + Sync>;

#[derive(Default)]
struct Sections(Mutex<Vec<Render>>);

impl fmt::Debug for Sections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sections", self.0.lock().len())
    }
}
