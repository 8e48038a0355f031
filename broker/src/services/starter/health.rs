//! `RSocketServiceHealth.check(String?) -> Integer`: 1 serving, -1 down. A starter uses a connection only once this
//! has answered, and its first byte must be 0x91.

use super::hessian::{self, Value};
use super::{Call, Form};
use crate::routing::Routes;
use rsocket::{ErrorCode, StreamError};
use std::sync::Arc;

pub(super) const SERVICE: &str = "com.alibaba.rsocket.health.RSocketServiceHealth";

const SERVING: i8 = 1;
/// Nobody serves what was asked for: as the Java broker says it.
const DOWN: i8 = -1;

pub(super) struct Health {
    routes: Arc<Routes>,
}

impl Health {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes }
    }

    pub(super) fn check(&self, call: &Call<'_>, data: &[u8]) -> Result<Vec<u8>, StreamError> {
        let asked = asked(call.form, data)?.filter(|service| !service.is_empty());
        let is_serving = asked.is_none_or(|service| self.routes.load().variants(&service).next().is_some());
        let status = if is_serving { SERVING } else { DOWN };
        match call.answer {
            Form::Hessian => Ok(vec![hessian::small_int(status)]),
            Form::Other(encoding) => encoding
                .encode(&status)
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
