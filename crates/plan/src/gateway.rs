//! The HTTP and TLS entry of one node: which request goes where.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use types::{ObjectRef, Port, ServiceName};

use crate::Backend;

/// Listeners, routes and certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayPlan {
    /// Addresses to listen on; empty turns the entry off.
    pub addresses: BTreeSet<IpAddr>,
    /// Port for plain HTTP, usually 80.
    pub http_port: Option<Port>,
    /// Port for HTTPS, usually 443.
    pub https_port: Option<Port>,
    /// Routes by host, in no order; the engine picks the most specific host.
    pub hosts: Vec<VirtualHost>,
    /// Certificates by host name, for SNI; no match gets a self-made certificate.
    pub certificates: Vec<Certificate>,
    /// What takes requests that no route matches; 404 without it.
    pub default_backend: Option<HttpRoute>,
    /// Proxies in front whose `X-Forwarded-*` headers are believed; none by default.
    pub trusted_proxies: BTreeSet<types::Prefix>,
}

/// All routes of one host pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualHost {
    /// Which hosts.
    pub host: HostMatch,
    /// Whether plain HTTP is redirected to HTTPS with 308, because the host has TLS.
    pub https_redirect: bool,
    /// Routes; of several that match, the engine picks by [`PathMatch`] precedence, then the first in this list
    /// (`compile` lists older objects first).
    pub routes: Vec<HttpRoute>,
}

/// A host pattern of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HostMatch {
    /// This host, lower case.
    Exact(String),
    /// `*.suffix`: exactly one label before the suffix (semantics IG3); the suffix is held without `*.`.
    Wildcard(String),
    /// Every host.
    Any,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// The object it comes from.
    pub origin: ObjectRef,
    /// The field in it, such as `spec.rules[0].http.paths[1]`.
    pub field: String,
    /// Which paths.
    pub path: PathMatch,
    /// What to do.
    pub action: HttpAction,
}

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// Byte for byte.
    Exact(String),
    /// Element by element, a trailing `/` ignored.
    Prefix(String),
    /// A case-insensitive regular expression from the start of the path, as ingress-nginx's `location ~* "^..."`.
    Regex(String),
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HttpAction {
    /// Send it to one of `backends`; 503 when there is none.
    Forward {
        /// The Service, for explain and messages.
        service: ServiceName,
        /// Its ready endpoints for the route's port.
        backends: BTreeSet<Backend>,
        /// Why there is no backend, when there is none: `Service shop/web has no ready endpoint`.
        unavailable: Option<String>,
        /// `rewrite-target`, with `$1` to `$9` from the path's regular expression.
        rewrite_target: Option<String>,
    },
}

/// A TLS certificate from a Secret.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Hosts it is served for.
    pub hosts: Vec<HostMatch>,
    /// The Secret.
    pub secret: ObjectRef,
    /// `tls.crt`: PEM, leaf first.
    pub certificate_pem: String,
    /// `tls.key`: PEM. Never printed or serialized.
    #[serde(skip)]
    pub key_pem: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("hosts", &self.hosts)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl GatewayPlan {
    /// Every socket address of the entry, HTTP first.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let ports = [self.http_port, self.https_port];
        ports.into_iter().flatten().flat_map(|port| {
            self.addresses.iter().map(move |address| SocketAddr::new(*address, port.number()))
        })
    }
}
