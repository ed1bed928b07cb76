//! (policies, bindings, write) → denied by which, or warned, or nothing.

use std::sync::Arc;

use engine_cel::Value as CelValue;
use serde_json::Value;

use crate::environment::Environment;
use crate::policy::{Admission, Binding, OnFailure, ParamRef, Policy, Validation};
use crate::request::Request;
use crate::verdict::{Denial, Outcome};

/// Kinds that policies never see, so that a bad one can be taken back (upstream: `plugin/policy/generic`).
const EXEMPT_GROUP: &str = "admissionregistration.k8s.io";
const EXEMPT: [&str; 4] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// A rule that does not hold: message and reason.
type Broken = (String, &'static str);

impl Admission {
    /// Whether some policy may have a say; the objects need not be known for it.
    #[must_use]
    pub fn may_concern(&self, request: &Request<'_>) -> bool {
        !is_exempt(request)
            && self.bindings.iter().any(|binding| {
                self.policies.get(&binding.policy).is_some_and(|policy| {
                    policy.resources.may_concern(request)
                        && binding.resources.as_ref().is_none_or(|resources| resources.may_concern(request))
                })
            })
    }
}

/// What the policies say; `find` gives the parameters of a binding by `apiVersion`, `kind` and reference, or says that
/// there is no such kind.
#[must_use]
pub fn decide(
    admission: &Admission,
    request: &Request<'_>,
    find: impl Fn(&str, &str, &ParamRef) -> Result<Vec<Arc<Value>>, String>,
) -> Outcome {
    let mut outcome = Outcome::default();
    if is_exempt(request) {
        return outcome;
    }
    for binding in &admission.bindings {
        let Some(policy) = admission.policies.get(&binding.policy) else { continue };
        let concerned = policy.resources.concern(request)
            && binding.resources.as_ref().is_none_or(|resources| resources.concern(request));
        if concerned {
            for broken in look(policy, binding, request, &find) {
                note(&mut outcome, policy, binding, broken);
            }
        }
    }
    outcome
}

fn is_exempt(request: &Request<'_>) -> bool {
    request.resource[0] == EXEMPT_GROUP && EXEMPT.contains(&request.resource[2])
}

/// What a binding does about a broken rule.
fn note(outcome: &mut Outcome, policy: &Policy, binding: &Binding, (message, reason): Broken) {
    let acts = |action: &str| binding.actions.iter().any(|own| own == action);
    if acts("Warn") {
        outcome.warnings.push(format!(
            "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
            policy.name, binding.name
        ));
    }
    if acts("Deny") && outcome.denial.is_none() {
        let (policy, binding) = (policy.name.clone(), binding.name.clone());
        outcome.denial = Some(Denial { policy, binding, message, reason });
    }
}

/// Every rule of the policy that does not hold, for each of the binding's parameters.
fn look(
    policy: &Policy,
    binding: &Binding,
    request: &Request<'_>,
    find: impl Fn(&str, &str, &ParamRef) -> Result<Vec<Arc<Value>>, String>,
) -> Vec<Broken> {
    let (Some((api_version, kind)), Some(reference)) = (&policy.params, &binding.params) else {
        return validate(policy, request, None);
    };
    let found = match find(api_version, kind, reference) {
        Ok(found) => found,
        Err(why) => return failed(policy, format!("failed to configure binding: {why}")),
    };
    if found.is_empty() && reference.deny_without {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return failed(policy, format!("failed to configure binding: {why}"));
    }
    found.iter().flat_map(|params| validate(policy, request, Some(&**params))).collect()
}

fn validate(policy: &Policy, request: &Request<'_>, params: Option<&Value>) -> Vec<Broken> {
    let shown = request.to_value();
    let mut environment = Environment::new(request.object, request.old, &shown, params, request.home);
    for (_, condition) in &policy.conditions {
        match environment.holds(condition) {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(why) => return failed(policy, expression_failed(&condition.text, &why)),
        }
    }
    for (name, expression) in &policy.variables {
        environment.define(name, expression);
    }
    let broken =
        policy.validations.iter().filter_map(|validation| match environment.holds(&validation.expression) {
            Ok(true) => None,
            Ok(false) => Some(vec![(message(validation, &mut environment), reason(&validation.reason))]),
            Err(why) => Some(failed(policy, expression_failed(&validation.expression.text, &why))),
        });
    broken.flatten().collect()
}

/// What a policy that cannot be evaluated means.
fn failed(policy: &Policy, message: String) -> Vec<Broken> {
    match policy.on_failure {
        OnFailure::Fail => vec![(message, "Invalid")],
        OnFailure::Ignore => Vec::new(),
    }
}

fn expression_failed(expression: &str, why: &str) -> String {
    format!("expression '{}' resulted in error: {why}", expression.trim())
}

/// The message expression's text if it is a good one, else the message, else the expression.
fn message(validation: &Validation, environment: &mut Environment) -> String {
    let made = validation.message_expression.as_ref().and_then(|expression| {
        match environment.evaluate(expression) {
            Ok(CelValue::String(text)) => Some(text.trim().to_owned()),
            _ => None,
        }
    });
    match made.filter(|text| !text.is_empty() && !text.contains('\n')) {
        Some(text) => text,
        None if !validation.message.is_empty() => validation.message.trim().to_owned(),
        None => format!("failed expression: {}", validation.expression.text.trim()),
    }
}

/// Reasons a policy may give.
fn reason(wanted: &str) -> &'static str {
    match wanted {
        "Unauthorized" => "Unauthorized",
        "Forbidden" => "Forbidden",
        "RequestEntityTooLarge" => "RequestEntityTooLarge",
        _ => "Invalid",
    }
}

#[cfg(test)]
mod tests;
