//! Validating admission policies as clients meet them.

use http::Method;
use serde_json::{Value, json};

use crate::http_surface::Http;
use crate::world::World;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn policy(expression: &str) -> Value {
    json!({
        "metadata": {"name": "sizes"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
            }]},
            "variables": [{"name": "size", "expression": "has(object.data) ? int(object.data.size) : 0"}],
            "validations": [{"expression": expression, "message": "too large"}],
        },
    })
}

fn binding(actions: &Value) -> Value {
    json!({"metadata": {"name": "everywhere"}, "spec": {"policyName": "sizes", "validationActions": actions}})
}

fn config_map(name: &str, size: u32) -> String {
    json!({"metadata": {"name": name}, "data": {"size": size.to_string()}}).to_string()
}

#[test]
fn what_a_policy_forbids_is_refused_in_its_words() {
    let world = World::start();
    let http = Http::new(&world);
    let expression = "request.operation == 'DELETE' || variables.size < 10";
    assert_eq!(http.post(POLICIES, JSON, policy(expression).to_string()).code, 201);
    // A policy without a binding says nothing.
    assert_eq!(http.post(CONFIG_MAPS, JSON, config_map("before", 50)).code, 201);
    assert_eq!(http.post(BINDINGS, JSON, binding(&json!(["Deny"])).to_string()).code, 201);
    let refused = http.post(CONFIG_MAPS, JSON, config_map("big", 50)).is_status(422, "Invalid");
    let text = "configmaps \"big\" is forbidden: ValidatingAdmissionPolicy 'sizes' with binding 'everywhere' denied \
                request: too large";
    assert_eq!(refused["message"], json!(text));
    assert_eq!(http.get(&format!("{CONFIG_MAPS}/big")).code, 404);
    assert_eq!(http.post(CONFIG_MAPS, JSON, config_map("small", 5)).code, 201);
    let small = format!("{CONFIG_MAPS}/small");
    let grow = json!({"data": {"size": "11"}}).to_string();
    http.call(Method::PATCH, &small, MERGE, grow.clone()).is_status(422, "Invalid");
    assert_eq!(http.get(&small).json()["data"]["size"], "5");
    assert_eq!(http.call(Method::DELETE, &small, "", "").code, 200);
    // Without the binding it is as before.
    assert_eq!(http.call(Method::DELETE, &format!("{BINDINGS}/everywhere"), "", "").code, 200);
    assert_eq!(http.post(CONFIG_MAPS, JSON, config_map("big", 50)).code, 201);
}

#[test]
fn warnings_and_deletions() {
    let world = World::start();
    let http = Http::new(&world);
    http.post(POLICIES, JSON, policy("request.operation != 'DELETE' && variables.size < 10").to_string());
    let bound = http.post(BINDINGS, JSON, binding(&json!(["Warn", "Audit"])).to_string());
    assert!(bound.headers["warning"].to_str().unwrap().contains("no audit log"), "{:?}", bound.headers);
    let made = http.post(CONFIG_MAPS, JSON, config_map("big", 50));
    assert_eq!(made.code, 201);
    let warning = made.headers["warning"].to_str().unwrap();
    assert!(
        warning.contains("Validation failed for ValidatingAdmissionPolicy 'sizes' with binding 'everywhere'"),
        "{warning}"
    );
    let deny = json!({"spec": {"validationActions": ["Deny"]}}).to_string();
    assert_eq!(http.call(Method::PATCH, &format!("{BINDINGS}/everywhere"), MERGE, deny).code, 200);
    http.call(Method::DELETE, &format!("{CONFIG_MAPS}/big"), "", "").is_status(422, "Invalid");
    http.call(Method::DELETE, CONFIG_MAPS, "", "").is_status(422, "Invalid");
    assert_eq!(http.get(&format!("{CONFIG_MAPS}/big")).code, 200);
}

#[test]
fn a_policy_that_cannot_be_used_is_refused() {
    let world = World::start();
    let http = Http::new(&world);
    let refused = http.post(POLICIES, JSON, policy("variables.size <").to_string()).is_status(422, "Invalid");
    let message = refused["message"].as_str().unwrap();
    let begin = "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"sizes\" is invalid: \
                 spec.validations[0].expression: Invalid value: \"variables.size <\": compilation failed: ";
    assert!(message.starts_with(begin), "{message}");
}
