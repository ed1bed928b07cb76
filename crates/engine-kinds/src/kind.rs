//! What a kind is while the API runs: its names and rules, and the form of its objects, built in or custom.

use std::borrow::Cow;
use std::sync::Arc;

use engine_schema::decode::decode;
use engine_schema::{Type, type_of};
use jiff::Timestamp;
use serde_json::Value;

use crate::columns;
use crate::object::{name, namespace};
use crate::row::{Column, DeleteAnswer, Generation, NameRule, Row, Selectable, Subresource, Text, View};
use crate::status::Details;
use crate::validate::Findings;

/// One kind of object the API serves.
#[derive(Clone)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Text,
    /// API version.
    pub version: Text,
    /// Kind name, such as `Pod`.
    pub kind: Text,
    /// Resource name, such as `pods`.
    pub plural: Text,
    /// Singular resource name.
    pub singular: Text,
    /// Short names, such as `po`.
    pub short_names: Vec<Text>,
    /// Categories, such as `all`.
    pub categories: Vec<Text>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Subresources served.
    pub subresources: Cow<'static, [Subresource]>,
    /// When `metadata.generation` grows.
    pub generation: Generation,
    /// Whether a create may bring `status` along.
    pub status_on_create: bool,
    /// Whether PUT on a missing object creates it.
    pub create_on_update: bool,
    /// What a finished DELETE answers.
    pub delete_answer: DeleteAnswer,
    /// Whether PUT must name a resourceVersion.
    pub update_needs_version: bool,
    /// Which names are good.
    pub names: NameRule,
    /// What the user must be told when one is created: a promise the kind makes elsewhere and not here.
    pub warning: Option<Text>,
    /// What the user must be told on every request, because the version is going.
    pub deprecation: Option<Text>,
    /// The resource whose objects these are in another form; `None` for kinds stored as themselves.
    pub view_of: Option<View>,
    /// What its objects look like.
    pub form: Form,
}

/// What the objects of a kind look like, and who says so.
#[derive(Clone)]
pub enum Form {
    /// A row of ours and the published schema it names.
    BuiltIn(&'static Row),
    /// A definition that a user brought.
    Custom(Arc<dyn CustomForm>),
}

/// The form of a custom kind, read from its definition.
pub trait CustomForm: Send + Sync {
    /// The type, for merges and for who owns which field.
    fn ty(&self) -> Type;

    /// Brings an object into the form that is stored; answers the paths of the unknown fields it dropped.
    ///
    /// # Errors
    /// The text about a value that does not fit at all.
    fn decode(&self, object: &mut Value) -> Result<Vec<String>, String>;

    /// Fills in defaults.
    fn default(&self, object: &mut Value);

    /// Checks an object, and the change from `old` where there is one.
    fn validate(&self, object: &Value, old: Option<&Value>, findings: &mut Findings);

    /// The columns of its tables.
    fn columns(&self) -> Vec<Header>;

    /// The cells of an object, one per column.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;

    /// The JSON pointer of a field that field selectors may use.
    fn selectable(&self, label: &str) -> Option<String>;

    /// Where the scale of an object is; `None` for kinds without `/scale`.
    fn scale(&self) -> Option<&ScalePaths>;

    /// The schema as `OpenAPI` v3 shows it; it may refer to published ones.
    fn document(&self) -> Value;
}

/// JSON pointers to the scale of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec_replicas: String,
    /// Replicas there are.
    pub status_replicas: String,
    /// The selector as text; `None` when the kind has none.
    pub selector: Option<String>,
}

/// A column of a table, without its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name.
    pub name: Text,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: Text,
    /// `name` for the object's name, else empty or a format of `OpenAPI`.
    pub format: Text,
    /// What the column tells.
    pub description: Text,
    /// 0 to show always, higher to show when wide.
    pub priority: i32,
}

/// How to read a field that a field selector names.
#[derive(Clone, Debug)]
pub enum FieldValue {
    /// By a function of ours.
    Computed(fn(&Value) -> String),
    /// The scalar at a JSON pointer.
    At(String),
}

/// All verbs of most stored kinds, in the order discovery lists them.
pub const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl From<&'static Row> for Kind {
    fn from(row: &'static Row) -> Self {
        let texts = |list: &[&'static str]| list.iter().map(|text| Cow::Borrowed(*text)).collect();
        Self {
            group: row.group.into(),
            version: row.version.into(),
            kind: row.kind.into(),
            plural: row.plural.into(),
            singular: row.singular.into(),
            short_names: texts(row.short_names),
            categories: texts(row.categories),
            namespaced: row.namespaced,
            subresources: row.subresources.into(),
            generation: row.generation,
            status_on_create: row.status_on_create,
            create_on_update: row.create_on_update,
            delete_answer: row.delete_answer,
            update_needs_version: row.update_needs_version,
            names: row.names,
            warning: row.warning.map(Cow::Borrowed),
            deprecation: None,
            view_of: row.view_of.clone(),
            form: Form::BuiltIn(row),
        }
    }
}

impl Kind {
    /// Verbs of the resource itself.
    #[must_use]
    pub fn verbs(&self) -> &'static [&'static str] {
        match &self.form {
            Form::BuiltIn(row) => row.verbs,
            Form::Custom(_) => VERBS,
        }
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `deployments.apps`, as in messages.
    #[must_use]
    pub fn qualified_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The subresource of that name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether the kind has `/status`.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// What an error answer says it is about.
    #[must_use]
    pub fn details(&self) -> Details {
        Details { group: self.group.to_string(), kind: self.plural.to_string(), ..Details::default() }
    }
}

impl Kind {
    /// The type of its objects.
    #[must_use]
    pub fn ty(&self) -> Type {
        match &self.form {
            Form::BuiltIn(row) => type_of(row.schema),
            Form::Custom(form) => form.ty(),
        }
    }

    /// Brings an object into the form that is stored; answers the paths of the unknown fields it dropped.
    ///
    /// # Errors
    /// The text about a value of a wrong type.
    pub fn decode(&self, object: &mut Value) -> Result<Vec<String>, String> {
        match &self.form {
            Form::BuiltIn(row) => {
                let findings = decode(object, &type_of(row.schema));
                findings.error.map_or(Ok(findings.unknown), Err)
            }
            Form::Custom(form) => form.decode(object),
        }
    }

    /// Fills in defaults; runs on every write.
    pub fn default(&self, object: &mut Value) {
        match &self.form {
            Form::BuiltIn(row) => (row.defaults)(object),
            Form::Custom(form) => form.default(object),
        }
    }

    /// Checks the rules of the kind beyond those of all objects.
    pub(crate) fn validate(&self, object: &Value, old: Option<&Value>, findings: &mut Findings) {
        match &self.form {
            Form::BuiltIn(row) => (row.validate)(object, old, findings),
            Form::Custom(form) => form.validate(object, old, findings),
        }
    }

    /// Whether this is the core group's resource of that name: others may have a `services` of their own.
    #[must_use]
    pub fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    /// Whether a definition brought the kind.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        matches!(self.form, Form::Custom(_))
    }

    /// Where the scale of a custom object is; built-in ones have it in `spec.replicas`.
    #[must_use]
    pub fn scale(&self) -> Option<&ScalePaths> {
        match &self.form {
            Form::BuiltIn(_) => None,
            Form::Custom(form) => form.scale(),
        }
    }

    /// The columns of its tables.
    #[must_use]
    pub fn columns(&self) -> Vec<Header> {
        match &self.form {
            Form::BuiltIn(row) => headers(row.columns),
            Form::Custom(form) => form.columns(),
        }
    }

    /// The cells of an object, one per column.
    #[must_use]
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match &self.form {
            Form::BuiltIn(row) => cells(row.columns, object, now),
            Form::Custom(form) => form.cells(object, now),
        }
    }

    /// How to read a field that field selectors may use; `None` when they may not.
    #[must_use]
    pub fn selectable(&self, label: &str) -> Option<FieldValue> {
        match label {
            "metadata.name" => return Some(FieldValue::Computed(|object| name(object).to_owned())),
            "metadata.namespace" if self.namespaced => {
                return Some(FieldValue::Computed(|object| namespace(object).to_owned()));
            }
            _ => {}
        }
        match &self.form {
            Form::BuiltIn(row) => {
                let known = row.selectable.iter().find(|field| field.label == label);
                known.map(|field: &Selectable| FieldValue::Computed(field.value))
            }
            Form::Custom(form) => form.selectable(label).map(FieldValue::At),
        }
    }

    /// Whether field selectors may use more than the name and the namespace.
    #[must_use]
    pub fn has_selectable_fields(&self) -> bool {
        match &self.form {
            Form::BuiltIn(row) => !row.selectable.is_empty(),
            Form::Custom(_) => false,
        }
    }

    /// Name of the schema of its objects.
    #[must_use]
    pub fn schema(&self) -> String {
        match &self.form {
            Form::BuiltIn(row) => row.schema.to_owned(),
            Form::Custom(_) => {
                // Upstream: `openapi.ToRESTFriendlyName` of the reversed group.
                let reversed: Vec<&str> = self.group.rsplit('.').collect();
                format!("{}.{}.{}", reversed.join("."), self.version, self.kind)
            }
        }
    }

    /// Name of the schema of the objects that a subresource speaks.
    #[must_use]
    pub fn spoken_schema(&self, subresource: &str) -> String {
        match subresource {
            "scale" => SCALE_SCHEMA.to_owned(),
            "binding" => "io.k8s.api.core.v1.Binding".to_owned(),
            "eviction" => "io.k8s.api.policy.v1.Eviction".to_owned(),
            _ => self.schema(),
        }
    }
}

/// Schema of the `Scale` object.
pub const SCALE_SCHEMA: &str = "io.k8s.api.autoscaling.v1.Scale";

impl FieldValue {
    /// The field's value, as selectors compare it.
    #[must_use]
    pub fn of(&self, object: &Value) -> String {
        match self {
            Self::Computed(read) => read(object),
            Self::At(pointer) => crate::object::scalar_text(object, pointer),
        }
    }
}

/// The columns of objects that have none of their own.
#[must_use]
pub fn plain_columns() -> Vec<Header> {
    headers(columns::PLAIN)
}

/// The cells under [`plain_columns`].
#[must_use]
pub fn plain_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    cells(columns::PLAIN, object, now)
}

fn headers(columns: &[Column]) -> Vec<Header> {
    let header = |column: &Column| Header {
        name: column.name.into(),
        kind: column.kind.into(),
        format: column.format.into(),
        description: column.name.into(),
        priority: column.priority.into(),
    };
    columns.iter().map(header).collect()
}

fn cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    columns.iter().map(|column| (column.cell)(object, now)).collect()
}
