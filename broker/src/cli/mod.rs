//! The command line: arguments to a typed value, one file per command.
//!
//! Invariant: standard output holds what was asked for and nothing else; what went wrong is on standard error as
//! `towline: <what>: <why>; <next>`, with exit code 2 if the command line or the configuration is wrong, 1 otherwise.

mod bench;
mod check;
mod check_config;
mod config;
mod demo;
mod form;
mod fsck;
mod logs;
mod queue;
mod serve;
mod settings;
mod store;
mod torture;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use towline::config::{ConfigError, Problem};

const AFTER_HELP: &str = "\
Settings come from flags, then variables TOWLINE_SECTION__KEY, then the file; `towline config show` lists them all.
Exit codes: 0 ended as asked; 1 failed while running; 2 the command line or the configuration is wrong;
143, 130 ended at once by a second signal, SIGTERM or SIGINT.
Example: towline --listen tcp://127.0.0.1:9999 --log debug";

/// An RSocket broker: without a command it is started, as by `towline serve`.
#[derive(Debug, Parser)]
#[command(
    name = "towline",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the broker and serves until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Shows a broker, a service and a caller at work, in one process
    Demo(demo::DemoArgs),
    /// Measures the broker against a relay that only pumps bytes
    #[command(after_help = "Example: towline bench rpc")]
    Bench(bench::BenchArgs),
    /// Asks a running broker whether it is ready, for probes
    Check(check::CheckArgs),
    /// Says what is wrong with a configuration, without starting anything
    CheckConfig(check_config::CheckConfigArgs),
    /// Shows the configuration that applies
    Config(config::ConfigArgs),
    /// Says what a data folder holds and what of it is damaged, and repairs it
    Fsck(fsck::FsckArgs),
    /// Looks into a data folder
    Store(store::StoreArgs),
    /// Kills brokers at work, and looks whether anything they confirmed is lost
    Torture(torture::TortureArgs),
    /// Durable topics of a running broker
    Topic(queue::TopicArgs),
    /// Groups that consume from a topic
    Group(queue::GroupArgs),
    /// Publishes messages to a topic
    Publish(queue::PublishArgs),
    /// Consumes messages of a topic, as a member of a group
    Consume(queue::ConsumeArgs),
    /// Looks at messages of a topic without consuming them
    Peek(queue::PeekArgs),
    /// Messages that a group could not handle
    Dlq(queue::DlqArgs),
    /// Prints the version
    #[command(after_help = "Example: towline version")]
    Version,
}

/// Runs what the arguments of this process say.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let outcome = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => return bench::run(args),
        Command::Check(args) => check::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Fsck(args) => fsck::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Torture(args) => torture::run(&args),
        Command::Topic(args) => queue::topic(&args),
        Command::Group(args) => queue::group(&args),
        Command::Publish(args) => queue::publish(&args),
        Command::Consume(args) => queue::consume(&args),
        Command::Peek(args) => queue::peek(&args),
        Command::Dlq(args) => queue::dlq(&args),
        Command::Version => print(&format!("towline {}\n", env!("CARGO_PKG_VERSION"))),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::from(failure.code)
    })
}

/// Help and version as clap writes them; a wrong command line in our words around clap's.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print(&text).unwrap_or(ExitCode::FAILURE),
        _ => {
            eprint!("towline: command line: {}", text.strip_prefix("error: ").unwrap_or(&text));
            ExitCode::from(2)
        }
    }
}

/// Writes to standard output; a reader that has gone is no failure of ours.
fn print(text: &str) -> Result<ExitCode, Failure> {
    show(text).map(|_| ExitCode::SUCCESS)
}

/// The same. False: the reader has gone.
fn show(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::running("standard output", format!("cannot be written: {e}"), "see where it leads")),
    }
}

/// Writes a line to standard output. False: nobody reads it.
fn say(line: fmt::Arguments<'_>) -> bool {
    show(&format!("{line}\n")).unwrap_or(false)
}

/// Why a command ended early.
#[derive(Debug)]
struct Failure {
    code: u8,
    problems: Vec<Problem>,
}

impl Failure {
    /// While running: exit code 1.
    fn running(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code: 1, problems: vec![Problem::new(what, why, next)] }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: 2, problems: error.problems }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            let between = if nth == 0 { "" } else { "\n" };
            write!(f, "{between}towline: {problem}")?;
        }
        Ok(())
    }
}
