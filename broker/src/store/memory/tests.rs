use super::{Inner, MemoryStore};
use crate::store::conformance::{self, Engine};
use crate::store::state::State;
use crate::store::{Batch, Dedup, Durability, Op, Placed, Publish, Store, TopicId, TopicSettings};
use futures::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::sync::Arc;

struct Memory;

impl Engine for Memory {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        future::ready(Arc::new(MemoryStore::new()) as Arc<dyn Store>).boxed()
    }

    fn reopen(&self, _: Arc<dyn Store>) -> BoxFuture<'_, Arc<dyn Store>> {
        self.open()
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// Opens a copy of what a store holds: so the promises about reopening are tried here too.
#[derive(Default)]
struct Copied(Mutex<Vec<Arc<MemoryStore>>>);

impl Engine for Copied {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        let store = Arc::new(MemoryStore::new());
        self.0.lock().push(store.clone());
        future::ready(store as Arc<dyn Store>).boxed()
    }

    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Arc<dyn Store>> {
        let is_this = |known: &&Arc<MemoryStore>| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(&store));
        let old = self.0.lock().iter().find(is_this).unwrap().clone();
        let mut inner = old.inner.lock();
        let state = State::thaw(inner.state.freeze(), usize::MAX);
        let copy = Inner { state, messages: std::mem::take(&mut inner.messages), ..Inner::default() };
        let copy = Arc::new(MemoryStore { inner: Mutex::new(copy), ..MemoryStore::default() });
        self.0.lock().push(copy.clone());
        future::ready(copy as Arc<dyn Store>).boxed()
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_copy_of_what_it_holds_keeps_the_promises_of_a_reopened_store() {
    let engine = Copied::default();
    let of_lifetime = |promise: &&conformance::Promise| promise.0.starts_with("lifetime::");
    for (_, prove) in conformance::PROMISES.iter().filter(of_lifetime) {
        prove(&engine).await;
    }
    let opened = engine.0.lock().len();
    assert!(opened > conformance::PROMISES.iter().filter(of_lifetime).count(), "nothing was reopened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_keeps_every_promise() {
    conformance::every_promise(&Memory).await;
}

fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let settings =
        TopicSettings { name: "t".into(), durability: Durability::Memory, dedup_window: 120_000, rest: "".into() };
    append(&store, vec![Op::PutTopic { topic: TopicId(1), settings }]);
    store
}

fn append(store: &MemoryStore, ops: Vec<Op>) -> crate::store::Ticket {
    store.append(Batch { ops, now: 1 }, Durability::Disk).unwrap()
}

fn publish(dedup: Option<Dedup>) -> Op {
    Op::Publish(Publish { topic: TopicId(1), content: "x".into(), dedup })
}

#[test]
fn a_receipt_claims_no_more_than_memory() {
    let store = store();
    assert_eq!(append(&store, vec![publish(None)]).receipt.try_get(), Some(Ok(Durability::Memory)));
}

#[test]
fn an_id_is_known_for_its_window_of_uptime() {
    let store = store();
    let batch = Batch { ops: vec![publish(Some(Dedup::Id(7)))], now: 1 };
    let send = |uptime| store.append_at(uptime, |inner| inner.append(&batch.ops, batch.now)).0.unwrap()[0];
    assert_eq!(send(0), Placed::At(0));
    assert_eq!(send(119_000), Placed::Duplicate(Some(0)));
    assert_eq!(send(140_000), Placed::At(1));
}

#[test]
fn what_is_trimmed_or_settled_takes_no_memory() {
    use crate::store::{GroupId, Hand, Progress, Run};
    let store = store();
    let (topic, group) = (TopicId(1), GroupId(2));
    let held = || store.inner.lock().messages[&topic].held.len();
    append(&store, vec![Op::PutGroup { topic, group, settings: "".into(), start: 0 }]);
    append(&store, vec![publish(None); 10]);
    let hand = Hand { run: Run { first: 2, count: 3 }, attempt: 1, due: 0 };
    let progress = Progress { from: 0, next: 10, handed: vec![hand], settled: Vec::new() };
    append(&store, vec![Op::Progress { topic, group, progress }, Op::Trim { topic, to: 8 }]);
    assert_eq!((held(), store.inner.lock().messages[&topic].young.len()), (3, 2));
    let settled = vec![Run { first: 2, count: 1 }];
    append(
        &store,
        vec![Op::Progress { topic, group, progress: Progress { from: 10, next: 10, handed: Vec::new(), settled } }],
    );
    assert_eq!(held(), 2);
    append(&store, vec![Op::DeleteGroup { topic, group }]);
    assert_eq!(held(), 0);
    append(&store, vec![Op::DeleteTopic(topic)]);
    assert!(store.inner.lock().messages.is_empty());
}
