//! A panic in a task is its end and nobody else's: here it has to be seen.

use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static SEEN: AtomicBool = AtomicBool::new(false);

/// Sees every panic from now on; under libFuzzer the first one ends the process.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            SEEN.store(true, Ordering::Relaxed);
            before(info);
        }));
    });
}

/// # Panics
/// If anything did.
pub(super) fn check() {
    assert!(!SEEN.load(Ordering::Relaxed), "a task panicked, see above");
}
