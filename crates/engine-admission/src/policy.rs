//! Policies and bindings, read from their objects, with their expressions parsed.

use std::collections::BTreeMap;

use engine_cel::ast::Expr;
use serde_json::Value;

use crate::environment;
use crate::matching::Resources;

/// Policies and bindings, read once and asked often.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    pub(crate) policies: BTreeMap<String, Policy>,
    pub(crate) bindings: Vec<Binding>,
}

/// `ValidatingAdmissionPolicy`.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) on_failure: OnFailure,
    pub(crate) resources: Resources,
    pub(crate) conditions: Vec<(String, Expression)>,
    pub(crate) variables: Vec<(String, Expression)>,
    pub(crate) validations: Vec<Validation>,
    /// `apiVersion` and `kind` of its parameters.
    pub(crate) params: Option<(String, String)>,
}

/// What an expression that fails means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Fail,
    Ignore,
}

/// An expression, or why it is none.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) text: String,
    pub(crate) parsed: Result<Expr, String>,
}

/// One rule of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Validation {
    pub(crate) expression: Expression,
    pub(crate) message: String,
    pub(crate) message_expression: Option<Expression>,
    pub(crate) reason: String,
}

/// `ValidatingAdmissionPolicyBinding`.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) resources: Option<Resources>,
    pub(crate) params: Option<ParamRef>,
    pub(crate) actions: Vec<String>,
}

/// Which parameters a binding gives to its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamRef {
    /// Name of the one object; empty when a selector chooses.
    pub name: String,
    /// Its Namespace; empty for that of the request.
    pub namespace: String,
    /// The label selector, as the API has it.
    pub selector: Option<Value>,
    /// Whether a write is denied when there are none.
    pub deny_without: bool,
}

impl Admission {
    /// Reads policies and bindings, each in the order of the API.
    #[must_use]
    pub fn new<'a>(
        policies: impl IntoIterator<Item = &'a Value>,
        bindings: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let policies = policies.into_iter().map(Policy::of).map(|policy| (policy.name.clone(), policy));
        Self { policies: policies.collect(), bindings: bindings.into_iter().map(Binding::of).collect() }
    }

    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() || self.bindings.is_empty()
    }
}

impl Policy {
    pub(crate) fn of(object: &Value) -> Self {
        let spec = &object["spec"];
        let named = |field: &str| {
            let list = spec[field].as_array().into_iter().flatten();
            list.map(|one| (text(one, "name"), Expression::of(one, "expression"))).collect()
        };
        let params = spec.get("paramKind").filter(|kind| kind.is_object());
        Self {
            name: text(&object["metadata"], "name"),
            on_failure: if spec["failurePolicy"] == "Ignore" { OnFailure::Ignore } else { OnFailure::Fail },
            resources: Resources::of(&spec["matchConstraints"]),
            conditions: named("matchConditions"),
            variables: named("variables"),
            validations: spec["validations"].as_array().into_iter().flatten().map(Validation::of).collect(),
            params: params.map(|kind| (text(kind, "apiVersion"), text(kind, "kind"))),
        }
    }
}

impl Validation {
    fn of(value: &Value) -> Self {
        let has_message = value["messageExpression"].as_str().is_some_and(|text| !text.is_empty());
        Self {
            expression: Expression::of(value, "expression"),
            message: text(value, "message"),
            message_expression: has_message.then(|| Expression::of(value, "messageExpression")),
            reason: text(value, "reason"),
        }
    }
}

impl Expression {
    fn of(value: &Value, field: &str) -> Self {
        let text = text(value, field);
        let parsed = environment::compile(text.trim());
        Self { text, parsed }
    }
}

impl Binding {
    fn of(object: &Value) -> Self {
        let spec = &object["spec"];
        let resources = spec.get("matchResources").filter(|value| value.is_object());
        let params = spec.get("paramRef").filter(|value| value.is_object());
        let actions = spec["validationActions"].as_array().into_iter().flatten();
        Self {
            name: text(&object["metadata"], "name"),
            policy: text(spec, "policyName"),
            resources: resources.map(Resources::of),
            params: params.map(|params| ParamRef {
                name: text(params, "name"),
                namespace: text(params, "namespace"),
                selector: params.get("selector").filter(|value| value.is_object()).cloned(),
                deny_without: params["parameterNotFoundAction"] != "Allow",
            }),
            actions: actions.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}

/// Expressions that cannot be used: field path, expression, and why.
pub type Findings = Vec<(String, String, String)>;

/// What is wrong with the expressions of a new policy; a policy with such an expression would deny every write.
#[must_use]
pub fn findings(policy: &Value) -> Findings {
    let policy = Policy::of(policy);
    let mut findings = Findings::new();
    let mut look = |path: String, expression: &Expression| {
        if let Err(why) = &expression.parsed {
            findings.push((path, expression.text.clone(), why.clone()));
        }
    };
    for (field, list) in [("matchConditions", &policy.conditions), ("variables", &policy.variables)] {
        for (index, (_, expression)) in list.iter().enumerate() {
            look(format!("spec.{field}[{index}].expression"), expression);
        }
    }
    for (index, validation) in policy.validations.iter().enumerate() {
        look(format!("spec.validations[{index}].expression"), &validation.expression);
        if let Some(expression) = &validation.message_expression {
            look(format!("spec.validations[{index}].messageExpression"), expression);
        }
    }
    findings
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
