//! Questions a client asks about itself: who am I, what may I do. Answered, never stored.

use engine_store::{Status, Target};
use serde_json::{Value, json};

use crate::identity::Identity;

/// A kind that can only be created, and whose answer is the question with a status.
pub(crate) struct Review {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    answer: fn(&Value, &Identity) -> Value,
}

impl Review {
    /// Singular resource name.
    pub(crate) fn singular(&self) -> String {
        self.kind.to_lowercase()
    }
}

/// All of them.
pub(crate) const REVIEWS: &[Review] = &[
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        plural: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview",
        answer: access,
    },
    Review {
        group: "authorization.k8s.io",
        version: "v1",
        plural: "selfsubjectrulesreviews",
        kind: "SelfSubjectRulesReview",
        answer: rules,
    },
    Review {
        group: "authentication.k8s.io",
        version: "v1",
        plural: "selfsubjectreviews",
        kind: "SelfSubjectReview",
        answer: who,
    },
];

/// The review a request is about.
pub(crate) fn find(target: &Target) -> Option<&'static Review> {
    let plain = target.namespace.is_none() && target.name.is_none();
    REVIEWS.iter().find(|review| {
        plain
            && review.group == target.group
            && review.version == target.version
            && review.plural == target.resource
    })
}

/// Fills in the status of a review.
pub(crate) fn answer(review: &Review, mut question: Value, identity: &Identity) -> Result<Value, Status> {
    let Some(map) = question.as_object_mut() else {
        return Err(Status::bad_request(format!("the body must be a {}", review.kind)));
    };
    map.insert("kind".to_owned(), review.kind.into());
    map.insert("apiVersion".to_owned(), format!("{}/{}", review.group, review.version).into());
    map.entry("metadata").or_insert_with(|| json!({}));
    let status = (review.answer)(&question, identity);
    question["status"] = status;
    Ok(question)
}

fn access(question: &Value, identity: &Identity) -> Value {
    let verb =
        |attributes: &str| question.pointer(&format!("/spec/{attributes}/verb")).and_then(Value::as_str);
    let verb = verb("resourceAttributes").or_else(|| verb("nonResourceAttributes")).unwrap_or("*");
    if identity.may(verb) {
        json!({"allowed": true, "reason": "members of system:masters may do everything, others may read"})
    } else {
        json!({"allowed": false})
    }
}

fn rules(_question: &Value, identity: &Identity) -> Value {
    let verbs = if identity.is_administrator() { json!(["*"]) } else { json!(["get", "list", "watch"]) };
    json!({
        "resourceRules": [{"verbs": verbs, "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": verbs, "nonResourceURLs": ["*"]}],
        "incomplete": false,
    })
}

fn who(_question: &Value, identity: &Identity) -> Value {
    json!({"userInfo": {"username": identity.user, "groups": identity.groups}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_the_rule() {
        let reader = Identity { user: "jane".into(), groups: vec![] };
        let asked = |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}}});
        let review = &REVIEWS[0];
        assert_eq!(answer(review, asked("list"), &reader).unwrap()["status"]["allowed"], true);
        assert_eq!(answer(review, asked("create"), &reader).unwrap()["status"]["allowed"], false);
        assert_eq!(
            answer(&REVIEWS[2], json!({}), &reader).unwrap()["status"]["userInfo"]["username"],
            "jane"
        );
        assert_eq!(answer(review, json!([]), &reader).unwrap_err().code, 400);
    }
}
