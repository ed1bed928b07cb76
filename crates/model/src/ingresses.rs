//! Ingresses: hosts, paths, backends, TLS and the annotations that change them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::networking::v1;
use types::{NamespacedName, ObjectRef, Port};

use crate::field::{FieldError, Read, created_of, namespaced_name_of, read_port};
use crate::{Kind, Lower, Object, Rejected};

/// The annotation from before `spec.ingressClassName` (k8s.io/api/networking/v1beta1
/// `AnnotationIngressClass`).
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Prefix of ingress-nginx's annotations.
const NGINX_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// An Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `metadata.creationTimestamp`, in seconds since the epoch; older Ingresses win.
    pub created: i64,
    /// `spec.ingressClassName`.
    pub class: Option<String>,
    /// Annotation `kubernetes.io/ingress.class`, which counts only without `class`.
    pub class_annotation: Option<String>,
    /// Annotations `nginx.ingress.kubernetes.io/…`, without that prefix.
    pub nginx_annotations: BTreeMap<String, String>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<IngressBackend>,
    /// `spec.rules`.
    pub rules: Vec<IngressRule>,
    /// `spec.tls`.
    pub tls: Vec<IngressTls>,
    /// Addresses in `status.loadBalancer.ingress`.
    pub status: BTreeSet<IpAddr>,
}

/// One of `spec.rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRule {
    /// `host`, lower case; `None` means every host.
    pub host: Option<String>,
    /// `http.paths`.
    pub paths: Vec<IngressPath>,
}

/// One of `http.paths`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressPath {
    /// `path`, `/` when not given.
    pub path: String,
    /// `pathType`.
    pub path_type: PathType,
    /// `backend`.
    pub backend: IngressBackend,
}

/// `pathType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    /// Byte for byte.
    Exact,
    /// Element by element.
    Prefix,
    /// Up to the controller.
    ImplementationSpecific,
}

/// Where an Ingress sends requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressBackend {
    /// A Service of the Ingress's namespace.
    Service {
        /// `service.name`.
        name: String,
        /// `service.port`.
        port: ServicePortRef,
    },
    /// Another object, which is not served.
    Resource {
        /// `resource.kind`.
        kind: String,
        /// `resource.name`.
        name: String,
    },
}

/// A Service's port, as an Ingress names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePortRef {
    /// `number`, a Service port.
    Number(Port),
    /// `name`, a Service port's name.
    Name(String),
}

impl std::fmt::Display for ServicePortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(port) => write!(f, "{port}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// One of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressTls {
    /// `hosts`, lower case; empty means every host of the rules.
    pub hosts: Vec<String>,
    /// `secretName`.
    pub secret: Option<String>,
}

impl Lower for v1::Ingress {
    const KIND: Kind = Kind::Ingress;

    fn lower(&self) -> Result<Object, Rejected> {
        read_ingress(self)
            .map(Object::Ingress)
            .map_err(|error| error.of(ObjectRef::namespaced("Ingress", &namespaced_name_of(&self.metadata))))
    }
}

fn read_ingress(ingress: &v1::Ingress) -> Read<Ingress> {
    let spec = ingress.spec.as_ref().ok_or_else(|| FieldError::missing("spec"))?;
    let annotations = ingress.metadata.annotations.iter().flatten();
    let nginx = annotations
        .clone()
        .filter_map(|(key, value)| key.strip_prefix(NGINX_PREFIX).map(|key| (key.to_owned(), value.clone())));
    let class_annotation = annotations.clone().find(|(key, _)| *key == CLASS_ANNOTATION);
    let tls = spec.tls.iter().flatten().map(|tls| IngressTls {
        hosts: tls.hosts.iter().flatten().map(|host| host.to_ascii_lowercase()).collect(),
        secret: tls.secret_name.clone().filter(|name| !name.is_empty()),
    });
    Ok(Ingress {
        name: namespaced_name_of(&ingress.metadata),
        created: created_of(&ingress.metadata),
        class: spec.ingress_class_name.clone(),
        class_annotation: class_annotation.map(|(_, class)| class.clone()),
        nginx_annotations: nginx.collect(),
        default_backend: match &spec.default_backend {
            Some(backend) => Some(read_backend("spec.defaultBackend", backend)?),
            None => None,
        },
        rules: spec.rules.iter().flatten().enumerate().map(read_rule).collect::<Read<_>>()?,
        tls: tls.collect(),
        status: lower_status(ingress),
    })
}

/// Addresses only; what is not an address was written by another controller and is none of our business.
fn lower_status(ingress: &v1::Ingress) -> BTreeSet<IpAddr> {
    let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = status.iter().flat_map(|status| status.ingress.iter().flatten());
    entries.filter_map(|entry| entry.ip.as_deref()?.parse().ok()).collect()
}

fn read_rule((index, rule): (usize, &v1::IngressRule)) -> Read<IngressRule> {
    let paths = rule.http.iter().flat_map(|http| http.paths.iter()).enumerate();
    let host = rule.host.as_deref().filter(|host| !host.is_empty());
    Ok(IngressRule {
        host: host.map(str::to_ascii_lowercase),
        paths: paths
            .map(|(at, path)| read_path(&format!("spec.rules[{index}].http.paths[{at}]"), path))
            .collect::<Read<_>>()?,
    })
}

fn read_path(field: &str, path: &v1::HTTPIngressPath) -> Read<IngressPath> {
    let path_type = match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        "ImplementationSpecific" => PathType::ImplementationSpecific,
        other => {
            let message =
                format!("`{other}` is not a path type; supported: Exact, Prefix, ImplementationSpecific");
            return Err(FieldError::invalid(format!("{field}.pathType"), message));
        }
    };
    let text = path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    if !text.starts_with('/') && path_type != PathType::ImplementationSpecific {
        return Err(FieldError::invalid(format!("{field}.path"), format!("`{text}` must start with /")));
    }
    let backend = read_backend(&format!("{field}.backend"), &path.backend)?;
    Ok(IngressPath { path: text.to_owned(), path_type, backend })
}

fn read_backend(field: &str, backend: &v1::IngressBackend) -> Read<IngressBackend> {
    match (&backend.service, &backend.resource) {
        (Some(service), None) => {
            let at = || format!("{field}.service.port");
            let port = service.port.as_ref().ok_or_else(|| FieldError::missing(at()))?;
            let port = match (port.name.as_deref(), port.number) {
                (Some(name), _) if !name.is_empty() => ServicePortRef::Name(name.to_owned()),
                (_, Some(number)) => {
                    ServicePortRef::Number(read_port(|| format!("{}.number", at()), number)?)
                }
                _ => return Err(FieldError::missing(at())),
            };
            Ok(IngressBackend::Service { name: service.name.clone(), port })
        }
        (None, Some(resource)) => {
            Ok(IngressBackend::Resource { kind: resource.kind.clone(), name: resource.name.clone() })
        }
        _ => Err(FieldError::invalid(field, "needs either a service or a resource")),
    }
}
