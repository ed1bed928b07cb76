//! List and watch the Kubernetes API into batches of changes; the only reader.
