//! `towline torture`, as users run it: brokers are killed at work, and nothing they confirmed is lost.

use std::process::Command;

#[test]
fn nothing_confirmed_is_lost_however_the_broker_is_killed() {
    let rounds = std::env::var("TOWLINE_KILLS").unwrap_or_else(|_| "20".to_owned());
    let mut torture = Command::new(env!("CARGO_BIN_EXE_towline"));
    torture.args(["torture", "--rounds", &rounds, "--longest", "800"]);
    if let Ok(seed) = std::env::var("TOWLINE_SEED") {
        torture.args(["--seed", &seed]);
    }
    let output = torture.output().expect("it runs");
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}{why}");
    assert!(said.contains(&format!("{rounds} kills")), "{said}");
}
