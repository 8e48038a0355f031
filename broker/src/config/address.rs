//! Addresses to listen on.

use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where applications may connect. Port 0 lets the system pick one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// RSocket over TCP, WebSocket and, with a certificate, TLS: told apart by the first bytes.
    Tcp(SocketAddr),
    /// The same, never in plaintext.
    Tls(SocketAddr),
    /// As `tcp://`, named for those who look for it.
    Ws(SocketAddr),
    /// As `tls://`.
    Wss(SocketAddr),
    /// As `tcp://`, on a socket in the file system.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine can connect.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::Tls(address) | Self::Ws(address) | Self::Wss(address) => is_loopback(address),
            Self::Unix(_) => true,
        }
    }

    /// Whether plaintext is never answered.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Wss(_))
    }

    /// Its scheme, as written before `://`.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Tls(_) => "tls",
            Self::Ws(_) => "ws",
            Self::Wss(_) => "wss",
            Self::Unix(_) => "unix",
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address) | Self::Ws(address) | Self::Wss(address) => {
                write!(f, "{}://{address}", self.scheme())
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().split_once("://") {
            Some(("tcp", rest)) => Ok(Self::Tcp(parse_socket(rest)?)),
            Some(("tls", rest)) => Ok(Self::Tls(parse_socket(rest)?)),
            Some(("ws", rest)) => Ok(Self::Ws(parse_socket(rest)?)),
            Some(("wss", rest)) => Ok(Self::Wss(parse_socket(rest)?)),
            Some(("unix", path)) if path.starts_with('/') && path.len() <= MAX_PATH => Ok(Self::Unix(path.into())),
            Some(("unix", path)) => Err(format!(
                "`{path}` is not an absolute path of at most {MAX_PATH} bytes, as in `unix:///run/towline.sock`"
            )),
            Some((scheme, _)) => Err(format!("`{scheme}://` is not a scheme of a listener (tcp, tls, ws, wss, unix)")),
            None => Err(format!("`{text}` has no scheme, as in `tcp://127.0.0.1:9999`")),
        }
    }
}

/// Bytes the system has for the path of a socket, the one that ends it excluded.
const MAX_PATH: usize = 107;

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// `127.0.0.1` and `::1`, also the latter's way of writing the former.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Other names than `localhost` are not resolved: the answer may change, a listener does not.
fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:")
        && let Ok(port) = port.parse()
    {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| format!("`{text}` is not an IP address and a port, as in `127.0.0.1:9999`"))
}

/// For `#[serde(with = ..)]`: a socket address, or `off`.
pub(super) mod off_or_address {
    use super::*;

    pub(in crate::config) fn serialize<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => to.collect_str(address),
            None => to.serialize_str("off"),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
        match String::deserialize(from)?.as_str() {
            "off" => Ok(None),
            text => parse_socket(text).map(Some).map_err(de::Error::custom),
        }
    }
}
