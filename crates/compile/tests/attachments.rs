//! Pods that this node's CNI plugin knows before the API says their addresses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use model::{Change, Snapshot};
use plan::{Finding, Frontend, NodePlan, Outcome};
use serde_json::json;
use testkit::{mk_namespace, mk_network_policy, mk_node, mk_pod, node_context};
use types::{
    Attachment, LinkName, Mac, NetworkMode, NodeName, PodLink, PodName, PortMapping, Prefix, Protocol,
};

fn attachment(container: &str, pod: &str, address: &str) -> Attachment {
    Attachment {
        container_id: container.to_owned(),
        ifname: LinkName::from("eth0"),
        netns: "/run/netns/x".to_owned(),
        pod: Some(PodName::new("shop", pod)),
        addresses: vec![address.parse().unwrap()],
        host_link: LinkName::from("sl0"),
        host_mac: Mac([2, 0, 0, 0, 0, 1]),
        pod_mac: Mac([2, 0, 0, 0, 0, 2]),
        link: None,
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    }
}

fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.apply(Change::put(&mk_node("node-a", "172.31.0.11", "10.244.1.0/24")));
    snapshot.apply(Change::put(&mk_namespace("shop", &[])));
    let spec = json!({"podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]});
    snapshot.apply(Change::put(&mk_network_policy("shop/db", spec)));
    snapshot
}

fn plan(snapshot: &Snapshot, attachments: &[Attachment]) -> NodePlan {
    plan_and_findings(snapshot, attachments).0
}

fn plan_and_findings(snapshot: &Snapshot, attachments: &[Attachment]) -> (NodePlan, Vec<Finding>) {
    let node = NodeName::from("node-a");
    let mut context = node_context(&node, "172.31.0.11".parse().unwrap(), sealane_compile::TunnelMode::Vxlan);
    context.attachments = attachments
        .iter()
        .map(|entry| ((entry.container_id.clone(), entry.ifname.clone()), entry.clone()))
        .collect();
    sealane_compile::node_plan(snapshot, &context)
}

fn without_address(mut pod: k8s_openapi::api::core::v1::Pod) -> k8s_openapi::api::core::v1::Pod {
    pod.status = None;
    pod
}

#[test]
fn a_pod_is_isolated_by_its_labels_before_the_api_knows_its_address() {
    let mut snapshot = cluster();
    let address = "10.244.1.5".parse().unwrap();
    snapshot.apply(Change::put(&without_address(mk_pod("shop/db-0", "node-a", address, &[("app", "db")]))));
    let web = "10.244.1.6".parse().unwrap();
    snapshot.apply(Change::put(&without_address(mk_pod("shop/web-0", "node-a", web, &[("app", "web")]))));
    let attachments = [attachment("c1", "db-0", "10.244.1.5"), attachment("c2", "web-0", "10.244.1.6")];
    let plan = plan(&snapshot, &attachments);
    let ingress = plan.policy.pods[&address].ingress.as_ref().unwrap();
    assert_eq!(ingress.rules.len(), 1);
    assert!(plan.policy.peer_sets.iter().any(|set| set.addresses.contains(&web)));
    assert_eq!(plan.podnet.local_pods[&address], PodName::new("shop", "db-0"));
}

#[test]
fn a_pod_the_api_has_not_told_of_is_isolated_by_every_policy_of_its_namespace() {
    let plan = plan(&cluster(), &[attachment("c1", "unknown", "10.244.1.5")]);
    let policy = &plan.policy.pods[&"10.244.1.5".parse().unwrap()];
    assert!(policy.ingress.as_ref().unwrap().rules.is_empty());
    assert!(policy.egress.is_none());
}

#[test]
fn an_attachment_beats_what_the_api_still_says_of_its_address() {
    let mut snapshot = cluster();
    let address = "10.244.1.5".parse().unwrap();
    snapshot.apply(Change::put(&mk_pod("shop/web-old", "node-a", address, &[("app", "web")])));
    snapshot.apply(Change::put(&without_address(mk_pod("shop/db-0", "node-a", address, &[("app", "db")]))));
    let plan = plan(&snapshot, &[attachment("c1", "db-0", "10.244.1.5")]);
    assert_eq!(plan.podnet.local_pods[&address], PodName::new("shop", "db-0"));
    assert!(!plan.policy.peer_sets.iter().any(|set| set.addresses.contains(&address)));
}

#[test]
fn two_attachments_of_one_address_are_no_reason_to_fall() {
    let attachments = [attachment("c1", "one", "10.244.1.5"), attachment("c2", "two", "10.244.1.5")];
    assert_eq!(plan(&cluster(), &attachments).policy.pods.len(), 1);
}

/// 8080 of the node to 80 of the container.
fn with_port(mut attachment: Attachment) -> Attachment {
    let port = |number| types::Port::new(number).unwrap();
    let (host_port, container_port) = (port(8080), port(80));
    attachment.port_mappings =
        vec![PortMapping { host_port, container_port, protocol: Protocol::Tcp, host_ip: None }];
    attachment
}

/// Who has the port, and where it leads.
fn owner_of_8080(plan: &NodePlan) -> (String, Vec<String>) {
    let mapping = &with_port(attachment("x", "x", "10.244.1.1")).port_mappings[0];
    let rule = &plan.services.frontends[&Frontend::from(mapping)];
    let Outcome::Forward { backends, .. } = &rule.external else { panic!("{rule:?}") };
    let backends = backends.iter().map(|backend| format!("{}:{}", backend.address, backend.port));
    (rule.owner_ref().to_string(), backends.collect())
}

#[test]
fn a_port_that_only_the_runtime_knows_leads_to_its_container() {
    let mut container = with_port(attachment("c1", "-", "10.244.1.5"));
    container.pod = None;
    let (plan, findings) = plan_and_findings(&cluster(), &[container]);
    assert_eq!(owner_of_8080(&plan), ("Container c1".to_owned(), vec!["10.244.1.5:80".to_owned()]));
    assert_eq!(findings, []);
}

#[test]
fn the_api_and_the_runtime_make_one_frontend() {
    let mut snapshot = cluster();
    let pod = mk_pod("shop/web-0", "node-a", "10.244.1.5".parse().unwrap(), &[]);
    let mut declared = serde_json::to_value(without_address(pod.clone())).unwrap();
    declared["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    let attachments = [with_port(attachment("c1", "web-0", "10.244.1.5"))];
    // Before the API says the address, it is the runtime's word that counts, and afterwards the API's.
    for status in [None, pod.status] {
        let mut pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(declared.clone()).unwrap();
        pod.status = status;
        snapshot.apply(Change::put(&pod));
        let (plan, findings) = plan_and_findings(&snapshot, &attachments);
        assert_eq!(owner_of_8080(&plan), ("Pod shop/web-0".to_owned(), vec!["10.244.1.5:80".to_owned()]));
        assert_eq!(findings, []);
    }
}

#[test]
fn of_two_that_want_a_port_the_second_is_a_finding() {
    let attachments =
        [with_port(attachment("c1", "one", "10.244.1.5")), with_port(attachment("c2", "two", "10.244.1.6"))];
    let (plan, findings) = plan_and_findings(&cluster(), &attachments);
    assert_eq!(owner_of_8080(&plan).0, "Pod shop/one");
    let conflict: Vec<_> = findings.iter().filter(|finding| finding.reason == "HostPortConflict").collect();
    assert_eq!(conflict.len(), 1, "{findings:?}");
    assert_eq!(conflict[0].message, "host port 8080/TCP of Node node-a already belongs to Pod shop/one");
}

#[test]
fn the_bridge_has_the_pods_that_are_on_it_whatever_the_node_is_told_now() {
    let bridged = |container: &str, address: &str| {
        let link = Some(PodLink { mode: NetworkMode::Bridge, ..PodLink::default() });
        let host_link = LinkName(format!("sl{container}"));
        Attachment { link, host_link, ..attachment(container, container, address) }
    };
    let bridge = |mode: NetworkMode, attachments: &[Attachment]| {
        let node = NodeName::from("node-a");
        let vxlan = sealane_compile::TunnelMode::Vxlan;
        let mut context = node_context(&node, "172.31.0.11".parse().unwrap(), vxlan);
        context.pod_links = mode;
        let keyed =
            attachments.iter().map(|one| ((one.container_id.clone(), one.ifname.clone()), one.clone()));
        context.attachments = keyed.collect();
        let podnet = sealane_compile::node_plan(&cluster(), &context).0.podnet;
        assert_eq!(podnet.link.mode, mode);
        podnet.bridge.clone()
    };
    let routes = |texts: &[&str]| texts.iter().map(|text| text.parse::<Prefix>().unwrap()).collect();
    let routed = attachment("old", "old", "10.244.1.4");
    assert_eq!(bridge(NetworkMode::Routed, std::slice::from_ref(&routed)), None);
    let empty = bridge(NetworkMode::Bridge, std::slice::from_ref(&routed)).unwrap();
    assert!(empty.ports.is_empty());
    assert_eq!(empty.routes, routes(&["10.244.1.0/24"]));
    // One is from a range that the Node had before, one's link is another plugin's.
    let mut foreign = bridged("foreign", "10.244.1.7");
    foreign.origin = types::LinkOrigin::Previous;
    let all = [routed, bridged("new", "10.244.1.5"), bridged("stray", "10.9.0.5"), foreign];
    let both = bridge(NetworkMode::Bridge, &all).unwrap();
    let names: Vec<&str> = both.ports.keys().map(|name| name.0.as_str()).collect();
    assert_eq!(names, ["slnew", "slstray"]);
    assert_eq!(both.routes, routes(&["10.244.1.0/24", "10.9.0.5/32"]));
    let back = bridge(NetworkMode::Routed, &all).unwrap();
    assert_eq!(back.ports, both.ports);
    assert_eq!(back.routes, routes(&["10.244.1.5/32", "10.9.0.5/32"]));
}
