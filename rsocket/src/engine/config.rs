use super::Lease;
use crate::frame::{MAX_FRAME, MAX_REQUEST_N};
use bytes::Bytes;
use std::time::Duration;

/// Limits and times of one connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between a client's KEEPALIVE frames, sent in SETUP. A server probes after the client's interval, at most
    /// this long, of silence.
    pub keepalive: Duration,
    /// Silence after which the peer counts as dead. A server takes the client's if that is shorter.
    pub lifetime: Duration,
    /// Server: how long SETUP may take.
    pub setup_timeout: Duration,
    /// Items granted ahead to the sender of a channel this side answers.
    pub prefetch: u32,
    /// Credit is topped up once at most so many items are granted and not yet taken.
    pub low_water: u32,
    /// Bytes of the largest frame sent; larger payloads are fragmented. 64 to 16 MiB - 1.
    pub max_frame: usize,
    /// Bytes of the largest payload joined from fragments.
    pub max_payload: usize,
    /// Bytes all unfinished payloads of the connection may hold.
    pub max_unfinished: usize,
    /// Bytes queued to be written above which requests, items and answers wait.
    pub outgoing_mark: usize,
    /// The peer's requests in progress; more are answered ERROR\[REJECTED\].
    pub max_streams: usize,
    /// The requests the peer may send, renewed at two thirds of their time until [`Connection::lease`] says otherwise.
    /// Client: `Some` asks for leases (the L flag of SETUP), which bind both sides. Server: what a client that asks gets;
    /// `None` gives it [`Lease::default`].
    ///
    /// [`Connection::lease`]: super::Connection::lease
    pub lease: Option<Lease>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(20),
            lifetime: Duration::from_secs(90),
            setup_timeout: Duration::from_secs(10),
            prefetch: 64,
            low_water: 32,
            max_frame: MAX_FRAME,
            max_payload: 64 << 20,
            max_unfinished: 128 << 20,
            outgoing_mark: 1 << 20,
            max_streams: 8_192,
            lease: None,
        }
    }
}

impl Config {
    /// What an [`Inbound`](super::Inbound) grants.
    pub fn window(&self) -> Window {
        Window { initial: self.prefetch, low_water: self.low_water }
    }

    pub(super) fn checked(mut self) -> Self {
        // SETUP cannot say 0.
        self.keepalive = self.keepalive.max(Duration::from_millis(1));
        self.lifetime = self.lifetime.max(Duration::from_millis(1));
        self.max_frame = self.max_frame.clamp(64, MAX_FRAME);
        self.lease = self.lease.map(Lease::checked);
        self
    }
}

/// How far a consumer lets its peer run ahead: items granted and not yet taken never exceed `initial`. With 0 its peer does
/// not run ahead at all: each item is granted once the consumer waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The initial n, 0 to 2^31-1; a request that is made waits for its first item, so it asks for 1 at least.
    pub initial: u32,
    /// Topped up to `initial` once at most so many are left.
    pub low_water: u32,
}

impl Window {
    /// A window topped up at half.
    pub fn new(initial: u32) -> Self {
        Self { initial, low_water: initial / 2 }
    }

    pub(super) fn checked(self) -> Self {
        let initial = self.initial.min(MAX_REQUEST_N);
        Self { initial, low_water: self.low_water.min(initial.saturating_sub(1)) }
    }

    /// The n of a request.
    pub(super) fn first(self) -> u32 {
        self.initial.max(1)
    }

    /// What to grant when `left` items are granted and not yet taken; `is_waited_for`: the consumer waits for one.
    pub(super) fn top_up(self, left: u64, is_waited_for: bool) -> u32 {
        if self.initial == 0 {
            return u32::from(is_waited_for && left == 0);
        }
        if left > u64::from(self.low_water) {
            return 0;
        }
        self.initial - u32::try_from(left).expect("low_water is a u32")
    }
}

/// What a client says in SETUP; its times come from [`Config`].
#[derive(Clone, Debug)]
pub struct ClientSetup {
    /// MIME type of all metadata, at most 255 ASCII bytes.
    pub metadata_mime: String,
    /// MIME type of all data, at most 255 ASCII bytes.
    pub data_mime: String,
    /// The set-up payload's metadata.
    pub metadata: Option<Bytes>,
    /// The set-up payload's data.
    pub data: Bytes,
}
