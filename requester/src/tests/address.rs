use crate::address::Addresses;
use crate::error::StartError;

fn parse(addresses: impl Into<Addresses>) -> Result<Vec<String>, StartError> {
    addresses.into().parse().map(|all| all.into_iter().map(|address| address.text).collect())
}

#[test]
fn a_list_is_read_in_every_form() {
    let both = ["rsocket://a:1", "tcp://[::1]:2"];
    assert_eq!(parse("rsocket://a:1/, tcp://[::1]:2,").unwrap(), both);
    assert_eq!(parse(both).unwrap(), both);
    assert_eq!(parse(vec!["rsocket://a:1,rsocket://a:1".to_owned(), both[1].to_owned()]).unwrap(), both);
}

#[test]
fn a_certificate_is_for_the_host_alone() {
    for (text, name) in
        [("tls://example.org:1", "example.org"), ("tls://[::1]:2/", "::1"), ("tls://127.0.0.1:3", "127.0.0.1")]
    {
        assert_eq!(Addresses::from(text).parse().unwrap()[0].host_name(), name);
    }
}

#[test]
fn a_websocket_has_a_path() {
    for (text, path) in [("ws://a:1", "/"), ("wss://a:1/", "/"), ("ws://[::1]:1/rsocket?a=b:2", "/rsocket?a=b:2")] {
        let address = &Addresses::from(text).parse().unwrap()[0];
        assert_eq!((&*address.path, address.text.ends_with(path)), (path, true), "{address:?}");
    }
    assert_eq!(parse("ws://a:1,ws://a:1/").unwrap(), ["ws://a:1/"], "equal ones count once");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_a_path() {
    let address = &Addresses::from("unix:///run/towline.sock").parse().unwrap()[0];
    assert_eq!((&*address.text, &*address.host, &*address.path), ("unix:///run/towline.sock", "", "/run/towline.sock"));
}

#[test]
fn what_this_build_cannot_do_is_refused_by_name() {
    for (text, why) in [
        ("http://a:1", "write rsocket:// or tcp:// (both plain TCP), tls://, unix://, ws:// or wss://, not http://"),
        ("ws://a:1/a b", "write its path in plain ASCII, without spaces"),
        ("wss://a:1/\u{fc}", "write its path in plain ASCII, without spaces"),
        ("ws://a/b:1", "write host and port, such as ws://127.0.0.1:9999"),
        ("wss://a", "write host and port, such as wss://127.0.0.1:9999"),
        ("tls://a:1/b", "there is no path behind host and port, write tls://a:1"),
        ("unix://towline.sock", "write an absolute path, such as unix:///run/towline.sock"),
        ("127.0.0.1:9999", "it has no scheme, write rsocket://127.0.0.1:9999"),
        ("rsocket://a", "write host and port, such as rsocket://127.0.0.1:9999"),
        ("rsocket://:9", "write host and port"),
        ("rsocket://a:0", "write host and port"),
        ("rsocket://a:65536", "write host and port"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(text), "{error}");
    }
    assert_eq!(parse(" , "), Err(StartError::NoAddress));
    let nine: Vec<_> = (1..=9).map(|port| format!("tcp://a:{port}")).collect();
    assert_eq!(parse(nine), Err(StartError::TooManyAddresses { count: 9, max: 8 }));
}
