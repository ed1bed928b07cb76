//! All plans of a cluster at rest: what the cluster loop writes is written, and every node is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compile::TunnelMode;
use model::{Condition, Conditions, IpMode, LoadBalancerIngress, Snapshot};
use plan::{ClusterPlan, ConditionChange, Finding, NodePlan, StatusWrite};
use types::{IpFamily, NamespacedName, NodeName, ObjectRef, PodName, Port, Protocol};

use crate::lab::{cluster_context_of, node_context};
use crate::probe::{Client, Probe, Target};

/// How often the cluster loop may write before it must be content.
const ROUNDS: usize = 4;

/// A cluster at rest.
#[derive(Clone, Debug)]
pub struct World {
    /// The cluster with everything written that the cluster loop writes.
    pub snapshot: Snapshot,
    /// What the cluster loop wanted at first.
    pub cluster_plan: ClusterPlan,
    /// Each node's plan.
    pub plans: BTreeMap<NodeName, NodePlan>,
    /// Findings of all nodes.
    pub findings: BTreeSet<Finding>,
}

/// A probe in numbers, and the node whose rules it meets first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedProbe {
    /// The client's address.
    pub source: IpAddr,
    /// Where it connects to.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port.
    pub port: Port,
    /// The node whose rules it meets first.
    pub entry: NodeName,
}

impl World {
    /// Lets the cluster loop write until it is content, then compiles every node. The nodes' addresses say of which
    /// family the lab is.
    ///
    /// # Panics
    /// The cluster loop is never content: its plan does not settle.
    #[must_use]
    pub fn settle(mut snapshot: Snapshot, tunnel: TunnelMode) -> Self {
        let address = snapshot.nodes.values().find_map(|node| node.addresses.first());
        let context = cluster_context_of(address.map_or(IpFamily::V4, |address| IpFamily::of(*address)));
        let first = compile::cluster_plan(&snapshot, &context);
        let mut wanted = first.clone();
        for _ in 0..ROUNDS {
            write(&mut snapshot, &wanted);
            wanted = compile::cluster_plan(&snapshot, &context);
        }
        assert!(wanted.statuses.is_empty() && wanted.pod_cidrs.is_empty(), "does not settle: {wanted:?}");
        let mut findings = first.findings.clone();
        let mut plans = BTreeMap::new();
        for node in snapshot.nodes.values() {
            let Some(underlay) = node.addresses.first() else { continue };
            let context = node_context(&node.name, *underlay, tunnel);
            let (plan, of_node) = compile::node_plan(&snapshot, &context);
            findings.extend(of_node);
            plans.insert(node.name.clone(), plan);
        }
        Self { snapshot, cluster_plan: first, plans, findings }
    }

    /// The plan of the node whose Pod has this address.
    pub(crate) fn home_of(&self, address: IpAddr) -> Option<&NodePlan> {
        self.plans.values().find(|plan| plan.podnet.local_pods.contains_key(&address))
    }

    fn pod_address(&self, pod: &PodName) -> Result<IpAddr, String> {
        let pods = self.plans.values().flat_map(|plan| &plan.podnet.local_pods);
        let mut addresses = pods.filter(|(_, name)| *name == pod).map(|(address, _)| *address);
        addresses.next().ok_or_else(|| format!("there is no Pod {pod} with an address"))
    }

    fn node_address(&self, node: &NodeName) -> Result<IpAddr, String> {
        let address = self.snapshot.nodes.get(node).and_then(|node| node.addresses.first().copied());
        address.ok_or_else(|| format!("there is no Node {node} with an address"))
    }

    /// The probe in numbers.
    ///
    /// # Errors
    /// It names something that is not there.
    pub fn resolve(&self, probe: &Probe) -> Result<ResolvedProbe, String> {
        let destination = self.destination(&probe.target)?;
        let (source, entry) = match &probe.client {
            Client::Pod(pod) => {
                let address = self.pod_address(pod)?;
                let home = self.home_of(address).ok_or_else(|| format!("Pod {pod} is on no node"))?;
                (address, home.node.clone())
            }
            Client::Node(node) => (self.node_address(node)?, node.clone()),
            Client::Outside { address, via } => (*address, self.entry_for(destination, via.as_ref())?),
        };
        let types::PortProto { port, protocol } = probe.port;
        Ok(ResolvedProbe { source, destination, protocol, port, entry })
    }

    fn destination(&self, target: &Target) -> Result<IpAddr, String> {
        let service =
            |name| self.snapshot.services.get(name).ok_or_else(|| format!("there is no Service {name}"));
        match target {
            Target::Address(address) => Ok(*address),
            Target::Pod(pod) => self.pod_address(pod),
            Target::Node(node) => self.node_address(node),
            Target::Service(name) => {
                let addresses = &service(name)?.cluster_ips;
                addresses.first().copied().ok_or_else(|| format!("Service {name} has no ClusterIP"))
            }
            Target::LoadBalancer(name) => {
                let first = service(name)?.status.first();
                first.map(|entry| entry.address).ok_or_else(|| format!("Service {name} has no LB address"))
            }
        }
    }

    /// Where packets from outside arrive: as stated, else at the node that has or announces the address.
    fn entry_for(&self, destination: IpAddr, via: Option<&NodeName>) -> Result<NodeName, String> {
        if let Some(via) = via {
            return Ok(via.clone());
        }
        let holds = |plan: &&NodePlan| {
            plan.services.node_addresses.contains(&destination)
                || plan.lb.announce.contains_key(&destination)
                || plan.podnet.local_pods.contains_key(&destination)
        };
        let entry = self.plans.values().find(holds).map(|plan| plan.node.clone());
        entry.ok_or_else(|| format!("no node answers for {destination}; say `via NODE`"))
    }
}

/// Does to the snapshot what the API server would after the cluster loop's writes.
fn write(snapshot: &mut Snapshot, plan: &ClusterPlan) {
    for (node, cidrs) in &plan.pod_cidrs {
        if let Some(node) = snapshot.nodes.get_mut(node) {
            node.pod_cidrs.clone_from(cidrs);
        }
    }
    for status in &plan.statuses {
        match status {
            StatusWrite::Service { service, addresses } => {
                let entry = |address: &IpAddr| LoadBalancerIngress { address: *address, mode: IpMode::Vip };
                if let Some(service) = snapshot.services.get_mut(service) {
                    service.status = addresses.iter().map(entry).collect();
                }
            }
            StatusWrite::Ingress { ingress, addresses } => {
                if let Some(ingress) = snapshot.ingresses.get_mut(ingress) {
                    ingress.status.clone_from(addresses);
                }
            }
            StatusWrite::Condition { object, condition_type, change } => {
                if let Some(conditions) = conditions_of(snapshot, object) {
                    write_condition(conditions, condition_type, change);
                }
            }
        }
    }
}

fn conditions_of<'a>(snapshot: &'a mut Snapshot, object: &ObjectRef) -> Option<&'a mut Conditions> {
    if let Some(rejected) = snapshot.rejected.get_mut(object) {
        return rejected.conditions.as_mut();
    }
    match &object.namespace {
        None => Some(&mut snapshot.nodes.get_mut(&NodeName::from(object.name.as_str()))?.conditions),
        Some(namespace) => {
            let name = NamespacedName::new(namespace.as_str(), object.name.as_str());
            Some(&mut snapshot.services.get_mut(&name)?.conditions)
        }
    }
}

fn write_condition(conditions: &mut Conditions, condition_type: &str, change: &ConditionChange) {
    let (last_transition, text) = match change {
        ConditionChange::Ends => {
            conditions.remove(condition_type);
            return;
        }
        ConditionChange::Begins(text) => (0, text),
        ConditionChange::Continues { since, text } => (*since, text),
    };
    let condition = Condition {
        status: "True".to_owned(),
        reason: text.reason.clone(),
        message: text.message.clone(),
        last_transition,
    };
    conditions.insert(condition_type.to_owned(), condition);
}
