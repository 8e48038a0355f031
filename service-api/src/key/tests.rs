use super::*;

#[test]
fn display_and_parse_are_inverse() {
    for text in ["com.acme.UserService", "com.acme.UserService:2", "shop!com.acme.UserService", "shop!a.B:1.2.3"] {
        assert_eq!(text.parse::<ServiceKey>().unwrap().to_string(), text);
    }
}

#[test]
fn the_route_carries_the_method_before_the_version() {
    assert_eq!(ServiceKey::new("", "a.B", "").route("find"), "a.B.find");
    assert_eq!(ServiceKey::new("g", "a.B", "2").route("find"), "g!a.B.find:2");
}

#[test]
fn texts_that_are_no_keys_are_refused() {
    for text in ["", "g!", ":1", "a/b", "a b", "a:1:2", "g!h!a", "a?x=1"] {
        assert_eq!(text.parse::<ServiceKey>(), Err(ParseKeyError { text: text.to_owned() }));
    }
}
