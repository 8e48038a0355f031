//! As much of Hessian 2 as the starters' calls of the broker need: <http://hessian.caucho.com/doc/hessian-serialization.html>.

mod read;
mod write;

pub(crate) use read::{Value, arguments};
pub(super) use write::Writer;
