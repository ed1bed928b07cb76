//! Findings by what they come from, so that those of one Service can be replaced.

use std::collections::BTreeMap;

use plan::{Finding, FindingSet};
use types::ServiceName;

use crate::findings::Findings;

/// What findings come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// What a Service claims.
    Claims(ServiceName),
    /// What a Service selects.
    Target(ServiceName),
    HealthChecks,
    HostPorts,
    PodNetwork,
    Gateway,
    Input,
}

/// All findings.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In order; most have one or none, for which a set would be many times as large.
    by_source: BTreeMap<Source, Box<[Finding]>>,
    all: FindingSet,
}

impl Found {
    pub(super) fn all(&self) -> &FindingSet {
        &self.all
    }

    /// From now on these and no others come from this source.
    pub(super) fn replace(&mut self, source: Source, findings: Findings) {
        let old = self.by_source.remove(&source).unwrap_or_default();
        old.iter().filter(|old| !findings.contains(old)).for_each(|old| self.all.remove(old));
        let is_new = |finding: &&Finding| old.binary_search(finding).is_err();
        findings.iter().filter(is_new).for_each(|finding| self.all.add(finding.clone()));
        if !findings.is_empty() {
            self.by_source.insert(source, findings.into_iter().collect());
        }
    }
}
