//! The first frame of a stream: read its route, pick an endpoint, open the stream there.

use super::caller;
use super::failure::Failure;
use super::gathering::Held;
use super::known::{self, Ahead, Foreseen};
use super::reframe::Framing;
use super::route::Route;
use crate::link::{Begin, Form, Link, Opened, Opening, Packet, Refusal, Serial, Step, Ticket, Touched};
use crate::metrics::{CloseReason, Interaction, LinkKind, Meters};
use crate::relay::Relay;
use crate::routing::{App, Asked, Endpoint, Endpoints, Place, RouteKey, Table, hash, pick};
use bytes::BytesMut;
use rsocket::frame::FrameRef;
use rsocket::{ErrorCode, FrameType, StreamId};
use std::borrow::Cow;
use std::sync::Arc;

/// Endpoints tried before a request is given back.
const TRIES: usize = 3;

fn interaction(kind: FrameType) -> Interaction {
    match kind {
        FrameType::RequestFnf => Interaction::FireAndForget,
        FrameType::RequestStream => Interaction::Stream,
        FrameType::RequestChannel => Interaction::Channel,
        _ => Interaction::Response,
    }
}

/// Opens the streams of one requester link.
pub(crate) struct Dispatch {
    relay: Arc<Relay>,
    link: Arc<Link>,
    /// The hash of the app's uuid.
    sticky: u64,
    rng: fastrand::Rng,
    /// What is added to requests of this app that do not name the type of their data.
    appended: Framing,
    /// The same for the broker's own services, which are told who calls.
    called: Framing,
    /// Requests of this read, by interaction, not yet counted.
    requests: [u64; 4],
}

/// A request that is relayed without a further look.
pub(crate) struct Plan {
    pub to: Arc<Link>,
    pub growth: Option<Growth>,
    /// It may go over the desk of that link.
    pub is_direct: bool,
}

/// What is added to the metadata of a planned request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Who calls, in front of it.
    has_caller: bool,
    /// The type of its data, where it does not say.
    at: Option<usize>,
}

/// A request whose metadata is all here.
struct Request<'r, 'p> {
    stream: StreamId,
    packet: &'r mut Packet<'p>,
    /// The metadata, if it does not stand in the packet alone.
    gathered: Option<&'r [u8]>,
}

impl Request<'_, '_> {
    fn route(&self, form: Form) -> Route<'_> {
        Route::read(self.metadata().unwrap_or_default(), form)
    }

    /// Bytes of metadata in the packet itself.
    fn own(&self) -> usize {
        self.packet.view().metadata().map_or(0, <[u8]>::len)
    }

    fn metadata(&self) -> Option<&[u8]> {
        self.gathered.or_else(|| self.packet.view().metadata())
    }
}

/// Who serves what a request asks for.
struct Found<'t> {
    endpoints: Cow<'t, Endpoints>,
    /// Any of them will do.
    is_plain: bool,
    /// The request names the type of its data.
    has_mime: bool,
    /// Where in its metadata entries can be added so that they are read.
    well_formed: usize,
}

impl Dispatch {
    pub(crate) fn new(relay: Arc<Relay>, link: Arc<Link>, app: &App) -> Self {
        let caller = caller::entry(&link, app);
        let after = || link.dialect.data_entry.to_vec();
        let appended = Framing { before: Vec::new(), after: after() };
        let called = Framing { before: caller.to_vec(), after: after() };
        let (sticky, rng, requests) = (hash(&app.uuid), fastrand::Rng::new(), [0; 4]);
        Self { relay, link, sticky, rng, appended, called, requests }
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.relay.meters
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The app sent so many items it had no credit for. Call it under no link's lock: it may close this link.
    pub(crate) fn overrun(&self, items: u64) {
        if items == 0 {
            return;
        }
        self.meters().overrun_items.increment(items);
        if self.relay.limits.strict_credit {
            let text = "this connection sent more items than it had credit for";
            self.relay.dismiss(&self.link, CloseReason::Credit, ErrorCode::CONNECTION_ERROR, text);
        }
    }

    /// A request whose metadata is here. Returns the link it went to, unless that was all of it.
    pub(crate) fn open(
        &mut self,
        stream: StreamId,
        step: Step,
        packet: &mut Packet<'_>,
        touched: &mut Touched,
    ) -> Option<Arc<Link>> {
        self.enter(step, Request { stream, packet, gathered: None }, touched)
    }

    /// A request that was held until its metadata was complete; its first frame is taken out of `held`.
    pub(crate) fn open_held(&mut self, stream: StreamId, step: Step, held: &mut Held, touched: &mut Touched) -> bool {
        let form = self.link.dialect.form;
        let waited = held.since.elapsed().as_millis() as u32;
        if let Some((left, at)) = Route::read(&held.metadata, form).deadline {
            let left = left.saturating_sub(waited);
            held.set_deadline(at, left);
            held.metadata[at..at + 4].copy_from_slice(&left.to_be_bytes());
        }
        let mut first = Packet::Large(held.frames.remove(0));
        let request = Request { stream, packet: &mut first, gathered: Some(&held.metadata) };
        let own = request.own();
        let Some(to) = self.enter(step, request, touched) else { return false };
        let Route { has_mime, well_formed, .. } = Route::read(&held.metadata, form);
        if well_formed > own
            && let Ok(Some(framing)) = self.framing(&to, has_mime, held.metadata.len())
            && let Some((nth, at)) = held.locate(well_formed - own)
        {
            let packet = Packet::Large(std::mem::take(&mut held.frames[nth]));
            held.frames[nth] = framing.apply(packet.view(), false, Some(at));
        }
        true
    }

    /// Looks up what these frames ask for, if it is better looked up together.
    pub(crate) fn foresee<'f>(&self, frames: impl Iterator<Item = &'f [u8]>) -> Ahead {
        let form = self.link.dialect.form;
        let requests = frames.filter_map(|frame| FrameRef::parse(frame).ok()).filter(|frame| frame.kind().is_request());
        let routes =
            requests.filter_map(|request| request.metadata()).map(|metadata| (metadata, Route::read(metadata, form)));
        known::foresee(routes.filter(|(_, route)| !route.is_special()))
    }

    /// Where a request goes, if nothing about it needs more than one look; else `open` says what is wrong.
    pub(crate) fn plan(
        &mut self,
        table: &Table,
        ahead: &mut Ahead,
        stream: StreamId,
        step: Step,
        metadata: Option<&[u8]>,
    ) -> Option<Plan> {
        if stream.is_multiple_of(2) || step.is_windowed() && step.n == 0 {
            return None;
        }
        let (form, metadata) = (self.link.dialect.form, metadata?);
        if metadata.len() > self.relay.limits.gathering.0 {
            return None;
        }
        let foreseen = ahead
            .find(metadata, form)
            .and_then(|found| Some((table.at(found.place?)?, found.has_mime, found.well_formed, found.is_direct)));
        let (endpoints, has_mime, well_formed, is_direct) = match foreseen {
            Some(found) => found,
            None => {
                let route = Route::read(metadata, form);
                if route.is_special() {
                    return None;
                }
                let place = Self::place_of(table, &route)?;
                let (endpoints, Route { has_mime, well_formed, .. }) = (table.at(place)?, route);
                let is_direct = Some(self.is_for_desk(endpoints, metadata));
                ahead.found(metadata, form, Foreseen { place: Some(place), has_mime, well_formed, is_direct });
                (endpoints, has_mime, well_formed, is_direct)
            }
        };
        let is_direct = step.kind == FrameType::RequestResponse
            && !step.follows()
            && is_direct.unwrap_or_else(|| self.is_for_desk(endpoints, metadata));
        let rng = &mut self.rng;
        let picked = pick(endpoints, Asked::default(), &[], &mut |below| rng.u64(..below))?;
        if picked.link.dialect.form != form {
            return None;
        }
        self.requests[interaction(step.kind) as usize] += 1;
        if endpoints.list.len() > 1 {
            picked.link.anticipate();
        }
        let lacks_mime = form == Form::Composite && !has_mime && !self.link.dialect.data_entry.is_empty();
        let growth = Growth { has_caller: self.tells(&picked.link), at: lacks_mime.then_some(well_formed) };
        let is_grown = growth.has_caller || growth.at.is_some();
        Some(Plan { to: picked.link.clone(), growth: is_grown.then_some(growth), is_direct })
    }

    /// Whether who serves this has a desk for it.
    fn is_for_desk(&self, endpoints: &Endpoints, metadata: &[u8]) -> bool {
        let first = endpoints.list.first().filter(|_| self.link.dialect.form == Form::Composite);
        first.and_then(|first| first.link.desk()).is_some_and(|desk| desk.knows(metadata))
    }

    /// Where the table has who serves a route, if any instance of theirs will do; the route is remembered.
    fn place_of(table: &Table, route: &Route<'_>) -> Option<Place> {
        let known = known::recall(route.bytes()).filter(|place| table.at(*place).is_some());
        known.or_else(|| {
            let key = route.plain_key()?;
            let place = table.locate(&key).or_else(|| table.locate(&key.undivided()))?;
            known::remember(route.bytes(), place, table);
            Some(place)
        })
    }

    /// Whether this link is told who calls.
    fn tells(&self, to: &Link) -> bool {
        to.kind == LinkKind::Memory && self.link.kind == LinkKind::App
    }

    /// Writes a request with what its plan adds, in place of what `wire` holds.
    pub(crate) fn grow(&self, frame: FrameRef<'_>, growth: Growth, wire: &mut BytesMut) {
        let framing = if growth.has_caller { &self.called } else { &self.appended };
        framing.write(frame, true, growth.at, wire);
    }

    /// A planned request was not taken: other endpoints are tried, if it was an endpoint that refused.
    pub(crate) fn refused(
        &mut self,
        stream: StreamId,
        opening: Opening,
        packet: &mut Packet<'_>,
        by: u64,
        why: Refusal,
        touched: &mut Touched,
    ) {
        if by == self.link.id && opening.serial == Serial::NONE {
            let failure = Failure::rejected(why, "this connection", self.link.retry_after());
            return self.fail(stream, opening.step, failure, touched);
        }
        let relay = self.relay.clone();
        let busy = relay.link(by).map_or(0, |link| link.retry_after());
        let table = relay.registry.routes().load();
        let request = Request { stream, packet, gathered: None };
        match self.find(&table, request.metadata()) {
            Ok(found) => drop(self.place(request, opening, &found, vec![by], Some((why, busy)), touched)),
            Err(failure) => self.give_up(stream, opening, failure, touched),
        }
    }

    /// The requester's side ended while its request was being opened.
    pub(crate) fn take_back(&self, to: &Arc<Link>, serial: Serial, opened: Opened, touched: &mut Touched) {
        to.with(touched, |state| {
            state.finish(opened.stream, serial, ErrorCode::CANCELED, "the request was taken back")
        });
    }

    /// Counts the requests of one read.
    pub(crate) fn count(&mut self) {
        for kind in [Interaction::FireAndForget, Interaction::Response, Interaction::Stream, Interaction::Channel] {
            let count = std::mem::take(&mut self.requests[kind as usize]);
            if count > 0 {
                self.meters().requests.of(kind).increment(count);
            }
        }
    }

    /// Refuses a request; a fire-and-forget is dropped without a word.
    pub(crate) fn refuse(&self, stream: StreamId, code: ErrorCode, text: &str, touched: &mut Touched) {
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

    fn fail(&self, stream: StreamId, step: Step, failure: Failure, touched: &mut Touched) {
        self.meters().requests_refused.of(failure.reason).increment(1);
        if step.kind == FrameType::RequestFnf {
            self.meters().fire_and_forget_dropped.increment(1);
        } else {
            self.refuse(stream, failure.code, &failure.text, touched);
        }
    }

    /// Nobody takes a request that has begun here.
    fn give_up(&self, stream: StreamId, opening: Opening, failure: Failure, touched: &mut Touched) {
        let is_open = self.link.with(touched, |state| state.abort(stream, opening.serial));
        if is_open || opening.step.is_single() {
            self.fail(stream, opening.step, failure, touched);
        }
    }

    /// Who serves what the metadata asks for.
    fn find<'t>(&self, table: &'t Table, metadata: Option<&[u8]>) -> Result<Found<'t>, Failure> {
        let form = self.link.dialect.form;
        let metadata = metadata.unwrap_or_default();
        if form == Form::Other {
            return Err(Failure::no_routing(&self.link.dialect, metadata));
        }
        if metadata.len() > self.relay.limits.gathering.0 {
            let (len, most) = (metadata.len(), self.relay.limits.gathering.0);
            return Err(Failure::invalid(format!("the metadata has {len} bytes: {most} are allowed")));
        }
        let route = Route::read(metadata, form);
        let key = route.key().ok_or_else(|| Failure::no_routing(&self.link.dialect, metadata))?;
        if route.has_caller && self.link.kind == LinkKind::App {
            return Err(Failure::invalid("message/x.towline.caller.v0 is the broker's to write"));
        }
        if let Some((0, _)) = route.deadline {
            return Err(Failure::past_deadline());
        }
        let endpoints = match self.named(&key) {
            Some(Some(named)) => Cow::Owned(Endpoints::new(vec![named])),
            Some(None) => return Err(Failure::no_endpoint(&key, 0)),
            None => {
                let found = table.find(&key).or_else(|| table.find(&key.undivided()));
                Cow::Borrowed(&**found.ok_or_else(|| Failure::not_found(table, &key))?)
            }
        };
        let is_plain = key.is_plain() && route.labels().is_empty();
        Ok(Found { endpoints, is_plain, has_mime: route.has_mime, well_formed: route.well_formed })
    }

    /// The app that one of the broker's own services asks for by `e=uuid:`: it gets the request, whatever it registered.
    /// `None` if no such app was asked for.
    fn named(&self, key: &RouteKey<'_>) -> Option<Option<Endpoint>> {
        let uuid = key.endpoint.filter(|_| self.link.kind == LinkKind::Memory)?.strip_prefix("uuid:")?;
        let instance = self.relay.registry.instance(uuid);
        Some(instance.map(|present| Endpoint::new(present.link, present.app)))
    }

    /// Opens the stream on both links: the requester's first, so that it can be answered at any moment.
    fn enter(&mut self, step: Step, request: Request<'_, '_>, touched: &mut Touched) -> Option<Arc<Link>> {
        self.requests[interaction(step.kind) as usize] += 1;
        let stream = request.stream;
        let relay = self.relay.clone();
        let table = relay.registry.routes().load();
        let found = if stream.is_multiple_of(2) {
            Err(Failure::invalid("a client opens streams with odd ids"))
        } else {
            self.find(&table, request.metadata()).and_then(|found| match step.is_windowed() && step.n == 0 {
                true => Err(Failure::invalid("the initial n of a stream is at least 1")),
                false => Ok(found),
            })
        };
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                self.fail(stream, step, failure, touched);
                return None;
            }
        };
        match self.link.with(touched, |state| state.begin(stream, step)) {
            Begin::Started { serial, .. } if self.ask(step, serial, &request, &found, touched) => None,
            Begin::Started { serial, share, size } => {
                self.place(request, Opening { step, serial, share, size }, &found, Vec::new(), None, touched)
            }
            Begin::Ignored => None,
            Begin::Refused(refusal) => {
                let failure = Failure::rejected(refusal, "this connection", self.link.retry_after());
                self.fail(stream, step, failure, touched);
                None
            }
        }
    }

    /// Hands a request over the desk of who serves it, if it can be.
    fn ask(
        &self,
        step: Step,
        serial: Serial,
        request: &Request<'_, '_>,
        found: &Found<'_>,
        touched: &mut Touched,
    ) -> bool {
        let is_whole = step.kind == FrameType::RequestResponse && !step.follows() && request.gathered.is_none();
        let is_for_desk = is_whole && self.is_for_desk(&found.endpoints, request.metadata().unwrap_or_default());
        if !is_for_desk || !self.link.with(touched, |state| state.is_direct()) {
            return false;
        }
        let Some(desk) = found.endpoints.list.first().and_then(|first| first.link.desk()) else { return false };
        let mut ticket = |_| Ticket::new(self.link.clone(), request.stream, serial);
        desk.take(&[request.packet.view().data()], &mut ticket) > 0
    }

    /// Tries endpoints until one takes the request.
    fn place(
        &mut self,
        request: Request<'_, '_>,
        opening: Opening,
        found: &Found<'_>,
        mut tried: Vec<u64>,
        mut refusal: Option<(Refusal, u64)>,
        touched: &mut Touched,
    ) -> Option<Arc<Link>> {
        let Opening { step, serial, .. } = opening;
        let stream = request.stream;
        while tried.len() < TRIES {
            let Some(link) = self.pick(found, &request, &tried).cloned() else { break };
            let framing = match self.framing(&link, found.has_mime, request.metadata().map_or(0, <[u8]>::len)) {
                Ok(framing) => framing,
                Err(failure) => {
                    self.give_up(stream, opening, failure, touched);
                    return None;
                }
            };
            let at = (found.well_formed <= request.own()).then_some(found.well_formed);
            let mut reframed = framing.map(|framing| Packet::Large(framing.apply(request.packet.view(), true, at)));
            let from = (self.link.clone(), stream);
            let packet = reframed.as_mut().unwrap_or(&mut *request.packet);
            match link.with_lease(touched, |state| state.open(from, opening, packet)) {
                Ok(opened) => {
                    if link.desk().is_some() {
                        self.link.with(touched, |state| state.detour(stream, step));
                    }
                    if !step.is_single() {
                        match self.link.with(touched, |state| state.fill(stream, serial, link.clone(), opened)) {
                            Ok(effect) => effect.into_iter().for_each(|effect| touched.apply(effect)),
                            Err(link) => {
                                self.take_back(&link, serial, opened, touched);
                                return None;
                            }
                        }
                    }
                    return Some(link);
                }
                Err(why) => {
                    tried.push(link.id);
                    refusal = Some((why, link.retry_after()));
                }
            }
        }
        let key = request.route(self.link.dialect.form).key().unwrap_or_default();
        let failure = match refusal {
            Some((refusal, busy)) => Failure::rejected(refusal, key.text, busy),
            None => Failure::no_endpoint(&key, found.endpoints.list.len()),
        };
        self.give_up(stream, opening, failure, touched);
        None
    }

    fn pick<'f>(&mut self, found: &'f Found<'_>, request: &Request<'_, '_>, tried: &[u64]) -> Option<&'f Arc<Link>> {
        let mut random = |below| self.rng.u64(..below);
        let picked = if found.is_plain {
            pick(&found.endpoints, Asked::default(), tried, &mut random)
        } else {
            let route = request.route(self.link.dialect.form);
            let key = route.key().unwrap_or_default();
            let hash = key.hash_key.map(hash).or(key.is_sticky.then_some(self.sticky));
            let asked = Asked { endpoint: key.endpoint, labels: &route.labels(), hash };
            pick(&found.endpoints, asked, tried, &mut random)
        };
        picked.map(|endpoint| &endpoint.link)
    }

    /// What the metadata of a request needs to be understood at the other link; `None`: nothing.
    fn framing(&self, to: &Link, has_mime: bool, metadata: usize) -> Result<Option<Framing>, Failure> {
        let from = &self.link.dialect;
        let mut framing = Framing::default();
        if self.tells(to) {
            framing.before.extend_from_slice(&self.called.before);
        }
        match (from.form, to.dialect.form) {
            (Form::Composite, Form::Composite) => {}
            (Form::Routing, Form::Composite) => framing.before.extend(Framing::bare(metadata)),
            (Form::Routing, Form::Routing) => return Ok(None),
            _ => return Err(Failure::dialects(&self.link, to)),
        }
        if !has_mime {
            framing.after.extend_from_slice(&from.data_entry);
        }
        Ok((framing != Framing::default()).then_some(framing))
    }

    /// Whether a request of this link may have to grow.
    pub(crate) fn may_grow(&self, metadata: Option<&[u8]>) -> bool {
        let form = self.link.dialect.form;
        form == Form::Routing || form == Form::Composite && !Route::read(metadata.unwrap_or_default(), form).has_mime
    }
}
