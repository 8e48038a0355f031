//! Ways for `tests/fuzz` to the readers inside: bytes in, nothing out, and a broken promise panics. No part of the API.

pub use crate::relay::fuzzing::{event, gathering, reframe, route, setup};
pub use crate::services::hessian;
pub use crate::store::fuzzing::{
    group as log_group, record as log_record, seeds as log_seeds, snapshot as log_snapshot,
};
