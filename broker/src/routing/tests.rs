use super::key::parse_key;
use super::registry::Rejected;
use super::*;
use crate::link::tests_support::link;
use hashbrown::HashMap;
use proptest::prelude::*;
use towline_service_api::ServiceKey;

fn app(uuid: &str, weight: u32, labels: &[(&str, &str)]) -> Arc<App> {
    let labels =
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect::<HashMap<_, _>>();
    Arc::new(App {
        uuid: uuid.to_owned(),
        ip: Some(format!("10.0.0.{}", uuid.len())),
        weight,
        labels,
        ..App::default()
    })
}

fn registry() -> Registry {
    Registry::new(Arc::default(), Caps { services: 3, links: 2 })
}

fn service(name: &str) -> ServiceKey {
    name.parse().unwrap()
}

fn serving(registry: &Registry, name: &str) -> Vec<u64> {
    let table = registry.routes().load();
    let key = parse_key(name).unwrap().undivided();
    let mut ids: Vec<_> =
        table.find(&key).map_or(vec![], |found| found.list.iter().map(|endpoint| endpoint.link.id).collect());
    ids.sort_unstable();
    ids
}

#[test]
fn keys_read_as_the_starters_write_them() {
    let key = parse_key("g1!com.acme.UserService.findById:1.0.0?sticky=1&e=ip:192.0.2.2&").unwrap();
    let expected = ("g1", "com.acme.UserService", "findById", "1.0.0");
    assert_eq!((key.group, key.service, key.method, key.version), expected);
    assert_eq!(key.endpoint, Some("ip:192.0.2.2"));
    assert_eq!(parse_key("plain").unwrap().method, "");
    assert_eq!(parse_key("!a.b").unwrap().service, "!a");
    assert_eq!(parse_key(""), None);
    assert_eq!(parse_key(".method"), None);
    let whole = parse_key("g!a.b.c:2").unwrap().undivided();
    assert_eq!((whole.group, whole.service, whole.method, whole.version), ("g", "a.b.c", "", "2"));
}

proptest! {
    #[test]
    fn no_routing_text_panics(text in "\\PC{0,40}|[.!:?=&a]{0,12}") {
        if let Some(key) = parse_key(&text) {
            prop_assert!(!key.service.is_empty());
            prop_assert!(text.contains(key.undivided().service));
        }
    }
}

#[tokio::test]
async fn registration_is_in_force_at_once_and_goes_with_its_link() {
    let registry = registry();
    let (a, b) = (link(1), link(2));
    registry.join(a.clone(), app("one", 1, &[]));
    registry.join(b.clone(), app("two", 1, &[]));
    registry.expose(&a, vec![service("s.A")], false);
    registry.expose(&b, vec![service("s.A"), service("g!s.A:2")], false);
    assert_eq!(serving(&registry, "s.A"), [1, 2]);
    assert_eq!(serving(&registry, "g!s.A:2"), [2]);
    assert_eq!(serving(&registry, "s.A:2"), [0; 0], "group and version are exact");
    registry.hide(&a);
    assert_eq!(serving(&registry, "s.A"), [2]);
    registry.show(&a);
    assert_eq!(serving(&registry, "s.A"), [1, 2]);
    registry.hide(&a);
    registry.leave(&b);
    assert_eq!(serving(&registry, "s.A"), [0; 0]);
    registry.leave(&a);
    assert_eq!(registry.counts(), (0, 0));
}

#[tokio::test]
async fn the_newest_link_of_an_instance_serves_and_the_older_one_takes_over() {
    let registry = registry();
    let (old, new) = (link(1), link(2));
    for link in [&old, &new] {
        assert!(registry.join(link.clone(), app("same", 1, &[])).is_none());
        registry.expose(link, vec![service("s.A")], false);
        assert_eq!(serving(&registry, "s.A"), [link.id]);
    }
    registry.leave(&new);
    assert_eq!(serving(&registry, "s.A"), [1]);
    let third = link(3);
    registry.join(third, app("same", 1, &[]));
    assert_eq!(serving(&registry, "s.A"), [1], "a link that publishes nothing takes nothing over");
    let oldest = registry.join(link(4), app("same", 1, &[])).unwrap();
    assert_eq!(oldest.id, 1, "one link too many: the oldest goes");
    assert_eq!(serving(&registry, "s.A"), [0; 0]);
}

#[tokio::test]
async fn bad_reserved_and_too_many_names_are_refused_one_by_one() {
    let registry = registry();
    let a = link(1);
    registry.join(a.clone(), app("one", 1, &[]));
    let names = ["ok.A", "towline.Queue", "com.alibaba.rsocket.X", "sp ace", "ok.B", "ok.C", "ok.D", "ok.A"];
    let services =
        names.iter().map(|name| ServiceKey { service: (*name).to_owned().into(), ..ServiceKey::new("", "", "") });
    let done = registry.expose(&a, services.collect(), false);
    assert_eq!(done.accepted.len(), 4, "{done:?}");
    let refused: Vec<_> = done.refused.iter().map(|(key, _)| key.service.as_ref()).collect();
    assert_eq!(refused, ["towline.Queue", "com.alibaba.rsocket.X", "sp ace", "ok.D"]);
    assert!(registry.expose(&link(9), vec![service("x.Y")], false).refused[0].1 == Rejected::Closed);
    assert_eq!(registry.expose(&a, vec![service("towline.Health")], true).refused.len(), 1, "the cap holds for all");
}

#[tokio::test]
async fn draws_follow_weights_and_avoid_what_was_tried() {
    let registry = registry();
    for (id, uuid, weight) in [(1, "a", 1), (2, "bb", 3)] {
        let link = link(id);
        registry.join(link.clone(), app(uuid, weight, &[("zone", uuid)]));
        registry.expose(&link, vec![service("s.A")], false);
    }
    let table = registry.routes().load();
    let found = table.find(&parse_key("s.A.m").unwrap()).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut random = |n: u64| rng.u64(..n);
    let mut draw =
        |asked: Asked<'_>, tried: &[u64]| pick(found, asked, tried, &mut random).map(|endpoint| endpoint.link.id);
    let heavy = (0..10_000).filter(|_| draw(Asked::default(), &[]) == Some(2)).count();
    assert!((7_200..7_800).contains(&heavy), "{heavy} of 10,000 for three quarters of the weight");
    assert_eq!(draw(Asked::default(), &[2]), Some(1));
    assert_eq!(draw(Asked::default(), &[1, 2]), None);
    for (endpoint, id) in [
        ("uuid:a", Some(1)),
        ("id:bb", Some(2)),
        ("ip:10.0.0.2", Some(2)),
        ("zone:a", Some(1)),
        ("zone:c", None),
        ("x", None),
    ] {
        assert_eq!(draw(Asked { endpoint: Some(endpoint), labels: &[], hash: None }, &[]), id, "{endpoint}");
    }
    assert_eq!(draw(Asked { endpoint: None, labels: &[("zone", "bb")], hash: None }, &[]), Some(2));
}

#[tokio::test]
async fn one_hash_goes_to_one_instance_and_only_its_share_moves_when_one_goes() {
    let registry = registry();
    let uuids = ["a", "b", "c", "d"];
    let links: Vec<_> = uuids.iter().zip(1..).map(|(_, id)| link(id)).collect();
    for (link, uuid) in links.iter().zip(uuids) {
        // The last one carries twice the weight.
        registry.join(link.clone(), app(uuid, if uuid == "d" { 2 } else { 1 }, &[]));
        registry.expose(link, vec![service("s.A")], false);
    }
    let places = |tried: &[u64]| -> Vec<u64> {
        let table = registry.routes().load();
        let found = table.find(&parse_key("s.A.m").unwrap()).unwrap();
        let place = |nth: u64| {
            let asked = Asked { hash: Some(hash(&format!("key-{nth}"))), ..Asked::default() };
            pick(found, asked, tried, &mut |_| unreachable!("nothing is drawn")).unwrap().link.id
        };
        (0..10_000).map(place).collect()
    };
    let before = places(&[]);
    assert_eq!(before, places(&[]));
    for (id, share) in [(1, 2_000), (2, 2_000), (3, 2_000), (4, 4_000)] {
        let count = before.iter().filter(|place| **place == id).count();
        assert!(count.abs_diff(share) < 300, "{id} has {count} of 10,000");
    }
    for after in [places(&[2]), {
        registry.leave(&links[1]);
        places(&[])
    }] {
        assert!(before.iter().zip(&after).all(|(was, is)| was == is || *was == 2 && *is != 2));
    }
}

#[tokio::test]
async fn withdrawn_services_go_and_what_was_not_published_is_passed_over() {
    let registry = registry();
    let a = link(1);
    registry.join(a.clone(), app("one", 1, &[]));
    registry.expose(&a, vec![service("s.A"), service("s.B")], false);
    registry.withdraw(&a, &[service("s.A"), service("s.X")]);
    assert_eq!((serving(&registry, "s.A"), serving(&registry, "s.B")), (vec![], vec![1]));
    assert_eq!(
        registry.expose(&a, vec![service("s.C"), service("s.A")], false).accepted.len(),
        2,
        "the cap counts anew"
    );
    registry.withdraw(&link(9), &[service("s.B")]);
    assert_eq!(serving(&registry, "s.B"), [1]);
}

#[tokio::test]
async fn what_is_published_together_shares_its_endpoints_until_something_differs() {
    let registry = registry();
    let (a, b, c) = (link(1), link(2), link(3));
    registry.join(a.clone(), app("one", 1, &[]));
    registry.join(b.clone(), app("two", 1, &[]));
    registry.expose(&a, vec![service("s.A"), service("s.B"), service("s.C")], false);
    let is_one_list = |left: &str, right: &str| {
        let table = registry.routes().load();
        let found = |name| table.find(&parse_key(name).unwrap().undivided()).cloned().unwrap();
        Arc::ptr_eq(&found(left), &found(right))
    };
    assert!(is_one_list("s.A", "s.B") && is_one_list("s.B", "s.C"));
    registry.expose(&b, vec![service("s.A"), service("s.B")], false);
    assert!(is_one_list("s.A", "s.B") && !is_one_list("s.B", "s.C"));
    registry.withdraw(&b, &[service("s.A")]);
    assert_eq!([serving(&registry, "s.A"), serving(&registry, "s.B")], [vec![1], vec![1, 2]]);
    // A newer link of an instance that publishes one service of the two.
    registry.join(c.clone(), app("one", 1, &[]));
    registry.expose(&c, vec![service("s.B")], false);
    registry.hide(&a);
    assert_eq!([serving(&registry, "s.A"), serving(&registry, "s.B")], [vec![], vec![2, 3]]);
    registry.show(&a);
    registry.leave(&c);
    assert_eq!([serving(&registry, "s.A"), serving(&registry, "s.B")], [vec![1], vec![1, 2]]);
}

#[tokio::test]
async fn of_two_the_one_with_fewer_streams_gets_the_request() {
    let registry = registry();
    let links = [link(1), link(2)];
    for (link, uuid) in links.iter().zip(["a", "b"]) {
        registry.join(link.clone(), app(uuid, 1, &[]));
        registry.expose(link, vec![service("s.A")], false);
    }
    links[0].set_load(5);
    let table = registry.routes().load();
    let found = table.find(&parse_key("s.A.m").unwrap()).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let busy =
        (0..1000).filter(|_| pick(found, Asked::default(), &[], &mut |n| rng.u64(..n)).unwrap().link.id == 1).count();
    assert!(busy < 5, "{busy}: only when all draws were the same");
}
