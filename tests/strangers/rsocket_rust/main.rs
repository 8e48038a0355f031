//! Stock rsocket_rust with its TCP transport, as one of the strangers: `serve <url>` and `call <url>`.

mod call;
mod serve;
#[path = "../../../examples/stock_rsocket_rust/wire.rs"]
mod wire;

use rsocket_rust::Result;
use serde_json::json;
use std::io::{copy, sink, stdin};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (verb, url) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    match verb.as_str() {
        "call" => call::run(&wire::connect(&url, "rsocket_rust", None).await?).await,
        "serve" => {
            let service = json!({"service": "test.Probe"});
            let client =
                wire::connect(&url, "rsocket_rust", Some((service, Box::new(serve::Probe::default())))).await?;
            // Answered behind SETUP, which registers.
            wire::ask(&client, "towline.Health.check", &()).await?;
            println!("ready");
            tokio::task::spawn_blocking(|| copy(&mut stdin(), &mut sink())).await??;
        }
        _ => eprintln!("serve <url> or call <url>"),
    }
    Ok(())
}
