//! Snapshot to plan: one total, deterministic function per feature.
