//! The variables of a policy's expressions, and expressions read in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_cel::ast::Expr;
use engine_cel::{Budget, Error, Key, Map, Type, Value, check, evaluate, parse};
use serde_json::Value as Json;

use crate::policy::Expression;

/// Names that expressions may use (upstream: `plugin/cel/compile.go`).
const NAMES: [&str; 6] = ["object", "oldObject", "request", "params", "namespaceObject", "variables"];
/// Steps all expressions of a policy may take together for one write (upstream: `RuntimeCELCostBudget`).
const BUDGET: u64 = 10_000_000;

/// Reads an expression; every variable may be anything.
pub(crate) fn compile(text: &str) -> Result<Expr, String> {
    let expr = parse(text).map_err(|error| error.text)?;
    let names: Vec<(&str, Type)> = NAMES.iter().map(|name| (*name, Type::Dyn)).collect();
    check(&expr, &names).map_err(|error| error.text)?;
    Ok(expr)
}

/// What one evaluation of a policy knows.
pub(crate) struct Environment {
    values: Vec<(&'static str, Value)>,
    variables: BTreeMap<Key, Value>,
    budget: Budget,
}

impl Environment {
    pub(crate) fn new(
        object: Option<&Json>,
        old: Option<&Json>,
        request: &Json,
        params: Option<&Json>,
        home: Option<&Json>,
    ) -> Self {
        let value = |json: Option<&Json>| json.map_or(Value::Null, Value::from_json);
        let values = vec![
            ("object", value(object)),
            ("oldObject", value(old)),
            ("request", Value::from_json(request)),
            ("params", value(params)),
            ("namespaceObject", value(home)),
        ];
        Self { values, variables: BTreeMap::new(), budget: Budget::new(BUDGET) }
    }

    /// Adds a variable for the expressions that follow. One that fails is missing, which fails whoever uses it:
    /// upstream evaluates variables only when they are used.
    pub(crate) fn define(&mut self, name: &str, expression: &Expression) {
        if let Ok(value) = self.evaluate(expression) {
            self.variables.insert(Key::string(name), value);
        }
    }

    pub(crate) fn evaluate(&mut self, expression: &Expression) -> Result<Value, String> {
        let expr = expression.parsed.as_ref().map_err(Clone::clone)?;
        let mut values = self.values.clone();
        let variables = Map { entries: self.variables.clone() };
        values.push(("variables", Value::Map(Arc::new(variables))));
        evaluate(expr, &values, &mut self.budget).map_err(|error: Error| error.to_string())
    }

    /// The value of an expression that must be true or false.
    pub(crate) fn holds(&mut self, expression: &Expression) -> Result<bool, String> {
        match self.evaluate(expression)? {
            Value::Bool(value) => Ok(value),
            other => Err(format!("expected bool, got {}", other.type_name())),
        }
    }
}
