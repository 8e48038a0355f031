//! Pure parts, and the pool over connections that are in a state no broker can be brought to at will.

mod address;
mod failover;
mod metadata;
mod retry;
mod setup;
