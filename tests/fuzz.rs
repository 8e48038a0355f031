//! Every fuzz target of `tests/fuzz`, without libFuzzer: over its corpus, and over mutations of it that a seed decides.

#[path = "fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "to libFuzzer's targets this is a library")]
mod targets;

use fastrand::Rng;
use std::path::Path;
use std::thread;
use std::{env, fs};

/// What a run begins with; another one is chosen by `TOWLINE_FUZZ_SEED`.
const SEED: u64 = 0x70_77_6C_69_6E_65;
/// Set, the seeds are written to the corpus.
const WRITE: &str = "TOWLINE_FUZZ_WRITE";
/// Bytes of an input.
const MAX: usize = 4096;
/// Values at the ends of ranges.
const ENDS: [u8; 8] = [0, 1, 0x20, 0x7F, 0x80, 0xC0, 0xFE, 0xFF];

/// Prints the input a panic came of.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the input: b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn run(target: &str, body: fn(&[u8]), mutations: usize) {
    let corpus = corpus(target);
    let seed = env::var("TOWLINE_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("{} files, {mutations} mutations, TOWLINE_FUZZ_SEED={seed}", corpus.len());
    let mut rng = Rng::with_seed(seed);
    let mutated = (0..mutations).map(|_| mutated(&corpus, &mut rng));
    for input in corpus.iter().cloned().chain(mutated) {
        let _shown = Shown(&input);
        body(&input);
    }
}

/// The files of a target, among them its seeds as they are written today.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    for (name, bytes) in targets::seeds(target) {
        let file = folder.join(name);
        if env::var_os(WRITE).is_some() {
            fs::create_dir_all(&folder).expect("a folder for the corpus");
            fs::write(&file, &bytes).expect("a file for the seed");
        }
        let is_there = fs::read(&file).is_ok_and(|written| written == bytes);
        assert!(is_there, "{} is not up to date: run with {WRITE}=1", file.display());
    }
    let files = fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a readable file")).collect()
}

/// One of the corpus with a few changes.
fn mutated(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=input.len());
        let len = rng.usize(0..8).min(input.len() - at);
        match rng.u8(..8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..at + len)),
            2 => drop(input.splice(at..at, (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect::<Vec<_>>())),
            3 => {
                let other = &corpus[rng.usize(..corpus.len())];
                input.splice(at.., other[rng.usize(..=other.len())..].iter().copied());
            }
            4 => {
                let again = input[at..].to_vec();
                input.extend(again);
            }
            5 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            6 if at < input.len() => input[at] = ENDS[rng.usize(..ENDS.len())],
            _ if at < input.len() => input[at] = input[at].wrapping_add(rng.u8(..5)).wrapping_sub(2),
            _ => {}
        }
    }
    input.truncate(MAX);
    input
}

macro_rules! targets {
    ($($target:ident $mutations:literal)+) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),+];

        $(
            #[test]
            fn $target() {
                run(stringify!($target), targets::$target, $mutations);
            }
        )+
    };
}

targets! {
    frame 20_000
    codec 5_000
    fragments 5_000
    composite 20_000
    mimes 20_000
    tags 20_000
    credentials 20_000
    websocket 2_000
    upgrade 5_000
    arguments 20_000
    errors 20_000
    answering 5_000
    config 1_000
    setup 5_000
    event 5_000
    route 20_000
    reframe 20_000
    gathering 5_000
    hessian 20_000
    log_record 20_000
    log_group 5_000
    log_snapshot 2_000
    relay 2_000
    engine 2_000
}

#[test]
fn libfuzzer_gets_every_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/src/bin");
    let files = fs::read_dir(folder).expect("the targets").map(|file| file.expect("a readable folder").path());
    let mut names: Vec<_> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    let mut targets = TARGETS.to_vec();
    targets.sort_unstable();
    assert_eq!(names, targets);
}
