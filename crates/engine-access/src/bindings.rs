//! Bindings of one place, found by whom they are about: a request must not cost more the more bindings others have.

use std::collections::BTreeMap;

use crate::binding::{Binding, Subject};
use crate::user::User;

/// Bindings in the order of the API.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    all: Vec<Binding>,
    /// Positions of bindings by names of users; a service account is the user it acts as.
    users: BTreeMap<String, Vec<usize>>,
    groups: BTreeMap<String, Vec<usize>>,
}

impl Bindings {
    pub(crate) fn push(&mut self, binding: Binding) {
        let position = self.all.len();
        for subject in binding.subjects() {
            let (names, name) = match subject.kind.as_str() {
                "User" => (&mut self.users, subject.name.clone()),
                "Group" => (&mut self.groups, subject.name.clone()),
                "ServiceAccount" => {
                    (&mut self.users, User::service_account_name(&subject.namespace, &subject.name))
                }
                _ => continue,
            };
            names.entry(name).or_default().push(position);
        }
        self.all.push(binding);
    }

    /// Those about a user, each with the first subject that the user is, in the order of the API.
    pub(crate) fn of<'a>(
        &'a self,
        user: &User,
    ) -> impl Iterator<Item = (&'a Binding, &'a Subject)> + use<'a> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        let mut positions: Vec<usize> =
            self.users.get(&user.name).into_iter().chain(groups).flatten().copied().collect();
        positions.sort_unstable();
        positions.dedup();
        let found = positions.into_iter().filter_map(|position| self.all.get(position));
        let found = found.filter_map(|binding| Some((binding, binding.subject(user)?)));
        found.collect::<Vec<_>>().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every combination of subjects, against a look at every binding.
    #[test]
    fn nothing_is_found_but_what_a_look_at_each_finds() {
        let subjects = [
            json!({"kind": "User", "name": "jane"}),
            json!({"kind": "User", "name": "system:serviceaccount:a:bot"}),
            json!({"kind": "Group", "name": "ops"}),
            json!({"kind": "Group", "name": "jane"}),
            json!({"kind": "ServiceAccount", "name": "bot"}),
            json!({"kind": "ServiceAccount", "name": "bot", "namespace": "b"}),
            json!({"kind": "Robot", "name": "jane"}),
        ];
        let mut bindings = Bindings::default();
        for chosen in 0..1_usize << subjects.len() {
            let some: Vec<_> =
                (0..subjects.len()).filter(|bit| chosen >> bit & 1 == 1).map(|bit| &subjects[bit]).collect();
            let namespace = if chosen % 2 == 0 { "a" } else { "" };
            let meta = json!({"name": format!("{chosen}"), "namespace": namespace});
            bindings.push(Binding::of(&json!({"metadata": meta, "subjects": some})));
        }
        let users = [
            User::authenticated("jane", []),
            User::authenticated("joe", ["ops".to_owned(), "jane".to_owned()]),
            User::service_account("a", "bot", ""),
            User::service_account("b", "bot", ""),
            User::anonymous(),
        ];
        for user in &users {
            let found: Vec<_> =
                bindings.of(user).map(|(binding, subject)| (&binding.itself, subject)).collect();
            let looked = bindings.all.iter();
            let looked: Vec<_> =
                looked.filter_map(|binding| Some((&binding.itself, binding.subject(user)?))).collect();
            assert_eq!(found, looked, "{user:?}");
        }
    }
}
