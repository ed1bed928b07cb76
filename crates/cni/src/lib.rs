//! The CNI plugin: parse, allocate, plumb, answer.
