//! The table of kinds: one row per kind, grouped by API group, and the words rows are made of.

mod access;
mod apps;
mod core;
mod network;
mod selectable;
mod stored;

use crate::columns;
use crate::kind::{Kind, VERBS};
use crate::row::{DeleteAnswer, Generation, NameRule, Row, Spoken, Subresource};

/// All rows, in the order discovery lists groups.
const GROUPS: &[&[&Row]] = &[core::KINDS, apps::KINDS, network::KINDS, access::KINDS, stored::KINDS];

/// Every built-in kind, in the order discovery lists groups.
pub fn built_in() -> impl Iterator<Item = Kind> {
    GROUPS.iter().flat_map(|group| group.iter().copied()).map(Kind::from)
}

/// What a row has unless it says otherwise.
const BASE: Row = Row {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    verbs: VERBS,
    subresources: &[],
    generation: Generation::None,
    status_on_create: false,
    create_on_update: false,
    delete_answer: DeleteAnswer::Status,
    update_needs_version: false,
    names: NameRule::Subdomain,
    selectable: &[],
    columns: columns::PLAIN,
    schema: "",
    defaults: |_| {},
    validate: |_, _, _| {},
    warning: None,
    view_of: None,
};

const READ_WRITE: &[&str] = &["get", "patch", "update"];
const STATUS: Subresource = Subresource { name: "status", speaks: None, verbs: READ_WRITE };
const SCALE: Subresource = Subresource {
    name: "scale",
    speaks: Some(Spoken { group: "autoscaling", version: "v1", kind: "Scale" }),
    verbs: READ_WRITE,
};

/// A subresource that speaks another kind.
const fn spoken(
    name: &'static str,
    group: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, speaks: Some(Spoken { group, version: "v1", kind }), verbs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_schema::{Type, type_of};

    #[test]
    fn every_kind_has_a_schema() {
        for row in GROUPS.iter().flat_map(|group| group.iter()) {
            let Type::Struct { id, .. } = type_of(row.schema) else { panic!("{} is no struct", row.schema) };
            assert!(id.get().fields.contains_key("metadata"), "{}", row.schema);
        }
    }
}
