//! The flags that set configuration keys, the same for every command that reads the configuration.

use clap::Args;
use std::path::{Path, PathBuf};
use towline::config::{Flag, Sources};

/// The file that is read if no other is named, and it exists.
const FILE: &str = "towline.toml";

/// Flags beat variables `TOWLINE_SECTION__KEY`, which beat the file, which beats the defaults. A flag given twice counts
/// as given last, so that a script can append to a command line.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SettingArgs {
    /// Configuration file [default: towline.toml, if there is one]
    #[arg(long, value_name = "FILE", overrides_with = "config")]
    config: Option<PathBuf>,
    /// Address for applications, port 0 picks one; repeatable [default: tcp://127.0.0.1:9999]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Address of the HTTP gateway; this build has none yet [default: off]
    #[arg(long, value_name = "ADDRESS", overrides_with = "http")]
    http: Option<String>,
    /// Address of /metrics, /livez and /readyz, or `off` [default: 127.0.0.1:9997]
    #[arg(long, value_name = "ADDRESS", overrides_with = "management")]
    management: Option<String>,
    /// Directory of the store [default: towline-data]
    #[arg(long, value_name = "DIR", overrides_with = "data")]
    data: Option<String>,
    /// Level of the log, or directives such as `info,towline::link=debug` [default: info]
    #[arg(long, value_name = "LEVEL", overrides_with = "log")]
    log: Option<String>,
    /// Allow listeners that other machines can reach, although nobody has to authenticate
    #[arg(long, overrides_with = "insecure")]
    insecure: bool,
}

impl SettingArgs {
    /// These flags, the environment of this process, and the file.
    pub(super) fn sources(&self) -> Sources {
        let mut flags = Vec::new();
        let mut text = |name, key, value: &Option<String>| {
            flags.extend(value.iter().map(|value| Flag { name, key, value: value.clone().into() }));
        };
        text("--http", "http.address", &self.http);
        text("--management", "management.address", &self.management);
        text("--data", "data.directory", &self.data);
        text("--log", "log.level", &self.log);
        if !self.listen.is_empty() {
            flags.push(Flag { name: "--listen", key: "listen.addresses", value: self.listen.clone().into() });
        }
        if self.insecure {
            flags.push(Flag { name: "--insecure", key: "listen.insecure", value: true.into() });
        }
        Sources { flags, ..sources(self.config.clone(), None) }
    }
}

/// What a client of a running broker reads: its file and variables, and one flag.
pub(super) fn sources(file: Option<PathBuf>, management: Option<String>) -> Sources {
    let flag = |value: String| Flag { name: "--management", key: "management.address", value: value.into() };
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    Sources {
        flags: management.into_iter().map(flag).collect(),
        environment: std::env::vars_os().filter_map(text).collect(),
        file: file.or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE))),
    }
}
