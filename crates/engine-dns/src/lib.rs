//! Cluster DNS answers from the plan: the Kubernetes DNS specification and nothing else.
