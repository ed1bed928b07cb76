//! What turns one ruleset into another: element by element where only elements moved, chain by chain otherwise.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::value::{Chain, Element, Hook, Key, Rule, Ruleset, Set};

/// Steps that turn the actual ruleset into the desired one, in an order in which they may be cut in several batches:
/// data first, then what points at it, then the removal of data nothing points at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In order.
    pub steps: Vec<Step>,
}

/// One step of a [`Transaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Removes our table and all in it.
    DropTable,
    /// Makes our table.
    AddTable,
    /// Declares a set or map, without elements.
    AddSet(String, Set),
    /// Makes a chain, without rules.
    AddChain(String, Option<Hook>),
    /// Removes elements.
    RemoveElements(String, Vec<(Key, Element)>),
    /// Adds elements.
    AddElements(String, Vec<(Key, Element)>),
    /// Replaces elements by others with the same keys: never cut apart.
    ReplaceElements(String, Vec<Replacement>),
    /// Removes all rules of a chain.
    FlushChain(String),
    /// Appends rules to a chain.
    AddRules(String, Vec<Rule>),
    /// Removes a chain without rules.
    RemoveChain(String),
    /// Removes a set that no rule uses.
    RemoveSet(String),
}

/// An element that keeps its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The key.
    pub key: Key,
    /// The element that is there.
    pub old: Element,
    /// The element that should be there.
    pub new: Element,
}

impl Transaction {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many objects are made, replaced or removed.
    #[must_use]
    pub fn len(&self) -> usize {
        let count = |step: &Step| match step {
            Step::RemoveElements(_, elements) | Step::AddElements(_, elements) => elements.len(),
            Step::ReplaceElements(_, elements) => elements.len(),
            Step::AddRules(_, rules) => rules.len(),
            _ => 1,
        };
        self.steps.iter().map(count).sum()
    }
}

/// Whether the elements of the set of this name lead packets to other sets; all others are read only after one of these.
#[must_use]
pub fn is_entry(set: &str) -> bool {
    let family_less = set.trim_end_matches(['4', '6']);
    matches!(
        family_less,
        "frontend" | "step" | "peers" | "blocks" | "isolated_ingress" | "isolated_egress" | "serviceranges"
    ) || matches!(set, "arriving" | "leaving" | "outcomes" | "balance" | "after" | "timeouts")
}

/// What turns `actual` into `desired`; empty when they are equal.
#[must_use]
pub fn diff(actual: &Ruleset, desired: &Ruleset) -> Transaction {
    let empty = Ruleset::absent(desired.family);
    if desired.is_absent() {
        let steps = if actual.is_absent() { Vec::new() } else { vec![Step::DropTable] };
        return Transaction { steps };
    }
    let mut steps = Vec::new();
    let actual = if is_compatible(actual, desired) {
        actual
    } else {
        steps.push(Step::DropTable);
        &empty
    };
    if actual.is_absent() {
        steps.push(Step::AddTable);
    }
    add_structure(&mut steps, actual, desired);
    let entries = |name: &str| is_entry(name);
    let data = |name: &str| !is_entry(name);
    let mut removals = Vec::new();
    change_elements(&mut steps, &mut removals, actual, desired, &data);
    change_rules(&mut steps, actual, desired);
    let mut entry_removals = Vec::new();
    change_elements(&mut steps, &mut entry_removals, actual, desired, &entries);
    steps.append(&mut entry_removals);
    steps.append(&mut removals);
    remove_structure(&mut steps, actual, desired);
    Transaction { steps }
}

/// Whether what both declare is declared alike, so that the table need not be made anew.
fn is_compatible(actual: &Ruleset, desired: &Ruleset) -> bool {
    let same_set = |(name, set): (&String, &Set)| {
        desired
            .sets
            .get(name)
            .is_none_or(|other| (&set.key, &set.data, set.kind) == (&other.key, &other.data, other.kind))
    };
    let same_chain = |(name, chain): (&String, &Chain)| {
        desired.chains.get(name).is_none_or(|other| chain.hook == other.hook)
    };
    actual.sets.iter().all(same_set) && actual.chains.iter().all(same_chain)
}

fn add_structure(steps: &mut Vec<Step>, actual: &Ruleset, desired: &Ruleset) {
    for (name, set) in desired.sets.iter().filter(|(name, _)| !actual.sets.contains_key(*name)) {
        steps.push(Step::AddSet(name.clone(), set.bare()));
    }
    for (name, chain) in desired.chains.iter().filter(|(name, _)| !actual.chains.contains_key(*name)) {
        steps.push(Step::AddChain(name.clone(), chain.hook));
    }
}

/// Additions and replacements into `steps`; removals, which come later, into `removals`.
///
/// Ranges that are added may overlap ranges that are removed, and the kernel refuses that. So where ranges are
/// removed, removal and addition stand next to each other.
fn change_elements(
    steps: &mut Vec<Step>,
    removals: &mut Vec<Step>,
    actual: &Ruleset,
    desired: &Ruleset,
    chosen: &dyn Fn(&str) -> bool,
) {
    let none = BTreeMap::new();
    for (name, set) in desired.sets.iter().filter(|(name, _)| chosen(name)) {
        let old = actual.sets.get(name).map_or(&none, |set| &set.elements);
        let Changes { removed, added, replaced } = changes(old, &set.elements);
        let ranges = set.kind == crate::value::SetKind::Interval;
        if ranges && !removed.is_empty() {
            steps.push(Step::RemoveElements(name.clone(), removed));
        } else if !removed.is_empty() {
            removals.push(Step::RemoveElements(name.clone(), removed));
        }
        if !replaced.is_empty() {
            steps.push(Step::ReplaceElements(name.clone(), replaced));
        }
        if !added.is_empty() {
            steps.push(Step::AddElements(name.clone(), added));
        }
    }
}

/// How the elements of one set differ.
#[derive(Default)]
struct Changes {
    removed: Vec<(Key, Element)>,
    added: Vec<(Key, Element)>,
    replaced: Vec<Replacement>,
}

/// One walk along both, in the order of keys.
fn changes(old: &BTreeMap<Key, Element>, new: &BTreeMap<Key, Element>) -> Changes {
    let mut changes = Changes::default();
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changes,
        };
        let old = if order.is_le() { olds.next() } else { None };
        let new = if order.is_ge() { news.next() } else { None };
        match (old, new) {
            (Some((key, old)), Some((_, new))) if old != new => {
                changes.replaced.push(Replacement { key: key.clone(), old: old.clone(), new: new.clone() });
            }
            (Some((key, element)), None) => changes.removed.push((key.clone(), element.clone())),
            (None, Some((key, element))) => changes.added.push((key.clone(), element.clone())),
            _ => {}
        }
    }
}

fn change_rules(steps: &mut Vec<Step>, actual: &Ruleset, desired: &Ruleset) {
    let none = Vec::new();
    for (name, chain) in &desired.chains {
        let old = actual.chains.get(name).map_or(&none, |chain| &chain.rules);
        if *old == chain.rules {
            continue;
        }
        if !old.is_empty() {
            steps.push(Step::FlushChain(name.clone()));
        }
        if !chain.rules.is_empty() {
            steps.push(Step::AddRules(name.clone(), chain.rules.clone()));
        }
    }
}

fn remove_structure(steps: &mut Vec<Step>, actual: &Ruleset, desired: &Ruleset) {
    let gone = || actual.chains.iter().filter(|(name, _)| !desired.chains.contains_key(*name));
    let gone_sets: Vec<_> =
        actual.sets.iter().filter(|(name, _)| !desired.sets.contains_key(*name)).collect();
    for (name, _) in gone().filter(|(_, chain)| !chain.rules.is_empty()) {
        steps.push(Step::FlushChain(name.clone()));
    }
    for (name, set) in &gone_sets {
        if !set.elements.is_empty() {
            let elements = set.elements.iter().map(|(key, element)| (key.clone(), element.clone()));
            steps.push(Step::RemoveElements((*name).clone(), elements.collect()));
        }
    }
    steps.extend(gone().map(|(name, _)| Step::RemoveChain(name.clone())));
    steps.extend(gone_sets.into_iter().map(|(name, _)| Step::RemoveSet(name.clone())));
}

/// The ruleset after the transaction: what the kernel does with it.
#[must_use]
pub fn apply(transaction: &Transaction, to: &Ruleset) -> Ruleset {
    let mut rules = to.clone();
    apply_in_place(transaction, &mut rules);
    rules
}

/// Makes the transaction's changes, at the cost of what changes.
pub fn apply_in_place(transaction: &Transaction, rules: &mut Ruleset) {
    for step in &transaction.steps {
        apply_step(step, rules);
    }
}

fn apply_step(step: &Step, rules: &mut Ruleset) {
    let set_of = |rules: &'_ mut Ruleset, name: &str, change: &mut dyn FnMut(&mut Set)| {
        rules.sets.get_mut(name).into_iter().for_each(change);
    };
    match step {
        Step::DropTable => *rules = Ruleset::absent(rules.family),
        Step::AddTable => {}
        Step::AddSet(name, set) => {
            rules.sets.entry(name.clone()).or_insert_with(|| set.clone());
        }
        Step::AddChain(name, hook) => {
            rules.chains.entry(name.clone()).or_insert(Chain { hook: *hook, rules: Vec::new() });
        }
        Step::RemoveElements(name, elements) => set_of(rules, name, &mut |set| {
            for (key, _) in elements {
                set.elements.remove(key);
            }
        }),
        Step::AddElements(name, elements) => {
            set_of(rules, name, &mut |set| set.elements.extend(elements.iter().cloned()));
        }
        Step::ReplaceElements(name, elements) => set_of(rules, name, &mut |set| {
            set.elements.extend(elements.iter().map(|element| (element.key.clone(), element.new.clone())));
        }),
        Step::FlushChain(name) => {
            rules.chains.get_mut(name).into_iter().for_each(|chain| chain.rules.clear());
        }
        Step::AddRules(name, added) => {
            let chain = rules.chains.get_mut(name);
            chain.into_iter().for_each(|chain| chain.rules.extend(added.iter().cloned()));
        }
        Step::RemoveChain(name) => {
            rules.chains.remove(name);
        }
        Step::RemoveSet(name) => {
            rules.sets.remove(name);
        }
    }
}
