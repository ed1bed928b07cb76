//! Pods that this node's CNI plugin knows before the API says their addresses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use model::{Change, Snapshot};
use plan::NodePlan;
use serde_json::json;
use testkit::{mk_namespace, mk_network_policy, mk_node, mk_pod, node_context};
use types::{Attachment, LinkName, Mac, NodeName, PodName};

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
    let node = NodeName::from("node-a");
    let mut context = node_context(&node, "172.31.0.11".parse().unwrap(), sealane_compile::TunnelMode::Vxlan);
    context.attachments = attachments
        .iter()
        .map(|entry| ((entry.container_id.clone(), entry.ifname.clone()), entry.clone()))
        .collect();
    sealane_compile::node_plan(snapshot, &context).0
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
