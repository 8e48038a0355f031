use super::budget::{budget, limit_files};
use super::*;
use figment::value::Value;
use proptest::prelude::*;
use std::fs;

/// A file of its own, gone at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("towline-config-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).expect("a temporary file can be written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn variables(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

fn flag(name: &'static str, key: &'static str, value: impl Into<Value>) -> Sources {
    Sources { flags: vec![Flag { name, key, value: value.into() }], ..Sources::default() }
}

fn file(file: &File) -> Sources {
    Sources { file: Some(file.0.clone()), ..Sources::default() }
}

fn refusal(sources: &Sources) -> String {
    sources.load().expect_err("it is refused").to_string()
}

fn origin(layered: &Layered, key: &str) -> String {
    layered.entries().into_iter().find(|entry| entry.key == key).expect("a known key").origin
}

#[test]
fn the_defaults_pass_their_own_checks() {
    let config = Sources::default().load().expect("the defaults are valid");
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.addresses[0].to_string(), "tcp://127.0.0.1:9999");
    assert_eq!(config.http.address, None);
}

#[test]
fn flag_beats_variable_beats_file_beats_default() {
    let file = File::new(
        "layers",
        "[relay]\nmark = '2MiB'\nbatch = '128KiB'\nmax_streams_requester = 7\n[keepalive]\ninterval = '7s'\n",
    );
    let mut sources = variables(&[
        ("TOWLINE_RELAY__MARK", "3MiB"),
        ("TOWLINE_RELAY__MAX_STREAMS_RESPONDER", "12"),
        ("TOWLINE_RELAY__STRICT_CREDIT", "true"),
        ("TOWLINE_LOG__LEVEL", "debug"),
    ]);
    sources.file = Some(file.0.clone());
    sources.flags = flag("--log", "log.level", "warn").flags;
    let layered = sources.layered().expect("valid");
    let config = &layered.config;
    assert_eq!((config.relay.mark, config.relay.batch), (3 * MIB, 128 * KIB));
    assert_eq!((config.relay.max_streams_requester, config.relay.max_streams_responder), (7, 12));
    assert!(config.relay.strict_credit);
    assert_eq!(config.keepalive.interval, Duration::from_secs(7));
    assert_eq!(config.log.level, "warn");

    assert_eq!(origin(&layered, "log.level"), "--log");
    assert_eq!(origin(&layered, "relay.mark"), "environment variable TOWLINE_RELAY__MARK");
    assert_eq!(origin(&layered, "relay.batch"), file.0.display().to_string());
    assert_eq!(origin(&layered, "relay.small_frame"), "default");
}

#[test]
fn listeners_come_as_a_list_or_with_commas() {
    let wanted = ["tcp://127.0.0.1:1", "tcp://[::1]:2"];
    let listed = flag("--listen", "listen.addresses", wanted.map(Value::from).to_vec());
    let joined = variables(&[("TOWLINE_LISTEN__ADDRESSES", "tcp://localhost:1, tcp://[::1]:2")]);
    for sources in [listed, joined] {
        let addresses = sources.load().expect("valid").listen.addresses;
        assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let sources = variables(&[("TOWLINE_KEEPALIVE__INTERVAL", "1500ms"), ("TOWLINE_KEEPALIVE__BUSY_INTERVAL", "1s")]);
    let layered = sources.layered().expect("valid");
    let lines = layered.entries().into_iter().filter_map(|entry| Some(format!("{} = {}\n", entry.key, entry.value?)));
    let shown = File::new("shown", &lines.collect::<String>());
    let mut again = file(&shown).load().expect("what is shown is valid");
    assert_eq!(again.relay.budget, Some(layered.config.relay.budget_bytes()));
    again.relay.budget = None;
    assert_eq!(again, layered.config);
}

#[test]
fn unknown_keys_are_refused_with_origin_and_suggestion() {
    let typo = File::new("typo", "[relay]\nmakr = 1\n[shutdwon]\ngrace = '1s'\n[keepalive]\ngrace = '1s'\n");
    let path = typo.0.display();
    let text = refusal(&file(&typo));
    assert!(text.contains(&format!("{path}: unknown key `relay.makr`; did you mean `relay.mark`?")), "{text}");
    assert!(text.contains("unknown key `shutdwon.grace`; did you mean `shutdown.grace`?"), "{text}");
    assert!(text.contains("unknown key `keepalive.grace`; did you mean `shutdown.grace`?"), "{text}");
    assert_eq!(
        refusal(&variables(&[("TOWLINE_RELAY__STALED_AFTER", "1s")])),
        "environment variable TOWLINE_RELAY__STALED_AFTER: unknown key `relay.staled_after`; did you mean \
         `TOWLINE_RELAY__STALLED_AFTER`?"
    );
    assert_eq!(
        refusal(&variables(&[("TOWLINE_QQ__XYZZYX", "1s")])),
        "environment variable TOWLINE_QQ__XYZZYX: unknown key `qq.xyzzyx`; `towline config show` lists all keys"
    );
}

#[test]
fn a_variable_with_one_underscore_too_few_is_refused_and_foreign_ones_are_not() {
    let text = refusal(&variables(&[("TOWLINE_RELAY_MARK", "1MiB")]));
    assert!(text.ends_with("did you mean `TOWLINE_RELAY__MARK`?"), "{text}");
    let foreign = [
        ("TOWLINE_PORT", "tcp://10.0.0.1:9999"),
        ("TOWLINE_SERVICE_HOST", "10.0.0.1"),
        ("TOWLINE_MANAGEMENT_PORT_9997_TCP", "tcp://10.0.0.1:9997"),
        ("HOME", "/"),
    ];
    assert_eq!(variables(&foreign).load().expect("not settings"), Config::default());
}

#[test]
fn a_wrong_value_is_refused_with_origin_key_and_default() {
    assert_eq!(
        refusal(&variables(&[("TOWLINE_RELAY__MARK", "1Mob")])),
        "environment variable TOWLINE_RELAY__MARK: `relay.mark`: `Mob` is not a unit of size (B, KiB, MiB, GiB, KB, MB, \
         GB); the default is `relay.mark = \"1MiB\"`"
    );
    let number = File::new("number", "keepalive.interval = 20\n");
    let text = refusal(&file(&number));
    assert!(text.contains("`keepalive.interval`: `20` has no unit (ms, s, m, h); the default is"), "{text}");
    let text = refusal(&variables(&[("TOWLINE_RELAY__BUDGET", "lots")]));
    assert!(text.contains("`relay.budget`: `lots` is not a size; leave it out"), "{text}");
    let section = File::new("section", "relay = 7\n");
    let text = refusal(&file(&section));
    assert!(text.contains("`relay`: invalid type") && text.contains("this is a section"), "{text}");
    let text = refusal(&variables(&[("TOWLINE_LOG__FORMAT", "xml")]));
    assert!(text.contains("`log.format`: unknown variant") && text.contains("`log.format = \"text\"`"), "{text}");
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_refused() {
    let missing = Sources { file: Some(PathBuf::from("/nowhere/towline.toml")), ..Sources::default() };
    let text = refusal(&missing);
    assert!(text.starts_with("/nowhere/towline.toml: cannot be read: No such file"), "{text}");
    let broken = File::new("broken", "[relay\nmark = 1\n");
    assert!(refusal(&file(&broken)).contains(": not TOML: "), "{}", refusal(&file(&broken)));
}

fn listening(address: &str) -> Sources {
    flag("--listen", "listen.addresses", vec![Value::from(address)])
}

#[test]
fn an_address_is_a_scheme_and_where() {
    for address in ["tcp://127.0.0.1:9999", "ws://[::1]:0", "unix:///run/towline.sock"] {
        let config = listening(address).load().unwrap();
        assert_eq!(config.listen.addresses[0].to_string(), address);
    }
    for address in ["ftp://127.0.0.1:1", "127.0.0.1:9999", "tcp://127.0.0.1", "tcp://example.com:9999", ""] {
        assert!(listening(address).load().is_err(), "{address}");
    }
    let long = format!("unix:///{}", "x".repeat(107));
    for address in ["unix://", "unix://relative.sock", &long] {
        assert!(refusal(&listening(address)).contains("absolute path"), "{address}");
    }
}

#[test]
fn a_listener_for_tls_needs_a_certificate_and_its_key() {
    for scheme in ["tls", "wss"] {
        let text = refusal(&listening(&format!("{scheme}://127.0.0.1:9999")));
        assert!(text.contains(&format!("`{scheme}://127.0.0.1:9999` needs a certificate")), "{text}");
    }
    let alone = flag("--x", "tls.certificate", "server.pem");
    assert!(refusal(&alone).contains("`tls.certificate` is set without `tls.key`"), "{}", refusal(&alone));
}

#[test]
fn origins_are_what_browsers_send() {
    let origins = |origin: &str| flag("--x", "listen.origins", vec![Value::from(origin)]);
    for origin in ["https://app.example.com", "http://localhost:8080", "*", "null"] {
        assert!(origins(origin).load().is_ok(), "{origin}");
    }
    for origin in ["app.example.com", "https://app.example.com/", "https://", "https://a b", ""] {
        assert!(refusal(&origins(origin)).contains("what a browser sends"), "{origin}");
    }
    let joined = variables(&[("TOWLINE_LISTEN__ORIGINS", "http://localhost:8080, https://app.example.com")]);
    let named = joined.load().expect("valid").listen.origins;
    assert_eq!(named, ["http://localhost:8080", "https://app.example.com"]);
}

#[test]
fn advertised_addresses_are_what_a_client_can_connect_to() {
    let named = variables(&[("TOWLINE_LISTEN__ADVERTISED", "tcp://broker.example.com:9999, tls://[2001:db8::1]:9443")]);
    let config = named.load().expect("valid");
    assert_eq!(config.listen.advertised, ["tcp://broker.example.com:9999", "tls://[2001:db8::1]:9443"]);
    for address in [
        "tcp://0.0.0.0:9999",
        "tcp://[::]:9999",
        "tcp://broker.example.com",
        "tcp://:9999",
        "tcp://broker:0",
        "tcp://broker:9999/",
        "unix:///run/towline.sock",
        "broker:9999",
        "",
    ] {
        let text = refusal(&flag("--x", "listen.advertised", vec![Value::from(address)]));
        assert!(text.contains(&format!("`{address}` is not an address that apps can connect to")), "{text}");
    }
}

#[test]
fn a_listener_others_can_reach_needs_insecure() {
    let open = flag("--listen", "listen.addresses", vec![Value::from("tcp://0.0.0.0:9999")]);
    assert_eq!(
        refusal(&open),
        "--listen: `tcp://0.0.0.0:9999` can be reached from other machines, and this build has no authentication yet; \
         listen on `tcp://127.0.0.1:9999`, or pass --insecure if the network keeps strangers out"
    );
    let text = refusal(&variables(&[("TOWLINE_MANAGEMENT__ADDRESS", "192.0.2.1:9997")]));
    assert!(text.contains("`192.0.2.1:9997` can be reached from other machines"), "{text}");

    let mut allowed = open;
    allowed.flags.push(Flag { name: "--insecure", key: "listen.insecure", value: true.into() });
    assert!(allowed.load().is_ok());
    for address in ["tcp://127.0.0.2:0", "tcp://[::1]:0", "tcp://[::ffff:127.0.0.1]:0"] {
        assert!(flag("--listen", "listen.addresses", vec![Value::from(address)]).load().is_ok(), "{address}");
    }
}

#[test]
fn a_gateway_is_refused_and_off_is_not() {
    let text = refusal(&flag("--http", "http.address", "127.0.0.1:9998"));
    assert_eq!(text, "--http: `127.0.0.1:9998`: this build has no HTTP gateway yet; leave it out, or say `off`");
    assert!(flag("--http", "http.address", "off").load().is_ok());
    let config = flag("--management", "management.address", "off").load().expect("valid");
    assert_eq!(config.management.address, None);
}

#[test]
fn values_that_contradict_each_other_are_refused_where_they_were_set() {
    for (name, value, why) in [
        ("TOWLINE_RELAY__MARK", "0", "`relay.mark` is 0, less than relay.small_frame (16KiB)"),
        ("TOWLINE_RELAY__BATCH", "1KiB", "`relay.batch` is 1KiB, less than relay.small_frame (16KiB)"),
        ("TOWLINE_RELAY__SMALL_FRAME", "512KiB", "`relay.batch` is 256KiB, less than relay.small_frame (512KiB)"),
        ("TOWLINE_RELAY__BUDGET", "64KiB", "`relay.budget` is 64KiB, less than relay.mark (1MiB)"),
        ("TOWLINE_RELAY__MAX_FRAME", "16MiB", "`relay.max_frame` is 16MiB, more than a 24-bit length can say"),
        ("TOWLINE_RELAY__MAX_STREAMS_REQUESTER", "0", "`relay.max_streams_requester` is 0"),
        ("TOWLINE_RELAY__REFUSE_LARGE_MARKS", "40", "`relay.refuse_small_marks` is less than"),
        ("TOWLINE_RELAY__WINDOW_MIN", "1MiB", "`relay.window_max` is 256KiB, less than relay.window_min (1MiB)"),
        (
            "TOWLINE_KEEPALIVE__BUSY_INTERVAL",
            "30s",
            "`keepalive.interval` is 20s, less than keepalive.busy_interval (30s)",
        ),
        (
            "TOWLINE_KEEPALIVE__MAX_LIFETIME",
            "10s",
            "`keepalive.max_lifetime` is 10s, less than keepalive.interval (20s)",
        ),
        ("TOWLINE_LISTEN__SETUP_TIMEOUT", "0s", "`listen.setup_timeout` is 0s"),
        ("TOWLINE_LOG__LEVEL", "inof", "`inof` is not a log level"),
        ("TOWLINE_LOG__LEVEL", "info,towline=loud", "`info,towline=loud` is not a log level"),
    ] {
        let text = refusal(&variables(&[(name, value)]));
        assert!(text.starts_with(&format!("environment variable {name}: ")) && text.contains(why), "{text}");
    }
    for level in ["off", "INFO", "warn,towline::link=debug", "info,[link{id=7}]=trace"] {
        assert!(flag("--log", "log.level", level).load().is_ok(), "{level}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let sources =
        variables(&[("TOWLINE_RELAY__MARK", "0"), ("TOWLINE_RELAY__BATCH", "0"), ("TOWLINE_LOG__LEVEL", "x")]);
    assert_eq!(sources.load().expect_err("refused").problems.len(), 3);
}

#[test]
fn sizes_are_read_in_both_families_of_units() {
    for (text, bytes) in [
        ("0", 0),
        ("16777215", 16 * MIB - 1),
        ("64KiB", 64 * KIB),
        (" 1 mib ", MIB),
        ("2GiB", 2 * KIB * MIB),
        ("5 B", 5),
        ("3kB", 3000),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "-1", "1.5MiB", "1 Mib it", "99999999999GiB", "18446744073709551616"] {
        assert!(parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn durations_need_their_unit() {
    for (text, millis) in [("0s", 0), ("500ms", 500), ("5s", 5000), ("2 m", 120_000), ("1h", 3_600_000)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "5", "s", "5 S", "1.5s", "5 sec", "-1s", "99999999999999999h"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_written_for_people_reads_as_the_same(bytes in any::<usize>(), millis in any::<u64>(), shift in 0..40_u32) {
        let bytes = bytes >> shift << (shift / 2);
        prop_assert_eq!(parse_size(&human_size(bytes)), Ok(bytes));
        let time = Duration::from_millis(millis >> shift);
        prop_assert_eq!(parse_duration(&human_duration(time)), Ok(time));
    }
}

#[test]
fn the_budget_is_a_quarter_of_what_there_is() {
    let meminfo = |kib: u64| format!("MemTotal:       {kib} kB\nMemFree:  12 kB\n");
    let none = std::iter::empty::<&str>;
    assert_eq!(budget(&meminfo(1024 * 1024), none()), 256 * MIB);
    assert_eq!(budget(&meminfo(64 * 1024 * 1024), none()), 512 * MIB);
    assert_eq!(budget(&meminfo(1024 * 1024), ["max\n", "134217728\n"].into_iter()), 32 * MIB);
    // What v1 says where there is no limit.
    assert_eq!(budget(&meminfo(1024 * 1024), ["9223372036854771712\n"].into_iter()), 256 * MIB);
    assert_eq!(budget("", ["134217728"].into_iter()), 32 * MIB);
    assert_eq!(budget("", none()), 512 * MIB);
}

#[test]
fn limits_are_looked_for_in_every_group_around() {
    let paths =
        |membership: &str| limit_files(membership).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(paths("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    assert_eq!(
        paths("0::/system.slice/towline.service\n"),
        [
            "/sys/fs/cgroup/system.slice/towline.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max"
        ]
    );
    assert_eq!(
        paths("12:cpu,cpuacct:/a\n5:memory:/docker/x\n1:name=systemd:/a\nnonsense\n"),
        [
            "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes"
        ]
    );
}
