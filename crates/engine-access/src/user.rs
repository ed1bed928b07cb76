//! Who asks: name, uid, groups and extra facts, as `authentication.k8s.io/v1 UserInfo`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The user without an identity (apiserver `user.Anonymous`).
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of everyone who proved an identity (apiserver `user.AllAuthenticated`).
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";
/// The group of everyone who did not (apiserver `user.AllUnauthenticated`).
pub const UNAUTHENTICATED_GROUP: &str = "system:unauthenticated";
/// The group whose members may do everything (apiserver `user.SystemPrivilegedGroup`).
pub const MASTERS_GROUP: &str = "system:masters";
/// The group of all service accounts (apiserver `serviceaccount.AllServiceAccountsGroup`).
pub const SERVICE_ACCOUNTS_GROUP: &str = "system:serviceaccounts";
/// What names of service accounts begin with (apiserver `ServiceAccountUsernamePrefix`).
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// An identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// Unique in time; empty where the name is all that is known.
    pub uid: String,
    /// Groups, in the order in which they were found.
    pub groups: Vec<String>,
    /// Further facts, such as the Pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// An authenticated user of these groups.
    #[must_use]
    pub fn authenticated(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut user = Self { name: name.into(), groups: groups.into_iter().collect(), ..Self::default() };
        user.join(AUTHENTICATED_GROUP);
        user
    }

    /// The user without an identity.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED_GROUP.into()], ..Self::default() }
    }

    /// A service account, with the groups every one has.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let name = Self::service_account_name(namespace, name);
        Self { uid: uid.to_owned(), ..Self::authenticated(name, Self::service_account_groups(namespace)) }
    }

    /// The user name of a service account.
    #[must_use]
    pub fn service_account_name(namespace: &str, name: &str) -> String {
        format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
    }

    /// The groups of the service accounts of a Namespace (apiserver `MakeGroupNames`).
    #[must_use]
    pub fn service_account_groups(namespace: &str) -> [String; 2] {
        [SERVICE_ACCOUNTS_GROUP.to_owned(), format!("{SERVICE_ACCOUNTS_GROUP}:{namespace}")]
    }

    /// Namespace and name of the service account a user name stands for.
    #[must_use]
    pub fn split_service_account(user_name: &str) -> Option<(&str, &str)> {
        let (namespace, name) = user_name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
    }

    /// Whether it is a member.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    pub(crate) fn join(&mut self, group: &str) {
        if !self.is_in(group) {
            self.groups.push(group.to_owned());
        }
    }

    /// `authentication.k8s.io/v1 UserInfo`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [("username", &self.name), ("uid", &self.uid)] {
            if !text.is_empty() {
                map.insert(key.to_owned(), json!(text));
            }
        }
        if !self.groups.is_empty() {
            map.insert("groups".to_owned(), json!(self.groups));
        }
        if !self.extra.is_empty() {
            map.insert("extra".to_owned(), json!(self.extra));
        }
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_accounts_are_users_with_groups() {
        let user = User::service_account("a", "b", "1");
        assert_eq!(user.name, "system:serviceaccount:a:b");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"];
        assert_eq!(user.groups, groups);
        assert_eq!(User::split_service_account(&user.name), Some(("a", "b")));
        for other in
            ["jane", "system:serviceaccount:a", "system:serviceaccount::b", "system:serviceaccount:a:"]
        {
            assert_eq!(User::split_service_account(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_empty_is_not_told() {
        assert_eq!(User::default().to_value(), json!({}));
        let jane = User::authenticated("jane", ["dev".to_owned()]);
        assert_eq!(jane.to_value(), json!({"username": "jane", "groups": ["dev", "system:authenticated"]}));
    }
}
