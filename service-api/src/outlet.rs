use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures::Stream;
use futures::future::poll_fn;

/// Where a handler's stream puts its items, so that a stream that borrows from the service can leave it as one that owns it.
///
/// The handler is a future that owns the service and forwards the borrowed stream item by item; `Outflow` polls that future
/// and takes what it put. The slot is full only between the two, in one poll.
#[derive(Debug)]
pub struct Outlet<I> {
    slot: Arc<Mutex<Slot<I>>>,
}

#[derive(Debug)]
struct Slot<I> {
    item: Option<I>,
    /// The next poll is to say how many items there may be, and to make none.
    is_asking: bool,
    hint: (usize, Option<usize>),
}

impl<I> Outlet<I> {
    /// Moves all items of a stream out.
    pub async fn forward(self, items: impl Stream<Item = I>) {
        let mut items = pin!(items);
        poll_fn(|cx| {
            if lock(&self.slot).is_asking {
                let hint = items.size_hint();
                lock(&self.slot).hint = hint;
                return Poll::Pending;
            }
            let Some(item) = ready!(items.as_mut().poll_next(cx)) else { return Poll::Ready(()) };
            lock(&self.slot).item = Some(item);
            // Back to `Outflow`, which takes the item before it lets us go on.
            Poll::Pending
        })
        .await;
    }
}

/// The stream of what one future puts into its [`Outlet`].
pub(crate) struct Outflow<I, F> {
    /// None once it has ended.
    handler: RefCell<Option<Pin<Box<F>>>>,
    slot: Arc<Mutex<Slot<I>>>,
}

impl<I, F: Future<Output = ()>> Outflow<I, F> {
    pub(crate) fn new(handler: impl FnOnce(Outlet<I>) -> F) -> Self {
        let slot = Arc::new(Mutex::new(Slot { item: None, is_asking: false, hint: (0, None) }));
        let outlet = Outlet { slot: Arc::clone(&slot) };
        Self { handler: RefCell::new(Some(Box::pin(handler(outlet)))), slot }
    }
}

impl<I, F: Future<Output = ()>> Stream for Outflow<I, F> {
    type Item = I;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<I>> {
        let Some(handler) = self.handler.get_mut() else { return Poll::Ready(None) };
        if handler.as_mut().poll(context).is_ready() {
            *self.handler.get_mut() = None;
            return Poll::Ready(None);
        }
        match lock(&self.slot).item.take() {
            Some(item) => Poll::Ready(Some(item)),
            None => Poll::Pending,
        }
    }

    /// That of the stream inside, which only the handler can reach: it is asked.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let mut handler = self.handler.borrow_mut();
        let Some(running) = handler.as_mut() else { return (0, Some(0)) };
        lock(&self.slot).is_asking = true;
        let polled = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let mut slot = lock(&self.slot);
        slot.is_asking = false;
        if polled.is_ready() {
            *handler = None;
            return (0, Some(0));
        }
        slot.hint
    }
}

fn lock<I>(slot: &Mutex<Slot<I>>) -> MutexGuard<'_, Slot<I>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::mpsc;
    use futures::{FutureExt, StreamExt, stream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    #[test]
    fn what_is_left_is_known_without_making_an_item() {
        let mut made = 0;
        let items = stream::iter(0..2).inspect(|_| made += 1);
        let mut outflow = Outflow::new(|outlet: Outlet<i32>| outlet.forward(items));
        assert_eq!(outflow.size_hint(), (2, Some(2)));
        assert_eq!(outflow.next().now_or_never(), Some(Some(0)));
        assert_eq!(outflow.size_hint(), (1, Some(1)));
        assert_eq!(outflow.next().now_or_never(), Some(Some(1)));
        assert_eq!(outflow.size_hint(), (0, Some(0)));
        assert_eq!(outflow.next().now_or_never(), Some(None));
        assert_eq!(outflow.size_hint(), (0, Some(0)));
        drop(outflow);
        assert_eq!(made, 2);
    }

    #[test]
    fn asking_wakes_nobody_and_loses_nobodys_waker() {
        let (mut items, inside) = mpsc::channel(1);
        let mut outflow = Outflow::new(|outlet: Outlet<i32>| outlet.forward(inside));
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(woken.clone());
        assert!(outflow.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(outflow.size_hint().1, None);
        items.try_send(7).expect("there is room");
        assert!(woken.0.load(Ordering::SeqCst), "the waker of the poll before is still known");
        assert_eq!(outflow.next().now_or_never(), Some(Some(7)));
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}
