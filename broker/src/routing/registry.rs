//! Which apps are connected and what they publish: the only writer of the routing table.
//!
//! An instance is a uuid and may hold several links; what a link published is its own. Calls go to the instance's newest
//! healthy link that publishes the service, so a half-open old link never blocks a reconnect.

use super::table::{Endpoint, Endpoints};
use super::{RouteKey, Routes, hash};
use crate::link::Link;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use towline_service_api::ServiceKey;

/// What an app says of itself in SETUP.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    pub name: String,
    /// The app's own, or made by the broker for an anonymous link.
    pub uuid: String,
    pub ip: Option<String>,
    /// 1 to 1,000,000; how often it is drawn.
    pub weight: u32,
    /// `labels.*` of its metadata, and its other metadata.
    pub labels: HashMap<String, String>,
    /// Where it listened when it connected.
    pub ports: Ports,
    /// Addresses of brokers it says it uses, as written there.
    pub brokers: Vec<String>,
    /// When it connected: milliseconds since 1970.
    pub connected_at: u64,
    /// It named itself; an anonymous one is known by its connection alone.
    pub is_named: bool,
    /// It is a Towline app: it understands the broker's own events.
    pub is_towline: bool,
}

/// What a link asked to publish, by outcome.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub accepted: Vec<ServiceKey>,
    pub refused: Vec<(ServiceKey, Rejected)>,
}

/// Why a service is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("`{0}` is not a name: use 1 to 200 of A-Z a-z 0-9 . _ $ -")]
    Name(String),
    #[error("`{0}` is reserved for the broker's own services: begin it with another word")]
    Reserved(String),
    #[error("a connection publishes at most {0} services: open another one, or raise registration.max_services")]
    TooMany(usize),
    #[error("the connection is closed")]
    Closed,
}

impl Rejected {
    /// For programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "invalid-name",
            Self::Reserved(_) => "reserved",
            Self::TooMany(_) => "too-many",
            Self::Closed => "closed",
        }
    }
}

/// Limits, from configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub services: usize,
    pub links: usize,
}

impl Caps {
    /// Why a link that publishes these services may not publish this one too. The one place that decides, however the
    /// service is registered.
    fn refusal(self, service: &ServiceKey, published: &HashSet<ServiceKey>, may_reserve: bool) -> Option<Rejected> {
        let ServiceKey { group, service: name, version } = service;
        if let Some(bad) = [group, version].into_iter().find(|text| !text.is_empty() && !is_name(text)) {
            return Some(Rejected::Name(bad.to_string()));
        }
        if !is_name(name) {
            Some(Rejected::Name(name.to_string()))
        } else if !may_reserve && RESERVED.iter().any(|of| name.starts_with(of)) {
            Some(Rejected::Reserved(name.to_string()))
        } else if published.len() >= self.services && !published.contains(service) {
            Some(Rejected::TooMany(self.services))
        } else {
            None
        }
    }
}

/// What the broker's own services are named.
const RESERVED: [&str; 2] = ["towline.", "com.alibaba.rsocket."];

#[derive(Debug)]
struct Member {
    link: Arc<Link>,
    app: Arc<App>,
    services: HashSet<ServiceKey>,
    ports: Ports,
    is_hidden: bool,
}

/// An instance, as the one of its links that calls would go to.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub link: Arc<Link>,
    pub app: Arc<App>,
    pub ports: Ports,
    /// It has not said that it serves no more.
    pub is_serving: bool,
}

impl Present {
    /// The newest healthy link that serves, or else one that comes near.
    fn of(members: &[Member]) -> Option<Self> {
        let newest = || members.iter().rev();
        let serving = || newest().filter(|member| !member.is_hidden);
        let best = serving().find(|member| !member.link.is_suspect()).or_else(|| serving().next());
        let member = best.or_else(|| newest().next())?;
        let (link, app, ports) = (member.link.clone(), member.app.clone(), member.ports.clone());
        Some(Self { link, app, ports, is_serving: !member.is_hidden })
    }
}

/// Where an app listens itself, by what it said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Port and scheme, as in `42252` and `tcp`.
    pub rsocket: BTreeMap<String, String>,
    pub web: Option<u16>,
    pub management: Option<u16>,
}

impl Ports {
    /// Keeps the first sixteen that are a port and a scheme: what an app says stays as long as its connection.
    pub(crate) fn new(
        rsocket: impl Iterator<Item = (String, String)>,
        web: Option<u16>,
        management: Option<u16>,
    ) -> Self {
        let is_place = |(port, scheme): &(String, String)| port.parse::<u16>().is_ok() && scheme.len() <= 16;
        Self { rsocket: rsocket.filter(is_place).take(16).collect(), web, management }
    }
}

#[derive(Debug, Default)]
struct Instances {
    by_uuid: HashMap<Arc<str>, Vec<Member>>,
    by_link: HashMap<u64, Arc<str>>,
}

/// The only writer of [`Routes`].
#[derive(Debug)]
pub(crate) struct Registry {
    routes: Arc<Routes>,
    caps: Caps,
    instances: Mutex<Instances>,
}

fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._$-".contains(&byte))
}

impl Registry {
    pub(crate) fn new(routes: Arc<Routes>, caps: Caps) -> Self {
        Self { routes, caps, instances: Mutex::default() }
    }

    /// Where the tables are read.
    pub(crate) fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// An app has connected. Returns the instance's oldest link if it now has too many: the caller drains and closes it.
    pub(crate) fn join(&self, link: Arc<Link>, app: Arc<App>) -> Option<Arc<Link>> {
        let mut instances = self.instances.lock();
        let uuid: Arc<str> = app.uuid.as_str().into();
        instances.by_link.insert(link.id, uuid.clone());
        let members = instances.by_uuid.entry(uuid).or_default();
        let ports = app.ports.clone();
        // Most instances have one link.
        members.reserve_exact(1);
        members.push(Member { link, app, services: HashSet::new(), ports, is_hidden: false });
        let mut serving = members.iter().filter(|member| !member.is_hidden);
        let oldest =
            (serving.clone().count() > self.caps.links).then(|| serving.next().map(|member| member.link.clone()));
        let oldest = oldest.flatten();
        drop(instances);
        if let Some(oldest) = &oldest {
            self.hide(oldest);
        }
        oldest
    }

    /// Publishes services of a link: in force when this returns. `may_reserve` is for the broker's own links.
    pub(crate) fn expose(&self, link: &Arc<Link>, services: Vec<ServiceKey>, may_reserve: bool) -> Registration {
        let mut done = Registration::default();
        let mut instances = self.instances.lock();
        let Some((uuid, at)) = instances.place(link) else {
            done.refused = services.into_iter().map(|service| (service, Rejected::Closed)).collect();
            return done;
        };
        let member = &mut instances.by_uuid.get_mut(&uuid).expect("placed above")[at];
        for service in services {
            match self.caps.refusal(&service, &member.services, may_reserve) {
                Some(refusal) => done.refused.push((service, refusal)),
                None => {
                    member.services.insert(service.clone());
                    done.accepted.push(service);
                }
            }
        }
        self.publish(&instances, &uuid, done.accepted.clone());
        done
    }

    /// Withdraws services of a link: in force when this returns. Those it does not publish are passed over.
    pub(crate) fn withdraw(&self, link: &Arc<Link>, services: &[ServiceKey]) {
        let mut instances = self.instances.lock();
        let Some((uuid, at)) = instances.place(link) else { return };
        let member = &mut instances.by_uuid.get_mut(&uuid).expect("placed above")[at];
        let withdrawn = services.iter().filter(|service| member.services.remove(*service)).cloned().collect();
        self.publish(&instances, &uuid, withdrawn);
    }

    /// An app says where it listens itself.
    pub(crate) fn set_ports(&self, link: &Arc<Link>, ports: Ports) {
        let mut instances = self.instances.lock();
        let Some((uuid, at)) = instances.place(link) else { return };
        instances.by_uuid.get_mut(&uuid).expect("placed above")[at].ports = ports;
    }

    /// Takes a link out of routing; its streams go on.
    pub(crate) fn hide(&self, link: &Arc<Link>) {
        self.set_hidden(link, true);
    }

    /// Takes a hidden link back.
    pub(crate) fn show(&self, link: &Arc<Link>) {
        self.set_hidden(link, false);
    }

    fn set_hidden(&self, link: &Arc<Link>, is_hidden: bool) {
        let mut instances = self.instances.lock();
        let Some((uuid, at)) = instances.place(link) else { return };
        let member = &mut instances.by_uuid.get_mut(&uuid).expect("placed above")[at];
        if std::mem::replace(&mut member.is_hidden, is_hidden) != is_hidden {
            let services = member.services.iter().cloned().collect();
            self.publish(&instances, &uuid, services);
        }
    }

    /// A link's health has changed: another link of its instance may serve now.
    pub(crate) fn refresh(&self, link: &Arc<Link>) {
        let instances = self.instances.lock();
        let Some((uuid, at)) = instances.place(link) else { return };
        if instances.by_uuid[&uuid].len() > 1 {
            let services = instances.by_uuid[&uuid][at].services.iter().cloned().collect();
            self.publish(&instances, &uuid, services);
        }
    }

    /// A link is gone.
    pub(crate) fn leave(&self, link: &Arc<Link>) {
        let mut instances = self.instances.lock();
        let Some((uuid, at)) = instances.place(link) else { return };
        let members = instances.by_uuid.get_mut(&uuid).expect("placed above");
        let services = members.remove(at).services.into_iter().collect();
        if members.is_empty() {
            instances.by_uuid.remove(&uuid);
        }
        instances.by_link.remove(&link.id);
        self.publish(&instances, &uuid, services);
    }

    /// Links of apps that understand the broker's own events.
    pub(crate) fn towline_links(&self) -> Vec<Arc<Link>> {
        let instances = self.instances.lock();
        let members = instances.by_uuid.values().flatten();
        members.filter(|member| member.app.is_towline).map(|member| member.link.clone()).collect()
    }

    /// What the app of a link says of itself.
    pub(crate) fn app(&self, link: &Arc<Link>) -> Option<Arc<App>> {
        let instances = self.instances.lock();
        let (uuid, at) = instances.place(link)?;
        Some(instances.by_uuid[&uuid][at].app.clone())
    }

    /// The instance with this uuid.
    pub(crate) fn instance(&self, uuid: &str) -> Option<Present> {
        Present::of(self.instances.lock().by_uuid.get(uuid)?)
    }

    /// The instances whose newest link's app fits, in no order.
    pub(crate) fn instances(&self, fits: impl Fn(&App) -> bool) -> Vec<Present> {
        let instances = self.instances.lock();
        let fitting =
            instances.by_uuid.values().filter(|members| members.last().is_some_and(|member| fits(&member.app)));
        fitting.filter_map(|members| Present::of(members)).collect()
    }

    /// Connected instances, and services published by any of them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let instances = self.instances.lock();
        (instances.by_uuid.len(), self.routes.load().len())
    }

    /// Puts the endpoints of these services into a new table.
    fn publish(&self, instances: &Instances, uuid: &Arc<str>, services: Vec<ServiceKey>) {
        if services.is_empty() {
            return;
        }
        let before = self.routes.load();
        // What one app publishes at once mostly had the same endpoints before, and so has the same ones now: one list
        // for all of it, by the list before and the link that serves.
        let mut shared: HashMap<_, Option<Arc<Endpoints>>> = HashMap::new();
        let changes: Vec<_> = services
            .into_iter()
            .map(|service| {
                let key = RouteKey {
                    group: &service.group,
                    service: &service.service,
                    version: &service.version,
                    ..RouteKey::default()
                };
                let others = before.find(&key);
                let serving = instances.serving(&service, uuid);
                let same = (others.map(Arc::as_ptr), serving.map(|member| member.link.id));
                let endpoints = shared.entry(same).or_insert_with(|| {
                    let list = with_instance(others.map_or(&[][..], |endpoints| &endpoints.list), uuid, serving);
                    (!list.is_empty()).then(|| Arc::new(Endpoints::new(list)))
                });
                (service, endpoints.clone())
            })
            .collect();
        self.routes.table.store(Arc::new(before.replaced(changes)));
    }
}

impl Instances {
    fn place(&self, link: &Arc<Link>) -> Option<(Arc<str>, usize)> {
        let uuid = self.by_link.get(&link.id)?;
        let at = self.by_uuid.get(uuid)?.iter().position(|member| member.link.id == link.id)?;
        Some((uuid.clone(), at))
    }

    /// The newest link of an instance that publishes a service, a healthy one first.
    fn serving(&self, service: &ServiceKey, uuid: &str) -> Option<&Member> {
        let members = self.by_uuid.get(uuid).map_or(&[][..], Vec::as_slice);
        let publishing =
            || members.iter().rev().filter(|member| !member.is_hidden && member.services.contains(service));
        publishing().find(|member| !member.link.is_suspect()).or_else(|| publishing().next())
    }
}

/// The endpoints of a service after one instance has changed. The others stay as they are: 10,000 instances that come one
/// after the other do not look at each other 10,000 times.
fn with_instance(before: &[Endpoint], changed: &str, serving: Option<&Member>) -> Vec<Endpoint> {
    let endpoint = serving.map(|member| Endpoint::new(member.link.clone(), member.app.clone()));
    let seed = hash(changed);
    let is_changed = |endpoint: &Endpoint| endpoint.seed == seed && endpoint.app.uuid == changed;
    let Some(at) = before.iter().position(is_changed) else {
        return before.iter().cloned().chain(endpoint).collect();
    };
    before[..at].iter().cloned().chain(endpoint).chain(before[at + 1..].iter().cloned()).collect()
}
