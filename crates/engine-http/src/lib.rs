//! HTTP routing decisions from the plan: host, path, filters, backend.
