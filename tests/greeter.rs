//! The example of the README as people run it: three processes, killed and restarted in every order.
//!
//! The promise: five seconds after the last restart every call succeeds; until then a caller sees nothing but refusals
//! that prove that nobody has seen its request, cancelled calls and lost connections; and nothing ever hangs.

#[path = "../examples/greeter/api.rs"]
#[allow(dead_code, reason = "the half of the other side")]
mod api;

#[path = "greeter/ends.rs"]
mod ends;
#[path = "greeter/orders.rs"]
mod orders;
#[path = "greeter/program.rs"]
mod program;
#[path = "greeter/scene.rs"]
mod scene;

use std::time::Duration;

/// For what must happen soon, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(10);
