use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};

/// Where a handler's stream puts its items, so that a stream that borrows from the service can leave it as one that owns it.
///
/// The handler is a future that owns the service and forwards the borrowed stream item by item; `Outflow` polls that future
/// and takes what it put. The slot is full only between the two, in one poll.
#[derive(Debug)]
pub struct Outlet<I> {
    slot: Arc<Mutex<Option<I>>>,
}

impl<I> Outlet<I> {
    /// Moves all items of a stream out.
    pub async fn forward(self, items: impl Stream<Item = I>) {
        let mut items = pin!(items);
        while let Some(item) = items.next().await {
            *lock(&self.slot) = Some(item);
            // Back to `Outflow`, which takes the item before it lets us go on.
            futures::pending!();
        }
    }
}

/// The stream of what one future puts into its [`Outlet`].
pub(crate) struct Outflow<I, F> {
    handler: Pin<Box<F>>,
    slot: Arc<Mutex<Option<I>>>,
    is_done: bool,
}

impl<I, F: Future<Output = ()>> Outflow<I, F> {
    pub(crate) fn new(handler: impl FnOnce(Outlet<I>) -> F) -> Self {
        let slot = Arc::new(Mutex::new(None));
        let outlet = Outlet { slot: Arc::clone(&slot) };
        Self { handler: Box::pin(handler(outlet)), slot, is_done: false }
    }
}

impl<I, F: Future<Output = ()>> Stream for Outflow<I, F> {
    type Item = I;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<I>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        if self.handler.as_mut().poll(context).is_ready() {
            self.is_done = true;
            return Poll::Ready(None);
        }
        match lock(&self.slot).take() {
            Some(item) => Poll::Ready(Some(item)),
            None => Poll::Pending,
        }
    }
}

fn lock<I>(slot: &Mutex<Option<I>>) -> std::sync::MutexGuard<'_, Option<I>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
