//! What a starter sends and what it reads: arguments and answers in Hessian, or in an encoding of ours.

use super::hessian::{self, Value, Writer};
use super::instance::Instance;
use crate::relay::CALLER_MIME;
use bytes::Bytes;
use rsocket::engine::Payload;
use rsocket::metadata::routing::Tags;
use rsocket::metadata::{Composite, CompositeBuilder, Mime, mime};
use rsocket::{ErrorCode, StreamError};
use serde::{Deserialize, Serialize};
use towline_service_api::{Encoding, EncodingError};

/// How a request or its answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Hessian,
    Other(Encoding),
}

impl Form {
    fn of(mime: Mime<'_>) -> Option<Self> {
        if mime == mime::HESSIAN {
            return Some(Self::Hessian);
        }
        mime.name().and_then(Encoding::from_mime).map(Self::Other)
    }

    fn mime(self) -> Mime<'static> {
        match self {
            Self::Hessian => mime::HESSIAN,
            Self::Other(encoding) => Mime::named(encoding.mime()),
        }
    }
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Call {
    pub service: String,
    pub method: String,
    /// The connection it came from.
    pub link: Option<u64>,
    form: Form,
    /// The answer is in the type of the caller's SETUP if that is Hessian, whatever the request is in.
    answer: Form,
    data: Bytes,
}

/// What the broker adds of the caller.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Caller {
    link: u64,
    data_mime: String,
}

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Reply {
    Status(i32),
    Texts(Vec<String>),
    Instance(Instance),
    Instances(Vec<Instance>),
}

pub(super) fn invalid(text: impl Into<String>) -> StreamError {
    StreamError::new(ErrorCode::INVALID, text)
}

pub(super) fn unreadable(why: impl std::fmt::Display) -> StreamError {
    invalid(format!("RST-700501: the arguments are not readable: {why}"))
}

impl Call {
    /// # Errors
    /// What the caller is told, if its metadata does not say what it calls and how its data is written.
    pub(super) fn read(request: Payload) -> Result<Self, StreamError> {
        let metadata = request.metadata.unwrap_or_default();
        let find = |mime| Composite::new(&metadata).find(mime);
        let route = find(mime::ROUTING).and_then(|tags| Tags::new(tags).next());
        let route = route.ok_or_else(|| invalid("RST-600404: No Routing metadata"))?;
        let form = find(mime::MESSAGE_MIME).and_then(mime::read_message_mime).and_then(Form::of);
        let form =
            form.ok_or_else(|| invalid("RST-700404: No encoding metadata; send Hessian, JSON or MessagePack"))?;
        let caller = find(Mime::Name(CALLER_MIME));
        let caller = caller.and_then(|json| serde_json::from_slice::<Caller>(json).ok());
        let of_setup = caller.as_ref().and_then(|caller| Form::of(Mime::named(&caller.data_mime)));
        let answer = if of_setup == Some(Form::Hessian) { Form::Hessian } else { form };
        let route = route.split_once('?').map_or(route, |(route, _)| route);
        let (service, method) = route.rsplit_once('.').unwrap_or((route, ""));
        Ok(Self {
            service: service.to_owned(),
            method: method.to_owned(),
            link: caller.map(|caller| caller.link),
            form,
            answer,
            data: request.data,
        })
    }

    /// Its service has no such method.
    pub(super) fn unknown(&self) -> StreamError {
        invalid(format!("RST-201404: No service handler found: {}.{}", self.service, self.method))
    }

    /// The arguments, each a text; what is missing or null is none.
    ///
    /// # Errors
    /// If they are something else, or more.
    pub(super) fn texts<const N: usize>(&self) -> Result<[Option<String>; N], StreamError> {
        let mut arguments = match self.form {
            _ if self.data.is_empty() => Vec::new(),
            Form::Hessian => {
                let values = hessian::arguments(&self.data).map_err(unreadable)?;
                let text = |value| match value {
                    Value::Null => Ok(None),
                    Value::Text(text) => Ok(Some(text)),
                    Value::Int(_) => Err(unreadable("a text is expected, not a number")),
                };
                values.into_iter().map(text).collect::<Result<_, _>>()?
            }
            Form::Other(encoding) => {
                let list = encoding.decode::<Vec<Option<String>>>(&self.data);
                list.or_else(|_| encoding.decode(&self.data).map(|one| vec![one])).map_err(unreadable)?
            }
        };
        if arguments.iter().skip(N).any(Option::is_some) {
            return Err(unreadable(format!("there are more than {N}")));
        }
        arguments.resize(N, None);
        Ok(arguments.try_into().expect("resized to so many"))
    }

    /// # Errors
    /// If its encoding has no way to say it.
    pub(super) fn reply(&self, reply: &Reply) -> Result<Payload, StreamError> {
        let data = match self.answer {
            Form::Hessian => reply.hessian().into(),
            Form::Other(encoding) => {
                encoding.encode(reply).map_err(|error: EncodingError| invalid(error.to_string()))?
            }
        };
        let metadata = CompositeBuilder::new().message_mime(self.answer.mime()).finish().freeze();
        Ok(Payload { metadata: Some(metadata), data })
    }
}

impl Reply {
    fn hessian(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Status(status) => writer.int(*status),
            Self::Texts(texts) => {
                writer.list(texts.len());
                texts.iter().for_each(|text| writer.text(Some(text)));
            }
            Self::Instance(instance) => {
                Instance::define(&mut writer);
                instance.write(&mut writer);
            }
            Self::Instances(instances) => {
                writer.list(instances.len());
                for (nth, instance) in instances.iter().enumerate() {
                    if nth == 0 {
                        Instance::define(&mut writer);
                    }
                    instance.write(&mut writer);
                }
            }
        }
        writer.finish()
    }
}
