use super::SOON;
use super::program::Program;
use std::path::Path;

/// A broker on a data folder of its own, and where it listens.
async fn broker(data: &Path) -> (Program, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_towline"));
    let data = data.to_str().expect("text");
    let args = ["serve", "--listen", "tcp://127.0.0.1:0", "--management", "off", "--log", "info", "--data", data];
    let mut broker = Program::start("towline", program, &args);
    let ready = broker.expect("towline ready tcp://").await.text;
    (broker, ready.trim_start_matches("towline ready tcp://").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_retried_die_and_are_sent_back_and_it_runs_twice() {
    let data = std::env::temp_dir().join(format!("towline-orders-{}", std::process::id()));
    let (broker, address) = broker(&data).await;
    for _ in 0..2 {
        let mut orders = Program::example("orders", &address, &[]);
        for line in [
            "stored at offset Some(0)",
            "sent again: duplicate true",
            "stored 9 more",
            "dead letter: order 5 after 3 attempts: there is no card on file",
            "sent back 1, dead letters left: 0",
            "done",
        ] {
            orders.expect(line).await;
        }
        assert!(orders.ended(SOON).await.is_empty());
    }
    broker.kill().await;
    let _ = std::fs::remove_dir_all(data);
}
