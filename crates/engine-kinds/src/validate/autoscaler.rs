//! Rules for HorizontalPodAutoscalers (upstream: `pkg/apis/autoscaling/validation`).

use engine_schema::decode::decode;
use engine_schema::{quantity, type_of};
use serde_json::Value;

use super::{Findings, names};
use crate::object::{integer, list, text};

/// What can be measured, and the field that says more about it.
const SOURCES: &[(&str, &str)] = &[
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

pub(crate) fn autoscaler(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    // The annotations of autoscaling/v1 bring parts that no schema has seen.
    let found = decode(&mut object.clone(), &type_of("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"));
    if let Some(error) = found.error {
        findings.invalid("metadata.annotations", &Value::Null, &error);
        return;
    }
    let least = integer(object, "/spec/minReplicas");
    let most = integer(object, "/spec/maxReplicas").unwrap_or(0);
    if let Some(least) = least.filter(|least| *least < 1) {
        findings.invalid("spec.minReplicas", &least.into(), "must be greater than or equal to 1");
    }
    if most < 1 {
        findings.invalid("spec.maxReplicas", &most.into(), "must be greater than 0");
    }
    if least.is_some_and(|least| most < least) {
        findings.invalid("spec.maxReplicas", &most.into(), "must be greater than or equal to `minReplicas`");
    }
    reference(object, "/spec/scaleTargetRef", "spec.scaleTargetRef", findings);
    for (index, one) in list(object, "/spec/metrics").iter().enumerate() {
        metric(one, &format!("spec.metrics[{index}]"), findings);
    }
}

fn reference(object: &Value, pointer: &str, field: &str, findings: &mut Findings) {
    for part in ["kind", "name"] {
        let value = text(object, &format!("{pointer}/{part}"));
        let field = format!("{field}.{part}");
        if value.is_empty() {
            findings.required(&field, "");
        }
        for problem in names::path_segment(value) {
            findings.invalid(&field, &value.into(), &problem);
        }
    }
}

fn metric(metric: &Value, field: &str, findings: &mut Findings) {
    let kind = text(metric, "/type");
    let kind_field = format!("{field}.type");
    let Some((_, source)) = SOURCES.iter().find(|(known, _)| *known == kind) else {
        if kind.is_empty() {
            findings.required(&kind_field, "must specify a metric source type");
        }
        let known: Vec<&str> = SOURCES.iter().map(|(known, _)| *known).collect();
        findings.not_supported(&kind_field, kind, &known);
        return;
    };
    for (_, other) in SOURCES.iter().filter(|(_, other)| other != source) {
        if metric.get(other).is_some() {
            findings.forbidden(&format!("{field}.{other}"), "must populate the given metric source only");
        }
    }
    let field = format!("{field}.{source}");
    let Some(about) = metric.get(source) else {
        findings.required(&field, "must populate information for the given metric source");
        return;
    };
    match *source {
        "resource" | "containerResource" => {
            if text(about, "/name").is_empty() {
                findings.required(&format!("{field}.name"), "must specify a resource name");
            }
            if *source == "containerResource" && text(about, "/container").is_empty() {
                findings.required(&format!("{field}.container"), "must specify a container");
            }
        }
        _ if text(about, "/metric/name").is_empty() => {
            findings.required(&format!("{field}.metric.name"), "must specify a metric name");
        }
        _ => {}
    }
    if *source == "object" {
        reference(about, "/describedObject", &format!("{field}.describedObject"), findings);
    }
    target(about, source, &format!("{field}.target"), findings);
}

fn target(about: &Value, source: &str, field: &str, findings: &mut Findings) {
    let kind = text(about, "/target/type");
    match kind {
        "" => findings.required(&format!("{field}.type"), "must specify a metric target type"),
        "Utilization" | "Value" | "AverageValue" => {}
        _ => {
            findings.invalid(
                &format!("{field}.type"),
                &kind.into(),
                "must be either Utilization, Value, or AverageValue",
            );
        }
    }
    let percent = integer(about, "/target/averageUtilization");
    if let Some(percent) = percent.filter(|percent| *percent < 1) {
        findings.invalid(&format!("{field}.averageUtilization"), &percent.into(), "must be greater than 0");
    }
    for amount in ["value", "averageValue"] {
        let value = about.pointer(&format!("/target/{amount}"));
        let size = value.and_then(Value::as_str).and_then(quantity::nanos);
        if let (Some(value), Some(..=0)) = (value, size) {
            findings.invalid(&format!("{field}.{amount}"), value, "must be positive");
        }
    }
    let average = about.pointer("/target/averageValue").is_some();
    let value = about.pointer("/target/value").is_some();
    let wrong = match source {
        "resource" | "containerResource" if !average && percent.is_none() => {
            Some(("averageUtilization", "must set either a target raw value or a target utilization"))
        }
        "pods" if !average => Some(("averageValue", "must specify a positive target averageValue")),
        "object" | "external" if !average && !value => {
            Some(("averageValue", "must set either a target value for metric or a per-pod target"))
        }
        _ => None,
    };
    if let Some((part, why)) = wrong {
        findings.required(&format!("{field}.{part}"), why);
    }
    if percent.is_some() && average {
        let why = "may not set both a target raw value and a target utilization";
        findings.forbidden(&format!("{field}.averageValue"), why);
    }
    if source == "external" && average && value {
        findings.forbidden(
            &format!("{field}.value"),
            "may not set both a target value for metric and a per-pod target",
        );
    }
}
