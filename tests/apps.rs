//! Apps as people write them: the libraries `towline-requester` and `towline-responder`, through a broker, over real
//! sockets.

mod harness;

#[path = "apps/brokers.rs"]
mod brokers;
#[path = "apps/built_in.rs"]
mod built_in;
#[path = "apps/desk.rs"]
mod desk;
#[path = "apps/inside.rs"]
mod inside;
#[path = "apps/legacy.rs"]
mod legacy;
#[path = "apps/load.rs"]
mod load;
#[path = "apps/losses.rs"]
mod losses;
#[path = "apps/pressure.rs"]
mod pressure;
#[path = "apps/raw.rs"]
mod raw;
#[path = "apps/raw_bounds.rs"]
mod raw_bounds;
#[path = "apps/shapes.rs"]
mod shapes;
