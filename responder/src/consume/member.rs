use std::sync::Arc;

use futures::StreamExt;
use tokio::select;
use tokio::time::{Instant, sleep};
use towline_requester::{App, Backoff, Pace};
use towline_service_api::builtin::{ConsumeOptions, Delivery, QueueClient, QueueError};
use towline_service_api::{AnswerStream, CallError, RpcError};

use super::deliveries::{Membership, Unsettled};
use super::settles::{Items, Settles};

/// A membership of a group: one consume channel, and another one when that is lost.
pub(super) struct Member {
    pub(super) membership: Arc<Membership>,
    options: ConsumeOptions,
    prefetch: u32,
    channel: Option<Channel>,
    backoff: Backoff,
    is_over: bool,
}

struct Channel {
    number: u64,
    deliveries: AnswerStream<Delivery, QueueError>,
    began: Instant,
    /// Came while joining.
    first: Option<Unsettled>,
}

impl Member {
    pub(super) fn new(app: App, topic: String, group: String, options: ConsumeOptions, prefetch: u32) -> Self {
        let membership = Membership { app, topic, group, settles: Arc::<Settles>::default() };
        let backoff = Backoff::default();
        Self { membership: Arc::new(membership), options, prefetch, channel: None, backoff, is_over: false }
    }

    /// Waits until the broker says that this is a member. Errors: it never will be.
    pub(super) async fn join(&mut self) -> Result<(), CallError<QueueError>> {
        loop {
            let settles = Arc::clone(&self.membership.settles);
            let channel = self.opened();
            let first = select! {
                biased;
                () = settles.joined() => return Ok(()),
                first = channel.deliveries.next() => first,
            };
            match first {
                Some(Ok(delivery)) => {
                    channel.first = Some(Unsettled::new(delivery, &settles, channel.number));
                    return Ok(());
                }
                end => self.lost(end.and_then(Result::err)).await?,
            }
        }
    }

    /// The next delivery; `None` after an error.
    pub(super) async fn next(&mut self) -> Option<Result<Unsettled, CallError<QueueError>>> {
        while !self.is_over {
            let settles = Arc::clone(&self.membership.settles);
            let channel = self.opened();
            if let Some(first) = channel.first.take() {
                return Some(Ok(first));
            }
            let end = match channel.deliveries.next().await {
                Some(Ok(delivery)) => return Some(Ok(Unsettled::new(delivery, &settles, channel.number))),
                Some(Err(error)) => Some(error),
                None => None,
            };
            if let Err(error) = self.lost(end).await {
                self.is_over = true;
                return Some(Err(error));
            }
        }
        None
    }

    fn opened(&mut self) -> &mut Channel {
        let Self { membership, options, prefetch, channel, .. } = self;
        channel.get_or_insert_with(|| {
            let Membership { app, topic, group, settles } = &**membership;
            let number = settles.open();
            let items = Items::new(settles, number);
            let call = app.client::<QueueClient>().consume(topic.clone(), group.clone(), Some(options.clone()), items);
            let deliveries = call.prefetch(*prefetch).start();
            Channel { number, deliveries, began: Instant::now(), first: None }
        })
    }

    /// The channel has ended: waits as long as is due before another one. Errors: that would end so, too.
    async fn lost(&mut self, error: Option<CallError<QueueError>>) -> Result<(), CallError<QueueError>> {
        let Membership { app, topic, group, .. } = &*self.membership;
        if let Some(channel) = self.channel.take() {
            self.backoff.lived(channel.began.elapsed());
        }
        let error = error.unwrap_or_else(|| RpcError::canceled("the broker ended the channel").into());
        let random = fastrand::f64();
        let pause = match &error {
            // A restart cures that.
            CallError::App(QueueError::StoreFailed { .. } | QueueError::StorageFull { .. }) => {
                Some(self.backoff.pause(Pace::Refused, random))
            }
            CallError::App(_) => None,
            CallError::Rpc(error) => self.backoff.after(error, random),
        };
        let Some(pause) = pause.filter(|_| app.state().borrow().phase == towline_requester::Phase::Running) else {
            return Err(error);
        };
        tracing::debug!(topic, group, %error, ?pause, "joining again");
        sleep(pause).await;
        Ok(())
    }
}
