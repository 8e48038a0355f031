//! The first frame of a stream: read its route, pick an endpoint, open the stream there.

use super::Relay;
use super::gathering::Held;
use super::route::Route;
use crate::link::{Begin, Link, Opened, Opening, Packet, Refusal, Serial, Step, Touched};
use crate::metrics::{CloseReason, Interaction, Meters, RequestRefusal};
use crate::routing::{Asked, Endpoints, RouteKey, Table, pick};
use rsocket::{ErrorCode, FrameType, StreamId};
use std::sync::Arc;

/// Endpoints tried before a request is given back.
const TRIES: usize = 3;

/// Why a request goes nowhere.
#[derive(Debug)]
struct Failure {
    reason: RequestRefusal,
    code: ErrorCode,
    text: String,
}

impl Failure {
    fn invalid(text: impl Into<String>) -> Self {
        Self { reason: RequestRefusal::Invalid, code: ErrorCode::INVALID, text: text.into() }
    }
}

fn interaction(kind: FrameType) -> Interaction {
    match kind {
        FrameType::RequestFnf => Interaction::FireAndForget,
        FrameType::RequestStream => Interaction::Stream,
        FrameType::RequestChannel => Interaction::Channel,
        _ => Interaction::Response,
    }
}

/// Opens the streams of one requester link.
pub(super) struct Dispatch {
    relay: Arc<Relay>,
    link: Arc<Link>,
    is_composite: bool,
    rng: fastrand::Rng,
    /// Requests of this read, by interaction, not yet counted.
    requests: [u64; 4],
}

impl Dispatch {
    pub(super) fn new(relay: Arc<Relay>, link: Arc<Link>, is_composite: bool) -> Self {
        Self { relay, link, is_composite, rng: fastrand::Rng::new(), requests: [0; 4] }
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.relay.meters
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The app sent so many items it had no credit for. Call it under no link's lock: it may close this link.
    pub(super) fn overrun(&self, items: u64) {
        if items == 0 {
            return;
        }
        self.meters().overrun_items.increment(items);
        if self.relay.limits.strict_credit {
            let text = "this connection sent more items than it had credit for";
            self.relay.dismiss(&self.link, CloseReason::Credit, ErrorCode::CONNECTION_ERROR, text);
        }
    }

    /// The app tells something of itself.
    pub(super) fn event(&self, metadata: &[u8]) {
        super::events::receive(&self.relay, &self.link, metadata);
    }

    /// The app is about to close: no more calls to it.
    pub(super) fn hide(&self) {
        self.relay.registry.hide(&self.link);
        self.link.set_draining(true);
    }

    /// A request whose metadata is here. `metadata` is given if it does not stand in the packet alone.
    pub(super) fn open(
        &mut self,
        stream: StreamId,
        step: Step,
        mut packet: Packet<'_>,
        metadata: Option<&[u8]>,
        touched: &mut Touched,
    ) -> bool {
        self.requests[interaction(step.kind) as usize] += 1;
        if stream.is_multiple_of(2) {
            return self.fail(stream, step, Failure::invalid("a client opens streams with odd ids"), touched);
        }
        let relay = self.relay.clone();
        let table = relay.registry.routes().load();
        let (endpoints, is_plain) = match self.endpoints(&table, metadata.or_else(|| packet.view().metadata())) {
            Ok(found) => found,
            Err(failure) => return self.fail(stream, step, failure, touched),
        };
        if step.is_windowed() && step.n == 0 {
            return self.fail(stream, step, Failure::invalid("the initial n of a stream is at least 1"), touched);
        }
        self.enter(stream, step, endpoints, is_plain, &mut packet, metadata, touched)
    }

    /// The link a request goes to, if nothing about it needs more than one look; else `open` says what is wrong.
    pub(super) fn plan(&mut self, stream: StreamId, step: Step, metadata: Option<&[u8]>) -> Option<Arc<Link>> {
        if stream.is_multiple_of(2) || step.is_windowed() && step.n == 0 {
            return None;
        }
        let relay = &self.relay;
        let table = relay.registry.routes().load();
        let (endpoints, true) = self.endpoints(&table, metadata).ok()? else { return None };
        let rng = &mut self.rng;
        let picked = pick(endpoints, Asked::default(), &[], &mut |below| rng.u64(..below))?;
        self.requests[interaction(step.kind) as usize] += 1;
        picked.link.anticipate();
        Some(picked.link.clone())
    }

    /// A planned request was not taken: other endpoints are tried, if it was an endpoint that refused.
    pub(super) fn refused(
        &mut self,
        stream: StreamId,
        opening: Opening,
        mut packet: Packet<'_>,
        by: u64,
        why: Refusal,
        touched: &mut Touched,
    ) {
        if by == self.link.id && opening.serial == Serial::NONE {
            let failure = rejected(why, "this connection", self.link.retry_after());
            self.fail(stream, opening.step, failure, touched);
            return;
        }
        let relay = self.relay.clone();
        let busy = relay.link(by).map_or(0, |link| link.retry_after());
        let table = relay.registry.routes().load();
        match self.endpoints(&table, packet.view().metadata()) {
            Ok((endpoints, is_plain)) => {
                self.place(
                    stream,
                    opening,
                    endpoints,
                    is_plain,
                    &mut packet,
                    None,
                    vec![by],
                    Some((why, busy)),
                    touched,
                );
            }
            Err(failure) => {
                let is_open = self.link.with(touched, |state| state.abort(stream, opening.serial));
                if is_open || opening.step.is_single() {
                    self.fail(stream, opening.step, failure, touched);
                }
            }
        }
    }

    /// The requester's side ended while its request was being opened.
    pub(super) fn take_back(&self, to: &Arc<Link>, serial: Serial, opened: Opened, touched: &mut Touched) {
        to.with(touched, |state| {
            state.finish(opened.stream, serial, ErrorCode::CANCELED, "the request was taken back")
        });
    }

    /// A request that was held until its metadata was complete; its first frame is taken out of `held`.
    pub(super) fn open_held(&mut self, stream: StreamId, step: Step, held: &mut Held, touched: &mut Touched) -> bool {
        let waited = held.since.elapsed().as_millis() as u32;
        if let Some((left, at)) = Route::read(&held.metadata).deadline {
            let left = left.saturating_sub(waited);
            held.set_deadline(at, left);
            held.metadata[at..at + 4].copy_from_slice(&left.to_be_bytes());
        }
        let first = held.frames.remove(0);
        self.open(stream, step, Packet::Large(first), Some(&held.metadata), touched)
    }

    /// Counts the requests of one read.
    pub(super) fn count(&mut self) {
        for kind in [Interaction::FireAndForget, Interaction::Response, Interaction::Stream, Interaction::Channel] {
            let count = std::mem::take(&mut self.requests[kind as usize]);
            if count > 0 {
                self.meters().requests.of(kind).increment(count);
            }
        }
    }

    /// Refuses a request; a fire-and-forget is dropped without a word.
    pub(super) fn refuse(&self, stream: StreamId, code: ErrorCode, text: &str, touched: &mut Touched) {
        let refusals = self.link.with(touched, |state| {
            state.refuse(stream, code, text);
            state.outbox.refusals()
        });
        if refusals > self.relay.limits.refusals {
            self.relay.dismiss(
                &self.link,
                CloseReason::Refusals,
                ErrorCode::CONNECTION_ERROR,
                "more refusals wait than streams are allowed",
            );
        }
    }

    fn fail(&self, stream: StreamId, step: Step, failure: Failure, touched: &mut Touched) -> bool {
        self.meters().requests_refused.of(failure.reason).increment(1);
        if step.kind == FrameType::RequestFnf {
            self.meters().fire_and_forget_dropped.increment(1);
        } else {
            self.refuse(stream, failure.code, &failure.text, touched);
        }
        false
    }

    /// Who serves what the metadata asks for, and whether it asks for nothing more.
    fn endpoints<'t>(&self, table: &'t Table, metadata: Option<&[u8]>) -> Result<(&'t Endpoints, bool), Failure> {
        let no_route = |hint: &str| Failure::invalid(format!("RST-600404: No Routing metadata; {hint}"));
        if !self.is_composite {
            return Err(no_route("set the metadata MIME type of SETUP to message/x.rsocket.composite-metadata.v0"));
        }
        let route = Route::read(metadata.unwrap_or_default());
        let key = route.key.ok_or_else(|| no_route("send a 0x7E entry with one tag: service.method"))?;
        if let Some((0, _)) = route.deadline {
            let text = "deadline exceeded".into();
            return Err(Failure { reason: RequestRefusal::Deadline, code: ErrorCode::CANCELED, text });
        }
        let endpoints =
            table.find(&key).or_else(|| table.find(&key.undivided())).ok_or_else(|| not_found(table, &key))?;
        Ok((endpoints, key.endpoint.is_none() && route.labels.is_empty()))
    }

    /// Opens the stream on both links: the requester's first, so that it can be answered at any moment.
    #[allow(clippy::too_many_arguments, reason = "all of one request")]
    fn enter(
        &mut self,
        stream: StreamId,
        step: Step,
        endpoints: &Endpoints,
        is_plain: bool,
        packet: &mut Packet<'_>,
        metadata: Option<&[u8]>,
        touched: &mut Touched,
    ) -> bool {
        let (serial, share, size) = match self.link.with(touched, |state| state.begin(stream, step)) {
            Begin::Started { serial, share, size } => (serial, share, size),
            Begin::Ignored => return false,
            Begin::Refused(refusal) => {
                return self.fail(stream, step, rejected(refusal, "this connection", self.link.retry_after()), touched);
            }
        };
        let opening = Opening { step, serial, share, size };
        self.place(stream, opening, endpoints, is_plain, packet, metadata, Vec::new(), None, touched)
    }

    /// Tries endpoints until one takes the request.
    #[allow(clippy::too_many_arguments, reason = "all of one request")]
    fn place(
        &mut self,
        stream: StreamId,
        opening: Opening,
        endpoints: &Endpoints,
        is_plain: bool,
        packet: &mut Packet<'_>,
        metadata: Option<&[u8]>,
        mut tried: Vec<u64>,
        mut refusal: Option<(Refusal, u64)>,
        touched: &mut Touched,
    ) -> bool {
        let Opening { step, serial, .. } = opening;
        while tried.len() < TRIES {
            let Some(link) = self.pick(endpoints, is_plain, packet, metadata, &tried) else { break };
            match link.with(touched, |state| state.open((self.link.clone(), stream), opening, packet)) {
                Ok(opened) => {
                    if !step.is_single() {
                        match self.link.with(touched, |state| state.fill(stream, serial, link.clone(), opened)) {
                            Ok(effect) => effect.into_iter().for_each(|effect| touched.apply(effect)),
                            Err(()) => {
                                self.take_back(link, serial, opened, touched);
                                return false;
                            }
                        }
                    }
                    return true;
                }
                Err(why) => {
                    tried.push(link.id);
                    refusal = Some((why, link.retry_after()));
                }
            }
        }
        let is_open = self.link.with(touched, |state| state.abort(stream, serial));
        if !is_open && !step.is_single() {
            return false;
        }
        let key =
            Route::read(metadata.or_else(|| packet.view().metadata()).unwrap_or_default()).key.unwrap_or_default();
        let failure = match refusal {
            Some((refusal, busy)) => rejected(refusal, key.text, busy),
            None => Failure {
                reason: RequestRefusal::NoRoute,
                code: ErrorCode::INVALID,
                text: format!(
                    "RST-900405: Service not found with endpoint {} {}; {} instances have other endpoints or labels",
                    key.text,
                    key.endpoint.unwrap_or("and these labels"),
                    endpoints.list.len()
                ),
            },
        };
        self.fail(stream, step, failure, touched)
    }

    fn pick<'e>(
        &mut self,
        endpoints: &'e Endpoints,
        is_plain: bool,
        packet: &Packet<'_>,
        metadata: Option<&[u8]>,
        tried: &[u64],
    ) -> Option<&'e Arc<Link>> {
        let mut random = |below| self.rng.u64(..below);
        if is_plain {
            return pick(endpoints, Asked::default(), tried, &mut random).map(|endpoint| &endpoint.link);
        }
        let route = Route::read(metadata.or_else(|| packet.view().metadata()).unwrap_or_default());
        let asked = Asked { endpoint: route.key.and_then(|key| key.endpoint), labels: &route.labels };
        pick(endpoints, asked, tried, &mut random).map(|endpoint| &endpoint.link)
    }
}

fn not_found(table: &Table, key: &RouteKey<'_>) -> Failure {
    let mut present: Vec<_> = table.variants(key.service).map(|(key, count)| format!("{key} has {count}")).collect();
    present.sort();
    present.truncate(5);
    let service = if key.method.is_empty() { key.text.to_owned() } else { format_key(key) };
    let hint = if present.is_empty() {
        format!("no app registered {}", key.service)
    } else {
        format!("no instance of this group and version; {}", present.join(", "))
    };
    Failure {
        reason: RequestRefusal::NoRoute,
        code: ErrorCode::INVALID,
        text: format!("RST-900404: Service not found {service}; {hint}"),
    }
}

fn format_key(key: &RouteKey<'_>) -> String {
    let group = if key.group.is_empty() { String::new() } else { format!("{}!", key.group) };
    let version = if key.version.is_empty() { String::new() } else { format!(":{}", key.version) };
    format!("{group}{}{version}", key.service)
}

fn rejected(refusal: Refusal, whom: &str, busy: u64) -> Failure {
    let (why, retry) = match refusal {
        Refusal::Closed => ("is gone", 50),
        Refusal::Draining => ("is shutting down", 50),
        Refusal::Busy => ("does not take what already waits for it", busy),
        Refusal::Streams => ("has as many streams open as it may have", 100),
    };
    Failure {
        reason: RequestRefusal::Rejected,
        code: ErrorCode::REJECTED,
        text: format!("{whom} {why} retry-after-ms={retry}"),
    }
}
