//! The walk of a Pod's resolver through its search path.

use std::net::IpAddr;

use crate::resolve::resolve_name;
use crate::{Name, NameError, Outcome, RecordData, RecordType, Resolution, Zone};

/// `options ndots:5` of a Pod's resolv.conf (kubelet, `pkg/kubelet/network/dns`).
const NDOTS: usize = 5;

/// What a Pod's resolver does with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The names it asks for, in order, up to the one that ends the search.
    pub attempts: Vec<Resolution>,
    /// How the search ends.
    pub end: SearchEnd,
}

/// How a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchEnd {
    /// The last attempt has records.
    Found,
    /// The last attempt is asked of the upstream servers; what they say is not known here.
    Forwarded,
    /// No attempt has records.
    NotFound,
}

/// Resolves `name` as a Pod of `namespace` does, with the search path of `dnsPolicy: ClusterFirst`.
pub fn search(zone: &Zone, name: &str, namespace: &str, kind: RecordType) -> Result<Search, NameError> {
    let mut attempts = Vec::new();
    let mut end = SearchEnd::NotFound;
    for candidate in candidates(zone, name, namespace)? {
        let resolution = resolve_name(zone, candidate, kind);
        let outcome = resolution.outcome;
        attempts.push(resolution);
        match outcome {
            Outcome::Found => end = SearchEnd::Found,
            Outcome::Forward => end = SearchEnd::Forwarded,
            Outcome::NoData | Outcome::NxDomain => continue,
        }
        break;
    }
    Ok(Search { attempts, end })
}

/// The names a resolver tries, in order (resolv.conf(5), `ndots`).
pub(crate) fn candidates(zone: &Zone, name: &str, namespace: &str) -> Result<Vec<Name>, NameError> {
    let absolute = Name::parse(name)?;
    if name.ends_with('.') {
        return Ok(vec![absolute]);
    }
    let origin = zone.origin();
    let own = [format!("{namespace}.svc.{origin}"), format!("svc.{origin}"), origin.to_string()];
    let suffixes = own.iter().chain(&zone.plan.node_search);
    // A suffix that makes the name too long is passed over.
    let searched = suffixes.filter_map(|suffix| Name::parse(&format!("{name}.{suffix}")).ok());
    let mut names = searched.collect::<Vec<_>>();
    let has_enough_dots = name.matches('.').count() >= NDOTS;
    let place = if has_enough_dots { 0 } else { names.len() };
    names.insert(place, absolute);
    Ok(names)
}

impl Search {
    /// The attempt that a person means by such a name: where the search failed, `web` means a Service of the own
    /// Namespace, `web.shop` one of another Namespace, even though the resolver asks more names than that.
    #[must_use]
    pub fn decisive(&self) -> Option<&Resolution> {
        let last = self.attempts.last()?;
        if self.end == SearchEnd::Found {
            return Some(last);
        }
        let labels = self.attempts.first()?.name.labels().count();
        let asked = self.attempts.iter().map(|attempt| attempt.name.labels().count()).min()?;
        let meant = match asked {
            1 => self.attempts.first(),
            // `example.com` has two labels as well: the Namespace tells.
            2 if labels > 2 => self.attempts.get(1).filter(|attempt| attempt.has_namespace()),
            _ => self.attempts.iter().rev().find(|attempt| attempt.has_namespace()),
        };
        meant.or(Some(last))
    }

    /// The addresses that were found.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let records = self.attempts.last().filter(|_| self.end == SearchEnd::Found);
        let data = records.into_iter().flat_map(|resolution| &resolution.records);
        data.filter_map(|record| match record.data {
            RecordData::A(address) => Some(address.into()),
            RecordData::Aaaa(address) => Some(address.into()),
            _ => None,
        })
        .collect()
    }
}
