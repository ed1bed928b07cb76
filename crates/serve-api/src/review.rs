//! Questions that are answered and never stored: who am I, who is this, what may I or somebody do.

use engine_access::{Attributes, Question, TokenError, User, parse_question, rules_status, status_of};
use engine_store::{Cause, Status, Target};
use serde_json::{Value, json};

use crate::issuer::ISSUER;
use crate::shared::Shared;

/// A kind that can only be created, and whose answer is the question with a status.
pub(crate) struct Review {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    /// Whether it is asked in a Namespace.
    pub(crate) namespaced: bool,
    answer: fn(&Asking<'_>) -> Result<Value, Status>,
}

/// A question, who asks and where.
struct Asking<'a> {
    shared: &'a Shared,
    review: &'a Review,
    target: &'a Target,
    question: &'a Value,
    user: &'a User,
}

impl Review {
    /// Singular resource name.
    pub(crate) fn singular(&self) -> String {
        self.kind.to_lowercase()
    }
}

/// All of them.
pub(crate) const REVIEWS: &[Review] = &[
    authorization("selfsubjectaccessreviews", "SelfSubjectAccessReview", false, own_access),
    authorization("selfsubjectrulesreviews", "SelfSubjectRulesReview", false, rules),
    authorization("subjectaccessreviews", "SubjectAccessReview", false, access),
    authorization("localsubjectaccessreviews", "LocalSubjectAccessReview", true, local_access),
    authentication("selfsubjectreviews", "SelfSubjectReview", who),
    authentication("tokenreviews", "TokenReview", token),
];

const fn authorization(
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    answer: fn(&Asking<'_>) -> Result<Value, Status>,
) -> Review {
    Review { group: "authorization.k8s.io", version: "v1", plural, kind, namespaced, answer }
}

const fn authentication(
    plural: &'static str,
    kind: &'static str,
    answer: fn(&Asking<'_>) -> Result<Value, Status>,
) -> Review {
    Review { group: "authentication.k8s.io", version: "v1", plural, kind, namespaced: false, answer }
}

/// The review a request is about.
pub(crate) fn find(target: &Target) -> Option<&'static Review> {
    REVIEWS.iter().find(|review| {
        target.name.is_none()
            && review.namespaced == target.namespace.is_some()
            && review.group == target.group
            && review.version == target.version
            && review.plural == target.resource
    })
}

/// Fills in the status of a review.
pub(crate) fn answer(
    shared: &Shared,
    review: &Review,
    target: &Target,
    mut question: Value,
    user: &User,
) -> Result<Value, Status> {
    let Some(map) = question.as_object_mut() else {
        return Err(Status::bad_request(format!("the body must be a {}", review.kind)));
    };
    map.insert("kind".to_owned(), review.kind.into());
    map.insert("apiVersion".to_owned(), format!("{}/{}", review.group, review.version).into());
    map.entry("metadata").or_insert_with(|| json!({}));
    let status = (review.answer)(&Asking { shared, review, target, question: &question, user })?;
    question["status"] = status;
    Ok(question)
}

fn own_access(asking: &Asking<'_>) -> Result<Value, Status> {
    let question = asking.question(false)?;
    Ok(status_of(&asking.shared.verdict(asking.user, &question.asked)))
}

fn access(asking: &Asking<'_>) -> Result<Value, Status> {
    let Question { user, asked } = asking.question(true)?;
    Ok(status_of(&asking.shared.verdict(&user.unwrap_or_default(), &asked)))
}

fn local_access(asking: &Asking<'_>) -> Result<Value, Status> {
    let Question { user, mut asked } = asking.question(true)?;
    let here = asking.target.namespace.clone().unwrap_or_default();
    let Attributes::Resource(resource) = &mut asked else {
        let text = "disallowed on this kind of request".to_owned();
        return Err(asking.invalid("spec.nonResourceAttributes", format!("Forbidden: {text}")));
    };
    if resource.namespace != here {
        let text = format!("Invalid value: {:?}: must match metadata.namespace", resource.namespace);
        return Err(asking.invalid("spec.resourceAttributes.namespace", text));
    }
    Ok(status_of(&asking.shared.verdict(&user.unwrap_or_default(), &asked)))
}

fn rules(asking: &Asking<'_>) -> Result<Value, Status> {
    let namespace = asking.question["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (rules, missing) = asking.shared.rbac().rules_for(asking.user, namespace);
    Ok(rules_status(&rules, &missing))
}

fn who(asking: &Asking<'_>) -> Result<Value, Status> {
    Ok(json!({"userInfo": asking.user.to_value()}))
}

/// `TokenReview` (upstream: `pkg/registry/authentication/tokenreview`).
fn token(asking: &Asking<'_>) -> Result<Value, Status> {
    let spec = &asking.question["spec"];
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = spec["audiences"].as_array().into_iter().flatten();
    let mut audiences: Vec<String> = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    Ok(match asking.shared.prove(token, &audiences) {
        Ok(proven) => json!({
            "authenticated": true,
            "user": proven.user.to_value(),
            "audiences": proven.audiences,
        }),
        // What is no token of ours may be anybody's.
        Err(TokenError::Malformed) => json!({"user": {}, "error": "invalid bearer token"}),
        Err(error) => json!({"user": {}, "error": format!("[invalid bearer token, {error}]")}),
    })
}

impl Asking<'_> {
    fn question(&self, about_another: bool) -> Result<Question, Status> {
        parse_question(self.question, about_another)
            .map_err(|error| self.invalid(&error.field, error.message))
    }

    fn invalid(&self, field: &str, message: String) -> Status {
        let cause = Cause { reason: "FieldValueInvalid", message, field: field.to_owned() };
        Status::invalid(self.review.group, self.review.kind, "", vec![cause])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_found_where_it_is_asked() {
        let target = |plural: &str, namespace: Option<&str>| Target {
            group: "authorization.k8s.io".into(),
            version: "v1".into(),
            resource: plural.into(),
            namespace: namespace.map(str::to_owned),
            ..Target::default()
        };
        assert!(find(&target("subjectaccessreviews", None)).is_some());
        assert!(find(&target("subjectaccessreviews", Some("n"))).is_none());
        assert!(find(&target("localsubjectaccessreviews", Some("n"))).is_some());
        assert!(find(&target("localsubjectaccessreviews", None)).is_none());
    }
}
