//! The parts of an object that writes are about.

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but `status`, for kinds that have `/status`.
    Main,
    /// `status`.
    Status,
    /// `status.conditions` of a CertificateSigningRequest.
    Approval,
    /// `spec.finalizers` of a Namespace.
    Finalize,
    /// `spec.ephemeralContainers` of a Pod.
    EphemeralContainers,
    /// `spec.replicas`.
    Scale,
}

impl Part {
    /// The subresource's name, as managed fields record it.
    #[must_use]
    pub fn subresource(self) -> Option<&'static str> {
        match self {
            Self::Main => None,
            Self::Status => Some("status"),
            Self::Approval => Some("approval"),
            Self::Finalize => Some("finalize"),
            Self::EphemeralContainers => Some("ephemeralcontainers"),
            Self::Scale => Some("scale"),
        }
    }
}
