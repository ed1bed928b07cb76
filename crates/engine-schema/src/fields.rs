//! Sets of field paths, as managed fields record them (`FieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::tree::{ListKey, ListRule, Type};

/// A set of paths, as a tree. Steps are written as in `FieldsV1`: `f:NAME`, `k:{KEYS}`, `v:VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the path that leads here is in the set.
    pub member: bool,
    /// What is below, by step.
    pub children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Reads the JSON form; unknown shapes are empty.
    pub fn parse(fields: &Value) -> Self {
        let mut set = Self::default();
        let Some(map) = fields.as_object() else { return set };
        for (step, below) in map {
            if step == "." {
                set.member = true;
                continue;
            }
            let mut child = Self::parse(below);
            child.member |= child.children.is_empty();
            set.children.insert(step.clone(), child);
        }
        set
    }

    /// The JSON form.
    pub fn into_value(self) -> Value {
        let own = (self.member && !self.children.is_empty()).then(|| (".".to_owned(), json!({})));
        let below = self.children.into_iter().map(|(step, child)| (step, child.into_value()));
        Value::Object(own.into_iter().chain(below).collect())
    }

    /// Whether the JSON form of a set holds a member of this one.
    pub fn is_touched_by(&self, fields: &Value) -> bool {
        self.children.iter().any(|(step, child)| {
            fields
                .get(step)
                .is_some_and(|below| (child.member && is_member(below)) || child.is_touched_by(below))
        })
    }

    /// Whether the JSON form of a set holds all members of this one.
    pub fn is_within(&self, fields: &Value) -> bool {
        self.children.iter().all(|(step, child)| {
            fields
                .get(step)
                .is_some_and(|below| (!child.member || is_member(below)) && child.is_within(below))
        })
    }

    /// The fields of an applied object (upstream: structured-merge-diff `TypedValue.ToFieldSet`). Structs and lists do
    /// not count themselves, empty maps do.
    pub fn of(object: &Value, ty: &Type) -> Self {
        let mut set = Self::default();
        collect(object, ty, &mut set);
        set
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// Takes the members of `other` in.
    pub fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, child) in &other.children {
            self.children.entry(step.clone()).or_default().union(child);
        }
    }

    /// The members both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .filter_map(|(step, child)| Some((step.clone(), child.intersection(other.children.get(step)?))))
            .filter(|(_, child)| !child.is_empty())
            .collect();
        Self { member: self.member && other.member, children }
    }

    /// Takes the members of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (step, child) in &other.children {
            if let Some(own) = self.children.get_mut(step) {
                own.subtract(child);
            }
        }
        self.children.retain(|_, child| !child.is_empty());
    }

    /// Takes out everything at and below a path.
    pub fn remove(&mut self, path: &[&str]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut set = self;
        for step in parents {
            let Some(child) = set.children.get_mut(*step) else { return };
            set = child;
        }
        set.children.remove(*last);
    }

    /// The members as texts, such as `.spec.ports[port=80].name`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.add_paths("", &mut paths);
        paths
    }

    /// Members first, then what is below, as upstream iterates.
    fn add_paths(&self, path: &str, paths: &mut Vec<String>) {
        let members = self.children.iter().filter(|(_, child)| child.member);
        paths.extend(members.map(|(step, _)| format!("{path}{}", step_text(step))));
        for (step, child) in &self.children {
            child.add_paths(&format!("{path}{}", step_text(step)), paths);
        }
    }
}

/// Whether the path that leads to this part of the JSON form is in the set.
fn is_member(below: &Value) -> bool {
    below.as_object().is_none_or(|map| map.is_empty() || map.contains_key("."))
}

/// `f:a` → `.a`, `k:{"a":1}` → `[a=1]`, `v:"x"` → `[="x"]`.
fn step_text(step: &str) -> String {
    match step.split_once(':').unwrap_or(("", step)) {
        ("f", name) => format!(".{name}"),
        ("k", keys) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        ("v", value) => format!("[={value}]"),
        (_, other) => format!("[{other}]"),
    }
}

/// The step to an item of a list found by keys.
pub(crate) fn item_step(item: &Value, keys: &[ListKey]) -> String {
    let mut map = Map::new();
    for key in keys {
        let value = item.get(&key.name).filter(|value| !value.is_null()).or(key.default.as_ref());
        map.extend(value.map(|value| (key.name.clone(), value.clone())));
    }
    format!("k:{}", Value::Object(map))
}

/// The step to an item of a set.
pub(crate) fn value_step(item: &Value) -> String {
    format!("v:{item}")
}

fn collect(value: &Value, ty: &Type, set: &mut FieldSet) {
    let Some(items) = items_of(value, ty) else {
        set.member = true;
        return;
    };
    for (step, (value, item_type)) in items {
        let mut child = FieldSet::default();
        collect(value, item_type, &mut child);
        let is_empty_map = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        child.member |= is_empty_map || !is_named_field(ty, &step);
        if !child.is_empty() {
            set.children.insert(step, child);
        }
    }
}

/// Whether a step leads to a field that a struct declares.
pub(crate) fn is_named_field(ty: &Type, step: &str) -> bool {
    match (ty, step.strip_prefix("f:")) {
        (Type::Struct { id, .. }, Some(name)) => id.get().fields.contains_key(name),
        _ => false,
    }
}

/// The parts of a granular container by step, with their types; `None` for everything owned as a whole.
pub(crate) fn items_of<'a>(
    value: &'a Value,
    ty: &'a Type,
) -> Option<BTreeMap<String, (&'a Value, &'a Type)>> {
    match (ty, value) {
        (Type::Struct { id, atomic: false }, Value::Object(map)) => Some(
            map.iter()
                .map(|(key, value)| {
                    let ty = id.get().fields.get(key).map_or(&Type::Any, |field| &field.ty);
                    (format!("f:{key}"), (value, ty))
                })
                .collect(),
        ),
        (Type::Map { item, atomic: false }, Value::Object(map)) => {
            Some(map.iter().map(|(key, value)| (format!("f:{key}"), (value, &**item))).collect())
        }
        (Type::List { item, rule: ListRule::Map(keys) }, Value::Array(items)) => {
            Some(items.iter().map(|value| (item_step(value, keys), (value, &**item))).collect())
        }
        (Type::List { item, rule: ListRule::Set }, Value::Array(items)) => {
            Some(items.iter().map(|value| (value_step(value), (value, &**item))).collect())
        }
        // What pruning emptied.
        (Type::Struct { atomic: false, .. } | Type::Map { atomic: false, .. }, Value::Null)
        | (Type::List { rule: ListRule::Map(_) | ListRule::Set, .. }, Value::Null) => Some(BTreeMap::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::type_of;

    #[test]
    fn fields_of_a_service() {
        let ty = type_of("io.k8s.api.core.v1.Service");
        let service = json!({
            "metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "name": "http"}]},
        });
        let set = FieldSet::of(&service, &ty);
        let fields = set.clone().into_value();
        assert_eq!(fields["f:spec"]["f:selector"], json!({}));
        let port = &fields["f:spec"]["f:ports"]["k:{\"port\":80,\"protocol\":\"TCP\"}"];
        assert_eq!(*port, json!({".": {}, "f:name": {}, "f:port": {}}));
        assert_eq!(fields["f:metadata"]["f:labels"], json!({"f:a": {}}));
        assert_eq!(fields["f:metadata"]["f:finalizers"], json!({"v:\"x/y\"": {}}));
        assert_eq!(FieldSet::parse(&fields), set);
        assert!(set.paths().contains(&".spec.ports[port=80,protocol=\"TCP\"].name".to_owned()));
    }
}
