//! Session affinity: which clients are remembered together, and which backends they may be remembered to use.

use std::collections::{BTreeMap, BTreeSet};

use plan::{Backend, FrontendRule, Outcome};

use crate::fixed::{add_remember_chain, step};
use crate::render::{Numbering, numbered, put};
use crate::services::{Aim, Clients, backends, comment};
use crate::value::{Key, Ruleset, Value};

/// Which backends each ServicePort's clients may be remembered to use.
///
/// Clients are remembered per ServicePort, whichever of its addresses they used (semantics SD10); an outcome with
/// fewer backends than the ServicePort has, as under a `Local` traffic policy, remembers apart.
pub(crate) struct Pools {
    all: BTreeMap<String, BTreeSet<Backend>>,
    numbers: BTreeMap<String, u32>,
}

impl Pools {
    fn of(aims: &BTreeMap<Aim, &FrontendRule>) -> Self {
        let mut pools = Self { all: BTreeMap::new(), numbers: BTreeMap::new() };
        for (aim, rule) in aims {
            for outcome in [&rule.internal, &rule.external] {
                pools
                    .all
                    .entry(service_port(*aim, rule))
                    .or_default()
                    .extend(backends(outcome, aim.family()).cloned());
            }
        }
        let mut numbering = Numbering::default();
        let mut names = BTreeSet::new();
        for (aim, rule) in aims {
            names.extend(
                [Clients::Internal, Clients::External].map(|clients| pools.name(*aim, rule, clients)),
            );
        }
        pools.numbers = names.into_iter().map(|name| (name.clone(), numbering.number(&name))).collect();
        pools
    }

    /// Everything that affinity needs of these frontends; those without it need nothing.
    pub(crate) fn fill<'a>(rules: &mut Ruleset, aims: impl IntoIterator<Item = (Aim, &'a FrontendRule)>) {
        let affine = aims.into_iter().filter(|(_, rule)| rule.affinity_seconds.is_some());
        let aims: BTreeMap<Aim, &FrontendRule> = affine.collect();
        let pools = Self::of(&aims);
        aims.iter().for_each(|(aim, rule)| pools.fill_one(rules, *aim, rule));
    }

    /// The name of what is remembered together.
    fn name(&self, aim: Aim, rule: &FrontendRule, clients: Clients) -> String {
        let port = service_port(aim, rule);
        let (outcome, word) = match clients {
            Clients::Internal => (&rule.internal, "internal"),
            Clients::External => (&rule.external, "external"),
        };
        let own: BTreeSet<Backend> = backends(outcome, aim.family()).cloned().collect();
        if self.all.get(&port) == Some(&own) { port } else { format!("{port} {:?} {word}", rule.scope) }
    }

    fn fill_one(&self, rules: &mut Ruleset, aim: Aim, rule: &FrontendRule) {
        let Some(seconds) = rule.affinity_seconds else { return };
        let comment = comment(rule);
        let mut remembered = false;
        for (clients, step, outcome) in [
            (Clients::Internal, step::INTERNAL_PORT, &rule.internal),
            (Clients::External, step::EXTERNAL_PORT, &rule.external),
        ] {
            let number = self.numbers[&self.name(aim, rule, clients)];
            for backend in backends(outcome, aim.family()) {
                remembered = true;
                let key = vec![
                    Value::Number(number),
                    Value::Address(backend.address),
                    Value::Port(backend.port.number()),
                ];
                put(rules, "pool", aim.family(), Key::exact(key), numbered(seconds, ""));
            }
            if matches!(outcome, Outcome::Forward { .. }) {
                put(rules, "step", aim.family(), aim.key_at(step), numbered(number, &comment));
            }
        }
        if remembered {
            add_remember_chain(rules, seconds);
        }
    }
}

fn service_port(aim: Aim, rule: &FrontendRule) -> String {
    format!("{}:{} {} {}", rule.owner, rule.port_name, aim.protocol, aim.family())
}
