use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The program with ports the system picked, killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub address: String,
}

impl Process {
    /// With these environment variables as its settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towline"));
        command.args(["serve", "--listen", "tcp://127.0.0.1:0", "--management", "off", "--log", "error"]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOWLINE_") {
                command.env_remove(name);
            }
        }
        command.envs(settings.iter().copied()).current_dir(env!("CARGO_TARGET_TMPDIR"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut ready).expect("the ready line is text");
        let address = ready.trim_end().strip_prefix("towline ready tcp://").expect("the ready line").to_owned();
        Self { child, address }
    }

    /// Memory resident now, in bytes.
    pub(crate) fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("the process runs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel reports it");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many files this process may open.
pub(crate) fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}
