use crate::error::StartError;

/// Brokers an app connects to at most.
const MAX_BROKERS: usize = 8;

/// Where brokers listen: `rsocket://host:port` or `tcp://host:port` (plain TCP), `tls://host:port`, `unix:///path`,
/// `ws://host:port/path` (WebSocket; the path is `/` unless given) or `wss://host:port/path` (that over TLS); or several
/// of them, in a list or separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

/// One broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// As people write it.
    pub(crate) text: String,
    pub(crate) scheme: Scheme,
    /// `host:port`; empty for a Unix socket.
    pub(crate) host: String,
    /// Of a Unix socket or a WebSocket, where it begins with `/`; else empty.
    pub(crate) path: String,
}

/// How a broker is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Tls,
    Unix,
    WebSocket,
    SecureWebSocket,
}

impl Addresses {
    pub(crate) fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Reads all of them; equal ones count once.
    pub(crate) fn parse(&self) -> Result<Vec<Address>, StartError> {
        let mut parsed = Vec::new();
        for text in self.0.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
            let address = Address::parse(text)?;
            if !parsed.contains(&address) {
                parsed.push(address);
            }
        }
        match parsed.len() {
            0 => Err(StartError::NoAddress),
            1..=MAX_BROKERS => Ok(parsed),
            count => Err(StartError::TooManyAddresses { count, max: MAX_BROKERS }),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, StartError> {
        let refused = |why: String| Err(StartError::Address { address: text.to_owned(), why });
        let Some((name, rest)) = text.split_once("://") else {
            return refused(format!("it has no scheme, write rsocket://{text}"));
        };
        let Some(scheme) = Scheme::parse(name) else {
            return refused(format!(
                "write rsocket:// or tcp:// (both plain TCP), tls://, unix://, ws:// or wss://, not {name}://"
            ));
        };
        if scheme == Scheme::Unix {
            return match rest {
                _ if !cfg!(unix) => refused("there are no Unix sockets on this system".to_owned()),
                path if path.starts_with('/') && path.len() > 1 => {
                    Ok(Self { text: text.to_owned(), scheme, host: String::new(), path: path.to_owned() })
                }
                _ => refused("write an absolute path, such as unix:///run/towline.sock".to_owned()),
            };
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = host.rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse::<u16>()));
        if !matches!(port, Some((false, Ok(1..)))) {
            return refused(format!("write host and port, such as {name}://127.0.0.1:9999"));
        }
        let path = match (scheme, path) {
            (Scheme::WebSocket | Scheme::SecureWebSocket, "") => "/",
            (Scheme::WebSocket | Scheme::SecureWebSocket, path) if path.bytes().all(|byte| byte.is_ascii_graphic()) => {
                path
            }
            (Scheme::WebSocket | Scheme::SecureWebSocket, _) => {
                return refused("write its path in plain ASCII, without spaces".to_owned());
            }
            (_, "" | "/") => "",
            _ => return refused(format!("there is no path behind host and port, write {name}://{host}")),
        };
        Ok(Self { text: format!("{name}://{host}{path}"), scheme, host: host.to_owned(), path: path.to_owned() })
    }

    /// The host alone: what a certificate is for.
    pub(crate) fn host_name(&self) -> &str {
        let name = self.host.rsplit_once(':').map_or(&*self.host, |(name, _port)| name);
        name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
    }
}

impl Scheme {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "rsocket" | "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "unix" => Self::Unix,
            "ws" => Self::WebSocket,
            "wss" => Self::SecureWebSocket,
            _ => return None,
        })
    }
}

impl From<&str> for Addresses {
    fn from(list: &str) -> Self {
        Self(vec![list.to_owned()])
    }
}

impl From<String> for Addresses {
    fn from(list: String) -> Self {
        Self(vec![list])
    }
}

impl From<&String> for Addresses {
    fn from(list: &String) -> Self {
        Self::from(list.as_str())
    }
}

impl<S: AsRef<str>> From<&[S]> for Addresses {
    fn from(list: &[S]) -> Self {
        Self(list.iter().map(|address| address.as_ref().to_owned()).collect())
    }
}

impl<S: AsRef<str>, const N: usize> From<[S; N]> for Addresses {
    fn from(list: [S; N]) -> Self {
        Self::from(list.as_slice())
    }
}

impl<S: AsRef<str>> From<Vec<S>> for Addresses {
    fn from(list: Vec<S>) -> Self {
        Self::from(list.as_slice())
    }
}
