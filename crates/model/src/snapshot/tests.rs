//! Snapshots: order has no meaning, rejected objects fail closed.
