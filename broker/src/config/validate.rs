//! What the types cannot say: values that make sense only within bounds or together.

use super::address::is_loopback;
use super::{Config, human_duration, human_size};
use std::net::IpAddr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// The largest number a 24-bit length field holds.
const FRAME_LIMIT: usize = (1 << 24) - 1;
/// The most threads that are started.
const MOST_THREADS: usize = 1024;
/// Length, header and fixed fields of a SETUP, with room for two MIME types.
const SETUP_FLOOR: usize = 512;
/// Schemes of addresses that are told to clients; Java's for TLS is `tcps`, and `tls` too.
const SCHEMES: [&str; 5] = ["tcp", "tls", "tcps", "ws", "wss"];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A rule that is broken: the keys it is about, the one to blame first, why, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub keys: Vec<&'static str>,
    pub why: String,
    pub next: String,
}

/// All rules that are broken.
pub(super) fn violations(config: &Config) -> Vec<Violation> {
    let mut checks = Checks(Vec::new());
    checks.reach(config);
    checks.log(&config.log.level);
    checks.relay(config);
    checks.times(config);
    checks.0
}

struct Checks(Vec<Violation>);

impl Checks {
    fn fail(&mut self, keys: &[&'static str], why: impl Into<String>, next: impl Into<String>) {
        self.0.push(Violation { keys: keys.to_vec(), why: why.into(), next: next.into() });
    }

    /// Who can connect, and to what.
    fn reach(&mut self, config: &Config) {
        let listen = &config.listen;
        if listen.addresses.is_empty() {
            let next = "add one, as in `tcp://127.0.0.1:9999`";
            self.fail(&["listen.addresses"], "no address to listen on", next);
        }
        let management = config.management.address.iter().filter(|address| !is_loopback(address));
        let open = listen.addresses.iter().filter(|address| !address.is_loopback());
        let open = open.map(|address| ("listen.addresses", address.to_string(), "tcp://127.0.0.1:9999"));
        let open = open.chain(management.map(|address| ("management.address", address.to_string(), "127.0.0.1:9997")));
        for (key, address, loopback) in open.filter(|_| !listen.insecure) {
            let why =
                format!("`{address}` can be reached from other machines, and this build has no authentication yet");
            let next = format!("listen on `{loopback}`, or pass --insecure if the network keeps strangers out");
            self.fail(&[key, "listen.insecure"], why, next);
        }
        let tls = &config.tls;
        if tls.certificate.is_some() != tls.key.is_some() {
            let (there, missing) =
                if tls.key.is_none() { ("tls.certificate", "tls.key") } else { ("tls.key", "tls.certificate") };
            self.fail(&[missing, there], format!("`{there}` is set without `{missing}`"), "name both PEM files");
        }
        if let Some(address) = listen.addresses.iter().find(|address| address.is_secure() && tls.certificate.is_none())
        {
            let next = "name the PEM files by `tls.certificate` and `tls.key`";
            self.fail(&["tls.certificate", "listen.addresses"], format!("`{address}` needs a certificate"), next);
        }
        for origin in listen.origins.iter().filter(|origin| *origin != "*" && !is_origin(origin)) {
            let why = format!("`{origin}` is not what a browser sends as Origin");
            self.fail(&["listen.origins"], why, "write scheme and host, as in `https://app.example.com`");
        }
        for address in listen.advertised.iter().filter(|address| !is_advertisable(address)) {
            let why = format!("`{address}` is not an address that apps can connect to");
            let schemes = SCHEMES.join(", ");
            let next = format!("write scheme ({schemes}), host and port, as in `tcp://broker.example.com:9999`");
            self.fail(&["listen.advertised"], why, next);
        }
        if let Some(address) = config.http.address {
            let why = format!("`{address}`: this build has no HTTP gateway yet");
            self.fail(&["http.address"], why, "leave it out, or say `off`");
        }
    }

    fn log(&mut self, level: &str) {
        // A single word that is no level would select a target of that name, and silence everything else.
        let words = level.split(',').map(str::trim);
        let stray = words.filter(|word| !word.contains(['=', ':', '['])).find(|word| !is_level(word));
        let why = match stray {
            Some(word) => Some(format!("`{word}` is not a log level")),
            None => EnvFilter::try_new(level).err().map(|e| format!("`{level}` is not a log level: {e}")),
        };
        if let Some(why) = why {
            self.fail(&["log.level"], why, format!("use one of {}, or `target=level`", LEVELS.join(", ")));
        }
    }

    fn relay(&mut self, config: &Config) {
        let (relay, listen) = (&config.relay, &config.listen);
        if relay.max_frame > FRAME_LIMIT {
            let why =
                format!("`relay.max_frame` is {}, more than a 24-bit length can say", human_size(relay.max_frame));
            self.fail(&["relay.max_frame"], why, format!("use at most {FRAME_LIMIT}"));
        }
        if !(1..=MOST_THREADS).contains(&relay.worker_threads()) {
            let why = format!("`relay.threads` is {}", relay.worker_threads());
            self.fail(
                &["relay.threads"],
                why,
                format!("use 1 to {MOST_THREADS}, or leave it out for half of the cores"),
            );
        }
        for (key, count) in [
            ("relay.max_streams_responder", relay.max_streams_responder),
            ("relay.max_streams_requester", relay.max_streams_requester),
            ("relay.refuse_large_marks", relay.refuse_large_marks),
            ("relay.window_items", relay.window_items),
            ("registration.max_services", config.registration.max_services),
            ("registration.max_links_per_instance", config.registration.max_links_per_instance),
        ] {
            if count == 0 {
                self.fail(&[key], format!("`{key}` is 0, so nothing would be served"), "use at least 1");
            }
        }
        for (key, bytes) in [
            ("relay.small_frame", relay.small_frame),
            ("relay.progress_bytes", relay.progress_bytes),
            ("relay.window_min", relay.window_min),
            ("relay.gathering_max", relay.gathering_max),
        ] {
            if bytes == 0 {
                self.fail(&[key], format!("`{key}` is 0"), "use at least 1");
            }
        }
        self.ordered("listen.setup_max", listen.setup_max, "the least a SETUP needs", SETUP_FLOOR);
        let budget = relay.budget_bytes();
        for (larger, bytes, smaller, at_least) in [
            ("relay.max_frame", relay.max_frame, "listen.setup_max", listen.setup_max),
            ("relay.mark", relay.mark, "relay.small_frame", relay.small_frame),
            ("relay.batch", relay.batch, "relay.small_frame", relay.small_frame),
            ("relay.budget", budget, "relay.mark", relay.mark),
            ("relay.gathering_link", relay.gathering_link, "relay.gathering_max", relay.gathering_max),
            ("relay.window_max", relay.window_max, "relay.window_min", relay.window_min),
            ("relay.window_total", relay.window_total, "relay.window_max", relay.window_max),
            ("relay.park_link", relay.park_link, "relay.park_stream", relay.park_stream),
            ("relay.request_fragments_max", relay.request_fragments_max, "relay.gathering_max", relay.gathering_max),
        ] {
            self.ordered(larger, bytes, smaller, at_least);
        }
        if relay.lease_requests > 0x7FFF_FFFF {
            let why = format!("`relay.lease_requests` is {}, more than LEASE can say", relay.lease_requests);
            self.fail(&["relay.lease_requests"], why, "use at most 2147483647");
        }
        if relay.refuse_small_marks < relay.refuse_large_marks {
            let why = "`relay.refuse_small_marks` is less than `relay.refuse_large_marks`";
            self.fail(&["relay.refuse_small_marks", "relay.refuse_large_marks"], why, "refuse large requests first");
        }
    }

    fn ordered(&mut self, key: &'static str, bytes: usize, other: &'static str, at_least: usize) {
        if bytes < at_least {
            let (bytes, least) = (human_size(bytes), human_size(at_least));
            let why = format!("`{key}` is {bytes}, less than {other} ({least})");
            let keys = if other.contains(' ') { vec![key] } else { vec![key, other] };
            self.fail(&keys, why, format!("use at least {least}"));
        }
    }

    fn times(&mut self, config: &Config) {
        let (relay, keepalive) = (&config.relay, &config.keepalive);
        for (key, time) in [
            ("listen.setup_timeout", config.listen.setup_timeout),
            ("relay.gathering_timeout", relay.gathering_timeout),
            ("relay.stalled_after", relay.stalled_after),
            ("relay.progress_window", relay.progress_window),
            ("relay.lease_ttl", relay.lease_ttl),
            ("keepalive.interval", keepalive.interval),
            ("keepalive.busy_interval", keepalive.busy_interval),
            ("keepalive.suspect_after", keepalive.suspect_after),
        ] {
            if time == Duration::ZERO {
                self.fail(&[key], format!("`{key}` is 0s"), "use at least 1ms");
            }
        }
        for (longer, time, shorter, at_least) in [
            ("keepalive.interval", keepalive.interval, "keepalive.busy_interval", keepalive.busy_interval),
            ("keepalive.max_lifetime", keepalive.max_lifetime, "keepalive.interval", keepalive.interval),
        ] {
            if time < at_least {
                let (time, least) = (human_duration(time), human_duration(at_least));
                let why = format!("`{longer}` is {time}, less than {shorter} ({least})");
                self.fail(&[longer, shorter], why, format!("use at least {least}"));
            }
        }
    }
}

/// A scheme and a host, maybe a port, and nothing behind; or the `null` of a page from a file.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map(|(_scheme, host)| host);
    text == "null" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ', ',']))
}

/// A scheme that clients know, a host that is not "anywhere", a port, and nothing behind.
fn is_advertisable(text: &str) -> bool {
    let Some((scheme, place)) = text.split_once("://") else { return false };
    let Some((host, port)) = place.rsplit_once(':') else { return false };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_anywhere = address.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@', ',']) && !is_anywhere;
    SCHEMES.contains(&scheme) && is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}
