//! Programs in Java: what `tests/strangers/install` builds in `target/strangers`, on a small JVM that starts soon.

use super::program::{Missing, file, need};
use std::ffi::OsString;
use std::path::Path;

/// How to start this jar of `target/strangers`.
pub(crate) fn program(jar: &str) -> Result<Vec<OsString>, Missing> {
    need("a JDK", Path::new("java"))?;
    let jar = need("a program in Java", &file("target/strangers").join(jar))?;
    let options = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];
    // What it logs besides is of interest only to those who change it.
    let log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    let words = ["java"].into_iter().chain(options).chain([log, "-jar"]);
    Ok(words.map(Into::into).chain([jar.into()]).collect())
}
