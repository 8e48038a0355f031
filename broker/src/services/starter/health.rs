//! `RSocketServiceHealth.check(String?) -> Integer`: 1 serving, 0 unknown. A starter uses a connection only once this
//! has answered, and its first byte must be 0x91.

use super::hessian::{self, Value};
use super::{Call, Form};
use crate::routing::Routes;
use rsocket::{ErrorCode, StreamError};
use std::sync::Arc;

pub(super) const SERVICE: &str = "com.alibaba.rsocket.health.RSocketServiceHealth";

pub(super) struct Health {
    routes: Arc<Routes>,
}

impl Health {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes }
    }

    pub(super) fn check(&self, call: &Call<'_>, data: &[u8]) -> Result<Vec<u8>, StreamError> {
        let is_serving =
            asked(call.form, data)?.is_none_or(|service| self.routes.load().variants(&service).next().is_some());
        match call.answer {
            Form::Hessian => Ok(vec![hessian::small_int(i8::from(is_serving))]),
            Form::Other(encoding) => encoding
                .encode(&i32::from(is_serving))
                .map(Into::into)
                .map_err(|error| StreamError::new(ErrorCode::INVALID, error.to_string())),
        }
    }
}

/// The service asked for, if any: none, `null`, one text, or that in a list.
fn asked(form: Form, data: &[u8]) -> Result<Option<String>, StreamError> {
    let unreadable = |why: String| {
        StreamError::new(ErrorCode::INVALID, format!("RST-700501: the arguments are not readable: {why}"))
    };
    if data.is_empty() {
        return Ok(None);
    }
    match form {
        Form::Hessian => {
            let arguments = hessian::arguments(data).map_err(|error| unreadable(error.to_string()))?;
            match arguments.into_iter().next() {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Text(service)) => Ok(Some(service)),
                Some(Value::Int(_)) => Err(unreadable("the name of a service is a text".to_owned())),
            }
        }
        Form::Other(encoding) => {
            let list = encoding.decode::<Vec<Option<String>>>(data);
            let one = list.map(|list| list.into_iter().next().flatten()).or_else(|_| encoding.decode(data));
            one.map_err(|error| unreadable(error.to_string()))
        }
    }
}
