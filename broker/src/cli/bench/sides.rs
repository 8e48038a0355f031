//! What is measured in turn: the relay that only pumps bytes, our broker (or what stands in its place) and peers.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;

use super::children::Child;
use super::client::{self, Sample, Shape, Window};
use super::compare::Named;
use super::cpu::Processes;
use super::defibus::DeFiBus;
use super::folder::Folder;
use super::nats::Nats;
use super::queue::queued::{self, Queued};
use super::rsocket::{Calls, Messages, Streams};
use super::{Failure, defibus, nats, proxies, responder, yardstick};

/// What goes over the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Requests and their answers.
    Calls,
    /// Messages nobody answers; with every so many, a call that is answered with their number.
    Messages(u32),
    /// Items by credit.
    Streams,
}

/// What stands in the broker's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// The broker, with the responder registered at it
    Broker,
    /// The responder, with nothing between: for orientation
    Direct,
    /// The relay once more: what differs is noise
    Yardstick,
    /// The broker, between a generated client and a generated server: what users write
    Proxies,
    /// The broker, requests by way of a durable topic
    Queued,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Direct => "direct",
            Self::Yardstick => "A again",
            Self::Proxies => "proxies",
            Self::Queued => "queued",
        }
    }
}

/// By which thin ends a side is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Rsocket,
    Nats,
    DeFiBus,
    Proxies,
    Queued,
}

/// A server that already runs, as `name=kind://host:port?pid=number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    name: String,
    kind: PeerKind,
    address: SocketAddr,
    pid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerKind {
    /// Behind it the echo is there already.
    Rsocket,
    /// The responder registers at it.
    Broker,
    Nats,
    DeFiBus,
}

impl PeerKind {
    fn ends(self) -> Ends {
        match self {
            Self::Rsocket | Self::Broker => Ends::Rsocket,
            Self::Nats => Ends::Nats,
            Self::DeFiBus => Ends::DeFiBus,
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not NAME=rsocket|broker|nats|defibus://HOST:PORT?pid=PID");
        let (name, rest) = text.split_once('=').ok_or_else(form)?;
        let (kind, rest) = rest.split_once("://").ok_or_else(form)?;
        let (address, pid) = rest.split_once("?pid=").ok_or_else(form)?;
        let kind = match kind {
            "rsocket" => PeerKind::Rsocket,
            "broker" => PeerKind::Broker,
            "nats" => PeerKind::Nats,
            "defibus" => PeerKind::DeFiBus,
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
    pub(super) name: String,
    address: SocketAddr,
    ends: Ends,
    pub(super) processes: Processes,
}

impl Named for Side {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Side {
    pub(super) async fn measure(&self, shape: Shape, window: Window, flow: Flow) -> Result<Sample, Failure> {
        let (at, processes) = (self.address, &self.processes);
        match (self.ends, flow) {
            (Ends::Proxies, _) => proxies::measure(at, shape, window, processes).await,
            (Ends::Rsocket, Flow::Calls) => {
                let (templates, size) = (Calls::templates(shape), shape.size);
                client::measure(at, shape, window, processes, move || Calls::new(&templates, size)).await
            }
            (Ends::Rsocket, Flow::Messages(burst)) => {
                client::measure(at, shape, window, processes, move || Messages::new(shape, burst)).await
            }
            (Ends::Rsocket, Flow::Streams) => {
                client::measure(at, shape, window, processes, move || Streams::new(shape)).await
            }
            (Ends::Nats, Flow::Calls) => {
                client::measure(at, shape, window, processes, move || Nats::calls(shape)).await
            }
            (Ends::Nats, Flow::Messages(burst)) => {
                client::measure(at, shape, window, processes, move || Nats::messages(shape, burst)).await
            }
            (Ends::Nats, Flow::Streams) => {
                client::measure(at, shape, window, processes, move || Nats::streams(shape)).await
            }
            (Ends::DeFiBus, Flow::Calls) => {
                client::measure(at, shape, window, processes, move || DeFiBus::calls(shape)).await
            }
            (Ends::Queued, Flow::Calls) => {
                let sample = client::measure(at, shape, window, processes, move || Queued::calls(shape)).await?;
                queued::settled(at).await.map(|()| sample)
            }
            (Ends::Queued | Ends::DeFiBus, _) => Err(Failure::new("only calls go by way of a topic")),
        }
    }

    async fn probe(&self, shape: Shape) -> Result<(), Failure> {
        let small = Shape { size: 8, fragment: 0, ..shape };
        match self.ends {
            Ends::Rsocket => {
                let templates = Calls::templates(small);
                client::probe(self.address, || Calls::new(&templates, small.size)).await
            }
            Ends::Nats => client::probe(self.address, || Nats::calls(small)).await,
            Ends::DeFiBus => client::probe(self.address, || DeFiBus::calls(small)).await,
            Ends::Queued => client::probe(self.address, || Queued::calls(small)).await,
            Ends::Proxies => Ok(()),
        }
    }
}

/// The processes of a run and the sides they make: A, then what the run is about, then peers.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) sides: Vec<Side>,
    /// Killed when the run is over, however it ends.
    _children: Vec<Child>,
    /// Where durable topics are kept: it goes after them.
    _folder: Option<Folder>,
}

/// Which servers a run needs.
#[derive(Debug)]
pub(super) struct Cast<'a> {
    pub(super) target: Target,
    /// Address and process id of a broker that already runs.
    pub(super) running: Option<(SocketAddr, u32)>,
    /// Further arguments for one that is started.
    pub(super) serve_args: &'a [String],
    pub(super) peers: &'a [Peer],
    /// In which durable topics are kept, in a folder of their own.
    pub(super) folder: Option<&'a Path>,
}

impl Stage {
    pub(super) async fn set(cast: &Cast<'_>, shape: Shape) -> Result<Self, Failure> {
        let echo = responder::start_listening(shape).await?;
        let relay = yardstick::start(echo.address()).await?;
        let (echo_at, relay_at) = ((echo.address(), echo.pid()), (relay.address(), relay.pid()));
        // It goes after those that write to it.
        let mut folder = None;
        let mut children = vec![echo, relay];
        let mut found = vec![("A".to_owned(), relay_at, Ends::Rsocket)];
        let (at, ends) = match cast.target {
            Target::Direct => (echo_at, Ends::Rsocket),
            Target::Yardstick => (relay_at, Ends::Rsocket),
            Target::Broker | Target::Proxies | Target::Queued => {
                let (at, each) = match cast.running {
                    Some(running) => (running, responder::SERVICES),
                    None => {
                        let mut args = cast.serve_args.to_vec();
                        if cast.target == Target::Queued {
                            let data = folder.insert(Folder::make(cast.folder)?).path().display().to_string();
                            args.extend(["--data".to_owned(), data]);
                        }
                        let broker = start_broker(&args, shape.services).await?;
                        let at = (broker.address(), broker.pid());
                        children.push(broker);
                        (at, shape.services)
                    }
                };
                let (responder, ends) = match cast.target {
                    Target::Proxies => (proxies::start_at(at.0).await?, Ends::Proxies),
                    Target::Queued => (queued::start_responder(at.0).await?, Ends::Queued),
                    _ => (responder::start_at(at.0, shape, each).await?, Ends::Rsocket),
                };
                children.push(responder);
                (at, ends)
            }
        };
        found.push((cast.target.name().to_owned(), at, ends));
        for peer in cast.peers {
            let ended = |e| Failure::new(format!("{}: {e}", peer.name));
            match peer.kind {
                PeerKind::Rsocket => {}
                PeerKind::Broker => {
                    let started = responder::start_at(peer.address, shape, responder::SERVICES).await;
                    children.push(started.map_err(ended)?);
                }
                PeerKind::Nats => children.push(nats::start_responder(peer.address).await.map_err(ended)?),
                PeerKind::DeFiBus => children.push(defibus::start_responder(peer.address).await.map_err(ended)?),
            }
            found.push((peer.name.clone(), (peer.address, peer.pid), peer.kind.ends()));
        }
        let servers = found.iter().map(|(_, (_, pid), _)| *pid);
        let mut pids: Vec<u32> = children.iter().map(Child::pid).chain(servers).chain([std::process::id()]).collect();
        pids.sort_unstable();
        pids.dedup();
        let sides: Vec<Side> = found
            .into_iter()
            .map(|(name, (address, server), ends)| {
                let others = pids.iter().copied().filter(|pid| *pid != server).collect();
                Side { name, address, ends, processes: Processes { server, others } }
            })
            .collect();
        for side in &sides {
            side.probe(shape).await.map_err(|e| Failure::new(format!("{}: {e}", side.name)))?;
        }
        Ok(Self { sides, _children: children, _folder: folder })
    }
}

/// A broker at which one connection may register all services: if more services came with more connections, what is written
/// to each of them would be less, and the services would not be what is measured.
async fn start_broker(more: &[String], services: usize) -> Result<Child, Failure> {
    let fixed =
        ["serve", "--listen", "tcp://127.0.0.1:0", "--http", "off", "--management", "127.0.0.1:0", "--log", "warn"];
    let args: Vec<&str> = fixed.into_iter().chain(more.iter().map(String::as_str)).collect();
    let most = services.to_string();
    let roomy = [("TOWLINE_LISTEN__SETUP_MAX", "15MiB"), ("TOWLINE_REGISTRATION__MAX_SERVICES", &most[..])];
    let roomy = roomy.map(|(name, value)| (name, OsStr::new(value)));
    let environment = if services <= responder::SERVICES { &[][..] } else { &roomy[..] };
    Child::start_with("towline ready", &args, environment).await
}
