//! Which UDP connections to a Service have lost their endpoint, judged by what should be true now (semantics SD12).
//!
//! TCP is not judged: its peers notice, and connections end in peace while their Pod lives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{Backend, FrontendRule, NodePlan, Outcome};
use types::Protocol;

use crate::diff::{Step, Transaction};
use crate::services::{Aim, aims, is_family_of, is_of_family};
use crate::value::{Key, Value};

/// An address and a port.
pub type End = (IpAddr, u16);

/// A connection, as connection tracking has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// IP protocol number.
    pub protocol: u8,
    /// The address clients aim at.
    pub frontend: End,
    /// Who answers; the frontend itself, where nothing is translated.
    pub backend: End,
}

/// Where UDP connections to Services may lead: per frontend, every endpoint that serves.
///
/// An endpoint that serves may keep what it has, although it is terminating, on another node or in another zone, and
/// gets nothing new: a connection ends because its endpoint is gone, never because of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rightful(BTreeMap<End, BTreeSet<End>>);

impl Rightful {
    /// What the plan of a node permits.
    #[must_use]
    pub fn of(plan: &NodePlan) -> Self {
        Self(aims(plan).filter_map(|(aim, rule)| Some((udp_end(aim)?, endpoints(aim, rule)?))).collect())
    }

    /// The same for a plan that differs from the one before in these aims at most; whether anything is new.
    pub(crate) fn follow<'a>(
        &mut self,
        aims: impl IntoIterator<Item = (Aim, Option<&'a FrontendRule>)>,
    ) -> bool {
        let mut is_new = false;
        for (aim, rule) in aims {
            let Some(end) = udp_end(aim) else { continue };
            let wanted = rule.and_then(|rule| endpoints(aim, rule));
            if self.0.get(&end) == wanted.as_ref() {
                continue;
            }
            is_new = true;
            match wanted {
                Some(wanted) => drop(self.0.insert(end, wanted)),
                None => drop(self.0.remove(&end)),
            }
        }
        is_new
    }

    /// Whether there is no frontend of UDP at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a connection has to be forgotten, so that its next packet goes where a new one would go.
    ///
    /// `removed` are frontends that were ours: translated connections to them go. Nothing is said about connections
    /// to what never was a frontend of ours.
    #[must_use]
    pub fn is_stale(&self, connection: &Connection, removed: &BTreeSet<End>) -> bool {
        if connection.protocol != Protocol::Udp.number() {
            return false;
        }
        match self.0.get(&connection.frontend) {
            Some(serving) => !serving.contains(&connection.backend),
            None => removed.contains(&connection.frontend) && connection.backend != connection.frontend,
        }
    }
}

fn udp_end(aim: Aim) -> Option<End> {
    (aim.protocol == Protocol::Udp).then_some((aim.address, aim.port.number()))
}

/// Where connections to an aim may lead, where the rule serves its family.
fn endpoints(aim: Aim, rule: &FrontendRule) -> Option<BTreeSet<End>> {
    is_of_family(rule, aim.family()).then(|| serving(rule))
}

/// Every endpoint that serves, whether or not new connections go there.
fn serving(rule: &FrontendRule) -> BTreeSet<End> {
    let used = [&rule.internal, &rule.external].into_iter().flat_map(|outcome| match outcome {
        Outcome::Forward { backends, .. } => backends.iter().collect(),
        Outcome::Reject | Outcome::Drop => Vec::new(),
    });
    let candidates = rule.candidates.iter();
    let lasting = candidates.filter(|candidate| candidate.state.ready || candidate.state.serving);
    let end = |backend: &Backend| (backend.address, backend.port.number());
    used.chain(lasting.map(|candidate| &candidate.backend)).map(end).collect()
}

/// The UDP frontends that a transaction takes backends from.
#[must_use]
pub fn frontends_that_lose(transaction: &Transaction) -> BTreeSet<End> {
    let mut losing = BTreeSet::new();
    for step in &transaction.steps {
        let (set, gone): (_, Vec<&Key>) = match step {
            Step::RemoveElements(set, gone) => (set, gone.iter().map(|(key, _)| key).collect()),
            Step::ReplaceElements(set, gone) => (set, gone.iter().map(|one| &one.key).collect()),
            _ => continue,
        };
        if is_family_of(set, "backends") {
            losing.extend(gone.into_iter().filter_map(udp_frontend));
        }
    }
    losing
}

/// The frontend in a key of `backends4` or `backends6`.
fn udp_frontend(key: &Key) -> Option<End> {
    match key.first[..] {
        [Value::Address(address), Value::Protocol(protocol), Value::Port(port), _] => {
            (protocol == Protocol::Udp.number()).then_some((address, port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use plan::{BackendState, Candidate, EndpointOrigin, Exclusion, FrontendScope, SourceAddress};
    use plan::{Frontend, FrontendAddress};
    use types::{NamespacedName, Port};

    use super::*;

    fn end(text: &str) -> End {
        let address: std::net::SocketAddr = text.parse().unwrap();
        (address.ip(), address.port())
    }

    fn backend(text: &str) -> Backend {
        let (address, port) = end(text);
        Backend { address, port: Port::new(port).unwrap() }
    }

    /// `used` gets new connections, `terminating` serves and gets none, `unready` does neither.
    fn rule(used: &[&str], terminating: &[&str], unready: &[&str]) -> FrontendRule {
        let backends: BTreeSet<_> = used.iter().map(|text| backend(text)).collect();
        let outcome = match backends.is_empty() {
            true => Outcome::Reject,
            false => Outcome::Forward { backends: backends.into(), source: SourceAddress::KeptForPods },
        };
        let candidate = |(text, serving): (&&str, bool)| Candidate {
            backend: backend(text),
            pod: None,
            node: None,
            state: BackendState { ready: false, serving, terminating: serving },
            excluded_internal: Some(Exclusion::Terminating),
            excluded_external: Some(Exclusion::Terminating),
        };
        let terminating = terminating.iter().map(|text| (text, true));
        FrontendRule {
            owner: NamespacedName::new("shop", "stats"),
            port_name: String::new(),
            scope: FrontendScope::ClusterIp,
            internal: outcome.clone(),
            external: outcome,
            affinity_seconds: None,
            scheduling: plan::Scheduling::default(),
            source_ranges: None,
            endpoints: EndpointOrigin::Selector,
            candidates: terminating.chain(unready.iter().map(|text| (text, false))).map(candidate).collect(),
        }
    }

    fn rightful(rule: FrontendRule) -> Rightful {
        let mut plan = NodePlan {
            node: "node-a".into(),
            podnet: Default::default(),
            services: plan::ServiceTable::default(),
            policy: Default::default(),
            dns: plan::DnsPlan::default(),
            gateway: Default::default(),
            lb: Default::default(),
        };
        let frontend = Frontend {
            address: FrontendAddress::Vip("10.96.0.20".parse().unwrap()),
            protocol: Protocol::Udp,
            port: Port::new(8125).unwrap(),
        };
        plan.services.frontends.insert(frontend, rule);
        Rightful::of(&plan)
    }

    fn udp(frontend: &str, backend: &str) -> Connection {
        Connection { protocol: 17, frontend: end(frontend), backend: end(backend) }
    }

    const FRONTEND: &str = "10.96.0.20:8125";

    #[test]
    fn an_endpoint_keeps_its_connections_as_long_as_it_serves() {
        let rightful = rightful(rule(&["10.244.1.2:8125"], &["10.244.1.3:8125"], &["10.244.1.4:8125"]));
        let is_stale = |backend| rightful.is_stale(&udp(FRONTEND, backend), &BTreeSet::new());
        assert!(!is_stale("10.244.1.2:8125"));
        assert!(!is_stale("10.244.1.3:8125"), "terminating, but serving");
        assert!(is_stale("10.244.1.4:8125"), "not serving");
        assert!(is_stale("10.244.1.9:8125"), "gone");
        assert!(is_stale(FRONTEND), "never translated, from before there was a Service");
    }

    #[test]
    fn without_any_endpoint_nothing_stays() {
        let rightful = rightful(rule(&[], &[], &[]));
        assert!(rightful.is_stale(&udp(FRONTEND, "10.244.1.2:8125"), &BTreeSet::new()));
    }

    #[test]
    fn of_a_removed_frontend_only_what_was_translated_goes() {
        let (none, removed) = (Rightful::default(), BTreeSet::from([end(FRONTEND)]));
        assert!(none.is_stale(&udp(FRONTEND, "10.244.1.2:8125"), &removed));
        assert!(!none.is_stale(&udp(FRONTEND, FRONTEND), &removed));
        assert!(!none.is_stale(&udp("192.0.2.1:8125", "10.244.1.2:8125"), &removed), "never ours");
    }

    #[test]
    fn tcp_is_never_cut() {
        let rightful = rightful(rule(&[], &[], &[]));
        let connection = Connection { protocol: 6, ..udp(FRONTEND, "10.244.1.2:8125") };
        assert!(!rightful.is_stale(&connection, &BTreeSet::from([end(FRONTEND)])));
    }
}
