use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::dispatch::Interaction;
use crate::key::ServiceKey;

/// What a service offers, as written in its trait: uploaded so that the broker can describe it, try it and compare versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// Group, name and version.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// The trait's doc comment.
    pub docs: &'static str,
    /// The methods, in the order written.
    pub methods: &'static [Method],
}

/// One method of a [`Contract`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Method {
    /// The name on the wire, such as `findById`.
    pub name: &'static str,
    /// The name in Rust, such as `find_by_id`; a server accepts it as well.
    pub rust_name: &'static str,
    /// The doc comment.
    pub docs: &'static str,
    /// Which way how many values go.
    pub shape: Shape,
    /// The arguments, without the inbound stream.
    pub arguments: &'static [Argument],
    /// The Rust type of the inbound items; `None` unless the caller sends a stream.
    pub inbound: Option<&'static str>,
    /// The Rust type of the result or of one item; `()` for one-way methods.
    pub result: &'static str,
    /// The Rust type of the error; `None` for one-way methods.
    pub error: Option<&'static str>,
    /// How long a caller waits unless it says otherwise.
    #[serde(rename = "timeoutMs", serialize_with = "as_millis")]
    pub timeout: Option<Duration>,
    /// Whether processing a request twice is the same as once.
    pub idempotent: bool,
    /// Whether a client sends the only argument as a bare value in JSON and CBOR, not in an array.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
}

/// One argument of a [`Method`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    /// The name on the wire, such as `userId`.
    pub name: &'static str,
    /// The name in Rust, such as `user_id`; a server accepts it as well.
    pub rust_name: &'static str,
    /// The Rust type as written.
    #[serde(rename = "type")]
    pub type_text: &'static str,
    /// `false` for an `Option`, which a caller may leave out.
    pub required: bool,
}

/// Which way how many values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One request, one answer.
    Unary,
    /// One request, no answer, not even an error.
    OneWay,
    /// One request, many answers.
    Stream,
    /// Many items in, one answer.
    ClientStream,
    /// Many items in, many answers.
    Channel,
}

impl Contract {
    /// The method of a name, in its wire or its Rust spelling.
    pub fn method(&self, name: &str) -> Option<&'static Method> {
        self.methods.iter().find(|method| method.name == name || method.rust_name == name)
    }
}

impl Shape {
    /// The interaction a caller should use.
    pub const fn interaction(self) -> Interaction {
        match self {
            Self::Unary => Interaction::RequestResponse,
            Self::OneWay => Interaction::FireAndForget,
            Self::Stream => Interaction::RequestStream,
            Self::ClientStream | Self::Channel => Interaction::RequestChannel,
        }
    }

    /// Whether a server answers this interaction. Lenient where nothing can be misread: unary and one-way methods may also be
    /// called by the other one's interaction, or as a stream of one item.
    pub const fn admits(self, interaction: Interaction) -> bool {
        match self {
            Self::Unary | Self::OneWay => !matches!(interaction, Interaction::RequestChannel),
            Self::Stream => matches!(interaction, Interaction::RequestStream),
            Self::ClientStream | Self::Channel => matches!(interaction, Interaction::RequestChannel),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.type_text)
    }
}

fn as_millis<S: Serializer>(timeout: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}
