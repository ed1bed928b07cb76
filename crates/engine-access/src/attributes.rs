//! What is asked for: a verb on a resource, or on a path that is no resource; and the text of a refusal.

/// What a request wants to do (apiserver `authorizer.Attributes`, without the user).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// Something with API objects.
    Resource(ResourceAttributes),
    /// Something with a path of another kind, such as `/version`.
    Path {
        /// HTTP method in lower case.
        verb: String,
        /// The path.
        path: String,
    },
}

/// A verb on a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes {
    /// Such as `list`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource; empty for the resource itself.
    pub subresource: String,
    /// Namespace; empty for the cluster scope and for all Namespaces.
    pub namespace: String,
    /// Object name; empty for collections.
    pub name: String,
}

impl ResourceAttributes {
    /// `pods` or `pods/log`: as it stands in rules.
    #[must_use]
    pub fn combined(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// `pods` or `deployments.apps`: as it stands in messages.
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

/// Everything a 403 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The whole text.
    pub message: String,
    /// API group, for the details.
    pub group: String,
    /// Resource, for the details; empty for paths.
    pub resource: String,
    /// Object name, for the details.
    pub name: String,
}

impl Attributes {
    /// The API's text for a refusal (apiserver `responsewriters.Forbidden`), with what the authorizer had to add.
    #[must_use]
    pub fn refusal(&self, user: &str, reason: &str) -> Refusal {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        match self {
            Self::Path { verb, path } => Refusal {
                message: format!("forbidden: User {user:?} cannot {verb} path {path:?}{reason}"),
                group: String::new(),
                resource: String::new(),
                name: String::new(),
            },
            Self::Resource(asked) => {
                let scope = match asked.namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {namespace:?}"),
                };
                let what = match asked.name.as_str() {
                    "" => asked.qualified(),
                    name => format!("{} {name:?}", asked.qualified()),
                };
                let (verb, resource, group) = (&asked.verb, asked.combined(), &asked.group);
                Refusal {
                    message: format!(
                        "{what} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group \
                         {group:?} {scope}{reason}"
                    ),
                    group: asked.group.clone(),
                    resource: asked.resource.clone(),
                    name: asked.name.clone(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk(group: &str, resource: &str, subresource: &str, namespace: &str, name: &str) -> Attributes {
        Attributes::Resource(ResourceAttributes {
            verb: "list".into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    #[test]
    fn refusals_read_as_upstream() {
        let path = Attributes::Path { verb: "get".into(), path: "/metrics".into() };
        for (asked, text) in [
            (
                mk("", "pods", "", "n", ""),
                r#"pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "n""#,
            ),
            (
                mk("", "nodes", "", "", ""),
                r#"nodes is forbidden: User "u" cannot list resource "nodes" in API group "" at the cluster scope"#,
            ),
            (
                mk("apps", "deployments", "scale", "n", "x"),
                r#"deployments.apps "x" is forbidden: User "u" cannot list resource "deployments/scale" in API group "apps" in the namespace "n""#,
            ),
            (path, r#"forbidden: User "u" cannot get path "/metrics""#),
        ] {
            assert_eq!(asked.refusal("u", "").message, text);
        }
        let reason = "RBAC: clusterrole.rbac.authorization.k8s.io \"x\" not found";
        assert!(
            mk("", "pods", "", "n", "").refusal("u", reason).message.ends_with(&format!("\"n\": {reason}"))
        );
    }
}
