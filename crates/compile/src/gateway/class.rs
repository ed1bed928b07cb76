//! Whose an Ingress is: ours, another controller's, or nobody's (semantics IG7).

use std::collections::BTreeSet;

use model::{Ingress, IngressClass, Snapshot};

/// Class names that are ours even without an IngressClass, in the annotation from before IngressClass existed:
/// ingress-nginx's default and our own.
const ANNOTATED_CLASSES: [&str; 2] = ["nginx", "sealane"];

/// Whose an Ingress is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClassVerdict {
    /// We serve it.
    Ours,
    /// Another controller does.
    Others,
    /// Nobody does, for this reason.
    Nobodys(String),
}

/// Whose this Ingress is.
pub(crate) fn class_of(
    ingress: &Ingress,
    snapshot: &Snapshot,
    controllers: &BTreeSet<String>,
) -> ClassVerdict {
    let by_controller = |class: &IngressClass| match controllers.contains(&class.controller) {
        true => ClassVerdict::Ours,
        false => ClassVerdict::Others,
    };
    match (&ingress.class, &ingress.class_annotation) {
        (Some(name), _) => match snapshot.ingress_classes.get(name) {
            Some(class) => by_controller(class),
            None => ClassVerdict::Nobodys(format!("there is no IngressClass `{name}`")),
        },
        (None, Some(name)) => match snapshot.ingress_classes.get(name) {
            Some(class) => by_controller(class),
            None if ANNOTATED_CLASSES.contains(&name.as_str()) => ClassVerdict::Ours,
            None => ClassVerdict::Others,
        },
        (None, None) => match default_class(snapshot) {
            Some(class) => by_controller(class),
            None => ClassVerdict::Nobodys("it names no class and no IngressClass is the default".to_owned()),
        },
    }
}

/// The default class; of several the newest, then the one with the lowest name (kubernetes
/// `plugin/pkg/admission/network/defaultingressclass`).
fn default_class(snapshot: &Snapshot) -> Option<&IngressClass> {
    let defaults = snapshot.ingress_classes.values().filter(|class| class.is_default);
    defaults.min_by_key(|class| (std::cmp::Reverse(class.created), &class.name))
}
