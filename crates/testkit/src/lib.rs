//! For tests only: object builders, scenario files, and the rule for skipping.
