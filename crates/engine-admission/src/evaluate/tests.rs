//! Policies as they are met in the wild, and each part of them apart.

use serde_json::json;

use super::*;
use crate::policy::findings;
use crate::request::Operation;

const CRDS: [&str; 3] = ["apiextensions.k8s.io", "v1", "customresourcedefinitions"];

fn mk_policy(validations: Value, more: Value) -> Value {
    let rule = json!({"apiGroups": [CRDS[0]], "apiVersions": ["v1"], "resources": [CRDS[2]],
        "operations": ["CREATE", "UPDATE"]});
    let mut spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": validations});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": "safe"}, "spec": spec})
}

fn mk_binding(actions: Value) -> Value {
    json!({"metadata": {"name": "bound"}, "spec": {"policyName": "safe", "validationActions": actions}})
}

fn mk_request<'a>(object: &'a Value, old: Option<&'a Value>, user: &'a Value) -> Request<'a> {
    Request {
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        resource: CRDS,
        kind: "CustomResourceDefinition",
        subresource: "",
        namespace: "",
        name: "x",
        user,
        dry_run: false,
        object: Some(object),
        old,
        home: None,
    }
}

fn decide_on(policy: &Value, binding: &Value, object: &Value, old: Option<&Value>) -> Outcome {
    let admission = Admission::new([policy], [binding]);
    let user = json!({"username": "jane"});
    decide(&admission, &mk_request(object, old, &user), |_, _, _| Ok(Vec::new()))
}

fn told(outcome: &Outcome) -> String {
    outcome.denial.as_ref().map(Denial::text).unwrap_or_default()
}

/// The rule the Gateway API's channels are kept apart with, in our words.
#[test]
fn experimental_definitions_do_not_follow_standard_ones() {
    const CHANNEL: &str = "gateway.networking.k8s.io/channel";
    let expression = format!(
        "object.spec.group != 'gateway.networking.k8s.io' || oldObject == null || \
         !(has(object.metadata.annotations) && '{CHANNEL}' in object.metadata.annotations && \
         object.metadata.annotations['{CHANNEL}'] == 'experimental') || \
         oldObject.metadata.annotations['{CHANNEL}'] == 'experimental'"
    );
    let validation =
        json!([{"expression": expression, "message": "Channels do not mix.", "reason": "Invalid"}]);
    let (policy, binding) = (mk_policy(validation, json!({})), mk_binding(json!(["Deny"])));
    let mk = |group: &str, channel: &str| json!({"metadata": {"annotations": {CHANNEL: channel}}, "spec": {"group": group}});
    let gateway = |channel: &str| mk("gateway.networking.k8s.io", channel);
    let (standard, experimental) = (gateway("standard"), gateway("experimental"));
    assert_eq!(told(&decide_on(&policy, &binding, &experimental, None)), "");
    assert_eq!(told(&decide_on(&policy, &binding, &experimental, Some(&experimental))), "");
    let denied = decide_on(&policy, &binding, &experimental, Some(&standard));
    assert_eq!(
        told(&denied),
        "ValidatingAdmissionPolicy 'safe' with binding 'bound' denied request: Channels do not mix."
    );
    assert_eq!(denied.denial.unwrap().code(), 422);
    let other = mk("example.com", "experimental");
    assert_eq!(told(&decide_on(&policy, &binding, &other, Some(&standard))), "");
}

#[test]
fn actions_and_messages() {
    let object = json!({"spec": {"size": 9}});
    let validation = json!([{"expression": "object.spec.size < 5", "messageExpression": "'size ' + string(object.spec.size)"}]);
    let policy = mk_policy(validation, json!({}));
    let warned = decide_on(&policy, &mk_binding(json!(["Warn"])), &object, None);
    assert_eq!(warned.denial, None);
    assert_eq!(
        warned.warnings,
        ["Validation failed for ValidatingAdmissionPolicy 'safe' with binding 'bound': size 9"]
    );
    let audited = decide_on(&policy, &mk_binding(json!(["Audit"])), &object, None);
    assert_eq!(audited, Outcome::default());
    let plain = mk_policy(json!([{"expression": "object.spec.size < 5", "reason": "Forbidden"}]), json!({}));
    let denial = decide_on(&plain, &mk_binding(json!(["Deny"])), &object, None).denial.unwrap();
    assert_eq!((denial.message.as_str(), denial.code()), ("failed expression: object.spec.size < 5", 403));
}

#[test]
fn variables_conditions_and_failures() {
    let object = json!({"spec": {"size": 9}});
    let deny = mk_binding(json!(["Deny"]));
    let variables = json!([
        {"name": "size", "expression": "object.spec.size"},
        {"name": "large", "expression": "variables.size > 5"},
        {"name": "unused", "expression": "object.spec.nothing"},
    ]);
    let validation = json!([{"expression": "!variables.large", "message": "too large"}]);
    let policy = mk_policy(validation.clone(), json!({"variables": variables}));
    assert!(told(&decide_on(&policy, &deny, &object, None)).ends_with("too large"));
    let only_jane =
        |name: &str| json!([{"name": "who", "expression": format!("request.userInfo.username == '{name}'")}]);
    for (name, denied) in [("jane", true), ("bob", false)] {
        let policy = mk_policy(json!([{"expression": "false"}]), json!({"matchConditions": only_jane(name)}));
        assert_eq!(decide_on(&policy, &deny, &object, None).denial.is_some(), denied, "{name}");
    }
    let failing = json!([{"expression": "object.spec.nothing == 1"}]);
    let outcome = decide_on(&mk_policy(failing.clone(), json!({})), &deny, &object, None);
    assert!(
        told(&outcome).contains("expression 'object.spec.nothing == 1' resulted in error: no such key"),
        "{outcome:?}"
    );
    let ignoring = mk_policy(failing, json!({"failurePolicy": "Ignore"}));
    assert_eq!(decide_on(&ignoring, &deny, &object, None), Outcome::default());
}

#[test]
fn only_the_writes_meant_are_looked_at() {
    let object = json!({"metadata": {"labels": {"a": "b"}}});
    let deny = mk_binding(json!(["Deny"]));
    let never = json!([{"expression": "false"}]);
    let rule = |more: Value| {
        let mut rule =
            json!({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]});
        for (key, value) in more.as_object().unwrap() {
            rule[key] = value.clone();
        }
        json!({"resourceRules": [rule]})
    };
    for (constraints, concerned) in [
        (rule(json!({})), true),
        (rule(json!({"operations": ["DELETE"]})), false),
        (rule(json!({"resources": ["customresourcedefinitions/status"]})), false),
        (rule(json!({"resources": ["*/*"]})), true),
        (rule(json!({"resourceNames": ["y"]})), false),
        (rule(json!({"scope": "Namespaced"})), false),
        (
            json!({"resourceRules": rule(json!({}))["resourceRules"], "excludeResourceRules": rule(json!({}))["resourceRules"]}),
            false,
        ),
        (
            json!({"resourceRules": rule(json!({}))["resourceRules"], "objectSelector": {"matchLabels": {"a": "b"}}}),
            true,
        ),
        (
            json!({"resourceRules": rule(json!({}))["resourceRules"], "objectSelector": {"matchLabels": {"a": "c"}}}),
            false,
        ),
    ] {
        let policy = mk_policy(never.clone(), json!({"matchConstraints": constraints}));
        assert_eq!(decide_on(&policy, &deny, &object, None).denial.is_some(), concerned, "{constraints}");
    }
}

#[test]
fn parameters() {
    let policy = mk_policy(
        json!([{"expression": "object.spec.size <= int(params.data.most)", "message": "too large"}]),
        json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}),
    );
    let mut binding = mk_binding(json!(["Deny"]));
    binding["spec"]["paramRef"] =
        json!({"name": "limits", "namespace": "n", "parameterNotFoundAction": "Deny"});
    let admission = Admission::new([&policy], [&binding]);
    let (object, user) = (json!({"spec": {"size": 9}}), json!({}));
    let ask = |params: Vec<Value>| {
        let params: Vec<Arc<Value>> = params.into_iter().map(Arc::new).collect();
        decide(&admission, &mk_request(&object, None, &user), |_, kind, reference| {
            assert_eq!((kind, reference.name.as_str()), ("ConfigMap", "limits"));
            Ok(params.clone())
        })
    };
    assert_eq!(ask(vec![json!({"data": {"most": "10"}})]), Outcome::default());
    assert!(told(&ask(vec![json!({"data": {"most": "8"}})])).ends_with("too large"));
    assert!(
        told(&ask(Vec::new()))
            .ends_with("no params found for policy binding with `Deny` parameterNotFoundAction")
    );
}

#[test]
fn expressions_that_cannot_be_used_are_found() {
    let policy = mk_policy(
        json!([{"expression": "object."}, {"expression": "authorizer.path('/').check('get').allowed()"}, {"expression": "true"}]),
        json!({}),
    );
    let paths: Vec<String> = findings(&policy).into_iter().map(|(path, ..)| path).collect();
    assert_eq!(paths, ["spec.validations[0].expression", "spec.validations[1].expression"]);
}
