//! Lowering of `metav1.LabelSelector`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use types::{LabelSelector, Operator, Requirement};

use crate::field::{FieldError, Read};

/// Lowers a label selector; `field` is its path, for the complaint.
///
/// # Errors
/// The path of the field at fault, and why: an unknown operator, or values where none belong.
pub fn lower_selector(selector: &v1::LabelSelector, field: &str) -> Result<LabelSelector, (String, String)> {
    read_selector(field, selector).map_err(|error| (error.field, error.message))
}

pub(crate) fn read_selector(field: &str, selector: &v1::LabelSelector) -> Read<LabelSelector> {
    let mut requirements = selector
        .match_labels
        .as_ref()
        .map(|labels| LabelSelector::from_map(labels).requirements)
        .unwrap_or_default();
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let at = |leaf: &str| format!("{field}.matchExpressions[{index}].{leaf}");
        let operator = match expression.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                let message =
                    format!("`{other}` is not an operator; supported: In, NotIn, Exists, DoesNotExist");
                return Err(FieldError::invalid(at("operator"), message));
            }
        };
        let values = expression.values.clone().unwrap_or_default();
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(FieldError::invalid(at("values"), "must be given with In and NotIn"));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(FieldError::invalid(
                    at("values"),
                    "must not be given with Exists and DoesNotExist",
                ));
            }
            _ => requirements.push(Requirement { key: expression.key.clone(), operator, values }),
        }
    }
    Ok(LabelSelector { requirements })
}
