//! (roles and bindings, user, request) → allowed by which binding of which role, or denied.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::attributes::Attributes;
use crate::binding::{Binding, BindingRef, RoleRef, Subject};
use crate::bindings::Bindings;
use crate::rule::PolicyRule;
use crate::user::{MASTERS_GROUP, User};

/// Roles and bindings, read once and asked often.
#[derive(Clone, Debug, Default)]
pub struct Rbac {
    cluster_roles: BTreeMap<String, Vec<PolicyRule>>,
    /// By Namespace and name.
    roles: BTreeMap<(String, String), Vec<PolicyRule>>,
    cluster_bindings: Bindings,
    /// By Namespace.
    bindings: BTreeMap<String, Bindings>,
}

/// What [`Rbac`] is read from; each list in the order of the API.
#[derive(Clone, Debug, Default)]
pub struct RbacObjects<'a> {
    /// ClusterRoles.
    pub cluster_roles: Vec<&'a Value>,
    /// Roles.
    pub roles: Vec<&'a Value>,
    /// ClusterRoleBindings.
    pub cluster_role_bindings: Vec<&'a Value>,
    /// RoleBindings.
    pub role_bindings: Vec<&'a Value>,
}

/// Whether a user may do something, and what decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, and why.
    Allowed(Grounds),
    /// No: no rule allows it.
    Denied {
        /// Roles that bindings of the user name and that are not there.
        missing: Vec<String>,
    },
}

/// Why something is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The user is in `system:masters`.
    Masters,
    /// A rule of a role that a binding gives to the user.
    Rule(Box<Granted>),
}

/// A rule, and the way it came to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The binding.
    pub binding: BindingRef,
    /// The role it gives.
    pub role: RoleRef,
    /// As whom the user gets it.
    pub subject: Subject,
    /// The rule.
    pub rule: PolicyRule,
}

/// A binding that applies, with the rules of its role or the role's absence.
struct Applied<'a> {
    binding: &'a Binding,
    subject: &'a Subject,
    rules: Result<&'a [PolicyRule], String>,
}

impl Rbac {
    /// Reads roles and bindings.
    #[must_use]
    pub fn new(objects: &RbacObjects<'_>) -> Self {
        let text =
            |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let mut rbac = Self::default();
        for role in &objects.cluster_roles {
            rbac.cluster_roles.insert(text(role, "name"), PolicyRule::all_of(role));
        }
        for role in &objects.roles {
            rbac.roles.insert((text(role, "namespace"), text(role, "name")), PolicyRule::all_of(role));
        }
        for object in &objects.cluster_role_bindings {
            rbac.cluster_bindings.push(Binding::of(object));
        }
        for object in &objects.role_bindings {
            let binding = Binding::of(object);
            rbac.bindings.entry(binding.itself.namespace.clone()).or_default().push(binding);
        }
        rbac
    }

    /// Whether the user may do it (apiserver `RBACAuthorizer.Authorize` behind the authorizer of `system:masters`).
    #[must_use]
    pub fn authorize(&self, user: &User, asked: &Attributes) -> Verdict {
        if user.is_in(MASTERS_GROUP) {
            return Verdict::Allowed(Grounds::Masters);
        }
        let namespace = match asked {
            Attributes::Resource(asked) => asked.namespace.as_str(),
            Attributes::Path { .. } => "",
        };
        let mut missing = Vec::new();
        for applied in self.applied(user, namespace) {
            match applied.rules {
                Ok(rules) => {
                    if let Some(rule) = rules.iter().find(|rule| rule.allows(asked)) {
                        return Verdict::Allowed(Grounds::Rule(Box::new(Granted {
                            binding: applied.binding.itself.clone(),
                            role: applied.binding.role.clone(),
                            subject: applied.subject.clone(),
                            rule: rule.clone(),
                        })));
                    }
                }
                Err(role) => missing.push(role),
            }
        }
        Verdict::Denied { missing }
    }

    /// Every rule that applies to the user in the Namespace, and which roles are named and not there.
    ///
    /// Members of `system:masters` have the rules that bindings give them: their further rights are no rules.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let (mut rules, mut missing) = (Vec::new(), Vec::new());
        for applied in self.applied(user, namespace) {
            match applied.rules {
                Ok(found) => rules.extend_from_slice(found),
                Err(role) => missing.push(role),
            }
        }
        (rules, missing)
    }

    /// The rules of a role that a binding in the Namespace refers to.
    ///
    /// # Errors
    /// When the role is not there; the API's text.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Result<&[PolicyRule], String> {
        let not_found =
            |resource: &str| format!("{resource}.rbac.authorization.k8s.io {:?} not found", role.name);
        match role.kind.as_str() {
            "ClusterRole" => {
                self.cluster_roles.get(&role.name).map(Vec::as_slice).ok_or_else(|| not_found("clusterrole"))
            }
            "Role" => {
                let key = (namespace.to_owned(), role.name.clone());
                self.roles.get(&key).map(Vec::as_slice).ok_or_else(|| not_found("role"))
            }
            other => Err(format!("unsupported role reference kind: {other:?}")),
        }
    }

    /// Bindings of the user: those of the cluster first, then those of the Namespace.
    fn applied(&self, user: &User, namespace: &str) -> impl Iterator<Item = Applied<'_>> {
        let local = self.bindings.get(namespace).into_iter().flat_map(|bindings| bindings.of(user));
        let all = self.cluster_bindings.of(user).chain(local.collect::<Vec<_>>());
        all.map(|(binding, subject)| {
            let rules = self.rules_of(&binding.role, &binding.itself.namespace);
            Applied { binding, subject, rules }
        })
    }
}

impl Verdict {
    /// Whether it is yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// What decided, in upstream's words; empty when nothing did.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Allowed(grounds) => grounds.to_string(),
            Self::Denied { missing } => match missing.as_slice() {
                [] => String::new(),
                [one] => format!("RBAC: {one}"),
                many => format!("RBAC: [{}]", many.join(", ")),
            },
        }
    }
}

impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masters => write!(f, "members of the group {MASTERS_GROUP:?} may do everything"),
            Self::Rule(granted) => {
                let Granted { binding, role, subject, .. } = &**granted;
                write!(f, "RBAC: allowed by {binding} of {role} to {subject}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
