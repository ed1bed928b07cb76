//! From an Ingress backend to the ready endpoints behind it.

use std::collections::BTreeSet;

use model::{IngressBackend, Service, ServicePort, ServicePortRef, ServiceType, Snapshot};
use plan::{Backend, HttpAction};
use types::{NamespacedName, ObjectRef, Protocol, ServiceName};

use crate::endpoints::{self, PortKey, SlicesByService};
use crate::findings::{Findings, error};

/// Looks up backends for one snapshot.
pub(super) struct Backends<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) slices: SlicesByService<'a>,
}

/// Which backend of which Ingress.
pub(super) struct BackendRef<'a> {
    pub(super) ingress: &'a NamespacedName,
    /// Path of the backend field, such as `spec.defaultBackend`.
    pub(super) field: String,
    pub(super) backend: &'a IngressBackend,
}

impl Backends<'_> {
    /// Forward to the backend, or answer 503 with the reason.
    pub(super) fn action(&self, reference: &BackendRef<'_>, findings: &mut Findings) -> HttpAction {
        let service = service_of(&reference.ingress.namespace, reference.backend);
        match self.resolve(&service, reference.backend) {
            Ok(backends) => {
                let unavailable =
                    backends.is_empty().then(|| format!("Service {service} has no ready endpoint"));
                HttpAction::Forward { service, backends, unavailable, rewrite_target: None }
            }
            Err((reason, message)) => {
                let object = ObjectRef::namespaced("Ingress", reference.ingress);
                findings.insert(error(object, &*reference.field, reason, &*message));
                HttpAction::Forward {
                    service,
                    backends: BTreeSet::new(),
                    unavailable: Some(message),
                    rewrite_target: None,
                }
            }
        }
    }

    fn resolve(
        &self,
        name: &ServiceName,
        backend: &IngressBackend,
    ) -> Result<BTreeSet<Backend>, (&'static str, String)> {
        let port = match backend {
            IngressBackend::Service { port, .. } => port,
            IngressBackend::Resource { kind, name } => {
                let message = format!("resource backends are not served: {kind} {name}; use a Service");
                return Err(("BackendNotSupported", message));
            }
        };
        let service = self
            .snapshot
            .services
            .get(name)
            .ok_or_else(|| ("ServiceNotFound", format!("there is no Service {name}")))?;
        if service.kind == ServiceType::ExternalName {
            let message =
                format!("Service {name} is of type ExternalName, which is no backend of an Ingress");
            return Err(("BackendNotSupported", message));
        }
        let port = find_port(service, port).ok_or_else(|| {
            ("ServicePortNotFound", format!("Service {name} has no TCP port {port}; {}", ports_of(service)))
        })?;
        let key = PortKey { name: &port.name, protocol: port.protocol };
        Ok(endpoints::ready_backends(&self.slices.of(name), key))
    }
}

/// The Service that a backend of an Ingress in this Namespace names.
pub(super) fn service_of(namespace: &str, backend: &IngressBackend) -> ServiceName {
    match backend {
        IngressBackend::Service { name, .. } | IngressBackend::Resource { name, .. } => {
            ServiceName::new(namespace, name.as_str())
        }
    }
}

fn find_port<'a>(service: &'a Service, wanted: &ServicePortRef) -> Option<&'a ServicePort> {
    service.ports.iter().filter(|port| port.protocol == Protocol::Tcp).find(|port| match wanted {
        ServicePortRef::Number(number) => port.port == *number,
        ServicePortRef::Name(name) => port.name == *name,
    })
}

fn ports_of(service: &Service) -> String {
    let port = |port: &ServicePort| match port.name.as_str() {
        "" => format!("{}", port.port),
        name => format!("{} ({name})", port.port),
    };
    match service.ports.is_empty() {
        true => "it has no ports".to_owned(),
        false => format!("it has {}", service.ports.iter().map(port).collect::<Vec<_>>().join(", ")),
    }
}
