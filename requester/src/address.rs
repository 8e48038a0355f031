use crate::error::StartError;

/// Brokers an app connects to at most.
const MAX_BROKERS: usize = 8;

/// Where brokers listen: `rsocket://host:port`, or several of them, in a list or separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

/// One broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// As people write it.
    pub(crate) text: String,
    /// `host:port`.
    pub(crate) host: String,
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
        let Some((scheme, host)) = text.split_once("://") else {
            return refused(format!("it has no scheme, write rsocket://{text}"));
        };
        if !matches!(scheme, "rsocket" | "tcp") {
            return refused(format!("this build speaks rsocket:// and tcp:// (both plain TCP), not {scheme}://"));
        }
        let host = host.trim_end_matches('/');
        let port = host.rsplit_once(':').map(|(name, port)| (name.is_empty(), port.parse::<u16>()));
        match port {
            Some((false, Ok(1..))) => Ok(Self { text: format!("{scheme}://{host}"), host: host.to_owned() }),
            _ => refused(format!("write host and port, such as {scheme}://127.0.0.1:9999")),
        }
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
