//! The kind CustomResourceDefinition itself.

use std::borrow::Cow;

use engine_kinds::object::{default_to, map_mut, text};
use engine_kinds::{Column, DeleteAnswer, Generation, NameRule, Row, Subresource};
use serde_json::{Value, json};

use crate::validate;

/// API group of definitions.
pub const GROUP: &str = "apiextensions.k8s.io";
/// Resource name of definitions.
pub const PLURAL: &str = "customresourcedefinitions";
/// What keeps a definition until the last of its objects is gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The row of the kind.
pub static DEFINITION: Row = Row {
    group: GROUP,
    version: "v1",
    kind: "CustomResourceDefinition",
    plural: PLURAL,
    singular: "customresourcedefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    namespaced: false,
    verbs: engine_kinds::VERBS,
    subresources: STATUS,
    generation: Generation::Spec,
    status_on_create: false,
    create_on_update: false,
    delete_answer: DeleteAnswer::Status,
    update_needs_version: true,
    names: NameRule::Subdomain,
    selectable: &[],
    columns: &[
        Column {
            name: "Name",
            kind: "string",
            format: "name",
            priority: 0,
            cell: |object, _| text(object, "/metadata/name").into(),
        },
        Column {
            name: "Created At",
            kind: "date",
            format: "",
            priority: 0,
            cell: |object, _| text(object, "/metadata/creationTimestamp").into(),
        },
    ],
    schema: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    defaults,
    validate: validate::definition,
    warning: None,
    view_of: None,
};

/// Verbs of `/status` and `/scale`.
pub(crate) const READ_WRITE: &[&str] = &["get", "patch", "update"];

const STATUS: &[Subresource] = &[Subresource { name: "status", speaks: None, verbs: READ_WRITE }];

/// Upstream: `SetDefaults_CustomResourceDefinitionSpec`.
fn defaults(definition: &mut Value) {
    let kind = text(definition, "/spec/names/kind").to_owned();
    let spec = map_mut(definition, "spec");
    default_to(spec, "conversion", json!({}));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut)
        && !kind.is_empty()
    {
        default_to(names, "singular", kind.to_lowercase());
        default_to(names, "listKind", format!("{kind}List"));
    }
    if let Some(conversion) = spec.get_mut("conversion").and_then(Value::as_object_mut) {
        default_to(conversion, "strategy", "None");
    }
}

/// A JSON path of fields as a JSON pointer; `None` for other paths.
pub(crate) fn pointer(path: &str) -> Option<String> {
    let path = engine_structural::JsonPath::parse(path).ok()?;
    let steps = path.fields()?.into_iter().map(|field| field.replace('~', "~0").replace('/', "~1"));
    Some(steps.map(|field| format!("/{field}")).collect())
}

pub(crate) fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}
