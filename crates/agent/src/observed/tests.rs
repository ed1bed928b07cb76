//! Folding of events, and answers to the CNI plugin.

use k8s_openapi::api::core::v1::Pod;
use model::{Change, Kind};
use tokio::sync::oneshot;
use types::{Mac, PodName};
use watch::Batch;

use super::*;
use crate::in_force::Kernel;

fn mk_in_force(pod_cidrs: &[&str], rules: Kernel) -> InForce {
    mk_serving(plan::ServiceTable::default(), pod_cidrs, rules)
}

fn mk_serving(services: plan::ServiceTable, pod_cidrs: &[&str], rules: Kernel) -> InForce {
    let pod_cidrs = pod_cidrs.iter().map(|text| (*text).to_owned().try_into().expect("prefix")).collect();
    let podnet = plan::PodNetwork { pod_cidrs, ..plan::PodNetwork::default() };
    let plan = plan::NodePlan {
        node: "node-a".into(),
        podnet: podnet.into(),
        services,
        policy: Default::default(),
        dns: plan::DnsPlan::default(),
        gateway: Default::default(),
        lb: Default::default(),
    };
    InForce::default().succeeded_by(plan.into(), Kernel::AsPlanned, rules)
}

fn mk_whole() -> InForce {
    mk_in_force(&["192.0.2.0/24"], Kernel::AsPlanned)
}

fn mk_attachment(pod: Option<&str>) -> Attachment {
    Attachment {
        container_id: "c1".into(),
        ifname: "eth0".into(),
        netns: "/run/netns/x".into(),
        pod: pod.map(|name| PodName::new("shop", name)),
        addresses: vec!["192.0.2.1".parse().expect("address")],
        host_link: "sl1".into(),
        host_mac: Mac::derived("host"),
        pod_mac: Mac::derived("pod"),
        link: None,
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    }
}

fn mk_pod(name: &str) -> Change {
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
    );
    Change::put(&serde_json::from_str::<Pod>(&text).expect("a Pod"))
}

fn mk_batch(changes: Vec<Change>, is_synced: bool) -> Event {
    Event::Changes(Batch { changes, is_synced })
}

fn mk_added() -> AgentRequest {
    AgentRequest::Added { container_id: "c1".into(), ifname: "eth0".into() }
}

fn ask(observed: &mut Observed, request: AgentRequest) -> oneshot::Receiver<AgentAnswer> {
    let (answer, receiver) = oneshot::channel();
    observed.fold(Event::Notice(Notice { request, answer }));
    receiver
}

#[test]
fn synced_stays_once_reached() {
    let mut observed = Observed::default();
    observed.fold(mk_batch(Vec::new(), false));
    assert!(!observed.is_synced());
    observed.fold(mk_batch(Vec::new(), true));
    observed.fold(mk_batch(Vec::new(), false));
    assert!(observed.is_synced());
}

#[test]
fn changes_are_folded_in_order() {
    let mut observed = Observed::default();
    let gone = Change::Replace { kind: Kind::Pod, objects: Vec::new(), rejected: Vec::new() };
    observed.fold(mk_batch(vec![mk_pod("web"), gone, mk_pod("db")], false));
    assert_eq!(observed.snapshot.pods.keys().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["db"]);
}

#[test]
fn a_pod_may_start_only_when_its_labels_are_known_and_its_rules_are_in() {
    let mut observed = Observed::default();
    let mut answer = ask(&mut observed, mk_added());
    observed.fold(Event::Attachments(vec![mk_attachment(Some("web"))], BTreeSet::new()));
    observed.answer_waiting(&mk_whole());
    assert!(answer.try_recv().is_err(), "the Pod's labels are not known");
    observed.fold(mk_batch(vec![mk_pod("web")], true));
    observed.answer_waiting(&mk_in_force(&["192.0.2.0/24"], Kernel::Failed));
    assert!(answer.try_recv().is_err(), "its rules failed to load");
    observed.answer_waiting(&mk_whole());
    assert_eq!(answer.try_recv(), Ok(AgentAnswer::Ready { revision: 1 }));
}

#[test]
fn an_attachment_without_a_pod_waits_for_rules_only() {
    let mut observed = Observed::default();
    let mut answer = ask(&mut observed, mk_added());
    observed.fold(Event::Attachments(vec![mk_attachment(None)], BTreeSet::new()));
    observed.answer_waiting(&mk_whole());
    assert_eq!(answer.try_recv(), Ok(AgentAnswer::Ready { revision: 1 }));
}

#[test]
fn an_unknown_attachment_is_not_waited_for() {
    let mut observed = Observed::default();
    let mut answer = ask(&mut observed, mk_added());
    observed.answer_waiting(&mk_whole());
    assert!(matches!(answer.try_recv(), Ok(AgentAnswer::TryLater { .. })));
}

#[test]
fn status_needs_a_pod_range() {
    let mut observed = Observed::default();
    let mut answer = ask(&mut observed, AgentRequest::Status);
    observed.answer_waiting(&mk_in_force(&[], Kernel::AsPlanned));
    assert!(matches!(answer.try_recv(), Ok(AgentAnswer::TryLater { .. })));
    let mut answer = ask(&mut observed, AgentRequest::Status);
    observed.answer_waiting(&mk_whole());
    assert_eq!(answer.try_recv(), Ok(AgentAnswer::Ready { revision: 1 }));
}

#[test]
fn behind_another_plugin_status_needs_rules_and_no_pod_range() {
    let mut observed = Observed::default();
    let mut answer = ask(&mut observed, AgentRequest::ChainedStatus);
    observed.answer_waiting(&mk_in_force(&[], Kernel::Failed));
    assert!(matches!(answer.try_recv(), Ok(AgentAnswer::TryLater { .. })));
    let mut answer = ask(&mut observed, AgentRequest::ChainedStatus);
    observed.answer_waiting(&mk_in_force(&[], Kernel::AsPlanned));
    assert_eq!(answer.try_recv(), Ok(AgentAnswer::Ready { revision: 1 }));
}

#[test]
fn a_plugin_that_gave_up_is_forgotten() {
    let mut observed = Observed::default();
    observed.fold(Event::Attachments(vec![mk_attachment(Some("web"))], BTreeSet::new()));
    drop(ask(&mut observed, mk_added()));
    observed.answer_waiting(&mk_whole());
    assert!(observed.waiting.is_empty());
}

#[test]
fn a_port_of_somebody_else_is_refused_with_its_name() {
    let port = |number| types::Port::new(number).expect("not 0");
    let mapping = types::PortMapping {
        host_port: port(8080),
        container_port: port(80),
        protocol: types::Protocol::Tcp,
        host_ip: None,
    };
    let rule = |owner| plan::FrontendRule {
        owner,
        port_name: String::new(),
        scope: plan::FrontendScope::HostPort,
        internal: plan::Outcome::Reject,
        external: plan::Outcome::Reject,
        affinity_seconds: None,
        scheduling: plan::Scheduling::default(),
        source_ranges: None,
        endpoints: plan::EndpointOrigin::Pod,
        candidates: Vec::new(),
    };
    let answer_with = |owner: PodName, mapping: &types::PortMapping| {
        let frontends =
            [(plan::Frontend::from(&types::PortMapping { host_ip: None, ..mapping.clone() }), rule(owner))];
        let services = plan::ServiceTable { frontends: frontends.into(), ..plan::ServiceTable::default() };
        let mut observed = Observed::default();
        let mut answer = ask(&mut observed, mk_added());
        let attachment = Attachment { port_mappings: vec![mapping.clone()], ..mk_attachment(None) };
        observed.fold(Event::Attachments(vec![attachment], BTreeSet::new()));
        observed.answer_waiting(&mk_serving(services, &["192.0.2.0/24"], Kernel::AsPlanned));
        answer.try_recv().expect("an answer")
    };
    assert_eq!(answer_with(PodName::new("", "c1"), &mapping), AgentAnswer::Ready { revision: 1 });
    let refused =
        |reason: &str| AgentAnswer::Refused { reason: format!("runtimeConfig.portMappings[0].{reason}") };
    assert_eq!(
        answer_with(PodName::new("shop", "web"), &mapping),
        refused("hostPort: 8080/TCP already belongs to Pod shop/web")
    );
    let elsewhere = types::PortMapping { host_ip: Some("192.0.2.99".parse().expect("address")), ..mapping };
    assert_eq!(
        answer_with(PodName::new("shop", "web"), &elsewhere),
        refused("hostIP: 192.0.2.99 is no address of Node node-a")
    );
}
