//! The sides of a run: the yardstick, our broker, and peers that already run.

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use super::{Level, Topics, jetstream, ours, rabbitmq, redis, yardstick};
use crate::cli::bench::Failure;
use crate::cli::bench::children::Child;
use crate::cli::bench::compare::Named;
use crate::cli::bench::cpu::Processes;
use crate::cli::bench::folder::Folder;

/// What is spoken to a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As to our broker.
    Yardstick,
    Broker,
    Redis,
    JetStream,
    RabbitMq,
    RocketMq,
}

/// A server that already runs, as `name=kind://host:port?pid=number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    name: String,
    kind: Kind,
    address: SocketAddr,
    pid: u32,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not NAME=redis|jetstream|rabbitmq|rocketmq://HOST:PORT?pid=PID");
        let (name, rest) = text.split_once('=').ok_or_else(form)?;
        let (kind, rest) = rest.split_once("://").ok_or_else(form)?;
        let (address, pid) = rest.split_once("?pid=").ok_or_else(form)?;
        let kind = match kind {
            "redis" => Kind::Redis,
            "jetstream" => Kind::JetStream,
            "rabbitmq" => Kind::RabbitMq,
            "rocketmq" => Kind::RocketMq,
            _ => return Err(form()),
        };
        let (address, pid) = (address.parse().map_err(|_| form())?, pid.parse().map_err(|_| form())?);
        if name.is_empty() || ["A", "broker"].contains(&name) {
            return Err(format!("a peer cannot be called `{name}`"));
        }
        Ok(Self { name: name.to_owned(), kind, address, pid })
    }
}

/// One server: where the load goes, and whose CPU counts.
#[derive(Debug)]
pub(super) struct Side {
    name: String,
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    pub(super) processes: Processes,
}

impl Named for Side {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Side {
    /// Topics that are there, and empty where that can be had.
    pub(super) async fn prepare(&self, topics: Topics) -> Result<(), Failure> {
        let outcome = match self.kind {
            // Its topics are made by what is sent to them, and keep what they have.
            Kind::Yardstick | Kind::RocketMq => Ok(()),
            Kind::Broker => ours::prepare(self.address, topics).await,
            Kind::Redis => redis::clear(self.address, topics).await,
            Kind::JetStream => jetstream::create(self.address).await,
            Kind::RabbitMq => rabbitmq::declare(self.address, topics.count).await,
        };
        outcome.map_err(|e| Failure::new(format!("{}: {e}", self.name)))
    }
}

/// The processes of a run and the sides they make.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) sides: Vec<Side>,
    /// Killed when the run is over, however it ends; the folder goes after them.
    _children: Vec<Child>,
    _folder: Folder,
}

impl Stage {
    /// The yardstick at this level, whose deliveries have so many bytes, our broker with a data folder of its own, and peers.
    pub(super) async fn set(
        parent: Option<&Path>,
        level: Level,
        size: usize,
        serve_args: &[String],
        peers: &[Peer],
    ) -> Result<Self, Failure> {
        let folder = Folder::make(parent)?;
        let (mut children, mut found) = (Vec::new(), Vec::new());
        let yardstick = yardstick::start(folder.path(), level, size).await?;
        found.push(("A".to_owned(), Kind::Yardstick, yardstick.address(), yardstick.pid()));
        children.push(yardstick);
        let data = folder.path().join("data").display().to_string();
        let fixed = ["serve", "--listen", "tcp://127.0.0.1:0", "--http", "off", "--management", "127.0.0.1:0"];
        let args = fixed.into_iter().chain(["--log", "warn", "--data", &data]);
        let args: Vec<&str> = args.chain(serve_args.iter().map(String::as_str)).collect();
        let broker = Child::start("towline ready", &args).await?;
        found.push(("broker".to_owned(), Kind::Broker, broker.address(), broker.pid()));
        children.push(broker);
        found.extend(peers.iter().map(|peer| (peer.name.clone(), peer.kind, peer.address, peer.pid)));
        let pids: Vec<u32> = found.iter().map(|side| side.3).chain([std::process::id()]).collect();
        let sides = found.into_iter().map(|(name, kind, address, server)| {
            let others = pids.iter().copied().filter(|pid| *pid != server).collect();
            Side { name, kind, address, processes: Processes { server, others } }
        });
        Ok(Self { sides: sides.collect(), _children: children, _folder: folder })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.sides.iter().map(|side| side.name.clone()).collect()
    }
}
