//! A cluster on one machine: nodes and Pods as network namespaces around the embedded API.
