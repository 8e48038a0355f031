//! What an operator may set: one typed value, and where each part of it came from.
//!
//! ```text
//!  layers    flag > environment TOWLINE_SECTION__KEY > towline.toml > default; unknown keys refused with their origin
//!  units     1MiB, 5s                          address   tcp://127.0.0.1:9999, or "off"
//!  budget    the default for relay.budget      list      items, or one text with commas
//!  validate  what the types cannot say
//! ```
//! Invariant: a [`Config`] out of [`Sources::load`] has passed every check, so the rest of the broker checks none of it.

mod address;
mod budget;
mod error;
mod layers;
mod list;
#[cfg(test)]
mod tests;
mod units;
mod validate;

pub use address::ListenAddress;
pub use error::{ConfigError, Problem};
pub use layers::{Entry, Flag, Layered, Origin, Sources};
pub use units::{human_duration, human_size, parse_duration, parse_size};

use address::off_or_address;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use units::{duration, optional_size, size};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Everything an operator may set, by section; each section has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub listen: Listen,
    pub tls: Tls,
    pub http: Http,
    pub management: Management,
    pub data: Data,
    pub log: Log,
    pub relay: Relay,
    pub keepalive: Keepalive,
    pub registration: Registration,
    pub shutdown: Shutdown,
}

/// Where applications connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// A list, or one string with commas between the addresses.
    #[serde(deserialize_with = "list::one_or_many")]
    pub addresses: Vec<ListenAddress>,
    /// Where apps find this broker, told to those that ask (Java starters do, every two minutes, and connect there): a list,
    /// or one string with commas. If empty each app is told the address it says that it uses itself.
    #[serde(deserialize_with = "list::one_or_many")]
    pub advertised: Vec<String>,
    /// Allows listeners that other machines can reach; this build has no authentication.
    pub insecure: bool,
    /// The first byte and the whole SETUP come within this.
    #[serde(with = "duration")]
    pub setup_timeout: Duration,
    /// Bytes of a SETUP, checked on its length field.
    #[serde(with = "size")]
    pub setup_max: usize,
    /// Web pages that may connect, as their browsers name them (`https://app.example.com`); `*` is any. Clients that are
    /// no browsers send no origin and need none. A list, or one string with commas between the origins.
    #[serde(deserialize_with = "list::one_or_many")]
    pub origins: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            addresses: vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 9999)))],
            advertised: Vec::new(),
            insecure: false,
            setup_timeout: Duration::from_secs(5),
            setup_max: 64 * KIB,
            origins: Vec::new(),
        }
    }
}

/// The certificate of listeners that speak TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file: the server's certificate, then those between it and its root.
    pub certificate: Option<PathBuf>,
    /// A PEM file: the certificate's private key.
    pub key: Option<PathBuf>,
}

/// The HTTP gateway, which this build does not have: only `off` is accepted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    #[serde(with = "off_or_address")]
    pub address: Option<SocketAddr>,
}

/// Where `/metrics`, `/livez` and `/readyz` are served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Management {
    /// None is written `off`.
    #[serde(with = "off_or_address")]
    pub address: Option<SocketAddr>,
}

impl Default for Management {
    fn default() -> Self {
        Self { address: Some(SocketAddr::from(([127, 0, 0, 1], 9997))) }
    }
}

/// Where durable topics are kept; made when the first topic is created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub directory: PathBuf,
    /// Bytes its volume keeps free: below that publishing answers `storage-full`, and goes on by itself once there is room.
    #[serde(with = "size")]
    pub keep_free: usize,
    /// Bytes of messages that were received and are not confirmed yet; beyond it publishers are told to try again.
    #[serde(with = "size")]
    pub publish_budget: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self { directory: PathBuf::from("towline-data"), keep_free: 512 * MIB, publish_budget: 64 * MIB }
    }
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or directives as in `info,towline::link=debug`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Bounds of the relay; flow.md says what each is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Threads that read, relay and write; half of the cores if not set.
    pub threads: Option<usize>,
    /// Bytes of one frame, at most what its 24-bit length field can say.
    #[serde(with = "size")]
    pub max_frame: usize,
    /// Streams open towards one app.
    pub max_streams_responder: usize,
    /// Streams open from one app.
    pub max_streams_requester: usize,
    /// Bytes queued for a link above which other endpoints are preferred.
    #[serde(with = "size")]
    pub mark: usize,
    /// Marks above which every new request to a link is refused.
    pub refuse_small_marks: usize,
    /// Marks above which a large new request to a link is refused.
    pub refuse_large_marks: usize,
    /// A request above this is large.
    #[serde(with = "size")]
    pub large_request: usize,
    /// Frames up to this are copied into the outbox, unless many were read one after the other; larger ones keep their memory.
    #[serde(with = "size")]
    pub small_frame: usize,
    /// Bytes given to one write.
    #[serde(with = "size")]
    pub batch: usize,
    /// Bytes held for others, all links together; the smaller of 512 MiB and a quarter of memory if not set.
    #[serde(with = "optional_size")]
    pub budget: Option<usize>,
    /// Bytes of one request whose metadata is not complete yet.
    #[serde(with = "size")]
    pub gathering_max: usize,
    #[serde(with = "duration")]
    pub gathering_timeout: Duration,
    /// Bytes of such requests on one link.
    #[serde(with = "size")]
    pub gathering_link: usize,
    /// A socket that took nothing for this long, with frames queued, is stalled.
    #[serde(with = "duration")]
    pub stalled_after: Duration,
    /// Bytes a link must take, and an unfinished frame must grow by, within `progress_window`.
    #[serde(with = "size")]
    pub progress_bytes: usize,
    #[serde(with = "duration")]
    pub progress_window: Duration,
    /// Bytes of credit shared by all streams towards one receiver.
    #[serde(with = "size")]
    pub window_total: usize,
    #[serde(with = "size")]
    pub window_min: usize,
    #[serde(with = "size")]
    pub window_max: usize,
    /// Items of credit in one window.
    pub window_items: usize,
    /// Bytes kept for a stream whose responder sent more than was asked.
    #[serde(with = "size")]
    pub park_stream: usize,
    #[serde(with = "size")]
    pub park_link: usize,
    /// Bytes of one request's own fragments that may wait at its responder.
    #[serde(with = "size")]
    pub request_fragments_max: usize,
    /// Closes a link that sends more than was asked, instead of containing it.
    pub strict_credit: bool,
    /// Refuses a SETUP without app metadata.
    pub strict_setup: bool,
    /// Requests an app that asks for leases may send within one.
    pub lease_requests: u32,
    /// How long a lease holds; it is renewed after two thirds of that.
    #[serde(with = "duration")]
    pub lease_ttl: Duration,
    /// KEEPALIVE and METADATA_PUSH frames a second that are taken; a link that sends more is closed.
    pub control_rate: u32,
    /// So many of them may come at once.
    pub control_burst: u32,
}

impl Relay {
    /// Threads as set, or half of the cores: the kernel's side of the network needs the others, and two threads that relay
    /// on two cores wake and wait for each other more than they carry (docs/benchmarks.md).
    pub fn worker_threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(|| (cores() / 2).max(1))
    }

    /// The budget that applies: as set, or by this machine's memory.
    pub fn budget_bytes(&self) -> usize {
        self.budget.unwrap_or_else(budget::of_this_machine)
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            threads: None,
            max_frame: 16 * MIB - 1,
            max_streams_responder: 16_384,
            max_streams_requester: 8_192,
            mark: MIB,
            refuse_small_marks: 32,
            refuse_large_marks: 4,
            large_request: 64 * KIB,
            small_frame: 16 * KIB,
            batch: 256 * KIB,
            budget: None,
            gathering_max: 64 * KIB,
            gathering_timeout: Duration::from_secs(10),
            gathering_link: MIB,
            stalled_after: Duration::from_secs(5),
            progress_bytes: 64 * KIB,
            progress_window: Duration::from_secs(30),
            window_total: 8 * MIB,
            window_min: 8 * KIB,
            window_max: 256 * KIB,
            window_items: 1024,
            park_stream: 256 * KIB,
            park_link: 8 * MIB,
            request_fragments_max: 64 * MIB,
            strict_credit: false,
            strict_setup: false,
            lease_requests: 0x7FFF_FFFF,
            lease_ttl: Duration::from_secs(30),
            control_rate: 100,
            control_burst: 1000,
        }
    }
}

/// When a silent link is probed, suspected and closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// Silence after which an idle link is probed, if its client did not ask for less.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// The same while it has streams open.
    #[serde(with = "duration")]
    pub busy_interval: Duration,
    /// An unanswered probe makes the link suspect after this.
    #[serde(with = "duration")]
    pub suspect_after: Duration,
    /// A silent link is closed after this, if its client did not ask for less.
    #[serde(with = "duration")]
    pub max_lifetime: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(20),
            busy_interval: Duration::from_secs(5),
            suspect_after: Duration::from_secs(5),
            max_lifetime: Duration::from_secs(90),
        }
    }
}

/// How much one app may register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registration {
    /// Services of one link.
    pub max_services: usize,
    /// Beyond, the oldest link of the instance is drained and closed.
    pub max_links_per_instance: usize,
    /// Events of one link that are read; twice as many may come at once.
    pub events_per_second: u32,
}

impl Default for Registration {
    fn default() -> Self {
        Self { max_services: 1024, max_links_per_instance: 8, events_per_second: 20 }
    }
}

/// How long a drain may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// What has not ended by then is ended.
    #[serde(with = "duration")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(30) }
    }
}
