//! The program as scripts see it: exit codes, the ready line, probes, signals.

#[path = "cli/topics.rs"]
mod topics;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// For what must happen soon, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);

/// The program in an empty directory and an environment without settings.
fn towline(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towline"));
    command.args(args).current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOWLINE_") {
            command.env_remove(name);
        }
    }
    command
}

fn output(args: &[&str]) -> Output {
    towline(args).output().expect("the program starts")
}

/// Exit code and standard error.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = output(args);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

/// A broker on ports the system picked; killed at the end if it still runs.
struct Broker {
    process: Child,
    stdout: BufReader<ChildStdout>,
    ready: String,
}

impl Broker {
    fn start(args: &[&str]) -> Self {
        let ports = ["serve", "--listen", "tcp://127.0.0.1:0", "--management", "127.0.0.1:0"];
        let mut process = towline(&[&ports, args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("the ready line is text");
        Self { process, stdout, ready: ready.trim_end().to_owned() }
    }

    /// `127.0.0.1:1234` of the management port.
    fn management(&self) -> &str {
        self.ready.rsplit_once(" management=http://").expect("the ready line names it").1
    }

    /// `127.0.0.1:1234` of the first listener.
    fn address(&self) -> &str {
        let (_, rest) = self.ready.split_once("towline ready tcp://").expect("the ready line names it");
        rest.split(' ').next().expect("split yields something")
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Exit code, what was left on standard output, and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("text");
        self.process.stderr.take().expect("it is piped").read_to_string(&mut err).expect("text");
        (self.process.wait().expect("it ends").code(), out, err)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A file in the directory of this test run.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the directory is ours");
    path
}

#[test]
fn a_wrong_command_line_is_refused_with_two() {
    let (code, error) = refused(&["--lisen", "tcp://127.0.0.1:0"]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("towline: command line: unexpected argument '--lisen'"), "{error}");
    assert!(error.contains("--listen"), "{error}");
    assert_eq!(refused(&["config"]).0, Some(2));
    assert_eq!(refused(&["fly"]).0, Some(2));
}

#[test]
fn what_this_build_cannot_do_is_refused_by_name() {
    for (args, text) in [
        (["--listen", "tls://127.0.0.1:0"], "needs a certificate"),
        (["--listen", "ftp://127.0.0.1:0"], "`ftp://` is not a scheme of a listener (tcp, tls, ws, wss, unix)"),
        (["--http", "127.0.0.1:9998"], "this build has no HTTP gateway yet"),
        (["--listen", "tcp://0.0.0.0:0"], "pass --insecure"),
        (["--management", "0.0.0.0:0"], "pass --insecure"),
        (["--log", "inof"], "`inof` is not a log level"),
        (["--config", "/nowhere/towline.toml"], "cannot be read"),
    ] {
        for command in [None, Some("serve"), Some("check-config")] {
            let args: Vec<&str> = command.into_iter().chain(args).collect();
            let (code, error) = refused(&args);
            assert_eq!(code, Some(2), "{args:?}: {error}");
            assert!(error.starts_with("towline: ") && error.contains(text), "{args:?}: {error}");
        }
    }
}

#[test]
fn help_and_version_are_answers() {
    for args in
        [&["--help"][..], &["serve", "-h"], &["check", "--help"], &["config", "show", "--help"], &["bench", "-h"]]
    {
        let output = output(args);
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && text.contains("Usage: towline"), "{args:?}: {text}");
        assert!(text.contains("Example: "), "no example for {args:?}: {text}");
    }
    let wanted = format!("towline {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(output(&["version"]).stdout, wanted.as_bytes());
    assert_eq!(output(&["--version"]).stdout, wanted.as_bytes());
}

#[test]
fn a_configuration_is_checked_and_shown_with_its_origins() {
    let path = file("shown.toml", "[relay]\nmark = '2MiB'\n");
    let config = path.to_str().expect("text");
    let checked = output(&["check-config", "--config", config]);
    assert_eq!((checked.status.code(), checked.stdout.as_slice()), (Some(0), &b"the configuration is valid\n"[..]));

    let mut command = towline(&["config", "show", "--origin", "--config", config, "--log", "warn"]);
    let shown = command.env("TOWLINE_SHUTDOWN__GRACE", "9s").output().expect("the program starts");
    let text = String::from_utf8(shown.stdout).expect("text");
    for (setting, origin) in [
        ("relay.mark = \"2MiB\"", config),
        ("shutdown.grace = \"9s\"", "environment variable TOWLINE_SHUTDOWN__GRACE"),
        ("log.level = \"warn\"", "--log"),
        ("relay.batch = \"256KiB\"", "default"),
    ] {
        let line =
            text.lines().find(|line| line.starts_with(setting)).unwrap_or_else(|| panic!("no {setting}: {text}"));
        assert!(line.ends_with(&format!(" # {origin}")), "{line}");
    }

    let path = file("typo.toml", "[relay]\nmakr = '2MiB'\n");
    let (code, error) = refused(&["check-config", "--config", path.to_str().expect("text")]);
    assert_eq!(code, Some(2));
    assert!(error.ends_with("typo.toml: unknown key `relay.makr`; did you mean `relay.mark`?\n"), "{error}");
}

#[test]
fn the_ready_line_names_ports_that_accept() {
    let broker = Broker::start(&["--listen", "tcp://127.0.0.1:0"]);
    let words: Vec<&str> = broker.ready.split(' ').collect();
    assert_eq!(words.len(), 5, "{}", broker.ready);
    assert_eq!(words[..2], ["towline", "ready"]);
    for address in words[2..4].iter().map(|word| word.strip_prefix("tcp://").expect("a listener")) {
        assert!(!address.ends_with(":0"), "{address}");
        TcpStream::connect(address).expect("the listener accepts");
    }
    let answer = get(broker.management(), "/readyz").expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    assert!(get(broker.management(), "/livez").expect("it answers").starts_with("HTTP/1.1 200 "));
    let answer = get(broker.management(), "/metrics").expect("it answers");
    assert!(answer.contains("\ntowline_process_resident_memory_bytes "), "{answer}");
}

#[test]
fn without_a_management_port_the_ready_line_names_none() {
    let broker = Broker::start(&["--management", "off"]);
    assert_eq!(broker.ready, format!("towline ready tcp://{}", broker.address()));
}

#[test]
fn sigterm_and_sigint_drain_and_exit_with_zero() {
    for name in ["TERM", "INT"] {
        let broker = Broker::start(&[]);
        let management = broker.management().to_owned();
        broker.signal(name);
        let (code, out, error) = broker.end();
        assert_eq!((code, out.as_str()), (Some(0), ""), "{error}");
        assert!(error.contains("draining"), "{error}");
        assert!(get(&management, "/livez").is_err());
    }
}

#[test]
fn an_address_in_use_is_told_with_one() {
    let broker = Broker::start(&[]);
    let (code, error) = refused(&["--listen", "tcp://127.0.0.1:0", "--management", broker.management()]);
    assert_eq!(code, Some(1));
    assert!(error.contains("towline: management: cannot listen on "), "{error}");
    let taken = format!("tcp://{}", broker.address());
    let (code, error) = refused(&["--listen", &taken, "--management", "off", "--log", "off"]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with("towline: ") && error.contains(broker.address()), "{error}");
}

#[test]
fn the_log_is_on_standard_error_in_the_form_that_was_asked_for() {
    let path = file("json.toml", "[log]\nformat = 'json'\n");
    let broker = Broker::start(&["--config", path.to_str().expect("text")]);
    broker.signal("TERM");
    let (_, _, error) = broker.end();
    assert!(!error.is_empty());
    for line in error.lines() {
        assert!(line.starts_with("{\"timestamp\":") && line.ends_with('}'), "{line}");
    }
    let broker = Broker::start(&["--log", "off"]);
    broker.signal("TERM");
    assert_eq!(broker.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn check_tells_ready_from_silent() {
    let broker = Broker::start(&[]);
    let ready = output(&["check", "--management", broker.management()]);
    assert_eq!((ready.status.code(), ready.stdout.as_slice()), (Some(0), &b"ready\n"[..]));
    let management = broker.management().to_owned();
    broker.signal("TERM");
    broker.end();
    let (code, error) = refused(&["check", "--management", &management]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with(&format!("towline: {management}: no answer: ")), "{error}");
    assert_eq!(refused(&["check", "--management", "off"]).0, Some(2));
}

#[test]
fn check_tells_who_answers_but_is_not_ready_and_waits_for_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let draining = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the check comes");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).expect("the question comes");
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\ndraining\n").expect("the answer is taken");
        drop(stream);
        // The second check is never answered, but it is accepted by the kernel.
        listener
    });
    let (code, error) = refused(&["check", "--management", &address]);
    assert_eq!((code, error.contains("not ready: draining")), (Some(1), true), "{error}");
    let _silent = draining.join().expect("the answer was given");
    let began = Instant::now();
    assert_eq!(refused(&["check", "--management", &address, "--timeout", "100ms"]).0, Some(2));
    assert!(began.elapsed() < SOON);
}

/// A connection that serves `test.Slow` and has a stream to it open, which nobody ends: a drain waits for it.
fn busy_app(address: &str) -> TcpStream {
    fn entry(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id][..], &(content.len() as u32).to_be_bytes()[1..], content].concat()
    }
    fn framed(head: &[u8], metadata: &[u8]) -> Vec<u8> {
        let metadata = [&(metadata.len() as u32).to_be_bytes()[1..], metadata].concat();
        [&((head.len() + metadata.len()) as u32).to_be_bytes()[1..], head, &metadata].concat()
    }
    const COMPOSITE: &[u8] = b"message/x.rsocket.composite-metadata.v0";
    const BINARY: &[u8] = b"application/octet-stream";
    let app = br#"{"uuid":"0123456789abcdef0123456789abcdef","name":"busy"}"#;
    let registry = br#"{"published":[{"service":"test.Slow"}]}"#;
    // Stream 0, SETUP with metadata, version 1.0, keepalive every 20 s, lifetime 90 s.
    let fixed = [0, 0, 0, 0, 0x05, 0, 0, 1, 0, 0, 0, 0, 0x4e, 0x20, 0, 1, 0x5f, 0x90];
    let head = [&fixed[..], &[COMPOSITE.len() as u8], COMPOSITE, &[BINARY.len() as u8], BINARY].concat();
    let setup = framed(&head, &[entry(0xd1, app), entry(0xd4, registry)].concat());
    // Stream 1, REQUEST_STREAM with metadata, for one item.
    let request = framed(&[0, 0, 0, 1, 0x19, 0, 0, 0, 0, 1], &entry(0xfe, b"\x0etest.Slow.wait"));
    let mut app = TcpStream::connect(address).expect("the listener accepts");
    app.set_read_timeout(Some(SOON)).expect("a socket has one");
    app.write_all(&[setup, request].concat()).expect("the frames are taken");
    // Whatever else comes first, at the end the request comes back, as REQUEST_STREAM on an even stream.
    loop {
        let mut length = [0; 4];
        app.read_exact(&mut length[1..]).expect("the broker sends the request");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        app.read_exact(&mut frame).expect("a frame is whole");
        if frame[4] >> 2 == 0x06 {
            return app;
        }
        assert_ne!(frame[4] >> 2, 0x0b, "ERROR: {}", String::from_utf8_lossy(&frame));
    }
}

/// Asks again and again until the answer is as wanted.
fn wait_for(address: &str, path: &str, wanted: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = get(address, path).expect("it answers");
        if answer.contains(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{path} never said {wanted}: {answer}");
    }
}

#[test]
fn a_drain_is_seen_by_probes_and_a_second_signal_does_not_wait_for_it() {
    let broker = Broker::start(&[]);
    let _app = busy_app(broker.address());
    broker.signal("TERM");
    wait_for(broker.management(), "/readyz", "HTTP/1.1 503 ");
    assert!(get(broker.management(), "/readyz").expect("it answers").ends_with("\r\n\r\ndraining\n"));
    assert!(get(broker.management(), "/livez").expect("it answers").starts_with("HTTP/1.1 200 "));
    assert_eq!(refused(&["check", "--management", broker.management()]).0, Some(1));
    broker.signal("INT");
    assert_eq!(broker.end().0, Some(130));
}

#[test]
fn a_drain_ends_at_the_grace_time() {
    let path = file("grace.toml", "[shutdown]\ngrace = '200ms'\n");
    let broker = Broker::start(&["--config", path.to_str().expect("text")]);
    let _app = busy_app(broker.address());
    broker.signal("TERM");
    let (code, _, error) = broker.end();
    assert_eq!(code, Some(0), "{error}");
}

/// As `| head -1` does it: what was asked for is done or ends, and nothing is wrong.
#[test]
fn a_command_whose_reader_has_gone_ends_without_a_word() {
    let report = ["bench", "fnf", "--rounds", "1", "--seconds", "0.1", "--warmup", "0.1", "-o", "json"];
    for (args, lines) in [(&["demo", "--listen", "tcp://127.0.0.1:0"][..], 2), (&report[..], 0)] {
        let mut command = towline(args);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut said = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        for _ in 0..lines {
            said.next().expect("it says more").expect("text");
        }
        drop(said);
        let output = process.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !errors.contains("panicked"), "{args:?}: {}\n{errors}", output.status);
    }
}
