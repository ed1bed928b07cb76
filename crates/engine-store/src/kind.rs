//! What a kind is: one row of data per kind that every operation of the store reads.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

use crate::kinds;
use crate::request::Target;
use crate::status::Details;
use crate::validate::Findings;

/// One kind of object the API serves.
pub struct Kind {
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
pub struct View {
    /// Group of the resource that stores the objects.
    pub group: &'static str,
    /// Name of the resource that stores the objects.
    pub plural: &'static str,
    /// From this kind's form to the stored form.
    pub to_stored: fn(Value) -> Value,
    /// From the stored form to this kind's form.
    pub from_stored: fn(&Value) -> Value,
}

/// A part of an object with an address of its own.
pub struct Subresource {
    /// Name, such as `status`.
    pub name: &'static str,
    /// Group of the object it speaks; `None` for that of its resource.
    pub speaks: Option<Spoken>,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// Group, version and kind of the objects a subresource speaks.
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

/// All verbs of a stored kind, in the order discovery lists them.
pub const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Kind {
    /// Verbs of the resource itself.
    #[must_use]
    pub fn verbs(&self) -> &'static [&'static str] {
        VERBS
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `deployments.apps`, as in messages.
    #[must_use]
    pub fn qualified_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The subresource of that name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether the kind has `/status`.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    pub(crate) fn details(&self) -> Details {
        Details { group: self.group.to_owned(), kind: self.plural.to_owned(), ..Details::default() }
    }
}

/// Index of a kind in [`all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KindId(usize);

static ALL: LazyLock<Vec<&'static Kind>> =
    LazyLock::new(|| kinds::GROUPS.iter().flat_map(|group| group.iter().copied()).collect());

/// Every kind, built-in groups first.
pub(crate) fn all() -> &'static [&'static Kind] {
    &ALL
}

impl KindId {
    /// The kind of a resource.
    pub(crate) fn of_resource(group: &str, plural: &str) -> Option<Self> {
        all().iter().position(|kind| kind.plural == plural && kind.group == group).map(Self)
    }

    /// The kind a target names.
    pub(crate) fn of_target(target: &Target) -> Option<Self> {
        all()
            .iter()
            .position(|kind| {
                kind.plural == target.resource && kind.group == target.group && kind.version == target.version
            })
            .map(Self)
    }

    /// The kind's row.
    pub(crate) fn kind(self) -> &'static Kind {
        all()[self.0]
    }

    /// The kind that stores the objects of this one: itself, except for views.
    pub(crate) fn stored(self) -> Self {
        match &self.kind().view_of {
            None => self,
            Some(view) => Self::of_resource(view.group, view.plural).expect("a view names a stored kind"),
        }
    }

    /// Position of the kind's objects in the store.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}
