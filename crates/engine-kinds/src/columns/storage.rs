//! Columns of volumes and claims.

use serde_json::{Value, json};

use super::{AGE, NAME, column, text_or, wide};
use crate::object::{list, text};
use crate::row::Column;

pub(crate) const VOLUME_CLAIM: &[Column] = &[
    NAME,
    column("Status", |claim, _| {
        let deleting = !text(claim, "/metadata/deletionTimestamp").is_empty();
        json!(if deleting { "Terminating" } else { text(claim, "/status/phase") })
    }),
    column("Volume", |claim, _| json!(text(claim, "/spec/volumeName"))),
    column("Capacity", |claim, _| json!(text(claim, "/status/capacity/storage"))),
    column("Access Modes", |claim, _| access_modes(claim, "/status/accessModes").into()),
    column("StorageClass", |claim, _| json!(text(claim, "/spec/storageClassName"))),
    column("VolumeAttributesClass", |claim, _| text_or(claim, "/spec/volumeAttributesClassName", "<unset>")),
    AGE,
    wide("VolumeMode", |claim, _| text_or(claim, "/spec/volumeMode", "<unset>")),
];

pub(crate) const VOLUME: &[Column] = &[
    NAME,
    column("Capacity", |volume, _| json!(text(volume, "/spec/capacity/storage"))),
    column("Access Modes", |volume, _| access_modes(volume, "/spec/accessModes").into()),
    column("Reclaim Policy", |volume, _| json!(text(volume, "/spec/persistentVolumeReclaimPolicy"))),
    column("Status", |volume, _| {
        let deleting = !text(volume, "/metadata/deletionTimestamp").is_empty();
        json!(if deleting { "Terminating" } else { text(volume, "/status/phase") })
    }),
    column("Claim", |volume, _| {
        let name = text(volume, "/spec/claimRef/name");
        let namespace = text(volume, "/spec/claimRef/namespace");
        json!(if name.is_empty() { String::new() } else { format!("{namespace}/{name}") })
    }),
    column("StorageClass", |volume, _| json!(text(volume, "/spec/storageClassName"))),
    column("VolumeAttributesClass", |volume, _| {
        text_or(volume, "/spec/volumeAttributesClassName", "<unset>")
    }),
    column("Reason", |volume, _| json!(text(volume, "/status/reason"))),
    AGE,
    wide("VolumeMode", |volume, _| text_or(volume, "/spec/volumeMode", "<unset>")),
];

/// `RWO,RWX` (upstream: `GetAccessModesAsString`).
fn access_modes(object: &Value, pointer: &str) -> String {
    let modes = list(object, pointer);
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let held = short.into_iter().filter(|(long, _)| modes.iter().any(|mode| mode == long));
    held.map(|(_, short)| short).collect::<Vec<_>>().join(",")
}
