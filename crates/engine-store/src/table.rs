//! Tables: the columns and cells `kubectl get` prints.

pub(crate) mod columns;
mod network;
mod pods;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kind::{Kind, KindId};
use crate::object::text;
use crate::request::{IncludeObject, Target};
use crate::scale;
use crate::store::Store;

impl Store {
    /// Objects of a target as a `meta.k8s.io/v1 Table`, without list metadata. The objects are those that
    /// [`Store::list`], [`Store::read`] or [`Store::next`] gave.
    #[must_use]
    pub fn table(
        &self,
        target: &Target,
        now: Timestamp,
        objects: &[Arc<Value>],
        include: IncludeObject,
    ) -> Value {
        let columns = match (target.subresource.as_deref(), KindId::of_target(target)) {
            (Some("scale"), _) | (_, None) => columns::PLAIN,
            (_, Some(id)) => id.kind().columns,
        };
        let definitions: Vec<Value> = columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.name,
                    "type": column.kind,
                    "format": column.format,
                    "description": column.name,
                    "priority": column.priority,
                })
            })
            .collect();
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| {
                let cells: Vec<Value> = columns.iter().map(|column| (column.cell)(object, now)).collect();
                json!({"cells": cells, "object": shown(object, include)})
            })
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {},
            "columnDefinitions": definitions,
            "rows": rows,
        })
    }
}

/// What a row carries of its object.
fn shown(object: &Value, include: IncludeObject) -> Value {
    match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_metadata(object),
        IncludeObject::Object => object.clone(),
    }
}

/// The `PartialObjectMetadata` of an object.
#[must_use]
pub fn partial_metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// How long ago a time was, as a cell.
pub(crate) fn age_of(object: &Value, pointer: &str, now: Timestamp) -> String {
    match text(object, pointer).parse::<Timestamp>() {
        Ok(time) => human_duration(now.as_second() - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A duration in the two largest units that matter (upstream: apimachinery `duration.HumanDuration`).
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

/// Schemas of objects that subresources speak are not kinds of their own.
#[must_use]
pub(crate) fn spoken_schema(kind: &Kind, subresource: &str) -> &'static str {
    match subresource {
        "scale" => scale::SCHEMA,
        "binding" => "io.k8s.api.core.v1.Binding",
        "eviction" => "io.k8s.api.policy.v1.Eviction",
        _ => kind.schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, wanted) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (7500, "125m"),
            (7 * 3600 + 300, "7h5m"),
            (30 * 3600, "30h"),
            (3 * 86_400, "3d"),
            (3 * 86_400 + 3600, "3d1h"),
            (400 * 86_400, "400d"),
            (-5, "<invalid>"),
        ] {
            assert_eq!(human_duration(seconds), wanted, "{seconds}");
        }
    }
}
