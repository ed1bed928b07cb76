//! The plan that was brought about last, and how far.

use std::sync::Arc;

use plan::{Frontend, NodePlan, Report, Revision};
use types::{Attachment, NodeNetwork, PortMapping};

/// The last plan; none before the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce {
    revision: Revision,
    plan: Option<Arc<NodePlan>>,
    links: Kernel,
    rules: Kernel,
}

/// Whether a part of the kernel's state is as planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// All of it.
    AsPlanned,
    /// Not all, or not yet.
    #[default]
    Failed,
}

impl Kernel {
    /// What the report of making it so says.
    pub(crate) fn of(report: &Report) -> Self {
        if report.failures.is_empty() { Self::AsPlanned } else { Self::Failed }
    }
}

impl InForce {
    /// The next state: an equal plan keeps its revision.
    pub(crate) fn succeeded_by(&self, plan: Arc<NodePlan>, links: Kernel, rules: Kernel) -> Self {
        let revision = self.revision_of(&plan);
        Self { revision, plan: Some(plan), links, rules }
    }

    /// Whether the node's links, addresses and routes already are what this plan wants, so that a Pod that starts need
    /// not wait until all of them are read again.
    pub(crate) fn has_links_of(&self, plan: &NodePlan) -> bool {
        let is_same = self.plan.as_ref().is_some_and(|own| own.podnet.has_links_of(&plan.podnet));
        is_same && self.links == Kernel::AsPlanned
    }

    pub(crate) fn is_plan(&self, plan: &NodePlan) -> bool {
        self.plan.as_deref() == Some(plan)
    }

    /// Which revision this plan is, or will be.
    pub(crate) fn revision_of(&self, plan: &NodePlan) -> Revision {
        self.revision + u64::from(!self.is_plan(plan))
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn plan(&self) -> Option<&Arc<NodePlan>> {
        self.plan.as_ref()
    }

    /// Whether Pods may start: without their rules they would not be isolated.
    pub(crate) fn rules_are_loaded(&self) -> bool {
        self.rules == Kernel::AsPlanned
    }

    /// Why a port that the container runtime mapped to this attachment does not lead to it.
    pub(crate) fn refusal(&self, attachment: &Attachment) -> Option<String> {
        let plan = self.plan.as_ref()?;
        let refuse = |(index, mapping): (usize, &PortMapping)| {
            let (port, protocol) = (mapping.host_port, mapping.protocol);
            let at = format!("runtimeConfig.portMappings[{index}]");
            match (plan.services.frontends.get(&Frontend::from(mapping)), mapping.host_ip) {
                (Some(rule), _) if rule.owner == attachment.owner() => None,
                (Some(rule), _) => {
                    Some(format!("{at}.hostPort: {port}/{protocol} already belongs to {}", rule.owner_ref()))
                }
                (None, Some(address)) => {
                    Some(format!("{at}.hostIP: {address} is no address of Node {}", plan.node))
                }
                (None, None) => None,
            }
        };
        attachment.port_mappings.iter().enumerate().find_map(refuse)
    }

    pub(crate) fn has_pod_cidr(&self) -> bool {
        self.network().is_some()
    }

    /// What the CNI plugin needs to know; none until the Node has a Pod range.
    pub(crate) fn network(&self) -> Option<NodeNetwork> {
        let podnet = &self.plan.as_ref()?.podnet;
        let pod_cidrs = podnet.pod_cidrs.clone();
        (!pod_cidrs.is_empty()).then(|| NodeNetwork { pod_cidrs, link: podnet.link.clone() })
    }
}
