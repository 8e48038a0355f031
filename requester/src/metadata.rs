use std::iter;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use towline_rsocket::engine::Payload;
use towline_rsocket::metadata::{Composite, Mime, mime};
use towline_service_api::{Answer, Call, CallOptions, Delivery, Encoding, RpcError, ServiceKey};

/// The MIME type of the deadline's metadata entry: milliseconds left, u32 big-endian.
pub const DEADLINE_MIME: &str = "message/x.towline.deadline.v0";

/// The metadata of a request: where it goes, how it is encoded, how the answer may be, how long there is. Errors: a tag
/// longer than 255 bytes.
pub(crate) fn write(call: &Call, left: Option<Duration>) -> Result<Bytes, RpcError> {
    let mut out = BytesMut::with_capacity(192);
    let ServiceKey { group, service, version } = &call.service;
    let before = |sign, text: &str| if text.is_empty() { "" } else { sign };
    let route = [group, before("!", group), service, ".", &call.method, before(":", version), version];
    entry(&mut out, mime::ROUTING, |out| write_tags(out, &route, &call.options))?;
    entry(&mut out, mime::MESSAGE_MIME, |out| {
        Mime::named(call.encoding.mime()).write(out);
        Ok(())
    })?;
    entry(&mut out, mime::ACCEPT_MIMES, |out| {
        accepted(call.encoding).for_each(|encoding| Mime::named(encoding.mime()).write(out));
        Ok(())
    })?;
    write_deadline(&mut out, left);
    Ok(out.freeze())
}

/// Writes how long there is, if that is to be told.
pub(crate) fn write_deadline(out: &mut BytesMut, left: Option<Duration>) {
    if let Some(left) = left {
        Mime::Name(DEADLINE_MIME.as_bytes()).write(out);
        out.put_uint(4, 3);
        out.put_u32(millis(left));
    }
}

/// This encoding first, then all others that have an id. Java starters stumble over a list with a name in it, so that
/// MessagePack, which has no id, is there only for those who speak it.
fn accepted(encoding: Encoding) -> impl Iterator<Item = Encoding> {
    let is_other = move |other: &Encoding| *other != encoding && *other != Encoding::MessagePack;
    iter::once(encoding).chain(Encoding::ALL.into_iter().filter(is_other))
}

/// Rounded up: what is left is not nothing.
fn millis(left: Duration) -> u32 {
    u32::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// Writes an entry; its length is known once its content is there.
pub(crate) fn entry(
    out: &mut BytesMut,
    kind: Mime<'_>,
    content: impl FnOnce(&mut BytesMut) -> Result<(), RpcError>,
) -> Result<(), RpcError> {
    kind.write(out);
    let at = out.len();
    out.put_uint(0, 3);
    content(out)?;
    let len = u32::try_from(out.len() - at - 3).expect("tags are short and few").to_be_bytes();
    out[at..at + 3].copy_from_slice(&len[1..]);
    Ok(())
}

/// Writes a route, and the tags that say which instance. Errors: a tag longer than 255 bytes.
pub(crate) fn write_tags(out: &mut BytesMut, route: &[&str], options: &CallOptions) -> Result<(), RpcError> {
    tag(out, route)?;
    if let Some(endpoint) = &options.endpoint {
        tag(out, &["e=", endpoint])?;
    }
    if options.sticky {
        tag(out, &["sticky=1"])?;
    }
    if let Some(key) = &options.key {
        tag(out, &["key=", key])?;
    }
    options.tags.iter().try_for_each(|(label, value)| tag(out, &["t.", label, "=", value]))
}

fn tag(out: &mut BytesMut, parts: &[&str]) -> Result<(), RpcError> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let Ok(len) = u8::try_from(len) else {
        let text = format!("the routing tag {:?} has {len} bytes: 255 are allowed", parts.concat());
        return Err(RpcError { delivery: Delivery::NotDelivered, ..RpcError::invalid(text) });
    };
    out.put_u8(len);
    parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
    Ok(())
}

/// Reads an answer with its own 0x7A entry. Errors: it is in a type we do not read.
pub(crate) fn read_answer(payload: Payload) -> Result<Answer, RpcError> {
    let Payload { metadata, data } = payload;
    let written = metadata.as_deref().and_then(|metadata| Composite::new(metadata).find(mime::MESSAGE_MIME));
    let Some(content) = written else { return Ok(Answer { encoding: None, data }) };
    let name = mime::read_message_mime(content).and_then(Mime::name);
    match name.and_then(Encoding::from_mime) {
        Some(encoding) => Ok(Answer { encoding: Some(encoding), data }),
        None => {
            let name = name.unwrap_or("a type without a name");
            Err(RpcError::invalid(format!("the answer is {name}, not one of {}", Encoding::names())))
        }
    }
}
