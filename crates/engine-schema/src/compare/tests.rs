//! The comparison against a plainer one, which makes a map of the parts of each container first.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fields::items_of;
use crate::tree::type_of;

#[test]
fn comparison_finds_the_leaf() {
    let ty = type_of("io.k8s.api.core.v1.ConfigMap");
    let old = json!({"data": {"a": "1", "b": "2"}});
    let new = json!({"data": {"a": "9", "c": "3"}});
    let difference = compare(Some(&old), Some(&new), &ty);
    assert_eq!(difference.changed.paths(), [".data.a", ".data.c"]);
    assert_eq!(difference.removed.paths(), [".data.b"]);
}

fn plainly(old: Option<&Value>, new: Option<&Value>, ty: &Type, difference: &mut Difference) {
    if old == new {
        return;
    }
    let items_old = old.map_or(Some(BTreeMap::new()), |value| items_of(value, ty));
    let items_new = new.map_or(Some(BTreeMap::new()), |value| items_of(value, ty));
    let whole = |difference: &mut Difference| {
        difference.changed.member |= new.is_some();
        difference.removed.member |= new.is_none();
    };
    let (Some(items_old), Some(items_new)) = (items_old, items_new) else { return whole(difference) };
    if items_old.is_empty() && items_new.is_empty() {
        return whole(difference);
    }
    let both = old.is_some() && new.is_some();
    let steps: BTreeSet<&String> = items_old.keys().chain(items_new.keys()).collect();
    for step in steps {
        let (before, after) = (items_old.get(step), items_new.get(step));
        let item_type = before.or(after).map_or(&Type::Any, |(_, ty)| ty);
        let is_value = step.strip_prefix("f:").is_some_and(|name| is_value(ty, name));
        let absent = (both && is_value).then_some(&*EMPTY);
        let mut below = Difference::default();
        plainly(
            before.map(|(value, _)| *value).or(absent),
            after.map(|(value, _)| *value).or(absent),
            item_type,
            &mut below,
        );
        if !below.changed.is_empty() {
            difference.changed.children.insert(step.clone(), below.changed);
        }
        if !below.removed.is_empty() {
            difference.removed.children.insert(step.clone(), below.removed);
        }
    }
    difference.changed.member |= old.is_none();
    difference.removed.member |= new.is_none();
}

/// A value that mostly fits a type, and sometimes does not.
fn value_of(ty: &Type, depth: u32) -> BoxedStrategy<Value> {
    let odd =
        prop_oneof![Just(Value::Null), Just(json!({})), Just(json!([])), Just(json!("odd")), Just(json!(7))];
    let fitting = match ty {
        _ if depth == 0 => Just(json!("deep")).boxed(),
        Type::Struct { id, .. } => {
            let fields: Vec<(String, Type)> =
                id.get().fields.iter().map(|(name, field)| (name.clone(), field.ty.clone())).collect();
            let count = fields.len().min(3);
            prop::sample::subsequence(fields, 0..=count)
                .prop_flat_map(move |fields| {
                    let values: Vec<_> = fields
                        .into_iter()
                        .map(|(name, ty)| {
                            value_of(&ty, depth - 1).prop_map(move |value| (name.clone(), value))
                        })
                        .collect();
                    values.prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
                })
                .boxed()
        }
        Type::Map { item, .. } => prop::collection::btree_map("[ab]", value_of(item, depth - 1), 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed(),
        Type::List { item, .. } => {
            prop::collection::vec(value_of(item, depth - 1), 0..4).prop_map(Value::Array).boxed()
        }
        Type::Scalar(_) | Type::Any => {
            prop_oneof![Just(json!("a")), Just(json!("b")), Just(json!(1))].boxed()
        }
    };
    prop_oneof![12 => fitting, 1 => odd].boxed()
}

fn two_states() -> impl Strategy<Value = (Type, Option<Value>, Option<Value>)> {
    let schemas = [
        "io.k8s.api.core.v1.Service",
        "io.k8s.api.core.v1.Pod",
        "io.k8s.api.core.v1.ConfigMap",
        "io.k8s.api.core.v1.PodStatus",
        "io.k8s.api.core.v1.Container",
        "io.k8s.api.apps.v1.Deployment",
        "io.k8s.api.discovery.v1.EndpointSlice",
    ];
    prop::sample::select(schemas.to_vec()).prop_flat_map(|schema| {
        let ty = type_of(schema);
        let state = prop::option::weighted(0.9, value_of(&ty, 5));
        (Just(ty), state.clone(), state)
    })
}

proptest! {
    #[test]
    fn differs_as_the_plain_comparison_says((ty, old, new) in two_states()) {
        let mut expected = Difference::default();
        plainly(Some(old.as_ref().unwrap_or(&EMPTY)), Some(new.as_ref().unwrap_or(&EMPTY)), &ty, &mut expected);
        prop_assert_eq!(compare(old.as_ref(), new.as_ref(), &ty), expected);
    }

    #[test]
    fn the_json_form_tells_what_it_holds((ty, old, new) in two_states(), (_, other, _) in two_states()) {
        // An object as a whole belongs to nobody.
        let fields_of = |value: Option<&Value>| {
            FieldSet { member: false, ..compare(None, value, &ty).changed }
        };
        let mut set = FieldSet { member: false, ..FieldSet::of(&old.unwrap_or_default(), &ty) };
        set.union(&fields_of(other.as_ref()));
        let asked = fields_of(new.as_ref());
        let form = set.clone().into_value();
        let set = FieldSet::parse(&form);
        prop_assert_eq!(asked.is_touched_by(&form), !set.intersection(&asked).is_empty());
        let mut united = set.clone();
        united.union(&asked);
        prop_assert_eq!(asked.is_within(&form), united == set);
    }
}
