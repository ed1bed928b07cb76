//! What the cluster says: one snapshot, typed changes, and the lowering of each Kubernetes kind.
