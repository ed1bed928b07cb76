//! What every cluster has from its first moment.

use serde_json::{Value, json};

use crate::request::{Env, Target, Write, WriteOptions};
use crate::service_account;
use crate::store::Store;
use engine_kinds::Status;

const NAMESPACES: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

const OWN_SERVICE: &str = "kubernetes";

impl Store {
    /// Makes the built-in namespaces and the Service `default/kubernetes`, as far as they are missing.
    ///
    /// # Errors
    /// When the Service range has no place for the Service.
    pub fn bootstrap(&mut self, env: &mut Env<'_>) -> Result<(), Status> {
        for name in NAMESPACES {
            let object = json!({"metadata": {"name": name}});
            self.ensure(env, "namespaces", None, object)?;
            // One that an earlier start left without.
            self.furnish(env, name)?;
        }
        self.ensure_default_range(env)?;
        self.ensure_own_service(env)
    }

    /// Whether there is the Service that stands for the API server.
    pub(crate) fn has_own_service(&self) -> bool {
        self.holds(self.registry().built_in("", "services"), "default", OWN_SERVICE)
    }

    /// Makes the Service that stands for the API server, if it is missing (upstream:
    /// `pkg/controlplane/controller/kubernetesservice`).
    pub(crate) fn ensure_own_service(&mut self, env: &mut Env<'_>) -> Result<(), Status> {
        let Some(address) = self.config().service_cidrs.first().and_then(|range| range.nth(1)) else {
            return Ok(());
        };
        let service = json!({
            "metadata": {
                "name": OWN_SERVICE,
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": address.to_string(),
                "ports": [{"name": "https", "port": 443, "targetPort": 6443}],
            },
        });
        self.ensure(env, "services", Some("default"), service)
    }

    /// Gives a Namespace what Pods need from its first moment.
    pub(crate) fn furnish(&mut self, env: &mut Env<'_>, namespace: &str) -> Result<(), Status> {
        let account = json!({"metadata": {"name": service_account::DEFAULT}});
        self.ensure(env, "serviceaccounts", Some(namespace), account)
    }

    fn ensure(
        &mut self,
        env: &mut Env<'_>,
        resource: &str,
        namespace: Option<&str>,
        object: Value,
    ) -> Result<(), Status> {
        let target = Target {
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            ..Target::default()
        };
        let options = WriteOptions { field_manager: "sealane".to_owned(), ..WriteOptions::default() };
        match self.write(env, &target, Write::Create(object), &options) {
            Ok(_) => Ok(()),
            Err(status) if status.reason == "AlreadyExists" => Ok(()),
            Err(status) => Err(status),
        }
    }
}
