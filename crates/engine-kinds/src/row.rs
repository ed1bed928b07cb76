//! A built-in kind as one row of data, and the words rows are made of.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use crate::validate::Findings;

/// A text that is either part of the program or of a custom definition.
pub type Text = Cow<'static, str>;

/// One built-in kind.
pub struct Row {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind name, such as `Pod`.
    pub kind: &'static str,
    /// Resource name, such as `pods`.
    pub plural: &'static str,
    /// Singular resource name.
    pub singular: &'static str,
    /// Short names, such as `po`.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs of the resource itself.
    pub verbs: &'static [&'static str],
    /// Subresources served.
    pub subresources: &'static [Subresource],
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
    /// Fields a field selector may use besides `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [Selectable],
    /// Columns of its tables.
    pub columns: &'static [Column],
    /// Schema name, such as `io.k8s.api.core.v1.Pod`.
    pub schema: &'static str,
    /// Fills in defaults; runs on every write.
    pub defaults: fn(&mut Value),
    /// Rules of the kind beyond the schema.
    pub validate: fn(&Value, Option<&Value>, &mut Findings),
    /// What the user must be told when one is created: a promise the kind makes elsewhere and not here.
    pub warning: Option<&'static str>,
    /// The resource whose objects these are in another form; `None` for kinds stored as themselves.
    pub view_of: Option<View>,
}

/// A kind that shows the objects of another resource.
#[derive(Clone, Debug)]
pub struct View {
    /// Group of the resource that stores the objects.
    pub group: Text,
    /// Name of the resource that stores the objects.
    pub plural: Text,
    /// From this kind's form to the stored form.
    pub to_stored: fn(Value) -> Value,
    /// From the stored form to this kind's form.
    pub from_stored: fn(&Value) -> Value,
}

/// A part of an object with an address of its own.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// Name, such as `status`.
    pub name: &'static str,
    /// Group of the object it speaks; `None` for that of its resource.
    pub speaks: Option<Spoken>,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// Group, version and kind of the objects a subresource speaks.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind name.
    pub kind: &'static str,
}

/// When `metadata.generation` grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    None,
    /// 1 at first, one more with each change of `spec`.
    Spec,
    /// 1 at first, one more with each change outside `metadata` and `status`.
    Content,
    /// 1 at first, one more with each change outside `metadata`.
    Everything,
}

/// What a DELETE answers when the object is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// A `Status` of success.
    Status,
    /// The object as it last was.
    Object,
}

/// Which object names are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// RFC 1035 label.
    Label1035,
    /// Anything that fits one segment of a path.
    PathSegment,
    /// An IP address in its canonical form.
    Address,
}

/// A field a field selector may use.
pub struct Selectable {
    /// Name in the selector.
    pub label: &'static str,
    /// Its value for an object.
    pub value: fn(&Value) -> String,
}

/// A column of a table.
pub struct Column {
    /// Header.
    pub name: &'static str,
    /// `string`, `integer` or `date`.
    pub kind: &'static str,
    /// `name` for the object's name, else empty.
    pub format: &'static str,
    /// 0 to show always, 1 to show when wide.
    pub priority: u8,
    /// The cell for an object.
    pub cell: fn(&Value, Timestamp) -> Value,
}
