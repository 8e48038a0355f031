//! The services every broker offers, as ordinary service traits: one file or folder each, named as the service.

mod health;
mod queue;
mod registry;
mod topics;

pub use health::{Health, HealthClient, HealthServer, HealthStatus};
pub use queue::{
    Blob, Confirmation, ConsumeOptions, Delivery, Durability, GroupMode, Json, Message, OnFull, Placement, Queue,
    QueueClient, QueueError, QueueServer, Receipt, ReceiptError, RefusedSettle, Settle, Settled, Start, SubscribeAck,
};
pub use registry::{Exposed, Identity, RefusedService, Registry, RegistryClient, RegistryServer};
pub use topics::{GroupStatus, Purged, Redriven, TopicConfig, TopicStatus, Topics, TopicsClient, TopicsServer};
