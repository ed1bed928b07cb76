//! A definition → the kinds it brings, one per served version.

use std::borrow::Cow;
use std::sync::Arc;

use engine_kinds::object::{list, text};
use engine_kinds::{DeleteAnswer, Form, Generation, Kind, NameRule, Spoken, Subresource, Text};
use serde_json::Value;

use crate::definition::{READ_WRITE, owned};
use crate::form::VersionForm;

/// The kinds of a definition whose names were accepted, the storage version first.
pub fn kinds_of(definition: &Value) -> Vec<Kind> {
    let mut versions: Vec<&Value> =
        list(definition, "/spec/versions").iter().filter(|version| version["served"] == true).collect();
    versions.sort_by_key(|version| version["storage"] != true);
    versions.into_iter().map(|version| kind_of(definition, version)).collect()
}

fn kind_of(definition: &Value, version: &Value) -> Kind {
    let name = |field: &str| owned(text(definition, &format!("/status/acceptedNames/{field}")));
    let names = |field: &str| -> Vec<Text> {
        let all = list(definition, &format!("/status/acceptedNames/{field}"));
        all.iter().filter_map(Value::as_str).map(owned).collect()
    };
    let has_status = version["subresources"]["status"].is_object();
    let group = text(definition, "/spec/group");
    let kind = text(definition, "/status/acceptedNames/kind");
    Kind {
        group: owned(group),
        version: owned(text(version, "/name")),
        kind: name("kind"),
        plural: name("plural"),
        singular: name("singular"),
        short_names: names("shortNames"),
        categories: names("categories"),
        namespaced: text(definition, "/spec/scope") == "Namespaced",
        subresources: Cow::Owned(subresources(version)),
        generation: if has_status { Generation::Content } else { Generation::Everything },
        status_on_create: false,
        create_on_update: false,
        delete_answer: DeleteAnswer::Status,
        update_needs_version: true,
        names: NameRule::Subdomain,
        warning: None,
        deprecation: deprecation(version, group, kind),
        view_of: None,
        form: Form::Custom(Arc::new(VersionForm::new(kind, version))),
    }
}

fn subresources(version: &Value) -> Vec<Subresource> {
    let mut subresources = Vec::new();
    if version["subresources"]["status"].is_object() {
        subresources.push(Subresource { name: "status", speaks: None, verbs: READ_WRITE });
    }
    if version["subresources"]["scale"].is_object() {
        let spoken = Spoken { group: "autoscaling", version: "v1", kind: "Scale" };
        subresources.push(Subresource { name: "scale", speaks: Some(spoken), verbs: READ_WRITE });
    }
    subresources
}

fn deprecation(version: &Value, group: &str, kind: &str) -> Option<Text> {
    if version["deprecated"] != true {
        return None;
    }
    let own = version["deprecationWarning"].as_str().map(owned);
    let plain = || Cow::Owned(format!("{group}/{} {kind} is deprecated", text(version, "/name")));
    Some(own.unwrap_or_else(plain))
}
