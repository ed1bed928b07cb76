//! The plan of one node, compiled again and again, each time at the cost of what has changed.
//!
//! A compiler remembers the snapshot that it compiled last and asks what differs in the next. What it has no short way for
//! is compiled anew, part by part or as a whole; [`crate::node_plan`] is the simple version that it always agrees with.

mod changes;
mod found;
mod frontends;
mod names;
mod pods;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{EndpointSlice, Node, Pod, Service, Snapshot};
use plan::{FindingSet, NodePlan};
use types::{Difference, PodName, ServiceName, Shared};

use crate::endpoints::{SliceIndex, SlicesByService, services_with_slices};
use crate::findings::{self, Findings};
use crate::pods::PodDirectory;
use crate::services::{self, Ground};
use crate::{NodeContext, dns, gateway, health_checks, host_ports, lb, podnet, policy};
use changes::Changes;
use found::{Found, Source};
use frontends::Contests;
use pods::KnownPods;
use targets::Targets;

/// Compiles the plan of one node, again and again.
#[derive(Debug, Default)]
pub struct Compiler {
    last: Option<State>,
    work: Work,
}

/// What a compilation has looked at: tests count it, where time would tell of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Whether everything was compiled anew.
    pub is_whole: bool,
    /// Services that were compiled anew, unless everything was.
    pub services: BTreeSet<ServiceName>,
    /// Parts that were compiled anew as a whole.
    pub parts: BTreeSet<&'static str>,
}

/// The last plan, and what is needed to make the next from it.
#[derive(Debug)]
struct State {
    snapshot: Snapshot,
    context: NodeContext,
    plan: NodePlan,
    slices: SliceIndex,
    pods: KnownPods,
    contests: Contests,
    targets: Targets,
    /// Services whose weights mean Pods by their labels.
    weighted: BTreeSet<ServiceName>,
    /// Services that want a health check port.
    checked: BTreeSet<ServiceName>,
    /// Services of type LoadBalancer, and the addresses of each that this node answers for.
    balanced: BTreeMap<ServiceName, Vec<IpAddr>>,
    /// Services that Ingresses lead to.
    routed: BTreeSet<ServiceName>,
    found: Found,
}

impl Compiler {
    /// Everything that should be true on the context's node, and what of the cluster could not be honoured: the same as
    /// [`crate::node_plan`] says.
    pub fn compile(&mut self, snapshot: &Snapshot, context: &NodeContext) -> (NodePlan, FindingSet) {
        let context = &*context.with_ranges_of(snapshot);
        let last = self.last.take().filter(|last| last.is_on_ground_of(snapshot, context));
        self.work = Work { is_whole: last.is_none(), ..Work::default() };
        let mut state = last.unwrap_or_else(|| State::new(snapshot, context));
        state.follow(snapshot, context, &mut self.work);
        if self.work.is_whole {
            // Tens of thousands of names, which the next compilation, with a single change to make, would have to drop.
            self.work.services = BTreeSet::new();
        }
        let made = (state.plan.clone(), state.found.all().clone());
        self.last = Some(state);
        made
    }

    /// What the last compilation has looked at.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }
}

impl State {
    /// Of a cluster without objects, on the ground of this one.
    fn new(snapshot: &Snapshot, context: &NodeContext) -> Self {
        Self {
            snapshot: Snapshot::default(),
            context: context.clone(),
            plan: NodePlan {
                node: context.node.clone(),
                podnet: Shared::default(),
                services: services::empty(snapshot, context),
                policy: Shared::default(),
                dns: dns::empty(&context.names()),
                gateway: Shared::default(),
                lb: Shared::default(),
            },
            slices: SliceIndex::default(),
            pods: KnownPods::default(),
            contests: Contests::default(),
            targets: Targets::default(),
            weighted: BTreeSet::new(),
            checked: BTreeSet::new(),
            balanced: BTreeMap::new(),
            routed: BTreeSet::new(),
            found: Found::default(),
        }
    }

    /// Whether what every Service's way depends on is as it was: where this node is, and what it was told.
    fn is_on_ground_of(&self, snapshot: &Snapshot, context: &NodeContext) -> bool {
        let of_node = |node: &'_ Node| (node.zone.clone(), node.addresses.clone(), node.pod_cidrs.clone());
        let own = |snapshot: &Snapshot| snapshot.nodes.get(&context.node).map(of_node);
        self.context.is_like(context) && own(&self.snapshot) == own(snapshot)
    }

    fn follow(&mut self, snapshot: &Snapshot, context: &NodeContext, work: &mut Work) {
        let before = std::mem::replace(&mut self.snapshot, snapshot.clone());
        let changes = Changes::between(&before, snapshot);
        let is_here_new = self.pods.follow(&changes, &self.context.attachments, context) || work.is_whole;
        let are_paths_new = self.context.failing_paths != context.failing_paths;
        if is_here_new || are_paths_new {
            self.context.clone_from(context);
        }
        match work.is_whole {
            true => self.slices = SliceIndex::new(snapshot),
            false => self.follow_slices(&changes),
        }
        let is_claim_new = self.follow_services(snapshot, &changes, work);
        match work.is_whole {
            true => self.begin_names(snapshot),
            false => self.follow_names(snapshot, &changes),
        }
        let is_lb_new = self.follow_balancers(snapshot, &changes, work);
        let are_pods_new = is_here_new || changes.pods.iter().any(|pod| self.may_be_peer(snapshot, pod));
        if is_here_new || is_claim_new {
            self.compile_host_ports(snapshot, work);
        }
        if is_here_new || are_paths_new || is_lb_new || changes.nodes {
            self.compile_podnet(snapshot, work);
        }
        if are_pods_new || changes.policies || changes.namespaces {
            self.compile_policy(snapshot, work);
        }
        if changes.ingresses {
            self.routed = gateway::backends(snapshot);
        }
        if changes.ingresses || changes.nodes || !self.routed.is_disjoint(&work.services) || work.is_whole {
            self.compile_gateway(snapshot, work);
        }
        if changes.rejected {
            let mut findings = Findings::new();
            findings::of_input(snapshot, &mut findings);
            self.found.replace(Source::Input, findings);
        }
    }

    fn follow_slices(&mut self, changes: &Changes<'_>) {
        for slice in &changes.slices {
            slice.old.into_iter().for_each(|slice| self.slices.remove(slice));
            slice.new.into_iter().for_each(|slice| self.slices.add(slice));
        }
    }

    /// Frontends, health checks and selectors; whether somebody may want what a host port has, or had.
    fn follow_services(&mut self, snapshot: &Snapshot, changes: &Changes<'_>, work: &mut Work) -> bool {
        work.services = match work.is_whole {
            true => snapshot.services.keys().cloned().collect(),
            false => changes.services_concerned(),
        };
        work.services.extend(self.weighted_by_labels(changes));
        let mut frontends = std::mem::take(&mut self.plan.services.frontends);
        let decided = self.contests.decide(&frontends, changes, snapshot, &self.context.dns_addresses);
        work.services.extend(decided.affected.iter().cloned());
        for service in &changes.services {
            let table = &mut self.plan.services;
            service.old.into_iter().for_each(|old| services::forget_elsewhere(table, old));
            service.new.into_iter().for_each(|new| services::leave_elsewhere(table, new));
        }
        let slices = SlicesByService::new(snapshot, &self.slices);
        let (local_vips, found) = (&self.context.dns_addresses, &mut self.found);
        let ground = Ground::new(snapshot, &self.context, &self.plan.services);
        decided.withdraw(&mut frontends);
        let mut grant = |service: &Service, slices: &[&EndpointSlice]| {
            let refused = decided.grant((service, slices), local_vips, &ground, &mut frontends);
            found.replace(Source::Claims(service.name.clone()), refused);
        };
        if work.is_whole {
            services_with_slices(snapshot).for_each(|(service, slices)| grant(service, &slices));
        } else {
            let (here, gone): (Vec<_>, Vec<_>) =
                work.services.iter().partition(|name| snapshot.services.contains_key(*name));
            here.iter().for_each(|name| grant(&snapshot.services[*name], &slices.of(name)));
            gone.into_iter().for_each(|name| found.replace(Source::Claims(name.clone()), Findings::new()));
        }
        self.plan.services.frontends = frontends;
        self.follow_targets(snapshot, changes, work);
        self.follow_health_checks(snapshot, &decided, work);
        decided.touches(&self.pods.host_ports)
    }

    fn follow_targets(&mut self, snapshot: &Snapshot, changes: &Changes<'_>, work: &Work) {
        if work.is_whole {
            self.targets = Targets::of(snapshot);
            for (name, findings) in self.targets.all_findings(snapshot) {
                self.found.replace(Source::Target(name.clone()), findings);
            }
            return;
        }
        for name in self.targets.follow(snapshot, changes) {
            let findings = self.targets.findings(snapshot, &name);
            self.found.replace(Source::Target(name), findings);
        }
    }

    /// Services for whose weights a Pod counts otherwise than before. Slices tell of Pods that come and go, but may tell
    /// of them earlier than the Pods' own changes are seen.
    fn weighted_by_labels(&mut self, changes: &Changes<'_>) -> BTreeSet<ServiceName> {
        for service in &changes.services {
            match service.new.is_some_and(services::scheduling::minds_labels) {
                true => drop(self.weighted.insert(service.key.clone())),
                false => drop(self.weighted.remove(service.key)),
            }
        }
        let is_labelled_anew = |pod: &&Difference<'_, PodName, Pod>| {
            pod.old.map(|pod| &pod.labels) != pod.new.map(|pod| &pod.labels)
        };
        let namespaces: BTreeSet<&str> = match self.weighted.is_empty() {
            true => BTreeSet::new(),
            false => changes.pods.iter().filter(is_labelled_anew).map(|pod| &*pod.key.namespace).collect(),
        };
        self.weighted.iter().filter(|name| namespaces.contains(&*name.namespace)).cloned().collect()
    }

    fn follow_health_checks(&mut self, snapshot: &Snapshot, decided: &frontends::Decided, work: &Work) {
        let mut is_concerned = decided.touches_tcp_node_port() && !self.checked.is_empty();
        for name in &work.services {
            let is_wishing = snapshot.services.get(name).is_some_and(health_checks::is_wishing);
            let was_wishing = match is_wishing {
                true => !self.checked.insert(name.clone()),
                false => self.checked.remove(name),
            };
            is_concerned |= is_wishing || was_wishing;
        }
        if is_concerned {
            let mut findings = Findings::new();
            let wishing = self.checked.iter().filter_map(|name| snapshot.services.get(name));
            let frontends = &self.plan.services.frontends;
            let owner = |port| frontends::owner(frontends, services::node_port(port));
            let slices = SlicesByService::new(snapshot, &self.slices);
            let node = &self.context.node;
            self.plan.services.health_checks =
                health_checks::compile(wishing, owner, slices, node, &mut findings);
            self.found.replace(Source::HealthChecks, findings);
        }
    }

    /// LoadBalancer addresses; whether this node answers for others than before.
    fn follow_balancers(&mut self, snapshot: &Snapshot, changes: &Changes<'_>, work: &Work) -> bool {
        let is_balanced = |service: &&Service| service.load_balancer.is_some();
        let all = if changes.nodes { self.balanced.keys().cloned().collect() } else { BTreeSet::new() };
        let mut is_new = work.is_whole;
        for name in all.union(&work.services) {
            let service = snapshot.services.get(name).filter(is_balanced);
            let slices = SlicesByService::new(snapshot, &self.slices);
            let old = match service {
                Some(service) => {
                    let announced = lb::announced(snapshot, slices, service, &self.context);
                    is_new |= self.balanced.get(name).map(Vec::as_slice).unwrap_or_default() != announced;
                    self.balanced.insert(name.clone(), announced)
                }
                None => self.balanced.remove(name).filter(|old| !old.is_empty()),
            };
            is_new |= service.is_none() && old.is_some();
        }
        if is_new || changes.nodes {
            let announced = self.balanced.iter().map(|(name, addresses)| (name, addresses.clone()));
            self.plan.lb.become_value(lb::announcing(announced, snapshot, &self.context));
        }
        is_new
    }

    fn compile_host_ports(&mut self, snapshot: &Snapshot, work: &mut Work) {
        work.parts.insert("hostPorts");
        let table = &mut self.plan.services;
        for frontend in &self.pods.host_ports {
            if frontends::owner(&table.frontends, *frontend).is_none() {
                table.frontends.remove(frontend);
            }
        }
        let mut findings = Findings::new();
        let pods = PodDirectory::new(snapshot, &self.context, &self.pods.local);
        let (addresses, frontends) = (&table.node_addresses, &mut table.frontends);
        self.pods.host_ports = host_ports::compile(&pods, &self.context, addresses, frontends, &mut findings);
        self.found.replace(Source::HostPorts, findings);
    }

    fn compile_podnet(&mut self, snapshot: &Snapshot, work: &mut Work) {
        work.parts.insert("podnet");
        let mut findings = Findings::new();
        let pods = PodDirectory::new(snapshot, &self.context, &self.pods.local);
        let podnet = podnet::compile(snapshot, &self.context, &pods, &self.plan.lb, &mut findings);
        self.plan.podnet.become_value(podnet);
        self.found.replace(Source::PodNetwork, findings);
    }

    fn compile_policy(&mut self, snapshot: &Snapshot, work: &mut Work) {
        work.parts.insert("policy");
        let pods = PodDirectory::new(snapshot, &self.context, &self.pods.local);
        let policy = policy::compile(snapshot, &self.context, &pods);
        self.plan.policy.become_value(policy);
    }

    fn compile_gateway(&mut self, snapshot: &Snapshot, work: &mut Work) {
        work.parts.insert("gateway");
        let mut findings = Findings::new();
        let slices = SlicesByService::new(snapshot, &self.slices);
        let gateway = gateway::compile(snapshot, slices, &self.context, &mut findings);
        self.plan.gateway.become_value(gateway);
        self.found.replace(Source::Gateway, findings);
    }
}
