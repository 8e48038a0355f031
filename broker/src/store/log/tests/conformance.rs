//! The promises every store makes, kept by this one on a real disk, its threads running.

use crate::store::Store;
use crate::store::conformance::{Engine, every_promise};
use crate::store::log::Log;
use crate::store::log::core::Settings;
use crate::store::log::disk::real::RealDisk;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders of logs, removed in the end.
struct Folders {
    root: PathBuf,
    /// The folder of each store that is open.
    open: Mutex<Vec<(PathBuf, Arc<dyn Store>)>>,
    count: Mutex<u32>,
}

impl Folders {
    fn start(&self, folder: &Path) -> Arc<dyn Store> {
        let disk = RealDisk::open(folder).expect("a folder under the temporary one");
        let settings =
            Settings { segment: 8 << 20, group_max: 4 << 20, watermark: 0, spares: 0, ..Settings::default() };
        let log: Arc<dyn Store> = Arc::new(Log::open(Arc::new(disk), settings).expect("the folder opens"));
        self.open.lock().push((folder.to_owned(), log.clone()));
        log
    }
}

impl Engine for Folders {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        async {
            let mut count = self.count.lock();
            *count += 1;
            self.start(&self.root.join(count.to_string()))
        }
        .boxed()
    }

    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Arc<dyn Store>> {
        async move {
            store.close().await;
            let folder = {
                let mut open = self.open.lock();
                let nth = open.iter().position(|(_, known)| Arc::ptr_eq(known, &store)).expect("it was opened here");
                open.swap_remove(nth).0
            };
            // The folder's lock goes with the last one who holds the store.
            assert_eq!(Arc::strong_count(&store), 1, "somebody else still holds the store");
            drop(store);
            self.start(&folder)
        }
        .boxed()
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.open.lock().clear();
        // What is left there is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

#[test]
fn the_log_keeps_every_promise_of_a_store() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let root = std::env::temp_dir().join(format!("towline-log-conformance-{}", std::process::id()));
    let folders = Folders { root, open: Mutex::default(), count: Mutex::default() };
    runtime.block_on(every_promise(&folders));
}
