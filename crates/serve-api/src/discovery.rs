//! What the server has: groups, versions, resources, in the old form and the aggregated one.

use std::sync::Arc;

use engine_store::{Kind, Spoken, Subresource};
use serde_json::{Map, Value, json};

use crate::review::REVIEWS;

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

/// `/apis`.
pub(crate) fn groups(kinds: &[Arc<Kind>]) -> Value {
    let groups: Vec<Value> = group_names(kinds)
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| group_body(kinds, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/G`.
pub(crate) fn group(kinds: &[Arc<Kind>], name: &str) -> Option<Value> {
    if versions(kinds, name).is_empty() {
        return None;
    }
    let mut group = group_body(kinds, name);
    group["kind"] = Value::from("APIGroup");
    group["apiVersion"] = Value::from("v1");
    Some(group)
}

/// `/api/v1`, `/apis/G/V`.
pub(crate) fn resources(kinds: &[Arc<Kind>], group: &str, version: &str) -> Option<Value> {
    if !versions(kinds, group).contains(&version) {
        return None;
    }
    let mut resources = Vec::new();
    for kind in of_version(kinds, group, version) {
        resources.push(resource(kind));
        resources.extend(kind.subresources.iter().map(|part| subresource(kind, part)));
    }
    for review in REVIEWS.iter().filter(|review| review.group == group && review.version == version) {
        resources.push(json!({
            "name": review.plural, "singularName": review.singular(), "namespaced": review.namespaced,
            "kind": review.kind, "verbs": ["create"],
        }));
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group, version),
        "resources": resources,
    }))
}

/// `/api` or `/apis` in the aggregated form (KEP-3352).
pub(crate) fn aggregated(kinds: &[Arc<Kind>], part: Part) -> Value {
    let items: Vec<Value> = group_names(kinds)
        .into_iter()
        .filter(|name| name.is_empty() == (part == Part::Core))
        .map(|name| {
            let versions: Vec<Value> = versions(kinds, name)
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> = of_version(kinds, name, version)
                        .map(aggregated_resource)
                        .chain(aggregated_reviews(name, version))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

/// Which groups an aggregated document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The core group, at `/api`.
    Core,
    /// All others, at `/apis`.
    Named,
}

/// Groups in the order of the kinds, reviews last.
fn group_names(kinds: &[Arc<Kind>]) -> Vec<&str> {
    let all = kinds.iter().map(|kind| &*kind.group).chain(REVIEWS.iter().map(|review| review.group));
    unique(all)
}

fn versions<'a>(kinds: &'a [Arc<Kind>], group: &str) -> Vec<&'a str> {
    let stored = kinds.iter().filter(|kind| kind.group == group).map(|kind| &*kind.version);
    let reviews = REVIEWS.iter().filter(|review| review.group == group).map(|review| review.version);
    let mut versions = unique(stored.chain(reviews));
    versions.sort_by_key(|version| std::cmp::Reverse(preference(version)));
    versions
}

/// Sort key of a version: stable before beta before alpha, then the larger number
/// (Kubernetes documentation, "Version priority").
fn preference(version: &str) -> (u8, u32, u32) {
    let numbers = |text: &str| text.parse().unwrap_or(0);
    let rest = version.trim_start_matches('v');
    for (level, word) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (level, numbers(major), numbers(minor));
        }
    }
    (3, numbers(rest), 0)
}

fn unique<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

fn of_version<'a>(
    kinds: &'a [Arc<Kind>],
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Kind> {
    kinds.iter().map(|kind| &**kind).filter(move |kind| kind.group == group && kind.version == version)
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group_body(kinds: &[Arc<Kind>], name: &str) -> Value {
    let versions: Vec<Value> = versions(kinds, name)
        .into_iter()
        .map(|version| json!({"groupVersion": group_version(name, version), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn resource(kind: &Kind) -> Value {
    let mut entry = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs(),
    });
    add_names(&mut entry, kind);
    entry
}

fn add_names(entry: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
}

fn subresource(kind: &Kind, part: &Subresource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), json!(format!("{}/{}", kind.plural, part.name)));
    entry.insert("singularName".to_owned(), json!(""));
    entry.insert("namespaced".to_owned(), json!(kind.namespaced));
    if let Some(Spoken { group, version, .. }) = &part.speaks {
        entry.insert("group".to_owned(), json!(group));
        entry.insert("version".to_owned(), json!(version));
    }
    entry.insert("kind".to_owned(), json!(part.speaks.as_ref().map_or(&*kind.kind, |spoken| spoken.kind)));
    entry.insert("verbs".to_owned(), json!(part.verbs));
    Value::Object(entry)
}

fn aggregated_resource(kind: &Kind) -> Value {
    let mut entry = json!({
        "resource": kind.plural,
        "responseKind": response_kind(&kind.group, &kind.version, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs(),
    });
    add_names(&mut entry, kind);
    if !kind.subresources.is_empty() {
        let parts = kind.subresources.iter().map(|part| {
            let spoken = match &part.speaks {
                Some(spoken) => response_kind(spoken.group, spoken.version, spoken.kind),
                None => response_kind(&kind.group, &kind.version, &kind.kind),
            };
            json!({"subresource": part.name, "responseKind": spoken, "verbs": part.verbs})
        });
        entry["subresources"] = parts.collect();
    }
    entry
}

fn aggregated_reviews<'a>(group: &'a str, version: &'a str) -> impl Iterator<Item = Value> + 'a {
    REVIEWS.iter().filter(move |review| review.group == group && review.version == version).map(|review| {
        json!({
            "resource": review.plural,
            "responseKind": response_kind(review.group, review.version, review.kind),
            "scope": if review.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": review.singular(),
            "verbs": ["create"],
        })
    })
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_preference() {
        let mut versions = ["v1alpha1", "v1beta2", "v1", "v2", "v1beta10"];
        versions.sort_by_key(|version| std::cmp::Reverse(preference(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta10", "v1beta2", "v1alpha1"]);
    }

    #[test]
    fn reviews_are_announced() {
        let list = resources(&[], "authorization.k8s.io", "v1").unwrap();
        assert_eq!(list["resources"][0]["verbs"], json!(["create"]));
        assert!(resources(&[], "none.example", "v1").is_none());
        assert_eq!(aggregated(&[], Part::Core)["items"], json!([]));
    }
}
