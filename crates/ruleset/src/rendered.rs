//! A plan whose rules are in force, and what turns them into those of the next: only what differs is rendered.
//!
//! Elements of a frontend depend on its own rule and on nothing else, but for a few: what is said of an address counts all
//! its ports, what reaches itself counts all backends of this node, and affinity numbers all that is remembered. These
//! are what is remembered here. [`crate::render`] and [`crate::diff`] are the simple version that this always agrees with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{Frontend, FrontendRule, NodePlan, ServiceTable};

use crate::affinity::Pools;
use crate::connections::Rightful;
use crate::diff::{Transaction, diff};
use crate::fixed::declared_sets;
use crate::services::{Aim, aims_of, fill_address, fill_frontend, rule_at};
use crate::value::Ruleset;
use crate::{podnet, policy, render};

/// A plan whose rules are in force.
#[derive(Clone, Debug)]
pub struct Rendered {
    plan: NodePlan,
    rightful: Rightful,
    /// How many times each address of this node is a backend.
    selves: BTreeMap<IpAddr, usize>,
    /// Frontends with affinity.
    affine: BTreeSet<Frontend>,
}

/// What the next plan asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// What turns the rules of the plan before into those of the next.
    pub transaction: Transaction,
    /// Whether other connections are rightful than before.
    pub is_rightful_new: bool,
}

impl Rendered {
    /// A plan whose rules, as [`crate::render`] gives them, are in force.
    #[must_use]
    pub fn new(plan: &NodePlan) -> Self {
        let mut rendered = Self {
            plan: plan.clone(),
            rightful: Rightful::of(plan),
            selves: BTreeMap::new(),
            affine: BTreeSet::new(),
        };
        for (frontend, rule) in &plan.services.frontends {
            rendered.count(*frontend, rule);
        }
        rendered
    }

    /// All its rules.
    #[must_use]
    pub fn rules(&self) -> Ruleset {
        render(&self.plan)
    }

    /// The sets that say which clients may be remembered to use what, and no others' elements.
    #[must_use]
    pub fn pools(&self) -> Ruleset {
        let mut rules = declared_sets().clone();
        self.fill_affinity(&mut rules, &self.affine);
        rules
    }

    /// Which connections are rightful.
    #[must_use]
    pub fn rightful(&self) -> &Rightful {
        &self.rightful
    }

    /// What turns the rules into those of the next plan, whose rules count as in force from now on.
    pub fn follow(&mut self, plan: &NodePlan) -> Following {
        if !is_on_ground_of(&self.plan, plan) {
            let transaction = diff(&self.rules(), &render(plan));
            let before = std::mem::replace(self, Self::new(plan));
            return Following { transaction, is_rightful_new: before.rightful != self.rightful };
        }
        let before = self.plan.services.frontends.clone();
        let changes: Vec<_> = plan.services.frontends.changes_since(&before).collect();
        let mut touched = Touched::default();
        for change in &changes {
            touched.add(&self.plan, *change.key, change.old);
            touched.add(plan, *change.key, change.new);
        }
        touched.selves.extend(pods_that_differ(&self.plan, plan));
        let elsewhere = plan.services.served_elsewhere.changes_since(&self.plan.services.served_elsewhere);
        touched.addresses.extend(elsewhere.map(|change| *change.key));
        let is_affine = |plan: &NodePlan, aim: Aim| {
            rule_at(&plan.services, aim).is_some_and(|rule| rule.affinity_seconds.is_some())
        };
        let mut aims = touched.aims.iter();
        let affinity_differs = aims.any(|aim| is_affine(&self.plan, *aim) || is_affine(plan, *aim));
        let networks_differ = !self.plan.podnet.is_same(&plan.podnet);
        let policies_differ = !self.plan.policy.is_same(&plan.policy);
        let part = |rendered: &Self| {
            let mut rules = declared_sets().clone();
            if networks_differ {
                podnet::fill(&mut rules, &rendered.plan);
            }
            if policies_differ {
                policy::fill(&mut rules, &rendered.plan.policy);
            }
            if affinity_differs {
                rendered.fill_affinity(&mut rules, &rendered.affine);
            }
            rendered.fill_touched(&mut rules, &touched);
            rules
        };
        let old = part(self);
        for change in &changes {
            change.old.into_iter().for_each(|rule| self.count_no_more(*change.key, rule));
        }
        self.plan = plan.clone();
        for change in &changes {
            change.new.into_iter().for_each(|rule| self.count(*change.key, rule));
        }
        let transaction = diff(&old, &part(self));
        let aims = touched.aims.iter().map(|aim| (*aim, rule_at(&plan.services, *aim)));
        let is_rightful_new = self.rightful.follow(aims);
        Following { transaction, is_rightful_new }
    }

    fn fill_touched(&self, rules: &mut Ruleset, touched: &Touched) {
        for address in touched.aims.iter().map(|aim| &aim.address).chain(&touched.addresses) {
            fill_address(rules, &self.plan, *address);
        }
        for aim in &touched.aims {
            if let Some(rule) = rule_at(&self.plan.services, *aim) {
                fill_frontend(rules, &self.plan, *aim, rule);
            }
        }
        let is_pod = |address: &IpAddr| {
            self.plan.podnet.local_pods.contains_key(address) || self.plan.policy.pods.contains_key(address)
        };
        for address in &touched.selves {
            if self.selves.contains_key(address) || is_pod(address) {
                podnet::fill_self(rules, *address);
            }
        }
    }

    fn fill_affinity(&self, rules: &mut Ruleset, frontends: &BTreeSet<Frontend>) {
        let table = &self.plan.services;
        let aims = frontends.iter().flat_map(|frontend| aims_of(table, *frontend));
        Pools::fill(rules, aims.filter_map(|aim| Some((aim, rule_at(table, aim)?))));
    }

    fn count(&mut self, frontend: Frontend, rule: &FrontendRule) {
        for address in podnet::backends_here(&self.plan, rule) {
            *self.selves.entry(address).or_default() += 1;
        }
        if rule.affinity_seconds.is_some() {
            self.affine.insert(frontend);
        }
    }

    fn count_no_more(&mut self, frontend: Frontend, rule: &FrontendRule) {
        for address in podnet::backends_here(&self.plan, rule) {
            let count = self.selves.get_mut(&address).expect("what is counted no more was counted");
            *count -= 1;
            if *count == 0 {
                self.selves.remove(&address);
            }
        }
        self.affine.remove(&frontend);
    }
}

/// What the changes have to do with.
#[derive(Default)]
struct Touched {
    aims: BTreeSet<Aim>,
    /// Besides those of the aims.
    addresses: BTreeSet<IpAddr>,
    selves: BTreeSet<IpAddr>,
}

impl Touched {
    fn add(&mut self, plan: &NodePlan, frontend: Frontend, rule: Option<&FrontendRule>) {
        self.aims.extend(aims_of(&plan.services, frontend));
        self.selves.extend(rule.into_iter().flat_map(|rule| podnet::backends_here(plan, rule)));
    }
}

/// Whether what every frontend's elements depend on is the same in both.
fn is_on_ground_of(old: &NodePlan, new: &NodePlan) -> bool {
    let ServiceTable {
        frontends: _,
        served_elsewhere: _,
        node_addresses,
        pod_cidrs,
        service_cidrs,
        local_vips,
        health_checks: _,
    } = &old.services;
    *node_addresses == new.services.node_addresses
        && *pod_cidrs == new.services.pod_cidrs
        && *service_cidrs == new.services.service_cidrs
        && *local_vips == new.services.local_vips
        && old.podnet.pod_cidrs == new.podnet.pod_cidrs
}

/// Addresses of this node's Pods that only one of the plans has.
fn pods_that_differ(old: &NodePlan, new: &NodePlan) -> BTreeSet<IpAddr> {
    if old.podnet.is_same(&new.podnet) && old.policy.is_same(&new.policy) {
        return BTreeSet::new();
    }
    let here = |plan| podnet::pods_here(plan).collect::<BTreeSet<IpAddr>>();
    here(old).symmetric_difference(&here(new)).copied().collect()
}
