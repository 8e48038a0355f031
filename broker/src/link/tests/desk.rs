//! Requests over a desk: who is answered, who is not any more, and which ones go past it.

use super::tests_support::{BOUNDS, terms};
use super::*;
use crate::metrics::CloseReason;
use rsocket::transport::{MemoryTransport, memory_pair};

/// A link, and its app's end of it.
fn link(id: u64, shared: &Arc<Shared>) -> (Arc<Link>, MemoryTransport) {
    let (near, far) = memory_pair("app");
    let minute = Duration::from_secs(60);
    (Link::new(id, terms(Watch::new(Instant::now(), minute, minute)), Arc::new(near), shared.clone()), far)
}

fn request(kind: FrameType, stream: StreamId) -> Step {
    Step::read(Frame::request(kind, stream, 0, 1, data(b"request")).view().bytes())
}

/// The app behind a link asks.
fn ask(link: &Arc<Link>, stream: StreamId) -> Ticket {
    let step = request(FrameType::RequestResponse, stream);
    let begun = link.with(&mut Touched::default(), |state| state.begin(stream, step));
    let Begin::Started { serial, .. } = begun else { panic!("{begun:?}") };
    Ticket::new(link.clone(), stream, serial)
}

/// What an app got: streams with their payloads, or with their errors.
fn got(app: &MemoryTransport) -> Vec<(StreamId, Result<String, ErrorCode>)> {
    let (mut wire, mut read) = (Vec::new(), BytesMut::new());
    while app.try_read(&mut read).is_ok_and(|n| n > 0) {}
    wire.extend_from_slice(&read);
    let frames = std::iter::from_fn(|| cut(&mut wire));
    let told = frames.map(|frame| {
        let view = frame.view();
        let text = || String::from_utf8(view.data().to_vec()).unwrap();
        let outcome = match view.kind() {
            FrameType::Payload => {
                assert_eq!(view.flags(), flags::NEXT | flags::COMPLETE);
                Ok(text())
            }
            FrameType::Error => Err(ErrorCode(view.error_code())),
            other => panic!("{other:?}"),
        };
        (view.stream_id(), outcome)
    });
    let told = told.collect();
    assert!(wire.is_empty());
    told
}

fn pay(answers: &mut Answers, ticket: Ticket, text: &str) {
    answers.payload(ticket, |out| out.extend_from_slice(text.as_bytes()));
}

fn ok(stream: StreamId, text: &str) -> (StreamId, Result<String, ErrorCode>) {
    (stream, Ok(text.to_owned()))
}

#[tokio::test]
async fn answers_of_many_links_are_written_together_in_their_order() {
    let shared = tests_support::shared();
    let ((a, app_a), (b, app_b)) = (link(1, &shared), link(2, &shared));
    let tickets = [1, 3, 5].map(|stream| (ask(&a, stream), ask(&b, stream)));
    let [first, second, third] = tickets;
    let mut answers = Answers::default();
    pay(&mut answers, first.0, "a1");
    pay(&mut answers, third.0, "a5");
    pay(&mut answers, first.1, "b1");
    answers.fail(second.0, ErrorCode::REJECTED, "no");
    pay(&mut answers, second.1, "");
    assert_eq!((got(&app_a), got(&app_b)), (vec![], vec![]), "they wait for each other");
    drop(answers);
    assert_eq!(got(&app_a), [ok(1, "a1"), ok(5, "a5"), (3, Err(ErrorCode::REJECTED))]);
    assert_eq!(got(&app_b), [ok(1, "b1"), ok(3, "")]);
    assert_eq!((a.streams(), b.streams()), (0, 1));
    drop(third.1);
    assert_eq!(got(&app_b), [(5, Err(ErrorCode::APPLICATION_ERROR))], "who is not answered hears of it");
    assert_eq!(b.streams(), 0);
}

#[tokio::test]
async fn more_answers_than_wait_at_once_come_too() {
    let shared = tests_support::shared();
    let (a, app) = link(1, &shared);
    let streams: Vec<_> = (0..1_000).map(|nth| 2 * nth + 1).collect();
    let mut answers = Answers::default();
    streams.iter().for_each(|stream| pay(&mut answers, ask(&a, *stream), &"x".repeat(*stream as usize % 300)));
    drop(answers);
    let expected: Vec<_> = streams.iter().map(|stream| ok(*stream, &"x".repeat(*stream as usize % 300))).collect();
    assert_eq!(got(&app), expected);
}

#[tokio::test]
async fn who_has_gone_is_not_answered() {
    let shared = tests_support::shared();
    let (a, app) = link(1, &shared);
    let [cancelled, again, closed] = [ask(&a, 1), ask(&a, 3), ask(&a, 5)];
    let cancel = |stream| {
        let mut step = Step::read(Frame::cancel(stream).view().bytes());
        a.with(&mut Touched::default(), |state| drop(state.depart(stream, &mut step)));
    };
    cancel(1);
    cancel(3);
    let other = ask(&a, 3);
    let mut answers = Answers::default();
    pay(&mut answers, cancelled, "late");
    pay(&mut answers, again, "late");
    pay(&mut answers, other, "of the one that has the id now");
    drop(answers);
    assert_eq!(got(&app), [ok(3, "of the one that has the id now")]);
    assert_eq!(a.streams(), 1);
    a.close(CloseReason::Peer, None, &mut Touched::default());
    pay(&mut Answers::default(), closed, "late");
    assert_eq!(got(&app), []);
}

#[tokio::test]
async fn who_waits_hears_of_a_panic() {
    let shared = tests_support::shared();
    let (a, app) = link(1, &shared);
    let (dropped, given) = (ask(&a, 1), ask(&a, 3));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _held = dropped;
        let mut answers = Answers::default();
        pay(&mut answers, given, "stored");
        panic!("whoever stores them");
    }));
    assert!(panicked.is_err());
    while a.streams() > 0 {
        tokio::task::yield_now().await;
    }
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(got(&app));
        tokio::task::yield_now().await;
    }
    told.sort_by_key(|(stream, _)| *stream);
    assert_eq!(told, [(1, Err(ErrorCode::APPLICATION_ERROR)), ok(3, "stored")]);
}

#[test]
fn what_went_past_a_desk_is_not_overtaken() {
    let mut state: State<u32> = State::new(1, Arc::new(BOUNDS));
    let mut streams = (0..).map(|nth| 2 * nth + 1);
    let mut go = |state: &mut State<u32>, kind| {
        let (stream, step) = (streams.next().unwrap(), request(kind, 1));
        assert!(matches!(state.begin(stream, step), Begin::Started { .. }));
        state.detour(stream, step);
        stream
    };
    let answer = |state: &mut State<u32>, stream: StreamId| {
        let frame = Frame::payload(stream, flags::NEXT | flags::COMPLETE, data(b"done"));
        let (step, serial) = (Step::read(frame.view().bytes()), state.streams.entry(stream).unwrap().serial);
        let mut wire = frame.into_wire();
        assert!(matches!(state.deliver(stream, serial, step, &mut Packet::Small(&mut wire)), Delivered::Queued));
    };
    assert!(state.is_direct());
    let (first, second) = (go(&mut state, FrameType::RequestResponse), go(&mut state, FrameType::RequestResponse));
    // Whoever looks for another responder says it again.
    state.detour(second, request(FrameType::RequestResponse, second));
    answer(&mut state, second);
    assert!(!state.is_direct(), "one is on its way");
    answer(&mut state, first);
    assert!(state.is_direct());
    for kind in [FrameType::RequestFnf, FrameType::RequestStream, FrameType::RequestChannel] {
        go(&mut state, kind);
        assert!(!state.is_direct(), "nobody says when it was taken");
        let behind = go(&mut state, FrameType::RequestResponse);
        assert!(!state.is_direct());
        answer(&mut state, behind);
        assert!(state.is_direct(), "one behind it was answered");
    }
    go(&mut state, FrameType::RequestFnf);
    let cancelled = go(&mut state, FrameType::RequestResponse);
    let mut step = Step::read(Frame::cancel(cancelled).view().bytes());
    state.depart(cancelled, &mut step);
    assert!(!state.is_direct(), "it says nothing of what went before it any more");
    let aborted = go(&mut state, FrameType::RequestResponse);
    let serial = state.streams.entry(aborted).unwrap().serial;
    assert!(state.abort(aborted, serial));
    assert!(!state.is_direct());
    let last = go(&mut state, FrameType::RequestResponse);
    answer(&mut state, last);
    assert!(state.is_direct());
}
