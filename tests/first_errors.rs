//! What a stranger does wrong first, and what it is told: docs/first-errors.md shows it word for word, and each test here
//! compares what a real connection saw with its row there.
//!
//! ```text
//!  row        a row of the table, found by the test it names
//!  greeter    the service of examples/greeter, which the calls mean
//!  setup      connecting        routing    where to        arguments    what with
//!  serving    registering       ports      which protocol, where
//!  python     what rsocket-py shows of it
//! ```

#[path = "../examples/greeter/api.rs"]
#[allow(dead_code, reason = "the half of the other side")]
mod api;
mod harness;

#[path = "first_errors/arguments.rs"]
mod arguments;
#[path = "first_errors/greeter.rs"]
mod greeter;
#[path = "first_errors/ports.rs"]
mod ports;
#[path = "first_errors/python.rs"]
mod python;
#[path = "first_errors/routing.rs"]
mod routing;
#[path = "first_errors/row.rs"]
mod row;
#[path = "first_errors/serving.rs"]
mod serving;
#[path = "first_errors/setup.rs"]
mod setup;
