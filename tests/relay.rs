//! The relay as apps see it: scripted peers over real TCP.

mod harness;

#[path = "relay/calls.rs"]
mod calls;
#[path = "relay/channels.rs"]
mod channels;
#[path = "relay/drain.rs"]
mod drain;
#[path = "relay/endings.rs"]
mod endings;
#[path = "relay/events.rs"]
mod events;
#[path = "relay/fragments.rs"]
mod fragments;
#[path = "relay/frames.rs"]
mod frames;
#[path = "relay/gathering.rs"]
mod gathering;
#[path = "relay/instances.rs"]
mod instances;
#[path = "relay/keepalive.rs"]
mod keepalive;
#[path = "relay/reframing.rs"]
mod reframing;
#[path = "relay/routing.rs"]
mod routing;
#[path = "relay/setup.rs"]
mod setup;
#[path = "relay/starter.rs"]
mod starter;
