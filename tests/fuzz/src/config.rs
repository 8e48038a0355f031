use std::path::PathBuf;
use std::sync::LazyLock;
use towline::config::{ListenAddress, Sources, human_duration, human_size, parse_duration, parse_size};

/// A configuration file: what `towline config show` says of it, as a file, is the same configuration.
pub fn config(bytes: &[u8]) {
    static FILE: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("towline-fuzz-{}.toml", std::process::id())));
    if let Ok(text) = std::str::from_utf8(bytes) {
        value(text);
    }
    let load = |bytes: &[u8]| {
        std::fs::write(&*FILE, bytes).expect("a file for the configuration");
        let layered = Sources { file: Some(FILE.clone()), ..Sources::default() }.layered();
        let checked = layered.and_then(|layered| layered.check().map(|()| layered));
        // Left behind it would be found by the next process of this number.
        std::fs::remove_file(&*FILE).expect("it was just written");
        checked
    };
    let layered = match load(bytes) {
        Ok(layered) => layered,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let lines = layered.entries().into_iter().filter_map(|entry| Some(format!("{} = {}\n", entry.key, entry.value?)));
    let shown = lines.collect::<String>();
    let mut same = layered.config.clone();
    same.relay.budget = Some(same.relay.budget_bytes());
    match load(shown.as_bytes()) {
        Ok(again) => assert_eq!(again.config, same),
        Err(error) => panic!("{error}\n{shown}"),
    }
}

/// One value.
fn value(text: &str) {
    if let Ok(size) = parse_size(text) {
        assert_eq!(parse_size(&human_size(size)).ok(), Some(size));
    }
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&human_duration(duration)).ok(), Some(duration));
    }
    if let Ok(address) = text.parse::<ListenAddress>() {
        assert_eq!(address.to_string().parse().ok(), Some(address));
    }
}
