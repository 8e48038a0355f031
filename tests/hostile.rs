//! Peers that mean harm, or are broken: each meets the protocol's error or a bounded end with a reason, and nobody else
//! notices. The scene says what that is.

mod harness;

#[path = "hostile/bombs.rs"]
mod bombs;
#[path = "hostile/bytes.rs"]
mod bytes;
#[path = "hostile/floods.rs"]
mod floods;
#[path = "hostile/fragments.rs"]
mod fragments;
#[path = "hostile/peers.rs"]
mod peers;
#[path = "hostile/scene.rs"]
mod scene;
