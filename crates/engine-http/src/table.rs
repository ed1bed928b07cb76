//! A plan's routes, indexed and with regular expressions compiled.

use std::collections::{BTreeMap, BTreeSet};

use plan::{Backend, Finding, GatewayPlan, HostMatch, HttpAction, HttpRoute, PathMatch, Severity};
use regex::bytes::{Regex, RegexBuilder};
use types::Prefix;

use crate::HostTable;
use crate::path::{prefix_key, prefix_keys};

/// The largest compiled regular expression, so that no Ingress takes the memory of all.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// A plan's routes, ready to decide.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    pub(crate) hosts: HostTable<HostRoutes>,
    pub(crate) default_backend: Option<Target>,
    trusted_proxies: BTreeSet<Prefix>,
}

/// The routes of one host pattern.
#[derive(Clone, Debug)]
pub(crate) struct HostRoutes {
    pub(crate) host: HostMatch,
    pub(crate) is_https_only: bool,
    exact: BTreeMap<Vec<u8>, usize>,
    /// By falling length of the pattern.
    regexes: Vec<(Regex, usize)>,
    prefixes: BTreeMap<Vec<u8>, usize>,
    pub(crate) targets: Vec<Target>,
}

/// A route with its backends where they can be picked by number.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) route: HttpRoute,
    pub(crate) backends: Vec<Backend>,
}

/// A route that matches a path, and what its regular expression caught.
pub(crate) struct Match<'t, 'p> {
    pub(crate) target: &'t Target,
    pub(crate) groups: Vec<Option<&'p [u8]>>,
}

impl RouteTable {
    /// Compiles a plan. A route whose regular expression is invalid is left out, and a finding says so.
    #[must_use]
    pub fn build(plan: &GatewayPlan) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut hosts = HostTable::default();
        for host in &plan.hosts {
            let routes = hosts.entry(&host.host, || HostRoutes::new(&host.host));
            routes.is_https_only |= host.https_redirect;
            for route in &host.routes {
                findings.extend(routes.add(route));
            }
        }
        for routes in hosts.values_mut() {
            // As ingress-nginx writes its locations; the sort is stable, so equals stay in the plan's order.
            routes.regexes.sort_by_key(|(regex, _)| std::cmp::Reverse(regex.as_str().len()));
        }
        let default_backend = plan.default_backend.clone().map(Target::new);
        (Self { hosts, default_backend, trusted_proxies: plan.trusted_proxies.clone() }, findings)
    }

    /// Proxies in front whose word about the client is believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> &BTreeSet<Prefix> {
        &self.trusted_proxies
    }
}

impl Target {
    fn new(route: HttpRoute) -> Self {
        let HttpAction::Forward { backends, .. } = &route.action;
        Self { backends: backends.iter().cloned().collect(), route }
    }
}

impl HostRoutes {
    fn new(host: &HostMatch) -> Self {
        Self {
            host: host.clone(),
            is_https_only: false,
            exact: BTreeMap::new(),
            regexes: Vec::new(),
            prefixes: BTreeMap::new(),
            targets: Vec::new(),
        }
    }

    /// Adds a route, or says why not; of several with the same pattern the first stays.
    fn add(&mut self, route: &HttpRoute) -> Option<Finding> {
        let index = self.targets.len();
        match &route.path {
            PathMatch::Exact(path) => {
                self.exact.entry(path.clone().into_bytes()).or_insert(index);
            }
            PathMatch::Prefix(path) => {
                self.prefixes.entry(prefix_key(path).to_vec()).or_insert(index);
            }
            PathMatch::Regex(pattern) => {
                let mut builder = RegexBuilder::new(&format!("^{pattern}"));
                match builder.case_insensitive(true).size_limit(REGEX_SIZE_LIMIT).build() {
                    Ok(regex) => self.regexes.push((regex, index)),
                    Err(error) => return Some(invalid_regex(route, pattern, &error)),
                }
            }
        }
        self.targets.push(Target::new(route.clone()));
        None
    }

    /// The route for a normalized path: exact, then regular expressions by length, then the longest prefix. An exact
    /// path is as long as the request, so nothing longer can match (semantics IG2).
    pub(crate) fn find<'t, 'p>(&'t self, path: &'p [u8]) -> Option<Match<'t, 'p>> {
        let plain = |index: &usize| Match { target: &self.targets[*index], groups: Vec::new() };
        if let Some(index) = self.exact.get(path) {
            return Some(plain(index));
        }
        for (regex, index) in &self.regexes {
            if let Some(captures) = regex.captures(path) {
                let groups = captures.iter().map(|group| group.map(|group| group.as_bytes())).collect();
                return Some(Match { target: &self.targets[*index], groups });
            }
        }
        prefix_keys(path).find_map(|key| self.prefixes.get(key)).map(plain)
    }
}

fn invalid_regex(route: &HttpRoute, pattern: &str, error: &regex::Error) -> Finding {
    let why = error.to_string();
    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Finding {
        severity: Severity::Error,
        object: route.origin.clone(),
        field: format!("{}.path", route.field),
        reason: "InvalidRegex",
        message: format!("`{pattern}` is not a regular expression ({why}); the path is not served"),
    }
}
