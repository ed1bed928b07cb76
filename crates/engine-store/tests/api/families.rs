//! Services of one address family and of both: what is given, kept, added, released and refused.

use engine_store::PatchKind;
use serde_json::{Value, json};

use crate::harness::{SERVICES, World};

const V4: &str = "10.96.0.0/16";
const V6: &str = "fd00:10:96::/112";

fn mk_service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}});
    service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    service
}

fn families(service: &Value) -> (Value, Value) {
    (service["spec"]["ipFamilyPolicy"].clone(), service["spec"]["ipFamilies"].clone())
}

/// `4` and `6` for the addresses, in order.
fn addresses(service: &Value) -> String {
    let all = service["spec"]["clusterIPs"].as_array().unwrap();
    assert_eq!(service["spec"]["clusterIP"], all[0]);
    all.iter().map(|address| if address.as_str().unwrap().contains(':') { '6' } else { '4' }).collect()
}

fn refusal(world: &mut World, spec: Value) -> String {
    world.post(SERVICES, mk_service("x", spec)).unwrap_err().message
}

#[test]
fn a_cluster_of_ipv6_gives_its_own() {
    let mut world = World::of_ranges(&[V6]);
    let own = world.get(&format!("{SERVICES}/kubernetes")).unwrap();
    assert_eq!(own["spec"]["clusterIPs"], json!(["fd00:10:96::1"]));
    assert_eq!(families(&own), (json!("SingleStack"), json!(["IPv6"])));
    let prefers = json!({"ipFamilyPolicy": "PreferDualStack"});
    let made = world.post(SERVICES, mk_service("s", prefers)).unwrap();
    assert_eq!(families(&made), (json!("PreferDualStack"), json!(["IPv6"])));
    assert_eq!(addresses(&made), "6");
    assert!(made["spec"]["clusterIP"].as_str().unwrap().starts_with("fd00:10:96::"));
    for (spec, why) in [
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "Service \"x\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not \
             configured for dual-stack services",
        ),
        (
            json!({"ipFamilies": ["IPv4"]}),
            "Service \"x\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv4\": not configured on this cluster",
        ),
        (
            json!({"clusterIP": "10.96.0.9"}),
            "Service \"x\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: IPv4 is not configured on \
             this cluster",
        ),
    ] {
        assert_eq!(refusal(&mut world, spec), why);
    }
}

#[test]
fn two_families_are_given_to_those_who_ask() {
    let mut world = World::of_ranges(&[V4, V6]);
    for (name, spec, wanted, policy, listed) in [
        ("plain", json!({}), "4", "SingleStack", json!(["IPv4"])),
        ("six", json!({"ipFamilies": ["IPv6"]}), "6", "SingleStack", json!(["IPv6"])),
        (
            "prefer",
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            "46",
            "PreferDualStack",
            json!(["IPv4", "IPv6"]),
        ),
        (
            "turned",
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}),
            "64",
            "RequireDualStack",
            json!(["IPv6", "IPv4"]),
        ),
        (
            "named",
            json!({"ipFamilyPolicy": "PreferDualStack", "clusterIP": "fd00:10:96::77"}),
            "64",
            "PreferDualStack",
            json!(["IPv6", "IPv4"]),
        ),
        ("six-named", json!({"clusterIP": "fd00:10:96::78"}), "6", "SingleStack", json!(["IPv6"])),
    ] {
        let made = world.post(SERVICES, mk_service(name, spec)).unwrap();
        assert_eq!(addresses(&made), wanted, "{name}");
        assert_eq!(families(&made), (json!(policy), listed), "{name}");
        let again = world.put(&format!("{SERVICES}/{name}"), mk_service(name, json!({}))).unwrap();
        assert_eq!(again["spec"], made["spec"], "{name}: the same manifest without what was given");
    }
}

#[test]
fn headless_services_have_families_too() {
    let mut world = World::of_ranges(&[V4, V6]);
    let none = |more: Value| {
        let mut spec = json!({"clusterIP": "None"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let made = world.post(SERVICES, mk_service("one", none(json!({})))).unwrap();
    assert_eq!(families(&made), (json!("SingleStack"), json!(["IPv4"])));
    let both =
        world.post(SERVICES, mk_service("both", none(json!({"ipFamilyPolicy": "PreferDualStack"})))).unwrap();
    assert_eq!(families(&both), (json!("PreferDualStack"), json!(["IPv4", "IPv6"])));
    assert_eq!(both["spec"]["clusterIPs"], json!(["None"]));
    let mut single = World::of_ranges(&[V6]);
    let own = single.post(SERVICES, mk_service("own", json!({"clusterIP": "None", "selector": {}}))).unwrap();
    assert_eq!(families(&own), (json!("RequireDualStack"), json!(["IPv6", "IPv4"])));
}

#[test]
fn the_second_family_comes_and_goes_with_the_policy() {
    let mut world = World::of_ranges(&[V4, V6]);
    let path = format!("{SERVICES}/s");
    let made = world.post(SERVICES, mk_service("s", json!({}))).unwrap();
    let mut patch = |spec: Value| world.patch(&path, PatchKind::Merge, json!({ "spec": spec }));
    let up = patch(json!({"ipFamilyPolicy": "RequireDualStack"})).unwrap();
    assert_eq!(addresses(&up), "46");
    assert_eq!(up["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let first = up["spec"]["clusterIPs"][0].clone();
    for (spec, why) in [
        (
            json!({"clusterIPs": [first]}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary \
             cluster IP",
        ),
        (
            json!({"ipFamilies": ["IPv4"]}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary \
             IP family",
        ),
        (json!({"ipFamilies": ["IPv6", "IPv4"]}), "expected an IPv6 value as indicated by `ipFamilies[0]`"),
        (json!({"clusterIPs": [first, "fd00:10:96::9"]}), "may not change once set"),
    ] {
        let refused = patch(spec).unwrap_err().message;
        assert!(refused.contains(why), "{refused}");
    }
    let freed = up["spec"]["clusterIPs"][1].clone();
    let down = patch(json!({"ipFamilyPolicy": "SingleStack"})).unwrap();
    assert_eq!((addresses(&down).as_str(), families(&down).1), ("4", json!(["IPv4"])));
    assert_eq!(down["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let asked = json!({"ipFamilyPolicy": "PreferDualStack", "clusterIPs": [first, freed]});
    let again = patch(asked).unwrap();
    assert_eq!(again["spec"]["clusterIPs"], up["spec"]["clusterIPs"], "what was released can be had again");
}

#[test]
fn fields_that_contradict_each_other_are_told_as_the_api_tells_them() {
    let mut world = World::of_ranges(&[V4, V6]);
    for (spec, why) in [
        (
            json!({"clusterIPs": ["10.96.0.9"]}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: must be empty when `clusterIP` is not specified",
        ),
        (
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.8"]}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.8\"]: first value must match `clusterIP`",
        ),
        (json!({"ipFamilies": ["IPv4", "IPv4"]}), "spec.ipFamilies[1]: Duplicate value: \"IPv4\""),
        (
            json!({"ipFamilies": ["IPv5"]}),
            "spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"",
        ),
        (
            json!({"ipFamilyPolicy": "Both"}),
            "spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \"PreferDualStack\", \
             \"RequireDualStack\", \"SingleStack\"",
        ),
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when \
             multiple IP families are specified",
        ),
        (
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "10.96.0.10"],
                   "ipFamilyPolicy": "RequireDualStack"}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.9\",\"10.96.0.10\"]: may specify no more than one IP for each \
             IP family",
        ),
        (
            json!({"clusterIP": "None", "clusterIPs": ["None", "10.96.0.10"]}),
            "spec.clusterIPs: Invalid value: [\"None\",\"10.96.0.10\"]: 'None' must be the first and only value",
        ),
    ] {
        let refused = refusal(&mut world, spec);
        assert!(refused.contains(why), "{refused}");
    }
    let taken = json!({"clusterIP": "fd00:10:96::5", "ipFamilyPolicy": "RequireDualStack"});
    world.post(SERVICES, mk_service("s", taken.clone())).unwrap();
    let refused = refusal(&mut world, taken);
    assert!(
        refused.contains(
            "[\"fd00:10:96::5\",\"\"]: failed to allocate IP fd00:10:96::5: provided IP is already allocated"
        ),
        "{refused}"
    );
}

#[test]
fn an_alias_gives_its_addresses_back_and_gets_new_ones() {
    let mut world = World::of_ranges(&[V4, V6]);
    let path = format!("{SERVICES}/s");
    let made = world.post(SERVICES, mk_service("s", json!({"ipFamilyPolicy": "RequireDualStack"}))).unwrap();
    let alias = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let alias = world.patch(&path, PatchKind::Merge, alias).unwrap();
    for gone in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        assert!(alias["spec"].get(gone).is_none(), "{gone}");
    }
    let taken = json!({"clusterIP": made["spec"]["clusterIPs"][1]});
    world.post(SERVICES, mk_service("t", taken)).unwrap();
    let back =
        json!({"spec": {"type": "ClusterIP", "externalName": null, "ipFamilyPolicy": "PreferDualStack"}});
    let back = world.patch(&path, PatchKind::Merge, back).unwrap();
    assert_eq!(addresses(&back), "46");
    assert_ne!(back["spec"]["clusterIPs"][1], made["spec"]["clusterIPs"][1]);
}
