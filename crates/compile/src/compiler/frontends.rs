//! Who has a frontend, decided anew for those frontends alone that changed Services claim or claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{EndpointSlice, Service, Snapshot};
use plan::{Frontend, FrontendAddress, FrontendRule, FrontendScope};
use types::{Protocol, ServiceName, SharedMap};

use super::changes::Changes;
use crate::findings::Findings;
use crate::services::claims::{Rank, of_service};
use crate::services::{Ground, rule};

type Rules = SharedMap<Frontend, FrontendRule>;

/// Frontends that several Services claim, and who does; of all others, the rule names the only one.
#[derive(Debug, Default)]
pub(super) struct Contests(BTreeMap<Frontend, BTreeSet<ServiceName>>);

/// What was decided about the frontends that changed Services claim or claimed.
pub(super) struct Decided {
    /// Who gets each, if anybody.
    owners: BTreeMap<Frontend, Option<ServiceName>>,
    /// Services for which the outcome may be another than before.
    pub(super) affected: BTreeSet<ServiceName>,
}

/// The Service that has a frontend; none where a host port has it.
pub(super) fn owner(rules: &Rules, frontend: Frontend) -> Option<&ServiceName> {
    rules.get(&frontend).filter(|rule| rule.scope != FrontendScope::HostPort).map(|rule| &rule.owner)
}

impl Contests {
    /// Decides about every frontend that a changed Service claims or claimed; `rules` are those of before.
    pub(super) fn decide(
        &mut self,
        rules: &Rules,
        changes: &Changes<'_>,
        snapshot: &Snapshot,
        local_vips: &BTreeSet<IpAddr>,
    ) -> Decided {
        let mut claimants: BTreeMap<Frontend, BTreeSet<ServiceName>> = BTreeMap::new();
        let mut affected = BTreeSet::new();
        let before = |frontend: &Frontend| match self.0.get(frontend) {
            Some(contested) => contested.clone(),
            None => owner(rules, *frontend).into_iter().cloned().collect(),
        };
        for service in &changes.services {
            let mut claims =
                |service: Option<&Service>, change: &dyn Fn(&mut BTreeSet<ServiceName>) -> bool| {
                    for (frontend, _) in service.iter().flat_map(|service| of_service(service, local_vips)) {
                        let claimants = claimants.entry(frontend).or_insert_with(|| before(&frontend));
                        if claimants.len() > 1 {
                            affected.extend(claimants.iter().cloned());
                        }
                        change(claimants);
                    }
                };
            claims(service.old, &|claimants| claimants.remove(service.key));
            claims(service.new, &|claimants| claimants.insert(service.key.clone()));
        }
        let mut owners = BTreeMap::new();
        for (frontend, claimants) in claimants {
            owners.insert(frontend, first(frontend, &claimants, snapshot, local_vips).cloned());
            match claimants.len() > 1 {
                true => {
                    affected.extend(claimants.iter().cloned());
                    self.0.insert(frontend, claimants);
                }
                false => drop(self.0.remove(&frontend)),
            }
        }
        Decided { owners, affected }
    }
}

/// The claimant that comes first.
fn first<'c>(
    frontend: Frontend,
    claimants: &'c BTreeSet<ServiceName>,
    snapshot: &Snapshot,
    local_vips: &BTreeSet<IpAddr>,
) -> Option<&'c ServiceName> {
    if claimants.len() < 2 {
        return claimants.first();
    }
    let rank = |name: &ServiceName| -> Option<Rank> {
        let mut claims = of_service(snapshot.services.get(name)?, local_vips);
        claims.find(|(claimed, _)| *claimed == frontend).map(|(_, claim)| claim.rank())
    };
    let ranked = claimants.iter().filter_map(|name| Some((rank(name)?, name)));
    ranked.min().map(|(_, name)| name)
}

impl Decided {
    /// Whether anything was decided about one of these.
    pub(super) fn touches(&self, frontends: &BTreeSet<Frontend>) -> bool {
        self.owners.keys().any(|frontend| frontends.contains(frontend))
    }

    /// Whether anything was decided about a NodePort of TCP.
    pub(super) fn touches_tcp_node_port(&self) -> bool {
        let is_one = |of: &Frontend| of.address == FrontendAddress::NodePort && of.protocol == Protocol::Tcp;
        self.owners.keys().any(is_one)
    }

    /// Takes away what nobody claims any more.
    pub(super) fn withdraw(&self, rules: &mut Rules) {
        for frontend in self.owners.iter().filter(|(_, owner)| owner.is_none()).map(|(frontend, _)| *frontend)
        {
            if owner(rules, frontend).is_some() {
                rules.remove(&frontend);
            }
        }
    }

    /// Gives a Service the frontends that it has, as they are now; what it does not get becomes a finding.
    pub(super) fn grant(
        &self,
        (service, slices): (&Service, &[&EndpointSlice]),
        local_vips: &BTreeSet<IpAddr>,
        ground: &Ground<'_>,
        rules: &mut Rules,
    ) -> Findings {
        let mut findings = Findings::new();
        let mut granted = BTreeSet::new();
        for (frontend, claim) in of_service(service, local_vips) {
            let decided = self.owners.get(&frontend);
            let owner = match decided {
                Some(owner) => owner.as_ref(),
                None => owner(rules, frontend),
            };
            let owner = owner.expect("who claims a frontend has it, or somebody else does");
            if *owner == service.name && granted.insert(frontend) {
                let rule = rule(frontend, &claim, slices, ground);
                if rules.get(&frontend) != Some(&rule) {
                    rules.insert(frontend, rule);
                }
            } else {
                findings.insert(claim.refused(frontend, owner));
            }
        }
        findings
    }
}
