//! What a request may do: RBAC as the store has it now, kept between changes; and writes to RBAC itself.

use std::sync::Arc;

use engine_access::{
    Attributes, Grant, RBAC_GROUP, Rbac, RbacObjects, ResourceAttributes, User, Verdict, aggregated,
    bootstrap_objects, reconciled,
};
use engine_store::{
    Details, Env, ListOptions, PatchKind, Status, Store, Target, Write, WriteOptions, Written,
};
use serde_json::{Value, json};

use crate::credentials::ADMIN_USER;
use crate::shared::Shared;

/// Who writes the rules of gathering ClusterRoles (upstream's controller of that name).
const GATHERER: &str = "clusterrole-aggregation-controller";

impl Shared {
    /// 403 unless the user may do it.
    pub(crate) fn authorize(&self, user: &User, asked: &Attributes) -> Result<(), Status> {
        let verdict = self.verdict(user, asked);
        if verdict.is_allowed() { Ok(()) } else { Err(forbidden(user, asked, &verdict)) }
    }

    /// Whether the user may do it, and what decides.
    pub(crate) fn verdict(&self, user: &User, asked: &Attributes) -> Verdict {
        self.rbac().authorize(user, asked)
    }
}

/// The API's refusal.
fn forbidden(user: &User, asked: &Attributes, verdict: &Verdict) -> Status {
    let refusal = asked.refusal(&user.name, &verdict.reason());
    let details =
        Details { name: refusal.name, group: refusal.group, kind: refusal.resource, ..Details::default() };
    Status::new(403, "Forbidden", refusal.message).about(details)
}

/// What a request about objects asks for.
pub(crate) fn attributes(verb: &str, target: &Target) -> Attributes {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    // A Namespace itself counts as lying in itself (apiserver `RequestInfoFactory`).
    let itself = target.group.is_empty() && target.resource == "namespaces" && target.name.is_some();
    Attributes::Resource(ResourceAttributes {
        verb: verb.to_owned(),
        group: target.group.clone(),
        resource: target.resource.clone(),
        subresource: text(&target.subresource),
        namespace: text(if itself { &target.name } else { &target.namespace }),
        name: text(&target.name),
    })
}

/// The one name a field selector leaves, which counts as the name asked for (apiserver `RequestInfoFactory`).
pub(crate) fn selected_name(selector: &str) -> Option<&str> {
    let name = selector.split(',').find_map(|term| term.strip_prefix("metadata.name="))?;
    let name = name.strip_prefix('=').unwrap_or(name);
    Some(name).filter(|name| !name.is_empty() && !name.contains(['/', '%', '\\']))
}

/// Reads roles and bindings from the store.
pub(crate) fn read(store: &Store) -> Rbac {
    let lists =
        ["clusterroles", "roles", "clusterrolebindings", "rolebindings"].map(|plural| all(store, plural));
    let [cluster_roles, roles, cluster_role_bindings, role_bindings] = &lists;
    Rbac::new(&RbacObjects {
        cluster_roles: cluster_roles.iter().map(|one| &**one).collect(),
        roles: roles.iter().map(|one| &**one).collect(),
        cluster_role_bindings: cluster_role_bindings.iter().map(|one| &**one).collect(),
        role_bindings: role_bindings.iter().map(|one| &**one).collect(),
    })
}

/// Carries out a write to roles or bindings: nobody grants what they do not have, and gathering roles follow.
pub(crate) fn write(
    store: &mut Store,
    env: &mut Env<'_>,
    user: &User,
    target: &Target,
    write: Write,
    options: &WriteOptions,
) -> Result<Written, Status> {
    check_grant(store, env, user, target, &write, options)?;
    let written = store.write(env, target, write, options)?;
    if target.resource == "clusterroles" && !options.dry_run {
        gather(store, env)?;
    }
    Ok(written)
}

/// Tries the write without keeping it, and looks at what it would make.
fn check_grant(
    store: &mut Store,
    env: &mut Env<'_>,
    user: &User,
    target: &Target,
    write: &Write,
    options: &WriteOptions,
) -> Result<(), Status> {
    let deletes = matches!(write, Write::Delete(_) | Write::DeleteCollection { .. });
    if deletes || user.is_in(engine_access::MASTERS_GROUP) {
        return Ok(());
    }
    let rehearsal = WriteOptions { dry_run: true, ..options.clone() };
    let new = store.write(env, target, write.clone(), &rehearsal)?.object;
    let old = target.name.is_some().then(|| store.read(target).ok()).flatten();
    let grant = Grant { resource: &target.resource, old: old.as_deref(), new: &new };
    read(store).check_grant(user, &grant).map_err(|why| {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let message = format!("{}.{RBAC_GROUP} {name:?} is forbidden: {why}", target.resource);
        Status::new(403, "Forbidden", message).about(Details {
            name: name.to_owned(),
            group: RBAC_GROUP.to_owned(),
            kind: target.resource.clone(),
            ..Details::default()
        })
    })
}

/// Gives gathering ClusterRoles the rules they should have.
fn gather(store: &mut Store, env: &mut Env<'_>) -> Result<(), Status> {
    let roles = all(store, "clusterroles");
    for wanted in aggregated(roles.iter().map(|role| &**role)) {
        let target = target("clusterroles", Some(&wanted.name));
        let rules = Write::Patch(PatchKind::Merge, json!({"rules": wanted.rules}));
        let options = WriteOptions { field_manager: GATHERER.to_owned(), ..WriteOptions::default() };
        store.write(env, &target, rules, &options)?;
    }
    Ok(())
}

/// Adds the roles and bindings every cluster has, and completes those of an earlier start.
pub(crate) fn bootstrap(store: &mut Store, env: &mut Env<'_>) -> Result<(), Status> {
    let options = WriteOptions { field_manager: ADMIN_USER.to_owned(), ..WriteOptions::default() };
    for wanted in bootstrap_objects() {
        let name = wanted.object["metadata"]["name"].as_str();
        let one = target(wanted.resource, name);
        match store.read(&one) {
            Err(_) => {
                store.write(env, &target(wanted.resource, None), Write::Create(wanted.object), &options)?;
            }
            Ok(existing) => {
                if let Some(completed) = reconciled(&existing, &wanted.object) {
                    store.write(env, &one, Write::Update(completed), &options)?;
                }
            }
        }
    }
    gather(store, env)
}

fn all(store: &Store, plural: &str) -> Vec<Arc<Value>> {
    let list = store.list(&target(plural, None), &ListOptions::default());
    list.map(|list| list.shown().map(|object| Arc::new(object.value())).collect()).unwrap_or_default()
}

fn target(plural: &str, name: Option<&str>) -> Target {
    Target {
        group: RBAC_GROUP.to_owned(),
        version: "v1".to_owned(),
        resource: plural.to_owned(),
        name: name.map(str::to_owned),
        ..Target::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_that_leaves_one_name_names_it() {
        for (selector, name) in [
            ("metadata.name=a", Some("a")),
            ("metadata.name==a", Some("a")),
            ("spec.nodeName=x,metadata.name=a", Some("a")),
            ("metadata.name!=a", None),
            ("metadata.name=", None),
            ("spec.nodeName=metadata.name", None),
        ] {
            assert_eq!(selected_name(selector), name, "{selector}");
        }
    }
}
