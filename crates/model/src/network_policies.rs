//! NetworkPolicies: whom they select and what they allow; what cannot be read allows nothing.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use types::{LabelSelector, NamespacedName, ObjectRef, Port, Prefix, Protocol};

use crate::field::{FieldError, Read, namespaced_name_of, read_port, read_prefix, read_protocol};
use crate::selectors::read_selector;
use crate::{Kind, Lower, Object, Rejected};

/// A NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `spec.podSelector`; empty selects every Pod of the namespace.
    pub pod_selector: LabelSelector,
    /// `spec.ingress`; `None` when the policy does not isolate for ingress.
    pub ingress: Option<Vec<PolicyRule>>,
    /// `spec.egress`; `None` when the policy does not isolate for egress.
    pub egress: Option<Vec<PolicyRule>>,
}

/// One of `spec.ingress` or `spec.egress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Its index in the API object.
    pub index: usize,
    /// `from` or `to`; `None` when absent or empty, which means everybody.
    pub peers: Option<Vec<PolicyPeer>>,
    /// `ports`; `None` when absent or empty, which means every port of every protocol.
    pub ports: Option<Vec<PolicyPort>>,
}

/// One of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyPeer {
    /// Pods by labels.
    Pods {
        /// `podSelector`; empty selects all.
        pods: LabelSelector,
        /// `namespaceSelector`; `None` means the policy's own namespace.
        namespaces: Option<LabelSelector>,
    },
    /// `ipBlock`.
    Block {
        /// `cidr`.
        cidr: Prefix,
        /// `except`.
        except: BTreeSet<Prefix>,
    },
}

/// One of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPort {
    /// `protocol`.
    pub protocol: Protocol,
    /// `port` and `endPort`.
    pub port: PortMatch,
}

/// Which numbers a [`PolicyPort`] means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMatch {
    /// Every port of the protocol.
    Any,
    /// From the first to the last, inclusive.
    Range(Port, Port),
    /// The container port of this name at the destination Pod.
    Name(String),
}

impl NetworkPolicy {
    /// The policy that isolates every Pod of its namespace in both directions.
    #[must_use]
    pub fn deny_all(name: NamespacedName) -> Self {
        let pod_selector = LabelSelector::default();
        Self { name, pod_selector, ingress: Some(Vec::new()), egress: Some(Vec::new()) }
    }
}

impl Lower for v1::NetworkPolicy {
    const KIND: Kind = Kind::NetworkPolicy;

    /// A policy with a fault is rejected with a stand-in that isolates at least whom the policy isolates and
    /// allows only what its readable rules allow.
    fn lower(&self) -> Result<Object, Rejected> {
        let name = namespaced_name_of(&self.metadata);
        let (policy, fault) = read_policy(self, name.clone());
        match fault {
            None => Ok(Object::NetworkPolicy(policy)),
            Some(fault) => {
                let mut rejected = fault.of(ObjectRef::namespaced("NetworkPolicy", &name));
                rejected.stand_in = Some(Box::new(Object::NetworkPolicy(policy)));
                Err(rejected)
            }
        }
    }
}

/// The policy, closed wherever it could not be read, and the first fault.
fn read_policy(policy: &v1::NetworkPolicy, name: NamespacedName) -> (NetworkPolicy, Option<FieldError>) {
    let Some(spec) = &policy.spec else {
        return (NetworkPolicy::deny_all(name), Some(FieldError::missing("spec")));
    };
    let mut faults = Vec::new();
    let selector = spec.pod_selector.as_ref().map(|selector| read_selector("spec.podSelector", selector));
    let pod_selector = match selector {
        None => LabelSelector::default(),
        Some(Ok(selector)) => selector,
        Some(Err(fault)) => {
            faults.push(fault);
            LabelSelector::default()
        }
    };
    let ingress = spec.ingress.as_deref().unwrap_or_default();
    let egress = spec.egress.as_deref().unwrap_or_default();
    let isolates = read_directions(spec, &mut faults);
    let read_ingress = || {
        let rules = ingress.iter().map(|rule| (rule.from.as_deref(), rule.ports.as_deref()));
        read_rules(Side { rules: "spec.ingress", peers: "from" }, rules)
    };
    let read_egress = || {
        let rules = egress.iter().map(|rule| (rule.to.as_deref(), rule.ports.as_deref()));
        read_rules(Side { rules: "spec.egress", peers: "to" }, rules)
    };
    let (ingress, ingress_faults) = isolates.ingress.then(read_ingress).unzip();
    let (egress, egress_faults) = isolates.egress.then(read_egress).unzip();
    faults.extend(ingress_faults.into_iter().flatten());
    faults.extend(egress_faults.into_iter().flatten());
    (NetworkPolicy { name, pod_selector, ingress, egress }, faults.into_iter().next())
}

/// In which directions a policy isolates.
struct Isolates {
    ingress: bool,
    egress: bool,
}

/// `policyTypes`, or its default: Ingress, and Egress when there is an egress rule (semantics NP3).
fn read_directions(spec: &v1::NetworkPolicySpec, faults: &mut Vec<FieldError>) -> Isolates {
    let Some(types) = spec.policy_types.as_deref().filter(|types| !types.is_empty()) else {
        return Isolates {
            ingress: true,
            egress: spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        };
    };
    let mut isolates = Isolates { ingress: false, egress: false };
    for (index, text) in types.iter().enumerate() {
        match text.as_str() {
            "Ingress" => isolates.ingress = true,
            "Egress" => isolates.egress = true,
            other => {
                let message = format!("`{other}` is neither Ingress nor Egress");
                faults.push(FieldError::invalid(format!("spec.policyTypes[{index}]"), message));
                isolates = Isolates { ingress: true, egress: true };
            }
        }
    }
    isolates
}

/// Field names of one direction.
struct Side {
    rules: &'static str,
    peers: &'static str,
}

type ApiRule<'a> = (Option<&'a [v1::NetworkPolicyPeer]>, Option<&'a [v1::NetworkPolicyPort]>);

fn read_rules<'a>(
    side: Side,
    rules: impl Iterator<Item = ApiRule<'a>>,
) -> (Vec<PolicyRule>, Vec<FieldError>) {
    let mut readable = Vec::new();
    let mut faults = Vec::new();
    for (index, rule) in rules.enumerate() {
        match read_rule(&side, index, rule) {
            Ok(rule) => readable.push(rule),
            Err(fault) => faults.push(fault),
        }
    }
    (readable, faults)
}

fn read_rule(side: &Side, index: usize, (peers, ports): ApiRule<'_>) -> Read<PolicyRule> {
    let field = format!("{}[{index}]", side.rules);
    let peers = peers.filter(|peers| !peers.is_empty()).map(|peers| {
        let peers = peers.iter().enumerate();
        peers.map(|(at, peer)| read_peer(&format!("{field}.{}[{at}]", side.peers), peer)).collect::<Read<_>>()
    });
    let ports = ports.filter(|ports| !ports.is_empty()).map(|ports| {
        let ports = ports.iter().enumerate();
        ports.map(|(at, port)| read_policy_port(&format!("{field}.ports[{at}]"), port)).collect::<Read<_>>()
    });
    Ok(PolicyRule { index, peers: peers.transpose()?, ports: ports.transpose()? })
}

fn read_peer(field: &str, peer: &v1::NetworkPolicyPeer) -> Read<PolicyPeer> {
    match (&peer.ip_block, &peer.pod_selector, &peer.namespace_selector) {
        (Some(block), None, None) => read_block(&format!("{field}.ipBlock"), block),
        (Some(_), _, _) => Err(FieldError::invalid(
            field,
            "ipBlock may not be combined with podSelector or namespaceSelector",
        )),
        (None, None, None) => {
            Err(FieldError::invalid(field, "a peer needs a podSelector, a namespaceSelector or an ipBlock"))
        }
        (None, pods, namespaces) => {
            let pods = pods.as_ref().map(|pods| read_selector(&format!("{field}.podSelector"), pods));
            let namespaces = namespaces
                .as_ref()
                .map(|namespaces| read_selector(&format!("{field}.namespaceSelector"), namespaces));
            Ok(PolicyPeer::Pods {
                pods: pods.transpose()?.unwrap_or_default(),
                namespaces: namespaces.transpose()?,
            })
        }
    }
}

fn read_block(field: &str, block: &v1::IPBlock) -> Read<PolicyPeer> {
    let cidr = read_prefix(|| format!("{field}.cidr"), &block.cidr)?;
    let mut except = BTreeSet::new();
    for (index, text) in block.except.iter().flatten().enumerate() {
        let at = || format!("{field}.except[{index}]");
        let range = read_prefix(at, text)?;
        if !cidr.covers(range) {
            return Err(FieldError::invalid(at(), format!("{range} is not inside {cidr}")));
        }
        except.insert(range);
    }
    Ok(PolicyPeer::Block { cidr, except })
}

fn read_policy_port(field: &str, port: &v1::NetworkPolicyPort) -> Read<PolicyPort> {
    let protocol = read_protocol(|| format!("{field}.protocol"), port.protocol.as_deref())?;
    let at_end = || format!("{field}.endPort");
    let port = match (&port.port, port.end_port) {
        (None, None) => PortMatch::Any,
        (Some(IntOrString::String(name)), None) => PortMatch::Name(name.clone()),
        (Some(IntOrString::Int(first)), end) => {
            let first = read_port(|| format!("{field}.port"), *first)?;
            let last = end.map(|end| read_port(at_end, end)).transpose()?.unwrap_or(first);
            if last < first {
                return Err(FieldError::invalid(at_end(), format!("{last} is below port {first}")));
            }
            PortMatch::Range(first, last)
        }
        (_, Some(_)) => return Err(FieldError::invalid(at_end(), "needs a numeric port")),
    };
    Ok(PolicyPort { protocol, port })
}
