//! NetworkPolicy verdicts with the rule that gave them; the oracle for the ruleset.
//!
//! Simple on purpose: the definition of semantics NP1 and NP2 read aloud. What a connection is after address
//! translation is the caller's business: policies see backends, not Services (NP9).

mod verdict;

pub use verdict::{Allowed, Connection, Decision, Direction, Opinion, RuleRef, verdict, verdict_of};
