//! Server blocks by the zones they answer, and which forward of a block a name is asked of.

use std::collections::BTreeSet;

use plan::{DnsBlock, DnsForward, DnsKubernetes, DnsSettings, ExposedNamespaces, PodNames, ReverseZones};

use crate::asking::is_truncated;
use crate::keep::KeptZones;
use crate::message::u16_at;
use crate::name::{labels, suffix_start};
use crate::query_log::Logs;
use crate::steps::Steps;
use crate::zones::{Through, Zones};
use crate::{Keep, Name};

/// One forward of one block of [`plan::DnsSettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId {
    /// Its place in [`plan::DnsSettings::blocks`].
    pub block: usize,
    /// Its place in [`plan::DnsBlock::forwards`].
    pub forward: usize,
}

/// The zones of settings, as names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks(Vec<Block>);

#[derive(Clone, Debug)]
struct Block {
    zones: Vec<Name>,
    steps: Option<Steps>,
    logs: Logs,
    kubernetes: Option<ClusterNames>,
    forwards: Vec<Forward>,
    kept: Option<KeptZones>,
}

/// How the cluster's names are answered.
#[derive(Clone, Debug)]
pub(crate) struct ClusterNames {
    /// Reverse zones in which nobody else answers; `None`: the cluster's ranges.
    pub(crate) reverse: Option<Zones>,
    pub(crate) pods: PodNames,
    /// Whether there are names of topology zones.
    pub(crate) zonal: bool,
    /// Whether a Service with a cluster address and without endpoint has no name.
    pub(crate) ignore_empty: bool,
    /// The Namespaces with names; `None`: all.
    exposed: Option<BTreeSet<String>>,
    /// Whether reverse names lead to these alone.
    hides_reverse: bool,
    pub(crate) through: Through,
}

#[derive(Clone, Debug)]
struct Forward {
    from: Option<Name>,
    except: Vec<Name>,
    unwanted: Unwanted,
}

/// Replies of a forward that are not the last word, if another one can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unwanted {
    /// A bit for each response code of a header.
    codes: u16,
    nodata: bool,
}

/// A forward that is asked when the reply of the one before it is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) unwanted: Unwanted,
    pub(crate) to: ForwardId,
}

impl Blocks {
    /// Zones that are no names are in no block; who reads settings does not let them in.
    pub(crate) fn of(settings: &DnsSettings, origin: &Name) -> Self {
        Self(settings.blocks.iter().map(|settings| block(settings, origin)).collect())
    }

    /// What stands between a block's questions and their look-up.
    pub(crate) fn steps(&self, block: usize) -> Option<&Steps> {
        self.0.get(block)?.steps.as_ref()
    }

    /// Which queries of a block are written down.
    pub(crate) fn logs(&self, block: usize) -> Option<&Logs> {
        Some(&self.0.get(block)?.logs)
    }

    /// Queries that drew more than this are written down nowhere; `None` when none is.
    pub(crate) fn highest_logged_draw(&self) -> Option<u64> {
        self.0.iter().filter_map(|block| block.logs.highest_draw()).max()
    }

    /// The cluster's names in a block.
    pub(crate) fn kubernetes(&self, block: usize) -> Option<&ClusterNames> {
        self.0.get(block)?.kubernetes.as_ref()
    }

    /// Which replies of upstream servers a block keeps for clients that ask for a name.
    pub(crate) fn keep(&self, block: usize, wire: &[u8]) -> Option<Keep> {
        self.0.get(block)?.kept.as_ref()?.keep(wire)
    }

    /// The block that answers a name in lower-case wire form: the one with the longest zone that the name is in, the first
    /// of equals.
    pub(crate) fn block_of(&self, wire: &[u8]) -> Option<usize> {
        let longest = |block: &Block| {
            let zones = block.zones.iter().filter(|zone| is_within(wire, zone));
            zones.map(|zone| zone.as_wire().len()).max()
        };
        let fitting = self.0.iter().enumerate().filter_map(|(index, block)| Some((longest(block)?, index)));
        fitting.max_by_key(|(length, index)| (*length, std::cmp::Reverse(*index))).map(|(_, index)| index)
    }

    /// The forward of a block that a name is asked of.
    pub(crate) fn forward_of(&self, block: usize, wire: &[u8]) -> Option<ForwardId> {
        let forward = self.0.get(block)?.forwards.iter().position(|forward| forward.is_for(wire))?;
        Some(ForwardId { block, forward })
    }

    /// Those that may be asked about a name after one of them, in order.
    pub(crate) fn next_of(
        &self,
        id: ForwardId,
        wire: &[u8],
        has_servers: impl Fn(ForwardId) -> bool,
    ) -> Box<[Next]> {
        let forwards = self.0.get(id.block).map(|block| block.forwards.as_slice()).unwrap_or_default();
        let mut last = id;
        let mut next = Vec::new();
        while let Some(forward) = forwards.get(last.forward).filter(|forward| forward.unwanted.is_any()) {
            let after = (last.forward + 1..forwards.len()).map(|forward| ForwardId { forward, ..id });
            let mut fitting = after.filter(|id| forwards[id.forward].is_for(wire) && has_servers(*id));
            let Some(to) = fitting.next() else { break };
            next.push(Next { unwanted: forward.unwanted, to });
            last = to;
        }
        next.into()
    }
}

impl Forward {
    fn is_for(&self, wire: &[u8]) -> bool {
        self.from.as_ref().is_some_and(|from| is_within(wire, from))
            && !self.except.iter().any(|zone| is_within(wire, zone))
    }
}

impl Unwanted {
    fn of(forward: &DnsForward) -> Self {
        let codes =
            forward.next.iter().fold(0, |codes, code| codes | 1_u16.checked_shl((*code).into()).unwrap_or(0));
        Self { codes, nodata: forward.next_on_nodata }
    }

    fn is_any(self) -> bool {
        self.codes != 0 || self.nodata
    }

    /// Whether a reply is one of these.
    pub(crate) fn has(self, reply: &[u8]) -> bool {
        let Some(rcode) = reply.get(3).map(|byte| byte & 0x0f) else { return false };
        let is_nodata = rcode == 0 && u16_at(reply, 6) == Some(0) && !is_truncated(reply);
        self.codes >> rcode & 1 == 1 || self.nodata && is_nodata
    }
}

fn block(block: &DnsBlock, origin: &Name) -> Block {
    let zones = block.zones.iter().filter_map(|zone| Name::parse(zone).ok());
    Block {
        zones: zones.collect(),
        steps: Steps::of(block, origin),
        logs: Logs::of(block),
        kubernetes: block.kubernetes.as_ref().map(ClusterNames::of),
        forwards: block.forwards.iter().map(forward).collect(),
        kept: block.cache.as_ref().map(KeptZones::of),
    }
}

impl ClusterNames {
    fn of(kubernetes: &DnsKubernetes) -> Self {
        Self {
            reverse: match &kubernetes.reverse {
                ReverseZones::Ranges => None,
                ReverseZones::Zones(zones) => Some(Zones::of(zones)),
            },
            pods: kubernetes.pods,
            zonal: kubernetes.zonal,
            ignore_empty: kubernetes.ignore_empty,
            exposed: match &kubernetes.namespaces {
                ExposedNamespaces::All => None,
                ExposedNamespaces::Named(names) => Some(names.clone()),
                ExposedNamespaces::Labelled { matching, .. } => Some(matching.clone()),
            },
            hides_reverse: matches!(kubernetes.namespaces, ExposedNamespaces::Named(_)),
            through: Through::of(&kubernetes.fallthrough),
        }
    }
}

impl ClusterNames {
    /// Whether the Namespace has names.
    pub(crate) fn exposes(&self, namespace: &str) -> bool {
        self.exposed.as_ref().is_none_or(|exposed| exposed.contains(namespace))
    }

    /// Whether reverse names lead to names of the Namespace.
    pub(crate) fn points_to(&self, namespace: &str) -> bool {
        !self.hides_reverse || self.exposes(namespace)
    }

    /// Whether a name with these labels before the cluster domain is in a Namespace without names.
    pub(crate) fn hides(&self, before: &[u8]) -> bool {
        if self.exposed.is_none() {
            return false;
        }
        let labels = labels(before).collect::<Vec<_>>();
        match labels.as_slice() {
            [.., namespace, b"svc" | b"pod"] => {
                !std::str::from_utf8(namespace).is_ok_and(|namespace| self.exposes(namespace))
            }
            _ => false,
        }
    }
}

fn forward(forward: &DnsForward) -> Forward {
    let except = forward.except.iter().filter_map(|zone| Name::parse(zone).ok());
    let unwanted = Unwanted::of(forward);
    Forward { from: Name::parse(&forward.from).ok(), except: except.collect(), unwanted }
}

fn is_within(wire: &[u8], zone: &Name) -> bool {
    suffix_start(wire, zone.as_wire()).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mk_block(zones: &[&str]) -> DnsBlock {
        DnsBlock { zones: zones.iter().map(ToString::to_string).collect(), ..DnsBlock::default() }
    }

    fn origin() -> Name {
        Name::parse("cluster.local").unwrap()
    }

    fn wire(name: &str) -> Vec<u8> {
        Name::parse(name).unwrap().as_wire().to_vec()
    }

    #[test]
    fn the_block_of_the_longest_zone_answers() {
        let blocks = [mk_block(&[""]), mk_block(&["example.com", "org"]), mk_block(&["eu.example.com"])];
        let blocks = Blocks::of(&DnsSettings { blocks: blocks.to_vec() }, &origin());
        for (name, block) in [
            ("a.eu.example.com", 2),
            ("eu.example.com", 2),
            ("us.example.com", 1),
            ("xexample.com", 0),
            ("a.org", 1),
            (".", 0),
        ] {
            assert_eq!(blocks.block_of(&wire(name)), Some(block), "{name}");
        }
        let blocks = Blocks::of(&DnsSettings { blocks: vec![mk_block(&["org"])] }, &origin());
        assert_eq!(blocks.block_of(&wire("example.com")), None);
    }

    #[test]
    fn the_first_forward_for_the_name_is_asked() {
        let forward = |from: &str, except: &[&str]| DnsForward {
            from: from.into(),
            except: except.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            ..DnsForward::default()
        };
        let forwards = vec![forward("corp.example", &["lab.corp.example"]), forward("", &["internal"])];
        let blocks = vec![DnsBlock { forwards, ..DnsBlock::default() }];
        let blocks = Blocks::of(&DnsSettings { blocks }, &origin());
        for (name, forward) in [
            ("a.corp.example", Some(0)),
            ("a.lab.corp.example", Some(1)),
            ("example.com", Some(1)),
            ("a.internal", None),
        ] {
            let asked = blocks.forward_of(0, &wire(name));
            assert_eq!(asked, forward.map(|forward| ForwardId { block: 0, forward }), "{name}");
        }
    }
}
