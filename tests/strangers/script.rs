//! What a caller of `test.Probe` checks. A stranger's program prints one line for each of [`CHECKS`]:
//! `ok <check>`, `failed <check>: <why>` or `lacks <check>: <why its library has no such thing>`.

use super::harness::SOON;
use super::probe::{Item, ProbeClient};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, interval, timeout};
use towline_responder::{App, RpcError, ServiceError, service};

/// Every check, in the order they run.
pub(crate) const CHECKS: [&str; 14] = [
    // `echo("héllo wörld")` is the same text.
    "echo",
    // `add(40, 2)` is 42: two arguments, by position.
    "add",
    // `ping()` has no argument and no result: no data, or COMPLETE alone.
    "ping",
    // `find(7)` is `{"id":7,"name":"seven"}`, `find(8)` is null.
    "find",
    // `fail("no such thing")` is an error whose text is that.
    "fail",
    // `note("<anything new>")` is one-way; it is in `notes()` soon after.
    "note",
    // `count(100)` with a REQUEST_N of 7 at a time: all hundred, in order, then the end.
    "count",
    // `count(1000)` asked for 3: these three; no more while ten `echo` come and go; asked for 2 more: those two; cancelled.
    "credit",
    // `count(1000000000)`, cancelled after five: `running()` is 0 soon after.
    "cancel",
    // `sum` of 1 to 100, as a channel, is 5050.
    "sum",
    // `chat("a")` saying "hi" and "bye", as a channel, is "a: hi" and "a: bye", then the end.
    "chat",
    // `echo` of 300,000 letters "x" is the same.
    "large",
    // `test.Probe.nothing` is INVALID (0x204), its text starts RST-201404.
    "unknown-method",
    // `test.Nobody.echo` is INVALID (0x204), its text starts RST-900404.
    "unknown-service",
];

#[service(name = "test.Nobody", encoding = "json")]
trait Nobody {
    async fn echo(&self, text: String) -> Result<String, RpcError>;
}

#[service(name = "test.Probe", encoding = "json")]
trait Nothing {
    async fn nothing(&self) -> Result<String, RpcError>;
}

/// Runs them all, as a Rust app at that address.
pub(crate) async fn run(url: &str) -> Vec<(&'static str, Result<(), String>)> {
    let app = App::connect(url).start().await.expect("the broker is there");
    let mut results = Vec::new();
    for check in CHECKS {
        let result = timeout(SOON, one(check, &app)).await.unwrap_or_else(|_| Err("it does not end".to_owned()));
        results.push((check, result));
    }
    app.close().await;
    results
}

async fn one(check: &str, app: &App) -> Result<(), String> {
    let probe = &app.client::<ProbeClient>();
    let failed = |error: &dyn std::fmt::Debug| format!("{error:?}");
    match check {
        "echo" => same(probe.echo("héllo wörld".into()).await.map_err(|e| failed(&e))?, "héllo wörld".into()),
        "add" => same(probe.add(40, 2).await.map_err(|e| failed(&e))?, 42),
        "ping" => probe.ping().await.map_err(|e| failed(&e)),
        "find" => {
            let seven = probe.find(7).await.map_err(|e| failed(&e))?;
            same(seven, Some(Item { id: 7, name: "seven".to_owned() }))?;
            same(probe.find(8).await.map_err(|e| failed(&e))?, None)
        }
        "fail" => refused(probe.fail("no such thing".into()).await, 0x201, "no such thing"),
        "note" => {
            let text = format!("{:x}", fastrand::u64(..));
            probe.note(text.clone()).await.map_err(|e| failed(&e))?;
            soon_so(async || Ok(probe.notes().await.map_err(|e| failed(&e))?.contains(&text))).await
        }
        "count" => {
            let counted: Vec<_> = probe.count(100).prefetch(7).start().try_collect().await.map_err(|e| failed(&e))?;
            same(counted, (1..=100).collect())
        }
        "credit" => {
            let mut numbers = probe.count(1000).prefetch(3).start();
            for expected in 1..=5 {
                same(numbers.next().await, Some(Ok(expected)))?;
                for _ in 0..5 {
                    probe.echo("meanwhile".into()).await.map_err(|e| failed(&e))?;
                }
            }
            Ok(())
        }
        "cancel" => {
            let five: Vec<_> =
                probe.count(1_000_000_000).start().take(5).try_collect().await.map_err(|e| failed(&e))?;
            same(five, (1..=5).collect())?;
            soon_so(async || Ok(probe.running().await.map_err(|e| failed(&e))? == 0)).await
        }
        "sum" => same(probe.sum(stream::iter(1..=100)).await.map_err(|e| failed(&e))?, 5050),
        "chat" => {
            let said = stream::iter(["hi", "bye"]).map(str::to_owned);
            let heard: Vec<_> = probe.chat("a".into(), said).start().try_collect().await.map_err(|e| failed(&e))?;
            same(heard, vec!["a: hi".to_owned(), "a: bye".to_owned()])
        }
        "large" => {
            let text = "x".repeat(300_000);
            let back = probe.echo(text.clone()).await.map_err(|e| failed(&e))?;
            if back == text { Ok(()) } else { Err(format!("{} letters came back", back.len())) }
        }
        "unknown-method" => refused(app.client::<NothingClient>().nothing().await, 0x204, "RST-201404"),
        "unknown-service" => refused(app.client::<NobodyClient>().echo("?".into()).await, 0x204, "RST-900404"),
        _ => Err("no such check".to_owned()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(is: T, should: T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{is:?}, not {should:?}")) }
}

fn refused<T: std::fmt::Debug, E: ServiceError + std::fmt::Debug>(
    result: Result<T, towline_responder::CallError<E>>,
    code: u32,
    text: &str,
) -> Result<(), String> {
    match &result {
        Err(error) if error.rpc().is_some_and(|e| e.code == code && e.message.starts_with(text)) => Ok(()),
        _ => Err(format!("{result:?}, not 0x{code:03x} {text}")),
    }
}

/// Asks until it is so.
async fn soon_so(ask: impl AsyncFn() -> Result<bool, String>) -> Result<(), String> {
    let mut looks = interval(std::time::Duration::from_millis(20));
    let deadline = Instant::now() + SOON / 2;
    while Instant::now() < deadline {
        if ask().await? {
            return Ok(());
        }
        looks.tick().await;
    }
    Err("it never came true".to_owned())
}
