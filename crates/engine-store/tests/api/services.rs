//! Services: addresses and node ports inside the write.

use engine_store::PatchKind;
use serde_json::{Value, json};

use crate::harness::{SERVICES, World};

pub(crate) fn mk_service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    service
}

#[test]
fn the_api_has_the_first_address() {
    let world = World::new();
    assert_eq!(world.get(&format!("{SERVICES}/kubernetes")).unwrap()["spec"]["clusterIP"], "10.96.0.1");
}

#[test]
fn the_api_stays_where_it_is_whoever_deletes_its_service() {
    let mut world = World::new();
    let path = format!("{SERVICES}/kubernetes");
    let first = world.get(&path).unwrap();
    world.delete(&path, json!({})).unwrap();
    let second = world.get(&path).unwrap();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(second["spec"]["clusterIP"], "10.96.0.1");
}

#[test]
fn a_cluster_ip_service_is_completed() {
    let mut world = World::new();
    let made = world.post(SERVICES, mk_service("s", json!({}))).unwrap();
    let spec = &made["spec"];
    let address = spec["clusterIP"].as_str().unwrap();
    assert!(address.starts_with("10.96.") && !address.starts_with("10.96.0."), "{address}");
    assert_eq!(spec["clusterIPs"], json!([address]));
    assert_eq!(
        (spec["ipFamilies"].clone(), spec["ipFamilyPolicy"].clone()),
        (json!(["IPv4"]), json!("SingleStack"))
    );
    assert_eq!(spec["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    assert_eq!(
        (spec["sessionAffinity"].as_str(), spec["internalTrafficPolicy"].as_str()),
        (Some("None"), Some("Cluster"))
    );
    assert!(spec.get("externalTrafficPolicy").is_none());
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
}

#[test]
fn requested_addresses_are_given_or_refused() {
    let mut world = World::new();
    world.post(SERVICES, mk_service("dns", json!({"clusterIP": "10.96.0.10"}))).unwrap();
    let taken = world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.96.0.10"}))).unwrap_err();
    assert_eq!(
        taken.message,
        "Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: \
         provided IP is already allocated"
    );
    let outside = world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.1.0.1"}))).unwrap_err();
    assert!(outside.message.ends_with("the provided network does not match the current range"), "{outside}");
    world.delete(&format!("{SERVICES}/dns"), json!({})).unwrap();
    world.post(SERVICES, mk_service("x", json!({"clusterIP": "10.96.0.10"}))).unwrap();
}

#[test]
fn node_ports_are_chosen_kept_and_freed() {
    let mut world = World::new();
    let spec = json!({"type": "NodePort", "ports": [
        {"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}, {"name": "w", "port": 80}]});
    let made = world.post(SERVICES, mk_service("s", spec)).unwrap();
    let node_port = |service: &Value, index: usize| service["spec"]["ports"][index]["nodePort"].as_i64();
    assert!(node_port(&made, 0).unwrap() >= 30086);
    assert_eq!(node_port(&made, 0), node_port(&made, 1));
    assert_ne!(node_port(&made, 0), node_port(&made, 2));
    let path = format!("{SERVICES}/s");
    let spec = json!({"type": "NodePort", "ports": [{"name": "w", "port": 8080}]});
    let put = world.put(&path, mk_service("s", spec)).unwrap();
    assert_eq!(put["spec"]["ports"][0]["nodePort"], made["spec"]["ports"][2]["nodePort"]);
    assert_eq!(put["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let freed = node_port(&made, 0).unwrap();
    let explicit = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": freed}]});
    world.post(SERVICES, mk_service("t", explicit.clone())).unwrap();
    let taken = world.post(SERVICES, mk_service("v", explicit)).unwrap_err();
    assert!(
        taken.message.ends_with(&format!(
            "spec.ports[0].nodePort: Invalid value: {freed}: provided port is already allocated"
        )),
        "{taken}"
    );
    let low = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]});
    let low = world.post(SERVICES, mk_service("v", low)).unwrap_err();
    assert!(low.message.ends_with("The range of valid ports is 30000-32767"), "{low}");
}

#[test]
fn types_change_with_what_belongs_to_them() {
    let mut world = World::new();
    let balancer = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let made = world.post(SERVICES, mk_service("s", balancer)).unwrap();
    assert!(made["spec"]["healthCheckNodePort"].is_i64());
    assert_eq!(made["spec"]["allocateLoadBalancerNodePorts"], true);
    let path = format!("{SERVICES}/s");
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "172.31.0.200"}]}}});
    let status = world.patch(&format!("{path}/status"), PatchKind::Merge, status).unwrap();
    assert_eq!(status["status"]["loadBalancer"]["ingress"], json!([{"ip": "172.31.0.200", "ipMode": "VIP"}]));
    let plain = world.patch(&path, PatchKind::Merge, json!({"spec": {"type": "ClusterIP"}})).unwrap();
    let spec = plain["spec"].as_object().unwrap();
    for gone in ["healthCheckNodePort", "allocateLoadBalancerNodePorts", "externalTrafficPolicy"] {
        assert!(!spec.contains_key(gone), "{gone}");
    }
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    assert_eq!(plain["status"], json!({"loadBalancer": {}}));
    assert_eq!(plain["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let alias = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let alias = world.patch(&path, PatchKind::Merge, alias).unwrap();
    assert!(alias["spec"].get("clusterIP").is_none() && alias["spec"].get("ipFamilies").is_none(), "{alias}");
    let refused = world.patch(
        &format!("{SERVICES}/kubernetes"),
        PatchKind::Merge,
        json!({"spec": {"clusterIP": "10.96.0.2"}}),
    );
    assert!(refused.unwrap_err().message.contains("may not change once set"));
}

#[test]
fn headless_services_have_no_address() {
    let mut world = World::new();
    let made =
        world.post(SERVICES, mk_service("h", json!({"clusterIP": "None", "selector": {"a": "b"}}))).unwrap();
    assert_eq!(
        (made["spec"]["clusterIP"].as_str(), &made["spec"]["clusterIPs"]),
        (Some("None"), &json!(["None"]))
    );
    assert_eq!(made["spec"]["ipFamilyPolicy"], "SingleStack");
    let free = world.post(SERVICES, mk_service("f", json!({"clusterIP": "None"}))).unwrap();
    assert_eq!(free["spec"]["ipFamilyPolicy"], "RequireDualStack");
    assert_eq!(
        world.put(&format!("{SERVICES}/f"), mk_service("f", json!({"clusterIP": "None"}))).unwrap(),
        free
    );
}

#[test]
fn a_health_check_port_stays_while_it_is_needed() {
    let mut world = World::new();
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let made = world.post(SERVICES, mk_service("s", spec)).unwrap();
    let port = made["spec"]["healthCheckNodePort"].as_i64().unwrap();
    let path = format!("{SERVICES}/s");
    let other = json!({"spec": {"healthCheckNodePort": if port == 32_100 { 32_101 } else { 32_100 }}});
    let refused = world.patch(&path, PatchKind::Merge, other).unwrap_err();
    let text = "spec.healthCheckNodePort: Forbidden: field is immutable";
    assert!(refused.message.contains(text), "{}", refused.message);
    let cluster = json!({"spec": {"externalTrafficPolicy": "Cluster"}});
    let changed = world.patch(&path, PatchKind::Merge, cluster).unwrap();
    assert!(changed["spec"].get("healthCheckNodePort").is_none());
}

#[test]
fn addresses_of_the_node_itself_are_no_external_ones() {
    let mut world = World::new();
    for (address, why) in [
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        let refused = world.post(SERVICES, mk_service("s", json!({"externalIPs": [address]}))).unwrap_err();
        let text = format!("spec.externalIPs[0]: Invalid value: \"{address}\": {why}");
        assert!(refused.message.contains(&text), "{}", refused.message);
    }
    world.post(SERVICES, mk_service("s", json!({"externalIPs": ["203.0.113.7"]}))).unwrap();
}

#[test]
fn balancers_may_do_without_node_ports() {
    let mut world = World::new();
    let spec = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false});
    let made = world.post(SERVICES, mk_service("s", spec)).unwrap();
    assert!(made["spec"]["ports"][0].get("nodePort").is_none());
    assert_eq!(made["spec"]["allocateLoadBalancerNodePorts"], false);
}

#[test]
fn a_dry_run_holds_no_address() {
    let mut world = World::new();
    world.options.dry_run = true;
    world.post(SERVICES, mk_service("a", json!({"clusterIP": "10.96.0.50"}))).unwrap();
    world.options.dry_run = false;
    world.post(SERVICES, mk_service("b", json!({"clusterIP": "10.96.0.50"}))).unwrap();
}
