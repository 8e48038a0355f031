//! What speaks of durable topics to a running broker: one file per command, each an ordinary app for as long as it runs.

mod broker;
mod consume;
mod dlq;
mod group;
mod messages;
mod peek;
mod publish;
mod topic;
mod words;

pub(super) use consume::{ConsumeArgs, run as consume};
pub(super) use dlq::{DlqArgs, run as dlq};
pub(super) use group::{GroupArgs, run as group};
pub(super) use peek::{PeekArgs, run as peek};
pub(super) use publish::{PublishArgs, run as publish};
pub(super) use topic::{TopicArgs, run as topic};
