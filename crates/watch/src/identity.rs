//! Which very object a name stands for now, for Events about it.

use kube::Client;
use kube::Resource;
use kube::api::GetParams;
use kube::core::{DynamicObject, PartialObjectMeta, Request};
use types::ObjectRef;

use crate::Error;
use crate::kinds::KINDS;

/// What tells an object from another of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `apiVersion` of its kind.
    pub api_version: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// The identity of an object of a watched kind; none when it is gone, or of another kind.
///
/// # Errors
/// When it cannot be read.
pub async fn identity(client: &Client, object: &ObjectRef) -> Result<Option<Identity>, Error> {
    let Some(kind) = KINDS.iter().find(|kind| kind.kind.as_str() == object.kind) else { return Ok(None) };
    let resource = (kind.resource)();
    let unreadable = |source| Error::Read { object: object.clone(), source: Box::new(source) };
    let path = DynamicObject::url_path(&resource, object.namespace.as_deref());
    let request = Request::new(path)
        .get(&object.name, &GetParams::default())
        .map_err(|error| unreadable(kube::Error::BuildRequest(error)))?;
    match client.request::<PartialObjectMeta<DynamicObject>>(request).await {
        Ok(found) => {
            let uid = found.metadata.uid.unwrap_or_default();
            Ok(Some(Identity { api_version: resource.api_version, uid }))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}
