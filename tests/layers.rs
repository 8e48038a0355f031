//! The folders of the broker keep their order: each uses only those above it.

use std::fs;
use std::path::Path;

/// From the bottom up.
const LAYERS: [&str; 10] =
    ["config", "metrics", "shutdown", "store", "link", "routing", "mq", "relay", "services", "http"];

fn sources(folder: &Path, found: &mut Vec<(usize, String)>, layer: usize) {
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found, layer);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push((layer, path.display().to_string()));
        }
    }
}

#[test]
fn no_folder_uses_one_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker/src");
    let mut files = Vec::new();
    for (layer, name) in LAYERS.iter().enumerate() {
        if root.join(name).is_dir() {
            sources(&root.join(name), &mut files, layer);
        }
        files.extend(
            root.join(format!("{name}.rs"))
                .exists()
                .then(|| (layer, root.join(format!("{name}.rs")).display().to_string())),
        );
    }
    assert!(files.len() > 20, "the folders were found");
    for (layer, file) in files {
        for line in fs::read_to_string(&file)
            .expect("it was listed")
            .lines()
            .filter(|line| line.trim_start().starts_with("use crate::"))
        {
            let used =
                line.trim_start().trim_start_matches("use crate::").split([':', ';', '{']).next().unwrap_or_default();
            let is_upward = LAYERS.iter().position(|name| *name == used).is_some_and(|used| used > layer);
            assert!(!is_upward, "{file}: `{}` looks upward from {}", line.trim(), LAYERS[layer]);
        }
    }
}
