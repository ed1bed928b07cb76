//! Events in their two forms: stored as core/v1, shown as events.k8s.io/v1 as well.

use std::borrow::Cow;

use serde_json::Value;

use crate::row::View;

/// The events.k8s.io form of core Events.
pub(crate) const VIEW: View =
    View { group: Cow::Borrowed(""), plural: Cow::Borrowed("events"), to_stored, from_stored };

/// Field names: events.k8s.io/v1, core/v1 (upstream: `pkg/apis/events/v1/conversion.go`).
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn to_stored(mut event: Value) -> Value {
    let Some(map) = event.as_object_mut() else { return event };
    for (view, stored) in NAMES {
        if let Some(value) = map.remove(*view) {
            map.insert((*stored).to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), Value::from("v1"));
    event
}

fn from_stored(event: &Value) -> Value {
    let mut event = event.clone();
    let Some(map) = event.as_object_mut() else { return event };
    for (view, stored) in NAMES {
        if let Some(value) = map.remove(*stored) {
            map.insert((*view).to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), Value::from("events.k8s.io/v1"));
    event
}
