use std::pin::Pin;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use towline_rsocket::engine::Item;

/// The items of a channel, lent to one connection after another: they come back from one that took none of them.
pub(crate) struct Items {
    here: Option<BoxStream<'static, Item>>,
    back: Option<oneshot::Receiver<BoxStream<'static, Item>>>,
}

/// Items in the hands of a connection.
pub(crate) struct Lent {
    items: Option<BoxStream<'static, Item>>,
    /// Gone with the first poll.
    home: Option<oneshot::Sender<BoxStream<'static, Item>>>,
}

impl Items {
    pub(crate) fn new(items: BoxStream<'static, Item>) -> Self {
        Self { here: Some(items), back: None }
    }

    /// Lends them; `None` if they are lent already.
    pub(crate) fn lend(&mut self) -> Option<Lent> {
        let items = self.here.take()?;
        let (home, back) = oneshot::channel();
        self.back = Some(back);
        Some(Lent { items: Some(items), home: Some(home) })
    }

    /// Waits until the connection has let go of them. False: it took some, they cannot be sent again.
    pub(crate) async fn are_back(&mut self) -> bool {
        if let Some(back) = self.back.take() {
            self.here = back.await.ok();
        }
        self.here.is_some()
    }
}

impl Stream for Lent {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.home = None;
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        items.poll_next_unpin(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.as_ref().map_or((0, Some(0)), |items| items.size_hint())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((home, items)) = self.home.take().zip(self.items.take()) {
            // A call that is over does not want them back.
            let _ = home.send(items);
        }
    }
}
