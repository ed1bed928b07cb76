//! The Kubernetes API as a state machine: revisioned objects, selectors, patches, validation, defaults, watch.
