//! Write statuses, objects and Events; the only writer of the Kubernetes API.
