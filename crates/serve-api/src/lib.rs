//! The lab's Kubernetes-compatible API server: transport around engine-store.
