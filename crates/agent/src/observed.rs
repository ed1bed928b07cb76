//! What a loop knows: events folded into one state, and which waiting requests that state answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compile::{NamesContext, NodeContext, Underlay};
use model::Snapshot;
use types::{
    AgentAnswer, AgentRequest, Attachment, NodeFacts, NodeName, PathFacts, PoolFacts, Port, ResolvConf,
    UnderlayFacts,
};

use crate::event::{AttachmentKey, Event, Notice};
use crate::in_force::InForce;
use crate::settings::{ResolverSettings, Settings};

type Attachments = BTreeMap<AttachmentKey, Attachment>;

/// All that has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// What the cluster says.
    pub(crate) snapshot: Snapshot,
    /// What the CNI plugin has given out on this node.
    pub(crate) attachments: Attachments,
    /// The node's place on the network that joins the nodes; the cluster loop has none.
    pub(crate) underlay: Option<UnderlayFacts>,
    /// The node's own resolver configuration, where settings leave something to it.
    resolvers: Option<ResolvConf>,
    /// Freed addresses of this node that rest.
    resting: BTreeSet<IpAddr>,
    /// What probing has shown since the start, of all peers.
    paths: Option<PathFacts>,
    /// The kernel does not track SCTP.
    pub(crate) lacks_sctp: bool,
    /// Health check ports that somebody else on this node has.
    pub(crate) taken_health_check_ports: BTreeSet<Port>,
    is_synced: bool,
    is_stopping: bool,
    waiting: Vec<Notice>,
}

impl Observed {
    /// Nothing seen yet but the node's place on the underlay.
    pub(crate) fn at(underlay: UnderlayFacts) -> Self {
        Self { underlay: Some(underlay), ..Self::default() }
    }

    pub(crate) fn fold(&mut self, event: Event) {
        match event {
            Event::Changes(batch) => {
                for change in batch.changes {
                    self.snapshot.apply(change);
                }
                self.is_synced |= batch.is_synced;
            }
            Event::Notice(notice) => self.waiting.push(notice),
            Event::Attachments(attachments, resting) => {
                self.attachments = by_key(attachments);
                self.resting = resting;
            }
            Event::Attachment(key, attachment, resting) => {
                match attachment {
                    Some(attachment) => drop(self.attachments.insert(key, *attachment)),
                    None => drop(self.attachments.remove(&key)),
                }
                self.resting = resting;
            }
            Event::Underlay(facts) => self.underlay = Some(facts),
            Event::Resolvers(resolvers) => self.resolvers = Some(resolvers),
            Event::Paths(paths) => self.paths = Some(paths),
            Event::Timer => {}
            Event::Stop => self.is_stopping = true,
        }
    }

    /// Whether every kind has been listed once; before that nothing may be written, let alone pruned.
    pub(crate) fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Whether the process was asked to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Tells the next compilation what this node has by itself.
    pub(crate) fn inform(&self, context: &mut NodeContext, settings: &Settings) {
        context.attachments.clone_from(&self.attachments);
        if let Some(resolvers) = &self.resolvers {
            let resolvers = settings.resolvers.with(resolvers);
            (context.upstreams, context.search_domains) = (resolvers.servers, resolvers.search);
        }
        if let Some(underlay) = self.underlay.as_ref().and_then(Underlay::of) {
            context.underlay = underlay;
        }
        context.failing_paths = self.paths(&context.node).failing;
    }

    /// The same for a DNS server that is no node's agent.
    pub(crate) fn inform_names(&self, context: &mut NamesContext, settings: &ResolverSettings) {
        if let Some(resolvers) = &self.resolvers {
            let resolvers = settings.with(resolvers);
            (context.upstreams, context.search_domains) = (resolvers.servers, resolvers.search);
        }
    }

    /// What the cluster is to know of this node; none before the kernel was asked.
    pub(crate) fn facts(&self, settings: &Settings) -> Option<NodeFacts> {
        Some(NodeFacts {
            underlay: self.underlay.clone()?,
            tunnel: settings.tunnel,
            links: settings.pod_links,
            masquerade: settings.masquerade.clone(),
            paths: self.paths(&settings.node).shortened(),
            pools: self.pools(&settings.node),
            lacks_sctp: self.lacks_sctp,
            taken_health_check_ports: self.taken_health_check_ports.clone(),
        })
    }

    /// How full this node's Pod ranges are, told so that not every Pod is a write.
    fn pools(&self, node: &NodeName) -> Vec<PoolFacts> {
        let Some(node) = self.snapshot.nodes.get(node) else { return Vec::new() };
        let used = self.attachments.values().flat_map(|attachment| attachment.addresses.iter().copied());
        let now = compile::pools(&node.pod_cidrs, &used.collect(), &self.resting);
        let told = node.network.facts().map(|facts| facts.pools.as_slice()).unwrap_or_default();
        compile::pools_to_tell(told, now)
    }

    /// What probing has shown; before it has, what the Node was told by an earlier agent.
    pub(crate) fn paths(&self, node: &NodeName) -> PathFacts {
        let told = || Some(self.snapshot.nodes.get(node)?.network.facts()?.paths.clone());
        self.paths.clone().or_else(told).unwrap_or_default()
    }

    /// Answers the requests that can be answered now; the others wait for a later plan, or give up.
    pub(crate) fn answer_waiting(&mut self, in_force: &InForce) {
        let waiting = std::mem::take(&mut self.waiting);
        for notice in waiting {
            match self.answer(&notice.request, in_force) {
                // Nobody listens any more when the plugin gave up; that is its right.
                Some(answer) => drop(notice.answer.send(answer)),
                None if notice.answer.is_closed() => {}
                None => self.waiting.push(notice),
            }
        }
    }

    fn answer(&self, request: &AgentRequest, in_force: &InForce) -> Option<AgentAnswer> {
        let ready = AgentAnswer::Ready { revision: in_force.revision() };
        match request {
            AgentRequest::Removed { .. } => Some(ready),
            AgentRequest::Status if in_force.has_pod_cidr() => Some(ready),
            AgentRequest::Status => {
                let reason = "the Node has no podCIDR yet".to_owned();
                Some(AgentAnswer::TryLater { reason })
            }
            AgentRequest::ChainedStatus if in_force.rules_are_loaded() => Some(ready),
            AgentRequest::ChainedStatus => {
                let reason = "the node's rules are not in force yet".to_owned();
                Some(AgentAnswer::TryLater { reason })
            }
            AgentRequest::Added { container_id, ifname } => {
                match self.attachments.get(&(container_id.clone(), ifname.clone())) {
                    Some(attachment) if self.is_covered(attachment) => match in_force.refusal(attachment) {
                        Some(reason) => Some(AgentAnswer::Refused { reason }),
                        None => in_force.rules_are_loaded().then_some(ready),
                    },
                    Some(_) => None,
                    None => {
                        let reason = format!("no attachment {container_id}-{ifname} in the state directory");
                        Some(AgentAnswer::TryLater { reason })
                    }
                }
            }
        }
    }

    /// Whether a plan made from this state isolates the attachment's Pod: without its labels no policy selects it.
    fn is_covered(&self, attachment: &Attachment) -> bool {
        attachment.pod.as_ref().is_none_or(|pod| self.snapshot.pods.contains_key(pod))
    }
}

fn by_key(attachments: Vec<Attachment>) -> Attachments {
    let key = |attachment: &Attachment| (attachment.container_id.clone(), attachment.ifname.clone());
    attachments.into_iter().map(|attachment| (key(&attachment), attachment)).collect()
}

#[cfg(test)]
mod tests;
