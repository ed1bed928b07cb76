//! Names of a headless Service's endpoints in one topology zone: `ZONE.pin._zone.SERVICE.NAMESPACE.svc`, and `prefer` in the
//! place of `pin` (CoreDNS, `plugin/kubernetes/README.md`, Zonal Names).
//!
//! What a zone has is made with all other names of the Service, under the name with `pin`; whether there is such a name, and
//! what one answers whose zone has no endpoint, is decided here.

use std::borrow::Cow;

use plan::{DnsService, DnsServiceKind};
use types::ServiceName;

use super::{Node, Source, Zone};
use crate::Name;
use crate::name::{labels, suffix_start};

/// The label before a Service's name.
pub(super) const ANCHOR: &str = "_zone";
/// The label of names that have the endpoints in the zone and no others.
pub(super) const PIN: &str = "pin";
/// The label of names that have all endpoints where none is in the zone.
const PREFER: &str = "prefer";
/// So many zones are told of.
const MOST_TOLD: usize = 10;

/// What a name of this form says before the Service's name.
pub(crate) enum Zonal<'n> {
    /// Too little to mean a zone; there are names below it.
    Above,
    /// A zone, as the labels of its name in lower-case wire form, and whether others are as good where it has nothing.
    Of { zone: &'n [u8], wide: bool },
}

impl<'n> Zonal<'n> {
    /// Reads the labels before a Service's name.
    fn parse(before: &'n [u8]) -> Option<Self> {
        let (at, anchor) = last_label(before)?;
        if anchor != ANCHOR.as_bytes() {
            return None;
        }
        let Some((at, directive)) = last_label(&before[..at]) else { return Some(Self::Above) };
        let wide = directive == PREFER.as_bytes();
        if !wide && directive != PIN.as_bytes() {
            return None;
        }
        Some(if at == 0 { Self::Above } else { Self::Of { zone: &before[..at], wide } })
    }
}

/// The last of some labels, and where it begins.
fn last_label(wire: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    for label in labels(wire) {
        let end = at + 1 + label.len();
        if end == wire.len() {
            return Some((at, label));
        }
        at = end;
    }
    None
}

impl Zone {
    /// The name of a zone: `first` bytes stand before the Service's own name, the last of them the label [`ANCHOR`].
    pub(super) fn find_zonal(&self, wire: &[u8], first: usize) -> Option<Cow<'_, Node>> {
        let own = &wire[first..];
        let (name, service) = self.headless(own)?;
        let (zone, wide) = match Zonal::parse(&wire[..first])? {
            Zonal::Above => return Some(Cow::Borrowed(&*self.structure)),
            Zonal::Of { zone, wide } => (zone, wide),
        };
        if let Some(node) = self.in_zone(service, zone, own) {
            return Some(node);
        }
        let all = self.services.get(own).filter(|_| wide);
        let all = all.and_then(|service| service.find(own, &self.plan, &self.origin));
        let nothing = || Node { source: none_in_zone((name, service), zone), records: Vec::new() };
        Some(all.unwrap_or_else(|| Cow::Owned(nothing())))
    }

    /// The endpoints in a zone, if it has any. It is looked for under one name, whatever the directive.
    fn in_zone(&self, service: &DnsService, zone: &[u8], own: &[u8]) -> Option<Cow<'_, Node>> {
        let DnsServiceKind::Headless { zones } = &service.kind else { return None };
        zones.get(&zone_text(zone)?)?;
        let mut key = zone.to_vec();
        for label in [PIN, ANCHOR] {
            key.push(u8::try_from(label.len()).ok()?);
            key.extend_from_slice(label.as_bytes());
        }
        key.extend_from_slice(own);
        self.services.get(own)?.find(&key, &self.plan, &self.origin)
    }

    /// A headless Service by its own name, whether it has endpoints or not.
    fn headless(&self, own: &[u8]) -> Option<(&ServiceName, &DnsService)> {
        let end = suffix_start(own, self.origin.as_wire())?;
        let mut parts = labels(&own[..end]).map(std::str::from_utf8);
        let (name, namespace) = (parts.next()?.ok()?, parts.next()?.ok()?);
        let wanted = ServiceName::new(namespace, name);
        let (name, service) = self.plan.services.iter_from(&wanted).next()?;
        let is_it = *name == wanted && matches!(service.kind, DnsServiceKind::Headless { .. });
        is_it.then_some((name, service))
    }

    /// Why there is this node, for people: a zone without endpoints may have those of all zones.
    pub(crate) fn source(&self, name: &Name, node: &Node) -> Source {
        let zonal = || {
            let end = suffix_start(name.as_wire(), self.origin.as_wire())?;
            let starts = labels(&name.as_wire()[..end]).scan(0, |at, label| {
                let start = *at;
                *at += 1 + label.len();
                Some(start)
            });
            let starts: Vec<usize> = starts.collect();
            let first = *starts.get(starts.len().checked_sub(3)?)?;
            let Zonal::Of { zone, wide: true } = Zonal::parse(&name.as_wire()[..first])? else { return None };
            let (service, _) = self.headless(&name.as_wire()[first..])?;
            Some(Source::OutOfZone { service: service.clone(), zone: zone_for_people(zone) })
        };
        match &node.source {
            Source::Headless(_) => zonal().unwrap_or_else(|| node.source.clone()),
            source => source.clone(),
        }
    }
}

fn none_in_zone((name, service): (&ServiceName, &DnsService), zone: &[u8]) -> Source {
    let others = match &service.kind {
        DnsServiceKind::Headless { zones } => zones.keys().take(MOST_TOLD).cloned().collect(),
        _ => Vec::new(),
    };
    Source::NoneInZone { service: name.clone(), zone: zone_for_people(zone), others }
}

/// The name of a zone that some labels spell; a label with a dot in it is in none.
fn zone_text(zone: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(zone.len());
    for label in labels(zone) {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(std::str::from_utf8(label).ok().filter(|label| !label.contains('.'))?);
    }
    Some(text)
}

fn zone_for_people(zone: &[u8]) -> String {
    Name::from_checked_wire(&[zone, &[0]].concat()).to_string()
}
