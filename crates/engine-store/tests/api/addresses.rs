//! ServiceCIDRs and IPAddresses: one object per ClusterIP, more ranges, and ranges that cannot go.

use serde_json::{Value, json};

use crate::harness::{SERVICES, World};
use crate::services::mk_service;

const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

fn mk_range(name: &str, ranges: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"cidrs": ranges}})
}

fn ready_of(range: &Value) -> (&str, &str) {
    let condition = &range["status"]["conditions"][0];
    (condition["status"].as_str().unwrap(), condition["reason"].as_str().unwrap())
}

#[test]
fn every_cluster_ip_has_an_object_while_its_service_has_it() {
    let mut world = World::new();
    let own = world.get(&format!("{ADDRESSES}/10.96.0.1")).unwrap();
    assert_eq!(own["spec"]["parentRef"]["name"], "kubernetes");
    world.post(SERVICES, mk_service("web", json!({"clusterIP": "10.96.0.77"}))).unwrap();
    let path = format!("{ADDRESSES}/10.96.0.77");
    let made = world.get(&path).unwrap();
    assert_eq!(
        made["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "web"})
    );
    assert_eq!(
        made["metadata"]["labels"],
        json!({"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})
    );
    // Whoever deletes it: the Service still has the address.
    world.delete(&path, json!({})).unwrap();
    assert_ne!(world.get(&path).unwrap()["metadata"]["uid"], made["metadata"]["uid"]);
    world.delete(&format!("{SERVICES}/web"), json!({})).unwrap();
    assert_eq!(world.get(&path).unwrap_err().code, 404);
}

#[test]
fn a_service_that_changes_nothing_of_its_address_writes_no_other_object() {
    let mut world = World::new();
    let mut made = world.post(SERVICES, mk_service("web", json!({}))).unwrap();
    let before = world.store.revision();
    made["metadata"]["labels"] = json!({"a": "b"});
    world.put(&format!("{SERVICES}/web"), made).unwrap();
    assert_eq!(world.store.revision(), before + 1);
}

#[test]
fn an_address_that_somebody_noted_is_not_given() {
    let mut world = World::new();
    let parent = json!({"resource": "appliances", "group": "example.com", "name": "one"});
    let note = json!({"metadata": {"name": "10.96.0.50"}, "spec": {"parentRef": parent}});
    world.post(ADDRESSES, note).unwrap();
    let refused = world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.96.0.50"}))).unwrap_err();
    assert!(refused.message.ends_with("provided IP is already allocated"), "{refused}");
    world.delete(&format!("{ADDRESSES}/10.96.0.50"), json!({})).unwrap();
    world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.96.0.50"}))).unwrap();
}

#[test]
fn a_second_range_is_ready_at_once_and_gives_addresses() {
    let mut world = World::new();
    let known = world.get(&format!("{RANGES}/kubernetes")).unwrap();
    assert_eq!((known["spec"]["cidrs"].clone(), ready_of(&known)), (json!(["10.96.0.0/16"]), ("True", "")));
    world.post(RANGES, mk_range("more", &["10.97.0.0/24"])).unwrap();
    let more = world.get(&format!("{RANGES}/more")).unwrap();
    assert_eq!(more["metadata"]["finalizers"], json!(["networking.k8s.io/service-cidr-finalizer"]));
    assert_eq!(ready_of(&more), ("True", ""));
    world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.97.0.9"}))).unwrap();
    assert!(world.get(&format!("{ADDRESSES}/10.97.0.9")).is_ok());
}

#[test]
fn a_full_range_goes_over_into_the_next() {
    let mut world = World::of_ranges(&["10.96.0.0/29"]);
    // Six hosts, one of which is the API's.
    for index in 0..5 {
        world.post(SERVICES, mk_service(&format!("s{index}"), json!({}))).unwrap();
    }
    let full = world.post(SERVICES, mk_service("late", json!({}))).unwrap_err();
    assert!(full.message.contains("range is full"), "{full}");
    world.post(RANGES, mk_range("more", &["10.97.0.0/24"])).unwrap();
    let late = world.post(SERVICES, mk_service("late", json!({}))).unwrap();
    assert!(late["spec"]["clusterIP"].as_str().unwrap().starts_with("10.97.0."), "{late}");
}

#[test]
fn a_range_in_use_stays_until_its_last_address_is_free() {
    let mut world = World::new();
    let path = format!("{RANGES}/more");
    world.post(RANGES, mk_range("more", &["10.97.0.0/24"])).unwrap();
    world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.97.0.9"}))).unwrap();
    world.delete(&path, json!({})).unwrap();
    assert_eq!(ready_of(&world.get(&path).unwrap()), ("False", "Terminating"));
    let refused = world.post(SERVICES, mk_service("y", json!({"clusterIP": "10.97.0.10"}))).unwrap_err();
    assert!(refused.message.ends_with("does not match the current range"), "{refused}");
    world.delete(&format!("{SERVICES}/x"), json!({})).unwrap();
    assert_eq!(world.get(&path).unwrap_err().code, 404);
}

#[test]
fn a_range_whose_addresses_are_in_another_goes_at_once() {
    let mut world = World::new();
    world.post(RANGES, mk_range("part", &["10.96.7.0/24"])).unwrap();
    world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.96.7.9"}))).unwrap();
    world.delete(&format!("{RANGES}/part"), json!({})).unwrap();
    assert_eq!(world.get(&format!("{RANGES}/part")).unwrap_err().code, 404);
    // The API's own address keeps the default range.
    world.delete(&format!("{RANGES}/kubernetes"), json!({})).unwrap();
    assert_eq!(ready_of(&world.get(&format!("{RANGES}/kubernetes")).unwrap()), ("False", "Terminating"));
}

#[test]
fn ranges_and_addresses_that_cannot_be_are_refused_as_upstream() {
    let mut world = World::new();
    let mut range = |ranges: &[&str]| world.post(RANGES, mk_range("r", ranges)).unwrap_err().message;
    let begins = "ServiceCIDR.networking.k8s.io \"r\" is invalid: spec.cidrs";
    for (ranges, expected) in [
        (&[][..], ": Required value: at least one CIDR required"),
        (
            &["10.0.0.1/24"],
            "[0]: Invalid value: \"10.0.0.1/24\": must not have bits set beyond the prefix length",
        ),
        (
            &["nonsense"],
            "[0]: Invalid value: \"nonsense\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
        (&["FD00::/64"], "[0]: Invalid value: \"FD00::/64\": must be in canonical form (\"fd00::/64\")"),
        (
            &["10.0.0.0/24", "10.1.0.0/24"],
            ": Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one IP for each IP family, \
             i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
    ] {
        assert_eq!(range(ranges), format!("{begins}{expected}"));
    }
    let mut address = |name: &str, spec: Value| {
        world.post(ADDRESSES, json!({"metadata": {"name": name}, "spec": spec})).unwrap_err().message
    };
    let parent = json!({"parentRef": {"resource": "services", "name": "x"}});
    assert!(address("10.0.0.01", parent.clone()).contains("metadata.name: Invalid value"));
    assert!(address("FD00::1", parent).ends_with("must be in canonical form (\"fd00::1\")"));
    assert!(address("10.0.0.1", json!({})).ends_with("spec.parentRef: Required value"));
    assert!(
        address("10.0.0.1", json!({"parentRef": {"resource": "services"}}))
            .ends_with("spec.parentRef.name: Required value")
    );
}

#[test]
fn a_range_may_only_gain_a_second_family() {
    let mut world = World::new();
    world.post(RANGES, mk_range("r", &["10.97.0.0/24"])).unwrap();
    let path = format!("{RANGES}/r");
    let changed = world.put(&path, mk_range("r", &["10.98.0.0/24"])).unwrap_err();
    assert!(
        changed.message.ends_with("spec.cidrs[0]: Invalid value: \"10.98.0.0/24\": field is immutable"),
        "{changed}"
    );
    let gone = world.put(&path, mk_range("r", &["10.97.0.0/24", "fd00::/64", "fd01::/64"])).unwrap_err();
    assert!(gone.message.ends_with("field is immutable"), "{gone}");
    world.put(&path, mk_range("r", &["10.97.0.0/24", "fd00::/64"])).unwrap();
}

#[test]
fn a_kind_of_the_same_name_gets_no_addresses() {
    let mut world = World::new();
    let definition = json!({
        "metadata": {"name": "services.serving.example.com"},
        "spec": {
            "group": "serving.example.com", "scope": "Namespaced",
            "names": {"plural": "services", "singular": "service", "kind": "Service", "listKind": "ServiceList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).unwrap();
    let path = "/apis/serving.example.com/v1/namespaces/default/services";
    let made = world.post(path, json!({"metadata": {"name": "hello"}, "spec": {"template": {}}})).unwrap();
    assert_eq!(made["spec"], json!({"template": {}}));
}
