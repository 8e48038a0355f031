//! The tables in docs/ name tests that exist, and docs/conformance.md every requirement.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The requirements, by section: those of the specification that can be told from outside.
const REQUIREMENTS: &[(&str, &[u32])] = &[
    ("TRN", &[1, 2, 3, 4]),
    ("WS", &[1, 3, 4, 5]),
    ("FRM", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ("SID", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("SET", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("CON", &[1, 2, 3, 4, 5, 6]),
    ("KA", &[1, 2, 3, 4, 5, 6, 7]),
    ("LEA", &[1, 2, 3, 4, 5]),
    ("FLW", &[1, 2, 3, 4, 5, 6, 7]),
    ("RR", &[1, 2, 3]),
    ("RS", &[1, 2]),
    ("RC", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("FNF", &[1, 2]),
    ("REQ", &[1, 2]),
    ("PAY", &[1, 2, 3]),
    ("FRG", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("ERR", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11]),
    ("UNX", &[1, 2, 3, 4, 5, 6, 8]),
    ("MDP", &[1]),
    ("RES", &[1, 2, 5, 6, 8, 9]),
    ("EXT", &[1, 2, 3, 4, 5, 6, 7]),
    ("BRK", &[1, 2, 3, 4, 5, 6, 7, 8]),
];

/// The cells of each row of each table.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| --- "))
        .filter(|line| {
            !["| id ", "| what it does ", "| mistake ", "| client "].iter().any(|head| line.starts_with(head))
        })
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// Why this test does not count, if it does not.
fn fault(test: &str) -> Option<String> {
    let Some((file, function)) = test.split_once("::") else { return Some("no `file::function`".into()) };
    let path = if file.contains('/') { file.to_owned() } else { format!("tests/conformance/{file}") };
    let Ok(text) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)) else {
        return Some(format!("{path} does not exist"));
    };
    (!text.contains(&format!("fn {function}("))).then(|| format!("{path} has no {function}"))
}

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the table")
}

/// The tests a cell names.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every row of this document has so many cells, the last of which names tests that exist; there are so many rows.
#[track_caller]
fn expect_tests<const CELLS: usize>(path: &str, at_least: usize) {
    let text = document(path);
    let mut count = 0;
    for row in rows(&text) {
        let Ok(cells) = <[&str; CELLS]>::try_from(row.clone()) else { panic!("{row:?} has not {CELLS} cells") };
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let faults: Vec<_> = named(cells[CELLS - 1]).into_iter().filter_map(fault).collect();
        assert!(!named(cells[CELLS - 1]).is_empty() && faults.is_empty(), "{}: {faults:?}", cells[0]);
        count += 1;
    }
    assert!(count >= at_least, "{count} rows");
}

#[test]
fn every_misbehaviour_has_a_test_that_exists() {
    expect_tests::<4>("docs/hostile-peers.md", 21);
}

#[test]
fn every_first_error_has_a_test_that_exists() {
    expect_tests::<5>("docs/first-errors.md", 31);
}

#[test]
fn every_client_has_a_test_that_exists() {
    expect_tests::<6>("docs/clients.md", 9);
}

#[test]
fn what_java_starters_are_promised_has_tests_that_exist() {
    let text = document("docs/java.md");
    let tests: Vec<_> = named(&text).into_iter().filter(|name| name.contains(".rs::")).collect();
    let faults: Vec<_> = tests.iter().filter_map(|test| fault(test)).collect();
    assert!(tests.len() > 20 && faults.is_empty(), "{} tests: {faults:?}", tests.len());
}

#[test]
fn every_requirement_has_its_row_and_every_test_named_there_exists() {
    let text = document("docs/conformance.md");
    let ids = REQUIREMENTS.iter().flat_map(|(section, ids)| ids.iter().map(move |id| format!("{section}-{id:02}")));
    let mut missing: BTreeSet<String> = ids.collect();
    let mut faults = Vec::new();
    for row in rows(&text) {
        let [id, requirement, does, tests] = row[..] else { panic!("{row:?} has not four cells") };
        if !missing.remove(id) {
            faults.push(format!("{id}: no such requirement, or a second row"));
        }
        if requirement.is_empty() || does.is_empty() {
            faults.push(format!("{id}: an empty cell"));
        }
        // In place of tests there may be a reason why there are none.
        let named = named(tests);
        if named.is_empty() && !tests.starts_with("none: ") {
            faults.push(format!("{id}: neither a test nor a reason"));
        }
        faults.extend(named.into_iter().filter_map(fault).map(|fault| format!("{id}: {fault}")));
    }
    assert!(missing.is_empty() && faults.is_empty(), "no row: {missing:?}; {faults:#?}");
}
