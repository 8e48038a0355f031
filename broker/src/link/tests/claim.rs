//! Many tasks push, one writes; and what becomes of a link whose socket is full, fails or takes its writer down.

use super::tests_support::terms;
use super::*;
use crate::metrics::{CloseReason, recorder};
use parking_lot::Mutex;
use rsocket::transport::{Batch, memory_pair, readable};
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// A socket that does what it is told.
#[derive(Default)]
struct Scripted {
    script: Mutex<Socket>,
    shut: Notify,
}

#[derive(Default)]
struct Socket {
    /// Bytes it takes before it is full.
    room: usize,
    /// Fails when so many bytes were taken.
    fails_at: Option<usize>,
    panics: bool,
    wire: Vec<u8>,
    is_shut: bool,
    writer: Option<Waker>,
}

impl Scripted {
    fn with_room(room: usize) -> Arc<Self> {
        let scripted = Self::default();
        scripted.script.lock().room = room;
        Arc::new(scripted)
    }

    fn allow(&self, room: usize) {
        let mut script = self.script.lock();
        script.room += room;
        let writer = script.writer.take();
        drop(script);
        writer.into_iter().for_each(Waker::wake);
    }

    fn frames(&self) -> Vec<Frame> {
        let mut wire = self.script.lock().wire.clone();
        let frames = std::iter::from_fn(|| cut(&mut wire)).collect();
        assert!(wire.is_empty(), "{} bytes of an unfinished frame", wire.len());
        frames
    }

    fn is_shut(&self) -> bool {
        self.script.lock().is_shut
    }

    async fn until_shut(&self) {
        loop {
            let shut = self.shut.notified();
            if self.is_shut() {
                return;
            }
            shut.await;
        }
    }
}

impl Transport for Scripted {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script.lock();
        if script.room > 0 || script.is_shut {
            return Poll::Ready(Ok(()));
        }
        script.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, _: &mut BytesMut) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut script = self.script.lock();
        assert!(!script.panics, "the socket takes its writer down");
        if script.is_shut || script.fails_at.is_some_and(|at| script.wire.len() >= at) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = batch.slices(&mut slices);
        let room = script.room.min(script.fails_at.map_or(usize::MAX, |at| at - script.wire.len()));
        let taken: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        if taken.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        script.room -= taken.len();
        script.wire.extend_from_slice(&taken);
        batch.advance(taken.len());
        Ok(taken.len())
    }

    fn shutdown(&self) {
        let mut script = self.script.lock();
        script.is_shut = true;
        let writer = script.writer.take();
        drop(script);
        writer.into_iter().for_each(Waker::wake);
        self.shut.notify_waiters();
    }

    fn peer(&self) -> String {
        "scripted".to_owned()
    }
}

fn shared() -> Arc<Shared> {
    let second = Duration::from_secs(1);
    Arc::new(Shared {
        bounds: Arc::new(Bounds {
            mark: 1 << 20,
            request_fragments: 1 << 20,
            small_frame: 2048,
            streams: (10_000, 10_000),
            ..small_bounds()
        }),
        budget: Budget::new(64 << 20),
        runtime: tests_support::runtime(),
        meters: Arc::new(Meters::new(&recorder())),
        batch: 16 * 1024,
        timing: Timing {
            tick: second,
            interval: 20 * second,
            busy_interval: 5 * second,
            suspect: 5 * second,
            lifetime: 90 * second,
            stalled: 5 * second,
            progress: 64 * 1024,
            window: 30 * second,
        },
    })
}

fn link(id: u64, transport: Arc<dyn Transport>, shared: &Arc<Shared>) -> Arc<Link> {
    let minute = Duration::from_secs(60);
    Link::new(id, terms(Watch::new(Instant::now(), minute, minute)), transport, shared.clone())
}

fn push(link: &Arc<Link>, stream: StreamId, body: &[u8], touched: &mut Touched) {
    // An ERROR of a request that was not taken: the simplest frame a link queues for itself.
    let text = String::from_utf8(body.to_vec()).unwrap();
    link.with(touched, |state| state.refuse(stream, ErrorCode::REJECTED, &text));
}

/// Opens a request-stream from `a` to `b`; gives the responder's id and the serial.
fn open(a: &Arc<Link>, b: &Arc<Link>, stream: StreamId, n: u32, touched: &mut Touched) -> (StreamId, Serial) {
    let frame = Frame::request(FrameType::RequestStream, stream, 0, n, data(b"request"));
    let step = Step::read(frame.view().bytes());
    let Begin::Started { serial, share, size } = a.with(touched, |state| state.begin(stream, step)) else { panic!() };
    let opening = Opening { step, serial, share, size };
    let opened =
        as_packet(frame, 2048, |_, packet| b.with(touched, |state| state.open((a.clone(), stream), opening, packet)));
    let opened = opened.unwrap();
    let effect = a.with(touched, |state| state.fill(stream, serial, b.clone(), opened)).unwrap();
    effect.into_iter().for_each(|effect| touched.apply(effect));
    (opened.stream, serial)
}

/// A frame of the app behind `from`.
fn relay(from: &Arc<Link>, frame: Frame, touched: &mut Touched) {
    let mut step = Step::read(frame.view().bytes());
    let stream = frame.view().stream_id();
    let Departure::Forward(leg) = from.with(touched, |state| state.depart(stream, &mut step)) else { return };
    let delivered = as_packet(frame, 2048, |_, packet| {
        leg.link.with(touched, |state| state.deliver(leg.stream, leg.serial, step, packet))
    });
    if let Delivered::Effect(effect) = delivered {
        touched.apply(effect);
    }
}

/// Lets every other task run until none makes progress; one thread runs them all.
async fn others() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_pushed_is_written_once_and_in_order() {
    const TASKS: u32 = 8;
    const EACH: u32 = 400;
    let shared = shared();
    let (near, far) = memory_pair("peer");
    let link = link(1, Arc::new(near), &shared);
    let tasks: Vec<_> = (1..=TASKS)
        .map(|task| {
            let link = link.clone();
            tokio::spawn(async move {
                for nth in 0..EACH {
                    let mut touched = Touched::default();
                    let size = if nth % 7 == 0 { 3000 } else { 40 };
                    push(&link, task, format!("{nth:0size$}").as_bytes(), &mut touched);
                    if nth % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    touched.flush();
                }
            })
        })
        .collect();
    let mut next = [0; TASKS as usize + 1];
    let (mut wire, mut read) = (Vec::new(), BytesMut::new());
    while next[1..].iter().any(|next| *next < EACH) {
        readable(&far).await.unwrap();
        while far.try_read(&mut read).is_ok() {}
        wire.extend_from_slice(&std::mem::take(&mut read));
        while let Some(frame) = cut(&mut wire) {
            let nth: u32 = std::str::from_utf8(frame.view().data()).unwrap().parse().unwrap();
            let expected = &mut next[frame.view().stream_id() as usize];
            assert_eq!(nth, *expected, "of task {}", frame.view().stream_id());
            *expected += 1;
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    while shared.budget.used() > 0 || link.hot.inner.lock().is_claimed {
        tokio::task::yield_now().await;
    }
    assert!(far.try_read(&mut read).is_err(), "nothing is written twice");
    assert_eq!(link.held().queued, 0);
}

#[tokio::test]
async fn a_full_socket_gets_the_rest_in_order_and_the_charge_goes_back_to_zero() {
    let shared = shared();
    let socket = Scripted::with_room(10);
    let link = link(1, socket.clone(), &shared);
    let mut touched = Touched::default();
    for nth in 0..200 {
        push(&link, nth + 1, &[b'x'; 1000], &mut touched);
    }
    touched.flush();
    others().await;
    assert!(shared.budget.used() >= 200 * 1000, "what stays is charged");
    for step in 0..2000 {
        socket.allow(1 + step * 7 % 500);
        others().await;
        if socket.script.lock().wire.len() == 200 * 1013 {
            break;
        }
    }
    let ids: Vec<_> = socket.frames().iter().map(|frame| frame.view().stream_id()).collect();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
    others().await;
    assert_eq!(shared.budget.used(), 0);
    assert!(!link.hot.inner.lock().is_claimed, "an idle link has no writer");
}

#[tokio::test]
async fn a_dropped_or_closed_link_gives_its_charge_back() {
    let shared = shared();
    for is_closed in [false, true] {
        let socket = Scripted::with_room(0);
        let link = link(1, socket.clone(), &shared);
        let mut touched = Touched::default();
        (1..100).for_each(|nth| push(&link, nth, &[b'x'; 1000], &mut touched));
        touched.flush();
        others().await;
        assert!(shared.budget.used() > 0);
        if is_closed {
            link.close(CloseReason::Stalled, None, &mut touched);
            assert_eq!(shared.budget.used(), 0);
        }
        socket.shutdown();
        others().await;
        assert_eq!(Arc::strong_count(&link), 1, "no task keeps a link that is gone");
        drop(link);
        assert_eq!(shared.budget.used(), 0);
    }
}

#[tokio::test]
async fn a_farewell_comes_after_the_rest_of_a_half_written_frame() {
    // The socket is full in the middle of the second frame, whoever writes it: inside the push, or in the task.
    for first in [13 + 50, 13 + 50 + 5, 2 * 63, 63 + 62] {
        for then in [0, 3] {
            let shared = shared();
            let socket = Scripted::with_room(first);
            let link = link(1, socket.clone(), &shared);
            let mut touched = Touched::default();
            (1..=4).for_each(|nth| push(&link, nth, &[b'x'; 50], &mut touched));
            touched.flush();
            if then > 0 {
                others().await;
                socket.allow(then);
            }
            link.close(
                CloseReason::Protocol,
                Some(Frame::error(0, ErrorCode::CONNECTION_ERROR, "farewell")),
                &mut touched,
            );
            push(&link, 9, b"after the end", &mut touched);
            touched.flush();
            socket.allow(10_000);
            socket.until_shut().await;
            let frames = socket.frames();
            let ids: Vec<_> = frames.iter().map(|frame| frame.view().stream_id()).collect();
            let whole = (first + then).div_ceil(63) as u32;
            let expected: Vec<_> = (1..=4).take(ids.len() - 1).chain([0]).collect();
            assert_eq!(ids, expected, "{first} and {then} bytes were taken");
            assert!(ids.len() as u32 > whole - 1, "a frame was cut: {ids:?}");
            assert_eq!(frames.last().unwrap().view().data(), b"farewell");
        }
    }
}

#[tokio::test]
async fn a_close_during_a_write_still_ends_the_frame_that_write_has_begun() {
    /// Closes its own link while it takes bytes: the writer learns of it at its next lock.
    struct Closing(Arc<Scripted>, Mutex<Option<Arc<Link>>>);
    impl Transport for Closing {
        fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_readable(cx)
        }
        fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_writable(cx)
        }
        fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
            self.0.try_read(into)
        }
        fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
            let result = self.0.try_write(batch);
            if let Some(link) = self.1.lock().take() {
                let farewell = Frame::error(0, ErrorCode::CONNECTION_CLOSE, "farewell");
                link.close(CloseReason::Protocol, Some(farewell), &mut Touched::default());
            }
            result
        }
        fn shutdown(&self) {
            self.0.shutdown();
        }
        fn peer(&self) -> String {
            self.0.peer()
        }
    }
    let shared = shared();
    for room in [20, 63, 100, 126, 150] {
        let socket = Scripted::with_room(room);
        let transport = Arc::new(Closing(socket.clone(), Mutex::default()));
        let link = link(1, transport.clone(), &shared);
        *transport.1.lock() = Some(link.clone());
        let mut touched = Touched::default();
        (1..=4).for_each(|nth| push(&link, nth, &[b'x'; 50], &mut touched));
        touched.flush();
        socket.allow(10_000);
        socket.until_shut().await;
        let ids: Vec<_> = socket.frames().iter().map(|frame| frame.view().stream_id()).collect();
        let expected: Vec<_> = (1..=(room as u32).div_ceil(63)).chain([0]).collect();
        assert_eq!(ids, expected, "{room} bytes were taken");
    }
}

#[tokio::test]
async fn a_link_whose_socket_takes_nothing_is_shut_down_when_it_is_closed() {
    let shared = shared();
    for farewell in [None, Some(Frame::error(0, ErrorCode::CONNECTION_ERROR, "nobody reads this"))] {
        let socket = Scripted::with_room(5);
        let link = link(1, socket.clone(), &shared);
        let mut touched = Touched::default();
        push(&link, 1, &[b'x'; 50], &mut touched);
        touched.flush();
        others().await;
        link.close(CloseReason::Stalled, farewell, &mut touched);
        tokio::time::timeout(Duration::from_secs(5), socket.until_shut()).await.expect("a closed link is shut down");
        others().await;
        assert_eq!(Arc::strong_count(&link), 1, "its write task has ended");
    }
}

#[tokio::test]
async fn a_socket_that_fails_ends_its_streams_at_the_other_side() {
    for fails_at in [0, 7, 30] {
        let shared = shared();
        let (broken, good) = (Scripted::with_room(1000), Scripted::with_room(10_000));
        broken.script.lock().fails_at = Some(fails_at);
        let (a, b) = (link(1, good.clone(), &shared), link(2, broken.clone(), &shared));
        let mut touched = Touched::default();
        open(&a, &b, 1, 1, &mut touched);
        open(&a, &b, 3, 1, &mut touched);
        touched.flush();
        others().await;
        assert!(broken.is_shut() && b.closed_for().is_some());
        let mut ended: Vec<_> =
            good.frames().iter().map(|frame| (frame.view().stream_id(), frame.view().kind())).collect();
        ended.sort_by_key(|(stream, _)| *stream);
        assert_eq!(ended, [(1, FrameType::Error), (3, FrameType::Error)], "failed at {fails_at}");
        assert_eq!((a.streams(), b.streams()), (0, 0));
        assert!(a.closed_for().is_none() && !good.is_shut());
    }
}

#[tokio::test]
async fn a_writer_lost_to_a_panic_closes_its_link_and_no_other() {
    for in_task in [false, true] {
        let shared = shared();
        let (bad, good, bystander) = (Scripted::with_room(0), Scripted::with_room(10_000), Scripted::with_room(10_000));
        let (a, b, c) =
            (link(1, good.clone(), &shared), link(2, bad.clone(), &shared), link(3, bystander.clone(), &shared));
        if !in_task {
            bad.script.lock().panics = true;
        }
        let (a2, b2, c2) = (a.clone(), b.clone(), c.clone());
        let task = tokio::spawn(async move {
            let mut touched = Touched::default();
            // Touched in the same run, not yet written.
            push(&c2, 5, b"for a bystander", &mut touched);
            open(&a2, &b2, 1, 1, &mut touched);
            touched.flush();
        });
        assert_eq!(task.await.is_err(), !in_task);
        if in_task {
            others().await;
            bad.script.lock().panics = true;
            bad.allow(1);
        }
        others().await;
        assert!(b.closed_for().is_some() && bad.is_shut(), "how much was written is unknown");
        let ended: Vec<_> = good.frames().iter().map(|frame| (frame.view().stream_id(), frame.view().kind())).collect();
        assert_eq!(ended, [(1, FrameType::Error)]);
        assert_eq!(bystander.frames().len(), 1);
        assert!(a.closed_for().is_none() && c.closed_for().is_none(), "a panic closes one link");
        assert_eq!(a.streams() + b.streams(), 0);
        let mut touched = Touched::default();
        push(&a, 7, b"it goes on", &mut touched);
        touched.flush();
        assert_eq!(good.frames().len(), 2);
    }
}

#[tokio::test]
async fn many_links_that_fail_one_after_another_do_not_nest() {
    const LINKS: u64 = 3000;
    let shared = shared();
    let sockets: Vec<_> = (0..LINKS).map(|_| Scripted::with_room(0)).collect();
    let links: Vec<_> = sockets.iter().zip(1..).map(|(socket, id)| link(id, socket.clone(), &shared)).collect();
    let mut touched = Touched::default();
    for pair in links.windows(2) {
        open(&pair[0], &pair[1], 1, 1, &mut touched);
    }
    // Everything is written, then every socket breaks: each link that is lost makes the next one be written to.
    sockets.iter().for_each(|socket| socket.allow(1000));
    touched.flush();
    sockets.iter().for_each(|socket| socket.script.lock().fails_at = Some(0));
    push(&links[0], 99, b"first", &mut touched);
    touched.flush();
    assert!(links.iter().all(|link| link.closed_for().is_some()));
}

#[tokio::test]
async fn credit_that_two_links_owe_each_other_is_settled_in_one_flush() {
    let shared = shared();
    let (at_a, at_b) = (Scripted::with_room(1 << 30), Scripted::with_room(1 << 30));
    let (a, b) = (link(1, at_a.clone(), &shared), link(2, at_b.clone(), &shared));
    let mut touched = Touched::default();
    // One stream each way, so that what is written to either link makes credit for the other.
    let (towards_b, _) = open(&a, &b, 1, 500, &mut touched);
    let (towards_a, _) = open(&b, &a, 1, 500, &mut touched);
    touched.flush();
    let credit = |socket: &Scripted, stream: StreamId| -> u32 {
        let frames = socket.frames();
        let mine = frames.iter().filter(|frame| frame.view().stream_id() == stream);
        mine.map(|frame| frame.view().request_n()).sum()
    };
    let mut sent = 0;
    while sent < 500 {
        let ready = credit(&at_b, towards_b).min(credit(&at_a, towards_a));
        assert!(ready > sent, "credit stopped after {sent} items");
        while sent < ready {
            relay(&b, Frame::payload(towards_b, flags::NEXT, data(b"item")), &mut touched);
            relay(&a, Frame::payload(towards_a, flags::NEXT, data(b"item")), &mut touched);
            sent += 1;
        }
        touched.flush();
    }
    assert_eq!((credit(&at_b, towards_b), credit(&at_a, towards_a)), (500, 500));
    assert!(touched.is_empty() && !a.hot.inner.lock().is_claimed && !b.hot.inner.lock().is_claimed);
}
