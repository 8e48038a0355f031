use std::collections::HashMap;
use std::sync::Arc;

use towline_rsocket::engine::Responder;
use towline_service_api::{Dispatch, RpcError, ServiceKey};

use crate::route::Route;

/// The services of an app, by name.
pub(crate) struct Table {
    services: HashMap<Box<str>, Vec<Entry>>,
}

/// A service under its name.
pub(crate) struct Entry {
    pub(crate) key: ServiceKey,
    pub(crate) service: Service,
}

/// What answers the requests of a service.
pub(crate) enum Service {
    /// Methods, whose arguments are read here.
    Calls(Arc<dyn Dispatch>),
    /// Takes payloads as they come.
    Payloads(Arc<dyn Responder>),
}

impl Table {
    pub(crate) fn new(all: Vec<Entry>) -> Self {
        let mut services: HashMap<Box<str>, Vec<Entry>> = HashMap::new();
        for entry in all {
            services.entry(Box::from(&*entry.key.service)).or_default().push(entry);
        }
        Self { services }
    }

    /// The service of exactly this group and version; else the only one that differs in nothing the route names.
    pub(crate) fn find(&self, route: Route<'_>) -> Option<&Entry> {
        let entries = self.services.get(route.service)?;
        let is_exact = |entry: &&Entry| entry.key.group == route.group && entry.key.version == route.version;
        entries.iter().find(is_exact).or_else(|| {
            let mut matching = entries.iter().filter(|entry| entry.matches(route));
            matching.next().filter(|_| matching.next().is_none())
        })
    }

    /// Those that take whole payloads.
    pub(crate) fn whole(&self) -> impl Iterator<Item = &dyn Responder> {
        self.services.values().flatten().filter_map(|entry| match &entry.service {
            Service::Payloads(responder) => Some(&**responder),
            Service::Calls(_) => None,
        })
    }

    /// RST-201404: why a route led nowhere.
    pub(crate) fn missing(&self, route: Route<'_>) -> RpcError {
        let mut text = format!("RST-201404: No service handler found: {}.{}", route.service, route.method);
        if let Some(entries) = self.services.get(route.service) {
            let keys: Vec<_> = entries.iter().map(|entry| entry.key.to_string()).collect();
            text.push_str(&format!(": served here: {}", keys.join(", ")));
        } else if let whole = format!("{}.{}", route.service, route.method)
            && self.services.contains_key(whole.as_str())
        {
            text.push_str(&format!("; that is a service: name one of its methods, {whole}.<method>"));
        }
        RpcError::invalid(text)
    }
}

impl Entry {
    pub(crate) fn calls(service: Arc<dyn Dispatch>) -> Self {
        Self { key: service.contract().key.clone(), service: Service::Calls(service) }
    }

    fn matches(&self, route: Route<'_>) -> bool {
        let fits = |own: &str, asked: &str| asked.is_empty() || own == asked;
        fits(&self.key.group, route.group) && fits(&self.key.version, route.version)
    }
}
