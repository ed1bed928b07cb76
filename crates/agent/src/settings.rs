//! What a node agent and a cluster loop are told when they start, as meant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use compile::{ClusterContext, HttpEntry, NamesContext, NodeContext, NodeMask, PodLinkMtu, Underlay};
use engine_ipam::IpRange;
use types::{
    LinkName, Masquerading, NetworkMode, NodeName, Port, Prefix, ResolvConf, TunnelMode, UnderlayFacts,
};

use crate::install::CniInstall;

/// Where a server of resolv.conf(5) listens.
const DNS_PORT: u16 = 53;

/// What a node agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Node it works for.
    pub node: NodeName,
    /// The kubeconfig file; none means the service account of the Pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Directory shared with the CNI plugin; see `types::attachment`.
    pub state_dir: PathBuf,
    /// Where the CNI plugin is installed; none when somebody else does that.
    pub cni: Option<CniInstall>,
    /// Such as `cluster.local`, without trailing dot.
    pub cluster_domain: String,
    /// The cluster DNS addresses, one per address family.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// Where names outside the cluster domain are asked.
    pub resolvers: ResolverSettings,
    /// Pod ranges of the whole cluster.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Service ranges of the cluster.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The link that faces the other nodes.
    pub underlay_link: LinkName,
    /// How Pods of other nodes are reached.
    pub tunnel: TunnelMode,
    /// How Pods that are yet to come are joined to the node.
    pub pod_links: NetworkMode,
    /// MTU of the links between Pods and the node.
    pub pod_link_mtu: PodLinkMtu,
    /// Which packets of Pods get the node's address as their source.
    pub masquerade: Masquerading,
    /// Port of the HTTP entry; none turns it off.
    pub http_port: Option<Port>,
    /// Port of the HTTPS entry; none turns it off.
    pub https_port: Option<Port>,
    /// `spec.controller` of the IngressClasses to serve; see [`crate::ingress_controllers`].
    pub ingress_controllers: BTreeSet<String>,
    /// LoadBalancer addresses that are ours to announce.
    pub lb_pools: Vec<IpRange>,
    /// `spec.loadBalancerClass` that is ours besides none at all.
    pub lb_class: Option<String>,
    /// Where health, metrics and the plan are served; none turns them off.
    pub admin: Option<SocketAddr>,
}

/// Whom the node itself asks for names, and where it looks for short ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverSettings {
    /// A file as `/etc/resolv.conf`, which is followed and says what the other fields do not; none is read if there is none.
    pub file: Option<PathBuf>,
    /// The servers; empty leaves them to the file.
    pub servers: Vec<SocketAddr>,
    /// Search domains, which kubelets put behind those of the cluster; empty leaves them to the file.
    pub search: Vec<String>,
}

impl ResolverSettings {
    /// With what the file says.
    pub(crate) fn with(&self, file: &ResolvConf) -> Self {
        let all = file.nameservers.iter().map(|address| SocketAddr::new(*address, DNS_PORT));
        Self {
            file: self.file.clone(),
            servers: if self.servers.is_empty() { all.collect() } else { self.servers.clone() },
            search: if self.search.is_empty() { file.search.clone() } else { self.search.clone() },
        }
    }
}

/// What a DNS server that is no node's agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesSettings {
    /// The kubeconfig file; none means the service account of the Pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Such as `cluster.local`, without trailing dot.
    pub cluster_domain: String,
    /// Addresses of the Service that leads here, one per address family: the zone's name server.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// Where names outside the cluster domain are asked.
    pub resolvers: ResolverSettings,
    /// Pod ranges of the whole cluster.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Service ranges of the cluster.
    pub service_cidrs: BTreeSet<Prefix>,
    /// Addresses to listen on; an unspecified one stands for all of its family.
    pub listen: BTreeSet<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// Where health, metrics and the plan are served; none turns them off.
    pub admin: Option<SocketAddr>,
}

impl NamesSettings {
    /// What `compile` is to know.
    pub(crate) fn context(&self) -> NamesContext {
        NamesContext {
            cluster_domain: self.cluster_domain.clone(),
            dns_addresses: self.dns_addresses.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            service_cidrs: self.service_cidrs.clone(),
            upstreams: self.resolvers.servers.clone(),
            search_domains: self.resolvers.search.clone(),
        }
    }
}

/// What the cluster loop is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The kubeconfig file; none means the service account of the Pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Pod ranges from which Nodes without one get theirs; empty leaves that to somebody else.
    pub pod_cidrs: Vec<Prefix>,
    /// How large the ranges of Nodes are.
    pub node_mask: NodeMask,
    /// Service ranges of the cluster.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The cluster DNS addresses, which no Service may take as its own.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// `spec.controller` of the IngressClasses to serve; see [`crate::ingress_controllers`].
    pub ingress_controllers: BTreeSet<String>,
    /// Addresses for Services of type LoadBalancer.
    pub lb_pools: Vec<IpRange>,
    /// `spec.loadBalancerClass` that is ours besides none at all.
    pub lb_class: Option<String>,
    /// Where health, metrics and the plan are served; none turns them off.
    pub admin: Option<SocketAddr>,
}

/// `spec.controller` of the IngressClasses that are served unless told otherwise: ours, and ingress-nginx's (its
/// `--controller-class` default), so that manifests written for it work unchanged.
#[must_use]
pub fn ingress_controllers() -> BTreeSet<String> {
    ["sealane.dev/ingress", "k8s.io/ingress-nginx"].map(str::to_owned).into()
}

impl Settings {
    /// What `compile` is to know, given the node's place on the underlay.
    ///
    /// # Errors
    /// When the underlay link has no address.
    pub(crate) fn context(&self, underlay: &UnderlayFacts) -> anyhow::Result<NodeContext> {
        let underlay = Underlay::of(underlay)
            .with_context(|| format!("underlay link {} has no address", underlay.link))?;
        Ok(NodeContext {
            node: self.node.clone(),
            underlay,
            tunnel: self.tunnel,
            pod_links: self.pod_links,
            pod_link_mtu: self.pod_link_mtu,
            masquerade: self.masquerade.clone(),
            cluster_domain: self.cluster_domain.clone(),
            dns_addresses: self.dns_addresses.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            service_cidrs: self.service_cidrs.clone(),
            upstreams: self.resolvers.servers.clone(),
            search_domains: self.resolvers.search.clone(),
            http_entry: self.http_entry(),
            ingress_controllers: self.ingress_controllers.clone(),
            lb_pools: self.lb_pools.clone(),
            lb_class: self.lb_class.clone(),
            attachments: BTreeMap::new(),
            failing_paths: BTreeMap::new(),
        })
    }

    fn http_entry(&self) -> Option<HttpEntry> {
        let is_on = self.http_port.is_some() || self.https_port.is_some();
        is_on.then_some(HttpEntry { http: self.http_port, https: self.https_port })
    }
}

impl ClusterSettings {
    /// What `compile` is to know.
    pub(crate) fn context(&self) -> ClusterContext {
        ClusterContext {
            pod_cidrs: self.pod_cidrs.clone(),
            node_mask: self.node_mask,
            service_cidrs: self.service_cidrs.clone(),
            dns_addresses: self.dns_addresses.clone(),
            ingress_controllers: self.ingress_controllers.clone(),
            lb_pools: self.lb_pools.clone(),
            lb_class: self.lb_class.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_settings_leave_open() {
        let file = ResolvConf::parse("nameserver 192.0.2.53\nsearch corp.example");
        let own = ResolverSettings::default().with(&file);
        assert_eq!(
            (own.servers, own.search),
            (vec![([192, 0, 2, 53], 53).into()], vec!["corp.example".to_owned()])
        );
        let told =
            ResolverSettings { servers: vec![([192, 0, 2, 1], 5353).into()], ..ResolverSettings::default() };
        let with = told.with(&file);
        assert_eq!((with.servers, with.search), (told.servers, vec!["corp.example".to_owned()]));
    }
}
