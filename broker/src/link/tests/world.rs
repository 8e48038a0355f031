//! Several links, the apps behind them and whatever is on its way between them, one step at a time.
//!
//! A step takes one lock. What a read loop does in several steps waits in that loop's queue, so that anything may come in
//! between; what a writer, a close or the budget causes at other links waits in a queue of its own.

use super::apps::{Call, Requester, Responder, Script};
use super::*;
use crate::link::opening::Opened;
use std::collections::{BTreeMap, VecDeque};

/// A step that takes another link's lock.
#[derive(Debug)]
enum Task {
    Open { from: usize, stream: StreamId, opening: Opening, frame: Frame, tried: usize },
    Fill { from: usize, stream: StreamId, serial: Serial, to: usize, opened: Opened },
    Deliver { leg: Leg<usize>, step: Step, frame: Frame },
    Apply(Effect<usize>),
    End { link: usize, stream: StreamId, serial: Serial },
}

pub(super) struct Node {
    pub state: State<usize>,
    writing: Writing,
    /// On its way to the app, and from it.
    wire: Vec<u8>,
    sent: VecDeque<Frame>,
    loop_tasks: VecDeque<Task>,
    next_id: StreamId,
    pub requesters: BTreeMap<StreamId, Requester>,
    pub responders: BTreeMap<StreamId, Responder>,
}

impl Node {
    fn new(id: u64, bounds: Bounds) -> Self {
        Self {
            state: State::new(id, Arc::new(bounds)),
            writing: Writing::default(),
            wire: Vec::new(),
            sent: VecDeque::new(),
            loop_tasks: VecDeque::new(),
            next_id: 1,
            requesters: BTreeMap::new(),
            responders: BTreeMap::new(),
        }
    }

    /// Nothing is on its way between the link and its app: an id may be used again.
    fn has_caught_up(&self) -> bool {
        let is_written = self.state.outbox.is_empty() && self.writing.batch.is_empty() && self.wire.is_empty();
        is_written && self.sent.is_empty() && self.loop_tasks.is_empty()
    }
}

pub(super) struct World {
    pub nodes: Vec<Node>,
    pub calls: Vec<Call>,
    others: Vec<VecDeque<Task>>,
    legs: Vec<(usize, StreamId, Serial)>,
    pub script: Script,
    bounds: Bounds,
    /// What happened, printed if the run fails.
    steps: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}\n", self.steps.join("\n"));
        }
    }
}

impl World {
    pub(super) fn new(nodes: usize, bounds: Bounds, choices: Vec<u32>) -> Self {
        let nodes = (0..nodes).map(|id| Node::new(id as u64 + 1, bounds)).collect();
        Self {
            nodes,
            calls: Vec::new(),
            others: Vec::new(),
            legs: Vec::new(),
            script: Script::new(choices),
            bounds,
            steps: Vec::new(),
        }
    }

    /// One step, whichever the script picks.
    pub(super) fn step(&mut self) {
        let at = self.script.pick(self.nodes.len());
        match self.script.pick(64) {
            0..16 => drop(self.act(at, false)),
            16..28 => drop(self.read(at)),
            28..37 => drop(self.run_loop(at)),
            37..42 => drop(self.run_other()),
            42..50 => drop(self.write(at)),
            50..57 => drop(self.receive(at)),
            57..60 => self.call(at),
            60 => self.end_any(),
            61 => self.nodes[at].state.probe_cancelled(),
            62 => self.nodes[at].state.is_stalled = self.script.one_in(2),
            _ => match self.script.pick(16) {
                0 => self.close(at),
                1..12 => self.catch_up(at),
                _ => self.nodes[at].state.is_draining = self.script.one_in(3),
            },
        }
        self.check_bounds();
    }

    fn check_bounds(&self) {
        for node in &self.nodes {
            assert!(node.state.requests() <= self.bounds.streams.0);
            assert!(node.state.streams.count(rsocket::stream::Role::Responder) <= self.bounds.streams.1);
        }
    }

    fn call(&mut self, at: usize) {
        let nodes = self.nodes.len();
        let node = &mut self.nodes[at];
        if node.state.is_closed {
            return;
        }
        let again = node.requesters.iter().find(|(_, requester)| requester.is_over()).map(|(stream, _)| *stream);
        let stream = match again {
            Some(stream) if node.has_caught_up() => stream,
            _ => {
                node.next_id += 2;
                node.next_id
            }
        };
        let (requester, frame) = Requester::open(&mut self.script, &mut self.calls, nodes, stream);
        node.requesters.insert(stream, requester);
        self.steps.push(format!("app {at} calls {frame:?}"));
        node.sent.push_back(frame);
    }

    fn act(&mut self, at: usize, is_hurried: bool) -> bool {
        let Self { nodes, calls, script, .. } = self;
        let node = &mut nodes[at];
        if node.state.is_closed {
            return false;
        }
        let count = node.requesters.len() + node.responders.len();
        if count == 0 {
            return false;
        }
        let skip = if is_hurried { 0 } else { script.pick(count) };
        let mut requesters = node.requesters.iter_mut().skip(skip);
        let frame =
            requesters.find_map(|(stream, one)| one.act(script, &mut calls[one.call as usize], *stream, is_hurried));
        let frame = frame.or_else(|| {
            let skip = skip.saturating_sub(node.requesters.len());
            let mut responders = node.responders.iter_mut().skip(skip);
            responders.find_map(|(stream, one)| one.act(script, &mut calls[one.call as usize], *stream, is_hurried))
        });
        let has_acted = frame.is_some();
        self.steps.extend(frame.as_ref().map(|frame| format!("app {at} sends {frame:?}")));
        node.sent.extend(frame);
        has_acted
    }

    /// The read loop of this link handles the next frame of its app, once it is done with the last one.
    fn read(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if !node.loop_tasks.is_empty() {
            return false;
        }
        let Some(frame) = node.sent.pop_front() else { return false };
        self.steps.push(format!("link {at} reads {frame:?}"));
        let mut step = Step::read(frame.view().bytes());
        let stream = frame.view().stream_id();
        let state = &mut node.state;
        if step.kind == FrameType::Keepalive {
            node.loop_tasks.extend(state.echoed(frame.view().data()).into_iter().map(Task::Apply));
        } else if step.kind.is_request() {
            match state.begin(stream, step) {
                Begin::Started { serial, share, size } => {
                    self.legs.push((at, stream, serial));
                    let opening = Opening { step, serial, share, size };
                    node.loop_tasks.push_back(Task::Open { from: at, stream, opening, frame, tried: 0 });
                }
                Begin::Ignored => assert!(state.is_closed, "the apps use no id twice"),
                Begin::Refused(_) if step.kind == FrameType::RequestFnf => {}
                Begin::Refused(_) => state.refuse(stream, ErrorCode::REJECTED, "refused"),
            }
        } else {
            match state.depart(stream, &mut step) {
                Departure::Forward(leg) => node.loop_tasks.push_back(Task::Deliver { leg, step, frame }),
                Departure::Effect(effect) => node.loop_tasks.push_back(Task::Apply(effect)),
                Departure::Stays | Departure::Empty | Departure::Dropped => {}
            }
        }
        true
    }

    fn run_loop(&mut self, at: usize) -> bool {
        let Some(task) = self.nodes[at].loop_tasks.pop_front() else { return false };
        let next = self.run(task);
        next.into_iter().rev().for_each(|task| self.nodes[at].loop_tasks.push_front(task));
        true
    }

    fn run_other(&mut self) -> bool {
        if self.others.is_empty() {
            return false;
        }
        let at = self.script.pick(self.others.len());
        if let Some(task) = self.others[at].pop_front() {
            let next = self.run(task);
            self.others[at].extend(next);
        }
        if self.others[at].is_empty() {
            self.others.swap_remove(at);
        }
        true
    }

    fn run(&mut self, task: Task) -> Option<Task> {
        self.steps.push(format!("{task:?}"));
        match task {
            Task::Open { from, stream, opening, frame, tried } => {
                let before = frame.clone();
                let tag = super::apps::Tag::read(frame.view().data());
                let Some(to) = self.calls[tag.call as usize].targets.get(tried).copied() else {
                    let state = &mut self.nodes[from].state;
                    if state.abort(stream, opening.serial) && opening.step.kind != FrameType::RequestFnf {
                        state.refuse(stream, ErrorCode::REJECTED, "nobody takes it");
                    }
                    return None;
                };
                let state = &mut self.nodes[to].state;
                let opened = as_packet(frame, self.bounds.small_frame, |_, packet| {
                    let opened = state.open((from, stream), opening, packet);
                    assert!(
                        opened.is_ok() || packet.bytes() == before.view().bytes(),
                        "a refused request is untouched"
                    );
                    opened
                });
                match opened {
                    Err(_) => Some(Task::Open { from, stream, opening, frame: before, tried: tried + 1 }),
                    Ok(opened) => {
                        assert!(opened.stream != 0 && opened.stream % 2 == 0);
                        self.legs.push((to, opened.stream, opening.serial));
                        let fill = Task::Fill { from, stream, serial: opening.serial, to, opened };
                        (!opening.step.is_single()).then_some(fill)
                    }
                }
            }
            Task::Fill { from, stream, serial, to, opened } => {
                match self.nodes[from].state.fill(stream, serial, to, opened) {
                    Ok(effect) => effect.map(Task::Apply),
                    Err(to) => Some(Task::End { link: to, stream: opened.stream, serial }),
                }
            }
            Task::Deliver { leg, step, frame } => {
                let state = &mut self.nodes[leg.link].state;
                let delivered = as_packet(frame, self.bounds.small_frame, |_, packet| {
                    state.deliver(leg.stream, leg.serial, step, packet)
                });
                match delivered {
                    Delivered::Effect(effect) => Some(Task::Apply(effect)),
                    Delivered::Queued | Delivered::Overrun | Delivered::Dropped => None,
                }
            }
            Task::Apply(Effect::Grant(leg, n)) => {
                self.nodes[leg.link].state.grant(leg.stream, leg.serial, n);
                None
            }
            Task::Apply(Effect::Linger(leg)) => {
                self.nodes[leg.link].state.linger();
                None
            }
            Task::Apply(Effect::Release(leg)) => {
                self.nodes[leg.link].state.release();
                None
            }
            Task::Apply(Effect::Finish(leg, _)) => {
                Some(Task::End { link: leg.link, stream: leg.stream, serial: leg.serial })
            }
            Task::End { link, stream, serial } => {
                self.nodes[link].state.finish(stream, serial, ErrorCode::CANCELED, "ended");
                None
            }
        }
    }

    /// The broker ends some stream, on either side first, as the budget does.
    fn end_any(&mut self) {
        if self.legs.is_empty() {
            return;
        }
        let recent = self.legs.len().min(8);
        let at = self.legs.len() - 1 - self.script.pick(recent);
        let (link, stream, serial) = self.legs[at];
        let leg = self.nodes[link].state.finish(stream, serial, ErrorCode::CANCELED, "over budget");
        self.steps.push(format!("link {link} ends {stream} {serial:?}, other side {leg:?}"));
        let end = leg.map(|leg| Task::End { link: leg.link, stream: leg.stream, serial: leg.serial });
        self.others.extend(end.map(|task| VecDeque::from([task])));
    }

    pub(super) fn close(&mut self, at: usize) {
        if self.nodes[at].state.is_closed {
            return;
        }
        let (open, cancelled) = self.nodes[at].state.close();
        self.steps.push(format!("link {at} closes: {open:?} {cancelled:?}"));
        let end = |leg: Leg<usize>| Task::End { link: leg.link, stream: leg.stream, serial: leg.serial };
        let ended = open.into_iter().map(end).chain(cancelled.into_iter().map(|leg| Task::Apply(Effect::Release(leg))));
        self.others.push(ended.collect());
    }

    /// This link and its app handle all that is between them, while the others stand still; then both use ids again.
    fn catch_up(&mut self, at: usize) {
        for _ in 0..100 {
            let is_moving = self.read(at) | self.run_loop(at) | self.write(at) | self.receive(at);
            if !is_moving {
                break;
            }
        }
        self.wrap(at);
        self.call(at);
    }

    /// Ids begin anew, where no app can mistake one stream for another.
    fn wrap(&mut self, at: usize) {
        if self.nodes[at].has_caught_up() && self.nodes[at].responders.values().all(Responder::is_over) {
            self.steps.push(format!("the ids of link {at} begin anew"));
            self.nodes[at].state.streams.set_last_id(rsocket::frame::MAX_STREAM_ID - 1);
            self.nodes[at].responders.values_mut().for_each(Responder::stop);
        }
    }

    fn write(&mut self, at: usize) -> bool {
        let batch = [64, 300, 4096][self.script.pick(3)];
        let node = &mut self.nodes[at];
        if node.state.is_closed {
            return false;
        }
        node.state.outbox.take(&mut node.writing, batch);
        if node.writing.batch.is_empty() {
            return false;
        }
        let n = 1 + self.script.pick(node.writing.batch.len());
        let n = if self.script.is_over() || n.is_multiple_of(2) { node.writing.batch.len() } else { n };
        let n = socket(&mut node.writing.batch, n, &mut node.wire);
        self.steps.push(format!("link {at} writes {n} bytes"));
        let mut effects = Vec::new();
        node.state.written(&mut node.writing, n, &mut effects);
        let tasks: VecDeque<_> = effects.into_iter().map(Task::Apply).collect();
        self.others.extend((!tasks.is_empty()).then_some(tasks));
        true
    }

    fn receive(&mut self, at: usize) -> bool {
        let Self { nodes, calls, script, .. } = self;
        let node = &mut nodes[at];
        if node.state.is_closed {
            return false;
        }
        let Some(frame) = cut(&mut node.wire) else { return false };
        self.steps.push(format!("app {at} gets {frame:?}"));
        let (view, stream) = (frame.view(), frame.view().stream_id());
        if view.kind() == FrameType::Keepalive {
            node.responders.values_mut().for_each(Responder::stop);
            node.sent.push_back(Frame::keepalive(false, view.data()));
        } else if view.kind().is_request() {
            let responder = Responder::open(script, calls, view, at);
            let before = node.responders.insert(stream, responder);
            assert!(before.is_none_or(|before| before.is_over()), "an id in use was drawn");
        } else if stream % 2 == 0 {
            let responder = node.responders.get_mut(&stream).expect("a stream it has heard of");
            let is_late = responder.is_over() && view.kind() == FrameType::RequestN;
            if !is_late {
                responder.receive(&mut calls[responder.call as usize], view);
            }
        } else {
            let requester = node.requesters.get_mut(&stream).expect("a stream it has opened");
            requester.receive(&mut calls[requester.call as usize], view);
        }
        true
    }

    /// Everything goes on, in turns, until nothing happens any more.
    pub(super) fn settle(&mut self) {
        for node in &mut self.nodes {
            (node.state.is_stalled, node.state.is_draining) = (false, false);
        }
        for round in 0.. {
            assert!(round < 20_000, "it goes on forever");
            let mut is_moving = false;
            for at in 0..self.nodes.len() {
                is_moving |= self.act(at, true) | self.read(at) | self.run_loop(at) | self.run_other();
                is_moving |= self.write(at) | self.receive(at);
                self.check_bounds();
            }
            if !is_moving {
                self.nodes.iter_mut().for_each(|node| node.state.probe_cancelled());
                if self.nodes.iter().all(|node| node.state.outbox.is_empty()) {
                    return;
                }
            }
        }
    }
}
