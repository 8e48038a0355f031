use super::http::{self, Fields, MAX_FIELDS};
use super::mask::Masks;
use crate::transport::{Transport, discard};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use httparse::{EMPTY_HEADER, Request, Response, Status};
use std::io;

/// What a client's key is joined with before it is hashed (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one subprotocol that is agreed to, if the client offers it; most clients offer none.
const SUBPROTOCOL: &str = "rsocket";

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// The request's target: a path, with its query.
    pub path: &'a str,
    /// The site whose page connects: browsers always say it, others rarely.
    pub origin: Option<&'a str>,
}

/// Why a request is not granted, as an HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// One line for people: the body.
    pub text: String,
}

impl Refusal {
    /// With this status code and this line as the body.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    fn response(&self) -> String {
        let (reason, field) = match self.status {
            400 => ("Bad Request", ""),
            403 => ("Forbidden", ""),
            404 => ("Not Found", ""),
            405 => ("Method Not Allowed", "Allow: GET\r\n"),
            426 => ("Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            431 => ("Request Header Fields Too Large", ""),
            503 => ("Service Unavailable", ""),
            _ => ("Refused", ""),
        };
        let Self { status, text } = self;
        let connection = if *status == 426 { "Upgrade, close" } else { "close" };
        let len = text.len() + 1;
        format!(
            "HTTP/1.1 {status} {reason}\r\nConnection: {connection}\r\n{field}\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len}\r\n\r\n{text}\n"
        )
    }
}

/// Reads a request and answers it; returns what came behind it.
pub(super) async fn accept(
    inner: &dyn Transport,
    mut bytes: BytesMut,
    admit: impl FnOnce(&Upgrade<'_>) -> Result<(), Refusal>,
) -> io::Result<BytesMut> {
    let result = match http::read_head(inner, &mut bytes).await? {
        Some(len) => answer(&bytes.split_to(len), admit),
        None => Err(Refusal::new(431, "the request's head is longer than 16 KiB")),
    };
    match result {
        Ok(response) => {
            http::write(inner, &response).await?;
            // The rest lets go of the memory the head was read into.
            Ok(BytesMut::from(&bytes[..]))
        }
        Err(refusal) => {
            http::write(inner, &refusal.response()).await?;
            discard(inner);
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("refused with {}: {}", refusal.status, refusal.text),
            ))
        }
    }
}

/// The response to the request with this head.
fn answer(head: &[u8], admit: impl FnOnce(&Upgrade<'_>) -> Result<(), Refusal>) -> Result<String, Refusal> {
    let bad = |text: &str| Refusal::new(400, text);
    let upgrade = |text: &str| Refusal::new(426, text);
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    match request.parse(head) {
        // A head that ends before its empty line would make the rest of it another request.
        Ok(Status::Complete(len)) if len == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::new(431, "more than 64 header fields")),
        _ => return Err(bad("this is no HTTP/1.1 request; this port speaks RSocket, over WebSocket too")),
    }
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version) else {
        return Err(bad("the request line is not complete"));
    };
    let fields = Fields(request.headers);
    if version != 1 {
        return Err(bad("HTTP/1.1 is needed to upgrade to WebSocket"));
    }
    if method != "GET" {
        return Err(Refusal::new(
            405,
            "this port speaks RSocket and no plain HTTP: use an RSocket client, or WebSocket (GET, Upgrade: websocket)",
        ));
    }
    let one = |name| fields.one(name).map_err(|()| bad(&format!("{name} is there twice, or is no text")));
    if fields.has("Transfer-Encoding") || one("Content-Length")?.is_some_and(|len| len != "0") {
        return Err(bad("a request to upgrade has no body"));
    }
    if one("Host")?.is_none() {
        return Err(bad("Host is missing"));
    }
    if !fields.lists("Upgrade", "websocket", false) || !fields.lists("Connection", "upgrade", false) {
        return Err(upgrade(
            "this port speaks RSocket and no plain HTTP: use an RSocket client, or WebSocket (Upgrade: websocket)",
        ));
    }
    if one("Sec-WebSocket-Version")? != Some("13") {
        return Err(upgrade("version 13 of WebSocket is spoken here"));
    }
    let key = one("Sec-WebSocket-Key")?.unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    admit(&Upgrade { path, origin: one("Origin")? })?;
    let accept = accept_key(key);
    let protocol = if fields.lists("Sec-WebSocket-Protocol", SUBPROTOCOL, true) {
        format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n")
    } else {
        String::new()
    };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    ))
}

/// Asks for an upgrade; returns what came behind the response.
pub(super) async fn connect(inner: &dyn Transport, host: &str, path: &str) -> io::Result<BytesMut> {
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain(host) || !is_plain(path) || !path.starts_with('/') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a host, and a path that begins with /, in plain ASCII",
        ));
    }
    let mut masks = Masks::default();
    let key = STANDARD.encode([masks.bytes(), masks.bytes()].as_flattened());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    http::write(inner, &request).await?;
    let mut bytes = BytesMut::new();
    let head = http::read_head(inner, &mut bytes).await?.map(|len| bytes.split_to(len));
    let checked = head.map_or_else(|| Err("a response's head over 16 KiB".to_owned()), |head| check(&head, &key));
    match checked {
        Ok(()) => Ok(BytesMut::from(&bytes[..])),
        Err(text) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("no upgrade to WebSocket: {text}"))),
    }
}

/// Checks a server's response to the request with this key (RFC 6455, 4.1).
fn check(head: &[u8], key: &str) -> Result<(), String> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut fields);
    let is_complete = matches!(response.parse(head), Ok(Status::Complete(len)) if len == head.len());
    let (true, Some(version), Some(status)) = (is_complete, response.version, response.code) else {
        return Err("this is no HTTP response".to_owned());
    };
    if status != 101 || version != 1 {
        return Err(format!("the server answered {status} {}", response.reason.unwrap_or_default()));
    }
    let fields = Fields(response.headers);
    if !fields.lists("Upgrade", "websocket", false) || !fields.lists("Connection", "upgrade", false) {
        return Err("the server upgrades to something else".to_owned());
    }
    if fields.one("Sec-WebSocket-Accept") != Ok(Some(&accept_key(key))) {
        return Err("Sec-WebSocket-Accept does not answer this request".to_owned());
    }
    if fields.has("Sec-WebSocket-Extensions") || fields.has("Sec-WebSocket-Protocol") {
        return Err("the server agreed to what was not offered".to_owned());
    }
    Ok(())
}

fn accept_key(key: &str) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.digest().bytes())
}

#[cfg(test)]
#[test]
fn the_example_of_rfc_6455_has_its_accept_key() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
