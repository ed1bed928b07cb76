//! The rules that never change: `fixed.nft`, its IPv6 twins, and the chains that draw a backend.

use std::sync::LazyLock;

use crate::frames;
use crate::parse::parse;
use crate::slots::HASH_SIZES;
use crate::value::{
    Chain, Data, Element, Field, Key, Rule, Ruleset, Scratch, Set, Statement, Value, Verdict,
};
use types::IpFamily;

/// The name of our tables.
pub const TABLE: &str = "sealane";

/// What the scratch register says after a lookup; the same numbers stand in `fixed.nft`.
pub(crate) mod class {
    /// Draw one of N backends; N is added.
    pub(crate) const INTERNAL: u32 = 0x5ea0_0000;
    /// Draw one of N backends that only external clients reach; N is added.
    pub(crate) const EXTERNAL: u32 = 0x5ea1_0000;
    /// Silently dropped.
    pub(crate) const DROP: u32 = 0x5ea2_0001;
    /// Not translated: the filter hooks refuse it.
    pub(crate) const PASS: u32 = 0x5ea2_0002;
    /// Checked against `loadBalancerSourceRanges`, then split.
    pub(crate) const GUARD: u32 = 0x5ea2_0003;
    /// Internal and external clients go different ways.
    pub(crate) const SPLIT: u32 = 0x5ea2_0004;
    /// The last backend of this client, if remembered.
    pub(crate) const AFFINE_INTERNAL: u32 = 0x5ea2_0005;
    /// The same for external clients.
    pub(crate) const AFFINE_EXTERNAL: u32 = 0x5ea2_0006;
    /// The slot of the client's address in a table of N; N is added.
    pub(crate) const HASH: u32 = 0x5ea5_0000;
    /// The same in a table for external clients only.
    pub(crate) const HASH_EXTERNAL: u32 = 0x5ea6_0000;
    /// What happens after translation; [`crate::services`] adds the source translation.
    pub(crate) const AFTER: u32 = 0x5ea4_0000;
    /// The same of a ClusterIP, as `fixed.nft` has it where `after4` says nothing: masqueraded unless the client is a Pod.
    pub(crate) const AFTER_CLUSTER_IP: u32 = AFTER + 2;
    /// Added to [`AFTER`] for frontends with affinity.
    pub(crate) const REMEMBER: u32 = 0x10;
}

/// At which step `step4` is asked.
pub(crate) mod step {
    /// What becomes of internal clients.
    pub(crate) const INTERNAL: u32 = 0x5ea3_0001;
    /// What becomes of external clients.
    pub(crate) const EXTERNAL: u32 = 0x5ea3_0002;
    /// Identity of the ServicePort, for affinity of internal clients.
    pub(crate) const INTERNAL_PORT: u32 = 0x5ea3_0003;
    /// The same for external clients.
    pub(crate) const EXTERNAL_PORT: u32 = 0x5ea3_0004;
    /// How to draw for an internal client that nothing is remembered of.
    pub(crate) const INTERNAL_BALANCE: u32 = 0x5ea3_0005;
    /// The same for external clients.
    pub(crate) const EXTERNAL_BALANCE: u32 = 0x5ea3_0006;
}

/// First slot of backends that only external clients reach.
pub(crate) const EXTERNAL_SLOTS: u32 = 0x0001_0000;

/// Up to this many backends are drawn exactly uniformly by a chain of their own.
const EXACT: u32 = 32;
/// More backends than this for one frontend are not used.
pub(crate) const MAX_BACKENDS: u32 = 32_768;
/// Draws before the fallback, when there are more than [`EXACT`] backends.
const TRIES: usize = 3;

static FIXED: LazyLock<Ruleset> = LazyLock::new(|| {
    let mut rules = parse(&with_twins(include_str!("fixed.nft"))).expect("fixed.nft parses: a test reads it");
    add_balancing(&mut rules);
    add_hashing(&mut rules);
    rules
});

/// Our table without any state of the cluster.
#[must_use]
pub fn fixed_rules() -> Ruleset {
    FIXED.clone()
}

static DECLARED: LazyLock<Ruleset> = LazyLock::new(|| {
    let bare = |(name, set): (&String, &Set)| (name.clone(), set.bare());
    Ruleset { sets: FIXED.sets.iter().map(bare).collect(), ..Ruleset::default() }
});

/// The sets of our table, without elements.
#[must_use]
pub fn declared_sets() -> &'static Ruleset {
    &DECLARED
}

/// The rules a chain of this name has in any ruleset of ours; empty for a chain that is not ours.
#[must_use]
pub fn known_rules(chain: &str) -> Vec<Rule> {
    let fixed = FIXED.chains.get(chain).map(|chain| chain.rules.clone());
    let seconds = chain.strip_prefix("remember-").and_then(|text| text.parse().ok());
    fixed.or_else(|| frames::known_rules(chain)).or_else(|| seconds.map(remember_rules)).unwrap_or_default()
}

/// How many slots are drawn from for this many backends: a size that has a chain.
pub(crate) fn draw_size(backends: u32) -> u32 {
    sizes().find(|size| *size >= backends).unwrap_or(MAX_BACKENDS)
}

/// Every size that has a chain: 1 to [`EXACT`], then each about √2 times the one before.
fn sizes() -> impl Iterator<Item = u32> {
    // ⌊2^(k/2)⌋: 45, 64, 90, 128, … 32 768.
    (1..=EXACT).chain((11..=30u32).map(|k| (1u32 << k).isqrt()))
}

/// The chains `lb-N` and `lb-external-N` and the dispatch to them.
///
/// Slots are filled from 0. With more than [`EXACT`] backends a draw may hit an empty slot (at most 3 in 10); then
/// `pick` does not match and another draw follows. After [`TRIES`] the last one is from the next smaller size, all of
/// whose slots are filled; what this adds to their share is below 3 %.
fn add_balancing(rules: &mut Ruleset) {
    let mut smaller = 1;
    for size in sizes() {
        for (name, class, offset) in
            [("lb", class::INTERNAL, 0), ("lb-external", class::EXTERNAL, EXTERNAL_SLOTS)]
        {
            let chain = format!("{name}-{size}");
            add_choice(rules, chain, draw_rules(size, smaller, offset), class + size, offset);
        }
        smaller = size;
    }
}

/// A chain that chooses a slot, and the way to it; slots for external clients only are never all that a frontend has.
fn add_choice(rules: &mut Ruleset, chain: String, choosing: Vec<Rule>, class: u32, offset: u32) {
    let maps: &[&str] =
        if offset == 0 { &["arriving", "leaving", "outcomes", "balance"] } else { &["outcomes", "balance"] };
    for map in maps {
        let elements = &mut rules.sets.get_mut(*map).expect("fixed.nft has the dispatch maps").elements;
        let element = Element { data: Data::Verdict(Verdict::Goto(chain.clone())), comment: String::new() };
        elements.insert(Key::exact(vec![Value::Number(class)]), element);
    }
    rules.chains.insert(chain, Chain { hook: None, rules: choosing });
}

/// The chains `hash-N` and `hash-external-N`, one pair for each size of table that `slots` fills, and the dispatch to
/// them. All slots of a table are filled.
fn add_hashing(rules: &mut Ruleset) {
    for size in HASH_SIZES {
        for (name, class, offset) in
            [("hash", class::HASH, 0), ("hash-external", class::HASH_EXTERNAL, EXTERNAL_SLOTS)]
        {
            let look_up = |family| Rule {
                statements: vec![
                    Statement::Scratch(Scratch::Hash { family, modulus: size, offset }),
                    Statement::Verdict(Verdict::Goto("pick".to_owned())),
                ],
                comment: String::new(),
            };
            let choosing = [IpFamily::V4, IpFamily::V6].map(look_up).into();
            add_choice(rules, format!("{name}-{size}"), choosing, class + size, offset);
        }
    }
}

fn draw_rules(size: u32, smaller: u32, offset: u32) -> Vec<Rule> {
    let draw = |modulus, verdict| Rule {
        statements: vec![
            Statement::Scratch(Scratch::Random { modulus, offset }),
            Statement::Verdict(verdict),
        ],
        comment: String::new(),
    };
    let pick = || "pick".to_owned();
    if size <= EXACT {
        return vec![draw(size, Verdict::Goto(pick()))];
    }
    let mut rules = vec![draw(size, Verdict::Jump(pick())); TRIES];
    rules.push(draw(smaller, Verdict::Goto(pick())));
    rules
}

/// Makes affinity with this time-out possible. The kernel takes the time-out from the rule, so each needs a chain.
pub(crate) fn add_remember_chain(rules: &mut Ruleset, seconds: u32) {
    let name = format!("remember-{seconds}");
    let timeouts = &mut rules.sets.get_mut("timeouts").expect("fixed.nft has the map timeouts").elements;
    let element = Element { data: Data::Verdict(Verdict::Goto(name.clone())), comment: String::new() };
    timeouts.insert(Key::exact(vec![Value::Number(seconds)]), element);
    rules.chains.insert(name, Chain { hook: None, rules: remember_rules(seconds) });
}

fn remember_rules(seconds: u32) -> Vec<Rule> {
    let jump = Statement::Verdict(Verdict::Jump("serviceport".to_owned()));
    let update = |family, map: &str| Statement::Update {
        map: map.to_owned(),
        key: vec![Field::Source(family), Field::Scratch],
        seconds,
        data: vec![Field::Destination(family), Field::DestinationPort],
    };
    [jump, update(IpFamily::V4, "clients4"), update(IpFamily::V6, "clients6")]
        .map(|statement| Rule { statements: vec![statement], comment: String::new() })
        .into()
}

/// The text with what `fixed.nft` says about IPv6 twins carried out.
pub(crate) fn with_twins(text: &str) -> String {
    let mut out = String::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let line_twin = twin(line);
        let is_header =
            line.starts_with("\tset ") || line.starts_with("\tmap ") || line.starts_with("\tchain ");
        if is_header && line != line_twin {
            block = Some(String::new());
        }
        out.push_str(line);
        out.push('\n');
        match &mut block {
            Some(twins) => {
                twins.push_str(&line_twin);
                twins.push('\n');
                if line == "\t}" {
                    out.push_str(twins);
                    block = None;
                }
            }
            None if line != line_twin && !line.trim_start().starts_with('#') => {
                out.push_str(&line_twin);
                out.push('\n');
            }
            None => {}
        }
    }
    out
}

/// A line with every word about IPv4 replaced by that about IPv6.
fn twin(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.trim_start_matches('\t') {
        "ip" => word.replace("ip", "ip6"),
        "ipv4_addr" => word.replace("ipv4_addr", "ipv6_addr"),
        name if name.ends_with('4') && name.starts_with(|c: char| c == '@' || c.is_ascii_alphabetic()) => {
            format!("{}6", &word[..word.len() - 1])
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_a_rule_uses_exists() {
        let rules = fixed_rules();
        for (name, chain) in &rules.chains {
            for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
                let (set, target) = match statement {
                    Statement::Lookup { set, .. } => (Some(set), None),
                    Statement::Scratch(Scratch::Map { map, .. })
                    | Statement::Dispatch { map, .. }
                    | Statement::Dnat { map, .. }
                    | Statement::Update { map, .. } => (Some(map), None),
                    Statement::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => (None, Some(chain)),
                    _ => (None, None),
                };
                assert!(set.is_none_or(|set| rules.sets.contains_key(set)), "{name}: {set:?}");
                assert!(target.is_none_or(|target| rules.chains.contains_key(target)), "{name}: {target:?}");
            }
        }
    }

    #[test]
    fn sizes_rise_by_at_most_half_and_end_at_the_maximum() {
        let sizes: Vec<u32> = sizes().collect();
        assert!(
            sizes.windows(2).all(|pair| pair[0] < pair[1] && 2 * pair[1] <= 3 * pair[0].max(2)),
            "{sizes:?}"
        );
        assert_eq!(sizes.last(), Some(&MAX_BACKENDS));
        assert_eq!(draw_size(33), 45);
        assert_eq!(draw_size(32), 32);
    }

    #[test]
    fn each_ipv4_rule_has_its_twin() {
        let rules = fixed_rules();
        assert!(rules.sets.contains_key("isolated_ingress6"));
        assert_eq!(rules.chains["ingress4"].rules.len(), rules.chains["ingress6"].rules.len());
        assert_eq!(rules.chains["pick"].rules.len(), 2);
    }
}
