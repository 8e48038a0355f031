use std::time::Duration;

use towline_requester::DEADLINE_MIME;
use towline_rsocket::metadata::routing::Tags;
use towline_rsocket::metadata::{Composite, Mime, mime};
use towline_service_api::{Accept, Encoding, RpcError};

pub(crate) const NO_ROUTING: &str =
    "RST-600404: No Routing metadata; send a routing entry (0x7E) with one tag service.method";

/// What the metadata of a request says, borrowed from it; the first entry of each type counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head<'a> {
    routing: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
    deadline: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// Reads what comes before the first malformed entry.
    pub(crate) fn read(metadata: &'a [u8]) -> Self {
        let mut head = Self::default();
        for entry in Composite::new(metadata).map_while(Result::ok) {
            let slot = match entry.mime {
                mime::ROUTING => &mut head.routing,
                mime::MESSAGE_MIME => &mut head.data,
                mime::ACCEPT_MIMES => &mut head.accept,
                Mime::Name(name) if name == DEADLINE_MIME.as_bytes() => &mut head.deadline,
                _ => continue,
            };
            slot.get_or_insert(entry.content);
        }
        head
    }

    /// The routing text. Errors: RST-600404, there is none.
    pub(crate) fn route(self) -> Result<&'a str, RpcError> {
        let first = self.routing.and_then(|routing| Tags::new(routing).next());
        first.ok_or_else(|| RpcError::invalid(NO_ROUTING))
    }

    /// The encoding of the request, and those its answer may be in. Errors: RST-700501, the request's is not known here.
    pub(crate) fn encodings(self, default: Encoding) -> Result<(Encoding, Accept), RpcError> {
        let request = match self.data {
            None => default,
            Some(content) => {
                let name = mime::read_message_mime(content).and_then(Mime::name);
                name.and_then(Encoding::from_mime).ok_or_else(|| unknown(name))?
            }
        };
        let accept = match (self.accept, self.data) {
            (None, _) => Accept::default(),
            // The first choice is the request's own type, which has a form for all: what our requesters send.
            (Some(accept), Some(data)) if accept.starts_with(data) && !request.is_raw() => Accept::default(),
            (Some(accept), _) => {
                let known = |mime: Mime<'_>| mime.name().and_then(Encoding::from_mime);
                mime::read_accept_mimes(accept).into_iter().filter_map(known).collect()
            }
        };
        Ok((request, accept))
    }

    /// How long there is, if it says so in four bytes.
    pub(crate) fn deadline(self) -> Option<Duration> {
        let millis = u32::from_be_bytes(self.deadline?.try_into().ok()?);
        Some(Duration::from_millis(millis.into()))
    }
}

fn unknown(name: Option<&str>) -> RpcError {
    let name = name.unwrap_or("a type without a name");
    RpcError::invalid(format!("RST-700501: {name} is not readable here: send one of {}", Encoding::names()))
}
