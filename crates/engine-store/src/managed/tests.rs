//! The entries that stay as they are, against reading and writing them on every update.

use engine_schema::type_of;
use proptest::prelude::*;

use super::*;

/// One write: who, through which part, and the fields of the new state.
#[derive(Clone, Debug)]
struct Step {
    manager: &'static str,
    subresource: Option<&'static str>,
    labels: Vec<(char, u8)>,
    ports: Vec<(u16, u8)>,
    keeps_entries: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop::sample::select(vec!["a", "b", "c"]),
        prop::sample::select(vec![None, None, Some("status")]),
        prop::collection::vec((prop::char::range('k', 'n'), 0..2_u8), 0..3),
        prop::collection::btree_map(80..83_u16, 0..2_u8, 0..3),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(manager, subresource, labels, ports, keeps_entries)| {
            let ports = ports.into_iter().collect();
            Step { manager, subresource, labels, ports, keeps_entries }
        })
}

/// The state a step makes, with the entries that its client sends along.
fn state_of(step: &Step, old: Option<&Value>) -> Value {
    let labels: serde_json::Map<String, Value> =
        step.labels.iter().map(|(key, value)| (key.to_string(), value.to_string().into())).collect();
    let ports: Vec<Value> =
        step.ports.iter().map(|(port, name)| json!({"port": port, "name": format!("p{name}")})).collect();
    let mut new = json!({"metadata": {"name": "x", "labels": labels}, "spec": {"ports": ports}});
    let entries = old.and_then(|old| old.pointer("/metadata/managedFields")).filter(|_| step.keeps_entries);
    set_metadata(&mut new, "managedFields", entries.cloned());
    new
}

fn context_of(step: &Step, number: usize) -> Context {
    Context {
        manager: step.manager.to_owned(),
        api_version: "v1".to_owned(),
        subresource: step.subresource.map(str::to_owned),
        time: format!("2026-01-01T00:00:{number:02}Z"),
        ty: type_of("io.k8s.api.core.v1.Service"),
    }
}

fn record_plainly(old: Option<&Value>, new: &mut Value, context: &Context) {
    let mut difference = compare(old, Some(new), &context.ty);
    strip(&mut difference.changed);
    strip(&mut difference.removed);
    let entries = after_update(old, new, difference, context);
    store_entries(new, entries);
}

proptest! {
    #[test]
    fn entries_are_what_reading_all_of_them_gives(steps in prop::collection::vec(step(), 1..12)) {
        let mut old: Option<Value> = None;
        for (number, step) in steps.iter().enumerate() {
            let context = context_of(step, number);
            let mut new = state_of(step, old.as_ref());
            let mut plain = new.clone();
            record(old.as_ref(), &mut new, &context, Writer::Update);
            record_plainly(old.as_ref(), &mut plain, &context);
            prop_assert_eq!(&new, &plain);
            old = Some(new);
        }
    }
}

/// What the look without reading is for: the second write of a manager to its own field leaves everything as it is.
#[test]
fn a_manager_that_changes_its_own_field_changes_no_entry() {
    let step = |name: u8| Step {
        manager: "a",
        subresource: None,
        labels: Vec::new(),
        ports: vec![(80, name)],
        keeps_entries: true,
    };
    let mut old = state_of(&step(0), None);
    record(None, &mut old, &context_of(&step(0), 0), Writer::Update);
    let new = state_of(&step(1), Some(&old));
    let context = context_of(&step(1), 1);
    let mut difference = compare(Some(&old), Some(&new), &context.ty);
    strip(&mut difference.changed);
    strip(&mut difference.removed);
    assert!(!difference.changed.is_empty() && stay(&old, &new, &difference, &context));
    assert!(!stay(&old, &new, &difference, &context_of(&Step { manager: "b", ..step(1) }, 1)));
}
