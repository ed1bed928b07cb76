//! One object, read once.

use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use types::{NamespacedName, ObjectRef};

use crate::{Error, Watched};

/// The object of this name as it is now; none when there is none. Cluster-scoped kinds have an empty Namespace.
///
/// # Errors
/// When it cannot be read.
pub async fn object<K: Watched>(client: &Client, name: &NamespacedName) -> Result<Option<K>, Error> {
    let namespace = Some(name.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let unreadable = |source| {
        let kind = K::kind(&());
        let object = match namespace {
            Some(_) => ObjectRef::namespaced(&kind, name),
            None => ObjectRef::cluster(&kind, &name.name),
        };
        Error::Read { object, source: Box::new(source) }
    };
    let request = Request::new(K::url_path(&(), namespace))
        .get(&name.name, &GetParams::default())
        .map_err(|error| unreadable(kube::Error::BuildRequest(error)))?;
    match client.request::<K>(request).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}
