//! The names a definition asks for, and which of them are taken in its group.
//!
//! Source: apiextensions `pkg/controller/status/naming_controller.go`.

use engine_kinds::Kind;
use engine_kinds::object::{list, text};
use serde_json::{Value, json};

/// Names already in use in a group.
#[derive(Clone, Debug, Default)]
pub struct Names {
    resources: Vec<String>,
    kinds: Vec<String>,
}

impl Names {
    /// The names of the kinds given.
    pub fn of<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Self {
        let mut names = Self::default();
        for kind in kinds {
            names.resources.extend([kind.plural.to_string(), kind.singular.to_string()]);
            names.resources.extend(kind.short_names.iter().map(ToString::to_string));
            names.kinds.extend([kind.kind.to_string(), format!("{}List", kind.kind)]);
        }
        names
    }

    /// The names a definition gets: those it asks for and nobody has; and the first that is taken, with the reason.
    pub(crate) fn settle(&self, definition: &Value) -> (Value, Option<(&'static str, String)>) {
        let asked = |field: &str| text(definition, &format!("/spec/names/{field}")).to_owned();
        let held = &definition["status"]["acceptedNames"];
        let mut accepted = json!({"plural": "", "kind": ""});
        let mut conflict = None;
        let mut refuse = |reason: &'static str, name: &str| {
            conflict.get_or_insert((reason, format!("{name:?} is already in use")));
        };
        for (field, reason, taken) in [
            ("plural", "PluralConflict", &self.resources),
            ("singular", "SingularConflict", &self.resources),
            ("kind", "KindConflict", &self.kinds),
            ("listKind", "ListKindConflict", &self.kinds),
        ] {
            let name = asked(field);
            if taken.contains(&name) {
                refuse(reason, &name);
                if let Some(held) = held[field].as_str() {
                    accepted[field] = held.into();
                }
            } else if !name.is_empty() {
                accepted[field] = name.into();
            }
        }
        let short = list(definition, "/spec/names/shortNames");
        let taken = short.iter().find(|name| self.resources.iter().any(|taken| *name == taken));
        match taken.and_then(Value::as_str) {
            Some(name) => refuse("ShortNamesConflict", name),
            None if !short.is_empty() => accepted["shortNames"] = short.into(),
            None => {}
        }
        let categories = list(definition, "/spec/names/categories");
        if !categories.is_empty() {
            accepted["categories"] = categories.into();
        }
        (accepted, conflict)
    }
}
