//! What is this broker's own, beyond the protocol (conformance.rs): routing, instances, limits, drain. Over real TCP.

mod harness;

#[path = "relay/drain.rs"]
mod drain;
#[path = "relay/events.rs"]
mod events;
#[path = "relay/gathering.rs"]
mod gathering;
#[path = "relay/instances.rs"]
mod instances;
#[path = "relay/listeners.rs"]
mod listeners;
#[path = "relay/neighbours.rs"]
mod neighbours;
#[path = "relay/reframing.rs"]
mod reframing;
#[path = "relay/registering.rs"]
mod registering;
#[path = "relay/routing.rs"]
mod routing;
#[path = "relay/setup.rs"]
mod setup;
#[path = "relay/starter/mod.rs"]
mod starter;
