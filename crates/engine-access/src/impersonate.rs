//! Acting as somebody else: what a request asks to be, which permissions that needs, and who it then is.
//!
//! Upstream: `apiserver/pkg/endpoints/filters/impersonation`.

use std::collections::BTreeMap;

use crate::attributes::{Attributes, ResourceAttributes};
use crate::user::{ANONYMOUS, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP, User};

/// What the `Impersonate-*` headers of a request say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impersonation {
    /// `Impersonate-User`.
    pub user: String,
    /// Every `Impersonate-Group`.
    pub groups: Vec<String>,
    /// `Impersonate-Uid`.
    pub uid: String,
    /// `Impersonate-Extra-KEY`, by key in lower case.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Headers that make no sense together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("requested {what} without impersonating a user")]
pub struct ImpersonationError {
    what: String,
}

impl Impersonation {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the real user must be allowed to do, each with the verb `impersonate`.
    ///
    /// # Errors
    /// When the request names groups, a uid or extra facts and no user.
    pub fn permissions(&self) -> Result<Vec<Attributes>, ImpersonationError> {
        if self.user.is_empty() {
            let mut what = self.groups.clone();
            what.extend(Some(self.uid.clone()).filter(|uid| !uid.is_empty()));
            what.extend(self.extra.keys().cloned());
            return Err(ImpersonationError { what: format!("[{}]", what.join(" ")) });
        }
        const AUTHENTICATION: &str = "authentication.k8s.io";
        let mut needed = vec![match User::split_service_account(&self.user) {
            Some((namespace, name)) => permission("", "serviceaccounts", "", namespace, name),
            None => permission("", "users", "", "", &self.user),
        }];
        needed.extend(self.groups.iter().map(|group| permission("", "groups", "", "", group)));
        for (key, values) in &self.extra {
            needed
                .extend(values.iter().map(|value| permission(AUTHENTICATION, "userextras", key, "", value)));
        }
        if !self.uid.is_empty() {
            needed.push(permission(AUTHENTICATION, "uids", "", "", &self.uid));
        }
        Ok(needed)
    }

    /// Who the request is from then on.
    #[must_use]
    pub fn into_user(self) -> User {
        let mut groups = self.groups;
        if let (Some((namespace, _)), true) = (User::split_service_account(&self.user), groups.is_empty()) {
            groups = User::service_account_groups(namespace).into();
        }
        let mut user = User { name: self.user, uid: self.uid, groups, extra: self.extra };
        if !user.is_in(AUTHENTICATED_GROUP) && !user.is_in(UNAUTHENTICATED_GROUP) {
            let group = if user.name == ANONYMOUS { UNAUTHENTICATED_GROUP } else { AUTHENTICATED_GROUP };
            user.join(group);
        }
        user
    }
}

fn permission(group: &str, resource: &str, subresource: &str, namespace: &str, name: &str) -> Attributes {
    Attributes::Resource(ResourceAttributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk(user: &str, groups: &[&str]) -> Impersonation {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Impersonation { user: user.into(), groups, ..Impersonation::default() }
    }

    #[test]
    fn every_part_needs_a_permission() {
        let wish = Impersonation {
            uid: "1".into(),
            extra: BTreeMap::from([("scopes".to_owned(), vec!["a".to_owned()])]),
            ..mk("jane", &["dev"])
        };
        let texts: Vec<String> =
            wish.permissions().unwrap().iter().map(|one| one.refusal("bob", "").message).collect();
        assert_eq!(
            texts,
            [
                r#"users "jane" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope"#,
                r#"groups "dev" is forbidden: User "bob" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
                r#"userextras.authentication.k8s.io "a" is forbidden: User "bob" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope"#,
                r#"uids.authentication.k8s.io "1" is forbidden: User "bob" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope"#,
            ]
        );
        let account = mk("system:serviceaccount:n:bot", &[]).permissions().unwrap();
        assert!(
            account[0]
                .refusal("bob", "")
                .message
                .contains("\"serviceaccounts\" in API group \"\" in the namespace \"n\"")
        );
        let error = mk("", &["dev"]).permissions().unwrap_err();
        assert_eq!(error.to_string(), "requested [dev] without impersonating a user");
    }

    #[test]
    fn groups_are_filled_in() {
        assert_eq!(mk("jane", &[]).into_user().groups, [AUTHENTICATED_GROUP]);
        assert_eq!(mk("jane", &["dev"]).into_user().groups, ["dev", AUTHENTICATED_GROUP]);
        assert_eq!(mk(ANONYMOUS, &[]).into_user().groups, [UNAUTHENTICATED_GROUP]);
        assert_eq!(mk("jane", &[UNAUTHENTICATED_GROUP]).into_user().groups, [UNAUTHENTICATED_GROUP]);
        let account = mk("system:serviceaccount:n:bot", &[]).into_user();
        assert_eq!(account, User::service_account("n", "bot", ""));
    }
}
