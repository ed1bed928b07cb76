//! What a path asks for.

use engine_store::Target;

use crate::query::{Plus, decode};

/// The meaning of a request path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/version`.
    Version,
    /// `/livez`, `/readyz`, `/healthz`.
    Health,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/G`.
    Group(String),
    /// `/api/v1`, `/apis/G/V`.
    Resources {
        /// API group; empty for the core group.
        group: String,
        /// API version.
        version: String,
    },
    /// `/openapi/v3`.
    OpenApiRoot,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/G/V`.
    OpenApiDocument(
        /// `api/v1` or `apis/G/V`.
        String,
    ),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/.well-known/openid-configuration`.
    IssuerConfiguration,
    /// `/openid/v1/jwks`.
    IssuerKeys,
    /// A collection, an object, or a part of one.
    Object(Target),
    /// What a Pod, Service or Node answers: `/api/v1/namespaces/N/services/S/proxy/...`.
    Proxy {
        /// The part `proxy` of the object.
        target: Target,
        /// How many parts of the path lead to it; what follows is for the destination.
        segments: usize,
    },
    /// The old form of a watch: `/api/v1/watch/...`.
    OldWatch(Target),
    /// Nothing we know.
    Unknown,
}

impl Route {
    /// Reads a path.
    pub(crate) fn parse(path: &str) -> Self {
        let segments: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, Plus::IsPlus)).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["version"] => Self::Version,
            ["livez" | "readyz" | "healthz", ..] => Self::Health,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["api", version] => Self::Resources { group: String::new(), version: (*version).to_owned() },
            ["apis", group, version] => {
                Self::Resources { group: (*group).to_owned(), version: (*version).to_owned() }
            }
            ["api", "v1", rest @ ..] if proxied(rest).is_some() => {
                let parts = proxied(rest).unwrap_or_default();
                target("", "v1", &rest[..parts])
                    .map_or(Self::Unknown, |target| Self::Proxy { target, segments: parts + 2 })
            }
            ["api", version, rest @ ..] => Self::below("", version, rest),
            ["apis", group, version, rest @ ..] => Self::below(group, version, rest),
            [".well-known", "openid-configuration"] => Self::IssuerConfiguration,
            ["openid", "v1", "jwks"] => Self::IssuerKeys,
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiRoot,
            ["openapi", "v3", path @ ..] => Self::OpenApiDocument(path.join("/")),
            _ => Self::Unknown,
        }
    }

    fn below(group: &str, version: &str, rest: &[&str]) -> Self {
        let read = |rest| target(group, version, rest);
        match rest {
            ["watch", rest @ ..] => read(rest).map_or(Self::Unknown, Self::OldWatch),
            rest => read(rest).map_or(Self::Unknown, Self::Object),
        }
    }

    /// Whether it is answered without knowing who asks.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self, Self::Version | Self::Health)
    }
}

/// How many parts of what follows group and version lead to a proxy, if it is one.
fn proxied(rest: &[&str]) -> Option<usize> {
    match rest {
        ["namespaces", _, "pods" | "services", _, "proxy", ..] => Some(5),
        ["nodes", _, "proxy", ..] => Some(3),
        _ => None,
    }
}

/// Reads what follows group and version. `namespaces/N/status` and `namespaces/N/finalize` are parts of
/// the Namespace object, everything else below `namespaces/N` lives in that namespace.
fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] if group.is_empty() => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, None, None),
        [resource, name] => (*resource, Some(*name), None),
        [resource, name, subresource] => (*resource, Some(*name), Some(*subresource)),
        _ => return None,
    };
    Some(Target {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.to_owned(),
        namespace,
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str) -> [String; 6] {
        let (Route::Object(found) | Route::OldWatch(found)) = Route::parse(path) else {
            panic!("{path} is {:?}", Route::parse(path))
        };
        let or_dash = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
        [
            found.group,
            found.version,
            found.resource,
            or_dash(found.namespace),
            or_dash(found.name),
            or_dash(found.subresource),
        ]
    }

    #[test]
    fn objects_and_parts() {
        assert_eq!(object("/api/v1/pods"), ["", "v1", "pods", "-", "-", "-"]);
        assert_eq!(object("/api/v1/namespaces"), ["", "v1", "namespaces", "-", "-", "-"]);
        assert_eq!(object("/api/v1/namespaces/a"), ["", "v1", "namespaces", "-", "a", "-"]);
        assert_eq!(object("/api/v1/namespaces/a/status"), ["", "v1", "namespaces", "-", "a", "status"]);
        assert_eq!(object("/api/v1/namespaces/a/pods/"), ["", "v1", "pods", "a", "-", "-"]);
        assert_eq!(object("/api/v1/namespaces/a/pods/b/log"), ["", "v1", "pods", "a", "b", "log"]);
        assert_eq!(
            object("/apis/apps/v1/namespaces/a/deployments/x%3Ay"),
            ["apps", "v1", "deployments", "a", "x:y", "-"]
        );
        assert_eq!(object("/api/v1/watch/namespaces/a/pods"), ["", "v1", "pods", "a", "-", "-"]);
    }

    #[test]
    fn proxies() {
        for (path, expected) in [
            ("/api/v1/namespaces/a/services/http:b:80/proxy/x/y/z", Some((7, "http:b:80"))),
            ("/api/v1/namespaces/a/pods/b/proxy", Some((7, "b"))),
            ("/api/v1/nodes/n:10250/proxy/", Some((5, "n:10250"))),
            ("/api/v1/namespaces/a/configmaps/b/proxy", None),
        ] {
            let found = match Route::parse(path) {
                Route::Proxy { target, segments } => Some((segments, target.name.unwrap())),
                _ => None,
            };
            assert_eq!(found.as_ref().map(|(count, name)| (*count, name.as_str())), expected, "{path}");
        }
    }

    #[test]
    fn documents() {
        assert_eq!(Route::parse("/apis/"), Route::Groups);
        assert_eq!(Route::parse("/readyz/ping"), Route::Health);
        assert_eq!(Route::parse("/openapi/v3/apis/apps/v1"), Route::OpenApiDocument("apis/apps/v1".into()));
        for unknown in ["/", "/metrics", "/openapi"] {
            assert_eq!(Route::parse(unknown), Route::Unknown, "{unknown}");
        }
    }
}
