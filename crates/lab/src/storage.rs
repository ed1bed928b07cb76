//! What PersistentVolumeClaims hold: a directory for each volume of the lab's own, which goes with the volume.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolume;
use watch::{Client, ObjectBatch, Selection};

use crate::settings::LabSettings;

/// Where all of them are.
pub(crate) fn directory(settings: &LabSettings) -> PathBuf {
    settings.data_dir.as_deref().unwrap_or(&settings.state_dir).join("volumes")
}

/// Removes what a volume held once the volume is gone, for as long as it is polled.
pub(crate) async fn clear(client: Client, storage: PathBuf) {
    let mut volumes = pin!(watch::objects::<PersistentVolume>(&client, Selection::default()));
    while let Some(batch) = volumes.next().await {
        if let ObjectBatch::Remove(volume) = batch {
            remove(&volume, &storage);
        }
    }
}

fn remove(volume: &PersistentVolume, storage: &Path) {
    let source = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    let Some(source) = source.filter(|source| source.driver == controllers::LAB_STORAGE) else { return };
    let directory = storage.join(&source.volume_handle);
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(directory = %directory.display(), %error, "a volume could not be removed");
        }
        _ => {}
    }
}
