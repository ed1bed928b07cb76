//! Which address comes next: one allocator for Pods and for LoadBalancer addresses.
