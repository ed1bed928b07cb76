//! What one decision costs with a thousand roles and bindings of others: `cargo bench -p sealane-engine-access`.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use sealane_engine_access::{Attributes, Rbac, RbacObjects, ResourceAttributes, User};
use serde_json::{Value, json};

/// Decisions measured.
const ROUNDS: u32 = 20_000;

fn main() {
    for count in [10, 1000, 10_000] {
        let roles: Vec<Value> = (0..count).map(role).collect();
        let bindings: Vec<Value> = (0..count).map(binding).collect();
        let begun = Instant::now();
        let rbac = Rbac::new(&RbacObjects {
            cluster_roles: roles.iter().collect(),
            cluster_role_bindings: bindings.iter().collect(),
            ..RbacObjects::default()
        });
        let read = begun.elapsed();
        let last = count - 1;
        let user = User::authenticated(format!("user-{last}"), ["dev".to_owned()]);
        for (name, resource) in [("allowed", format!("things-{last}")), ("denied", "secrets".to_owned())] {
            let asked = Attributes::Resource(ResourceAttributes {
                verb: "list".to_owned(),
                resource,
                ..ResourceAttributes::default()
            });
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                black_box(rbac.authorize(black_box(&user), black_box(&asked)));
            }
            let each = begun.elapsed() / ROUNDS;
            println!("{count} roles and bindings, read in {read:?}: {name} in {each:?}");
        }
    }
}

fn role(number: usize) -> Value {
    json!({"metadata": {"name": format!("role-{number}")},
        "rules": [{"apiGroups": [""], "resources": [format!("things-{number}")], "verbs": ["get", "list"]}]})
}

fn binding(number: usize) -> Value {
    json!({"metadata": {"name": format!("binding-{number}")},
        "roleRef": {"kind": "ClusterRole", "name": format!("role-{number}")},
        "subjects": [{"kind": "User", "name": format!("user-{number}")}]})
}
