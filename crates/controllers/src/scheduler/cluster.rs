//! What the scheduler knows of Nodes and of the Pods on them, kept current while it places more.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use types::{LabelSelector, Labels};

use super::host_ports::{HostPort, host_ports};
use super::resources::{Resources, allocatable, requests};
use crate::owner::controller_of;
use crate::pod_state::is_finished;
use crate::selection::selects;
use crate::world::{Held, World};

/// One Node.
pub(super) struct NodeState<'a> {
    pub(super) node: &'a Node,
    pub(super) name: &'a str,
    pub(super) allocatable: Resources,
    /// Requests of its Pods.
    pub(super) used: Resources,
    pub(super) pods: usize,
    /// Host ports of its Pods.
    pub(super) host_ports: Vec<HostPort<'a>>,
    by_owner: BTreeMap<String, usize>,
}

/// Which Pods are counted: in one of these Namespaces, with these labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    /// None means all Namespaces.
    pub(super) namespaces: Option<Vec<String>>,
    pub(super) selector: LabelSelector,
}

/// All Nodes.
pub(super) struct Cluster<'a> {
    pub(super) nodes: Vec<NodeState<'a>>,
    pub(super) namespaces: &'a Held<Namespace>,
    /// Pods that keep others away, with the index of their Node.
    pub(super) jealous: Vec<(usize, &'a Pod)>,
    placed: Vec<(usize, &'a Pod)>,
    /// Pods of each group that was asked for, by Node.
    counts: BTreeMap<Group, Vec<usize>>,
}

impl Group {
    pub(super) fn has(&self, pod: &Pod) -> bool {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let inside = self.namespaces.as_ref().is_none_or(|all| all.iter().any(|one| one == namespace));
        inside && selects(&self.selector, &pod.metadata)
    }
}

impl<'a> NodeState<'a> {
    fn of(node: &'a Node) -> Self {
        Self {
            node,
            name: node.metadata.name.as_deref().unwrap_or_default(),
            allocatable: allocatable(node),
            used: Resources::new(),
            pods: 0,
            host_ports: Vec::new(),
            by_owner: BTreeMap::new(),
        }
    }

    /// Pods here that have the same controller.
    pub(super) fn siblings(&self, pod: &Pod) -> usize {
        let owner = controller_of(&pod.metadata);
        owner.and_then(|owner| self.by_owner.get(&owner.uid)).copied().unwrap_or(0)
    }

    /// The Node's place in a topology.
    pub(super) fn domain(&self, key: &str) -> Option<&'a str> {
        let labels: &'a Labels = self.node.metadata.labels.as_ref()?;
        labels.get(key).map(String::as_str)
    }
}

impl<'a> Cluster<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let nodes: Vec<_> = world.nodes.values().map(NodeState::of).collect();
        let index: BTreeMap<&str, usize> =
            nodes.iter().enumerate().map(|(index, node)| (node.name, index)).collect();
        let mut cluster = Self {
            nodes,
            namespaces: &world.namespaces,
            jealous: Vec::new(),
            placed: Vec::new(),
            counts: BTreeMap::new(),
        };
        for pod in world.pods.values().filter(|pod| !is_finished(pod)) {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            if let Some(index) = node.and_then(|node| index.get(node)) {
                cluster.place(pod, *index);
            }
        }
        cluster
    }

    /// A Pod is on a Node.
    pub(super) fn place(&mut self, pod: &'a Pod, index: usize) {
        let node = &mut self.nodes[index];
        node.pods += 1;
        node.host_ports.extend(host_ports(pod));
        for (name, amount) in requests(pod) {
            *node.used.entry(name).or_default() += amount;
        }
        if let Some(owner) = controller_of(&pod.metadata) {
            *node.by_owner.entry(owner.uid.clone()).or_default() += 1;
        }
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        if affinity.is_some_and(|affinity| affinity.pod_anti_affinity.is_some()) {
            self.jealous.push((index, pod));
        }
        self.placed.push((index, pod));
        for (group, counts) in &mut self.counts {
            counts[index] += usize::from(group.has(pod));
        }
    }

    /// Pods of a group on each Node; counted once, kept current afterwards.
    pub(super) fn count(&mut self, group: &Group) -> Vec<usize> {
        if let Some(counts) = self.counts.get(group) {
            return counts.clone();
        }
        let mut counts = vec![0; self.nodes.len()];
        for (index, _) in self.placed.iter().filter(|(_, pod)| group.has(pod)) {
            counts[*index] += 1;
        }
        self.counts.insert(group.clone(), counts.clone());
        counts
    }
}
