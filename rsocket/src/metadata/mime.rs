//! MIME types by id or by name (Extensions/WellKnownMimeTypes.md, and the ids the Java starters add).

use bytes::{BufMut, BytesMut};

/// A MIME type as metadata writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mime<'a> {
    /// A well-known id, 0 to 127.
    Id(u8),
    /// A name of 1 to 128 ASCII bytes.
    Name(&'a [u8]),
}

macro_rules! well_known {
    ($($konst:ident = $id:literal $name:literal $doc:literal;)*) => {
        $(#[doc = $doc] pub const $konst: Mime<'static> = Mime::Id($id);)*
        const NAMES: &[(u8, &str)] = &[$(($id, $name)),*];
    };
}

well_known! {
    AVRO = 0x00 "application/avro" "Avro.";
    CBOR = 0x01 "application/cbor" "CBOR.";
    GRAPHQL = 0x02 "application/graphql" "GraphQL.";
    JSON = 0x05 "application/json" "JSON.";
    OCTET_STREAM = 0x06 "application/octet-stream" "Raw bytes.";
    PROTOBUF = 0x09 "application/vnd.google.protobuf" "Protocol buffers.";
    TEXT = 0x21 "text/plain" "Text.";
    HESSIAN = 0x26 "application/x-hessian" "Hessian 2.";
    JAVA_OBJECT = 0x27 "application/x-java-object" "Java serialisation.";
    CLOUDEVENTS_JSON = 0x28 "application/cloudevents+json" "A CloudEvent in JSON.";
    BINARY_ROUTING = 0x50 "message/x.rsocket.binary-routing.v0" "The starters' binary routing.";
    APPLICATION = 0x51 "message/x.rsocket.application+json" "An app's own description, in SETUP.";
    SERVICE_REGISTRY = 0x54 "message/x.rsocket.service.registry.v0+json" "Services an app publishes, in SETUP.";
    ORIGIN = 0x58 "message/x.rsocket.message.origin" "Where a request comes from.";
    MESSAGE_MIME = 0x7A "message/x.rsocket.mime-type.v0" "The MIME type of this stream's data.";
    ACCEPT_MIMES = 0x7B "message/x.rsocket.accept-mime-types.v0" "MIME types the requester reads.";
    AUTHENTICATION = 0x7C "message/x.rsocket.authentication.v0" "Credentials.";
    TRACING = 0x7D "message/x.rsocket.tracing-zipkin.v0" "A Zipkin trace context.";
    ROUTING = 0x7E "message/x.rsocket.routing.v0" "Routing tags.";
    COMPOSITE = 0x7F "message/x.rsocket.composite-metadata.v0" "Composite metadata.";
}

impl<'a> Mime<'a> {
    /// The id of a well-known name, else the name itself.
    pub fn named(name: &'a str) -> Self {
        Self::Name(name.as_bytes()).canonical()
    }

    /// One form for both spellings: the id if the type has one here.
    pub fn canonical(self) -> Self {
        match self {
            Self::Id(_) => self,
            Self::Name(name) => {
                NAMES.iter().find(|(_, known)| known.as_bytes() == name).map_or(self, |(id, _)| Mime::Id(*id))
            }
        }
    }

    /// The name, if it is known here or was sent as ASCII text.
    pub fn name(self) -> Option<&'a str> {
        match self {
            Self::Id(id) => NAMES.iter().find(|(known, _)| *known == id).map(|(_, name)| *name),
            Self::Name(name) => std::str::from_utf8(name).ok(),
        }
    }

    /// Writes the type as metadata does: an id with the top bit set, or length - 1 and the name.
    ///
    /// # Panics
    /// If a name is empty or longer than 128 bytes.
    pub fn write(self, out: &mut BytesMut) {
        match self.canonical() {
            Self::Id(id) => out.put_u8(0x80 | id),
            Self::Name(name) => {
                assert!((1..=128).contains(&name.len()), "a MIME type in metadata has 1 to 128 bytes");
                out.put_u8(name.len() as u8 - 1);
                out.put_slice(name);
            }
        }
    }
}

/// Reads the content of a 0x7A entry. Its length decides the form: an id; length - 1 and name (the standard); length
/// and name (what the starters write).
pub fn read_message_mime(content: &[u8]) -> Option<Mime<'_>> {
    let (&first, name) = content.split_first()?;
    if first & 0x80 != 0 {
        return name.is_empty().then_some(Mime::Id(first & 0x7F));
    }
    let declared = usize::from(first);
    (!name.is_empty() && (name.len() == declared + 1 || name.len() == declared)).then(|| Mime::Name(name).canonical())
}

/// Reads the content of a 0x7B entry: a list in the standard form, else in the starters', else nothing.
pub fn read_accept_mimes(content: &[u8]) -> Vec<Mime<'_>> {
    read_list(content, 1).or_else(|| read_list(content, 0)).unwrap_or_default()
}

fn read_list(mut rest: &[u8], bias: usize) -> Option<Vec<Mime<'_>>> {
    let mut mimes = Vec::new();
    while let Some((&first, tail)) = rest.split_first() {
        if first & 0x80 != 0 {
            mimes.push(Mime::Id(first & 0x7F));
            rest = tail;
        } else {
            let (name, tail) = tail.split_at_checked(usize::from(first) + bias).filter(|(name, _)| name.is_ascii())?;
            mimes.push(Mime::Name(name).canonical());
            rest = tail;
        }
    }
    Some(mimes)
}
