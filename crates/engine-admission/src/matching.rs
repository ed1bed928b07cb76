//! Which writes a policy or a binding is about: `MatchResources`.

use engine_access::label_selector;
use serde_json::Value;
use types::{LabelSelector, Labels};

use crate::policy::text;
use crate::request::Request;

/// `admissionregistration.k8s.io/v1 MatchResources`.
#[derive(Clone, Debug)]
pub(crate) struct Resources {
    /// `None` where any write is meant, as in a binding without rules.
    rules: Option<Vec<Rule>>,
    excluded: Vec<Rule>,
    namespaces: LabelSelector,
    objects: LabelSelector,
    /// Whether other versions of the same resource are meant too.
    any_version: bool,
}

/// `NamedRuleWithOperations`.
#[derive(Clone, Debug)]
struct Rule {
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    operations: Vec<String>,
    names: Vec<String>,
    scope: String,
}

impl Resources {
    pub(crate) fn of(value: &Value) -> Self {
        let rules = |field: &str| value[field].as_array().map(|rules| rules.iter().map(Rule::of).collect());
        Self {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules").unwrap_or_default(),
            namespaces: label_selector(&value["namespaceSelector"]),
            objects: label_selector(&value["objectSelector"]),
            any_version: value["matchPolicy"] != "Exact",
        }
    }

    /// Whether resource and operation fit: what can be told before the objects are known.
    pub(crate) fn may_concern(&self, request: &Request<'_>) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.fits(request, self.any_version)))
            && !self.excluded.iter().any(|rule| rule.fits(request, self.any_version))
    }

    pub(crate) fn concern(&self, request: &Request<'_>) -> bool {
        self.may_concern(request) && self.selects_namespace(request) && self.selects_object(request)
    }

    /// A Namespace is chosen by its own labels, other cluster-scoped objects always.
    fn selects_namespace(&self, request: &Request<'_>) -> bool {
        let [group, _, resource] = request.resource;
        let chosen = if group.is_empty() && resource == "namespaces" {
            request.object.or(request.old)
        } else if request.namespace.is_empty() {
            return true;
        } else {
            request.home
        };
        self.namespaces.matches(&chosen.map(labels).unwrap_or_default())
    }

    fn selects_object(&self, request: &Request<'_>) -> bool {
        let objects = [request.object, request.old];
        self.objects.requirements.is_empty()
            || objects.into_iter().flatten().any(|object| self.objects.matches(&labels(object)))
    }
}

impl Rule {
    fn of(value: &Value) -> Self {
        let list = |field: &str| {
            let texts = value[field].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            operations: list("operations"),
            names: list("resourceNames"),
            scope: text(value, "scope"),
        }
    }

    fn fits(&self, request: &Request<'_>, any_version: bool) -> bool {
        let [group, version, resource] = request.resource;
        let scope = if request.namespace.is_empty() { "Cluster" } else { "Namespaced" };
        has(&self.groups, group)
            && (any_version || has(&self.versions, version))
            && self.resources.iter().any(|own| resource_fits(own, resource, request.subresource))
            && has(&self.operations, request.operation.as_str())
            // A name is made only with the object: until then it may be any.
            && (self.names.is_empty() || request.name.is_empty() || self.names.iter().any(|name| name == request.name))
            && (matches!(self.scope.as_str(), "" | "*") || self.scope == scope)
    }
}

/// `pods`, `pods/status`, `pods/*`, `*`, `*/status`, `*/*` (upstream: `rules.Matcher.resource`).
fn resource_fits(own: &str, resource: &str, subresource: &str) -> bool {
    let (own_resource, own_part) = own.split_once('/').unwrap_or((own, ""));
    (own_resource == "*" || own_resource == resource) && (own_part == "*" || own_part == subresource)
}

fn has(own: &[String], one: &str) -> bool {
    own.iter().any(|own| own == "*" || own == one)
}

fn labels(object: &Value) -> Labels {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
