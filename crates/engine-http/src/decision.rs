//! What becomes of a request, and why.

use std::fmt;

use plan::{Backend, HostMatch, HttpRoute};
use types::{ObjectRef, ServiceName};

use crate::Page;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'t> {
    /// It goes to a backend.
    Forward(Forward<'t>),
    /// The client is sent elsewhere.
    Redirect {
        /// With what.
        page: Page,
        /// Where to.
        location: String,
        /// Why.
        reason: Reason<'t>,
    },
    /// It is answered here.
    Respond {
        /// With what.
        page: Page,
        /// Why.
        reason: Reason<'t>,
    },
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward<'t> {
    /// The Service behind the route.
    pub service: &'t ServiceName,
    /// Its backends, never none.
    pub(crate) backends: &'t [Backend],
    /// The one to try first.
    pub(crate) first: usize,
    /// The request target for the backend, when it is not the client's.
    pub rewritten: Option<String>,
    /// Why.
    pub reason: Reason<'t>,
}

/// The object and field that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'t> {
    /// This route of this host.
    Route {
        /// The host pattern.
        host: &'t HostMatch,
        /// The route.
        route: &'t HttpRoute,
    },
    /// The default backend, since no route matches.
    DefaultBackend {
        /// It as a route.
        route: &'t HttpRoute,
    },
    /// The host has TLS, and the request came without.
    HttpsOnly {
        /// The host pattern.
        host: &'t HostMatch,
        /// The host's first route, of the object that asks for TLS.
        route: Option<&'t HttpRoute>,
    },
    /// The route has no backend.
    NoBackend {
        /// The route.
        route: &'t HttpRoute,
        /// Why it has none.
        why: &'t str,
    },
    /// No route matches and there is no default backend.
    NoRoute {
        /// The host pattern, when one matches.
        host: Option<&'t HostMatch>,
    },
    /// The request cannot be understood.
    Malformed(&'static str),
}

impl<'t> Decision<'t> {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason<'t> {
        match self {
            Self::Forward(forward) => forward.reason,
            Self::Redirect { reason, .. } | Self::Respond { reason, .. } => *reason,
        }
    }
}

impl<'t> Forward<'t> {
    /// The backend to try first.
    #[must_use]
    pub fn backend(&self) -> &'t Backend {
        &self.backends[self.first]
    }

    /// Every backend once, in the order in which to try them.
    pub fn attempts(&self) -> impl Iterator<Item = &'t Backend> + use<'t> {
        let (before, from) = self.backends.split_at(self.first);
        from.iter().chain(before)
    }
}

impl Reason<'_> {
    fn route(&self) -> Option<&HttpRoute> {
        match self {
            Self::Route { route, .. } | Self::DefaultBackend { route } | Self::NoBackend { route, .. } => {
                Some(route)
            }
            Self::HttpsOnly { route, .. } => *route,
            Self::NoRoute { .. } | Self::Malformed(_) => None,
        }
    }

    /// The object that decided, when one did.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectRef> {
        self.route().map(|route| &route.origin)
    }

    /// The field of the object that decided; empty when none did.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::HttpsOnly { .. } => "spec.tls",
            _ => self.route().map_or("", |route| &route.field),
        }
    }
}

/// A host pattern as it is written in an Ingress.
struct Pattern<'a>(&'a HostMatch);

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            HostMatch::Exact(name) => write!(f, "host {name}"),
            HostMatch::Wildcard(suffix) => write!(f, "host *.{suffix}"),
            HostMatch::Any => f.write_str("every host"),
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { host, route } => {
                write!(f, "{} {} ({})", route.origin, route.field, Pattern(host))
            }
            Self::DefaultBackend { route } => {
                write!(f, "no route matches; {} {} takes the rest", route.origin, route.field)
            }
            Self::HttpsOnly { host, .. } => {
                write!(f, "{} has TLS, so plain HTTP is sent to HTTPS", Pattern(host))
            }
            Self::NoBackend { why, .. } => f.write_str(why),
            Self::NoRoute { host: Some(host) } => write!(f, "no path of {} matches", Pattern(host)),
            Self::NoRoute { host: None } => f.write_str("no Ingress has this host"),
            Self::Malformed(why) => f.write_str(why),
        }
    }
}
