//! Load ruleset transactions into the kernel and read our table back.
