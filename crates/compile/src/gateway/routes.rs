//! Routes by host: merging Ingresses, oldest first, and turning a host's paths into regular expressions where
//! ingress-nginx does.

use std::collections::{BTreeMap, BTreeSet};

use model::{Ingress, IngressBackend, PathType, Snapshot};
use plan::{HostMatch, HttpAction, HttpRoute, PathMatch, VirtualHost};
use types::{NamespacedName, ObjectRef};

use super::annotations::{self, Annotations};
use super::backends::{BackendRef, Backends};
use super::class::{ClassVerdict, class_of};
use super::tls;
use crate::endpoints::SlicesByService;
use crate::findings::{Findings, error, warning};

/// Longest program a path's regular expression may compile to, in bytes.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// All routes, not yet in their final form.
pub(super) struct Routes<'a> {
    /// The Ingresses we serve, oldest first.
    pub(super) served: Vec<&'a Ingress>,
    /// What takes requests that no route matches.
    pub(super) default_backend: Option<HttpRoute>,
    hosts: BTreeMap<HostMatch, Host>,
    /// Default backends by host, oldest first: any explicit path comes before them.
    fallbacks: Vec<(HostMatch, HttpRoute)>,
}

#[derive(Default)]
struct Host {
    https_redirect: bool,
    uses_regex: bool,
    paths: Vec<Path>,
}

/// One path of one Ingress, before it is known whether its host uses regular expressions.
struct Path {
    text: String,
    path_type: PathType,
    route: HttpRoute,
}

/// The pattern of a rule's host.
pub(super) fn host_match(host: Option<&str>) -> HostMatch {
    match host {
        None => HostMatch::Any,
        Some(host) => match host.strip_prefix("*.") {
            Some(suffix) => HostMatch::Wildcard(suffix.to_owned()),
            None => HostMatch::Exact(host.to_owned()),
        },
    }
}

impl<'a> Routes<'a> {
    /// Collects what every Ingress of ours asks for; older ones win, then lower names (semantics IG2).
    pub(super) fn new(
        snapshot: &'a Snapshot,
        slices: SlicesByService<'a>,
        controllers: &BTreeSet<String>,
        findings: &mut Findings,
    ) -> Self {
        let mut ingresses: Vec<&Ingress> = snapshot.ingresses.values().collect();
        ingresses.sort_by_key(|ingress| (ingress.created, &ingress.name));
        let mut routes =
            Self { served: Vec::new(), default_backend: None, hosts: BTreeMap::new(), fallbacks: Vec::new() };
        let backends = Backends { snapshot, slices };
        for ingress in ingresses {
            match class_of(ingress, snapshot, controllers) {
                ClassVerdict::Ours => routes.add(ingress, &backends, findings),
                ClassVerdict::Others => {}
                ClassVerdict::Nobodys(why) => {
                    let message = format!("nobody serves the Ingress: {why}");
                    let finding =
                        warning(object(&ingress.name), "spec.ingressClassName", "NoIngressClass", message);
                    findings.insert(finding);
                }
            }
        }
        routes.add_fallbacks();
        routes
    }

    fn add_fallbacks(&mut self) {
        for (host, route) in std::mem::take(&mut self.fallbacks) {
            let host = self.hosts.entry(host).or_default();
            let is_root = |path: &Path| path.text == "/" && !is_exact(path.path_type);
            if !host.paths.iter().any(is_root) {
                host.paths.push(Path { text: "/".to_owned(), path_type: PathType::Prefix, route });
            }
        }
    }

    fn add(&mut self, ingress: &'a Ingress, backends: &Backends<'_>, findings: &mut Findings) {
        let annotations = annotations::read(ingress, findings);
        if annotations.canary {
            return;
        }
        self.served.push(ingress);
        for (index, rule) in ingress.rules.iter().enumerate() {
            let host = self.hosts.entry(host_match(rule.host.as_deref())).or_default();
            host.https_redirect |= annotations.force_ssl_redirect
                || (annotations.ssl_redirect && tls::covers(ingress, rule.host.as_deref()));
            for (at, path) in rule.paths.iter().enumerate() {
                let field = format!("spec.rules[{index}].http.paths[{at}]");
                let route = route(ingress, field, &path.backend, (backends, &annotations), findings);
                let path = Path { text: path.path.clone(), path_type: path.path_type, route };
                host.add(path, &annotations, findings);
            }
        }
        if let Some(backend) = &ingress.default_backend {
            self.add_default(ingress, backend, (backends, &annotations), findings);
        }
    }

    /// A default backend takes what the Ingress's own hosts leave over, and the oldest one what all hosts leave over.
    fn add_default(
        &mut self,
        ingress: &'a Ingress,
        backend: &IngressBackend,
        context: (&Backends<'_>, &Annotations),
        findings: &mut Findings,
    ) {
        let route = route(ingress, "spec.defaultBackend".to_owned(), backend, context, findings);
        let hosts = ingress.rules.iter().map(|rule| host_match(rule.host.as_deref()));
        self.fallbacks.extend(hosts.map(|host| (host, route.clone())));
        match &self.default_backend {
            None => self.default_backend = Some(route),
            Some(older) => {
                let message = format!("requests for unknown hosts already go to that of {}", older.origin);
                let finding =
                    warning(object(&ingress.name), "spec.defaultBackend", "DefaultBackendConflict", message);
                findings.insert(finding);
            }
        }
    }

    /// The hosts in their final form; paths that are no regular expression where one is needed are left out.
    pub(super) fn into_hosts(self, findings: &mut Findings) -> Vec<VirtualHost> {
        let finish = |(host_match, host): (HostMatch, Host)| VirtualHost {
            host: host_match,
            https_redirect: host.https_redirect,
            routes: host.into_routes(findings),
        };
        self.hosts.into_iter().map(finish).collect()
    }
}

fn object(name: &NamespacedName) -> ObjectRef {
    ObjectRef::namespaced("Ingress", name)
}

fn route(
    ingress: &Ingress,
    field: String,
    backend: &IngressBackend,
    (backends, annotations): (&Backends<'_>, &Annotations),
    findings: &mut Findings,
) -> HttpRoute {
    let at = match field.as_str() {
        "spec.defaultBackend" => field.clone(),
        path => format!("{path}.backend"),
    };
    let reference = BackendRef { ingress: &ingress.name, field: at, backend };
    let mut action = backends.action(&reference, findings);
    if let Some(why) = &annotations.closed {
        let HttpAction::Forward { backends, unavailable, .. } = &mut action;
        backends.clear();
        *unavailable = Some(why.clone());
    }
    HttpRoute { origin: object(&ingress.name), field, path: PathMatch::Prefix("/".to_owned()), action }
}

impl Host {
    /// Adds a path unless an older Ingress has it, and notes what it does to its host.
    ///
    /// As in ingress-nginx (`enforceRegexModifier`), one path with `use-regex`, or with a `rewrite-target` other than
    /// the path itself, makes every path of the host a regular expression.
    fn add(&mut self, mut path: Path, annotations: &Annotations, findings: &mut Findings) {
        let same =
            |older: &&Path| older.text == path.text && is_exact(older.path_type) == is_exact(path.path_type);
        if let Some(older) = self.paths.iter().find(same) {
            let message =
                format!("path {} of this host already belongs to {}", path.text, older.route.origin);
            findings.insert(warning(path.route.origin, path.route.field, "PathConflict", message));
            return;
        }
        let rewrite = annotations.rewrite_target.as_ref().filter(|target| **target != path.text);
        self.uses_regex |= annotations.use_regex || rewrite.is_some();
        let HttpAction::Forward { rewrite_target, .. } = &mut path.route.action;
        *rewrite_target = rewrite.cloned();
        self.paths.push(path);
    }

    fn into_routes(self, findings: &mut Findings) -> Vec<HttpRoute> {
        let uses_regex = self.uses_regex;
        self.paths
            .into_iter()
            .filter_map(|Path { text, path_type, mut route }| {
                if uses_regex && let Err(why) = check_regex(&text) {
                    let message = format!("`{text}` is no regular expression we can serve: {why}");
                    let field = format!("{}.path", route.field);
                    findings.insert(error(route.origin, field, "InvalidRegex", message));
                    return None;
                }
                route.path = match (uses_regex, path_type) {
                    (true, _) => PathMatch::Regex(text),
                    (false, PathType::Exact) => PathMatch::Exact(text),
                    (false, PathType::Prefix | PathType::ImplementationSpecific) => PathMatch::Prefix(text),
                };
                Some(route)
            })
            .collect()
    }
}

fn is_exact(path_type: PathType) -> bool {
    path_type == PathType::Exact
}

/// Whether a path is a regular expression; the reason in one line.
fn check_regex(path: &str) -> Result<(), String> {
    let mut builder = regex::RegexBuilder::new(&format!("^{path}"));
    match builder.case_insensitive(true).size_limit(REGEX_SIZE_LIMIT).build() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string().lines().last().unwrap_or_default().trim().to_owned()),
    }
}
