//! A row of the table in docs/first-errors.md.

use std::path::Path;

/// What the table says that the client sees, found by the test that shows it.
pub(crate) struct Row {
    test: &'static str,
    sees: String,
}

impl Row {
    /// The row that names this test.
    pub(crate) fn of(test: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/first-errors.md");
        let text = std::fs::read_to_string(path).expect("the table");
        let row = text.lines().find(|line| line.contains(&format!("::{test}`"))).expect("a row that names this test");
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, sees, _, _, _] = cells[..] else { panic!("{cells:?} are not five cells") };
        Self { test, sees: sees.to_owned() }
    }

    /// The table has this, word for word.
    #[track_caller]
    pub(crate) fn shows(&self, seen: &str) {
        let Self { test, sees } = self;
        assert!(sees.contains(&format!("`{seen}`")), "the row of {test} does not show\n`{seen}`\nbut\n{sees}");
    }

    /// The table has this ERROR.
    #[track_caller]
    pub(crate) fn error(&self, (code, text): &(u32, String)) {
        self.shows(&format!("{code:#05x} {text}"));
    }
}
