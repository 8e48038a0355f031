//! Durable topics, through the broker: generated clients on their own connections, the embedded store on a real disk.

mod harness;

#[path = "queue/crashes.rs"]
mod crashes;
#[path = "queue/groups.rs"]
mod groups;
#[path = "queue/inputs.rs"]
mod inputs;
#[path = "queue/publishing.rs"]
mod publishing;
#[path = "queue/topics.rs"]
mod topics;
#[path = "queue/world.rs"]
mod world;
