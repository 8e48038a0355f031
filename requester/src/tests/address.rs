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
fn what_this_build_cannot_do_is_refused_by_name() {
    for (text, why) in [
        ("tls://a:1", "this build speaks rsocket:// and tcp:// (both plain TCP), not tls://"),
        ("ws://a:1", "not ws://"),
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
